//! Plans: what the core tells the host to do about a span.

use std::borrow::Cow;

use crate::metrics::{Direction, MetricValue, Outcome, Stall, StreamMetrics};
use crate::names::{EVENT_STALL, attribute};
use crate::trace::SpanContext;

/// Names a span of one connection, from its plan to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpanKey(pub(crate) u32);

impl SpanKey {
    /// The span that is as long as the connection.
    pub const CONNECTION: Self = Self(0);
    /// The span of the handshake.
    pub const HANDSHAKE: Self = Self(1);

    /// A span outside every connection, such as that of a queue: its host ends it by itself.
    pub const DETACHED: Self = Self(u32::MAX);

    /// The number of the key, for hosts that keep tables.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// The kind of a span (OpenTelemetry, Trace API, "SpanKind").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpanKind {
    /// Within the process.
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

impl SpanKind {
    /// The name used by OpenTelemetry, in upper case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Internal => "INTERNAL",
            Self::Server => "SERVER",
            Self::Client => "CLIENT",
            Self::Producer => "PRODUCER",
            Self::Consumer => "CONSUMER",
        }
    }
}

/// What a span is the child of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Parent {
    /// Nothing: a new trace.
    Root,
    /// The host's current span, with all that its current context holds.
    Current,
    /// The connection's own span, [`SpanKey::CONNECTION`].
    Connection,
    /// The span of a peer.
    Remote(SpanContext),
}

/// A value of an attribute.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// Text.
    Str(Cow<'static, str>),
    /// A whole number.
    I64(i64),
    /// A number.
    F64(f64),
}

/// An attribute of a span or of a span event.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub key: &'static str,
    /// Its value.
    pub value: Value,
}

impl Attribute {
    pub(crate) fn str(key: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        Self {
            key,
            value: Value::Str(value.into()),
        }
    }

    pub(crate) fn i64(key: &'static str, value: i64) -> Self {
        Self {
            key,
            value: Value::I64(value),
        }
    }

    pub(crate) fn f64(key: &'static str, value: f64) -> Self {
        Self {
            key,
            value: Value::F64(value),
        }
    }
}

/// A span to link.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// The span.
    pub span: SpanContext,
    /// It is a peer's; otherwise one that this process made.
    pub remote: bool,
}

impl Link {
    pub(crate) fn remote(span: SpanContext) -> Self {
        Self { span, remote: true }
    }

    pub(crate) fn own(span: SpanContext) -> Self {
        Self {
            span,
            remote: false,
        }
    }
}

/// What the host does to start a span. Links are complete here, since samplers see only those given at creation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// Names the span until its end.
    pub span: SpanKey,
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its kind.
    pub kind: SpanKind,
    /// Its parent.
    pub parent: Parent,
    /// The spans that it links.
    pub links: Vec<Link>,
    /// Its attributes at the start.
    pub attributes: Vec<Attribute>,
}

/// Status of a span at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Success, and everything that is no failure of the operation.
    Unset,
    /// Failure; `error.type` says which.
    Error,
}

/// What the host does to end a span: set the attributes, add the events, set the status, end it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SpanEnd {
    /// The span.
    pub span: SpanKey,
    /// Type of the error, if the operation failed.
    pub error_type: Option<Cow<'static, str>>,
    /// Attributes of a connection's end.
    pub(crate) closing: Vec<Attribute>,
    /// What was measured, for the span of a call or transfer.
    pub report: Option<Box<StreamReport>>,
}

impl SpanEnd {
    pub(crate) fn new(span: SpanKey, error_type: Option<Cow<'static, str>>) -> Self {
        Self {
            span,
            error_type,
            closing: Vec::new(),
            report: None,
        }
    }

    /// The status to set.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.error_type.is_some() {
            Status::Error
        } else {
            Status::Unset
        }
    }

    /// The attributes to set, computed now: ask the span whether it is recording first.
    #[must_use]
    pub fn attributes(&self) -> Vec<Attribute> {
        let mut all = self.closing.clone();
        if let Some(error_type) = &self.error_type {
            all.push(Attribute::str(attribute::ERROR_TYPE, error_type.clone()));
        }
        if let Some(report) = &self.report {
            report.push_attributes(&mut all);
        }
        all
    }

    /// The events to add.
    #[must_use]
    pub fn events(&self) -> Vec<SpanEvent> {
        self.report
            .as_deref()
            .map(StreamReport::events)
            .unwrap_or_default()
    }
}

/// An event of a span.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpanEvent {
    /// Its name.
    pub name: &'static str,
    /// When it happened, on the host's monotonic clock in nanoseconds.
    pub at_ns: u64,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

/// What was measured on a stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StreamReport {
    /// How the stream ended.
    pub outcome: Outcome,
    /// The direction away from this side.
    pub sent: StreamMetrics,
    /// The direction to this side.
    pub received: StreamMetrics,
    /// The first stalls of each direction, at most [`crate::limits::MAX_STALL_EVENTS`] each.
    pub stalls: Vec<(Direction, Stall)>,
}

impl StreamReport {
    fn push_attributes(&self, all: &mut Vec<Attribute>) {
        all.push(Attribute::str(
            attribute::STREAM_OUTCOME,
            self.outcome.name(),
        ));
        let directions = [
            (Direction::Sent, &self.sent),
            (Direction::Received, &self.received),
        ];
        for (direction, metrics) in directions {
            // A direction without a chunk says nothing that its absence does not say.
            if metrics.chunks() == 0 {
                continue;
            }
            all.extend(
                metrics.summary().attributes(direction).into_iter().map(
                    |(key, value)| match value {
                        MetricValue::Count(count) => {
                            Attribute::i64(key, i64::try_from(count).unwrap_or(i64::MAX))
                        }
                        MetricValue::Float(number) => Attribute::f64(key, number),
                    },
                ),
            );
        }
    }

    fn events(&self) -> Vec<SpanEvent> {
        let events = self.stalls.iter().map(|(direction, stall)| SpanEvent {
            name: EVENT_STALL,
            at_ns: stall.at_ns,
            attributes: vec![
                Attribute::str(attribute::STALL_DIRECTION, direction.name()),
                Attribute::f64(
                    attribute::STALL_INTERVAL,
                    crate::metrics::seconds(stall.interval_ns),
                ),
                Attribute::i64(
                    attribute::STALL_CHUNK,
                    i64::try_from(stall.chunk).unwrap_or(i64::MAX),
                ),
            ],
        });
        events.collect()
    }
}
