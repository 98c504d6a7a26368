/**
 * Messages: the envelope of a connection beside one written by hand. Both get the same body and the same span, and give the same result.
 * The product is what an application calls: a connection with its lock, its state, its counters, and a transport that keeps a frame.
 */
package dev.wirespan.bench

import dev.wirespan.Call
import dev.wirespan.TracedConnection
import kotlin.math.max
import kotlin.math.min

private const val FILLER = "The quick brown fox jumps over the lazy dog. "

/** A body of a size, and the ways in which it is sent and read by hand. */
private class Sample(
    val form: String,
    val body: ByteArray,
    val send: (Call, ByteArray) -> Unit,
    val sendPlain: (TracedConnection, ByteArray) -> Unit,
    val written: Map<String, Sampler>,
    val read: Map<String, Sampler>,
)

internal class Messages(private val rows: Rows) {
    private val span = newSpan()

    fun measure(sizes: List<Int>) {
        for (size in sizes) {
            val text = text(size)
            encodes(size, text)
            strings(size)
            decodes(size, text)
            always(size, text)
            val binary = binary(size)
            encodes(size, binary)
            decodes(size, binary)
        }
    }

    private fun textOf(size: Int) = FILLER.repeat(size / FILLER.length + 1).take(max(1, size - 11))

    private fun text(size: Int): Sample {
        val value = mapOf("text" to textOf(size))
        val raw = """{"text":"${value["text"]}"}""".toByteArray()
        val frame = ByHand.spliced(span, raw)
        return Sample(
            "text",
            raw,
            { call, body -> call.sendJson(body) },
            { connection, body -> connection.sendJson(body) },
            mapOf(SPLICED to repeated { ByHand.spliced(span, raw) }, BOUND to repeated { ByHand.bound(span, value) }),
            mapOf(SLICED to repeated { ByHand.sliced(frame) }, TREE to repeated { ByHand.tree(frame) }),
        )
    }

    private fun binary(size: Int): Sample {
        val bytes = ByteArray(size) { (it % 251).toByte() }
        val (length, base64) = ByHand.length(span, bytes) to ByHand.bound(span, ByHand.toBase64(bytes))
        return Sample(
            "binary",
            bytes,
            { call, body -> call.send(body) },
            { connection, body -> connection.send(body) },
            mapOf(LENGTH to repeated { ByHand.length(span, bytes) }, BASE64 to repeated { ByHand.bound(span, ByHand.toBase64(bytes)) }),
            mapOf(LENGTH to repeated { ByHand.afterLength(length) }, BASE64 to repeated { ByHand.base64(base64) }),
        )
    }

    private fun batch(size: Int) = max(10, min(200, (1 shl 22) / size))

    /** Rows of sending one body: first message of a call, later chunk, message outside every call. */
    private fun encodes(size: Int, sample: Sample) {
        fun what(operation: String) = What(operation, size, sample.form, "announced")
        val body = sample.body
        val floor = repeated { body.copyOf() }
        val ends = Ends()
        val call = span.makeCurrent().use { ends.client.call("order") }
        sample.send(call, body)
        rows.measure(what("encode.later"), repeated { sample.send(call, body); ends.wire.last }, sample.written, floor)
        span.makeCurrent().use {
            rows.measure(what("encode.plain"), repeated { sample.sendPlain(ends.client, body); ends.wire.last }, sample.written, floor)
        }
        val count = batch(size)
        val firsts =
            prepared(count) {
                val opened = Ends()
                val calls = span.makeCurrent().use { List(count) { opened.client.call("order") } }
                ({ n -> sample.send(calls[n], body); opened.wire.last })
            }
        rows.measure(what("encode.first"), firsts, sample.written, floor)
    }

    /** A string of which nobody knows whether it is JSON. */
    private fun strings(size: Int) {
        val text = textOf(size)
        val ends = Ends()
        val call = span.makeCurrent().use { ends.client.call("order") }
        call.send(text)
        val what = What("encode.string", size, "text", "announced")
        rows.measure(what, repeated { call.send(text); ends.wire.last }, mapOf(BOUND to repeated { ByHand.bound(span, text) }))
    }

    private fun framesOf(sample: Sample, count: Int): List<ByteArray> {
        val ends = Ends()
        val call = span.makeCurrent().use { ends.client.call("order") }
        return List(count) { sample.send(call, sample.body); ends.wire.last }
    }

    private fun plainOf(sample: Sample): ByteArray {
        val ends = Ends()
        span.makeCurrent().use { sample.sendPlain(ends.client, sample.body) }
        return ends.wire.last
    }

    /** Rows of receiving, from a peer that announced itself. */
    private fun decodes(size: Int, sample: Sample) {
        fun what(operation: String) = What(operation, size, sample.form, "announced")
        val isText = sample.form == "text"
        val frame = plainOf(sample)
        val lazy = Ends().server
        rows.measure(what("decode.lazy"), repeated { lazy.received(frame, isText); lazy.recv()!!.bytes }, sample.read)
        var seen: Any? = null
        val within = Ends { onMessage { _, message -> seen = message.context to message.bytes } }.server
        rows.measure(what("decode.context"), repeated { within.received(frame, isText); seen }, sample.read)
        val chunks = framesOf(sample, batch(size))
        val later =
            prepared(chunks.size - 1) {
                val server = Ends().server
                val calls = server.calls().iterator()
                server.received(chunks[0], isText)
                val call = calls.next()
                call.recv()
                ({ n -> server.received(chunks[n + 1], isText); call.recv()!!.bytes })
            }
        rows.measure(what("decode.later"), later, sample.read)
    }

    /** The full check of a peer that may send any JSON. */
    private fun always(size: Int, sample: Sample) {
        val frame = plainOf(sample)
        var seen: Any? = null
        val server = Ends(always = true) { onMessage { _, message -> seen = message.context to message.bytes } }.server
        rows.measure(What("decode.context", size, "text", "always"), repeated { server.received(frame, true); seen }, sample.read)
    }
}
