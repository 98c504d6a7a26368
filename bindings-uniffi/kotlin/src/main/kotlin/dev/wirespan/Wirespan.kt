package dev.wirespan

import dev.wirespan.core.SessionRegistry
import io.opentelemetry.api.GlobalOpenTelemetry
import io.opentelemetry.api.OpenTelemetry
import java.util.concurrent.Executor
import java.util.concurrent.Executors
import java.util.concurrent.ScheduledThreadPoolExecutor
import java.util.function.BiConsumer
import java.util.function.Predicate

/** Serves a call of the peer, inside its SERVER span; returning ends the call. */
fun interface Handler {
    @Throws(Exception::class)
    fun handle(call: Call)
}

/**
 * What the connections of an application share: options, handlers, and OpenTelemetry.
 *
 * ```
 * Wirespan wirespan = Wirespan.builder().handler("greet", call -> call.send("hello")).build();
 * ```
 */
class Wirespan private constructor(builder: Builder) {
    internal val options = builder.options
    internal val handlers = builder.handlers.toMap()
    internal val defaultHandler = builder.defaultHandler
    internal val onMessage = builder.onMessage
    internal val executor = builder.executor ?: Threads.handlers
    internal val vouch = builder.vouch
    internal val registry = core { builder.registry ?: SessionRegistry() }
    internal val telemetry = Telemetry(builder.openTelemetry ?: GlobalOpenTelemetry.get())
    internal val serves = handlers.isNotEmpty() || defaultHandler != null

    init {
        // Wrong options are the program's fault, and are said here and not to the first peer.
        core { dev.wirespan.core.Connection.client(ByteArray(16), options.core) }.close()
    }

    /** Collects what the connections of an application share. */
    class Builder internal constructor() {
        internal var options = Options.DEFAULT
        internal val handlers = LinkedHashMap<String, Handler>()
        internal var defaultHandler: Handler? = null
        internal var onMessage: BiConsumer<TracedConnection, Message>? = null
        internal var executor: Executor? = null
        internal var vouch: Predicate<String>? = null
        internal var registry: SessionRegistry? = null
        internal var openTelemetry: OpenTelemetry? = null

        /** The options of each connection. */
        fun options(options: Options) = apply { this.options = options }

        /** Serves a method of the peer's calls and transfers. */
        fun handler(method: String, handler: Handler) = apply { handlers[method] = handler }

        /** Serves all other methods. */
        fun defaultHandler(handler: Handler) = apply { defaultHandler = handler }

        /** Gets messages outside every call, inside their context, in the thread that reads. */
        fun onMessage(consumer: BiConsumer<TracedConnection, Message>) = apply { onMessage = consumer }

        /** Runs handlers; by default threads that are made as needed. */
        fun executor(executor: Executor) = apply { this.executor = executor }

        /** Says whether a client may use the session id that it proposes. */
        fun vouch(vouch: Predicate<String>) = apply { this.vouch = vouch }

        /** The sessions, where several servers share them. */
        fun registry(registry: SessionRegistry) = apply { this.registry = registry }

        /** OpenTelemetry, where it is not the global one. */
        fun openTelemetry(openTelemetry: OpenTelemetry) = apply { this.openTelemetry = openTelemetry }

        /** Throws [WirespanException] for options out of their bounds. */
        fun build() = Wirespan(this)
    }

    companion object {
        /** Collects what the connections of an application share. */
        @JvmStatic
        fun builder() = Builder()
    }
}

/** What makes spans and metrics, with whatever SDK or agent is in the process. */
internal class Telemetry(openTelemetry: OpenTelemetry) {
    val spans = SpanMaker(openTelemetry)
    val meters = Meters(openTelemetry)
}

/** The threads of the package; none of them keeps a process alive. */
internal object Threads {
    val handlers: Executor = Executors.newCachedThreadPool { daemon(it, "wirespan-handler") }
    val timer = ScheduledThreadPoolExecutor(1) { daemon(it, "wirespan-timer") }.apply { removeOnCancelPolicy = true }

    private fun daemon(work: Runnable, name: String) = Thread(work, name).apply { isDaemon = true }
}
