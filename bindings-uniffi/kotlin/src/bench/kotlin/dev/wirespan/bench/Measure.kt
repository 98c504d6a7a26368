/** How things are compared: in one process, by turns (A B B A), by the CPU time of the thread. */
package dev.wirespan.bench

import java.lang.management.ManagementFactory
import kotlin.math.max
import kotlin.math.roundToInt
import kotlin.math.roundToLong

private const val ROUNDS = 41

/** CPU time of a sample: long beside the microsecond that reading the clock of a thread takes. */
private const val SAMPLE_NS = 500_000L

/** CPU time that each rival gets before its first sample, so that it runs compiled. */
private const val WARM_UP_NS = 100_000_000L

private val threads = ManagementFactory.getThreadMXBean()

/** What the rivals leave here cannot be optimised away. */
@Volatile
internal var sink: Any? = null

/** What a row tells of an operation beside its times. */
internal class What(val operation: String, val size: Int? = null, val form: String? = null, val peer: String? = null)

/** Gives the nanoseconds that one run takes, a sample at each call. */
internal typealias Sampler = () -> Double

private fun timed(count: Int, run: (Int) -> Any?): Double {
    val start = threads.currentThreadCpuTime
    for (n in 0 until count) sink = run(n)
    return (threads.currentThreadCpuTime - start).toDouble() / count
}

/** Samples something that can be repeated at will. */
internal fun repeated(run: (Int) -> Any?): Sampler {
    val end = threads.currentThreadCpuTime + WARM_UP_NS
    while (threads.currentThreadCpuTime < end) timed(50, run)
    var count = 1
    while (true) {
        // The quickest of three: what else the machine does must not make a sample too short.
        val took = (1..3).minOf { timed(count, run) } * count
        if (took > SAMPLE_NS / 4) break
        count *= 2
    }
    count = max(1, (SAMPLE_NS / timed(count, run)).roundToInt())
    return { timed(count, run) }
}

/** Samples something that must be prepared: [prepare] gives what is run [count] times. Preparing is not measured. */
internal fun prepared(count: Int, prepare: () -> (Int) -> Any?): Sampler {
    val end = threads.currentThreadCpuTime + WARM_UP_NS
    while (threads.currentThreadCpuTime < end) timed(count, prepare())
    return { timed(count, prepare()) }
}

/** Sorted samples of each rival. */
private fun compare(samplers: List<Sampler>): List<List<Double>> {
    val samples = samplers.map { ArrayList<Double>() }
    var order = samplers.indices.toList()
    repeat(ROUNDS) {
        for (at in order + order.reversed()) samples[at].add(samplers[at]())
        order = order.reversed()
    }
    return samples.map { it.sorted() }
}

private fun List<Double>.at(share: Double): Double = this[((size - 1) * share).toInt()]

private fun rounded(value: Double): Double = (value * 1000).roundToLong() / 1000.0

private fun quartiles(sorted: List<Double>) = listOf(rounded(sorted.at(0.25)), rounded(sorted.at(0.75)))

/** The rows of the report. */
internal class Rows {
    val all = ArrayList<Map<String, Any?>>()

    /** Adds a row for each idiom; without one, a row of the product alone, with [note] where its name would be. */
    fun measure(what: What, product: Sampler, idioms: Map<String, Sampler>, floor: Sampler? = null, note: String = "") {
        val found = compare(listOf(product) + idioms.values + listOfNotNull(floor))
        val floorNs = if (floor == null) null else found.last().at(0.5)
        idioms.keys.forEachIndexed { place, idiom -> add(what, found[0], idiom, found[place + 1], floorNs) }
        if (idioms.isEmpty()) add(what, found[0], note, null, floorNs)
    }

    private fun add(what: What, product: List<Double>, idiom: String, times: List<Double>?, floorNs: Double?) {
        val productNs = product.at(0.5)
        val row =
            mapOf(
                "language" to "kotlin",
                "operation" to what.operation,
                "size" to what.size,
                "form" to what.form,
                "peer" to what.peer,
                "product_ns" to rounded(productNs),
                "product_quartiles" to quartiles(product),
                "idiom" to idiom,
                "idiom_ns" to times?.let { rounded(it.at(0.5)) },
                "idiom_quartiles" to times?.let(::quartiles),
                "ratio" to times?.let { rounded(productNs / it.at(0.5)) },
                "floor_ns" to floorNs?.let(::rounded),
                "floor_ratio" to floorNs?.let { rounded(productNs / it) },
                // Nothing is promised for the JVM.
                "target" to null,
                "met" to null,
            )
        all.add(row)
        print(row)
    }

    private fun print(row: Map<String, Any?>) {
        val what = listOfNotNull(row["operation"], row["form"], row["peer"]).joinToString(" ")
        val beside = row["ratio"]?.let { "%6.2f of %9.0f ns, ".format(it, row["idiom_ns"]) } ?: ""
        println("%-34s%8s%10.0f ns  %s%s".format(what, row["size"] ?: "", row["product_ns"], beside, row["idiom"]))
    }
}
