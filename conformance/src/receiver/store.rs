//! What a receiver has received.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message;

use crate::trace::Span;

/// Spans in order of arrival; shared between threads.
#[derive(Debug)]
pub struct Store {
    max_spans: usize,
    max_span_bytes: usize,
    received: Mutex<Received>,
    changed: Condvar,
}

/// A state of a [`Store`].
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Received {
    /// The spans, in order of arrival.
    pub spans: Vec<Span>,
    /// Requests for traces that were taken.
    pub requests: u64,
    /// Requests of any kind that were answered with an error.
    pub refused_requests: u64,
    /// Spans that were rejected: those with invalid ids, and those over the limit.
    pub rejected_spans: u64,
    /// Groups of metrics by resource.
    pub metrics: u64,
    /// Groups of log records by resource.
    pub logs: u64,
    span_bytes: usize,
    raw: Vec<ResourceSpans>,
}

impl Received {
    /// What was received, as one `ExportTraceServiceRequest` in OTLP's JSON mapping, on one line.
    #[must_use]
    pub fn to_otlp_json(&self) -> String {
        // Writing into memory fails only for maps with keys that are no strings, which OTLP does not have.
        serde_json::to_string(&self.request()).unwrap_or_default()
    }

    fn request(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest {
            resource_spans: self.raw.clone(),
        }
    }
}

/// Spans of a request that were not taken.
pub(super) struct Rejected {
    pub(super) spans: usize,
    pub(super) reason: &'static str,
}

impl Store {
    pub(super) fn new(max_spans: usize, max_span_bytes: usize) -> Self {
        Self {
            max_spans,
            max_span_bytes,
            received: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Takes the spans of a request.
    pub(super) fn add(&self, mut resource_spans: Vec<ResourceSpans>) -> Option<Rejected> {
        let mut received = self.lock();
        let mut invalid = 0;
        let mut over = 0;
        for group in &mut resource_spans {
            let resource = group.resource.clone();
            for scope in &mut group.scope_spans {
                scope.spans.retain(|raw| {
                    let Some(span) = Span::from_otlp(resource.as_ref(), raw) else {
                        invalid += 1;
                        return false;
                    };
                    let span_bytes = received.span_bytes + raw.encoded_len();
                    if received.spans.len() >= self.max_spans || span_bytes > self.max_span_bytes {
                        over += 1;
                        return false;
                    }
                    received.span_bytes = span_bytes;
                    received.spans.push(span);
                    true
                });
            }
            group.scope_spans.retain(|scope| !scope.spans.is_empty());
        }
        resource_spans.retain(|group| !group.scope_spans.is_empty());
        received.raw.extend(resource_spans);
        received.requests += 1;
        received.rejected_spans += (invalid + over) as u64;
        drop(received);
        self.changed.notify_all();
        let reason = if invalid > 0 {
            "a trace id or span id is not valid"
        } else {
            "the receiver is full"
        };
        (invalid + over > 0).then_some(Rejected {
            spans: invalid + over,
            reason,
        })
    }

    pub(super) fn count_metrics(&self, groups: usize) {
        self.lock().metrics += groups as u64;
        self.changed.notify_all();
    }

    pub(super) fn count_logs(&self, groups: usize) {
        self.lock().logs += groups as u64;
        self.changed.notify_all();
    }

    pub(super) fn count_refused(&self) {
        self.lock().refused_requests += 1;
        self.changed.notify_all();
    }

    /// A copy of the spans, in order of arrival.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.lock().spans.clone()
    }

    /// Looks at the state.
    pub fn with<R>(&self, look: impl FnOnce(&Received) -> R) -> R {
        look(&self.lock())
    }

    /// Waits until the state is as wanted, and says whether it came to be so in time.
    pub fn wait_until(&self, mut wanted: impl FnMut(&Received) -> bool, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut received = self.lock();
        loop {
            if wanted(&received) {
                return true;
            }
            let Some(left) = deadline.checked_duration_since(Instant::now()) else {
                return false;
            };
            let waited = self.changed.wait_timeout(received, left);
            received = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Hands out what was received and forgets it.
    #[must_use]
    pub fn take(&self) -> Received {
        std::mem::take(&mut *self.lock())
    }

    /// Everything taken, as one `ExportTraceServiceRequest` in OTLP's JSON mapping, for people.
    #[must_use]
    pub fn to_otlp_json(&self) -> String {
        serde_json::to_string_pretty(&self.lock().request()).unwrap_or_default()
    }

    // A panic of another thread leaves a state that is whole: every change above is made of pushes and additions.
    fn lock(&self) -> MutexGuard<'_, Received> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
