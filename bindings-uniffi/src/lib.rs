//! The core of Wirespan for Kotlin, Java and Swift: its types through uniffi, and nothing that decides.
//!
//! Numbers are signed and byte offsets are `i32`, because Java has no other; times are nanoseconds of a monotonic clock.
//! What one message needs goes over the boundary in one call each way, as one record.

mod carry;
mod connection;
mod envelope;
mod error;
mod event;
mod handshake;
mod metrics;
mod options;
mod plan;
mod quick;
mod received;
mod trace;

pub use carry::{
    CarriedItem, CarryHeaders, carry_from_headers, carry_to_headers, carry_wait_ns, plan_process,
    plan_send, queue_wait,
};
pub use connection::{Connection, ConnectionState, Frame, Outgoing, PlannedStream};
pub use envelope::{
    Body, Drops, Envelope, Recognition, Unwrapped, Wrapped, convert_head, is_error_type, is_json,
    is_look_alike, is_method, is_session_id, unwrap, wrap,
};
pub use error::CoreError;
pub use event::{Event, SpanEnd, SpanEvent};
pub use handshake::{HandshakeRequest, SessionRegistry, UpgradeAdditions};
pub use metrics::{Stall, StreamMetrics, Summary, summary_attributes};
pub use options::{OptionSetting, OptionValue, Options, Resumption};
pub use plan::{Attribute, AttributeValue, Link, Parent, Plan};
pub use received::{IncomingStream, Payload, Received};
pub use trace::{
    BaggageMember, Extracted, Header, HeaderBytes, ParsedBaggage, SpanContext, WrittenBaggage,
    extract, format_baggage, inject, parse_baggage, parse_traceparent, parse_tracestate,
};

uniffi::setup_scaffolding!("wirespan");

/// The names that the core fixes, each list in the order of the specification.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Names {
    /// The version of the library.
    pub version: String,
    /// Kinds of errors.
    pub error_kinds: Vec<String>,
    /// Reasons of refusals.
    pub refusals: Vec<String>,
    /// Counters of a connection.
    pub counters: Vec<String>,
    /// How a stream can end.
    pub outcomes: Vec<String>,
    /// Header names that an application cannot use.
    pub reserved_headers: Vec<String>,
    /// Options that are time spans, in nanoseconds.
    pub time_spans: Vec<String>,
    /// The key of the span that is as long as a connection.
    pub connection_span: i64,
    /// The key of the span of a handshake.
    pub handshake_span: i64,
    /// The number of the stream that stands for messages outside every stream.
    pub plain_stream: i64,
}

/// The names that the core fixes.
#[uniffi::export]
pub fn names() -> Result<Names, CoreError> {
    error::guard(|| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Ok(Names {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            error_kinds: owned(&wirespan::ErrorKind::ALL.map(wirespan::ErrorKind::name)),
            refusals: owned(&wirespan::Refusal::ALL.map(wirespan::Refusal::name)),
            counters: owned(
                &wirespan::counters::Counter::ALL.map(wirespan::counters::Counter::name),
            ),
            outcomes: owned(&metrics::OUTCOMES.map(wirespan::metrics::Outcome::name)),
            reserved_headers: owned(&wirespan::names::header::RESERVED),
            time_spans: owned(&wirespan::connection::TIME_SPANS),
            connection_span: wirespan::connection::SpanKey::CONNECTION.number().into(),
            handshake_span: wirespan::connection::SpanKey::HANDSHAKE.number().into(),
            plain_stream: wirespan::connection::StreamKey::PLAIN.number().into(),
        })
    })
}
