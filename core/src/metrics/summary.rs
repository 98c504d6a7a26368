//! What was measured on a direction of a stream, and its attributes.

use super::{Direction, Outcome};

/// What [`super::StreamMetrics`] measured. All times are in nanoseconds; what cannot be said is absent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of all chunks.
    pub bytes: u64,
    /// From the start to the first chunk.
    pub time_to_first_chunk_ns: Option<u64>,
    /// From the start to the last chunk.
    pub time_to_last_chunk_ns: Option<u64>,
    /// From the start to the end.
    pub duration_ns: Option<u64>,
    /// Chunks per second between the first and the last one.
    pub rate: Option<f64>,
    /// Number of intervals between chunks.
    pub intervals: u64,
    /// Average of the intervals.
    pub interval_avg_ns: Option<f64>,
    /// Shortest interval.
    pub interval_min_ns: Option<u64>,
    /// Longest interval.
    pub interval_max_ns: Option<u64>,
    /// Median of the intervals, within the relative error.
    pub interval_p50_ns: Option<f64>,
    /// 90th percentile of the intervals, within the relative error.
    pub interval_p90_ns: Option<f64>,
    /// 95th percentile of the intervals, within the relative error.
    pub interval_p95_ns: Option<f64>,
    /// 99th percentile of the intervals, within the relative error.
    pub interval_p99_ns: Option<f64>,
    /// Largest relative error of the percentiles: 0.011, or more where the intervals spread over more than a million to one.
    pub relative_error: f64,
    /// Number of stalls.
    pub stalls: u64,
    /// Sum of the whole intervals that were stalls.
    pub stall_time_ns: u64,
    /// How often the clock stepped back.
    pub clock_back: u32,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

/// The value of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricValue {
    /// A count.
    Count(u64),
    /// A time in seconds, or a rate per second.
    Float(f64),
}

impl Summary {
    /// The attributes of a span that say this about one of its directions: `websocket.stream.sent.chunks` and so on. What
    /// is absent has none.
    #[must_use]
    pub fn attributes(&self, direction: Direction) -> Vec<(&'static str, MetricValue)> {
        use MetricValue::{Count, Float};
        let names = match direction {
            Direction::Sent => &SENT,
            Direction::Received => &RECEIVED,
        };
        let time = |ns: Option<u64>| ns.map(|ns| Float(seconds(ns)));
        let exact = |ns: Option<f64>| ns.map(|ns| Float(ns / NS_PER_SECOND));
        let values = [
            Some(Count(self.chunks)),
            Some(Count(self.bytes)),
            time(self.time_to_first_chunk_ns),
            time(self.time_to_last_chunk_ns),
            self.rate.map(Float),
            exact(self.interval_avg_ns),
            time(self.interval_min_ns),
            time(self.interval_max_ns),
            exact(self.interval_p50_ns),
            exact(self.interval_p90_ns),
            exact(self.interval_p95_ns),
            exact(self.interval_p99_ns),
            Some(Count(self.stalls)),
            Some(Float(seconds(self.stall_time_ns))),
        ];
        names
            .iter()
            .zip(values)
            .filter_map(|(name, value)| Some((*name, value?)))
            .collect()
    }
}

/// Converts nanoseconds to seconds, the unit of attributes and instruments.
#[must_use]
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_SECOND
}

const NS_PER_SECOND: f64 = 1e9;

/// The names for one direction, in the order of [`Summary::attributes`].
macro_rules! names {
    ($direction:literal) => {
        [
            concat!("websocket.stream.", $direction, ".chunks"),
            concat!("websocket.stream.", $direction, ".bytes"),
            concat!("websocket.stream.", $direction, ".time_to_first_chunk"),
            concat!("websocket.stream.", $direction, ".time_to_last_chunk"),
            concat!("websocket.stream.", $direction, ".rate"),
            concat!("websocket.stream.", $direction, ".interval.avg"),
            concat!("websocket.stream.", $direction, ".interval.min"),
            concat!("websocket.stream.", $direction, ".interval.max"),
            concat!("websocket.stream.", $direction, ".interval.p50"),
            concat!("websocket.stream.", $direction, ".interval.p90"),
            concat!("websocket.stream.", $direction, ".interval.p95"),
            concat!("websocket.stream.", $direction, ".interval.p99"),
            concat!("websocket.stream.", $direction, ".stalls"),
            concat!("websocket.stream.", $direction, ".stall_time"),
        ]
    };
}

const SENT: [&str; 14] = names!("sent");
const RECEIVED: [&str; 14] = names!("received");
