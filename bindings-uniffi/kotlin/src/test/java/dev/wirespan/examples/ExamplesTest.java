package dev.wirespan.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.wirespan.examples.OtlpReceiver.Received;
import io.opentelemetry.proto.trace.v1.Span;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.Timeout;

/**
 * Runs the examples in processes of their own, a server and a client, and compares what arrives at an OTLP receiver: once with the
 * OpenTelemetry SDK, once with the OpenTelemetry Java agent attached. The code of the examples is the same in both.
 */
@Timeout(300)
class ExamplesTest {
    @TestFactory
    Stream<DynamicTest> withTheSdk() throws Exception {
        return compared(run("sdk", List.of("-Dotel.java.global-autoconfigure.enabled=true", "-Dotel.propagators=wirespan")));
    }

    @TestFactory
    Stream<DynamicTest> withTheAgent() throws Exception {
        String agent = System.getProperty("opentelemetry.javaagent");
        assertTrue(agent != null && Files.exists(Path.of(agent)), "the agent's jar is where the build has put it");
        // The ids of threads, which it adds to each span, differ from run to run.
        return compared(run("agent", List.of("-javaagent:" + agent, "-Dotel.javaagent.add-thread-details=false")));
    }

    /** What the examples printed and what arrived of them. */
    private record Run(
            String mode, String port, Map<String, List<String>> sessions, Map<String, String> results, OtlpReceiver otlp) {
        /** The spans of an example: those that name its sessions, and all others of their traces. */
        List<Received> spansOf(String example) {
            Set<Object> traces = new HashSet<>();
            for (Received received : otlp.spans) {
                String session = OtlpReceiver.attributes(received.span().getAttributesList()).get("websocket.session.id");
                if (sessions.get(example).contains(String.valueOf(session))) {
                    traces.add(received.span().getTraceId());
                }
            }
            return otlp.spans.stream()
                    .filter(received -> traces.contains(received.span().getTraceId()))
                    .toList();
        }
    }

    private static Run run(String mode, List<String> options) throws Exception {
        try (OtlpReceiver otlp = new OtlpReceiver()) {
            Path log = Files.createTempFile("wirespan-examples", ".log");
            Process server = java("server", otlp, options, ExampleServer.class, otlp.url(), log).start();
            Process client = null;
            try {
                String port = server.inputReader().readLine();
                if (port == null) {
                    ends(server, log);
                }
                client = java("client", otlp, options, ExampleClient.class, port, log).start();
                Map<String, List<String>> sessions = new TreeMap<>();
                Map<String, String> results = new TreeMap<>();
                for (String line : client.inputReader().lines().toList()) {
                    String[] parts = line.split("\t");
                    sessions.computeIfAbsent(parts[0], example -> new ArrayList<>()).add(parts[1]);
                    results.merge(parts[0], parts[2], (first, second) -> first + "; " + second);
                }
                ends(client, log);
                server.getOutputStream().close();
                ends(server, log);
                Files.delete(log);
                return new Run(mode, port, sessions, results, otlp);
            } finally {
                server.destroyForcibly();
                if (client != null) {
                    client.destroyForcibly();
                }
            }
        }
    }

    private static void ends(Process process, Path log) throws Exception {
        boolean ended = process.waitFor(60, TimeUnit.SECONDS) && process.exitValue() == 0;
        assertTrue(ended, "an example did not end well:\n" + Files.readString(log));
    }

    private static ProcessBuilder java(
            String service, OtlpReceiver otlp, List<String> options, Class<?> main, String argument, Path log) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(options);
        command.add("-Dotel.service.name=" + service);
        command.add("-Dotel.exporter.otlp.endpoint=" + otlp.url());
        command.add("-Dotel.exporter.otlp.protocol=http/protobuf");
        command.add("-Dotel.logs.exporter=none");
        command.add("-cp");
        command.add(System.getProperty("java.class.path"));
        command.add(main.getName());
        command.add(argument);
        return new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()));
    }

    private static Stream<DynamicTest> compared(Run run) {
        List<DynamicTest> tests = new ArrayList<>();
        for (String example : List.of("connection", "sessions", "orders", "speech", "workers")) {
            tests.add(dynamicTest(run.mode + ": " + example, () -> {
                List<Received> spans = run.spansOf(example);
                String graph = new SpanGraph(spans, run.sessions.get(example), run.port).toString();
                assertEquals(Expected.of(run.mode + ".txt", example), "> " + run.results.get(example) + "\n" + graph);
            }));
        }
        tests.add(dynamicTest(run.mode + ": no other spans", () -> assertNoOthers(run)));
        tests.add(dynamicTest(run.mode + ": requests of handlers", () -> assertRequests(run)));
        tests.add(dynamicTest(
                run.mode + ": metrics",
                () -> assertEquals(Expected.whole("metrics.txt"), MetricLines.of(run.otlp.metrics))));
        return tests.stream();
    }

    private static void assertNoOthers(Run run) {
        Set<Object> known = run.sessions.keySet().stream()
                .flatMap(example -> run.spansOf(example).stream())
                .map(received -> received.span().getSpanId())
                .collect(Collectors.toSet());
        List<String> others = run.otlp.spans.stream()
                .filter(received -> !known.contains(received.span().getSpanId()))
                .map(received -> received.service() + " " + received.scope() + " " + received.span().getName())
                .toList();
        assertEquals(List.of(), others);
    }

    /** Under the agent a request of a handler is a span inside the handler's, and its server gets that span as parent. */
    private static void assertRequests(Run run) {
        assertEquals(Set.of("tea", "milk", "bread"), run.otlp.priceRequests.keySet());
        List<Span> requests = run.otlp.spans.stream()
                .filter(received -> received.scope().startsWith("io.opentelemetry.java-http-client"))
                .map(Received::span)
                .toList();
        if (run.mode.equals("sdk")) {
            assertEquals(List.of(), requests);
            assertEquals(Set.of(""), Set.copyOf(run.otlp.priceRequests.values()));
            return;
        }
        Set<String> spans = requests.stream()
                .map(span -> "00-" + hex(span.getTraceId().toByteArray()) + "-" + hex(span.getSpanId().toByteArray()))
                .collect(Collectors.toSet());
        Set<String> sent = run.otlp.priceRequests.values().stream()
                .map(value -> value.substring(0, 52))
                .collect(Collectors.toSet());
        assertEquals(spans, sent);
    }

    private static String hex(byte[] bytes) {
        return java.util.HexFormat.of().formatHex(bytes);
    }
}
