//! Trace context and baggage, and what a propagator of the OpenTelemetry API needs.

use wirespan::Error;
use wirespan::limits::MAX_TRACESTATE_BYTES;
use wirespan::names::header;
use wirespan::trace::{
    AllowList, Baggage, SpanContext as CoreSpanContext, TraceParent, TraceState,
};

use crate::error::{CoreError, guard, signed};

/// Identity of a span with its vendor data, as the headers that carry it.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SpanContext {
    /// The value of `traceparent`.
    pub traceparent: String,
    /// The value of `tracestate`, possibly empty.
    #[uniffi(default = "")]
    pub tracestate: String,
}

impl From<&CoreSpanContext> for SpanContext {
    fn from(span: &CoreSpanContext) -> Self {
        Self {
            traceparent: span.trace_parent.to_header(),
            tracestate: span.trace_state.as_str().to_owned(),
        }
    }
}

impl SpanContext {
    pub(crate) fn to_core(&self) -> Result<CoreSpanContext, Error> {
        Ok(CoreSpanContext {
            trace_parent: TraceParent::parse(self.traceparent.as_bytes())?,
            // What is malformed is dropped, as a receiver would do.
            trace_state: TraceState::parse(&self.tracestate).unwrap_or_default(),
        })
    }
}

pub(crate) fn span_of(span: Option<&SpanContext>) -> Result<Option<CoreSpanContext>, Error> {
    span.map(SpanContext::to_core).transpose()
}

/// A header of the application's own.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A header as it came from outside, whose value need not be text.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct HeaderBytes {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

pub(crate) fn pairs(headers: &[HeaderBytes]) -> impl Iterator<Item = (&str, &[u8])> {
    headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_slice()))
}

pub(crate) fn own_pairs(headers: &[Header]) -> Vec<(&str, &str)> {
    headers
        .iter()
        .map(|header| (header.name.as_str(), header.value.as_str()))
        .collect()
}

pub(crate) fn headers<N: ToString, V: ToString>(
    pairs: impl IntoIterator<Item = (N, V)>,
) -> Vec<Header> {
    pairs
        .into_iter()
        .map(|(name, value)| Header {
            name: name.to_string(),
            value: value.to_string(),
        })
        .collect()
}

/// A member of baggage.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct BaggageMember {
    /// Its name.
    pub name: String,
    /// Its value, decoded.
    pub value: String,
    /// Its properties as they stand, without the first semicolon.
    #[uniffi(default = "")]
    pub properties: String,
}

pub(crate) fn members(baggage: &Baggage) -> Vec<BaggageMember> {
    baggage
        .iter()
        .map(|member| BaggageMember {
            name: member.key.clone(),
            value: member.value.clone(),
            properties: member.properties.clone(),
        })
        .collect()
}

/// Baggage of members, and how many of them the grammar does not allow.
pub(crate) fn baggage(members: &[BaggageMember]) -> (Baggage, usize) {
    let mut baggage = Baggage::default();
    let mut refused = 0;
    for member in members {
        let mut core = wirespan::trace::BaggageMember::new(&member.name, &member.value);
        core.properties.clone_from(&member.properties);
        // A name outside the grammar cannot travel; the others still do.
        refused += usize::from(baggage.insert(core).is_err());
    }
    (baggage, refused)
}

pub(crate) fn allow(names: Vec<String>) -> AllowList {
    AllowList::from_names(names)
}

/// Reads the values of all `traceparent` fields. Returns the value to send on, or none without a value.
///
/// Raises `malformed` whose reason says why they are refused.
#[uniffi::export]
pub fn parse_traceparent(values: Vec<Vec<u8>>) -> Result<Option<String>, CoreError> {
    guard(|| {
        let parsed = TraceParent::from_values(values.iter().map(Vec::as_slice))?;
        Ok(parsed.map(|trace_parent| trace_parent.to_header()))
    })
}

/// Reads the values of all `tracestate` fields. Returns the list as it is sent on, empty where nothing is left.
///
/// Raises `malformed` whose reason says why the list is refused.
#[uniffi::export]
pub fn parse_tracestate(values: Vec<Vec<u8>>) -> Result<String, CoreError> {
    guard(|| {
        let parsed = TraceState::from_values(values.iter().map(Vec::as_slice))?;
        Ok(parsed.as_str().to_owned())
    })
}

/// What the values of `baggage` say.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ParsedBaggage {
    /// The members, in order.
    pub members: Vec<BaggageMember>,
    /// How many were dropped.
    pub dropped: i64,
}

/// Reads the values of all `baggage` fields.
#[uniffi::export]
pub fn parse_baggage(values: Vec<Vec<u8>>) -> Result<ParsedBaggage, CoreError> {
    guard(|| {
        let (baggage, dropped) = Baggage::from_values(values.iter().map(Vec::as_slice));
        Ok(ParsedBaggage {
            members: members(&baggage),
            dropped: signed(dropped as u64),
        })
    })
}

/// A value of `baggage`.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct WrittenBaggage {
    /// The value.
    pub header: String,
    /// How many members were left out.
    pub dropped: i64,
}

/// Writes members as the value of `baggage`.
#[uniffi::export]
pub fn format_baggage(members: Vec<BaggageMember>) -> Result<WrittenBaggage, CoreError> {
    guard(|| {
        let (baggage, refused) = baggage(&members);
        let (header, dropped) = baggage.encode();
        Ok(WrittenBaggage {
            header,
            dropped: signed((dropped + refused) as u64),
        })
    })
}

/// What a propagator reads.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Extracted {
    /// The sender's span; absent where none was sent or what was sent is invalid.
    pub span: Option<SpanContext>,
    /// The baggage, all of it.
    pub baggage: Vec<BaggageMember>,
}

/// Reads `traceparent`, `tracestate` and `baggage` out of headers, in any case and order. What is invalid counts as absent.
#[uniffi::export]
pub fn extract(headers: Vec<HeaderBytes>) -> Result<Extracted, CoreError> {
    guard(|| {
        let values = |name: &'static str| {
            pairs(&headers)
                .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
                .map(|(_, value)| value)
        };
        // Extraction never fails (OpenTelemetry, Propagators API).
        let parent = TraceParent::from_values(values(header::TRACEPARENT)).unwrap_or_default();
        let span = parent.map(|trace_parent| CoreSpanContext {
            trace_parent,
            trace_state: TraceState::from_values(values(header::TRACESTATE)).unwrap_or_default(),
        });
        let (baggage, _) = Baggage::from_values(values(header::BAGGAGE));
        Ok(Extracted {
            span: span.as_ref().map(SpanContext::from),
            baggage: members(&baggage),
        })
    })
}

/// Writes the headers of a context: `traceparent`, `tracestate` and `baggage`, each where there is something to say.
#[uniffi::export]
pub fn inject(
    span: Option<SpanContext>,
    members: Vec<BaggageMember>,
) -> Result<Vec<Header>, CoreError> {
    guard(|| {
        let mut written = Vec::with_capacity(3);
        if let Some(span) = span_of(span.as_ref())? {
            written.push((header::TRACEPARENT, span.trace_parent.to_header()));
            let state = span.trace_state.truncated(MAX_TRACESTATE_BYTES);
            if !state.is_empty() {
                written.push((header::TRACESTATE, state.into_owned()));
            }
        }
        let value = baggage(&members).0.to_header();
        if !value.is_empty() {
            written.push((header::BAGGAGE, value));
        }
        Ok(headers(written))
    })
}

/// 128 random bits.
pub(crate) fn entropy(bytes: &[u8]) -> Result<[u8; 16], Error> {
    bytes
        .try_into()
        .map_err(|_| Error::invalid_argument("entropy", "must be 16 random bytes"))
}
