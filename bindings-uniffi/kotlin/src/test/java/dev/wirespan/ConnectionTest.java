package dev.wirespan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Scope;
import io.opentelemetry.sdk.metrics.data.MetricData;
import io.opentelemetry.sdk.trace.data.SpanData;
import jakarta.websocket.WebSocketContainer;
import jakarta.websocket.server.ServerEndpointConfig;
import java.io.IOException;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import org.eclipse.jetty.ee10.websocket.jakarta.client.JakartaWebSocketClientContainerProvider;
import org.glassfish.tyrus.client.ClientManager;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Real connections over loopback: the server is Tyrus or Jetty, clients are OkHttp, Tyrus and Jetty; spans are those of the real SDK.
 */
@Timeout(60)
abstract class ConnectionTest {
    private static final AttributeKey<String> SESSION = AttributeKey.stringKey("websocket.session.id");
    private static final AttributeKey<String> OUTCOME = AttributeKey.stringKey("websocket.stream.outcome");
    private static final AttributeKey<Long> CHUNKS = AttributeKey.longKey("websocket.stream.received.chunks");

    private final Recorded recorded = new Recorded();
    private final OkHttpClient okHttp = new OkHttpClient();
    private final BlockingQueue<Message> plain = new ArrayBlockingQueue<>(10);
    private final BlockingQueue<TracedConnection> accepted = new ArrayBlockingQueue<>(10);
    private TestServer server;

    @BeforeEach
    void serve() throws Exception {
        Wirespan wirespan = wirespan()
                .handler("upper", call -> {
                    for (Message message : call) {
                        call.send(message.getText().toUpperCase());
                    }
                })
                .handler("inside", call -> {
                    recorded.sdk.getTracer("test").spanBuilder("work").startSpan().end();
                    call.send(call.recv().getBytes(), true);
                })
                .handler("broken", call -> {
                    throw new IllegalArgumentException("no");
                })
                .handler("collect", call -> {
                    for (Message message : call) {
                        plain.add(message);
                    }
                })
                .onMessage((connection, message) -> plain.add(message))
                .build();
        server = start(WirespanJakarta.endpoint("/ws", wirespan, List.of(), accepted::add));
    }

    /** Starts the server of the subclass. */
    abstract TestServer start(ServerEndpointConfig endpoint) throws Exception;

    @AfterEach
    void stop() throws Exception {
        server.close();
        okHttp.dispatcher().executorService().shutdown();
        recorded.close();
    }

    private Wirespan.Builder wirespan() {
        return Wirespan.builder().openTelemetry(recorded.sdk);
    }

    private TracedConnection connect(String library, Wirespan wirespan) throws Exception {
        if (library.equals("okhttp")) {
            String url = "ws://localhost:" + server.port() + "/ws";
            return WirespanOkHttp.connect(okHttp, new Request.Builder().url(url).build(), wirespan);
        }
        WebSocketContainer container =
                library.equals("jetty") ? JakartaWebSocketClientContainerProvider.getContainer(null) : ClientManager.createClient();
        // Jetty takes 64 KiB by default.
        container.setDefaultMaxBinaryMessageBufferSize(1_000_000);
        URI uri = URI.create("ws://localhost:" + server.port() + "/ws");
        return WirespanJakarta.connect(container, uri, wirespan);
    }

    @ParameterizedTest
    @ValueSource(strings = {"okhttp", "tyrus", "jetty"})
    void aCallIsOneTraceOfTwoSpans(String library) throws Exception {
        String session;
        try (TracedConnection connection = connect(library, wirespan().build())) {
            assertEquals("announced", connection.getPeer());
            session = connection.getSessionId();
            List<String> answers = connection.call("upper", call -> {
                call.send("one");
                call.send("{\"two\": 2}", true);
                List<String> texts = new ArrayList<>();
                call.forEach(message -> texts.add(message.getText()));
                assertEquals(2, call.getMetrics().getReceived().getChunks());
                return texts;
            });
            assertEquals(List.of("ONE", "{\"TWO\": 2}"), answers);
        }
        List<SpanData> spans = recorded.spans(4);
        assertEquals(
                Set.of("websocket.handshake CLIENT", "websocket.handshake SERVER", "upper CLIENT", "upper SERVER"),
                spans.stream().map(span -> span.getName() + " " + span.getKind()).collect(Collectors.toSet()));
        SpanData caller = span(spans, "upper", SpanKind.CLIENT);
        SpanData callee = span(spans, "upper", SpanKind.SERVER);
        SpanData clientHandshake = span(spans, "websocket.handshake", SpanKind.CLIENT);
        SpanData serverHandshake = span(spans, "websocket.handshake", SpanKind.SERVER);
        assertFalse(caller.getParentSpanContext().isValid());
        assertEquals(caller.getSpanContext().getSpanId(), callee.getParentSpanId());
        assertEquals(caller.getTraceId(), callee.getTraceId());
        assertEquals(clientHandshake.getSpanId(), serverHandshake.getParentSpanId());
        assertEquals(List.of(clientHandshake.getSpanId()), links(caller));
        assertEquals(List.of(serverHandshake.getSpanId()), links(callee));
        for (SpanData span : spans) {
            assertEquals(session, span.getAttributes().get(SESSION), span.getName());
            assertEquals(StatusCode.UNSET, span.getStatus().getStatusCode());
            assertEquals("websocket", span.getAttributes().get(AttributeKey.stringKey("network.protocol.name")));
        }
        for (SpanData span : List.of(caller, callee)) {
            assertEquals("complete", span.getAttributes().get(OUTCOME));
            assertEquals(2, span.getAttributes().get(CHUNKS));
            assertEquals("upper", span.getAttributes().get(AttributeKey.stringKey("rpc.method")));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"okhttp", "tyrus", "jetty"})
    void aHandlerRunsInsideItsSpan(String library) throws Exception {
        byte[] large = new byte[300_000];
        large[7] = 7;
        try (TracedConnection connection = connect(library, wirespan().build())) {
            byte[] back = connection.call("inside", call -> {
                call.send(large, true);
                return call.recv().getBytes();
            });
            assertEquals(7, back[7]);
            assertEquals(large.length, back.length);
        }
        List<SpanData> spans = recorded.spans(5);
        SpanData work = Recorded.only(spans, span -> span.getName().equals("work"));
        assertEquals(span(spans, "inside", SpanKind.SERVER).getSpanId(), work.getParentSpanId());
    }

    @Test
    void errorsArriveByKindAndType() throws Exception {
        try (TracedConnection connection = connect("okhttp", wirespan().build())) {
            WirespanException error = assertThrows(WirespanException.class, () -> connection.call("broken", call -> {
                call.send("x", true);
                return call.recv();
            }));
            assertEquals(ErrorKind.REMOTE, error.getKind());
            assertEquals("IllegalArgumentException", error.getErrorType());
            WirespanException unknown = assertThrows(WirespanException.class, () -> connection.call("nobody", call -> {
                call.send("x", true);
                return call.recv();
            }));
            assertEquals("unknown_method", unknown.getErrorType());
            Call call = connection.call("upper");
            call.send("x", true);
            assertEquals(
                    ErrorKind.INVALID_STATE,
                    assertThrows(WirespanException.class, () -> call.send("late")).getKind());
            call.close();
        }
        SpanData callee = span(recorded.spans(8), "broken", SpanKind.SERVER);
        assertEquals(StatusCode.ERROR, callee.getStatus().getStatusCode());
        assertEquals("exception", callee.getEvents().get(0).getName());
        assertEquals(
                "IllegalArgumentException", callee.getAttributes().get(AttributeKey.stringKey("error.type")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"okhttp", "tyrus", "jetty"})
    void plainMessagesAndTransfersCarryTheContext(String library) throws Exception {
        Span root = recorded.sdk.getTracer("test").spanBuilder("root").startSpan();
        try (TracedConnection connection = connect(library, wirespan().build());
                Scope scope = root.makeCurrent()) {
            assertNotNull(scope);
            connection.send("not JSON");
            Message message = plain.poll(10, TimeUnit.SECONDS);
            assertEquals("not JSON", message.getText());
            assertEquals(
                    root.getSpanContext().getSpanId(),
                    Span.fromContext(message.getContext()).getSpanContext().getSpanId());
            connection.transfer("collect", transfer -> {
                transfer.send(new byte[] {1, 2, 3}, true);
                return null;
            });
            assertEquals(3, plain.poll(10, TimeUnit.SECONDS).getBytes().length);
        } finally {
            root.end();
        }
        List<SpanData> spans = recorded.spans(5);
        SpanData sender = span(spans, "send collect", SpanKind.PRODUCER);
        SpanData receiver = span(spans, "process collect", SpanKind.CONSUMER);
        assertEquals(root.getSpanContext().getSpanId(), sender.getParentSpanId());
        assertTrue(links(receiver).contains(sender.getSpanId()));
    }

    @Test
    void theServerCallsItsClient() throws Exception {
        Wirespan client = wirespan().handler("time", call -> call.send("noon")).build();
        try (TracedConnection connection = connect("okhttp", client)) {
            TracedConnection back = accepted.poll(10, TimeUnit.SECONDS);
            assertEquals(connection.getSessionId(), back.getSessionId());
            String answer = back.call("time", call -> {
                call.send("when?", true);
                return call.recv().getText();
            });
            assertEquals("noon", answer);
        }
        List<SpanData> spans = recorded.spans(4);
        assertEquals(
                span(spans, "time", SpanKind.CLIENT).getSpanId(), span(spans, "time", SpanKind.SERVER).getParentSpanId());
    }

    @Test
    void aPeerThatDoesNotAnnounceItselfGetsTheMessagesAsTheyAre() throws Exception {
        Wirespan never = wirespan().options(Options.DEFAULT.with("mode", "never")).build();
        try (TracedConnection connection = connect("okhttp", never)) {
            connection.send("{\"a\":1}");
            Message message = plain.poll(10, TimeUnit.SECONDS);
            assertEquals("{\"a\":1}", message.getText());
            assertFalse(Span.fromContext(message.getContext()).getSpanContext().isValid());
        }
    }

    @Test
    void aSessionIsResumedAndLinked() throws Exception {
        dev.wirespan.core.Resumption earlier;
        try (TracedConnection connection = connect("okhttp", wirespan().build())) {
            earlier = connection.getResumption();
        }
        recorded.spans(2);
        Wirespan again = wirespan().options(Options.DEFAULT.resuming(earlier)).build();
        try (TracedConnection connection = connect("okhttp", again)) {
            assertEquals(earlier.getSessionId(), connection.getSessionId());
        }
        List<SpanData> spans = recorded.spans(4);
        assertEquals(1, spans.stream()
                .filter(span -> span.getKind() == SpanKind.CLIENT)
                .filter(span -> links(span).equals(List.of(earlier.getSpan().getTraceparent().substring(36, 52))))
                .count());
    }

    @Test
    void aLostConnectionEndsItsCalls() throws Exception {
        try (TracedConnection connection = connect("okhttp", wirespan().build())) {
            Call call = connection.call("upper");
            call.send("one");
            assertEquals("ONE", call.recv().getText());
            accepted.poll(10, TimeUnit.SECONDS).close();
            WirespanException error = assertThrows(WirespanException.class, call::recv);
            assertEquals(ErrorKind.CLOSED, error.getKind());
            assertNull(call.recv());
            assertEquals("error", call.getMetrics().getSent().getOutcome());
        }
        assertEquals(StatusCode.ERROR, span(recorded.spans(4), "upper", SpanKind.CLIENT).getStatus().getStatusCode());
    }

    @Test
    void metricsGoToTheMeterWithoutASessionId() throws Exception {
        try (TracedConnection connection = connect("okhttp", wirespan().build())) {
            connection.call("upper", call -> {
                call.send("one", true);
                return call.recv();
            });
        }
        recorded.spans(4);
        Thread.sleep(200);
        List<MetricData> metrics = List.copyOf(recorded.metrics.collectAllMetrics());
        Set<String> names = metrics.stream().map(MetricData::getName).collect(Collectors.toSet());
        assertTrue(names.containsAll(Set.of(
                "websocket.stream.time_to_first_chunk",
                "websocket.stream.time_to_last_chunk",
                "websocket.stream.chunks",
                "websocket.messages",
                "websocket.connections.active",
                "websocket.connection.duration")), names.toString());
        MetricData active = metrics.stream().filter(it -> it.getName().endsWith(".active")).findFirst().orElseThrow();
        assertTrue(active.getLongSumData().getPoints().stream().allMatch(point -> point.getValue() == 0));
        for (MetricData metric : metrics) {
            metric.getData().getPoints().forEach(point -> assertNull(point.getAttributes().get(SESSION)));
        }
    }

    @Test
    void aServerThatIsNotThereFailsTheHandshake() throws Exception {
        int port = server.port();
        server.close();
        Request request = new Request.Builder().url("ws://localhost:" + port + "/ws").build();
        assertThrows(IOException.class, () -> WirespanOkHttp.connect(okHttp, request, wirespan().build()));
        assertEquals(StatusCode.ERROR, recorded.spans(1).get(0).getStatus().getStatusCode());
    }

    private static SpanData span(List<SpanData> spans, String name, SpanKind kind) {
        return Recorded.only(spans, span -> span.getName().equals(name) && span.getKind() == kind);
    }

    private static List<String> links(SpanData span) {
        return span.getLinks().stream().map(link -> link.getSpanContext().getSpanId()).toList();
    }
}
