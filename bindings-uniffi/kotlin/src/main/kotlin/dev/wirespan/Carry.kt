package dev.wirespan

import dev.wirespan.core.CarriedItem
import dev.wirespan.core.HeaderBytes
import dev.wirespan.core.carryFromHeaders
import dev.wirespan.core.carryToHeaders
import dev.wirespan.core.carryWaitNs
import dev.wirespan.core.queueWait
import io.opentelemetry.api.trace.Span
import io.opentelemetry.api.trace.SpanContext
import io.opentelemetry.context.Context
import io.opentelemetry.context.Scope
import java.lang.ref.Cleaner
import java.time.Duration
import java.util.concurrent.AbstractExecutorService
import java.util.concurrent.BlockingQueue
import java.util.concurrent.Callable
import java.util.concurrent.ExecutorService
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicReference

/**
 * The context of an item on its way, and when it left.
 *
 * In one process it is the whole OpenTelemetry context; across a broker it is headers beside the payload.
 */
class Carry private constructor(
    /** The context that is carried. */
    val context: Context,
    private val capturedNs: Long?,
    private val handedOver: HandedOver?,
    /** The session in which the item was sent, across a broker. */
    val sessionId: String?,
    private val sentUnixNs: Long?,
    /** Whether the headers beside the payload held a context that is invalid. */
    val isContextInvalid: Boolean,
) {
    @Volatile
    private var waitNs: Long? = null

    /** How long the item waited; absent until it is restored, and where that is not known. */
    val wait: Duration?
        get() = waitNs?.let(Duration::ofNanos)

    /** A link to the carried span, if it is valid; for spans that process batches. */
    val links: List<SpanContext>
        get() = listOf(Span.fromContext(context).spanContext).filter { it.isValid }

    /** Notes that the item arrived: measures its wait, and records it on a span that was handed over. */
    fun restore(): Carry {
        if (waitNs == null) {
            waitNs = if (capturedNs != null) maxOf(0, Clock.now() - capturedNs) else core { carryWaitNs(item(), Clock.wall()) }
            val span = handedOver?.span?.get()
            val wait = waitNs
            if (span != null && wait != null) core { queueWait(wait) }?.let { span.setAllAttributes(SpanMaker.attributes(listOf(it))) }
        }
        return this
    }

    /** Restores the carry and makes its context current until the scope is closed. */
    fun makeCurrent(): Scope {
        restore()
        return context.makeCurrent()
    }

    /** Runs a function inside the carried context. */
    @Throws(Exception::class)
    fun <T> run(function: Callable<T>): T = makeCurrent().use { function.call() }

    /** Ends the span that was handed over, once. */
    fun endSpan() {
        handedOver?.run()
    }

    /** The headers to put beside a payload. Baggage passes the allow-list [baggageOut] (`*` for all). */
    @JvmOverloads
    fun toHeaders(baggageOut: List<String> = emptyList(), sessionId: String? = this.sessionId): Map<String, String> {
        val item = CarriedItem(context.coreSpan(), sessionId, Clock.wall())
        val baggage = if (baggageOut.isEmpty()) emptyList() else context.coreBaggage()
        return core { carryToHeaders(item, baggage, baggageOut) }.associate { it.name to it.value }
    }

    private fun item() = CarriedItem(context.coreSpan(), sessionId, sentUnixNs)

    /** A span that whoever restores its carry has to end. Dropped unread, it must not stay open. */
    private class HandedOver(span: Span) : Runnable {
        val span = AtomicReference<Span?>(span)

        override fun run() {
            span.getAndSet(null)?.end()
        }
    }

    companion object {
        private val CLEANER = Cleaner.create()

        /** Captures the current context. */
        @JvmStatic
        fun capture(): Carry = Carry(Context.current(), Clock.now(), null, null, null, false)

        /** Captures the current context with an open span, which is handed over: whoever restores the carry ends it, by [endSpan]. */
        @JvmStatic
        fun capture(span: Span): Carry {
            val handedOver = HandedOver(span)
            val carry = Carry(Context.current().with(span), Clock.now(), handedOver, null, null, false)
            CLEANER.register(carry, handedOver)
            return carry
        }

        /** Reads the headers beside a payload; what is invalid or repeated counts as absent. */
        @JvmStatic
        @JvmOverloads
        fun fromHeaders(headers: Map<String, String>, baggageIn: List<String> = emptyList()): Carry {
            val read = core { carryFromHeaders(headers.map { (name, value) -> HeaderBytes(name, value.toByteArray()) }, baggageIn) }
            val context = remoteContext(read.span, read.baggage, Context.current())
            return Carry(context, null, null, read.sessionId, read.sentUnixNs, read.contextInvalid)
        }
    }
}

/** An item of a queue, with what it brought along. */
class Carried<T> internal constructor(
    /** The item as it was put. */
    val item: T,
    /** What it brought along. */
    val carry: Carry,
) {
    /** Runs a function inside the item's context. */
    @Throws(Exception::class)
    fun <R> run(function: Callable<R>): R = carry.run(function)
}

/**
 * A [BlockingQueue] whose items bring the context of `put` along: `CarryQueue(ArrayBlockingQueue(100))`.
 *
 * What comes out is a [Carried], restored: its wait is measured.
 */
class CarryQueue<T>(private val queue: BlockingQueue<Carried<T>>) {
    /** Puts an item, and waits while the queue is full. It leaves when this is called. */
    fun put(item: T) = queue.put(Carried(item, Carry.capture()))

    /** Puts an item together with an open span, which the worker ends with [Carry.endSpan]. */
    fun put(item: T, span: Span) = queue.put(Carried(item, Carry.capture(span)))

    /** Puts an item if there is room. */
    fun offer(item: T): Boolean = queue.offer(Carried(item, Carry.capture()))

    /** Takes an item, and waits while the queue is empty. */
    fun take(): Carried<T> = queue.take().restored()

    /** Takes an item if one comes in time. */
    fun poll(timeout: Long, unit: TimeUnit): Carried<T>? = queue.poll(timeout, unit)?.restored()

    /** Number of items that wait. */
    val size: Int
        get() = queue.size

    private fun Carried<T>.restored() = also { carry.restore() }
}

/** An [ExecutorService] whose tasks run in the context of their submission: `CarryExecutorService(Executors.newFixedThreadPool(4))`. */
class CarryExecutorService(private val executor: ExecutorService) : AbstractExecutorService() {
    override fun execute(command: Runnable) {
        val carry = Carry.capture()
        executor.execute { carry.makeCurrent().use { command.run() } }
    }

    /** Runs a task together with an open span, which ends when the task has run. */
    fun execute(span: Span, command: Runnable) {
        val carry = Carry.capture(span)
        executor.execute {
            try {
                carry.makeCurrent().use { command.run() }
            } finally {
                carry.endSpan()
            }
        }
    }

    override fun shutdown() = executor.shutdown()

    override fun shutdownNow(): List<Runnable> = executor.shutdownNow()

    override fun isShutdown(): Boolean = executor.isShutdown

    override fun isTerminated(): Boolean = executor.isTerminated

    override fun awaitTermination(timeout: Long, unit: TimeUnit): Boolean = executor.awaitTermination(timeout, unit)
}
