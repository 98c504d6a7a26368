//! Stream metrics by themselves: for any stream, socket or server-sent events.

use wirespan::metrics::{Direction, Outcome, StreamMetrics, StreamMetricsOptions};
use wirespan::{Error, limits};

use crate::guard::{Failure, guard};
use crate::handle::Table;
use crate::pointers::{no_such, require_out, write_out};
use crate::types::{
    wirespan_attribute, wirespan_outcome, wirespan_stall, wirespan_status, wirespan_summary,
};
use crate::views::{show_summary, summary_attributes};

/// Measures one direction of a stream. Times are readings of a monotonic clock of the caller, in nanoseconds.
pub struct wirespan_stream_metrics {
    _private: [u8; 0],
}

static METRICS: Table<StreamMetrics> = Table::new(7, "metrics");

/// Makes a calculator that has seen nothing. An interval up to `stall_threshold_ns` is never a stall; 0 stands for the default of
/// one second. `skip_empty_first` leaves out empty chunks before the first one with content. Free it with
/// `wirespan_stream_metrics_free`.
///
/// # Safety
///
/// `metrics` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_stream_metrics_new(
    stall_threshold_ns: u64,
    skip_empty_first: bool,
    metrics: *mut *mut wirespan_stream_metrics,
) -> wirespan_status {
    guard(|| {
        require_out("metrics", metrics)?;
        let stall_threshold_ns = if stall_threshold_ns == 0 {
            limits::STALL_THRESHOLD_NS
        } else {
            stall_threshold_ns
        };
        let options = StreamMetricsOptions {
            stall_threshold_ns,
            skip_empty_first,
        };
        let handle = METRICS.insert(StreamMetrics::new(options))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(metrics, handle) };
        Ok(())
    })
}

/// Starts the clock that the times of chunks are measured from. Only the first start counts.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_stream_metrics_start(
    metrics: *mut wirespan_stream_metrics,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        Ok(METRICS.with(metrics, |metrics| {
            metrics.start(now_ns);
            Ok(())
        })?)
    })
}

/// Records a chunk. `stall` (which may be NULL) gets the stall that it ended, with an interval of 0 if there was none.
///
/// # Safety
///
/// `stall` is NULL or points to memory for a stall.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_stream_metrics_record_chunk(
    metrics: *mut wirespan_stream_metrics,
    bytes: u64,
    now_ns: u64,
    stall: *mut wirespan_stall,
) -> wirespan_status {
    guard(|| {
        let ended = METRICS.with(metrics, |metrics| Ok(metrics.record_chunk(bytes, now_ns)))?;
        let none = wirespan_stall {
            at_ns: 0,
            interval_ns: 0,
            chunk: 0,
        };
        let shown = ended.map_or(none, |stall| wirespan_stall {
            at_ns: stall.at_ns,
            interval_ns: stall.interval_ns,
            chunk: stall.chunk,
        });
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(stall, shown) };
        Ok(())
    })
}

/// Says how the stream ended: a `wirespan_outcome`. Only the first end counts, and nothing is recorded after it.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_stream_metrics_finish(
    metrics: *mut wirespan_stream_metrics,
    outcome: u32,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        let outcome = match outcome {
            o if o == wirespan_outcome::Complete as u32 => Outcome::Complete,
            o if o == wirespan_outcome::Cancelled as u32 => Outcome::Cancelled,
            o if o == wirespan_outcome::Error as u32 => Outcome::Error,
            o if o == wirespan_outcome::Abandoned as u32 => Outcome::Abandoned,
            _ => return Err(no_such("outcome").into()),
        };
        Ok(METRICS.with(metrics, |metrics| {
            metrics.finish(outcome, now_ns);
            Ok(())
        })?)
    })
}

/// Adds what `other` has seen to `metrics`. Times, rate and outcome are absent from then on, and nothing more is recorded.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_stream_metrics_merge(
    metrics: *mut wirespan_stream_metrics,
    other: *const wirespan_stream_metrics,
) -> wirespan_status {
    guard(|| {
        // A copy, so that never two are locked at once.
        let other = METRICS.with(other, |other| Ok(other.clone()))?;
        Ok(METRICS.with(metrics, |metrics| {
            metrics.merge(&other);
            Ok(())
        })?)
    })
}

/// Gives what was measured so far.
///
/// # Safety
///
/// `summary` points to memory for a summary.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_stream_metrics_summary(
    metrics: *const wirespan_stream_metrics,
    summary: *mut wirespan_summary,
) -> wirespan_status {
    guard(|| {
        require_out("summary", summary)?;
        let current = METRICS.with(metrics, |metrics| Ok(metrics.summary()))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(summary, show_summary(&current)) };
        Ok(())
    })
}

/// Writes what was measured as attributes of a span, `websocket.stream.sent.chunks` and so on (`is_sent`), or
/// `websocket.stream.received.chunks` and so on. Their names live as long as the process. `count` gets their number, at most 14.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `capacity` is too small; `count` then holds what is needed.
///
/// # Safety
///
/// `attributes` points to memory for `capacity` attributes; `count` points to memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_stream_metrics_attributes(
    metrics: *const wirespan_stream_metrics,
    is_sent: bool,
    attributes: *mut wirespan_attribute,
    capacity: usize,
    count: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("count", count)?;
        if attributes.is_null() && capacity > 0 {
            return Err(Error::invalid_argument("attributes", "is NULL but has a capacity").into());
        }
        let current = METRICS.with(metrics, |metrics| Ok(metrics.summary()))?;
        let direction = if is_sent {
            Direction::Sent
        } else {
            Direction::Received
        };
        let all = summary_attributes(&current, direction);
        // SAFETY: the caller vouches for the outputs; no more than `capacity` attributes are written.
        unsafe {
            write_out(count, all.len());
            if all.len() > capacity {
                return Err(Failure::BufferTooSmall);
            }
            std::ptr::copy_nonoverlapping(all.as_ptr(), attributes, all.len());
        }
        Ok(())
    })
}

/// Frees a calculator.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_stream_metrics_free(
    metrics: *mut wirespan_stream_metrics,
) -> wirespan_status {
    guard(|| {
        METRICS.remove(metrics)?;
        Ok(())
    })
}
