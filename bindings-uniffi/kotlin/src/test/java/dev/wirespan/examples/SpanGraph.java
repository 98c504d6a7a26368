package dev.wirespan.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.wirespan.examples.OtlpReceiver.Received;
import io.opentelemetry.proto.trace.v1.Span;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;

/**
 * The spans of an example as text: a line each, below its parent.
 *
 * <pre>{@code SERVICE NAME KIND {attributes} links SERVICE NAME, ...}</pre>
 *
 * Ports are written PORT, session ids S1, S2, .... What all spans of a connection have is checked and not written; of what was measured
 * on a stream the counts are written, and the times are checked.
 */
final class SpanGraph {
    private static final Set<String> ONE_CHUNK = Set.of("time_to_first_chunk", "time_to_last_chunk");
    private static final List<String> QUANTILES = List.of("min", "p50", "p90", "p95", "p99", "max");

    private final List<Received> spans;
    private final Map<ByteString, String> labels = new HashMap<>();
    private final Map<String, String> placeholders = new LinkedHashMap<>();

    SpanGraph(List<Received> spans, List<String> sessions, String port) {
        Map<ByteString, Long> starts = new HashMap<>();
        spans.forEach(received -> starts.put(received.span().getSpanId(), received.span().getStartTimeUnixNano()));
        // The two ends of a transfer do not wait for each other: who receives it stands behind who sent it, whatever comes meanwhile.
        this.spans = spans.stream()
                .sorted(Comparator.comparingLong((Received received) -> sentAt(received.span(), starts))
                        .thenComparingLong(received -> received.span().getStartTimeUnixNano()))
                .toList();
        for (String session : new TreeSet<>(sessions)) {
            placeholders.put(session, "S" + (placeholders.size() + 1));
        }
        placeholders.put(port, "PORT");
        Map<String, Integer> seen = new HashMap<>();
        for (Received received : this.spans) {
            String label = received.service() + " " + received.span().getName();
            int count = seen.merge(label, 1, Integer::sum);
            labels.put(received.span().getSpanId(), count == 1 ? label : label + " (" + count + ")");
        }
    }

    private static long sentAt(Span span, Map<ByteString, Long> starts) {
        long start = span.getStartTimeUnixNano();
        if (span.getKind() != Span.SpanKind.SPAN_KIND_CONSUMER || span.getLinksCount() == 0) {
            return start;
        }
        return starts.getOrDefault(span.getLinks(0).getSpanId(), start);
    }

    @Override
    public String toString() {
        StringBuilder text = new StringBuilder();
        for (Received received : spans) {
            Span span = received.span();
            if (span.getParentSpanId().isEmpty()) {
                write(text, received, 0);
            } else {
                // A parent that was not received would leave its children unseen.
                assertTrue(labels.containsKey(span.getParentSpanId()), () -> "the parent is missing: " + span);
            }
        }
        return text.toString();
    }

    private void write(StringBuilder text, Received received, int depth) {
        Span span = received.span();
        text.append("  ".repeat(depth)).append(labels.get(span.getSpanId()));
        text.append(' ').append(span.getKind().name().substring("SPAN_KIND_".length()));
        if (span.getStatus().getCodeValue() != 0) {
            text.append(' ').append(span.getStatus().getCode());
        }
        text.append(' ').append(described(received));
        span.getEventsList().forEach(event -> text.append(" event ").append(event.getName()));
        if (span.getLinksCount() > 0) {
            text.append(" links ");
            text.append(span.getLinksList().stream()
                    .map(link -> labels.getOrDefault(link.getSpanId(), "a span that is not here"))
                    .collect(Collectors.joining(", ")));
        }
        text.append('\n');
        for (Received child : spans) {
            if (child.span().getParentSpanId().equals(span.getSpanId())) {
                assertEquals(span.getTraceId(), child.span().getTraceId());
                write(text, child, depth + 1);
            }
        }
    }

    private String described(Received received) {
        Map<String, String> attributes = OtlpReceiver.attributes(received.span().getAttributesList());
        List<String> parts = new ArrayList<>();
        if (received.scope().equals("wirespan")) {
            assertEquals("websocket", attributes.remove("network.protocol.name"));
            assertEquals("localhost", attributes.remove("server.address"));
            assertEquals("PORT", placeholders.get(attributes.remove("server.port")));
            String session = placeholders.get(attributes.remove("websocket.session.id"));
            parts.add(String.valueOf(session));
        }
        if (received.scope().startsWith("io.opentelemetry.")) {
            // The agent's own: what it is, not all that this version of the agent says of it.
            attributes.keySet().retainAll(Set.of("http.request.method", "http.response.status_code"));
        }
        for (String direction : List.of("sent", "received")) {
            stream(attributes, direction).ifPresent(parts::add);
        }
        String wait = attributes.remove("websocket.queue.wait");
        if (wait != null) {
            assertTrue(Double.parseDouble(wait) >= 0 && Double.parseDouble(wait) < 10, wait);
            parts.add("websocket.queue.wait");
        }
        attributes.forEach((name, value) -> parts.add(name.replace("websocket.stream.", "") + "=" + replaced(value)));
        return "{" + String.join(", ", parts) + "}";
    }

    private String replaced(String value) {
        String text = value;
        for (Map.Entry<String, String> placeholder : placeholders.entrySet()) {
            text = text.replace(placeholder.getKey(), placeholder.getValue());
        }
        return text;
    }

    /** Takes what was measured in a direction out of the attributes, and checks the times (SPEC.md, chapter "Stream metrics"). */
    private static java.util.Optional<String> stream(Map<String, String> attributes, String direction) {
        String prefix = "websocket.stream." + direction + ".";
        Map<String, String> counts = new HashMap<>();
        Map<String, Double> times = new HashMap<>();
        for (String name : List.copyOf(attributes.keySet())) {
            if (name.startsWith(prefix)) {
                String value = attributes.remove(name);
                String rest = name.substring(prefix.length());
                if (Set.of("chunks", "bytes", "stalls").contains(rest)) {
                    counts.put(rest, value);
                } else {
                    times.put(rest, Double.valueOf(value));
                }
            }
        }
        if (counts.isEmpty()) {
            assertTrue(times.isEmpty(), () -> times.toString());
            return java.util.Optional.empty();
        }
        int chunks = Integer.parseInt(counts.get("chunks"));
        checkTimes(chunks, times);
        String stalls = counts.getOrDefault("stalls", "0").equals("0") ? "" : " " + counts.get("stalls") + " stalls";
        return java.util.Optional.of(direction + " " + chunks + "/" + counts.get("bytes") + " bytes" + stalls);
    }

    private static void checkTimes(int chunks, Map<String, Double> times) {
        assertTrue(times.keySet().containsAll(ONE_CHUNK), () -> times.toString());
        assertTrue(times.get("time_to_first_chunk") <= times.get("time_to_last_chunk"), () -> times.toString());
        if (chunks == 1) {
            assertEquals(times.get("time_to_first_chunk"), times.get("time_to_last_chunk"));
            return;
        }
        double earlier = 0;
        for (String quantile : QUANTILES) {
            double value = times.get("interval." + quantile);
            assertTrue(earlier <= value, () -> times.toString());
            earlier = value;
        }
        double length = times.get("time_to_last_chunk") - times.get("time_to_first_chunk");
        assertEquals(length / (chunks - 1), times.get("interval.avg"), 1e-6);
        assertEquals((chunks - 1) / length, times.get("rate"), times.get("rate") * 1e-3);
    }
}
