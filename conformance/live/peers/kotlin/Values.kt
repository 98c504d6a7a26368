package dev.wirespan.live

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import com.fasterxml.jackson.databind.node.ObjectNode
import dev.wirespan.Call
import dev.wirespan.Message
import dev.wirespan.Options
import dev.wirespan.Propagator
import dev.wirespan.TracedConnection
import io.opentelemetry.api.baggage.Baggage
import io.opentelemetry.context.Context
import io.opentelemetry.context.propagation.TextMapGetter
import java.time.Duration
import java.util.Base64

internal val JSON = ObjectMapper()

private const val LARGE = 65_536
private val TIMES = setOf("hello_wait", "stall_threshold", "idle_timeout", "overflow_wait")

/** What handlers and callers raise when they are told to. */
internal class Boom : Exception()

/** What an application sends: text or bytes. */
internal sealed interface Body {
    class Text(val value: String) : Body

    class Binary(val value: ByteArray) : Body
}

internal fun toBody(message: JsonNode): Body =
    when {
        message.has("text") -> Body.Text(message["text"].textValue())
        message.has("size") -> Body.Text("\"${"x".repeat(message["size"].intValue())}\"")
        message.has("zeros") -> Body.Binary(ByteArray(message["zeros"].intValue()))
        else -> Body.Binary(Base64.getDecoder().decode(message["binary"].textValue()))
    }

internal fun Message.toBody(): Body = if (isText) Body.Text(text) else Body.Binary(bytes)

internal fun Call.send(body: Body, last: Boolean = false) =
    when (body) {
        is Body.Text -> send(body.value, last)
        is Body.Binary -> send(body.value, last)
    }

internal fun TracedConnection.send(body: Body) =
    when (body) {
        is Body.Text -> send(body.value)
        is Body.Binary -> send(body.value)
    }

internal fun toMessage(body: Body): ObjectNode {
    val answer = JSON.createObjectNode()
    return when (body) {
        is Body.Text -> {
            val text = body.value
            val isLarge = text.length > LARGE && text == "\"${"x".repeat(text.length - 2)}\""
            if (isLarge) answer.put("size", text.length) else answer.put("text", text)
        }
        is Body.Binary -> {
            val bytes = body.value
            val isLarge = bytes.size > LARGE && bytes.all { it == 0.toByte() }
            if (isLarge) answer.put("zeros", bytes.size) else answer.put("binary", Base64.getEncoder().encodeToString(bytes))
        }
    }
}

private object Fields : TextMapGetter<JsonNode> {
    private val names = mapOf("traceparent" to "parent", "tracestate" to "state")

    override fun keys(carrier: JsonNode): Iterable<String> = names.filterValues(carrier::hasNonNull).keys

    override fun get(carrier: JsonNode?, key: String): String? = carrier?.get(names[key])?.textValue()
}

/** Runs a function under the parent that a command names, as a remote span. */
internal fun <T> under(command: JsonNode, run: () -> T): T {
    var context = Propagator().extract(Context.root(), command, Fields)
    command["baggage"]?.let { given ->
        val baggage = Baggage.builder()
        given.properties().forEach { (name, value) -> baggage.put(name, value.textValue()) }
        context = context.with(baggage.build())
    }
    return context.makeCurrent().use { run() }
}

/** Options as this package takes them; times come in milliseconds. */
internal fun optionsOf(command: JsonNode): Options {
    var options = Options.DEFAULT
    command["options"]?.properties()?.forEach { (name, value) ->
        options =
            when {
                name in TIMES -> options.with(name, Duration.ofMillis(value.longValue()))
                value.isBoolean -> options.with(name, value.booleanValue())
                value.isNumber -> options.with(name, value.longValue())
                value.isArray -> options.with(name, value.map { it.textValue() })
                else -> options.with(name, value.textValue())
            }
    }
    return options
}
