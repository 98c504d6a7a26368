package dev.wirespan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.wirespan.core.CoreException;
import dev.wirespan.core.Names;
import dev.wirespan.core.StreamMetrics;
import dev.wirespan.core.WirespanKt;
import io.opentelemetry.api.baggage.Baggage;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk;
import io.opentelemetry.sdk.trace.data.SpanData;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The parts by themselves. */
@Timeout(60)
class PartsTest {
    private final Recorded recorded = new Recorded();

    @AfterEach
    void stop() {
        recorded.close();
    }

    private Span start(String name) {
        return recorded.sdk.getTracer("test").spanBuilder(name).startSpan();
    }

    @Test
    void aPlatformWithoutALibraryIsNamedAtEachUse() throws Exception {
        // The folder of the library is that of JNA's platform.
        Process process = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-Djna.prefix=plan9-mips",
                        "-cp",
                        System.getProperty("java.class.path"),
                        WithoutLibrary.class.getName())
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        List<String> lines = process.inputReader().lines().toList();
        assertEquals(3, lines.size(), () -> lines.toString());
        for (String line : lines) {
            assertTrue(
                    line.startsWith("IO io: this wirespan.jar has no native library for the platform plan9-mips (no plan9-mips/"),
                    line);
            assertTrue(line.contains("uniffi.component.wirespan.libraryOverride"), line);
        }
    }

    /** Uses the library in several ways, each of which fails. */
    static final class WithoutLibrary {
        public static void main(String[] arguments) {
            List<Runnable> uses = List.of(
                    () -> Wirespan.builder().build(),
                    () -> Wirespan.builder().build(),
                    () -> Carry.fromHeaders(Map.of("traceparent", "x")));
            for (Runnable use : uses) {
                try {
                    use.run();
                } catch (WirespanException error) {
                    System.out.println(error.getKind() + " " + error.getMessage());
                }
            }
        }
    }

    @Test
    void kindsOfErrorsAreThoseOfTheCore() throws Exception {
        Names names = WirespanKt.names();
        assertEquals(
                names.getErrorKinds(),
                Arrays.stream(ErrorKind.values()).map(ErrorKind::getLabel).toList());
    }

    @Test
    void wrongOptionsAreSaidAtOnce() {
        WirespanException error = assertThrows(
                WirespanException.class,
                () -> Wirespan.builder().options(Options.DEFAULT.with("trust", "blind")).build());
        assertEquals(ErrorKind.INVALID_ARGUMENT, error.getKind());
        assertEquals("trust", error.getField());
        assertNotNull(Wirespan.builder()
                .options(Options.DEFAULT.with("idle_timeout", Duration.ofSeconds(3)).with("max_streams", 5))
                .build());
    }

    @Test
    void theEnvironmentChoosesThePropagator() {
        Map<String, String> environment = Map.of(
                "otel.propagators", "wirespan",
                "otel.traces.exporter", "none",
                "otel.metrics.exporter", "none",
                "otel.logs.exporter", "none");
        try (var sdk = AutoConfiguredOpenTelemetrySdk.builder()
                .addPropertiesSupplier(() -> environment)
                .build()
                .getOpenTelemetrySdk()) {
            var propagator = sdk.getPropagators().getTextMapPropagator();
            assertEquals("Propagator(wirespan)", propagator.toString());
            String traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
            Map<String, String> request =
                    Map.of("traceparent", traceparent, "tracestate", "1a=x,foo@=y", "baggage", "z=1,a=a%20b;p=1");
            Context context = propagator.extract(Context.root(), request, new Getter());
            assertEquals("a b", Baggage.fromContext(context).getEntryValue("a"));
            Map<String, String> next = new HashMap<>();
            propagator.inject(context, next, Map::put);
            assertEquals(request, next, "level 2, the random flag and the order of baggage are kept");
            Map<String, String> wrong = Map.of("traceparent", traceparent.replace("-b7", "-B7"));
            assertSame(context, propagator.extract(context, wrong, new Getter()), "what is invalid is absent");
        }
    }

    private static final class Getter implements io.opentelemetry.context.propagation.TextMapGetter<Map<String, String>> {
        @Override
        public Iterable<String> keys(Map<String, String> carrier) {
            return carrier.keySet();
        }

        @Override
        public String get(Map<String, String> carrier, String key) {
            return carrier.get(key);
        }
    }

    @Test
    void aWorkerEndsTheSpanThatTheReceiverStarted() throws Exception {
        CarryQueue<String> queue = new CarryQueue<>(new ArrayBlockingQueue<>(10));
        Span receiver = start("receiver");
        queue.put("order", receiver);
        Thread.sleep(20);
        assertTrue(recorded.exporter.getFinishedSpanItems().isEmpty());
        Carried<String> carried = queue.take();
        assertEquals("order", carried.getItem());
        assertTrue(carried.getCarry().getWait().toMillis() >= 20);
        carried.run(() -> {
            start("work").end();
            return null;
        });
        carried.getCarry().endSpan();
        carried.getCarry().endSpan();
        List<SpanData> spans = recorded.spans(2);
        SpanData work = Recorded.only(spans, span -> span.getName().equals("work"));
        SpanData ended = Recorded.only(spans, span -> span.getName().equals("receiver"));
        assertEquals(ended.getSpanId(), work.getParentSpanId());
        Double wait = ended.getAttributes().get(AttributeKey.doubleKey("websocket.queue.wait"));
        assertTrue(wait >= 0.02 && wait < 10, String.valueOf(wait));
    }

    @Test
    void aCarryThatIsDroppedUnreadLeavesNoSpanOpen() throws Exception {
        Carry.capture(start("dropped"));
        for (int i = 0; i < 100 && recorded.exporter.getFinishedSpanItems().isEmpty(); i++) {
            System.gc();
            Thread.sleep(20);
        }
        assertEquals("dropped", recorded.spans(1).get(0).getName());
    }

    @Test
    void tasksRunInTheContextOfTheirSubmission() throws Exception {
        CarryExecutorService executor = new CarryExecutorService(Executors.newSingleThreadExecutor());
        Span outer = start("outer");
        try (Scope scope = outer.makeCurrent()) {
            assertNotNull(scope);
            String inside = executor.submit(() -> Span.current().getSpanContext().getSpanId()).get();
            assertEquals(outer.getSpanContext().getSpanId(), inside);
        }
        assertFalse(executor.submit(() -> Span.current().getSpanContext().isValid()).get());
        Span handed = start("handed");
        executor.execute(handed, () -> start("task").end());
        executor.shutdown();
        assertTrue(executor.awaitTermination(10, TimeUnit.SECONDS));
        SpanData task = Recorded.only(recorded.spans(2), span -> span.getName().equals("task"));
        assertEquals(handed.getSpanContext().getSpanId(), task.getParentSpanId());
        outer.end();
    }

    @Test
    void aBrokerGetsHeaders() throws Exception {
        Span sender = start("sender");
        Map<String, String> headers;
        try (Scope scope = sender.makeCurrent()) {
            assertNotNull(scope);
            headers = Carry.capture().toHeaders();
        }
        assertEquals(2, headers.size(), headers.toString());
        Carry carry = Carry.fromHeaders(headers);
        assertEquals(
                sender.getSpanContext().getSpanId(),
                carry.run(() -> Span.current().getSpanContext().getSpanId()));
        assertTrue(carry.getWait().toNanos() >= 0);
        assertEquals(1, carry.getLinks().size());
        assertTrue(Carry.fromHeaders(Map.of("traceparent", "00-x")).isContextInvalid());
    }

    @Test
    void streamMetricsStandAlone() throws Exception {
        try (StreamMetrics metrics = new StreamMetrics(1_000_000_000L, false)) {
            metrics.start(0);
            for (long at : new long[] {120, 140, 2140}) {
                metrics.recordChunk(10, at * 1_000_000);
            }
            metrics.finish("complete", 2_200_000_000L);
            assertEquals(1, metrics.summary().getStalls());
            assertEquals(0.12, metrics.summary().getTimeToFirstChunk(), 1e-9);
            CoreException error = assertThrows(CoreException.class, () -> metrics.finish("well", 1));
            assertTrue(error.getMessage().contains("invalid_argument: outcome"), error.getMessage());
        }
    }
}
