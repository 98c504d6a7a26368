/** Two ways to the same native connection. */
package dev.wirespan.conformance

import dev.wirespan.Quick
import dev.wirespan.core.BaggageMember
import dev.wirespan.core.Connection
import dev.wirespan.core.Event
import dev.wirespan.core.Frame
import dev.wirespan.core.Outgoing
import dev.wirespan.core.PlannedStream
import dev.wirespan.core.Received
import dev.wirespan.core.SpanContext

/** What a script asks for each message and each call. */
internal interface Way : AutoCloseable {
    fun plan(transfer: Boolean, method: String?, current: SpanContext?, now: Long): PlannedStream

    fun send(message: Outgoing): Frame

    fun receive(message: ByteArray, text: Boolean, now: Long): Received

    fun end(stream: Long, context: SpanContext?, now: Long, baggage: List<BaggageMember>)

    fun leave(stream: Long, now: Long)

    fun cancel(stream: Long, now: Long)

    fun fail(stream: Long, errorType: String, now: Long)

    fun take(stream: Long, size: Int, now: Long)

    fun events(): List<Event>

    fun deadline(): Long?
}

/** The public `Connection` of the package. */
internal class PublicWay(private val at: Connection) : Way {
    override fun plan(transfer: Boolean, method: String?, current: SpanContext?, now: Long) =
        if (transfer) at.planTransfer(method, current, now) else at.planCall(method, current, now)

    override fun send(message: Outgoing) = at.send(message)

    override fun receive(message: ByteArray, text: Boolean, now: Long) = at.receive(message, text, now)

    override fun end(stream: Long, context: SpanContext?, now: Long, baggage: List<BaggageMember>) = at.end(stream, context, now, baggage)

    override fun leave(stream: Long, now: Long) = at.leave(stream, now)

    override fun cancel(stream: Long, now: Long) = at.cancel(stream, now)

    override fun fail(stream: Long, errorType: String, now: Long) = at.fail(stream, errorType, now)

    override fun take(stream: Long, size: Int, now: Long) {
        at.take(stream, size.toLong(), now)
    }

    override fun events() = generateSequence { at.pollEvent() }.toList()

    override fun deadline() = at.nextDeadline()

    override fun close() = Unit
}

/** What `TracedConnection` takes inside the package: it has to answer as the public way does. */
internal class HostWay(at: Connection) : Way {
    private val quick = Quick(at)

    override fun plan(transfer: Boolean, method: String?, current: SpanContext?, now: Long) = quick.plan(transfer, method, current, now)

    override fun send(message: Outgoing) = quick.send(message)

    override fun receive(message: ByteArray, text: Boolean, now: Long) = quick.receive(message, text, now)

    override fun end(stream: Long, context: SpanContext?, now: Long, baggage: List<BaggageMember>) = quick.end(stream, context, now, baggage)

    override fun leave(stream: Long, now: Long) = quick.leave(stream, now)

    override fun cancel(stream: Long, now: Long) = quick.cancel(stream, now)

    override fun fail(stream: Long, errorType: String, now: Long) = quick.fail(stream, errorType, now)

    override fun take(stream: Long, size: Int, now: Long) {
        quick.take(stream, size, now)
    }

    override fun events() = quick.events().first

    override fun deadline() = quick.events().second

    override fun close() = quick.close()
}
