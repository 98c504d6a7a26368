//! Events of a connection.

use wirespan::connection::{Event as CoreEvent, ReadEnd, SpanEnd as CoreSpanEnd, Status};
use wirespan::envelope::Form;

use crate::error::signed;
use crate::metrics::Summary;
use crate::plan::{Attribute, attributes};

/// An event of a span.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct SpanEvent {
    /// Its name.
    pub name: String,
    /// When it happened, on the host's monotonic clock in nanoseconds.
    pub at_ns: i64,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

/// What to do to end a span: set the attributes, add the events, set the status, end it.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct SpanEnd {
    /// The key of the span.
    pub span: i64,
    /// The type of the error, if the operation failed.
    pub error_type: Option<String>,
    /// Whether the status is Error.
    pub is_error: bool,
    /// The attributes to set.
    pub attributes: Vec<Attribute>,
    /// The events to add.
    pub events: Vec<SpanEvent>,
    /// What was measured on the way to the peer, for the span of a call or transfer.
    pub sent: Option<Summary>,
    /// What was measured on the way from the peer.
    pub received: Option<Summary>,
}

/// Something that the host has to act on, in order.
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
#[expect(
    clippy::large_enum_variant,
    reason = "it crosses the boundary at once; uniffi has no boxes"
)]
pub enum Event {
    /// A message to send before anything that is sent later.
    Frame {
        /// Whether it is a text message.
        text: bool,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Attributes to set on an open span.
    SpanUpdate {
        /// The key of the span.
        span: i64,
        /// The attributes.
        attributes: Vec<Attribute>,
    },
    /// A span to end; for the span of a stream it also says that the stream is over.
    SpanEnds {
        /// How it ends.
        end: SpanEnd,
    },
    /// No further chunk comes for the reader of a stream.
    ReadEnd {
        /// The stream.
        stream: i64,
        /// The kind of the error that the reader raises; absent where the direction is complete.
        error_kind: Option<String>,
        /// The type of the error.
        error_type: Option<String>,
    },
    /// The host stops to read from its transport.
    PauseReading,
    /// The host reads again.
    ResumeReading,
    /// The connection knows what its peer speaks; `connect` returns now.
    Ready,
    /// The session id is another one from now on.
    SessionChanged {
        /// The id that this side had proposed.
        previous: String,
    },
}

impl Event {
    /// What the host acts on; none for what a later core would add, which this host cannot know.
    pub(crate) fn from_core(event: CoreEvent) -> Option<Self> {
        Some(match event {
            CoreEvent::Frame { form, bytes } => Self::Frame {
                text: form == Form::Text,
                bytes,
            },
            CoreEvent::SpanUpdate {
                span,
                attributes: list,
            } => Self::SpanUpdate {
                span: span.number().into(),
                attributes: attributes(&list),
            },
            CoreEvent::SpanEnd(end) => Self::SpanEnds {
                end: SpanEnd::from(&*end),
            },
            CoreEvent::ReadEnd { stream, end } => {
                let (error_kind, error_type) = match end {
                    ReadEnd::Failed { kind, error_type } => (
                        Some(kind.name().to_owned()),
                        error_type.map(std::borrow::Cow::into_owned),
                    ),
                    _ => (None, None),
                };
                Self::ReadEnd {
                    stream: stream.number().into(),
                    error_kind,
                    error_type,
                }
            }
            CoreEvent::PauseReading => Self::PauseReading,
            CoreEvent::ResumeReading => Self::ResumeReading,
            CoreEvent::Ready => Self::Ready,
            CoreEvent::SessionChanged { previous } => Self::SessionChanged { previous },
            _ => return None,
        })
    }
}

impl From<&CoreSpanEnd> for SpanEnd {
    fn from(end: &CoreSpanEnd) -> Self {
        let events = end.events().into_iter().map(|event| SpanEvent {
            name: event.name.to_owned(),
            at_ns: signed(event.at_ns),
            attributes: attributes(&event.attributes),
        });
        let report = end.report.as_deref();
        Self {
            span: end.span.number().into(),
            error_type: end.error_type.clone().map(std::borrow::Cow::into_owned),
            is_error: end.status() == Status::Error,
            attributes: attributes(&end.attributes()),
            events: events.collect(),
            sent: report.map(|report| Summary::from(&report.sent.summary())),
            received: report.map(|report| Summary::from(&report.received.summary())),
        }
    }
}
