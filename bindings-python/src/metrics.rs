//! Stream metrics.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use wirespan::metrics::{Direction, MetricValue, Outcome, StreamMetricsOptions};

use crate::error::invalid;

/// How a stream can end.
pub(crate) const OUTCOMES: [Outcome; 4] = [
    Outcome::Complete,
    Outcome::Cancelled,
    Outcome::Error,
    Outcome::Abandoned,
];

/// The clock of `time.monotonic_ns`, read without a call into Python where it is known which one that is.
fn now_ns(py: Python<'_>) -> PyResult<u64> {
    #[cfg(target_os = "linux")]
    if let Some(now) = crate::native::monotonic_ns() {
        return Ok(now);
    }
    py.import("time")?.call_method0("monotonic_ns")?.extract()
}

/// A time that was given, else that of the clock.
pub(crate) fn now_or(py: Python<'_>, given: Option<u64>) -> PyResult<u64> {
    given.map_or_else(|| now_ns(py), Ok)
}

/// Measures the chunks of one direction of a stream: a call, an iterator, server-sent events, a socket.
///
/// Times are nanoseconds of `time.monotonic_ns()`; left out, the clock is read.
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct StreamMetrics(Mutex<wirespan::metrics::StreamMetrics>);

impl StreamMetrics {
    fn lock(&self) -> MutexGuard<'_, wirespan::metrics::StreamMetrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl StreamMetrics {
    /// Makes an empty measurement. `stall_threshold` is in seconds.
    #[new]
    #[pyo3(signature = (*, stall_threshold = 1.0, skip_empty_first = false))]
    fn py_new(py: Python<'_>, stall_threshold: f64, skip_empty_first: bool) -> PyResult<Self> {
        if !(0.0..=1e9).contains(&stall_threshold) {
            return Err(invalid(
                py,
                "stall_threshold",
                "must be a number of seconds that is not negative",
            ));
        }
        let options = StreamMetricsOptions {
            stall_threshold_ns: (stall_threshold * 1e9).round() as u64,
            skip_empty_first,
        };
        Ok(Self(Mutex::new(wirespan::metrics::StreamMetrics::new(
            options,
        ))))
    }

    /// Starts the clock.
    #[pyo3(signature = (now = None))]
    fn start(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock().start(now);
        Ok(())
    }

    /// Records a chunk of `size` bytes. Returns the stall that it ended as (interval, chunk), in nanoseconds and counted from
    /// 0, or None.
    #[pyo3(signature = (size, now = None))]
    fn record_chunk(
        &self,
        py: Python<'_>,
        size: u64,
        now: Option<u64>,
    ) -> PyResult<Option<(u64, u64)>> {
        let now = now_or(py, now)?;
        let stall = self.lock().record_chunk(size, now);
        Ok(stall.map(|stall| (stall.interval_ns, stall.chunk)))
    }

    /// Says how the stream ended: "complete", "cancelled", "error" or "abandoned".
    #[pyo3(signature = (outcome = "complete", now = None))]
    fn finish(&self, py: Python<'_>, outcome: &str, now: Option<u64>) -> PyResult<()> {
        let Some(outcome) = OUTCOMES.into_iter().find(|known| known.name() == outcome) else {
            return Err(invalid(
                py,
                "outcome",
                "must be \"complete\", \"cancelled\", \"error\" or \"abandoned\"",
            ));
        };
        let now = now_or(py, now)?;
        self.lock().finish(outcome, now);
        Ok(())
    }

    /// Adds what another measurement has counted. Times, rate and outcome of a merge are absent.
    fn merge(&self, other: &Bound<'_, Self>) {
        // Copied first, so that two locks are never held together.
        let other = other.get().lock().clone();
        self.lock().merge(&other);
    }

    /// What was measured so far.
    fn summary(&self) -> Summary {
        Summary(self.lock().summary())
    }
}

/// What was measured. Times are in seconds; what could not be measured is None.
#[pyclass(frozen, module = "wirespan")]
#[derive(Clone, Debug)]
pub(crate) struct Summary(wirespan::metrics::Summary);

impl Summary {
    pub(crate) fn new(summary: wirespan::metrics::Summary) -> Self {
        Self(summary)
    }
}

fn seconds(ns: Option<u64>) -> Option<f64> {
    ns.map(wirespan::metrics::seconds)
}

fn seconds_f(ns: Option<f64>) -> Option<f64> {
    ns.map(|ns| ns / 1e9)
}

#[pymethods]
impl Summary {
    /// Number of chunks.
    #[getter]
    fn chunks(&self) -> u64 {
        self.0.chunks
    }

    /// Sum of their sizes, in bytes.
    #[getter]
    fn bytes(&self) -> u64 {
        self.0.bytes
    }

    /// From the start to the first chunk, in seconds.
    #[getter]
    fn time_to_first_chunk(&self) -> Option<f64> {
        seconds(self.0.time_to_first_chunk_ns)
    }

    /// From the start to the last chunk, in seconds.
    #[getter]
    fn time_to_last_chunk(&self) -> Option<f64> {
        seconds(self.0.time_to_last_chunk_ns)
    }

    /// From the start to the end, in seconds.
    #[getter]
    fn duration(&self) -> Option<f64> {
        seconds(self.0.duration_ns)
    }

    /// Chunks per second between the first and the last.
    #[getter]
    fn rate(&self) -> Option<f64> {
        self.0.rate
    }

    /// Number of intervals between chunks.
    #[getter]
    fn intervals(&self) -> u64 {
        self.0.intervals
    }

    /// Average interval, in seconds.
    #[getter]
    fn interval_avg(&self) -> Option<f64> {
        seconds_f(self.0.interval_avg_ns)
    }

    /// Shortest interval, in seconds.
    #[getter]
    fn interval_min(&self) -> Option<f64> {
        seconds(self.0.interval_min_ns)
    }

    /// Longest interval, in seconds.
    #[getter]
    fn interval_max(&self) -> Option<f64> {
        seconds(self.0.interval_max_ns)
    }

    /// Median interval, in seconds.
    #[getter]
    fn interval_p50(&self) -> Option<f64> {
        seconds_f(self.0.interval_p50_ns)
    }

    /// 90th percentile of the intervals, in seconds.
    #[getter]
    fn interval_p90(&self) -> Option<f64> {
        seconds_f(self.0.interval_p90_ns)
    }

    /// 95th percentile of the intervals, in seconds.
    #[getter]
    fn interval_p95(&self) -> Option<f64> {
        seconds_f(self.0.interval_p95_ns)
    }

    /// 99th percentile of the intervals, in seconds.
    #[getter]
    fn interval_p99(&self) -> Option<f64> {
        seconds_f(self.0.interval_p99_ns)
    }

    /// Largest relative error of the percentiles.
    #[getter]
    fn relative_error(&self) -> f64 {
        self.0.relative_error
    }

    /// Number of stalls.
    #[getter]
    fn stalls(&self) -> u64 {
        self.0.stalls
    }

    /// Sum of the stalled intervals, in seconds.
    #[getter]
    fn stall_time(&self) -> f64 {
        wirespan::metrics::seconds(self.0.stall_time_ns)
    }

    /// How often the clock stepped back.
    #[getter]
    fn clock_back(&self) -> u32 {
        self.0.clock_back
    }

    /// "complete", "cancelled", "error" or "abandoned"; None while it runs.
    #[getter]
    fn outcome(&self) -> Option<&'static str> {
        self.0.outcome.map(Outcome::name)
    }

    /// The span attributes of a direction, "sent" or "received".
    fn attributes<'py>(&self, py: Python<'py>, direction: &str) -> PyResult<Bound<'py, PyDict>> {
        let direction = match direction {
            "sent" => Direction::Sent,
            "received" => Direction::Received,
            _ => return Err(invalid(py, "direction", "must be \"sent\" or \"received\"")),
        };
        let dictionary = PyDict::new(py);
        for (key, value) in self.0.attributes(direction) {
            let key = PyString::intern(py, key);
            match value {
                MetricValue::Count(count) => dictionary.set_item(key, count)?,
                MetricValue::Float(number) => dictionary.set_item(key, number)?,
                _ => {}
            }
        }
        Ok(dictionary)
    }

    fn __repr__(&self) -> String {
        format!(
            "Summary(chunks={}, bytes={}, stalls={})",
            self.0.chunks, self.0.bytes, self.0.stalls
        )
    }
}
