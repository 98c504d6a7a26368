package dev.wirespan

import com.sun.jna.Native
import com.sun.jna.Pointer
import dev.wirespan.core.BaggageMember
import dev.wirespan.core.Body
import dev.wirespan.core.Connection
import dev.wirespan.core.Event
import dev.wirespan.core.FfiConverterOptionalString
import dev.wirespan.core.FfiConverterOptionalTypeSpanContext
import dev.wirespan.core.FfiConverterSequenceTypeBaggageMember
import dev.wirespan.core.FfiConverterSequenceTypeEvent
import dev.wirespan.core.FfiConverterString
import dev.wirespan.core.FfiConverterTypeCoreError
import dev.wirespan.core.FfiConverterTypePlannedStream
import dev.wirespan.core.FfiConverterTypeReceived
import dev.wirespan.core.Frame
import dev.wirespan.core.Outgoing
import dev.wirespan.core.Payload
import dev.wirespan.core.PlannedStream
import dev.wirespan.core.Received
import dev.wirespan.core.UniffiWithHandle
import java.nio.ByteBuffer
import java.util.concurrent.ArrayBlockingQueue
import dev.wirespan.core.SpanContext as CoreSpanContext

/** The functions of `bindings-uniffi/src/quick.rs`. */
internal object QuickLibrary {
    init {
        Native.register(QuickLibrary::class.java, NativeLibrary.name)
    }

    external fun wirespan_quick(
        connection: Long,
        operation: Int,
        stream: Long,
        now: Long,
        flags: Int,
        count: Int,
        buffer: Long,
        length: Int,
        capacity: Int,
    ): Long

    external fun wirespan_quick_record_chunk(metrics: Long, size: Int, now: Long): Long

    external fun wirespan_quick_rest(buffer: Long, capacity: Int): Long
}

/** What is asked for; the numbers are those of `quick.rs`. */
private object Operation {
    const val SEND = 0
    const val RECEIVE = 1
    const val TAKE = 2
    const val EVENTS = 3
    const val PLAN_CALL = 4
    const val PLAN_TRANSFER = 5
    const val END = 6
    const val LEAVE = 7
    const val CANCEL = 8
    const val FAIL = 9
}

/** Flags of what goes in and comes out; the same numbers in `quick.rs`. */
private object Flag {
    const val TEXT = 1
    const val JSON = 2
    const val LAST = 4
    const val EVENTS = 2
    const val CONTEXT = 4
    const val OWN_TEXT = 8
    const val RECORD = 16
}

/** Memory outside of the JVM's heap, for what goes over the boundary and comes back. */
private class Scratch {
    lateinit var buffer: ByteBuffer
        private set
    var address = 0L
        private set

    init {
        grow(SMALLEST)
    }

    /** Has at least so many bytes; what was in them is lost where there were fewer. */
    fun grow(size: Int) {
        if (this::buffer.isInitialized && buffer.capacity() >= size) return
        buffer = ByteBuffer.allocateDirect(size)
        address = Pointer.nativeValue(Native.getDirectBufferPointer(buffer))
    }

    companion object {
        private const val SMALLEST = 8192
        private const val LARGEST_KEPT = 4 * 1024 * 1024
        private const val MOST_KEPT = 8

        // Each thread has a small one; of the larger ones there are few.
        private val small = ThreadLocal.withInitial(::Scratch)
        private val large = ArrayBlockingQueue<Scratch>(MOST_KEPT)

        /** Uses an empty one with room for [size] bytes that go in, and for as much and a head to come back. */
        inline fun <T> use(size: Long = 0, act: (Scratch) -> T): T {
            if (size <= SMALLEST / 4) {
                val scratch = small.get()
                scratch.buffer.clear()
                try {
                    return act(scratch)
                } finally {
                    // A result may have been longer.
                    if (scratch.buffer.capacity() > SMALLEST) small.remove()
                }
            }
            val wanted = 2 * size + SMALLEST
            if (wanted > Int.MAX_VALUE) throw WirespanException(ErrorKind.LIMIT, "limit: message: must be shorter than 1 GiB")
            val scratch = large.poll() ?: Scratch()
            scratch.grow(wanted.toInt())
            scratch.buffer.clear()
            try {
                return act(scratch)
            } finally {
                if (scratch.buffer.capacity() <= LARGEST_KEPT) large.offer(scratch)
            }
        }
    }
}

/**
 * What a connection asks its core for each message and each call, in one native call each and through a buffer that is used again.
 *
 * A generated method makes four native calls with structures that JNA takes apart by reflection, and takes fifty times as long. What
 * is rare goes through those. Errors come out as [WirespanException].
 */
internal class Quick(connection: Connection) {
    private var handle = core { connection.uniffiCloneHandle() }

    // A reference of its own: who closes the public object does not take the native one away from under a call.
    private val kept = Connection(UniffiWithHandle, handle)

    /** Lets the connection go before the collector does; nothing can be asked afterwards. */
    @Synchronized
    fun close() {
        handle = 0
        kept.close()
    }

    /** As [Connection.send]; but a lone surrogate of a text is replaced by `?`, as WebSocket libraries do. */
    fun send(message: Outgoing): Frame {
        // What is rare goes the long way.
        val body = message.body
        if (message.headers.isNotEmpty() || message.baggage.isNotEmpty()) {
            // Generated methods refuse a lone surrogate.
            val sendable = if (body is Body.Text) message.copy(body = Body.Text(String(body.value.toByteArray()))) else message
            return core { kept.send(sendable) }
        }
        return when (body) {
            is Body.Text -> send(message, body.value.toByteArray(), Flag.TEXT)
            is Body.Json -> send(message, body.value, Flag.TEXT or Flag.JSON)
            is Body.Binary -> send(message, body.value, 0)
            is Body.Absent -> core { kept.send(message) }
        }
    }

    private fun send(message: Outgoing, body: ByteArray, form: Int): Frame {
        val span = message.context
        val context = if (span == null) 0 else span.traceparent.length + span.tracestate.length
        return Scratch.use(body.size.toLong() + context) { scratch ->
            val buffer = scratch.buffer
            if (span != null) {
                // Both are ASCII, or are refused.
                buffer.put(span.traceparent.toByteArray(Charsets.ISO_8859_1))
                if (span.tracestate.isNotEmpty()) buffer.put(span.tracestate.toByteArray(Charsets.ISO_8859_1))
            }
            val count = buffer.position()
            buffer.put(body)
            ask(scratch, Operation.SEND, message.stream, message.now, if (message.last) form or Flag.LAST else form, count)
            val result = scratch.buffer
            val deadline = result.deadline()
            val flags = result.get().toInt()
            val bytes = ByteArray(result.remaining()).also(result::get)
            Frame(flags and Flag.TEXT != 0, bytes, flags and Flag.EVENTS != 0, deadline)
        }
    }

    /** As [Connection.receive]. */
    fun receive(message: ByteArray, text: Boolean, now: Long): Received =
        Scratch.use(message.size.toLong()) { scratch ->
            scratch.buffer.put(message)
            ask(scratch, Operation.RECEIVE, 0, now, if (text) Flag.TEXT else 0, 0)
            read(scratch.buffer)
        }

    private fun read(result: ByteBuffer): Received {
        val deadline = result.deadline()
        val stream = result.getLong()
        val flags = result.get().toInt()
        if (flags and Flag.RECORD != 0) return FfiConverterTypeReceived.read(result)
        val (offset, length) = result.getInt() to result.getInt()
        val (stateLength, textLength) = result.getInt() to result.getInt()
        val context =
            if (flags and Flag.CONTEXT == 0) null else CoreSpanContext(result.ascii(TRACEPARENT), result.ascii(stateLength))
        val payload =
            if (flags and Flag.OWN_TEXT == 0) {
                Payload.Slice(offset, length)
            } else {
                Payload.Text(String(ByteArray(textLength).also(result::get), Charsets.UTF_8))
            }
        return Received(stream, payload, null, context, null, emptyList(), emptyList(), flags and Flag.EVENTS != 0, deadline)
    }

    /** As [Connection.take]. */
    fun take(stream: Long, size: Int, now: Long): Boolean =
        Scratch.use { scratch ->
            ask(scratch, Operation.TAKE, stream, now, 0, size) != 0
        }

    /** Everything for the host to act on, in order, and when `onTime` is due afterwards. */
    fun events(): Pair<List<Event>, Long?> =
        Scratch.use { scratch ->
            ask(scratch, Operation.EVENTS, 0, 0)
            val deadline = scratch.buffer.deadline()
            FfiConverterSequenceTypeEvent.read(scratch.buffer) to deadline
        }

    /** As [Connection.planCall] or [Connection.planTransfer]. */
    fun plan(transfer: Boolean, method: String?, current: CoreSpanContext?, now: Long): PlannedStream {
        val size = FfiConverterOptionalString.allocationSize(method) + FfiConverterOptionalTypeSpanContext.allocationSize(current)
        return Scratch.use(size.toLong()) { scratch ->
            FfiConverterOptionalString.write(method, scratch.buffer)
            FfiConverterOptionalTypeSpanContext.write(current, scratch.buffer)
            ask(scratch, if (transfer) Operation.PLAN_TRANSFER else Operation.PLAN_CALL, 0, now)
            FfiConverterTypePlannedStream.read(scratch.buffer)
        }
    }

    /** As [Connection.end]. */
    fun end(stream: Long, context: CoreSpanContext?, now: Long, baggage: List<BaggageMember>) {
        val size = FfiConverterOptionalTypeSpanContext.allocationSize(context) + FfiConverterSequenceTypeBaggageMember.allocationSize(baggage)
        Scratch.use(size.toLong()) { scratch ->
            FfiConverterOptionalTypeSpanContext.write(context, scratch.buffer)
            FfiConverterSequenceTypeBaggageMember.write(baggage, scratch.buffer)
            ask(scratch, Operation.END, stream, now)
        }
    }

    /** As [Connection.leave]. */
    fun leave(stream: Long, now: Long) {
        Scratch.use { ask(it, Operation.LEAVE, stream, now) }
    }

    /** As [Connection.cancel]. */
    fun cancel(stream: Long, now: Long) {
        Scratch.use { ask(it, Operation.CANCEL, stream, now) }
    }

    /** As [Connection.fail]. */
    fun fail(stream: Long, errorType: String, now: Long) {
        Scratch.use(FfiConverterString.allocationSize(errorType).toLong()) { scratch ->
            FfiConverterString.write(errorType, scratch.buffer)
            ask(scratch, Operation.FAIL, stream, now)
        }
    }

    /** Asks with what the buffer holds; then it holds the result, from its position to its limit. Returns the result's length. */
    private fun ask(scratch: Scratch, operation: Int, stream: Long, now: Long, flags: Int = 0, count: Int = 0): Int {
        val length = scratch.buffer.position()
        val capacity = scratch.buffer.capacity()
        // Whoever holds a monitor of this object keeps it from the collector, and with it what the handle stands for.
        val answer =
            synchronized(this) {
                QuickLibrary.wirespan_quick(handle, operation, stream, now, flags, count, scratch.address, length, capacity)
            }
        val size = (if (answer < 0) -answer - 1 else answer).toInt()
        if (operation == Operation.TAKE && answer >= 0) return size
        if (size > capacity - length) {
            scratch.grow(size)
            QuickLibrary.wirespan_quick_rest(scratch.address, size)
            scratch.buffer.limit(size).position(0)
        } else {
            scratch.buffer.limit(length + size).position(length)
        }
        if (answer < 0) throw FfiConverterTypeCoreError.read(scratch.buffer).toPublic()
        return size
    }

    private companion object {
        const val TRACEPARENT = 55

        fun ByteBuffer.deadline(): Long? = getLong().takeIf { it >= 0 }

        fun ByteBuffer.ascii(length: Int): String = if (length == 0) "" else String(ByteArray(length).also(::get), Charsets.ISO_8859_1)
    }
}
