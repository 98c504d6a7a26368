package dev.wirespan

import dev.wirespan.core.BaggageMember
import io.opentelemetry.api.baggage.Baggage
import io.opentelemetry.api.baggage.BaggageBuilder
import io.opentelemetry.api.baggage.BaggageEntry
import io.opentelemetry.api.baggage.BaggageEntryMetadata
import io.opentelemetry.api.trace.Span
import io.opentelemetry.api.trace.SpanContext
import io.opentelemetry.api.trace.TraceFlags
import io.opentelemetry.api.trace.TraceState
import io.opentelemetry.api.trace.TraceStateBuilder
import io.opentelemetry.context.Context
import java.util.function.BiConsumer
import dev.wirespan.core.SpanContext as CoreSpanContext

/** The core's context of a span context of the API; none where that is not valid. */
internal fun SpanContext.toCore(): CoreSpanContext? {
    if (!isValid) return null
    val state = traceState
    val header =
        when {
            state.isEmpty -> ""
            state is LevelTwoTraceState -> state.header
            else -> buildString { state.forEach { key, value -> append(if (isEmpty()) "" else ",").append(key).append('=').append(value) } }
        }
    return CoreSpanContext("00-$traceId-$spanId-${traceFlags.asHex()}", header)
}

internal fun Context.coreSpan(): CoreSpanContext? = Span.fromContext(this).spanContext.toCore()

/** The API's context of a span that the core has read: its `traceparent` is a valid one of version 00. */
internal fun CoreSpanContext.toApi(remote: Boolean): SpanContext {
    val traceId = traceparent.substring(3, 35)
    val spanId = traceparent.substring(36, 52)
    val flags = TraceFlags.fromHex(traceparent, 53)
    val state = if (tracestate.isEmpty()) TraceState.getDefault() else LevelTwoTraceState(tracestate)
    return if (remote) {
        SpanContext.createFromRemoteParent(traceId, spanId, flags, state)
    } else {
        SpanContext.create(traceId, spanId, flags, state)
    }
}

/** A context that holds a remote span and baggage, on top of [base]. */
internal fun remoteContext(span: CoreSpanContext?, baggage: List<BaggageMember>, base: Context): Context {
    var context = base
    if (span != null) context = context.with(Span.wrap(span.toApi(true)))
    if (baggage.isNotEmpty()) context = context.with(baggage.toApi())
    return context
}

internal fun Context.coreBaggage(): List<BaggageMember> {
    val baggage = Baggage.fromContext(this)
    if (baggage.isEmpty) return emptyList()
    return baggage.asMap().map { (name, entry) -> BaggageMember(name, entry.value, entry.metadata.value) }
}

internal fun List<BaggageMember>.toApi(): Baggage =
    OrderedBaggage(associate { it.name to OrderedBaggage.Entry(it.value, BaggageEntryMetadata.create(it.properties)) })

/** Baggage in the order in which it came. The API's own class sorts it, and what is cut off at a limit would be another part. */
internal class OrderedBaggage(private val entries: Map<String, BaggageEntry>) : Baggage {
    internal class Entry(private val value: String, private val metadata: BaggageEntryMetadata) : BaggageEntry {
        override fun getValue(): String = value

        override fun getMetadata(): BaggageEntryMetadata = metadata
    }

    override fun size(): Int = entries.size

    override fun forEach(consumer: BiConsumer<in String, in BaggageEntry>) = entries.forEach(consumer)

    override fun asMap(): Map<String, BaggageEntry> = entries

    override fun getEntryValue(name: String): String? = entries[name]?.value

    override fun toBuilder(): BaggageBuilder {
        val builder = Baggage.builder()
        entries.forEach { (name, entry) -> builder.put(name, entry.value, entry.metadata) }
        return builder
    }
}

/** Members that the core has read. The API's own class knows the grammar of level 1 only and would drop some. */
internal class LevelTwoTraceState(val header: String) : TraceState {
    private val members: Map<String, String> =
        header.split(',').associate { member -> member.substringBefore('=') to member.substringAfter('=') }

    override fun get(key: String): String? = members[key]

    override fun size(): Int = members.size

    override fun isEmpty(): Boolean = members.isEmpty()

    override fun forEach(consumer: BiConsumer<String, String>) = members.forEach(consumer)

    override fun asMap(): Map<String, String> = members

    override fun toBuilder(): TraceStateBuilder {
        val builder = TraceState.builder()
        // A builder puts each new member to the left.
        members.entries.reversed().forEach { (key, value) -> builder.put(key, value) }
        return builder
    }

    override fun equals(other: Any?): Boolean = other is TraceState && other.asMap().entries.toList() == members.entries.toList()

    override fun hashCode(): Int = members.hashCode()

    override fun toString(): String = header
}
