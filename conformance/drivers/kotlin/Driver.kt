/** The driver of the Kotlin package. It uses what every application can use and nothing else. */
package dev.wirespan.conformance

import com.fasterxml.jackson.databind.JsonNode
import com.fasterxml.jackson.databind.ObjectMapper
import dev.wirespan.Propagator
import dev.wirespan.core.BaggageMember
import dev.wirespan.core.Body
import dev.wirespan.core.CarriedItem
import dev.wirespan.core.Connection
import dev.wirespan.core.CoreException
import dev.wirespan.core.Envelope
import dev.wirespan.core.Recognition
import dev.wirespan.core.StreamMetrics
import dev.wirespan.core.Unwrapped
import dev.wirespan.core.carryFromHeaders
import dev.wirespan.core.carryToHeaders
import dev.wirespan.core.convertHead
import dev.wirespan.core.formatBaggage
import dev.wirespan.core.names
import dev.wirespan.core.parseBaggage
import dev.wirespan.core.parseTraceparent
import dev.wirespan.core.parseTracestate
import dev.wirespan.core.planProcess
import dev.wirespan.core.planSend
import dev.wirespan.core.unwrap
import dev.wirespan.core.wrap
import io.opentelemetry.api.trace.Span
import io.opentelemetry.api.trace.SpanContext
import io.opentelemetry.api.trace.TraceFlags
import io.opentelemetry.api.trace.TraceState
import io.opentelemetry.context.Context
import io.opentelemetry.context.propagation.TextMapGetter

private val JSON = ObjectMapper()

/** Kind and reason of an error, whatever its class. */
fun kindOf(error: CoreException): String = detailsOf(error).first

private fun detailsOf(error: CoreException): Pair<String, String?> =
    when (error) {
        is CoreException.InvalidArgument -> error.kind to error.reason
        is CoreException.InvalidState -> error.kind to error.reason
        is CoreException.Malformed -> error.kind to error.reason
        is CoreException.Limit -> error.kind to error.reason
        is CoreException.Busy -> error.kind to error.reason
        is CoreException.Closed -> error.kind to error.reason
        is CoreException.Cancelled -> error.kind to error.reason
        is CoreException.Remote -> error.kind to error.reason
        is CoreException.Timeout -> error.kind to error.reason
        is CoreException.Overflow -> error.kind to error.reason
        is CoreException.Role -> error.kind to error.reason
        is CoreException.Superseded -> error.kind to error.reason
        is CoreException.Io -> error.kind to error.reason
        is CoreException.Panic -> error.kind to error.reason
    }

private fun refusal(act: () -> Json): Json =
    try {
        act()
    } catch (error: CoreException) {
        mapOf("refused" to (detailsOf(error).second ?: throw error))
    }

private fun values(input: JsonNode): List<ByteArray> = input["values"].map(::valueOf)

/** Header fields in order, repeated ones included, as the OpenTelemetry API asks for them. */
private object Fields : TextMapGetter<JsonNode> {
    override fun keys(carrier: JsonNode): Iterable<String> = carrier.map { text(it[0]) }

    override fun get(carrier: JsonNode?, key: String): String? = getAll(carrier, key).asSequence().firstOrNull()

    override fun getAll(carrier: JsonNode?, key: String): Iterator<String> =
        carrier!!.filter { text(it[0]).equals(key, ignoreCase = true) }.map { text(it[1]) }.iterator()

    // Servers of Java read each byte of a header as a character.
    private fun text(value: JsonNode): String = String(valueOf(value), Charsets.ISO_8859_1)
}

private fun propagate(input: JsonNode): Json {
    var context = Context.root()
    contextOf(input["local"])?.let { local ->
        val state = TraceState.builder()
        val members = local.tracestate.split(',').filter(String::isNotEmpty)
        members.reversed().forEach { state.put(it.substringBefore('='), it.substringAfter('=')) }
        val parent = local.traceparent
        val flags = TraceFlags.fromHex(parent, 53)
        context = context.with(Span.wrap(SpanContext.create(parent.substring(3, 35), parent.substring(36, 52), flags, state.build())))
    }
    val propagator = Propagator()
    val injected = LinkedHashMap<String, String>()
    propagator.inject(propagator.extract(context, input["headers"], Fields), injected) { carrier, name, value -> carrier!![name] = value }
    return injected
}

private fun recognitionOf(input: JsonNode): Recognition =
    if (input["recognition"]?.textValue() == "always") Recognition.ANY else Recognition.CANONICAL

/** The reserved headers as they stand in a text envelope. */
private fun showHead(envelope: Envelope): Json =
    without(
        "wirespan" to envelope.versions,
        "role" to envelope.role,
        "traceparent" to envelope.span?.traceparent,
        "tracestate" to envelope.span?.tracestate,
        "baggage" to envelope.baggage,
        "session" to envelope.session,
        "kind" to envelope.kind,
        "method" to envelope.method,
        "stream" to envelope.stream?.toString(),
        "seq" to envelope.seq?.toString(),
        "end" to envelope.end,
        "error" to envelope.error,
        "content" to envelope.content,
        "sent" to envelope.sent,
    )

private fun showBody(body: Body, text: Boolean): Any? =
    when (body) {
        is Body.Text -> mapOf("text" to body.value)
        is Body.Json -> showMessage(body.value, text)
        is Body.Binary -> showMessage(body.value, text)
        is Body.Absent -> null
    }

private fun count(value: Boolean): Long = if (value) 1 else 0

private fun envelopeUnwrap(input: JsonNode): Json {
    val (message, text) = messageOf(input["message"])
    return when (val read = unwrap(message, text, recognitionOf(input))) {
        is Unwrapped.Plain -> mapOf("plain" to read.reason)
        is Unwrapped.Enveloped -> {
            val drops = read.drops
            val counts =
                without(
                    "context_invalid" to count(drops.contextInvalid),
                    "header_invalid" to drops.headerInvalid,
                    "header_repeated" to count(drops.headerRepeated),
                    "dropped_tracestate" to count(drops.tracestate),
                    "dropped_baggage" to count(drops.baggage),
                    "content_mismatch" to count(drops.contentMismatch),
                )
            val envelope = read.envelope
            without("headers" to showHead(envelope), "own" to showHeaders(envelope.headers), "counts" to counts) +
                mapOf("body" to showBody(envelope.body, text))
        }
    }
}

private fun envelopeWrap(input: JsonNode): Json {
    fun head(name: String): String? = input["headers"]?.get(name)?.textValue()
    val hasContext = input["headers"]?.has("traceparent") ?: false
    val made =
        wrap(
            Envelope(
                body = bodyOf(input["body"]),
                span = if (hasContext) contextOf(input["headers"]) else null,
                baggage = head("baggage"),
                session = head("session"),
                kind = head("kind"),
                method = head("method"),
                stream = head("stream")?.toLong(),
                seq = head("seq")?.toLong(),
                end = head("end"),
                error = head("error"),
                sent = head("sent"),
                versions = head("wirespan"),
                role = head("role"),
                headers = headersOf(input["own"]),
            ),
        )
    val counts =
        without(
            "dropped_baggage" to count(made.baggageDropped),
            "dropped_tracestate" to count(made.tracestateCut),
            "dropped_header" to made.ownDropped,
        )
    return mapOf("message" to showMessage(made.bytes, made.text)) + without("counts" to counts)
}

private fun envelopeConvert(input: JsonNode): Json {
    val (message, text) = messageOf(input["message"])
    val recognition = recognitionOf(input)
    val read = unwrap(message, text, recognition)
    if (read is Unwrapped.Plain) return mapOf("plain" to read.reason)
    return mapOf("head" to showMessage(convertHead(message, text, recognition), !text))
}

private fun itemOf(item: JsonNode): CarriedItem =
    CarriedItem(contextOf(item["context"]), item["session"]?.textValue(), item["sent"]?.textValue()?.toULong()?.toLong())

private fun names(names: JsonNode?): List<String> = names?.map(JsonNode::textValue) ?: emptyList()

private fun carryRead(input: JsonNode): Json {
    val read = carryFromHeaders(rawHeadersOf(input["headers"]), names(input["baggage_in"]))
    return without(
        "context" to showContext(read.span),
        "baggage" to showBaggage(read.baggage),
        "session" to read.sessionId,
        "sent" to read.sentUnixNs?.toULong()?.toString(),
        "counts" to without("context_invalid" to count(read.contextInvalid)),
    )
}

private fun metrics(input: JsonNode): Json {
    val options = input["options"]
    val threshold = options?.get("stall_threshold")?.longValue() ?: 1_000_000_000
    val skip = options?.get("skip_empty_first")?.booleanValue() ?: false
    val stalls = ArrayList<List<Long>>()
    val measured =
        input["series"].mapIndexed { number, steps ->
            val one = StreamMetrics(threshold, skip)
            for (step in steps) {
                when (step[0].textValue()) {
                    "start" -> one.start(step[1].longValue())
                    "chunk" ->
                        one.recordChunk(step[1].longValue(), step[2].longValue())?.let { stalls += listOf(number.toLong(), it.chunk, it.intervalNs) }
                    else -> one.finish(step[1].textValue(), step[2].longValue())
                }
            }
            one
        }
    measured.drop(1).forEach(measured[0]::merge)
    return without("stalls" to stalls) + mapOf("summary" to showSummary(measured[0].summary()))
}

private var wayTo: (Connection) -> Way = ::PublicWay

private val OPERATIONS: Map<String, (JsonNode) -> Json> =
    mapOf(
        "traceparent.parse" to { input -> refusal { without("traceparent" to parseTraceparent(values(input))) } },
        "tracestate.parse" to { input -> refusal { without("tracestate" to parseTracestate(values(input))) } },
        "baggage.parse" to { input ->
            val parsed = parseBaggage(values(input))
            without("members" to parsed.members.map { listOf(it.name, it.value, it.properties) }, "dropped" to parsed.dropped)
        },
        "baggage.write" to { input ->
            val members = input["members"].map { BaggageMember(it[0].textValue(), it[1].textValue(), it[2].textValue()) }
            val written = formatBaggage(members)
            without("baggage" to written.header, "dropped" to written.dropped)
        },
        "propagate" to ::propagate,
        "envelope.unwrap" to ::envelopeUnwrap,
        "envelope.wrap" to ::envelopeWrap,
        "envelope.convert" to ::envelopeConvert,
        "carry.to_headers" to { input ->
            without("headers" to showHeaders(carryToHeaders(itemOf(input), baggageOf(input["baggage"]), names(input["baggage_out"]))))
        },
        "carry.from_headers" to ::carryRead,
        "carry.plan_send" to { input ->
            mapOf("plan" to showPlan(planSend(input["destination"]?.textValue(), input["session"]?.textValue())))
        },
        "carry.plan_process" to { input ->
            val items = input["items"]?.map(::itemOf) ?: emptyList()
            val follow = input["continue"]?.booleanValue() ?: false
            mapOf("plan" to showPlan(planProcess(input["destination"]?.textValue(), items, follow, input["now"].textValue().toLong())))
        },
        "metrics" to ::metrics,
        "connection" to { input -> Script(wayTo).run(input) },
    )

private val FEATURES =
    listOf("traceparent", "tracestate", "baggage", "propagate", "text", "binary", "convert", "connection", "carry", "metrics")

private fun run(operation: String, input: JsonNode): Json {
    val act = OPERATIONS[operation] ?: return mapOf("unsupported" to operation)
    return try {
        mapOf("output" to act(input))
    } catch (error: CoreException) {
        mapOf("output" to mapOf("raises" to kindOf(error)))
    } catch (error: Exception) {
        mapOf("error" to error.stackTraceToString())
    }
}

private fun answer(request: JsonNode): Json =
    when (request["do"].textValue()) {
        "hello" ->
            mapOf(
                "implementation" to "wirespan",
                "version" to names().version,
                "language" to "kotlin",
                "spec" to listOf("1"),
                "features" to FEATURES,
            )
        "run" -> run(request["op"].textValue(), request["input"])
        else -> emptyMap()
    }

/** `--host` takes the way inside the package, in place of the public one. */
fun main(arguments: Array<String>) {
    if (arguments.contentEquals(arrayOf("--host"))) wayTo = ::HostWay
    for (line in generateSequence(::readLine)) {
        val request = JSON.readTree(line)
        println(JSON.writeValueAsString(mapOf("seq" to request["seq"]) + answer(request)))
        if (request["do"].textValue() == "stop") break
    }
}
