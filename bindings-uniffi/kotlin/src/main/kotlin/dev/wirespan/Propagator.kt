package dev.wirespan

import dev.wirespan.core.HeaderBytes
import dev.wirespan.core.extract
import dev.wirespan.core.inject
import io.opentelemetry.context.Context
import io.opentelemetry.context.propagation.TextMapGetter
import io.opentelemetry.context.propagation.TextMapPropagator
import io.opentelemetry.context.propagation.TextMapSetter
import io.opentelemetry.sdk.autoconfigure.spi.ConfigProperties
import io.opentelemetry.sdk.autoconfigure.spi.ConfigurablePropagatorProvider

private val FIELDS = listOf("traceparent", "tracestate", "baggage")

/** W3C Trace Context level 2 and W3C Baggage, to the letter, for every carrier that the OpenTelemetry API knows. */
class Propagator : TextMapPropagator {
    override fun fields(): Collection<String> = FIELDS

    override fun <C> inject(context: Context, carrier: C?, setter: TextMapSetter<C>) {
        val span = context.coreSpan()
        val baggage = context.coreBaggage()
        if (span == null && baggage.isEmpty()) return
        for (header in core { inject(span, baggage) }) setter.set(carrier, header.name, header.value)
    }

    override fun <C> extract(context: Context, carrier: C?, getter: TextMapGetter<C>): Context {
        if (carrier == null) return context
        val headers = ArrayList<HeaderBytes>(3)
        for (name in FIELDS) {
            for (value in getter.getAll(carrier, name)) headers.add(HeaderBytes(name, headerBytes(value)))
        }
        if (headers.isEmpty()) return context
        val extracted = core { extract(headers) }
        return remoteContext(extracted.span, extracted.baggage, context)
    }

    override fun toString(): String = "Propagator(wirespan)"
}

/** The bytes of a header's value. Servers of Java read each byte as a character, others read UTF-8. */
internal fun headerBytes(value: String): ByteArray =
    if (value.all { it.code < 0x100 }) value.toByteArray(Charsets.ISO_8859_1) else value.toByteArray()

/** Lets `OTEL_PROPAGATORS=wirespan` choose [Propagator]. */
class PropagatorProvider : ConfigurablePropagatorProvider {
    override fun getPropagator(config: ConfigProperties): TextMapPropagator = Propagator()

    override fun getName(): String = "wirespan"
}
