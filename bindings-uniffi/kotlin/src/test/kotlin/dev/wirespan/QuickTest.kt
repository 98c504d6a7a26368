package dev.wirespan

import dev.wirespan.core.BaggageMember
import dev.wirespan.core.Body
import dev.wirespan.core.Connection
import dev.wirespan.core.FfiConverterRustBuffer
import dev.wirespan.core.FfiConverterSequenceTypeEvent
import dev.wirespan.core.FfiConverterTypeFrame
import dev.wirespan.core.FfiConverterTypePlannedStream
import dev.wirespan.core.FfiConverterTypeReceived
import dev.wirespan.core.Frame
import dev.wirespan.core.HandshakeRequest
import dev.wirespan.core.Header
import dev.wirespan.core.HeaderBytes
import dev.wirespan.core.Outgoing
import dev.wirespan.core.Payload
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.params.ParameterizedTest
import org.junit.jupiter.api.Test
import org.junit.jupiter.params.provider.ValueSource
import java.nio.ByteBuffer
import java.time.Duration
import kotlin.random.Random
import dev.wirespan.core.SpanContext as CoreSpanContext

/** What goes the quick way does what the generated methods do: both get the same, and give the same. */
class QuickTest {
    private val span = CoreSpanContext("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", "a=1,b=2")

    /** Two ends of a connection, made twice of the same. */
    private class Pair(options: Options) {
        val client = Connection.client(ByteArray(16) { 1 }, options.core)
        val server: Connection

        init {
            val asked = client.request("localhost", false, false).headers.map { HeaderBytes(it.name, it.value.toByteArray()) }
            val request = HandshakeRequest(asked, "")
            server = Connection.server(ByteArray(16) { 2 }, options.core, request)
            val answered = server.response(request).headers.map { HeaderBytes(it.name, it.value.toByteArray()) }
            client.openClient(answered, 0)
            server.openServer(0)
        }
    }

    /** Both ways to one end. */
    private class Both(val generated: Connection, private val quick: Quick) {
        /** What both ways give, as bytes; or the error that both raise. */
        private fun <T> same(converter: FfiConverterRustBuffer<T>, one: () -> T, other: () -> T): T? {
            val (expected, got) = attempt { core { one() } } to attempt(other)
            assertEquals(expected.exceptionOrNull()?.message, got.exceptionOrNull()?.message)
            val value = expected.getOrNull() ?: return null
            assertArrayEquals(bytes(converter, value), bytes(converter, got.getOrThrow()))
            return value
        }

        private fun <T> attempt(act: () -> T): Result<T> =
            try {
                Result.success(act())
            } catch (error: WirespanException) {
                Result.failure(error)
            }

        private fun <T> bytes(converter: FfiConverterRustBuffer<T>, value: T): ByteArray {
            val buffer = ByteBuffer.allocate(converter.allocationSize(value).toInt())
            converter.write(value, buffer)
            return buffer.array().copyOf(buffer.position())
        }

        fun send(message: Outgoing): Frame? = same(FfiConverterTypeFrame, { generated.send(message) }, { quick.send(message) })

        fun receive(frame: Frame, now: Long) =
            same(FfiConverterTypeReceived, { generated.receive(frame.bytes, frame.text, now) }, { quick.receive(frame.bytes, frame.text, now) })!!

        fun plan(transfer: Boolean, method: String?, current: CoreSpanContext?, now: Long) =
            same(
                FfiConverterTypePlannedStream,
                { if (transfer) generated.planTransfer(method, current, now) else generated.planCall(method, current, now) },
                { quick.plan(transfer, method, current, now) },
            )

        fun take(stream: Long, size: Int, now: Long) = assertEquals(generated.take(stream, size.toLong(), now), quick.take(stream, size, now))

        fun act(one: (Connection) -> Unit, other: (Quick) -> Unit) {
            assertEquals(attempt { core { one(generated) } }.exceptionOrNull()?.message, attempt { other(quick) }.exceptionOrNull()?.message)
        }

        fun events(): List<Frame> {
            val events = same(FfiConverterSequenceTypeEvent, { generated.pollEvents() }, { quick.events().first })!!
            assertEquals(generated.nextDeadline(), quick.events().second)
            return events.filterIsInstance<dev.wirespan.core.Event.Frame>().map { Frame(it.text, it.bytes, false, null) }
        }
    }

    private fun body(random: Random): Body {
        val size = if (random.nextInt(20) == 0) random.nextInt(30_000) else random.nextInt(300)
        val text = String(CharArray(size) { "abc \"\\\n\u0001{}[]1é\u4e2d".random(random) })
        return when (random.nextInt(5)) {
            0 -> Body.Binary(random.nextBytes(size))
            1 -> Body.Json("[$size]".toByteArray())
            2 -> Body.Absent(random.nextBoolean())
            3 -> Body.Text("""{"n":$size}""")
            else -> Body.Text(text)
        }
    }

    private fun <T> Random.maybe(value: T, otherwise: T): T = if (nextInt(4) == 0) value else otherwise

    @ParameterizedTest
    @ValueSource(longs = [1, 2, 3, 4, 5, 6])
    fun whatIsSentAndReceivedIsTheSameBothWays(seed: Long) {
        val random = Random(seed)
        val trust = listOf("continue", "link").random(random)
        val options = Options.DEFAULT.with("baggage_out", listOf("*")).with("baggage_in", listOf("*")).with("trust", trust)
        val (one, other) = Pair(options) to Pair(options)
        val client = Both(one.client, Quick(other.client))
        val server = Both(one.server, Quick(other.server))
        val streams = arrayListOf(0L)
        fun deliver(to: Both, frame: Frame, now: Long) {
            val received = to.receive(frame, now)
            val size = (received.payload as? Payload.Slice)?.length ?: (received.payload as? Payload.Text)?.value?.length ?: return
            to.take(received.stream, size, now)
        }
        for (step in 0L until 400) {
            val now = step * 1000
            val (from, to) = if (random.nextInt(4) == 0) server to client else client to server
            val stream = streams.random(random)
            when (random.nextInt(10)) {
                0 -> from.plan(random.nextBoolean(), random.maybe(null, "order"), random.maybe(null, span), now)?.let { streams.add(it.stream) }
                1 -> from.act({ it.end(stream, span, now, emptyList()) }, { it.end(stream, span, now, emptyList()) })
                2 -> from.act({ it.leave(stream, now) }, { it.leave(stream, now) })
                3 -> random.maybe({ from.act({ it.cancel(stream, now) }, { it.cancel(stream, now) }) }, {})()
                4 -> from.act({ it.fail(stream, "Boom", now) }, { it.fail(stream, "Boom", now) })
                else -> {
                    val headers = random.maybe(listOf(Header("tenant", "acme")), emptyList())
                    val baggage = random.maybe(listOf(BaggageMember("k", "a b")), emptyList())
                    val context = random.maybe(null, if (random.nextBoolean()) span else span.copy(tracestate = ""))
                    from.send(Outgoing(stream, body(random), now, context, random.nextInt(8) == 0, headers, baggage))?.let { deliver(to, it, now) }
                }
            }
            from.events().forEach { deliver(to, it, now) }
            to.events().forEach { deliver(from, it, now) }
        }
        assertEquals(one.client.counters(), other.client.counters())
        assertEquals(one.server.counters(), other.server.counters())
    }

    @Test
    fun aResultThatIsLongerThanItsRoomIsFetched() {
        val pair = Pair(Options.DEFAULT)
        val quick = Quick(pair.client)
        val stream = quick.plan(false, "order", span, 0).stream
        // Each of these takes six bytes in JSON.
        val text = "\u0001".repeat(100_000)
        val frame = quick.send(Outgoing(stream, Body.Text(text), 0, span))
        assertTrue(frame.bytes.size > 600_000)
        val received = Quick(pair.server).receive(frame.bytes, frame.text, 0)
        assertEquals(text, (received.payload as? Payload.Text)?.value)
    }

    @Test
    fun errorsAreThoseOfTheCore() {
        val quick = Quick(Pair(Options.DEFAULT).client)
        val wrong = CoreSpanContext("00-" + "0".repeat(32) + "-b7ad6b7169203331-01")
        val error = assertThrows(WirespanException::class.java) { quick.send(Outgoing(0, Body.Text("1"), 0, wrong)) }
        assertEquals(listOf(ErrorKind.MALFORMED, "traceparent", "zero_id", 3L), listOf(error.kind, error.field, error.reason, error.offset))
        assertEquals(ErrorKind.INVALID_STATE, assertThrows(WirespanException::class.java) { quick.end(77, span, 0, emptyList()) }.kind)
        quick.close()
        assertEquals(ErrorKind.INVALID_STATE, assertThrows(WirespanException::class.java) { quick.events() }.kind)
    }

    @Test
    fun whoClosesThePublicConnectionDoesNotTakeTheOtherOneAway() {
        val pair = Pair(Options.DEFAULT)
        val quick = Quick(pair.client)
        pair.client.close()
        System.gc()
        assertEquals(ErrorKind.INVALID_STATE, assertThrows(WirespanException::class.java) { quick.end(77, span, 0, emptyList()) }.kind)
    }

    @Test
    fun aLoneSurrogateDoesNotStopAMessage() {
        val quick = Quick(Pair(Options.DEFAULT).client)
        for (headers in listOf(emptyList(), listOf(Header("x", "1")))) {
            val frame = quick.send(Outgoing(0, Body.Text("a\ud800b"), 0, span, headers = headers))
            assertTrue(String(frame.bytes).contains("\"a?b\""), String(frame.bytes))
        }
    }

    @Test
    fun chunksAreMeasuredByThemselves() {
        val metrics = StreamMetrics(Duration.ofMillis(5))
        metrics.start()
        assertNull(metrics.recordChunk(10))
        assertNull(metrics.recordChunk(20))
        metrics.recordChunk(30)
        Thread.sleep(20)
        val stall = metrics.recordChunk(40)
        assertTrue(stall != null && stall >= Duration.ofMillis(20), "$stall")
        metrics.finish("complete")
        val summary = metrics.summary()
        assertEquals(listOf(4L, 100L), listOf(summary.chunks, summary.bytes))
        val merged = StreamMetrics()
        merged.merge(metrics)
        assertEquals(4, merged.summary().chunks)
    }
}
