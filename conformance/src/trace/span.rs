//! A span as it was received.

use std::fmt;

use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::text::clean;
use super::{Attributes, SpanId, SpanRef, TraceId};

/// A span.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// `service.name` of its resource; empty if it has none.
    pub service: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// Its trace.
    pub trace_id: TraceId,
    /// Itself.
    pub span_id: SpanId,
    /// Its parent; none for a root.
    pub parent: Option<SpanId>,
    /// The spans that it links.
    pub links: Vec<Link>,
    /// When it started, Unix nanoseconds.
    pub start_ns: u64,
    /// When it ended, Unix nanoseconds.
    pub end_ns: u64,
    /// Its attributes.
    pub attributes: Attributes,
    /// Its events.
    pub events: Vec<Event>,
    /// Its status.
    pub status: Status,
    /// The W3C trace flags of its context.
    pub flags: u8,
    /// Its `tracestate`.
    pub trace_state: String,
}

/// A link of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Link {
    /// The span that is linked.
    pub to: SpanRef,
    /// Attributes of the link.
    pub attributes: Attributes,
}

/// An event of a span.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// When it happened, Unix nanoseconds.
    pub time_ns: u64,
    /// Its attributes.
    pub attributes: Attributes,
}

/// The kind of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Not given.
    Unspecified,
    /// Within a process.
    Internal,
    /// Handles a request.
    Server,
    /// Makes a request.
    Client,
    /// Sends without an answer.
    Producer,
    /// Processes what was sent.
    Consumer,
}

/// The status of a span.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// No failure.
    Unset,
    /// The application says that all is well.
    Ok,
    /// Failure, with what was said about it.
    Error(String),
}

/// The flags of W3C, which are the low byte of the flags of OTLP.
const W3C_FLAGS: u32 = 0xff;

impl Span {
    /// Reads a span of OTLP; none if its trace id, its span id or a given parent id is not valid.
    pub(crate) fn from_otlp(resource: Option<&Resource>, span: &otlp::Span) -> Option<Self> {
        let parent = match span.parent_span_id.as_slice() {
            [] => None,
            // Some exporters write zeros for "none".
            bytes if bytes.iter().all(|byte| *byte == 0) => None,
            bytes => Some(SpanId::from_slice(bytes)?),
        };
        let resource = resource.map(|resource| Attributes::from_otlp(&resource.attributes));
        let service = resource
            .as_ref()
            .and_then(|resource| resource.text("service.name"));
        Some(Self {
            service: service.unwrap_or_default().to_owned(),
            name: span.name.clone(),
            kind: Kind::from_otlp(span.kind),
            trace_id: TraceId::from_slice(&span.trace_id)?,
            span_id: SpanId::from_slice(&span.span_id)?,
            parent,
            links: span.links.iter().filter_map(Link::from_otlp).collect(),
            start_ns: span.start_time_unix_nano,
            end_ns: span.end_time_unix_nano,
            attributes: Attributes::from_otlp(&span.attributes),
            events: span.events.iter().map(Event::from_otlp).collect(),
            status: Status::from_otlp(span.status.as_ref()),
            flags: (span.flags & W3C_FLAGS) as u8,
            trace_state: span.trace_state.clone(),
        })
    }

    /// The span with its trace, as parents and links name it.
    #[must_use]
    pub fn reference(&self) -> SpanRef {
        SpanRef {
            trace_id: self.trace_id,
            span_id: self.span_id,
        }
    }

    /// How long it took; 0 if its clock stepped back.
    #[must_use]
    pub fn duration_ns(&self) -> u64 {
        self.end_ns.saturating_sub(self.start_ns)
    }

    /// Whether its status is an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        matches!(self.status, Status::Error(_))
    }
}

impl Link {
    fn from_otlp(link: &otlp::span::Link) -> Option<Self> {
        let trace_id = TraceId::from_slice(&link.trace_id)?;
        let span_id = SpanId::from_slice(&link.span_id)?;
        let attributes = Attributes::from_otlp(&link.attributes);
        Some(Self {
            to: SpanRef { trace_id, span_id },
            attributes,
        })
    }
}

impl Event {
    fn from_otlp(event: &otlp::span::Event) -> Self {
        Self {
            name: event.name.clone(),
            time_ns: event.time_unix_nano,
            attributes: Attributes::from_otlp(&event.attributes),
        }
    }
}

impl Kind {
    fn from_otlp(kind: i32) -> Self {
        match SpanKind::try_from(kind) {
            Ok(SpanKind::Internal) => Self::Internal,
            Ok(SpanKind::Server) => Self::Server,
            Ok(SpanKind::Client) => Self::Client,
            Ok(SpanKind::Producer) => Self::Producer,
            Ok(SpanKind::Consumer) => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// The name used by OpenTelemetry, in upper case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "UNSPECIFIED",
            Self::Internal => "INTERNAL",
            Self::Server => "SERVER",
            Self::Client => "CLIENT",
            Self::Producer => "PRODUCER",
            Self::Consumer => "CONSUMER",
        }
    }
}

impl Status {
    fn from_otlp(status: Option<&otlp::Status>) -> Self {
        match status.map(|status| (StatusCode::try_from(status.code), &status.message)) {
            Some((Ok(StatusCode::Ok), _)) => Self::Ok,
            Some((Ok(StatusCode::Error), message)) => Self::Error(message.clone()),
            _ => Self::Unset,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// `service: name KIND (span id)`, without control characters.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, name) = (clean(&self.service), clean(&self.name));
        write!(f, "{service}: {name} {} ({})", self.kind, self.span_id)
    }
}
