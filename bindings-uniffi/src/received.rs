//! What a received message means.

use wirespan::connection::{Payload as CorePayload, Received as Core};
use wirespan::envelope::Kind;

use crate::plan::Plan;
use crate::trace::{BaggageMember, Header, SpanContext, headers, members};

/// What is delivered to the application.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Payload {
    /// Nothing.
    Nothing,
    /// These bytes of the message that was received, unchanged.
    Slice {
        /// The first byte.
        offset: i32,
        /// Their number.
        length: i32,
    },
    /// This text, which travelled inside a JSON string.
    Text {
        /// The text.
        value: String,
    },
}

/// A call or transfer that the peer opens.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct IncomingStream {
    /// `call` or `transfer`.
    pub kind: String,
    /// The method that the peer named.
    pub method: Option<String>,
    /// Whether the application registered that method.
    pub registered: bool,
    /// How to start its span.
    pub plan: Plan,
}

/// What to do with a received message: start the span of `opened`, deliver the payload to `stream`, then poll the events.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Received {
    /// The stream that gets the message; 0 for messages outside every stream.
    pub stream: i64,
    /// What is delivered.
    pub payload: Payload,
    /// The call or transfer that the message opens.
    pub opened: Option<IncomingStream>,
    /// The sender's span, to be used as parent.
    pub context: Option<SpanContext>,
    /// The sender's span, to be linked.
    pub link: Option<SpanContext>,
    /// The baggage that the allow-list lets through.
    pub baggage: Vec<BaggageMember>,
    /// The application's own headers, in the order sent.
    pub headers: Vec<Header>,
    /// Whether there are events to poll.
    pub has_events: bool,
    /// When `on_time` is due.
    pub deadline: Option<i64>,
}

impl Received {
    pub(crate) fn new(received: Core<'_>, has_events: bool, deadline: Option<i64>) -> Self {
        let offset = |at: usize| i32::try_from(at).unwrap_or(i32::MAX);
        let context = received.context().map(SpanContext::from);
        let link = received.link().map(SpanContext::from);
        Self {
            stream: received.stream.number().into(),
            payload: match received.payload {
                CorePayload::Nothing => Payload::Nothing,
                CorePayload::Raw(range) => Payload::Slice {
                    offset: offset(range.start),
                    length: offset(range.len()),
                },
                CorePayload::Text(text) => Payload::Text {
                    value: text.into_owned(),
                },
            },
            context,
            link,
            baggage: members(&received.baggage),
            headers: headers(received.headers),
            opened: received.opened.map(|opened| IncomingStream {
                kind: if opened.kind == Kind::Transfer {
                    "transfer".to_owned()
                } else {
                    "call".to_owned()
                },
                method: opened.method.map(String::from),
                registered: opened.registered,
                plan: opened.plan.into(),
            }),
            has_events,
            deadline,
        }
    }
}
