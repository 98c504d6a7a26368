//! Stream metrics: when the chunks of one direction of a stream came, how many, how large, and where they stalled.
//!
//! [`StreamMetrics`] stands alone: it measures the messages of a call, and as well any iterator, server-sent events or
//! socket. Times are readings of a monotonic clock of the host, in nanoseconds. `conformance/SPEC.md`, chapter "Stream
//! metrics", numbers the rules.

mod histogram;
mod summary;

pub use histogram::Histogram;
pub use summary::{MetricValue, Summary, seconds};

use crate::limits;

/// A direction of a stream, as seen from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Away from this side.
    Sent,
    /// To this side.
    Received,
}

impl Direction {
    /// The name used in attributes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// How a stream, or one direction of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// Its sender said that it was done.
    Complete,
    /// Either side cancelled.
    Cancelled,
    /// It failed.
    Error,
    /// This side left before it was done.
    Abandoned,
}

impl Outcome {
    /// The name used in attributes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What [`StreamMetrics`] takes into account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamMetricsOptions {
    /// An interval up to this is never a stall, in nanoseconds.
    pub stall_threshold_ns: u64,
    /// Whether empty chunks before the first one with content are left out, as if they had not come.
    pub skip_empty_first: bool,
}

impl Default for StreamMetricsOptions {
    fn default() -> Self {
        Self {
            stall_threshold_ns: limits::STALL_THRESHOLD_NS,
            skip_empty_first: false,
        }
    }
}

/// An interval that was much longer than the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stall {
    /// When the chunk came that ended it, in nanoseconds.
    pub at_ns: u64,
    /// The whole interval, in nanoseconds.
    pub interval_ns: u64,
    /// The chunk that ended it, counted from 0.
    pub chunk: u64,
}

/// Measures one direction of a stream.
///
/// # Example: time to first chunk and a stall
///
/// ```
/// use wirespan::metrics::{Outcome, StreamMetrics};
///
/// const MS: u64 = 1_000_000;
/// let mut metrics = StreamMetrics::default();
/// metrics.start(0);
/// for at_ms in [120, 140, 160, 2160] {
///     if let Some(stall) = metrics.record_chunk(64, at_ms * MS) {
///         assert_eq!((stall.chunk, stall.interval_ns), (3, 2000 * MS));
///     }
/// }
/// metrics.finish(Outcome::Complete, 2200 * MS);
///
/// let summary = metrics.summary();
/// assert_eq!((summary.chunks, summary.bytes, summary.stalls), (4, 256, 1));
/// assert_eq!(summary.time_to_first_chunk_ns, Some(120 * MS));
/// assert_eq!(summary.interval_max_ns, Some(2000 * MS));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StreamMetrics {
    options: StreamMetricsOptions,
    start_ns: Option<u64>,
    first_ns: u64,
    /// The latest reading of the clock: of the start or of a chunk.
    latest_ns: u64,
    finished: Option<(Outcome, u64)>,
    merged: bool,
    chunks: u64,
    bytes: u64,
    clock_back: u32,
    stalls: u64,
    stall_time_ns: u128,
    intervals: u64,
    interval_sum_ns: u128,
    interval_min_ns: u64,
    interval_max_ns: u64,
    /// Allocated at the first interval: a stream of one chunk costs nothing more.
    histogram: Option<Histogram>,
}

impl StreamMetrics {
    /// Makes a calculator that has seen nothing.
    #[must_use]
    pub fn new(options: StreamMetricsOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// Starts the clock that the times of chunks are measured from. Only the first start counts; without one before the
    /// first chunk there are no times, but all else.
    pub fn start(&mut self, now_ns: u64) {
        if self.start_ns.is_none() && self.chunks == 0 {
            self.start_ns = Some(now_ns);
            self.latest_ns = now_ns;
        }
    }

    /// Records a chunk, and tells of a stall that it ended. Nothing is recorded once the stream has finished.
    pub fn record_chunk(&mut self, bytes: u64, now_ns: u64) -> Option<Stall> {
        let empty_first = self.options.skip_empty_first && bytes == 0 && self.chunks == 0;
        if self.finished.is_some() || empty_first {
            return None;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let chunk = self.chunks;
        self.chunks += 1;
        let earlier_ns = self.latest_ns;
        let started = chunk > 0 || self.start_ns.is_some();
        let now_ns = if started && now_ns < earlier_ns {
            self.clock_back = self.clock_back.saturating_add(1);
            earlier_ns
        } else {
            now_ns
        };
        self.latest_ns = now_ns;
        if chunk == 0 {
            self.first_ns = now_ns;
            return None;
        }
        self.record_interval(now_ns - earlier_ns).then_some(Stall {
            at_ns: now_ns,
            interval_ns: now_ns - earlier_ns,
            chunk,
        })
    }

    /// Says how the stream ended. Only the first end counts.
    pub fn finish(&mut self, outcome: Outcome, now_ns: u64) {
        if self.finished.is_none() {
            self.finished = Some((outcome, now_ns.max(self.latest_ns)));
        }
    }

    /// Adds what another calculator has seen. Times, rate and outcome say nothing about several streams: they are absent
    /// from then on, and nothing more is recorded.
    pub fn merge(&mut self, other: &Self) {
        self.merged = true;
        self.finished
            .get_or_insert((Outcome::Complete, self.latest_ns));
        self.chunks = self.chunks.saturating_add(other.chunks);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.clock_back = self.clock_back.saturating_add(other.clock_back);
        self.stalls = self.stalls.saturating_add(other.stalls);
        self.stall_time_ns = self.stall_time_ns.saturating_add(other.stall_time_ns);
        if other.intervals > 0 {
            let (min, max) = (other.interval_min_ns, other.interval_max_ns);
            if self.intervals == 0 {
                (self.interval_min_ns, self.interval_max_ns) = (min, max);
            } else {
                self.interval_min_ns = self.interval_min_ns.min(min);
                self.interval_max_ns = self.interval_max_ns.max(max);
            }
            self.intervals = self.intervals.saturating_add(other.intervals);
            self.interval_sum_ns = self.interval_sum_ns.saturating_add(other.interval_sum_ns);
        }
        if let Some(theirs) = &other.histogram {
            match &mut self.histogram {
                Some(mine) => mine.merge(theirs),
                None => self.histogram = Some(theirs.clone()),
            }
        }
    }

    /// Computes what was measured so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let once = !self.merged && self.chunks > 0;
        let start_ns = self.start_ns.filter(|_| once);
        let span_ns = self.latest_ns.saturating_sub(self.first_ns);
        let some_interval = self.intervals > 0;
        let histogram = self.histogram.as_ref();
        let percentile = |percent| {
            let value = histogram?.percentile(percent)?;
            Some(value.clamp(self.interval_min_ns as f64, self.interval_max_ns as f64))
        };
        Summary {
            chunks: self.chunks,
            bytes: self.bytes,
            time_to_first_chunk_ns: start_ns.map(|start| self.first_ns - start),
            time_to_last_chunk_ns: start_ns.map(|start| self.latest_ns - start),
            duration_ns: match (self.start_ns, self.finished) {
                (Some(start), Some((_, end))) if !self.merged => Some(end - start),
                _ => None,
            },
            rate: (once && span_ns > 0).then(|| (self.chunks - 1) as f64 / seconds(span_ns)),
            intervals: self.intervals,
            interval_avg_ns: some_interval
                .then(|| self.interval_sum_ns as f64 / self.intervals as f64),
            interval_min_ns: some_interval.then_some(self.interval_min_ns),
            interval_max_ns: some_interval.then_some(self.interval_max_ns),
            interval_p50_ns: percentile(50),
            interval_p90_ns: percentile(90),
            interval_p95_ns: percentile(95),
            interval_p99_ns: percentile(99),
            relative_error: histogram.map_or(Histogram::RELATIVE_ERROR, Histogram::relative_error),
            stalls: self.stalls,
            stall_time_ns: u64::try_from(self.stall_time_ns).unwrap_or(u64::MAX),
            clock_back: self.clock_back,
            outcome: self
                .finished
                .filter(|_| !self.merged)
                .map(|(outcome, _)| outcome),
        }
    }

    /// The number of chunks.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// How often the clock stepped back.
    #[must_use]
    pub fn clock_back(&self) -> u32 {
        self.clock_back
    }

    /// The distribution of the intervals, once there is one.
    #[must_use]
    pub fn histogram(&self) -> Option<&Histogram> {
        self.histogram.as_ref()
    }

    /// Notes an interval and tells whether it is a stall.
    fn record_interval(&mut self, interval_ns: u64) -> bool {
        // Without an earlier interval there is no average, and the threshold alone decides.
        let is_stall = interval_ns > self.options.stall_threshold_ns
            && (self.intervals == 0
                || u128::from(interval_ns) * u128::from(self.intervals)
                    > u128::from(limits::STALL_FACTOR).saturating_mul(self.interval_sum_ns));
        if is_stall {
            self.stalls += 1;
            self.stall_time_ns += u128::from(interval_ns);
        }
        if self.intervals == 0 {
            (self.interval_min_ns, self.interval_max_ns) = (interval_ns, interval_ns);
        } else {
            self.interval_min_ns = self.interval_min_ns.min(interval_ns);
            self.interval_max_ns = self.interval_max_ns.max(interval_ns);
        }
        self.intervals += 1;
        self.interval_sum_ns += u128::from(interval_ns);
        self.histogram.get_or_insert_default().record(interval_ns);
        is_stall
    }
}

#[cfg(test)]
mod tests;
