package dev.wirespan

import dev.wirespan.core.Body
import dev.wirespan.core.Connection
import dev.wirespan.core.Event
import dev.wirespan.core.Header
import dev.wirespan.core.Outgoing
import dev.wirespan.core.Payload
import dev.wirespan.core.Plan
import dev.wirespan.core.Received
import dev.wirespan.core.Resumption
import io.opentelemetry.api.trace.Span
import io.opentelemetry.context.Context
import java.util.concurrent.ScheduledFuture
import java.util.concurrent.TimeUnit
import java.util.concurrent.locks.ReentrantLock
import java.util.logging.Level
import java.util.logging.Logger
import kotlin.concurrent.withLock
import dev.wirespan.core.SpanContext as CoreSpanContext

/** What a WebSocket library has to offer. */
interface Transport {
    /** Sends one message without waiting; [done] is called once, when the next can be taken. */
    fun send(bytes: ByteArray, text: Boolean, done: Runnable)

    /** Closes the connection; the library then reports its end. */
    fun close(code: Int, reason: String)
}

private const val CONNECTION_SPAN = 0L
private const val HANDSHAKE_SPAN = 1L
private const val PLAIN = 0L

/** Bytes that wait for the transport before `send` waits too. */
private const val HIGH_WATER_BYTES = 1024 * 1024
private const val CLOSE_WAIT_SECONDS = 10L
private val LOGGER = Logger.getLogger("dev.wirespan")

/**
 * A connection whose messages carry trace context, over any transport of messages.
 *
 * Everything is done under one lock, which is never held while application code runs. Methods can be called from any thread; those
 * that wait (`recv`, `send` toward a slow peer, `close`) must not be called in the thread that reads.
 */
class TracedConnection internal constructor(
    /** The sans-IO connection. */
    val core: Connection,
    private val wirespan: Wirespan,
) : AutoCloseable {
    private val quick = Quick(core)
    private val lock = ReentrantLock()
    private val changed = lock.newCondition()
    private val spans = wirespan.telemetry.spans
    private val meters = wirespan.telemetry.meters.OfRole(core { core.role() })
    private val openSpans = HashMap<Long, Context>()
    private val calls = HashMap<Long, Call>()
    private val plain = ArrayDeque<Message>()
    private val incoming = ArrayDeque<Call>()
    private val waiting = ArrayDeque<Call>()
    private val outbox = ArrayDeque<Event.Frame>()
    private var outBytes = 0L
    private var transport: Transport? = null
    private var inFlight = false
    private var pumping = false
    private var mayRead = true
    private var ready = false
    private var closed = false
    private var iterating = false

    /** Whether the application takes calls by itself is not known yet: they wait. */
    private var undecided = false
    private var running = 0L
    private val maxRunning = core { core.maxRunning() }
    private val sendsBaggage = core { core.sendsBaggage() }
    private var timer: ScheduledFuture<*>? = null
    private var timerAt: Long? = null
    private var openedAt = 0L

    init {
        core {
            if (wirespan.serves) core.setMethods(wirespan.handlers.keys.toList())
            core.setPlainPolicy(if (wirespan.onMessage != null) "deliver" else if (wirespan.serves) "discard" else "queue")
        }
    }

    // For integrations.

    /** Starts the spans of the handshake, given the span of an HTTP instrumentation that is current, if there is one. */
    fun startHandshake(httpSpan: Boolean) =
        lock.withLock {
            val current = Context.current().coreSpan()
            val http = if (httpSpan) current else null
            core { core.planHandshake(http, current != null) }.forEach { startSpan(it) }
        }

    /** Runs what does the handshake inside the span that was started for it, if there is one. */
    internal fun <T> inHandshake(handshake: () -> T): T {
        val context = lock.withLock { openSpans[HANDSHAKE_SPAN] ?: openSpans[CONNECTION_SPAN] }
        return context?.makeCurrent()?.use { handshake() } ?: handshake()
    }

    /** Ends the spans of the handshake with an error. */
    fun failHandshake(error: Throwable) =
        lock.withLock {
            core { core.failHandshake(error.javaClass.simpleName) }
            drain()
        }

    /** Starts to send, once the core was opened. */
    fun opened(transport: Transport) =
        lock.withLock {
            this.transport = transport
            openedAt = Clock.now()
            meters.opened()
            ready = core { core.state() }.ready
            drain()
        }

    /** Lets calls of the peer wait until [decided], for an application that has yet to be given this connection. */
    internal fun undecided() = lock.withLock { undecided = true }

    /** Says that the application has had the connection: without [calls] nobody takes what waits. */
    internal fun decided() =
        lock.withLock {
            undecided = false
            while (!iterating) (incoming.removeFirstOrNull() ?: break).fail("unknown_method")
        }

    /** Waits until the peer is known, or will not become known by waiting. */
    fun awaitReady() =
        lock.withLock {
            while (!ready && !closed) changed.await()
        }

    /** Takes a message of the peer; waits where reading has to pause. Messages come one at a time. */
    fun received(bytes: ByteArray, text: Boolean) {
        // Whatever is current in the thread that reads is nobody's parent here.
        Context.root().makeCurrent().use {
            val after: Runnable?
            lock.lock()
            try {
                if (closed) return
                after = receive(bytes, text)
            } catch (error: RuntimeException) {
                // A defect here must not cost the application its connection.
                LOGGER.log(Level.WARNING, "a message could not be handled", error)
                return
            } finally {
                lock.unlock()
            }
            after?.run()
            lock.withLock {
                while (!mayRead && !closed) changed.await()
            }
        }
    }

    /** Says that the transport has closed; [code] is absent without a close frame. */
    fun transportClosed(code: Int?, reason: String) =
        lock.withLock {
            if (closed) return
            closed = true
            core { core.onClose(code, reason, Clock.now()) }
            drain()
            timer?.cancel(false)
            outbox.clear()
            outBytes = 0
            waiting.clear()
            if (transport != null) meters.closed(Clock.now() - openedAt, counters)
            changed.signalAll()
        }

    internal fun superseded() =
        lock.withLock {
            core { core.onSuperseded(Clock.now()) }
            drain()
        }

    // What the application uses.

    /** Starts a call of the peer; it is ended by [Call.leave], [Call.cancel] or [Call.fail]. */
    @JvmOverloads
    fun call(method: String? = null): Call = start(method, transfer = false)

    /** Starts one-way data to the peer. */
    @JvmOverloads
    fun transfer(method: String? = null): Call = start(method, transfer = true)

    /** Calls the peer inside a block, which runs inside the call's span; the call ends as the block ends. */
    @Throws(Exception::class)
    fun <T> call(method: String?, block: CallBlock<T>): T = call(method).inside(block)

    /** Sends one-way data inside a block. */
    @Throws(Exception::class)
    fun <T> transfer(method: String?, block: CallBlock<T>): T = transfer(method).inside(block)

    /** Sends text outside every call, with the context of the current span. */
    @JvmOverloads
    fun send(text: String, headers: List<Header> = emptyList()) = sendPlain(Body.Text(text), headers)

    /** Sends bytes outside every call. */
    @JvmOverloads
    fun send(bytes: ByteArray, headers: List<Header> = emptyList()) = sendPlain(Body.Binary(bytes), headers)

    /** Sends JSON in UTF-8 that a JSON library wrote, outside every call. */
    @JvmOverloads
    fun sendJson(json: ByteArray, headers: List<Header> = emptyList()) = sendPlain(Body.Json(json), headers)

    /** The next message outside every call; none when the connection has closed. */
    fun recv(): Message? =
        lock.withLock {
            if (wirespan.onMessage != null) throw WirespanException(ErrorKind.INVALID_STATE, "invalid_state: messages go to onMessage")
            if (wirespan.serves) core { core.setPlainPolicy("queue") }
            while (plain.isEmpty() && !closed) changed.await()
            val message = plain.removeFirstOrNull() ?: return null
            took(PLAIN, message)
            return message
        }

    /** Calls and transfers of the peer, for those who schedule them themselves; ends when the connection closes. */
    fun calls(): Iterable<Call> {
        if (wirespan.serves) throw WirespanException(ErrorKind.INVALID_STATE, "invalid_state: calls go to the handlers")
        lock.withLock { iterating = true }
        return Iterable { iterator { while (true) yield(nextCall() ?: break) } }
    }

    /** Sends what is queued, closes the connection, and waits until it is closed. */
    @JvmOverloads
    fun close(code: Int, reason: String = "") {
        val deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(CLOSE_WAIT_SECONDS)
        lock.withLock {
            while ((outbox.isNotEmpty() || inFlight) && !closed) if (!awaitUntil(deadline)) break
        }
        transport?.close(code, reason)
        lock.withLock {
            while (!closed) if (!awaitUntil(deadline)) break
        }
        // A peer that does not answer the close frame.
        transportClosed(null, "")
    }

    override fun close() = close(1000)

    /** Waits until the connection has closed. */
    fun awaitClosed() =
        lock.withLock {
            while (!closed) changed.await()
        }

    /** Whether the connection has closed. */
    val isClosed: Boolean
        get() = lock.withLock { closed }

    /** The session id in force. */
    val sessionId: String
        get() = core { core.state() }.sessionId

    /** What is known of the peer: `unknown`, `announced` or `always`. */
    val peer: String
        get() = core { core.state() }.peer

    /** How often something was dropped, ignored or out of order, by name. */
    val counters: Map<String, Long>
        get() = core { core.counters() }

    /** What a later connection needs to continue this session, through [Options.resuming]. */
    val resumption: Resumption
        get() = core { core.resumption() }

    private fun awaitUntil(deadline: Long): Boolean = changed.awaitNanos(deadline - System.nanoTime()) > 0

    private fun nextCall(): Call? =
        lock.withLock {
            while (incoming.isEmpty() && !closed) changed.await()
            incoming.removeFirstOrNull()
        }

    // Spans and events.

    private fun startSpan(plan: Plan, received: Received? = null): Context {
        val context = spans.start(plan, openSpans[CONNECTION_SPAN], received?.baggage ?: emptyList())
        openSpans[plan.span] = context
        // The core asks for those of the connection alone, whose keys are the lowest.
        if (plan.span <= 1) context.coreSpan()?.let { core { core.spanStarted(plan.span, it) } }
        return context
    }

    /** Acts on everything that the core has to say. */
    private fun drain() {
        val (events, deadline) = quick.events()
        events.forEach(::act)
        schedule(deadline)
    }

    private fun act(event: Event) {
        when (event) {
            is Event.Frame -> enqueue(event)
            is Event.SpanUpdate -> openSpans[event.span]?.let { spans.update(it, event.attributes) }
            is Event.SpanEnds -> {
                val end = event.end
                openSpans.remove(end.span)?.let { spans.end(it, end) }
                val call = calls[end.span]
                val (sent, received) = (end.sent ?: return) to (end.received ?: return)
                call?.measured = CallMetrics(sent, received)
                val method = call?.method
                meters.ended(end, method?.takeIf { !call.isIncoming || it in wirespan.handlers })
            }
            is Event.ReadEnd ->
                calls[event.stream]?.let { call ->
                    if (call.readEnd == null) call.readEnd = Call.ReadEnd(event.errorKind?.let(ErrorKind::of), event.errorType)
                    call.arrived.signalAll()
                }
            is Event.PauseReading -> mayRead = false
            is Event.ResumeReading -> {
                mayRead = true
                changed.signalAll()
            }
            is Event.Ready -> {
                ready = true
                changed.signalAll()
            }
            is Event.SessionChanged -> Unit
        }
    }

    private fun schedule(deadline: Long?) {
        // Most deadlines move away with each message. A timer that comes too early asks again, which costs less than to move it.
        val set = timerAt
        if (deadline == null || closed || (set != null && set <= deadline)) return
        timer?.cancel(false)
        timerAt = deadline
        timer = Threads.timer.schedule(::onTime, maxOf(0, deadline - Clock.now()), TimeUnit.NANOSECONDS)
    }

    private fun onTime() =
        lock.withLock {
            if (closed) return
            timerAt = null
            core { core.onTime(Clock.now()) }
            drain()
        }

    // Calls.

    private fun start(method: String?, transfer: Boolean): Call =
        lock.withLock {
            val current = Context.current().coreSpan()
            val now = Clock.now()
            val planned = quick.plan(transfer, method, current, now)
            val context = startSpan(planned.plan)
            val call = Call(this, method, transfer, planned.stream, context, isIncoming = false, lock.newCondition())
            calls[planned.stream] = call
            drain()
            call
        }

    internal inline fun finish(call: Call, act: (Quick, Long) -> Unit) =
        lock.withLock {
            act(quick, Clock.now())
            drain()
            calls.remove(call.key)
            call.arrived.signalAll()
        }

    internal fun metricsOf(call: Call): CallMetrics =
        lock.withLock {
            call.measured
                ?: core { core.metrics(call.key) }.takeIf { it.size == 2 }?.let { CallMetrics(it[0], it[1]) }
                ?: throw WirespanException(ErrorKind.INVALID_STATE, "invalid_state: the call has ended and left no metrics")
        }

    internal fun endOf(call: Call) {
        lock.withLock {
            quick.end(call.key, call.span, Clock.now(), baggageOf(call.context))
            drain()
        }
        awaitRoom()
    }

    internal fun recvOn(call: Call): Message? =
        lock.withLock {
            while (true) {
                val message = call.chunks.removeFirstOrNull()
                if (message != null) {
                    took(call.key, message)
                    return message
                }
                val end = call.readEnd
                if (end == null) {
                    call.arrived.await()
                    continue
                }
                if (end.kind == null || call.raised) return null
                call.raised = true
                val type = end.errorType
                throw WirespanException(end.kind, end.kind.label + (type?.let { ": $it" } ?: ""), errorType = type)
            }
            @Suppress("UNREACHABLE_CODE")
            null
        }

    private fun took(key: Long, message: Message) {
        if (quick.take(key, message.size, Clock.now())) drain()
    }

    // Sending.

    private fun baggageOf(context: Context) = if (sendsBaggage) context.coreBaggage() else emptyList()

    private fun sendPlain(body: Body, headers: List<Header>) {
        val context = Context.current()
        sendOn(PLAIN, body, context.coreSpan(), context, false, headers)
    }

    internal fun sendOn(key: Long, body: Body, span: CoreSpanContext?, context: Context, last: Boolean, headers: List<Header>) {
        lock.withLock {
            // Making the message and queueing it are one step.
            val outgoing = Outgoing(key, body, Clock.now(), span, last, headers, baggageOf(context))
            val frame = quick.send(outgoing)
            enqueue(Event.Frame(frame.text, frame.bytes))
            if (frame.hasEvents) drain() else schedule(frame.deadline)
        }
        awaitRoom()
    }

    private fun awaitRoom() =
        lock.withLock {
            while (outBytes >= HIGH_WATER_BYTES && !closed) changed.await()
        }

    private fun enqueue(frame: Event.Frame) {
        meters.sent()
        outbox.addLast(frame)
        outBytes += frame.bytes.size
        pump()
    }

    /** Gives the transport its next message; a transport that is done at once is given more here and not by its own call. */
    private fun pump() {
        if (pumping) return
        pumping = true
        try {
            while (!inFlight && !closed) {
                val to = transport ?: break
                val frame = outbox.removeFirstOrNull() ?: break
                inFlight = true
                to.send(frame.bytes, frame.text) { sent(frame.bytes.size) }
            }
        } catch (error: RuntimeException) {
            // The reader learns of the same end, and says so to every call.
            LOGGER.log(Level.FINE, "the transport failed", error)
            outbox.clear()
            outBytes = 0
        } finally {
            pumping = false
        }
    }

    private fun sent(size: Int) =
        lock.withLock {
            inFlight = false
            outBytes = maxOf(0, outBytes - size)
            changed.signalAll()
            pump()
        }

    // Receiving.

    /** Handles a message; gives what the application's code has to do with it once the lock is free. */
    private fun receive(bytes: ByteArray, text: Boolean): Runnable? {
        meters.received()
        val received = quick.receive(bytes, text, Clock.now())
        val opened = received.opened
        var call: Call? = null
        if (opened != null) {
            val context = startSpan(opened.plan, received)
            call = Call(this, opened.method, opened.kind == "transfer", received.stream, context, isIncoming = true, lock.newCondition())
            calls[received.stream] = call
        }
        var after: Runnable? = null
        if (received.payload !is Payload.Nothing) {
            val of = calls[received.stream]
            val message = Message(received, bytes, text, of?.context)
            after = deliver(received.stream, of, message)
        }
        if (received.hasEvents) drain() else schedule(received.deadline)
        if (call != null) dispatch(call)
        return after
    }

    private fun deliver(stream: Long, call: Call?, message: Message): Runnable? {
        if (stream != PLAIN) {
            call?.chunks?.addLast(message)
            call?.arrived?.signalAll()
            return null
        }
        val onMessage = wirespan.onMessage
        if (onMessage != null) {
            return Runnable {
                try {
                    message.makeCurrent().use { onMessage.accept(this, message) }
                } catch (error: RuntimeException) {
                    LOGGER.log(Level.WARNING, "onMessage failed", error)
                }
            }
        }
        plain.addLast(message)
        changed.signalAll()
        return null
    }

    private fun handlerOf(call: Call): Handler? = wirespan.handlers[call.method] ?: wirespan.defaultHandler

    private fun dispatch(call: Call) {
        when {
            wirespan.serves && handlerOf(call) != null -> {
                waiting.addLast(call)
                runWaiting()
            }
            iterating || undecided -> {
                incoming.addLast(call)
                changed.signalAll()
            }
            else -> call.fail("unknown_method")
        }
    }

    private fun runWaiting() {
        while (running < maxRunning && !closed) {
            val call = waiting.removeFirstOrNull() ?: return
            running += 1
            wirespan.executor.execute { handle(call) }
        }
    }

    private fun handle(call: Call) {
        try {
            call.inside { handlerOf(it)?.handle(it) }
        } catch (error: Throwable) {
            if (error is InterruptedException) Thread.currentThread().interrupt()
            if (error !is WirespanException) LOGGER.log(Level.WARNING, "the handler of ${call.method} failed", error)
        } finally {
            lock.withLock {
                running -= 1
                runWaiting()
            }
        }
    }
}
