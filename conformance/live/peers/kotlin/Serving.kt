package dev.wirespan.live

import com.fasterxml.jackson.databind.node.ObjectNode
import dev.wirespan.Call
import dev.wirespan.CarryQueue
import dev.wirespan.Options
import dev.wirespan.Wirespan
import dev.wirespan.WirespanException
import dev.wirespan.WirespanJakarta
import io.opentelemetry.api.trace.Tracer
import jakarta.websocket.ContainerProvider
import jakarta.websocket.Endpoint
import jakarta.websocket.EndpointConfig
import jakarta.websocket.MessageHandler
import jakarta.websocket.Session
import jakarta.websocket.server.ServerEndpointConfig
import org.glassfish.tyrus.ext.extension.deflate.PerMessageDeflateExtension
import org.glassfish.tyrus.server.TyrusServerContainer
import org.glassfish.tyrus.spi.ServerContainerFactory
import java.net.URI
import java.nio.ByteBuffer
import java.util.concurrent.CompletableFuture
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit
import java.util.concurrent.TimeoutException
import kotlin.concurrent.thread

private const val SLOW_SECONDS = 10L

/** Tyrus on a free port of the loopback interface, with one endpoint. */
internal class Server(endpoint: ServerEndpointConfig, val log: List<ObjectNode>) : AutoCloseable {
    private val container = ServerContainerFactory.createServerContainer(emptyMap())
    val port: Int

    init {
        container.addEndpoint(endpoint)
        container.start("/", 0)
        port = (container as TyrusServerContainer).port
    }

    override fun close() = container.stop()
}

private fun compressing(endpoint: ServerEndpointConfig): ServerEndpointConfig =
    ServerEndpointConfig.Builder.create(endpoint.endpointClass, endpoint.path)
        .configurator(endpoint.configurator)
        .extensions(listOf(PerMessageDeflateExtension()))
        .build()

/** A server of the WebSocket library alone, which sends every message back. */
class Echoing : Endpoint() {
    override fun onOpen(session: Session, config: EndpointConfig) {
        session.addMessageHandler(String::class.java, MessageHandler.Whole { session.basicRemote.sendText(it) })
        session.addMessageHandler(ByteBuffer::class.java, MessageHandler.Whole { session.basicRemote.sendBinary(it) })
    }
}

internal fun serveRaw(): Server = Server(ServerEndpointConfig.Builder.create(Echoing::class.java, "/").build(), emptyList())

/** What a server serves; PEERS.md says what each method does. */
internal class Serving(private val tracer: Tracer) {
    private class Job(val call: Call, val body: Body, val done: CompletableFuture<Unit>)

    private val jobs = CarryQueue<Job>(LinkedBlockingQueue())

    init {
        thread(isDaemon = true, name = "worker") { while (true) work() }
    }

    fun serve(options: Options, deflate: Boolean): Server {
        val log = CopyOnWriteArrayList<ObjectNode>()
        val wirespan =
            Wirespan.builder()
                .options(options)
                .handler("echo") { call -> call.forEach { call.send(it.toBody()) } }
                .handler("count") { call -> call.send(call.count().toString()) }
                .handler("burst") { call -> repeat(first(call).text.toInt()) { call.send(it.toString()) } }
                .handler("ask", ::ask)
                .handler("relay", ::relay)
                .handler("queue", ::queue)
                .handler("fail") { call -> first(call); throw Boom() }
                .handler("slow", ::slow)
                .handler("log") { transfer -> transfer.forEach { log.add(toMessage(it.toBody())) } }
                .onMessage { connection, message -> connection.send(message.toBody()) }
                .build()
        val endpoint = WirespanJakarta.endpoint("/", wirespan)
        return Server(if (deflate) compressing(endpoint) else endpoint, log)
    }

    private fun ask(call: Call) {
        val first = first(call)
        call.connection.call("confirm") { confirm ->
            confirm.send(first.toBody(), last = true)
            confirm.forEach { call.send(it.toBody()) }
        }
    }

    private fun relay(call: Call) {
        val order = first(call).json(JSON::readTree)
        val container = ContainerProvider.getWebSocketContainer()
        WirespanJakarta.connect(container, URI(order["url"].textValue()), Wirespan.builder().build()).use { onward ->
            onward.call("echo") { echo ->
                echo.send(order["text"].textValue(), last = true)
                echo.forEach { call.send(it.toBody()) }
            }
        }
    }

    private fun queue(call: Call) {
        val done = CompletableFuture<Unit>()
        jobs.put(Job(call, first(call).toBody(), done))
        done.get()
    }

    private fun work() {
        val carried = jobs.take()
        val job = carried.item
        carried.run {
            val span = tracer.spanBuilder("work").startSpan()
            try {
                span.makeCurrent().use { job.call.send(job.body) }
                job.done.complete(Unit)
            } catch (error: WirespanException) {
                job.done.completeExceptionally(error)
            } finally {
                span.end()
            }
        }
    }

    private fun slow(call: Call) {
        call.send(first(call).toBody())
        val ended =
            CompletableFuture.runAsync({
                try {
                    while (call.recv() != null) Unit
                    call.connection.awaitClosed()
                } catch (_: WirespanException) {
                    // The call has ended otherwise.
                }
            }, { thread(isDaemon = true, block = it::run) })
        try {
            ended.get(SLOW_SECONDS, TimeUnit.SECONDS)
        } catch (_: TimeoutException) {
            // Long enough.
        }
    }
}

internal fun first(call: Call) = checkNotNull(call.recv()) { "the call has no message" }
