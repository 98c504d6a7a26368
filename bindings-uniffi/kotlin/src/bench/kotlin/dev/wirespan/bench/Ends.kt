package dev.wirespan.bench

import dev.wirespan.Clock
import dev.wirespan.Entropy
import dev.wirespan.Options
import dev.wirespan.TracedConnection
import dev.wirespan.Transport
import dev.wirespan.Wirespan
import dev.wirespan.core.Connection
import dev.wirespan.core.HandshakeRequest
import dev.wirespan.core.Header
import dev.wirespan.core.HeaderBytes
import io.opentelemetry.context.Context
import io.opentelemetry.sdk.OpenTelemetrySdk
import io.opentelemetry.sdk.trace.SdkTracerProvider

/** The real SDK; spans are recorded, and go nowhere. */
internal val sdk: OpenTelemetrySdk = OpenTelemetrySdk.builder().setTracerProvider(SdkTracerProvider.builder().build()).build()

/** A context that holds a span that records. */
internal fun newSpan(): Context = Context.root().with(sdk.getTracer("bench").spanBuilder("order").startSpan())

/** Where the frames of a connection go: the last one is kept. */
internal class Wire : Transport {
    var last = ByteArray(0)

    override fun send(bytes: ByteArray, text: Boolean, done: Runnable) {
        last = bytes
        done.run()
    }

    override fun close(code: Int, reason: String) = Unit
}

/** Both ends of a connection whose handshake was done in memory; each knows the other, or takes it to speak version 1 by the mode `always`. */
internal class Ends(always: Boolean = false, server: Wirespan.Builder.() -> Unit = {}) {
    val wire = Wire()
    val client: TracedConnection
    val server: TracedConnection

    init {
        val options = if (always) Options.DEFAULT.with("mode", "always") else Options.DEFAULT
        val clients = Wirespan.builder().openTelemetry(sdk).options(options).build()
        val servers = Wirespan.builder().openTelemetry(sdk).options(options).apply(server).build()
        val clientCore = Connection.client(Entropy.next(), options.core)
        client = TracedConnection(clientCore, clients)
        val asked = clientCore.request("localhost", false, false).headers
        val request = HandshakeRequest(if (always) emptyList() else bytesOf(asked), "")
        val serverCore = Connection.server(Entropy.next(), options.core, request)
        this.server = TracedConnection(serverCore, servers)
        val answered = serverCore.response(request).headers
        clientCore.openClient(if (always) emptyList() else bytesOf(answered), Clock.now())
        serverCore.openServer(Clock.now())
        client.opened(wire)
        this.server.opened(Wire())
    }

    private fun bytesOf(headers: List<Header>) = headers.map { HeaderBytes(it.name, it.value.toByteArray()) }
}
