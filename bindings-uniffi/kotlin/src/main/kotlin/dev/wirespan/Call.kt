package dev.wirespan

import dev.wirespan.core.Body
import dev.wirespan.core.Header
import dev.wirespan.core.Summary
import io.opentelemetry.api.trace.Span
import io.opentelemetry.context.Context
import io.opentelemetry.context.Scope
import java.util.concurrent.CancellationException
import java.util.concurrent.locks.Condition
import dev.wirespan.core.SpanContext as CoreSpanContext

/** The stream metrics of both directions of a call: away from this side, and to this side. */
class CallMetrics internal constructor(val sent: Summary, val received: Summary)

/** What is done inside a call; it may throw. */
fun interface CallBlock<T> {
    @Throws(Exception::class)
    fun run(call: Call): T
}

/**
 * One invocation over a connection, from either side; or one-way data, a transfer.
 *
 * It is used from one thread at a time for sending and one for reading. Reading and sending throw [WirespanException] of the kinds
 * closed, cancelled, remote, timeout, overflow, role, superseded, invalid_state, invalid_argument and limit.
 */
class Call internal constructor(
    /** The connection of the call. */
    val connection: TracedConnection,
    /** The method, if one was named. */
    val method: String?,
    /** Whether it is one-way data. */
    val isTransfer: Boolean,
    internal val key: Long,
    /** The context that holds the call's span. */
    val context: Context,
    /** Whether the peer made the call. */
    val isIncoming: Boolean,
    internal val arrived: Condition,
) : AutoCloseable,
    Iterable<Message> {
    internal val span: CoreSpanContext? = context.coreSpan()
    internal val chunks = ArrayDeque<Message>()
    internal var readEnd: ReadEnd? = null
    internal var raised = false
    internal var measured: CallMetrics? = null

    internal class ReadEnd(val kind: ErrorKind?, val errorType: String?)

    /** The stream metrics so far; complete once the call has ended. */
    val metrics: CallMetrics
        get() = connection.metricsOf(this)

    /** Sends text: JSON travels as it is, any other text as a JSON string. [last] ends my direction with it. */
    @JvmOverloads
    fun send(text: String, last: Boolean = false, headers: List<Header> = emptyList()) =
        connection.sendOn(key, Body.Text(text), span, context, last, headers)

    /** Sends bytes as a binary message. */
    @JvmOverloads
    fun send(bytes: ByteArray, last: Boolean = false, headers: List<Header> = emptyList()) =
        connection.sendOn(key, Body.Binary(bytes), span, context, last, headers)

    /** Sends JSON in UTF-8 that a JSON library wrote, as text that is not looked at. */
    @JvmOverloads
    fun sendJson(json: ByteArray, last: Boolean = false, headers: List<Header> = emptyList()) =
        connection.sendOn(key, Body.Json(json), span, context, last, headers)

    /** Ends my direction: nothing more follows. */
    fun end() = connection.endOf(this)

    /** The next message of the other direction; none when it is complete. An error is thrown once. */
    fun recv(): Message? = connection.recvOn(this)

    override fun iterator(): Iterator<Message> =
        iterator {
            while (true) yield(recv() ?: break)
        }

    /** Makes the call's span current until the scope is closed. */
    fun makeCurrent(): Scope = context.makeCurrent()

    /** Ends the call normally: my direction ends, what is still to come of the reply is abandoned. */
    fun leave() = connection.finish(this) { quick, now -> quick.leave(key, now) }

    /** Cancels the call: both directions end, and it is no error. */
    fun cancel() = connection.finish(this) { quick, now -> quick.cancel(key, now) }

    /** Ends the call with an error type, 1 to 128 visible ASCII characters. */
    fun fail(errorType: String) = connection.finish(this) { quick, now -> quick.fail(key, errorType, now) }

    /** As [leave]; an exception is better said by [TracedConnection.call] with a block, or by [fail]. */
    override fun close() = leave()

    /** Runs a block inside the call's span, and ends the call as the block ends. */
    internal fun <T> inside(block: CallBlock<T>): T =
        try {
            val result = makeCurrent().use { block.run(this) }
            leave()
            result
        } catch (error: Throwable) {
            ended(error)
            throw error
        }

    /** Ends the call as its block or handler ended. */
    internal fun ended(error: Throwable) {
        if (error is InterruptedException || error is CancellationException) {
            cancel()
            return
        }
        // Where the connection was lost, the span has ended already.
        Span.fromContext(context).takeIf { it.isRecording }?.recordException(error)
        fail(error.javaClass.simpleName)
    }
}
