package dev.wirespan

import dev.wirespan.core.Summary
import dev.wirespan.core.UniffiWithHandle
import java.time.Duration
import dev.wirespan.core.StreamMetrics as CoreStreamMetrics

/**
 * Measures the chunks of one direction of a stream by themselves, with the monotonic clock: an iterator, server-sent events, a socket.
 *
 * A chunk that comes later than [stallThreshold] after the one before ends a stall. With [skipEmptyFirst] an empty first chunk is not
 * counted.
 */
class StreamMetrics
    @JvmOverloads
    constructor(stallThreshold: Duration = Duration.ofSeconds(1), skipEmptyFirst: Boolean = false) {
        private val core = core { CoreStreamMetrics(stallThreshold.toNanos(), skipEmptyFirst) }
        private val handle = core { core.uniffiCloneHandle() }

        // A reference of its own for what is called by its handle.
        private val kept = CoreStreamMetrics(UniffiWithHandle, handle)

        /** Starts the clock. */
        fun start() = core { core.start(Clock.now()) }

        /** Records a chunk of a size in bytes. Returns the interval of the stall that it ended, if it ended one. */
        @Synchronized
        fun recordChunk(size: Int): Duration? {
            val stall = QuickLibrary.wirespan_quick_record_chunk(handle, size, Clock.now())
            return if (stall == 0L) null else Duration.ofNanos(stall)
        }

        /** Says how the stream ended: `complete`, `cancelled`, `error` or `abandoned`. */
        fun finish(outcome: String) = core { core.finish(outcome, Clock.now()) }

        /** Adds what another measurement has counted. Times, rate and outcome of a merge are absent. */
        fun merge(other: StreamMetrics) = core { core.merge(other.core) }

        /** What was measured so far. */
        fun summary(): Summary = core { kept.summary() }
    }
