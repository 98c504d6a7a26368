package dev.wirespan.examples;

import dev.wirespan.Call;
import dev.wirespan.Message;
import dev.wirespan.Options;
import dev.wirespan.TracedConnection;
import dev.wirespan.Wirespan;
import dev.wirespan.WirespanJakarta;
import dev.wirespan.WirespanOkHttp;
import dev.wirespan.core.Resumption;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.context.Scope;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import org.glassfish.tyrus.client.ClientManager;

/**
 * The clients of the examples, on OkHttp and on Jakarta WebSocket (Tyrus): {@code ExampleClient PORT}.
 *
 * For each example it prints a line: its name, the session id, and what came back.
 */
public final class ExampleClient {
    private static final Options NAMES = ExampleServer.NAMES;

    private final OkHttpClient okHttp = new OkHttpClient();
    private final String port;

    private ExampleClient(String port) {
        this.port = port;
    }

    public static void main(String[] arguments) throws Exception {
        ExampleClient client = new ExampleClient(arguments[0]);
        client.connectionLevelTrace();
        client.sessionAcrossTraces();
        client.callerAndCallee();
        client.oneWayStreaming();
        client.handOver();
        client.okHttp.dispatcher().executorService().shutdown();
        System.exit(0);
    }

    private Request request(String path) {
        return new Request.Builder().url("ws://localhost:" + port + path).build();
    }

    private TracedConnection tyrus(String path, Wirespan wirespan) throws Exception {
        URI uri = URI.create("ws://localhost:" + port + path);
        return WirespanJakarta.connect(ClientManager.createClient(), uri, wirespan);
    }

    private static void say(String example, TracedConnection connection, Object result) {
        System.out.println(example + "\t" + connection.getSessionId() + "\t" + result);
    }

    private static String greet(TracedConnection connection, String name) throws Exception {
        return connection.call("greet", call -> {
            call.send(name, true);
            return ExampleServer.only(call).getText();
        });
    }

    /** One trace for everything that happens on a connection. */
    private void connectionLevelTrace() throws Exception {
        Wirespan wirespan = Wirespan.builder().options(NAMES.with("trace_scope", "connection")).build();
        try (TracedConnection connection = WirespanOkHttp.connect(okHttp, request("/connection"), wirespan)) {
            say("connection", connection, greet(connection, "Ada"));
        }
    }

    /** A trace for each call; the session id, which survives a reconnect, ties them together. */
    private void sessionAcrossTraces() throws Exception {
        Resumption earlier;
        Wirespan wirespan = Wirespan.builder().options(NAMES).build();
        try (TracedConnection connection = WirespanOkHttp.connect(okHttp, request("/sessions"), wirespan)) {
            say("sessions", connection, greet(connection, "Ada") + ", " + greet(connection, "Grace"));
            earlier = connection.getResumption();
        }
        Wirespan again = Wirespan.builder().options(NAMES.resuming(earlier)).build();
        try (TracedConnection connection = tyrus("/sessions", again)) {
            say("sessions", connection, greet(connection, "Jean"));
        }
    }

    /** Caller and callee in messages of the application's own schema, in both directions. */
    private void callerAndCallee() throws Exception {
        Wirespan wirespan = Wirespan.builder()
                .options(NAMES.with("profile", "seed"))
                .handler("confirm", call -> {
                    String order = ExampleServer.read(call.recv()).getBody();
                    call.send(ExampleServer.write(new MessageWithHeaders(Map.of(), "yes, " + order)));
                })
                .build();
        try (TracedConnection connection = WirespanOkHttp.connect(okHttp, request("/orders"), wirespan)) {
            MessageWithHeaders answer = connection.call("order", call -> {
                MessageWithHeaders order = new MessageWithHeaders(Map.of("tenant", "acme"), "tea");
                call.send(ExampleServer.write(order), true);
                return ExampleServer.read(ExampleServer.only(call));
            });
            say("orders", connection, answer.getHeaders().get("tenant") + ": " + answer.getBody());
        }
    }

    /** A stream of binary chunks without an answer, and an answer in several chunks: one span a side each, with its metrics. */
    private void oneWayStreaming() throws Exception {
        Wirespan wirespan = Wirespan.builder()
                .options(NAMES.with("stall_threshold", ExampleServer.STALL))
                .build();
        try (TracedConnection connection = tyrus("/speech", wirespan)) {
            connection.transfer("audio", transfer -> {
                for (int chunk = 0; chunk < 5; chunk++) {
                    transfer.send(new byte[320]);
                }
                return null;
            });
            String text = connection.call("transcribe", call -> {
                call.send("now", true);
                List<String> words = new ArrayList<>();
                for (Message word : call) {
                    words.add(word.getText());
                }
                return String.join(" ", words);
            });
            say("speech", connection, text);
        }
    }

    /** The server hands what it receives to an executor and to queues, whose workers end the spans. */
    @SuppressWarnings("try")
    private void handOver() throws Exception {
        Wirespan wirespan = Wirespan.builder().options(NAMES).build();
        try (TracedConnection connection = WirespanOkHttp.connect(okHttp, request("/workers"), wirespan)) {
            String first = price(connection, "executor", "milk");
            String second = price(connection, "queue", "bread");
            // A plain message carries the context of the current span, which is the application's.
            Span span = GlobalOpenTelemetry.getTracer("example").spanBuilder("Client send message").startSpan();
            span.setAttribute("websocket.session.id", connection.getSessionId());
            try (Scope scope = span.makeCurrent()) {
                connection.send("butter");
            } finally {
                span.end();
            }
            say("workers", connection, first + ", " + second);
        }
    }

    private static String price(TracedConnection connection, String method, String item) throws Exception {
        try (Call call = connection.call(method)) {
            call.send(item, true);
            return ExampleServer.only(call).getText();
        }
    }
}
