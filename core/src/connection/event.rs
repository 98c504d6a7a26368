//! What a connection tells its host.

use std::borrow::Cow;
use std::ops::Range;

use crate::envelope::{Form, Kind};
use crate::error::ErrorKind;
use crate::trace::{Baggage, SpanContext};

use super::plan::{Attribute, Plan, SpanEnd, SpanKey};
use super::streams::StreamKey;

/// Something that the host has to act on, in order, after each call into the connection.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A message to send before anything that is sent later.
    Frame {
        /// The kind of WebSocket message.
        form: Form,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// Attributes to set on an open span.
    SpanUpdate {
        /// The span.
        span: SpanKey,
        /// The attributes.
        attributes: Vec<Attribute>,
    },
    /// A span to end. For the key of a stream it also says that the stream is over.
    SpanEnd(Box<SpanEnd>),
    /// No further chunk comes for the reader of a stream, once it has taken those it was given.
    ReadEnd {
        /// The stream.
        stream: StreamKey,
        /// Why.
        end: ReadEnd,
    },
    /// The host stops to read from its transport until [`Event::ResumeReading`].
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

/// Why a reader gets nothing more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadEnd {
    /// The peer's direction is complete.
    Complete,
    /// The stream failed or was cancelled or left.
    Failed {
        /// What the reader raises.
        kind: ErrorKind,
        /// The error type that the peer sent, or that this side put on the span.
        error_type: Option<Cow<'static, str>>,
    },
}

/// What the host does with a received message. First it starts the span of `opened`, then it delivers the payload, then it
/// polls the events.
#[derive(Debug)]
#[non_exhaustive]
pub struct Received<'m> {
    /// The stream that gets the payload; [`StreamKey::PLAIN`] for messages outside every stream.
    pub stream: StreamKey,
    /// What is delivered.
    pub payload: Payload<'m>,
    /// The call or transfer that this message opens.
    pub opened: Option<Box<IncomingStream>>,
    /// The context that came with the message, if this side's trust lets it through.
    pub(crate) remote: Option<SpanContext>,
    /// Whether `remote` is a parent or a link.
    pub(crate) linked: bool,
    /// The baggage that came with the message and that the allow-list lets through.
    pub baggage: Baggage,
    /// The application's own headers, in the order sent.
    pub headers: Vec<(Cow<'m, str>, Cow<'m, str>)>,
}

impl<'m> Received<'m> {
    pub(crate) fn new(stream: StreamKey, payload: Payload<'m>) -> Self {
        Self {
            stream,
            payload,
            opened: None,
            remote: None,
            linked: false,
            baggage: Baggage::default(),
            headers: Vec::new(),
        }
    }

    /// The sender's span, to be used as parent.
    #[must_use]
    pub fn context(&self) -> Option<&SpanContext> {
        self.remote.as_ref().filter(|_| !self.linked)
    }

    /// The sender's span, to be linked; present under trust `link`.
    #[must_use]
    pub fn link(&self) -> Option<&SpanContext> {
        self.remote.as_ref().filter(|_| self.linked)
    }
}

/// What is delivered to the application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload<'m> {
    /// Nothing: the message was for the connection alone, or is discarded.
    Nothing,
    /// These bytes of the message, unchanged.
    Raw(Range<usize>),
    /// This text, which travelled inside a JSON string.
    Text(Cow<'m, str>),
}

impl Payload<'_> {
    /// The length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Raw(range) => range.len(),
            Self::Text(text) => text.len(),
        }
    }

    /// Tells whether there are no bytes: nothing, or an empty message.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes to deliver, given the message that was received.
    #[must_use]
    pub fn bytes<'a>(&'a self, message: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Nothing => None,
            Self::Raw(range) => message.get(range.clone()),
            Self::Text(text) => Some(text.as_bytes()),
        }
    }
}

/// A call or transfer that the peer opens.
#[derive(Debug)]
#[non_exhaustive]
pub struct IncomingStream {
    /// Call or transfer.
    pub kind: Kind,
    /// The method that the peer named.
    pub method: Option<Box<str>>,
    /// Whether the application registered that method.
    pub registered: bool,
    /// How to start its span.
    pub plan: Plan,
}
