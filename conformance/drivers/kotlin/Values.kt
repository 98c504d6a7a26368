/** How the protocol's JSON writes messages, bodies, contexts, plans and summaries. */
package dev.wirespan.conformance

import com.fasterxml.jackson.databind.JsonNode
import dev.wirespan.core.Attribute
import dev.wirespan.core.AttributeValue
import dev.wirespan.core.BaggageMember
import dev.wirespan.core.Body
import dev.wirespan.core.Header
import dev.wirespan.core.HeaderBytes
import dev.wirespan.core.Parent
import dev.wirespan.core.Plan
import dev.wirespan.core.SpanContext
import dev.wirespan.core.Summary
import dev.wirespan.core.parseTraceparent
import dev.wirespan.core.parseTracestate
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction
import java.util.Base64

typealias Json = Map<String, Any?>

fun bytesOf(base64: String): ByteArray = Base64.getDecoder().decode(base64)

fun base64Of(bytes: ByteArray): String = Base64.getEncoder().encodeToString(bytes)

/** A header's value: a text, or bytes that need not be one. */
fun valueOf(value: JsonNode): ByteArray = if (value.isTextual) value.textValue().toByteArray() else bytesOf(value["base64"].textValue())

fun rawHeadersOf(headers: JsonNode?): List<HeaderBytes> =
    headers?.map { HeaderBytes(String(valueOf(it[0]), Charsets.UTF_8), valueOf(it[1])) } ?: emptyList()

fun headersOf(headers: JsonNode?): List<Header> = headers?.map { Header(it[0].textValue(), it[1].textValue()) } ?: emptyList()

fun showHeaders(headers: List<Header>): List<List<String>> = headers.map { listOf(it.name, it.value) }

/** A message as bytes, and whether it is text. */
fun messageOf(message: JsonNode): Pair<ByteArray, Boolean> =
    when {
        message.has("text") -> message["text"].textValue().toByteArray() to true
        message.has("text_base64") -> bytesOf(message["text_base64"].textValue()) to true
        else -> bytesOf(message["binary"].textValue()) to false
    }

fun showMessage(bytes: ByteArray, text: Boolean): Json {
    if (!text) return mapOf("binary" to base64Of(bytes))
    val decoder = Charsets.UTF_8.newDecoder().onMalformedInput(CodingErrorAction.REPORT)
    return try {
        mapOf("text" to decoder.decode(ByteBuffer.wrap(bytes)).toString())
    } catch (_: CharacterCodingException) {
        mapOf("text_base64" to base64Of(bytes))
    }
}

fun bodyOf(body: JsonNode): Body =
    when {
        body.has("text") -> Body.Text(body["text"].textValue())
        body.has("json") -> Body.Json(body["json"].textValue().toByteArray())
        body.has("binary") -> Body.Binary(bytesOf(body["binary"].textValue()))
        else -> Body.Absent(body["none"].textValue() == "text")
    }

fun contextOf(context: JsonNode?): SpanContext? {
    if (context == null || context.isNull) return null
    val shown = if (context.isTextual) null else context
    val traceparent = (shown?.get("traceparent") ?: context).textValue()
    val tracestate = shown?.get("tracestate")?.textValue()
    val parsed = parseTraceparent(listOf(traceparent.toByteArray())) ?: return null
    return SpanContext(parsed, if (tracestate == null) "" else parseTracestate(listOf(tracestate.toByteArray())))
}

fun showContext(context: SpanContext?): Json? =
    context?.let { without("traceparent" to it.traceparent, "tracestate" to it.tracestate) }

fun baggageOf(baggage: JsonNode?): List<BaggageMember> =
    baggage?.properties()?.map { (name, value) -> BaggageMember(name, value.textValue()) } ?: emptyList()

fun showBaggage(baggage: List<BaggageMember>): Json = baggage.associate { it.name to it.value }

fun showAttributes(attributes: List<Attribute>): Json =
    attributes.associate { attribute ->
        attribute.key to
            when (val value = attribute.value) {
                is AttributeValue.Text -> value.value
                is AttributeValue.Whole -> value.value
                is AttributeValue.Number -> value.value
            }
    }

/** A plan without its span. */
fun showPlan(plan: Plan): Json {
    val parent =
        when (val parent = plan.parent) {
            is Parent.Root -> "root"
            is Parent.Current -> "current"
            is Parent.Connection -> "connection"
            is Parent.Remote -> mapOf("remote" to showContext(parent.span))
        }
    val links = plan.links.map { link -> showContext(link.span)!! + if (link.remote) mapOf("remote" to true) else emptyMap() }
    val attributes = showAttributes(plan.attributes)
    return without("name" to plan.name, "kind" to plan.kind, "parent" to parent, "links" to links, "attributes" to attributes)
}

fun showSummary(summary: Summary): Json =
    mapOf(
        "chunks" to summary.chunks,
        "bytes" to summary.bytes,
        "time_to_first_chunk" to summary.timeToFirstChunk,
        "time_to_last_chunk" to summary.timeToLastChunk,
        "rate" to summary.rate,
        "intervals" to summary.intervals,
        "interval.avg" to summary.intervalAvg,
        "interval.min" to summary.intervalMin,
        "interval.max" to summary.intervalMax,
        "interval.p50" to summary.intervalP50,
        "interval.p90" to summary.intervalP90,
        "interval.p95" to summary.intervalP95,
        "interval.p99" to summary.intervalP99,
        "stalls" to summary.stalls,
        "stall_time" to summary.stallTime,
        "clock_back" to summary.clockBack,
        "outcome" to summary.outcome,
        "relative_error" to summary.relativeError,
    ).filterValues { it != null }

/** Leaves out what is absent, empty or zero. */
fun without(vararg shown: Pair<String, Any?>): Json = shown.toMap().filterValues { !isNothing(it) }

private fun isNothing(value: Any?): Boolean =
    when (value) {
        null, false, "" -> true
        is Long -> value == 0L
        is Collection<*> -> value.isEmpty()
        is Map<*, *> -> value.isEmpty()
        else -> false
    }
