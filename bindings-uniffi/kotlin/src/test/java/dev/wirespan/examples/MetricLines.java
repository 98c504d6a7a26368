package dev.wirespan.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.opentelemetry.proto.common.v1.KeyValue;
import io.opentelemetry.proto.metrics.v1.HistogramDataPoint;
import io.opentelemetry.proto.metrics.v1.Metric;
import io.opentelemetry.proto.metrics.v1.NumberDataPoint;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Metrics as text: a line for each point, with the sum of a counter or the count of a histogram. */
final class MetricLines {
    private MetricLines() {}

    static String of(Map<String, Map<String, Metric>> services) {
        TreeMap<String, String> lines = new TreeMap<>();
        services.forEach((service, metrics) -> new TreeMap<>(metrics).forEach((name, metric) -> {
            // All that is measured of a stream stands in one line.
            boolean ofStreams = name.startsWith("websocket.stream.");
            String start = service + " " + (ofStreams ? "websocket.stream" : name);
            String what = ofStreams ? name.substring("websocket.stream.".length()) + " " : "";
            for (NumberDataPoint point : metric.getSum().getDataPointsList()) {
                add(lines, start + attributes(point.getAttributesList()), what + point.getAsInt());
            }
            for (HistogramDataPoint point : metric.getHistogram().getDataPointsList()) {
                assertEquals("s", metric.getUnit());
                assertTrue(point.getSum() >= 0 && point.getSum() < 60, () -> point.toString());
                add(lines, start + attributes(point.getAttributesList()), what + point.getCount() + " times");
            }
        }));
        StringBuilder text = new StringBuilder();
        lines.forEach((start, values) -> text.append(start).append(' ').append(values).append('\n'));
        return text.toString();
    }

    private static void add(Map<String, String> lines, String start, String value) {
        lines.merge(start, value, (earlier, next) -> earlier + ", " + next);
    }

    private static String attributes(List<KeyValue> list) {
        return new TreeMap<>(OtlpReceiver.attributes(list)).toString();
    }
}
