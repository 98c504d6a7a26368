package dev.wirespan;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.metrics.SdkMeterProvider;
import io.opentelemetry.sdk.testing.exporter.InMemoryMetricReader;
import io.opentelemetry.sdk.testing.exporter.InMemorySpanExporter;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import java.util.List;
import java.util.function.Predicate;

/** The OpenTelemetry SDK with exporters into memory. */
final class Recorded implements AutoCloseable {
    final InMemorySpanExporter exporter = InMemorySpanExporter.create();
    final InMemoryMetricReader metrics = InMemoryMetricReader.create();
    final OpenTelemetrySdk sdk = OpenTelemetrySdk.builder()
            .setTracerProvider(SdkTracerProvider.builder()
                    .addSpanProcessor(SimpleSpanProcessor.create(exporter))
                    .build())
            .setMeterProvider(
                    SdkMeterProvider.builder().registerMetricReader(metrics).build())
            .build();

    /** The ended spans once there are so many; more or fewer after 10 s is a failure. */
    List<SpanData> spans(int count) throws InterruptedException {
        for (int i = 0; i < 1000 && exporter.getFinishedSpanItems().size() < count; i++) {
            Thread.sleep(10);
        }
        List<SpanData> spans = exporter.getFinishedSpanItems();
        assertEquals(count, spans.size(), () -> spans.stream().map(SpanData::getName).toList().toString());
        return spans;
    }

    /** The one span that fits. */
    static SpanData only(List<SpanData> spans, Predicate<SpanData> fits) {
        List<SpanData> found = spans.stream().filter(fits).toList();
        assertEquals(1, found.size(), () -> spans.toString());
        return found.get(0);
    }

    @Override
    public void close() {
        sdk.close();
    }
}
