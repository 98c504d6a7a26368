package dev.wirespan

import dev.wirespan.core.Header
import dev.wirespan.core.Payload
import dev.wirespan.core.Received
import io.opentelemetry.api.trace.SpanContext
import io.opentelemetry.context.Context
import io.opentelemetry.context.Scope
import java.util.concurrent.Callable
import java.util.function.Function

/** A received message: its content as the sender wrote it, the sender's own headers, and the context it came with. */
class Message internal constructor(
    private val received: Received,
    private val whole: ByteArray,
    /** Whether it is a text message. */
    val isText: Boolean,
    private val callContext: Context?,
) {
    /** The content in bytes, text in UTF-8. */
    val bytes: ByteArray by lazy(LazyThreadSafetyMode.PUBLICATION) {
        when (val payload = received.payload) {
            is Payload.Slice ->
                if (payload.length == whole.size) whole else whole.copyOfRange(payload.offset, payload.offset + payload.length)
            is Payload.Text -> payload.value.toByteArray()
            is Payload.Nothing -> ByteArray(0)
        }
    }

    /** The content as text; what is not UTF-8 is replaced by U+FFFD. */
    val text: String
        get() =
            when (val payload = received.payload) {
                is Payload.Slice -> String(whole, payload.offset, payload.length, Charsets.UTF_8)
                is Payload.Text -> payload.value
                is Payload.Nothing -> ""
            }

    /** Size of the content in bytes. */
    val size: Int
        get() = (received.payload as? Payload.Slice)?.length ?: bytes.size

    /** The sender's own headers, in the order sent. */
    val headers: List<Header>
        get() = received.headers

    /**
     * The context to work in: that of the call for its chunks, that of the sender's span for plain messages. It holds no span
     * where the sender's is not known or not trusted.
     */
    val context: Context by lazy(LazyThreadSafetyMode.PUBLICATION) {
        callContext ?: remoteContext(received.context, received.baggage, Context.root())
    }

    /** The sender's span where trust is "link": to be linked, not continued. */
    val links: List<SpanContext>
        get() = listOfNotNull(received.link?.toApi(true))

    /** Reads the content with a JSON library: `message.json(text -> mapper.readValue(text, Order.class))`. */
    fun <T> json(read: Function<String, T>): T = read.apply(text)

    /** Makes the message's context current until the scope is closed. */
    fun makeCurrent(): Scope = context.makeCurrent()

    /** Runs a function inside the message's context. */
    @Throws(Exception::class)
    fun <T> run(function: Callable<T>): T = makeCurrent().use { function.call() }

    override fun toString(): String = if (size <= 80) "Message($text)" else "Message($size bytes)"
}
