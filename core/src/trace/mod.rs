//! W3C Trace Context level 2 and W3C Baggage: parsers and writers that follow the texts to the letter.
//!
//! Everything here runs in linear time and refuses on length before it splits. `conformance/SPEC.md`, chapter "Trace
//! context", numbers the rules.

mod allow_list;
mod baggage;
mod data;
mod traceparent;
mod tracestate;

use serde::{Deserialize, Serialize};

pub use allow_list::AllowList;
pub use baggage::{Baggage, BaggageMember};
pub(crate) use traceparent::read_canonical;
pub use traceparent::{TRACEPARENT_LEN, TraceFlags, TraceParent};
pub use tracestate::TraceState;
#[cfg(feature = "opentelemetry")]
pub(crate) use tracestate::is_member;

/// A span's identity together with its vendor data: what travels in `traceparent` and `tracestate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanContext {
    /// Ids and flags.
    #[serde(rename = "traceparent")]
    pub trace_parent: TraceParent,
    /// Vendor data, possibly empty.
    #[serde(
        rename = "tracestate",
        default,
        skip_serializing_if = "TraceState::is_empty"
    )]
    pub trace_state: TraceState,
}

impl From<TraceParent> for SpanContext {
    fn from(trace_parent: TraceParent) -> Self {
        Self {
            trace_parent,
            trace_state: TraceState::default(),
        }
    }
}

/// What a message or a handshake can carry: a span context, baggage, both or neither.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The span, absent where none was sent or what was sent is invalid.
    pub span: Option<SpanContext>,
    /// Baggage, possibly empty.
    pub baggage: Baggage,
}

impl Context {
    /// Tells whether there is nothing to carry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.span.is_none() && self.baggage.is_empty()
    }
}
