/** The JVM's peer of the live matrix: servers are Tyrus, clients OkHttp, and relays Tyrus; conformance/live/PEERS.md says what it is asked. */
package dev.wirespan.live

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.node.ArrayNode
import com.fasterxml.jackson.databind.node.ObjectNode
import com.fasterxml.jackson.databind.node.TextNode
import dev.wirespan.Call
import dev.wirespan.Message
import dev.wirespan.TracedConnection
import dev.wirespan.Wirespan
import dev.wirespan.WirespanException
import dev.wirespan.WirespanOkHttp
import dev.wirespan.core.Resumption
import io.opentelemetry.api.trace.Span
import io.opentelemetry.sdk.OpenTelemetrySdk
import io.opentelemetry.sdk.autoconfigure.AutoConfiguredOpenTelemetrySdk
import okhttp3.OkHttp
import okhttp3.OkHttpClient
import okhttp3.Request
import okhttp3.Response
import okhttp3.WebSocket
import okhttp3.WebSocketListener
import okio.ByteString
import okio.ByteString.Companion.toByteString
import java.util.Properties
import java.util.concurrent.BlockingQueue
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.Executors
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import java.util.logging.Level
import java.util.logging.Logger
import kotlin.system.exitProcess

private const val FLUSH_SECONDS = 10L
private const val CLOSE_SECONDS = 5L
private const val NORMAL = 1000

/** A message with the context that came with it, as a `traceparent`. */
private class Arrived(val body: Body, val context: String?)

private fun Message.arrived(): Arrived {
    val span = Span.fromContext(context).spanContext
    return Arrived(toBody(), if (span.isValid) "00-${span.traceId}-${span.spanId}-${span.traceFlags.asHex()}" else null)
}

/** The version that Tyrus was built as; it has no constant for it. */
private fun tyrusVersion(): String {
    val built = Properties()
    Peer::class.java.getResourceAsStream("/META-INF/maven/org.glassfish.tyrus/tyrus-core/pom.properties")?.use(built::load)
    return built.getProperty("version") ?: "of unknown version"
}

/** A connection of the WebSocket library alone. */
private class RawConnection(client: OkHttpClient, request: Request, private val inbox: BlockingQueue<Arrived>) : WebSocketListener() {
    private val opened = CompletableFuture<Unit>()
    private val ended = CompletableFuture<Unit>()
    private val socket = client.newWebSocket(request, this)

    init {
        opened.get()
    }

    fun send(body: Body) {
        when (body) {
            is Body.Text -> socket.send(body.value)
            is Body.Binary -> socket.send(body.value.toByteString())
        }
    }

    fun close(code: Int) {
        socket.close(code, null)
        try {
            ended.get(CLOSE_SECONDS, TimeUnit.SECONDS)
        } catch (_: TimeoutException) {
            socket.cancel()
        }
    }

    override fun onOpen(webSocket: WebSocket, response: Response) {
        opened.complete(Unit)
    }

    override fun onMessage(webSocket: WebSocket, text: String) {
        inbox.add(Arrived(Body.Text(text), null))
    }

    override fun onMessage(webSocket: WebSocket, bytes: ByteString) {
        inbox.add(Arrived(Body.Binary(bytes.toByteArray()), null))
    }

    override fun onClosed(webSocket: WebSocket, code: Int, reason: String) {
        ended.complete(Unit)
    }

    override fun onFailure(webSocket: WebSocket, t: Throwable, response: Response?) {
        opened.completeExceptionally(t)
        ended.complete(Unit)
    }
}

private class Peer(private val telemetry: OpenTelemetrySdk) {
    // OkHttp always offers to compress, and the server says whether it is done; small messages are compressed as well.
    private val client = OkHttpClient.Builder().minWebSocketMessageToCompress(0).build()
    private val serving = Serving(telemetry.getTracer("peer"))
    private val connections = ConcurrentHashMap<String, TracedConnection>()
    private val raw = ConcurrentHashMap<String, RawConnection>()
    private val resumptions = ConcurrentHashMap<String, Resumption>()
    private val inboxes = ConcurrentHashMap<String, BlockingQueue<Arrived>>()
    private val servers = ConcurrentHashMap<String, Server>()
    private val executor = Executors.newCachedThreadPool()

    private val JsonNode.traced: TracedConnection
        get() = connections.getValue(this["on"].textValue())

    fun answer(command: JsonNode): ObjectNode =
        when (val what = command["do"].textValue()) {
            "hello" -> hello()
            "serve" -> serve(command)
            "connect" -> connect(command)
            "call" -> call(command)
            "calls" -> calls(command)
            "transfer" -> transfer(command)
            "send" -> send(command)
            "recv" -> recv(command)
            "logged" -> logged(command)
            "state" -> state(command.traced).set("counters", JSON.valueToTree(command.traced.counters))
            "close" -> close(command)
            "stop_serving" -> done { servers.remove(command["on"].textValue())?.close() }
            "flush" -> done { telemetry.sdkTracerProvider.forceFlush().join(FLUSH_SECONDS, TimeUnit.SECONDS) }
            else -> throw IllegalArgumentException("no such command: $what")
        }

    private fun done(act: () -> Unit): ObjectNode {
        act()
        return JSON.createObjectNode()
    }

    private fun hello(): ObjectNode {
        val answer = JSON.createObjectNode().put("language", "kotlin").put("library", "OkHttp ${OkHttp.VERSION}, Tyrus ${tyrusVersion()}")
        answer.put("deflate", true).putArray("roles").add("client").add("server")
        return answer
    }

    private fun serve(command: JsonNode): ObjectNode {
        val raw = command["raw"]?.booleanValue() ?: false
        val server = if (raw) serveRaw() else serving.serve(optionsOf(command), command["deflate"]?.booleanValue() ?: false)
        servers[command["as"].textValue()] = server
        return JSON.createObjectNode().put("port", server.port)
    }

    private fun connect(command: JsonNode): ObjectNode {
        val name = command["as"].textValue()
        val inbox = LinkedBlockingQueue<Arrived>()
        inboxes[name] = inbox
        val request = Request.Builder().url(command["url"].textValue())
        if (command["raw"]?.booleanValue() == true) {
            command["headers"]?.forEach { request.addHeader(it[0].textValue(), it[1].textValue()) }
            raw[name] = RawConnection(client, request.build(), inbox)
            return JSON.createObjectNode().put("session", "").put("peer", "unknown")
        }
        val resumed = command["resume"]?.let { resumptions.getValue(it.textValue()) }
        val wirespan =
            Wirespan.builder()
                .options(optionsOf(command).let { if (resumed == null) it else it.resuming(resumed) })
                .handler("confirm") { call -> call.send(first(call).toBody()) }
                .onMessage { _, message -> inbox.add(message.arrived()) }
                .build()
        val connection = under(command) { WirespanOkHttp.connect(client, request.build(), wirespan) }
        connections[name] = connection
        resumptions[name] = connection.resumption
        return state(connection)
    }

    private fun state(connection: TracedConnection): ObjectNode =
        JSON.createObjectNode().put("session", connection.sessionId).put("peer", connection.peer)

    private fun call(command: JsonNode): ObjectNode {
        val answer = JSON.createObjectNode()
        val replies = answer.putArray("replies")
        try {
            under(command) { command.traced.call(command["method"].textValue()) { exchange(it, command, replies) } }
        } catch (_: Boom) {
            // As it was told to.
        } catch (error: WirespanException) {
            answer.put("error", error.kind.label)
        }
        return answer
    }

    private fun exchange(call: Call, command: JsonNode, replies: ArrayNode) {
        val end = command["end"]?.textValue() ?: "normal"
        val interleave = command["interleave"]?.booleanValue() ?: false
        for (message in command["messages"]) {
            call.send(toBody(message))
            if (interleave) replies.add(toMessage(checkNotNull(call.recv()) { "there is no reply" }.toBody()))
        }
        if (end == "normal") call.end()
        for (reply in call) {
            replies.add(toMessage(reply.toBody()))
            if (end != "normal") break
        }
        if (end == "cancel") call.cancel()
        if (end == "raise") throw Boom()
    }

    private fun calls(command: JsonNode): ObjectNode {
        val running =
            (0 until command["count"].intValue()).map { number ->
                val one = command.deepCopy<ObjectNode>().put("interleave", true)
                val messages = one.putArray("messages")
                for (message in command["messages"]) {
                    val text = JSON.readTree(message["text"].textValue()).textValue()
                    messages.addObject().put("text", TextNode("$number:$text").toString())
                }
                CompletableFuture.supplyAsync({ call(one)["replies"] }, executor)
            }
        val answer = JSON.createObjectNode()
        answer.putArray("replies").addAll(running.map { it.get() })
        return answer
    }

    private fun transfer(command: JsonNode): ObjectNode =
        done {
            under(command) {
                command.traced.transfer(command["method"].textValue()) { transfer ->
                    command["messages"].forEach { transfer.send(toBody(it)) }
                }
            }
        }

    private fun send(command: JsonNode): ObjectNode =
        done {
            val body = toBody(command["message"])
            val alone = raw[command["on"].textValue()]
            if (alone != null) alone.send(body) else under(command) { command.traced.send(body) }
        }

    private fun recv(command: JsonNode): ObjectNode {
        val arrived = inboxes.getValue(command["on"].textValue()).take()
        val answer = JSON.createObjectNode()
        answer.set<ObjectNode>("message", toMessage(arrived.body))
        arrived.context?.let { answer.put("context", it) }
        return answer
    }

    private fun logged(command: JsonNode): ObjectNode {
        val log = servers.getValue(command["on"].textValue()).log
        while (log.size < command["count"].intValue()) Thread.sleep(10)
        val answer = JSON.createObjectNode()
        answer.putArray("messages").addAll(log)
        return answer
    }

    private fun close(command: JsonNode): ObjectNode =
        done {
            val code = command["code"]?.intValue() ?: NORMAL
            val alone = raw[command["on"].textValue()]
            if (alone != null) alone.close(code) else command.traced.close(code)
        }

    /** Serves commands concurrently until there are no more. */
    fun run() {
        for (line in generateSequence(::readLine)) {
            val command = JSON.readTree(line)
            if (command["do"].textValue() == "stop") break
            executor.execute {
                val answer = JSON.createObjectNode().set<ObjectNode>("seq", command["seq"])
                try {
                    answer.set<ObjectNode>("ok", answer(command))
                } catch (error: Exception) {
                    answer.put("error", error.stackTraceToString())
                }
                val written = "$answer\n".toByteArray()
                synchronized(System.out) { System.out.write(written); System.out.flush() }
            }
        }
        telemetry.close()
    }
}

// Kept here: a logger that nobody holds forgets its level.
private val grizzly = Logger.getLogger("org.glassfish.grizzly")

fun main(arguments: Array<String>) {
    // It says of every server that it has started.
    grizzly.level = Level.WARNING
    // The endpoint is in the environment; spans alone are exported.
    val settings =
        mapOf(
            "otel.service.name" to arguments[0],
            "otel.exporter.otlp.protocol" to "http/protobuf",
            "otel.metrics.exporter" to "none",
            "otel.logs.exporter" to "none",
        )
    val configured = AutoConfiguredOpenTelemetrySdk.builder().addPropertiesSupplier { settings }.setResultAsGlobal().build()
    Peer(configured.openTelemetrySdk).run()
    exitProcess(0)
}
