package dev.wirespan

import dev.wirespan.core.Connection
import dev.wirespan.core.HeaderBytes
import okhttp3.Request
import okhttp3.Response
import okhttp3.WebSocket
import okhttp3.WebSocketListener
import okio.ByteString
import okio.ByteString.Companion.toByteString
import java.io.IOException
import java.util.concurrent.CompletableFuture
import java.util.concurrent.ExecutionException
import java.util.concurrent.TimeUnit

/** Traced connections over the WebSocket of OkHttp, on servers and on Android. */
object WirespanOkHttp {
    /**
     * Connects, and waits until the peer is known. The request is the application's own: its URL, its headers, its subprotocols.
     *
     * Throws IOException where the server cannot be reached or refuses.
     */
    @JvmStatic
    @Throws(IOException::class)
    fun connect(client: WebSocket.Factory, request: Request, wirespan: Wirespan): TracedConnection {
        val url = request.url
        val core = core { Connection.client(Entropy.next(), wirespan.options.core, url.host, url.port) }
        // OkHttp writes the scheme of a WebSocket as that of HTTP.
        core { core.setUrl(url.isHttps, url.encodedPath) }
        val connection = TracedConnection(core, wirespan)
        connection.startHandshake(httpSpan = false)
        val current = io.opentelemetry.context.Context.current().coreSpan()
        val offered = request.header(SUBPROTOCOL)
        val added = core { core.request(url.host, offered != null, request.header("traceparent") != null, current) }
        val builder = request.newBuilder()
        for (header in added.headers) builder.header(header.name, header.value)
        added.subprotocol?.let { builder.header(SUBPROTOCOL, if (offered == null) it else "$offered, $it") }
        added.query?.let { query -> builder.url(url.newBuilder().addQueryParameter(query.substringBefore('='), query.substringAfter('=')).build()) }
        val listener = Listener(connection)
        // What an instrumentation makes of the request is part of the handshake.
        connection.inHandshake { client.newWebSocket(builder.build(), listener) }
        try {
            listener.opened.get()
        } catch (error: ExecutionException) {
            throw error.cause ?: error
        }
        connection.awaitReady()
        return connection
    }

    private const val SUBPROTOCOL = "Sec-WebSocket-Protocol"

    private class Listener(private val connection: TracedConnection) : WebSocketListener() {
        val opened = CompletableFuture<Unit>()

        override fun onOpen(webSocket: WebSocket, response: Response) {
            val headers = response.headers.map { (name, value) -> HeaderBytes(name, value.toByteArray()) }
            core { connection.core.openClient(headers, Clock.now()) }
            connection.opened(OkHttpTransport(webSocket))
            opened.complete(Unit)
        }

        override fun onMessage(webSocket: WebSocket, text: String) = connection.received(text.toByteArray(), true)

        override fun onMessage(webSocket: WebSocket, bytes: ByteString) = connection.received(bytes.toByteArray(), false)

        override fun onClosing(webSocket: WebSocket, code: Int, reason: String) {
            webSocket.close(if (code == NO_STATUS) NORMAL else code, null)
            connection.transportClosed(code.takeIf { it != NO_STATUS }, reason)
        }

        override fun onClosed(webSocket: WebSocket, code: Int, reason: String) =
            connection.transportClosed(code.takeIf { it != NO_STATUS }, reason)

        override fun onFailure(webSocket: WebSocket, t: Throwable, response: Response?) {
            if (opened.isDone) {
                connection.transportClosed(null, "")
            } else {
                connection.failHandshake(t)
                opened.completeExceptionally(t as? IOException ?: IOException(t))
            }
        }
    }

    private const val NORMAL = 1000

    /** Stands for a close frame without a code (RFC 6455, section 7.1.5). */
    private const val NO_STATUS = 1005
}

private class OkHttpTransport(private val webSocket: WebSocket) : Transport {
    override fun send(bytes: ByteArray, text: Boolean, done: Runnable) {
        if (text) webSocket.send(String(bytes)) else webSocket.send(bytes.toByteString())
        drained(done)
    }

    // OkHttp queues up to 16 MiB and then closes; it does not say when its queue has become shorter.
    private fun drained(done: Runnable) {
        if (webSocket.queueSize() < QUEUED_BYTES) {
            done.run()
        } else {
            Threads.timer.schedule({ drained(done) }, 1, TimeUnit.MILLISECONDS)
        }
    }

    override fun close(code: Int, reason: String) {
        webSocket.close(code, reason.ifEmpty { null })
    }

    private companion object {
        const val QUEUED_BYTES = 1024 * 1024L
    }
}

/** Random bits for session ids. */
internal object Entropy {
    private val random = java.security.SecureRandom()

    fun next(): ByteArray = ByteArray(16).also(random::nextBytes)
}
