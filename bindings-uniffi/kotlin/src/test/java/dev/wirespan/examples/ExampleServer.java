package dev.wirespan.examples;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.wirespan.Call;
import dev.wirespan.Carried;
import dev.wirespan.CarryExecutorService;
import dev.wirespan.CarryQueue;
import dev.wirespan.Message;
import dev.wirespan.Options;
import dev.wirespan.TracedConnection;
import dev.wirespan.Wirespan;
import dev.wirespan.WirespanJakarta;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Scope;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Phaser;
import org.glassfish.tyrus.server.TyrusServerContainer;
import org.glassfish.tyrus.spi.ServerContainer;
import org.glassfish.tyrus.spi.ServerContainerFactory;

/**
 * The servers of the examples, on Jakarta WebSocket (Tyrus): {@code ExampleServer PRICES}, where PRICES is the URL of an HTTP service.
 *
 * It prints its port, and ends when its input does. Spans are made by whatever OpenTelemetry is in the process.
 */
public final class ExampleServer {
    /** The names of the LoongSuite agent. */
    static final Options NAMES = Options.DEFAULT.with("naming", "loongsuite");

    /** A silence of a stream that is longer counts as a stall. */
    static final Duration STALL = Duration.ofMillis(500);

    private static final ObjectMapper JSON = new ObjectMapper();

    private final Tracer tracer = GlobalOpenTelemetry.getTracer("example");
    private final HttpClient http = HttpClient.newHttpClient();
    private final String prices;
    private final List<TracedConnection> accepted = new CopyOnWriteArrayList<>();
    private final ExecutorService workers = new CarryExecutorService(Executors.newFixedThreadPool(2));
    private final CarryQueue<Call> calls = new CarryQueue<>(new ArrayBlockingQueue<>(100));
    private final CarryQueue<Message> messages = new CarryQueue<>(new ArrayBlockingQueue<>(100));
    /** The messages that were handed over and not worked on yet. */
    private final Phaser handed = new Phaser(1);

    private ExampleServer(String prices) {
        this.prices = prices;
    }

    public static void main(String[] arguments) throws Exception {
        new ExampleServer(arguments[0]).run();
    }

    private void run() throws Exception {
        ServerContainer container = ServerContainerFactory.createServerContainer(Map.of());
        container.addEndpoint(WirespanJakarta.endpoint("/connection", greeter("connection"), List.of(), accepted::add));
        container.addEndpoint(WirespanJakarta.endpoint("/sessions", greeter("call"), List.of(), accepted::add));
        container.addEndpoint(WirespanJakarta.endpoint("/orders", orders(), List.of(), accepted::add));
        container.addEndpoint(WirespanJakarta.endpoint("/speech", speech(), List.of(), accepted::add));
        container.addEndpoint(WirespanJakarta.endpoint("/workers", handedOver(), List.of(), this::receive));
        startWorkers();
        container.start("/", 0);
        System.out.println(((TyrusServerContainer) container).getPort());
        while (System.in.read() >= 0) {}
        accepted.forEach(TracedConnection::awaitClosed);
        handed.arriveAndAwaitAdvance();
        container.stop();
        System.exit(0);
    }

    private Wirespan greeter(String scope) {
        return Wirespan.builder()
                .options(NAMES.with("trace_scope", scope))
                .handler("greet", call -> call.send("hello " + call.recv().getText()))
                .build();
    }

    /** Callee of messages of the application's own schema, whose code does not know that they carry a context. */
    private Wirespan orders() {
        return Wirespan.builder()
                .options(NAMES.with("profile", "seed"))
                .handler("order", call -> {
                    MessageWithHeaders order = read(call.recv());
                    // The agent makes a span of this request, inside the span of this handler.
                    String price = get("/price?item=" + order.getBody());
                    // The server calls the client as well.
                    String answer = call.getConnection().call("confirm", confirm -> {
                        confirm.send(write(new MessageWithHeaders(null, order.getBody() + " for " + price)), true);
                        return read(only(confirm)).getBody();
                    });
                    String tenant = order.getHeaders().get("tenant");
                    call.send(write(new MessageWithHeaders(Map.of("tenant", tenant), answer)));
                })
                .build();
    }

    private Wirespan speech() {
        return Wirespan.builder()
                .options(NAMES.with("stall_threshold", STALL))
                // One-way data: the chunks are read until the sender has ended.
                .handler("audio", transfer -> {
                    for (Message chunk : transfer) {
                        chunk.getBytes();
                    }
                })
                .handler("transcribe", call -> {
                    call.recv();
                    for (String word : List.of("turn", "the", "light", "on")) {
                        // Before the last word the stream stalls.
                        Thread.sleep(word.equals("on") ? 1000 : 10);
                        call.send(word);
                    }
                })
                .build();
    }

    /** Nothing is handled here: calls and messages are handed to workers. */
    private Wirespan handedOver() {
        return Wirespan.builder()
                .options(NAMES)
                .onMessage((connection, message) -> {
                    Span span = tracer.spanBuilder("Server handle message").startSpan();
                    span.setAttribute("websocket.session.id", connection.getSessionId());
                    // The worker ends the span that is started here.
                    handed.register();
                    messages.put(message, span);
                })
                .build();
    }

    @SuppressWarnings("try")
    private void receive(TracedConnection connection) {
        accepted.add(connection);
        for (Call call : connection.calls()) {
            try (Scope scope = call.makeCurrent()) {
                if ("executor".equals(call.getMethod())) {
                    workers.execute(() -> answer(call));
                } else {
                    calls.put(call, Span.current());
                }
            }
        }
    }

    private void startWorkers() {
        daemon(() -> {
            while (true) {
                Carried<Call> carried = calls.take();
                carried.run(() -> {
                    answer(carried.getItem());
                    return null;
                });
            }
        });
        daemon(() -> {
            while (true) {
                Carried<Message> carried = messages.take();
                carried.run(() -> {
                    tracer.spanBuilder("work on " + carried.getItem().getText()).startSpan().end();
                    return null;
                });
                carried.getCarry().endSpan();
                handed.arriveAndDeregister();
            }
        });
    }

    /** Runs in a worker, in the context of the call; leaving the call ends the span that the receiver started. */
    @SuppressWarnings("try")
    private void answer(Call call) {
        String item = call.recv().getText();
        Span work = tracer.spanBuilder("work on " + item).startSpan();
        try (Scope scope = work.makeCurrent()) {
            call.send(get("/price?item=" + item));
        } finally {
            work.end();
        }
        call.leave();
    }

    private String get(String path) {
        try {
            HttpRequest request = HttpRequest.newBuilder(URI.create(prices + path)).build();
            return http.send(request, HttpResponse.BodyHandlers.ofString()).body();
        } catch (IOException error) {
            throw new IllegalStateException(error);
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException(error);
        }
    }

    /** The one message of an answer, once its sender has left the call as well. */
    static Message only(Call call) {
        Message message = call.recv();
        while (call.recv() != null) {}
        return message;
    }

    static MessageWithHeaders read(Message message) {
        try {
            return JSON.readValue(message.getText(), MessageWithHeaders.class);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException(error);
        }
    }

    static String write(MessageWithHeaders message) {
        try {
            return JSON.writeValueAsString(message);
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException(error);
        }
    }

    /** What a worker does until its thread is interrupted. */
    private interface Work {
        void run() throws Exception;
    }

    private static void daemon(Work work) {
        Thread thread = new Thread(() -> {
            try {
                work.run();
            } catch (Exception error) {
                throw new IllegalStateException(error);
            }
        });
        thread.setDaemon(true);
        thread.start();
    }
}
