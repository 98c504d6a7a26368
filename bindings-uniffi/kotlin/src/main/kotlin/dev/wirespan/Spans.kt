package dev.wirespan

import dev.wirespan.core.Attribute
import dev.wirespan.core.AttributeValue
import dev.wirespan.core.Parent
import dev.wirespan.core.Plan
import dev.wirespan.core.SpanEnd
import io.opentelemetry.api.OpenTelemetry
import io.opentelemetry.api.common.Attributes
import io.opentelemetry.api.common.AttributesBuilder
import io.opentelemetry.api.trace.Span
import io.opentelemetry.api.trace.SpanKind
import io.opentelemetry.api.trace.StatusCode
import io.opentelemetry.context.Context
import java.util.concurrent.TimeUnit

/** The clocks: the core measures by the monotonic one, spans are recorded by the wall clock. */
internal object Clock {
    // A reading of the JVM's clock may be negative.
    private val start = System.nanoTime()
    private val wallAtStart = wall()

    /** Monotonic nanoseconds. */
    fun now(): Long = System.nanoTime() - start

    /** Unix nanoseconds. */
    fun wall(): Long {
        val instant = java.time.Instant.now()
        return instant.epochSecond * 1_000_000_000 + instant.nano
    }

    fun toWall(now: Long): Long = wallAtStart + now
}

/** Starts and ends the spans that plans ask for, with whatever SDK or agent is in the process. */
internal class SpanMaker(openTelemetry: OpenTelemetry) {
    private val tracer = openTelemetry.tracerBuilder("wirespan").setInstrumentationVersion(VERSION).build()

    /** Starts the span of a plan and gives the context that holds it. [connection] holds the connection's own span. */
    fun start(plan: Plan, connection: Context?, baggage: List<dev.wirespan.core.BaggageMember> = emptyList()): Context {
        // What the current context holds beside its span stays.
        val current = Context.current()
        val base =
            when (val parent = plan.parent) {
                is Parent.Remote -> remoteContext(parent.span, baggage, current)
                is Parent.Current -> current
                is Parent.Connection -> remoteContext(null, baggage, current.with(connection?.let(Span::fromContext) ?: Span.getInvalid()))
                is Parent.Root -> remoteContext(null, baggage, current.with(Span.getInvalid()))
            }
        val builder = tracer.spanBuilder(plan.name).setParent(base).setSpanKind(SpanKind.valueOf(plan.kind))
        for (link in plan.links) builder.addLink(link.span.toApi(link.remote))
        builder.setAllAttributes(attributes(plan.attributes))
        return base.with(builder.startSpan())
    }

    fun update(context: Context, attributes: List<Attribute>) {
        Span.fromContext(context).setAllAttributes(attributes(attributes))
    }

    /** Ends a span: attributes, events, status. */
    fun end(context: Context, end: SpanEnd) {
        val span = Span.fromContext(context)
        if (span.isRecording) {
            span.setAllAttributes(attributes(end.attributes))
            for (event in end.events) {
                span.addEvent(event.name, attributes(event.attributes), Clock.toWall(event.atNs), TimeUnit.NANOSECONDS)
            }
            if (end.isError) span.setStatus(StatusCode.ERROR)
        }
        span.end()
    }

    companion object {
        val VERSION: String by lazy { core { dev.wirespan.core.names() }.version }

        fun attributes(list: List<Attribute>): Attributes {
            val builder = Attributes.builder()
            for (attribute in list) put(builder, attribute)
            return builder.build()
        }

        private fun put(builder: AttributesBuilder, attribute: Attribute) {
            when (val value = attribute.value) {
                is AttributeValue.Text -> builder.put(attribute.key, value.value)
                is AttributeValue.Whole -> builder.put(attribute.key, value.value)
                is AttributeValue.Number -> builder.put(attribute.key, value.value)
            }
        }
    }
}
