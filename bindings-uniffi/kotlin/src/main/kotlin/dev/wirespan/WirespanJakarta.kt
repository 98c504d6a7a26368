package dev.wirespan

import dev.wirespan.core.Connection
import dev.wirespan.core.HandshakeRequest
import dev.wirespan.core.HeaderBytes
import io.opentelemetry.api.trace.Span
import io.opentelemetry.context.Context
import jakarta.websocket.ClientEndpointConfig
import jakarta.websocket.CloseReason
import jakarta.websocket.DeploymentException
import jakarta.websocket.Endpoint
import jakarta.websocket.EndpointConfig
import jakarta.websocket.HandshakeResponse
import jakarta.websocket.MessageHandler
import jakarta.websocket.Session
import jakarta.websocket.WebSocketContainer
import jakarta.websocket.server.ServerEndpointConfig
import java.io.IOException
import java.net.URI
import java.net.URISyntaxException
import java.nio.ByteBuffer
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.Executor
import java.util.function.Consumer
import jakarta.websocket.server.HandshakeRequest as JakartaRequest

private const val SUBPROTOCOL = "Sec-WebSocket-Protocol"
/** A name of the DNS (RFC 1035, section 2.3.4), a colon and a port. */
private const val MAX_AUTHORITY = 255 + 6
private const val PROPERTY = "dev.wirespan.connection"

/** Traced connections over Jakarta WebSocket (Tyrus, Jetty, Tomcat, …), both sides. */
object WirespanJakarta {
    /** Connects, and waits until the peer is known. Throws what `connectToServer` throws. */
    @JvmStatic
    @JvmOverloads
    @Throws(IOException::class, DeploymentException::class)
    fun connect(
        container: WebSocketContainer,
        uri: URI,
        wirespan: Wirespan,
        subprotocols: List<String> = emptyList(),
    ): TracedConnection {
        val port = if (uri.port >= 0) uri.port else if (uri.scheme == "wss") 443 else 80
        val core = core { Connection.client(Entropy.next(), wirespan.options.core, uri.host, port) }
        core { core.setUrl(uri.scheme == "wss", uri.path.ifEmpty { "/" }) }
        val connection = TracedConnection(core, wirespan)
        connection.startHandshake(httpSpan = false)
        val current = Context.current().coreSpan()
        val added = core { core.request(uri.host, subprotocols.isNotEmpty(), false, current) }
        val configurator =
            object : ClientEndpointConfig.Configurator() {
                override fun beforeRequest(headers: MutableMap<String, MutableList<String>>) {
                    for (header in added.headers) headers[header.name] = mutableListOf(header.value)
                }

                override fun afterResponse(response: HandshakeResponse) {
                    val headers = response.headers.flatMap { (name, values) -> values.map { HeaderBytes(name, headerBytes(it)) } }
                    core { core.openClient(headers, Clock.now()) }
                }
            }
        val config =
            ClientEndpointConfig.Builder.create()
                .configurator(configurator)
                .preferredSubprotocols(subprotocols + listOfNotNull(added.subprotocol))
                .build()
        val target = added.query?.let { query -> URI("$uri${if (uri.rawQuery == null) "?" else "&"}$query") } ?: uri
        try {
            // What an instrumentation makes of the request is part of the handshake.
            connection.inHandshake { container.connectToServer(TracedEndpoint(null) { connection }, config, target) }
        } catch (error: IOException) {
            connection.failHandshake(error)
            throw error
        } catch (error: DeploymentException) {
            connection.failHandshake(error)
            throw error
        }
        connection.awaitReady()
        return connection
    }

    /**
     * A server's endpoint at a path, to be given to `ServerContainer.addEndpoint`. Each connection is given to [onConnect], in a thread
     * of the executor.
     */
    @JvmStatic
    @JvmOverloads
    fun endpoint(
        path: String,
        wirespan: Wirespan,
        subprotocols: List<String> = emptyList(),
        onConnect: Consumer<TracedConnection>? = null,
    ): ServerEndpointConfig =
        ServerEndpointConfig.Builder.create(TracedEndpoint::class.java, path)
            .configurator(ServerSide(wirespan, onConnect))
            .subprotocols(subprotocols)
            .build()
}

/** The accepting side: makes the connection while its request is upgraded, and gives it to the session that comes of it. */
internal class ServerSide(
    private val wirespan: Wirespan,
    private val onConnect: Consumer<TracedConnection>?,
) : ServerEndpointConfig.Configurator() {
    /** Whether the application is given the connection, and may take its calls. */
    val asksWhoServes = onConnect != null && !wirespan.serves
    private val byId = ConcurrentHashMap<Long, TracedConnection>()
    private val executor: Executor = wirespan.executor

    // The properties of an endpoint are shared by all its connections in some containers. Between the upgrade and the opening of the
    // session containers stay in one thread.
    private val upgrading = ThreadLocal<TracedConnection>()

    override fun modifyHandshake(config: ServerEndpointConfig, request: JakartaRequest, response: HandshakeResponse) {
        val headers = request.headers.flatMap { (name, values) -> values.map { HeaderBytes(name, headerBytes(it)) } }
        val handshake = core { HandshakeRequest(headers, request.queryString ?: "") }
        val vouch = wirespan.vouch
        val vouched = vouch?.let { core { handshake.proposedSession() }?.let(it::test) ?: false }
        val uri = urlOf(request)
        val core =
            core {
                Connection.server(
                    Entropy.next(),
                    wirespan.options.core,
                    handshake,
                    uri?.host,
                    uri?.port?.takeIf { it >= 0 },
                    wirespan.registry,
                    null,
                    vouched,
                )
            }
        uri?.let { core { core.setUrl(it.scheme == "wss" || it.scheme == "https", it.path.orEmpty().ifEmpty { "/" }) } }
        val connection = TracedConnection(core, wirespan)
        connection.startHandshake(httpSpan = Span.current().spanContext.isValid)
        val selected = response.headers.entries.find { it.key.equals(SUBPROTOCOL, ignoreCase = true) }?.value?.firstOrNull()
        val added = core { core.response(handshake, selected?.ifEmpty { null }) }
        for (header in added.headers) response.headers[header.name] = listOf(header.value)
        added.subprotocol?.let { response.headers[SUBPROTOCOL] = listOf(it) }
        upgrading.set(connection)
        config.userProperties[PROPERTY] = connection
    }

    /** The URL of a request. Some containers leave out its authority, which is then what the client calls the server. */
    private fun urlOf(request: JakartaRequest): URI? {
        val uri = request.requestURI ?: return null
        if (uri.host != null) return uri
        val host = request.headers.entries.find { it.key.equals("Host", ignoreCase = true) }?.value?.firstOrNull() ?: return uri
        if (host.length > MAX_AUTHORITY) return uri
        return try {
            URI("${uri.scheme ?: "ws"}://$host").resolve(uri.rawPath)
        } catch (_: URISyntaxException) {
            uri
        }
    }

    @Suppress("UNCHECKED_CAST")
    override fun <T> getEndpointInstance(endpointClass: Class<T>): T = TracedEndpoint(this, ::take) as T

    private fun take(session: Session): TracedConnection {
        val connection = upgrading.get() ?: session.userProperties[PROPERTY] as TracedConnection
        upgrading.remove()
        session.userProperties.remove(PROPERTY)
        core { connection.core.openServer(Clock.now()) }
        core { connection.core.superseded() }?.let { byId[it]?.superseded() }
        core { connection.core.connectionId() }?.let { byId[it] = connection }
        return connection
    }

    fun opened(connection: TracedConnection) {
        val accept = onConnect ?: return
        executor.execute {
            try {
                accept.accept(connection)
            } finally {
                connection.decided()
            }
        }
    }

    fun closed(connection: TracedConnection) {
        core { connection.core.connectionId() }?.let { byId.remove(it, connection) }
    }
}

/** What a container calls; it has to be public, and is made by [WirespanJakarta] alone. */
class TracedEndpoint internal constructor(
    private val side: ServerSide?,
    private val take: (Session) -> TracedConnection,
) : Endpoint() {
    private var connection: TracedConnection? = null

    override fun onOpen(session: Session, config: EndpointConfig) {
        val connection = take(session)
        this.connection = connection
        if (side?.asksWhoServes == true) connection.undecided()
        // The core bounds what it takes apart; how large a message may be is the application's, set on its container.
        session.addMessageHandler(String::class.java, MessageHandler.Whole { connection.received(it.toByteArray(), true) })
        session.addMessageHandler(ByteBuffer::class.java, MessageHandler.Whole { connection.received(bytesOf(it), false) })
        connection.opened(JakartaTransport(session))
        side?.opened(connection)
    }

    override fun onClose(session: Session, reason: CloseReason) {
        // 1005 stands for a close frame without a code, 1006 for none (RFC 6455, section 7.1.5).
        val without = setOf(CloseReason.CloseCodes.NO_STATUS_CODE.code, CloseReason.CloseCodes.CLOSED_ABNORMALLY.code)
        val code = reason.closeCode.code.takeIf { it !in without }
        connection?.transportClosed(code, reason.reasonPhrase ?: "")
        connection?.let { side?.closed(it) }
    }

    override fun onError(session: Session, error: Throwable) = Unit

    private fun bytesOf(buffer: ByteBuffer): ByteArray = ByteArray(buffer.remaining()).also(buffer::get)
}

private class JakartaTransport(private val session: Session) : Transport {
    override fun send(bytes: ByteArray, text: Boolean, done: Runnable) {
        val remote = session.asyncRemote
        if (text) remote.sendText(String(bytes)) { done.run() } else remote.sendBinary(ByteBuffer.wrap(bytes)) { done.run() }
    }

    override fun close(code: Int, reason: String) {
        try {
            session.close(CloseReason(CloseReason.CloseCodes.getCloseCode(code), reason.ifEmpty { null }))
        } catch (_: IOException) {
            // The container says so to the endpoint as well.
        } catch (_: IllegalStateException) {
            // Closed already.
        }
    }
}
