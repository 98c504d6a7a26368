package dev.wirespan

import dev.wirespan.core.SpanEnd
import dev.wirespan.core.Summary
import io.opentelemetry.api.OpenTelemetry
import io.opentelemetry.api.common.Attributes
import io.opentelemetry.api.metrics.DoubleHistogram

/** What goes to the host's meter (names of SPEC.md); never a session id. */
internal class Meters(openTelemetry: OpenTelemetry) {
    private val meter = openTelemetry.meterBuilder("wirespan").build()
    private val firstChunk = seconds("websocket.stream.time_to_first_chunk")
    private val lastChunk = seconds("websocket.stream.time_to_last_chunk")
    private val duration = seconds("websocket.connection.duration")
    private val chunks = meter.counterBuilder("websocket.stream.chunks").build()
    private val messages = meter.counterBuilder("websocket.messages").build()
    private val active = meter.upDownCounterBuilder("websocket.connections.active").build()
    private val dropped = meter.counterBuilder("wirespan.dropped").build()

    private fun seconds(name: String): DoubleHistogram = meter.histogramBuilder(name).setUnit("s").build()

    private fun attributes(vararg pairs: Pair<String, String?>): Attributes {
        val builder = Attributes.builder()
        for ((name, value) in pairs) if (value != null) builder.put(name, value)
        return builder.build()
    }

    /** The counters of messages for one role, so that nothing is made for each message. */
    inner class OfRole(private val role: String) {
        private val sent = attributes("direction" to "sent", "role" to role)
        private val received = attributes("direction" to "received", "role" to role)
        private val own = attributes("role" to role)

        fun sent() = messages.add(1, sent)

        fun received() = messages.add(1, received)

        fun opened() = active.add(1, own)

        /** The connection has closed after so many nanoseconds. */
        fun closed(lasted: Long, counters: Map<String, Long>) {
            active.add(-1, own)
            duration.record(lasted / 1e9, own)
            for ((reason, count) in counters) if (count > 0) dropped.add(count, attributes("reason" to reason))
        }

        /** A stream has ended; [method] is a registered one. */
        fun ended(end: SpanEnd, method: String?) {
            direction(end.sent, "sent", end, method)
            direction(end.received, "received", end, method)
        }

        private fun direction(summary: Summary?, direction: String, end: SpanEnd, method: String?) {
            if (summary == null || summary.chunks == 0L) return
            val all = attributes("direction" to direction, "role" to role, "rpc.method" to method, "error.type" to end.errorType)
            chunks.add(summary.chunks, all)
            summary.timeToFirstChunk?.let { firstChunk.record(it, all) }
            summary.timeToLastChunk?.let { lastChunk.record(it, all) }
        }
    }
}
