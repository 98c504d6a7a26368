/** Scripts of connections: each step is one call of the package's sans-IO `Connection`. */
package dev.wirespan.conformance

import com.fasterxml.jackson.databind.JsonNode
import dev.wirespan.WirespanException
import dev.wirespan.core.Connection
import dev.wirespan.core.CoreException
import dev.wirespan.core.Event
import dev.wirespan.core.HandshakeRequest
import dev.wirespan.core.OptionSetting
import dev.wirespan.core.OptionValue
import dev.wirespan.core.Options
import dev.wirespan.core.Outgoing
import dev.wirespan.core.Payload
import dev.wirespan.core.Plan
import dev.wirespan.core.PlannedStream
import dev.wirespan.core.SessionRegistry
import dev.wirespan.core.UpgradeAdditions
import dev.wirespan.core.names
import java.util.HexFormat

private val NAMES = names()
private val OWN_SPANS = mapOf("connection" to NAMES.connectionSpan, "handshake" to NAMES.handshakeSpan)

private fun optionsOf(options: JsonNode?): Options =
    Options(
        options?.properties()?.map { (name, value) ->
            OptionSetting(
                name,
                when {
                    value.isTextual -> OptionValue.Text(value.textValue())
                    value.isBoolean -> OptionValue.Flag(value.booleanValue())
                    value.isNumber -> OptionValue.Number(value.longValue())
                    else -> OptionValue.Names(value.map(JsonNode::textValue))
                },
            )
        } ?: emptyList(),
    )

/** A connection of the script, with what it was made of. */
private class Side(val connection: Connection, val way: Way, val number: Int, val request: HandshakeRequest?) {
    fun close() {
        way.close()
        connection.close()
    }
}

internal class Script(private val wayTo: (Connection) -> Way) {
    private val sides = HashMap<String, Side>()
    private var made = 0
    private val registries = HashMap<String, SessionRegistry>()

    /** Names of connections by registry and number. */
    private val registered = HashMap<Pair<String?, Long?>, String>()

    /** Names of streams by connection and number, and numbers by name. */
    private val names = HashMap<Pair<Int, Long>, String>()
    private val numbers = hashMapOf("plain" to NAMES.plainStream)

    fun run(input: JsonNode): Json {
        val steps = input["steps"].map(::step)
        // Their memory is outside of the JVM; a driver runs thousands of scripts.
        sides.values.forEach(Side::close)
        registries.values.forEach { it.close() }
        return mapOf("steps" to steps)
    }

    private fun step(step: JsonNode): Json {
        val on = step["on"]?.textValue() ?: "c"
        val result =
            try {
                act(step, on)
            } catch (error: CoreException) {
                mapOf("raises" to kindOf(error))
            } catch (error: WirespanException) {
                mapOf("raises" to error.kind.label)
            }
        val side = sides[on] ?: return result
        val events = side.way.events().map { event(side, it) }
        return result + without("events" to events)
    }

    private fun act(step: JsonNode, on: String): Json {
        when (step["do"].textValue()) {
            "client" -> return client(step, on)
            "server" -> return server(step, on)
        }
        val side = sides.getValue(on)
        val (at, way) = side.connection to side.way
        val now = step["at"]?.longValue() ?: 0
        when (val verb = step["do"].textValue()) {
            "plan_handshake" -> {
                val plans = at.planHandshake(contextOf(step["http"]), step["current"]?.booleanValue() ?: false)
                return without("plans" to plans.map { plan(side, it) })
            }
            "span_started" -> {
                val name = step["span"].textValue()
                at.spanStarted(OWN_SPANS[name] ?: numbers.getValue(name), contextOf(step["context"])!!)
            }
            "request" -> return request(step, at)
            "response" -> return additions(at.response(side.request!!, step["selected"]?.textValue()))
            "open" -> if (at.role() == "server") at.openServer(now) else at.openClient(rawHeadersOf(step["headers"]), now)
            "fail_handshake" -> at.failHandshake(step["error"].textValue())
            "methods" -> at.setMethods(step["names"].map(JsonNode::textValue))
            "plain_policy" -> at.setPlainPolicy(step["policy"].textValue())
            "call" -> return begun(side, way.plan(false, step["method"]?.textValue(), contextOf(step["current"]), now))
            "transfer" -> return begun(side, way.plan(true, step["method"]?.textValue(), contextOf(step["current"]), now))
            "send" -> return send(step, way, now)
            "end" -> way.end(stream(step), contextOf(step["context"]), now, baggageOf(step["baggage"]))
            "leave" -> way.leave(stream(step), now)
            "cancel" -> way.cancel(stream(step), now)
            "fail" -> way.fail(stream(step), step["error"].textValue(), now)
            "take" -> way.take(stream(step), step["bytes"].intValue(), now)
            "receive" -> return receive(step, side, now)
            "on_time" -> at.onTime(now)
            "on_close" -> at.onClose(step["code"]?.intValue(), step["reason"]?.textValue() ?: "", now)
            "on_superseded" -> at.onSuperseded(now)
            "deadline" -> return way.deadline()?.let { mapOf("deadline" to it) } ?: emptyMap()
            "state" -> return state(at)
            "counters" -> return without("counters" to at.counters().filterValues { it != 0L })
            "metrics" -> return at.metrics(stream(step)).zip(listOf("sent", "received")).associate { (it, name) -> name to showSummary(it) }
            else -> error("no step $verb")
        }
        return emptyMap()
    }

    private fun stream(step: JsonNode): Long = numbers.getValue(step["stream"].textValue())

    private fun keep(on: String, connection: Connection, request: HandshakeRequest? = null) {
        made += 1
        sides[on] = Side(connection, wayTo(connection), made, request)
    }

    private fun entropy(step: JsonNode): ByteArray = HexFormat.of().parseHex(step["entropy"].textValue())

    private fun client(step: JsonNode, on: String): Json {
        var options = optionsOf(step["options"])
        step["resume"]?.let { options = options.copy(resume = sides.getValue(it.textValue()).connection.resumption()) }
        keep(on, Connection.client(entropy(step), options, step["address"]?.textValue(), step["port"]?.intValue()))
        return emptyMap()
    }

    private fun server(step: JsonNode, on: String): Json {
        val given = step["request"]
        val request = HandshakeRequest(rawHeadersOf(given?.get("headers")), given?.get("query")?.textValue() ?: "")
        val name = step["registry"]?.textValue()
        val registry =
            name?.let { registries.getOrPut(it) { SessionRegistry(step["max_sessions"]?.longValue(), step["max_per_remote"]?.longValue()) } }
        val connection =
            Connection.server(
                entropy(step),
                optionsOf(step["options"]),
                request,
                step["address"]?.textValue(),
                step["port"]?.intValue(),
                registry,
                step["remote"]?.textValue(),
                step["vouched"]?.booleanValue(),
            )
        val superseded = registered[name to connection.superseded()]
        registered[name to connection.connectionId()] = on
        keep(on, connection, request)
        return without("proposed" to request.proposedSession(), "subprotocols" to request.applicationSubprotocols(), "superseded" to superseded)
    }

    private fun request(step: JsonNode, at: Connection): Json {
        fun flag(name: String) = step[name]?.booleanValue() ?: false
        val host = step["host"]?.textValue() ?: ""
        return additions(at.request(host, flag("has_subprotocol"), flag("has_trace_context"), contextOf(step["context"])))
    }

    private fun additions(added: UpgradeAdditions): Json =
        without("headers" to showHeaders(added.headers), "subprotocol" to added.subprotocol, "query" to added.query)

    private fun send(step: JsonNode, way: Way, now: Long): Json {
        val last = step["last"]?.booleanValue() ?: false
        val context = contextOf(step["context"])
        val baggage = baggageOf(step["baggage"])
        val frame = way.send(Outgoing(stream(step), bodyOf(step["body"]), now, context, last, headersOf(step["headers"]), baggage))
        return mapOf("message" to showMessage(frame.bytes, frame.text))
    }

    private fun receive(step: JsonNode, side: Side, now: Long): Json {
        val (message, text) = messageOf(step["message"])
        val received = side.way.receive(message, text, now)
        val payload =
            when (val payload = received.payload) {
                is Payload.Nothing -> null
                is Payload.Slice -> showMessage(message.copyOfRange(payload.offset, payload.offset + payload.length), text)
                is Payload.Text -> mapOf("text" to payload.value)
            }
        val stream =
            when {
                received.stream != NAMES.plainStream -> name(side, received.stream)
                payload != null -> "plain"
                else -> null
            }
        val opened =
            received.opened?.let {
                without("kind" to it.kind, "method" to it.method, "registered" to it.registered, "plan" to plan(side, it.plan))
            }
        return without(
            "stream" to stream,
            "payload" to payload,
            "opened" to opened,
            "context" to showContext(received.context),
            "link" to showContext(received.link),
            "baggage" to showBaggage(received.baggage),
            "headers" to showHeaders(received.headers),
        )
    }

    private fun state(at: Connection): Json {
        val state = at.state()
        val shown = mapOf("peer" to state.peer, "session" to state.sessionId, "open" to state.open, "ready" to state.ready)
        return shown + mapOf("may_read" to state.mayRead) + without("streams" to state.openStreams)
    }

    private fun event(side: Side, event: Event): Json =
        when (event) {
            is Event.Frame -> mapOf("event" to "frame", "message" to showMessage(event.bytes, event.text))
            is Event.SpanUpdate ->
                without("event" to "span_update", "span" to span(side, event.span), "attributes" to showAttributes(event.attributes))
            is Event.SpanEnds -> {
                val events =
                    event.end.events.map { without("name" to it.name, "attributes" to showAttributes(it.attributes)) + mapOf("at" to it.atNs) }
                without(
                    "event" to "span_end",
                    "span" to span(side, event.end.span),
                    "error" to event.end.isError,
                    "attributes" to showAttributes(event.end.attributes),
                    "events" to events,
                )
            }
            is Event.ReadEnd ->
                without(
                    "event" to "read_end",
                    "stream" to name(side, event.stream),
                    "end" to if (event.errorKind == null) "complete" else "failed",
                    "kind" to event.errorKind,
                    "error_type" to event.errorType,
                )
            is Event.PauseReading -> mapOf("event" to "pause_reading")
            is Event.ResumeReading -> mapOf("event" to "resume_reading")
            is Event.Ready -> mapOf("event" to "ready")
            is Event.SessionChanged -> mapOf("event" to "session_changed", "previous" to event.previous)
        }

    private fun plan(side: Side, plan: Plan): Json = mapOf("span" to span(side, plan.span)) + showPlan(plan)

    private fun begun(side: Side, begun: PlannedStream): Json =
        mapOf("stream" to name(side, begun.stream), "plan" to plan(side, begun.plan))

    private fun span(side: Side, span: Long): String =
        OWN_SPANS.entries.find { it.value == span }?.key ?: name(side, span)

    private fun name(side: Side, stream: Long): String =
        names.getOrPut(side.number to stream) { "s${names.size + 1}".also { numbers[it] = stream } }
}
