package dev.wirespan.examples;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.common.v1.KeyValue;
import io.opentelemetry.proto.metrics.v1.Metric;
import io.opentelemetry.proto.resource.v1.Resource;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;

/** Receives OTLP over HTTP as protobuf, and serves the prices that handlers ask for. */
final class OtlpReceiver implements AutoCloseable {
    /** A span, and the service and scope it came from. */
    record Received(String service, String scope, Span span) {}

    /** The spans, in the order in which they came. */
    final List<Received> spans = new CopyOnWriteArrayList<>();
    /** The last state of each metric of scope `wirespan`, by service and name. */
    final Map<String, Map<String, Metric>> metrics = new ConcurrentHashMap<>();
    /** The `traceparent` of each request for a price, by item. */
    final Map<String, String> priceRequests = new ConcurrentHashMap<>();

    private final HttpServer server;

    OtlpReceiver() throws IOException {
        server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/v1/traces", exchange -> {
            traces(ExportTraceServiceRequest.parseFrom(body(exchange)));
            answer(exchange, "");
        });
        server.createContext("/v1/metrics", exchange -> {
            metrics(ExportMetricsServiceRequest.parseFrom(body(exchange)));
            answer(exchange, "");
        });
        server.createContext("/price", exchange -> {
            String item = exchange.getRequestURI().getQuery().replace("item=", "");
            String context = exchange.getRequestHeaders().getFirst("traceparent");
            priceRequests.put(item, context == null ? "" : context);
            answer(exchange, "3 euros");
        });
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
    }

    String url() {
        return "http://localhost:" + server.getAddress().getPort();
    }

    private static byte[] body(HttpExchange exchange) throws IOException {
        try (InputStream body = exchange.getRequestBody()) {
            return body.readAllBytes();
        }
    }

    private static void answer(HttpExchange exchange, String text) throws IOException {
        byte[] bytes = text.getBytes();
        exchange.sendResponseHeaders(200, bytes.length == 0 ? -1 : bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }

    private void traces(ExportTraceServiceRequest request) {
        request.getResourceSpansList().forEach(resource -> resource.getScopeSpansList()
                .forEach(scope -> scope.getSpansList()
                        .forEach(span -> spans.add(new Received(
                                service(resource.getResource()), scope.getScope().getName(), span)))));
    }

    private void metrics(ExportMetricsServiceRequest request) {
        request.getResourceMetricsList().forEach(resource -> resource.getScopeMetricsList().stream()
                .filter(scope -> scope.getScope().getName().equals("wirespan"))
                .forEach(scope -> scope.getMetricsList()
                        .forEach(metric -> metrics.computeIfAbsent(
                                        service(resource.getResource()), name -> new ConcurrentHashMap<>())
                                .put(metric.getName(), metric))));
    }

    private static String service(Resource resource) {
        return attributes(resource.getAttributesList()).get("service.name");
    }

    /** Attributes by name, in the order of their names. */
    static Map<String, String> attributes(List<KeyValue> list) {
        Map<String, String> attributes = new TreeMap<>();
        for (KeyValue attribute : list) {
            var value = attribute.getValue();
            attributes.put(attribute.getKey(), switch (value.getValueCase()) {
                case STRING_VALUE -> value.getStringValue();
                case INT_VALUE -> String.valueOf(value.getIntValue());
                case DOUBLE_VALUE -> String.valueOf(value.getDoubleValue());
                case BOOL_VALUE -> String.valueOf(value.getBoolValue());
                default -> value.toString();
            });
        }
        return attributes;
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
