/** The parts that stand alone: crossing into native code, stream metrics, carry. */
package dev.wirespan.bench

import dev.wirespan.Carried
import dev.wirespan.CarryExecutorService
import dev.wirespan.CarryQueue
import dev.wirespan.Quick
import dev.wirespan.StreamMetrics
import dev.wirespan.core.IntegrityCheckingUniffiLib
import io.opentelemetry.context.Context
import java.util.concurrent.AbstractExecutorService
import java.util.concurrent.LinkedBlockingQueue
import java.util.concurrent.TimeUnit

private const val CHUNKS = 1000

/** What one writes for time to first chunk and the average interval. */
private class PlainMetrics {
    var chunks = 0L
    var bytes = 0L
    var first = 0L
    var last = 0L
    var sum = 0L
    var min = Long.MAX_VALUE
    var max = 0L

    fun record(size: Int): PlainMetrics {
        val now = System.nanoTime()
        if (chunks == 0L) {
            first = now
        } else {
            val interval = now - last
            sum += interval
            if (interval < min) min = interval
            if (interval > max) max = interval
        }
        last = now
        chunks += 1
        bytes += size
        return this
    }
}

/** An executor that runs a task at once: what is measured is the way around it. */
private class AtOnce : AbstractExecutorService() {
    override fun execute(command: Runnable) = command.run()

    override fun shutdown() = Unit

    override fun shutdownNow(): List<Runnable> = emptyList()

    override fun isShutdown() = false

    override fun isTerminated() = false

    override fun awaitTermination(timeout: Long, unit: TimeUnit) = true
}

internal class Parts(private val rows: Rows) {
    fun measure() {
        crossings()
        chunks()
        queue()
        executor()
    }

    private fun crossings() {
        val empty = repeated { IntegrityCheckingUniffiLib.ffi_wirespan_uniffi_uniffi_contract_version() }
        rows.measure(What("crossing.empty"), empty, emptyMap(), note = "an empty native function through JNA's direct mapping")
        val core = Ends().client.core
        val quick = Quick(core)
        rows.measure(What("crossing.quick"), repeated { quick.take(0, 0, 1) }, emptyMap(), note = "the least that the quick way does: note that nothing was taken")
        rows.measure(What("crossing.generated"), repeated { core.sendsBaggage() }, emptyMap(), note = "a generated method that asks for a flag")
    }

    private fun chunks() {
        var metrics = StreamMetrics()
        val product =
            repeated { n ->
                if (n % CHUNKS == 0) metrics = StreamMetrics()
                metrics.recordChunk(256)
            }
        var plain = PlainMetrics()
        val idiom =
            repeated { n ->
                if (n % CHUNKS == 0) plain = PlainMetrics()
                plain.record(256)
            }
        rows.measure(What("record_chunk", 256), product, mapOf("a class that reads the clock and keeps sums" to idiom))
    }

    /** An item through a queue within the process, put inside a span and worked on with that span current. */
    private fun queue() {
        class Queued(val headers: Map<String, String>, val item: String, val at: Long)
        val carried = CarryQueue<String>(LinkedBlockingQueue<Carried<String>>())
        val bare = LinkedBlockingQueue<String>()
        val byHand = LinkedBlockingQueue<Queued>()
        newSpan().makeCurrent().use {
            val product = repeated { carried.put("item"); carried.take().let { it.run { it.item.length } } }
            val idioms =
                mapOf(
                    "the bare LinkedBlockingQueue" to repeated { bare.put("item"); bare.take().length },
                    "W3C headers beside the item" to
                        repeated {
                            byHand.put(Queued(ByHand.injected(Context.current()), "item", System.nanoTime()))
                            val queued = byHand.take()
                            ByHand.extracted(queued.headers).makeCurrent().use { queued.item.length }
                        },
                )
            rows.measure(What("carry.queue"), product, idioms)
        }
    }

    private fun executor() {
        val bare = AtOnce()
        val carrying = CarryExecutorService(AtOnce())
        val wrapping = Context.taskWrapping(AtOnce())
        var done = 0
        val task = Runnable { done += 1 }
        newSpan().makeCurrent().use {
            val idioms =
                mapOf(
                    "the bare executor" to repeated { bare.execute(task); done },
                    "Context.taskWrapping of the OpenTelemetry API" to repeated { wrapping.execute(task); done },
                )
            rows.measure(What("carry.executor"), repeated { carrying.execute(task); done }, idioms)
        }
    }
}
