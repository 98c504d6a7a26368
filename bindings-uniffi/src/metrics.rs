//! Stream metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wirespan::Error;
use wirespan::metrics::{
    Direction, MetricValue, Outcome, StreamMetrics as Core, StreamMetricsOptions, seconds,
};

use crate::error::{CoreError, guard, signed, unsigned};
use crate::plan::{Attribute, AttributeValue};

/// How a stream can end.
pub(crate) const OUTCOMES: [Outcome; 4] = [
    Outcome::Complete,
    Outcome::Cancelled,
    Outcome::Error,
    Outcome::Abandoned,
];

/// A stall that a chunk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Stall {
    /// The whole interval, in nanoseconds.
    pub interval_ns: i64,
    /// The chunk that ended it, counted from 0.
    pub chunk: i64,
}

/// Measures the chunks of one direction of a stream: a call, an iterator, server-sent events, a socket.
///
/// Times are nanoseconds of a monotonic clock.
#[derive(Debug, uniffi::Object)]
pub struct StreamMetrics(Mutex<Core>);

impl StreamMetrics {
    fn lock(&self) -> MutexGuard<'_, Core> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[uniffi::export]
impl StreamMetrics {
    /// Makes an empty measurement. `stall_threshold_ns` is in nanoseconds.
    #[uniffi::constructor(default(stall_threshold_ns = 1_000_000_000, skip_empty_first = false))]
    pub fn new(stall_threshold_ns: i64, skip_empty_first: bool) -> Result<Arc<Self>, CoreError> {
        guard(|| {
            Ok(Arc::new(Self(Mutex::new(Core::new(
                StreamMetricsOptions {
                    stall_threshold_ns: unsigned("stall_threshold", stall_threshold_ns)?,
                    skip_empty_first,
                },
            )))))
        })
    }

    /// Starts the clock.
    pub fn start(&self, now: i64) -> Result<(), CoreError> {
        guard(|| {
            let now = unsigned("now", now)?;
            self.lock().start(now);
            Ok(())
        })
    }

    /// Records a chunk of `size` bytes. Returns the stall that it ended.
    pub fn record_chunk(&self, size: i64, now: i64) -> Result<Option<Stall>, CoreError> {
        guard(|| {
            let (size, now) = (unsigned("size", size)?, unsigned("now", now)?);
            let stall = self.lock().record_chunk(size, now);
            Ok(stall.map(|stall| Stall {
                interval_ns: signed(stall.interval_ns),
                chunk: signed(stall.chunk),
            }))
        })
    }

    /// Says how the stream ended: `complete`, `cancelled`, `error` or `abandoned`.
    pub fn finish(&self, outcome: String, now: i64) -> Result<(), CoreError> {
        guard(|| {
            let known = OUTCOMES.into_iter().find(|known| known.name() == outcome);
            let outcome = known.ok_or_else(|| {
                let names = OUTCOMES.map(Outcome::name).join(", ");
                Error::invalid_argument("outcome", format!("must be one of {names}"))
            })?;
            let now = unsigned("now", now)?;
            self.lock().finish(outcome, now);
            Ok(())
        })
    }

    /// Adds what another measurement has counted. Times, rate and outcome of a merge are absent.
    pub fn merge(&self, other: Arc<Self>) -> Result<(), CoreError> {
        guard(|| {
            // Copied first, so that two locks are never held together.
            let other = other.lock().clone();
            self.lock().merge(&other);
            Ok(())
        })
    }

    /// What was measured so far.
    pub fn summary(&self) -> Result<Summary, CoreError> {
        guard(|| Ok(Summary::from(&self.lock().summary())))
    }
}

/// What was measured. Times are in seconds; what could not be measured is absent.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Summary {
    /// Number of chunks.
    pub chunks: i64,
    /// Sum of their sizes, in bytes.
    pub bytes: i64,
    /// From the start to the first chunk, in seconds.
    pub time_to_first_chunk: Option<f64>,
    /// From the start to the last chunk, in seconds.
    pub time_to_last_chunk: Option<f64>,
    /// From the start to the end, in seconds.
    pub duration: Option<f64>,
    /// Chunks per second between the first and the last.
    pub rate: Option<f64>,
    /// Number of intervals between chunks.
    pub intervals: i64,
    /// Average interval, in seconds.
    pub interval_avg: Option<f64>,
    /// Shortest interval, in seconds.
    pub interval_min: Option<f64>,
    /// Longest interval, in seconds.
    pub interval_max: Option<f64>,
    /// Median interval, in seconds.
    pub interval_p50: Option<f64>,
    /// 90th percentile of the intervals, in seconds.
    pub interval_p90: Option<f64>,
    /// 95th percentile of the intervals, in seconds.
    pub interval_p95: Option<f64>,
    /// 99th percentile of the intervals, in seconds.
    pub interval_p99: Option<f64>,
    /// Largest relative error of the percentiles.
    pub relative_error: f64,
    /// Number of stalls.
    pub stalls: i64,
    /// Sum of the stalled intervals, in seconds.
    pub stall_time: f64,
    /// How often the clock stepped back.
    pub clock_back: i64,
    /// `complete`, `cancelled`, `error` or `abandoned`; absent while it runs.
    pub outcome: Option<String>,
}

impl From<&wirespan::metrics::Summary> for Summary {
    fn from(summary: &wirespan::metrics::Summary) -> Self {
        let whole = |ns: Option<u64>| ns.map(seconds);
        let exact = |ns: Option<f64>| ns.map(|ns| ns / 1e9);
        Self {
            chunks: signed(summary.chunks),
            bytes: signed(summary.bytes),
            time_to_first_chunk: whole(summary.time_to_first_chunk_ns),
            time_to_last_chunk: whole(summary.time_to_last_chunk_ns),
            duration: whole(summary.duration_ns),
            rate: summary.rate,
            intervals: signed(summary.intervals),
            interval_avg: exact(summary.interval_avg_ns),
            interval_min: whole(summary.interval_min_ns),
            interval_max: whole(summary.interval_max_ns),
            interval_p50: exact(summary.interval_p50_ns),
            interval_p90: exact(summary.interval_p90_ns),
            interval_p95: exact(summary.interval_p95_ns),
            interval_p99: exact(summary.interval_p99_ns),
            relative_error: summary.relative_error,
            stalls: signed(summary.stalls),
            stall_time: seconds(summary.stall_time_ns),
            clock_back: summary.clock_back.into(),
            outcome: summary.outcome.map(|outcome| outcome.name().to_owned()),
        }
    }
}

/// The span attributes of a measured direction, `sent` or `received`.
#[uniffi::export]
pub fn summary_attributes(
    metrics: Arc<StreamMetrics>,
    direction: String,
) -> Result<Vec<Attribute>, CoreError> {
    guard(|| {
        let direction = [Direction::Sent, Direction::Received]
            .into_iter()
            .find(|known| known.name() == direction)
            .ok_or_else(|| Error::invalid_argument("direction", "must be sent or received"))?;
        let attributes = metrics.lock().summary().attributes(direction);
        let attributes = attributes.into_iter().filter_map(|(key, value)| {
            let value = match value {
                MetricValue::Count(count) => AttributeValue::Whole {
                    value: signed(count),
                },
                MetricValue::Float(value) => AttributeValue::Number { value },
                _ => return None,
            };
            Some(Attribute {
                key: key.to_owned(),
                value,
            })
        });
        Ok(attributes.collect())
    })
}
