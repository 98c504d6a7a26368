//! The message envelope: a text form and a binary form that hold the same headers and never change a byte of the body.
//!
//! `conformance/SPEC.md`, chapters "Text envelope", "Binary envelope" and "Recognition", numbers the rules.

mod binary;
mod body;
mod collect;
mod convert;
mod grammar;
mod headers;
mod json;
mod slot;
mod text;
mod usual;
mod write;

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;

pub use body::{Body, Frame, FrameBody, TextBody, classify_text, is_look_alike};
pub use convert::convert_head;
pub use grammar::{check_own_headers, is_error_type, is_method, is_session_id, parse_u64};
pub use headers::{Headers, MessageWithHeaders};
pub(crate) use slot::{open_slot, write_slot};
pub use text::text_body;
pub use write::{Written, write_head};

use crate::error::Error;
use crate::limits;

use crate::trace::TraceParent;

/// Which kind of WebSocket message, and with it which form of the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// A text message (UTF-8).
    Text,
    /// A binary message.
    Binary,
}

/// What kind of stream a message opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// An invocation with an answer.
    Call,
    /// One-way data.
    Transfer,
}

/// How a message ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum End {
    /// Nothing more follows.
    Complete,
    /// The stream is cancelled, both directions end.
    Cancel,
    /// The stream failed, both directions end.
    Error,
}

/// What the body is when it is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Content {
    /// The body is a JSON string that holds a text.
    Text,
    /// There is no body.
    None,
}

/// The role of a side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The side that connected.
    Client,
    /// The side that accepted.
    Server,
}

/// The headers of a received envelope after validation: what is here is valid, what was invalid is counted in `drops`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head<'m> {
    /// Ids and flags of the sender's span.
    pub trace_parent: Option<TraceParent>,
    /// Vendor data as sent, valid and within its limit; only beside a valid `trace_parent`.
    pub trace_state: Option<Cow<'m, str>>,
    /// Baggage as sent, within its limit but not yet validated.
    pub baggage: Option<Cow<'m, str>>,
    /// Session id.
    pub session: Option<Cow<'m, str>>,
    /// What the message opens.
    pub kind: Option<Kind>,
    /// Method name.
    pub method: Option<Cow<'m, str>>,
    /// Stream id.
    pub stream: Option<NonZeroU32>,
    /// Number of the message in its stream and direction; absent means 0.
    pub seq: Option<u32>,
    /// How the direction ends.
    pub end: Option<End>,
    /// Error type.
    pub error: Option<Cow<'m, str>>,
    /// What the body is when it is not JSON.
    pub content: Option<Content>,
    /// When a carried item left, Unix nanoseconds.
    pub sent: Option<u64>,
    /// Versions that the sender of a hello speaks (text form only); valid by the grammar.
    pub versions: Option<Cow<'m, str>>,
    /// Role of the sender of a hello (text form only).
    pub role: Option<Role>,
    /// The application's own headers, in the order sent; a repeated one stands for each time.
    pub own: Vec<(Cow<'m, str>, Cow<'m, str>)>,
    /// What was invalid or repeated.
    pub drops: Drops,
}

/// What a reader left out of a [`Head`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// The `traceparent` is invalid.
    pub context_invalid: bool,
    /// Number of other reserved headers whose value is invalid, and of own headers with an invalid name or value.
    pub header_invalid: u8,
    /// A name stands twice.
    pub header_repeated: bool,
    /// The `tracestate` is malformed, over its limit, or has no valid `traceparent`.
    pub tracestate: bool,
    /// The `baggage` is over its limit.
    pub baggage: bool,
    /// The `content` does not fit the body.
    pub content_mismatch: bool,
}

/// What may be recognised as an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognition {
    /// From a peer that announced itself: the canonical form only, at a cost that does not grow with the body.
    Canonical,
    /// From a peer that is configured as `always`: any JSON object with exactly the two members.
    Any {
        /// Deepest nesting of a body.
        max_nesting: usize,
    },
}

/// What a reader made of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "it lives on the stack for one call, and the envelope is the common case"
)]
pub enum Opened<'m> {
    /// An envelope: its headers, and where its body stands in the message.
    Envelope {
        /// The headers.
        head: Head<'m>,
        /// The body's bytes within the message. For `content:text` these are the bytes of the JSON string, quotes included.
        body: Range<usize>,
    },
    /// No envelope: deliver the message as it is.
    Plain(Plain),
}

/// Why a message is no envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Plain {
    /// Nothing suggests an envelope.
    Ordinary,
    /// Starts like one but does not follow the grammar.
    Malformed(crate::error::Refusal),
    /// The head is over its limit.
    HeadTooLong,
    /// The version is unknown.
    Version,
}

/// The headers to write, in canonical order.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadFields<'a> {
    /// Versions and role, for a hello (text form only).
    pub hello: Option<(&'a str, Role)>,
    /// Ids and flags; flags are masked to bits 0 and 1.
    pub trace_parent: Option<TraceParent>,
    /// Vendor data; empty means absent. Written only beside `trace_parent`.
    pub trace_state: &'a str,
    /// Baggage header value; empty means absent.
    pub baggage: &'a str,
    /// Session id.
    pub session: Option<&'a str>,
    /// What the message opens.
    pub kind: Option<Kind>,
    /// Method name.
    pub method: Option<&'a str>,
    /// Stream id.
    pub stream: Option<NonZeroU32>,
    /// Number of the message; 0 is not written.
    pub seq: u32,
    /// How the direction ends.
    pub end: Option<End>,
    /// Error type.
    pub error: Option<&'a str>,
    /// What the body is when it is not JSON.
    pub content: Option<Content>,
    /// Unix nanoseconds.
    pub sent: Option<u64>,
    /// The application's own headers, already checked by [`check_own_headers`].
    pub own: &'a [(&'a str, &'a str)],
}

/// Reads a message. Whether the peer may be believed to send envelopes at all is the caller's to know; nothing that it sends is
/// an error.
///
/// For a canonical text envelope and a binary one the cost does not grow with the body, unless `content:text` says that the
/// body is a JSON string.
#[must_use]
pub fn open(
    message: &[u8],
    form: Form,
    recognition: Recognition,
    max_header_bytes: usize,
) -> Opened<'_> {
    let mut head = Head::default();
    match open_into(&mut head, message, form, recognition, max_header_bytes) {
        Ok(body) => Opened::Envelope { head, body },
        Err(plain) => Opened::Plain(plain),
    }
}

/// As [`open`], into an empty head, which is large, of the caller's; gives where the body stands.
pub(crate) fn open_into<'m>(
    head: &mut Head<'m>,
    message: &'m [u8],
    form: Form,
    recognition: Recognition,
    max_header_bytes: usize,
) -> Result<Range<usize>, Plain> {
    match (form, recognition) {
        (Form::Text, Recognition::Canonical) => {
            if let Some(body) = usual::open(head, message) {
                return Ok(body);
            }
            text::open(head, message, true, 0, max_header_bytes)
        }
        (Form::Text, Recognition::Any { max_nesting }) => {
            text::open(head, message, false, max_nesting, max_header_bytes)
        }
        (Form::Binary, _) => {
            if let Some(body) = usual::open_binary(head, message) {
                return Ok(body);
            }
            binary::open(head, message, max_header_bytes)
        }
    }
}

/// Makes an envelope by itself, for programs with a connection of their own. `content` is set by the body.
///
/// # Errors
///
/// `invalid_argument` for own headers that cannot be sent, and for a session, method or error type outside its grammar; `limit`
/// if the reserved headers do not fit.
///
/// # Example
///
/// ```
/// use wirespan::envelope::{Body, Form, HeadFields, Opened, Recognition, open, wrap};
/// use wirespan::limits::MAX_HEADER_BYTES;
///
/// let fields = HeadFields { session: Some("s-1"), ..HeadFields::default() };
/// let message = wrap(&fields, Body::Text("not JSON"))?;
/// assert_eq!(message, br#"{"headers":{"session":"s-1","content":"text"},"body":"not JSON"}"#);
///
/// let opened = open(&message, Form::Text, Recognition::Canonical, MAX_HEADER_BYTES);
/// let Opened::Envelope { head, body } = opened else { unreachable!() };
/// assert_eq!(head.session.as_deref(), Some("s-1"));
/// assert_eq!(&message[body], br#""not JSON""#);
/// # Ok::<(), wirespan::Error>(())
/// ```
pub fn wrap(fields: &HeadFields<'_>, body: Body<'_>) -> Result<Vec<u8>, Error> {
    wrap_within(fields, body, limits::MAX_NESTING, limits::MAX_HEADER_BYTES).map(|(bytes, _)| bytes)
}

/// Makes an envelope within bounds of one's own, as [`wrap`], and says what was left out to stay within them.
///
/// # Errors
///
/// As [`wrap`].
pub fn wrap_within(
    fields: &HeadFields<'_>,
    body: Body<'_>,
    max_nesting: usize,
    max_header_bytes: usize,
) -> Result<(Vec<u8>, Written), Error> {
    check_own_headers(fields.own)?;
    type Rule = fn(&str) -> bool;
    let rules: [(&'static str, Option<&str>, Rule); 3] = [
        ("session", fields.session, is_session_id),
        ("method", fields.method, is_method),
        ("error", fields.error, is_error_type),
    ];
    for (name, value, is_valid) in rules {
        if value.is_some_and(|value| !is_valid(value)) {
            return Err(Error::invalid_argument(
                name,
                "must have 1 to 128 characters: visible ASCII, for a session letters, digits and `._~-`",
            ));
        }
    }
    let (content, framed) = frame_body(body, max_nesting);
    let fields = HeadFields { content, ..*fields };
    let mut head = Vec::new();
    let written = write_head(&mut head, body.form(), &fields, max_header_bytes)?;
    Ok((Frame::new(body.form(), &head, framed).to_vec(), written))
}

/// Decides how a body stands in an envelope, and what `content` says of it.
#[must_use]
#[inline]
pub fn frame_body(body: Body<'_>, max_nesting: usize) -> (Option<Content>, FrameBody<'_>) {
    match body {
        Body::Text(text) => match classify_text(text.as_bytes(), max_nesting) {
            TextBody::Json => (None, FrameBody::Raw(text.as_bytes())),
            TextBody::Text => (Some(Content::Text), FrameBody::JsonString(text)),
        },
        Body::Json(bytes) | Body::Binary(bytes) => (None, FrameBody::Raw(bytes)),
        Body::None(_) => (Some(Content::None), FrameBody::Null),
    }
}
