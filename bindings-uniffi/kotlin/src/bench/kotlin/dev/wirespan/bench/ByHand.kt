package dev.wirespan.bench

import com.fasterxml.jackson.core.JsonFactory
import com.fasterxml.jackson.core.JsonToken
import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator
import io.opentelemetry.context.Context
import io.opentelemetry.context.propagation.TextMapGetter
import io.opentelemetry.context.propagation.TextMapSetter
import java.nio.ByteBuffer
import java.util.Base64

internal const val SPLICED = "Jackson for the headers, the body as it is between them, W3C propagator"
internal const val BOUND = "Jackson databind of {headers, body}, W3C propagator"
internal const val SLICED = "Jackson's streaming parser, the body as its bytes, W3C propagator"
internal const val TREE = "Jackson readTree of {headers, body}, W3C propagator"
internal const val LENGTH = "length, Jackson for the headers, payload, W3C propagator"
internal const val BASE64 = "Jackson databind of {headers, body: base64}, W3C propagator"

/** What was read by hand. */
internal class Read(val context: Context, val body: Any?)

/** The ways in which one writes and reads messages by hand, with the best-kept libraries of the JVM. A message always has its context. */
internal object ByHand {
    class MessageWithHeaders(val headers: Map<String, String>, val body: Any)

    private val mapper = ObjectMapper()
    private val factory = JsonFactory()
    private val propagator = W3CTraceContextPropagator.getInstance()
    private val setter = TextMapSetter<MutableMap<String, String>> { carrier, name, value -> carrier!![name] = value }
    private val getter =
        object : TextMapGetter<Map<String, String>> {
            override fun keys(carrier: Map<String, String>): Iterable<String> = carrier.keys

            override fun get(carrier: Map<String, String>?, key: String): String? = carrier!![key]
        }
    private val before = "{\"headers\":".toByteArray()
    private val between = ",\"body\":".toByteArray()

    fun injected(context: Context): Map<String, String> = HashMap<String, String>().also { propagator.inject(context, it, setter) }

    fun extracted(headers: Map<String, String>): Context = propagator.extract(Context.root(), headers, getter)

    fun spliced(context: Context, body: ByteArray): ByteArray {
        val headers = mapper.writeValueAsBytes(injected(context))
        val frame = ByteBuffer.allocate(before.size + headers.size + between.size + body.size + 1)
        frame.put(before).put(headers).put(between).put(body).put('}'.code.toByte())
        return frame.array()
    }

    fun bound(context: Context, body: Any): ByteArray = mapper.writeValueAsBytes(MessageWithHeaders(injected(context), body))

    fun length(context: Context, body: ByteArray): ByteArray {
        val headers = mapper.writeValueAsBytes(injected(context))
        val frame = ByteBuffer.allocate(2 + headers.size + body.size)
        frame.putShort(headers.size.toShort()).put(headers).put(body)
        return frame.array()
    }

    fun sliced(frame: ByteArray): Read {
        var headers = emptyMap<String, String>()
        var body = ByteArray(0)
        factory.createParser(frame).use { parser ->
            parser.nextToken()
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                val name = parser.currentName()
                parser.nextToken()
                if (name == "headers") {
                    headers = HashMap<String, String>().also { while (parser.nextToken() == JsonToken.FIELD_NAME) it[parser.currentName()] = parser.nextTextValue() }
                } else {
                    val from = parser.currentTokenLocation().byteOffset.toInt()
                    parser.skipChildren()
                    parser.finishToken()
                    body = frame.copyOfRange(from, parser.currentLocation().byteOffset.toInt())
                }
            }
        }
        return Read(extracted(headers), body)
    }

    fun tree(frame: ByteArray): Read {
        val message = mapper.readTree(frame)
        return Read(extracted(strings(message["headers"])), message["body"])
    }

    fun base64(frame: ByteArray): Read {
        val message = mapper.readTree(frame)
        return Read(extracted(strings(message["headers"])), message["body"].binaryValue())
    }

    fun toBase64(bytes: ByteArray): String = Base64.getEncoder().encodeToString(bytes)

    fun afterLength(frame: ByteArray): Read {
        val end = 2 + ByteBuffer.wrap(frame).getShort()
        val headers = strings(mapper.readTree(frame, 2, end - 2))
        return Read(extracted(headers), frame.copyOfRange(end, frame.size))
    }

    private fun strings(node: JsonNode): Map<String, String> {
        val headers = HashMap<String, String>()
        node.fields().forEach { (name, value) -> headers[name] = value.textValue() }
        return headers
    }
}
