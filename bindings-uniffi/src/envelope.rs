//! The envelope by itself.

use std::borrow::Cow;
use std::num::NonZeroU32;

use wirespan::Error;
use wirespan::envelope::{
    self, Body as CoreBody, Content, End, Form, Head, HeadFields, Kind, Opened, Plain,
    Recognition as CoreRecognition, Role, TextBody, classify_text, text_body,
};
use wirespan::limits::{MAX_HEADER_BYTES, MAX_NESTING};
use wirespan::trace::TraceState;

use crate::error::{CoreError, guard, signed, unsigned};
use crate::trace::{Header, SpanContext, headers, own_pairs, span_of};

/// What an application sends.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Body {
    /// Text, which is looked at: JSON goes in as it is, any other text as a JSON string.
    Text {
        /// The text.
        value: String,
    },
    /// JSON in UTF-8, which is not looked at.
    Json {
        /// The bytes.
        value: Vec<u8>,
    },
    /// Bytes.
    Binary {
        /// The bytes.
        value: Vec<u8>,
    },
    /// No body.
    Absent {
        /// Whether the message is a text one.
        text: bool,
    },
}

impl Body {
    pub(crate) fn to_core(&self) -> CoreBody<'_> {
        match self {
            Self::Text { value } => CoreBody::Text(value),
            Self::Json { value } => CoreBody::Json(value),
            Self::Binary { value } => CoreBody::Binary(value),
            Self::Absent { text } => CoreBody::None(form(*text)),
        }
    }
}

pub(crate) fn form(text: bool) -> Form {
    if text { Form::Text } else { Form::Binary }
}

/// What may be recognised as an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Recognition {
    /// As from a peer that announced itself: the canonical form only.
    Canonical,
    /// As from a peer that is configured as `always`: any JSON object with exactly the two members.
    Any,
}

impl Recognition {
    fn to_core(self) -> CoreRecognition {
        match self {
            Self::Canonical => CoreRecognition::Canonical,
            Self::Any => CoreRecognition::Any {
                max_nesting: MAX_NESTING,
            },
        }
    }
}

/// The headers of an envelope, and its body.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Envelope {
    /// What the application sent.
    pub body: Body,
    /// The sender's span.
    #[uniffi(default = None)]
    pub span: Option<SpanContext>,
    /// The value of `baggage`.
    #[uniffi(default = None)]
    pub baggage: Option<String>,
    /// The session id.
    #[uniffi(default = None)]
    pub session: Option<String>,
    /// `call` or `transfer`.
    #[uniffi(default = None)]
    pub kind: Option<String>,
    /// The method.
    #[uniffi(default = None)]
    pub method: Option<String>,
    /// The stream id.
    #[uniffi(default = None)]
    pub stream: Option<i64>,
    /// The number of the message; absent means 0.
    #[uniffi(default = None)]
    pub seq: Option<i64>,
    /// `1`, `cancel` or `error`.
    #[uniffi(default = None)]
    pub end: Option<String>,
    /// The type of the error.
    #[uniffi(default = None)]
    pub error: Option<String>,
    /// `text` or `none`, in an envelope that was read; when it is written it follows from the body.
    #[uniffi(default = None)]
    pub content: Option<String>,
    /// Unix nanoseconds, as a decimal number of 64 bits.
    #[uniffi(default = None)]
    pub sent: Option<String>,
    /// Versions that the sender of a hello speaks.
    #[uniffi(default = None)]
    pub versions: Option<String>,
    /// Role of the sender of a hello, `client` or `server`.
    #[uniffi(default = None)]
    pub role: Option<String>,
    /// The application's own headers.
    #[uniffi(default = [])]
    pub headers: Vec<Header>,
}

/// What a reader left out of the headers of an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Drops {
    /// The `traceparent` is invalid.
    pub context_invalid: bool,
    /// How many other headers have an invalid name or value.
    pub header_invalid: i64,
    /// A name stands twice.
    pub header_repeated: bool,
    /// The `tracestate` is over its limit or has no valid `traceparent`.
    pub tracestate: bool,
    /// The `baggage` is over its limit.
    pub baggage: bool,
    /// The `content` does not fit the body.
    pub content_mismatch: bool,
}

/// What a reader made of a message.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
#[expect(
    clippy::large_enum_variant,
    reason = "it crosses the boundary at once, and the envelope is the common case"
)]
pub enum Unwrapped {
    /// An envelope.
    Enveloped {
        /// Its headers and body. Text that is no JSON is decoded.
        envelope: Envelope,
        /// What was left out.
        drops: Drops,
    },
    /// No envelope: the message is what the application sent.
    Plain {
        /// Why: `ordinary`, `head_too_long`, `version`, or a reason of refusal.
        reason: String,
    },
}

/// A message with headers around it, and what was left out for its head to stay within its limit.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Wrapped {
    /// Whether it is a text message.
    pub text: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether the baggage was left out.
    pub baggage_dropped: bool,
    /// Whether the tracestate was cut or left out.
    pub tracestate_cut: bool,
    /// How many of the application's own headers were left out.
    pub own_dropped: i64,
}

fn word<T: Copy>(
    field: &'static str,
    given: Option<&String>,
    words: &[(&str, T)],
) -> Result<Option<T>, Error> {
    let Some(given) = given else {
        return Ok(None);
    };
    match words.iter().find(|(word, _)| word == given) {
        Some((_, meaning)) => Ok(Some(*meaning)),
        None => {
            let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let message = format!("must be one of {}", words.join(", "));
            Err(Error::invalid_argument(field, message))
        }
    }
}

fn name_of<T: PartialEq>(value: Option<T>, words: &[(&str, T)]) -> Option<String> {
    let value = value?;
    let found = words.iter().find(|(_, meaning)| *meaning == value);
    found.map(|(word, _)| (*word).to_owned())
}

const KINDS: [(&str, Kind); 2] = [("call", Kind::Call), ("transfer", Kind::Transfer)];
const ENDS: [(&str, End); 3] = [
    ("1", End::Complete),
    ("cancel", End::Cancel),
    ("error", End::Error),
];
const ROLES: [(&str, Role); 2] = [("client", Role::Client), ("server", Role::Server)];
const CONTENTS: [(&str, Content); 2] = [("text", Content::Text), ("none", Content::None)];

/// Makes an envelope around a body.
#[uniffi::export]
pub fn wrap(envelope: Envelope) -> Result<Wrapped, CoreError> {
    guard(|| {
        let own = own_pairs(&envelope.headers);
        let span = span_of(envelope.span.as_ref())?;
        let stream = match envelope.stream {
            None => None,
            Some(id) => Some(
                NonZeroU32::new(unsigned("stream", id)?)
                    .ok_or_else(|| Error::invalid_argument("stream", "must not be 0"))?,
            ),
        };
        let sent = match &envelope.sent {
            None => None,
            Some(text) => Some(
                envelope::parse_u64(text.as_bytes())
                    .ok_or_else(|| Error::invalid_argument("sent", "must be a decimal number"))?,
            ),
        };
        let role = word("role", envelope.role.as_ref(), &ROLES)?;
        let fields = HeadFields {
            hello: envelope.versions.as_deref().zip(role),
            trace_parent: span.as_ref().map(|span| span.trace_parent),
            trace_state: span.as_ref().map_or("", |span| span.trace_state.as_str()),
            baggage: envelope.baggage.as_deref().unwrap_or_default(),
            session: envelope.session.as_deref(),
            kind: word("kind", envelope.kind.as_ref(), &KINDS)?,
            method: envelope.method.as_deref(),
            stream,
            seq: unsigned("seq", envelope.seq.unwrap_or_default())?,
            end: word("end", envelope.end.as_ref(), &ENDS)?,
            error: envelope.error.as_deref(),
            sent,
            own: &own,
            ..HeadFields::default()
        };
        let body = envelope.body.to_core();
        let (bytes, written) = envelope::wrap_within(&fields, body, MAX_NESTING, MAX_HEADER_BYTES)?;
        Ok(Wrapped {
            text: body.form() == Form::Text,
            bytes,
            baggage_dropped: written.baggage_dropped,
            tracestate_cut: written.tracestate_cut,
            own_dropped: signed(written.own_dropped as u64),
        })
    })
}

/// Reads a message.
#[uniffi::export]
pub fn unwrap(
    message: Vec<u8>,
    text: bool,
    recognition: Recognition,
) -> Result<Unwrapped, CoreError> {
    guard(|| {
        let form = form(text);
        let opened = envelope::open(&message, form, recognition.to_core(), MAX_HEADER_BYTES);
        Ok(match opened {
            Opened::Envelope { head, body } => Unwrapped::Enveloped {
                drops: Drops {
                    context_invalid: head.drops.context_invalid,
                    header_invalid: head.drops.header_invalid.into(),
                    header_repeated: head.drops.header_repeated,
                    tracestate: head.drops.tracestate,
                    baggage: head.drops.baggage,
                    content_mismatch: head.drops.content_mismatch,
                },
                envelope: read(head, message.get(body).unwrap_or_default(), form),
            },
            Opened::Plain(plain) => Unwrapped::Plain {
                reason: match plain {
                    Plain::HeadTooLong => "head_too_long",
                    Plain::Version => "version",
                    Plain::Malformed(reason) => reason.name(),
                    _ => "ordinary",
                }
                .to_owned(),
            },
        })
    })
}

fn read(head: Head<'_>, body: &[u8], form: Form) -> Envelope {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let body = match (head.content, form) {
        (Some(Content::None), _) => Body::Absent {
            text: form == Form::Text,
        },
        (Some(Content::Text), Form::Text) => Body::Text {
            value: text_body(body).map_or_else(|| lossy(body), Cow::into_owned),
        },
        (_, Form::Text) => Body::Json {
            value: body.to_vec(),
        },
        (_, Form::Binary) => Body::Binary {
            value: body.to_vec(),
        },
    };
    let owned = |value: Option<Cow<'_, str>>| value.map(Cow::into_owned);
    let trace_state = head.trace_state.as_deref().map(TraceState::parse);
    Envelope {
        body,
        span: head.trace_parent.map(|trace_parent| SpanContext {
            traceparent: trace_parent.to_header(),
            tracestate: trace_state
                .and_then(Result::ok)
                .map_or_else(String::new, |state| state.as_str().to_owned()),
        }),
        baggage: owned(head.baggage),
        session: owned(head.session),
        kind: name_of(head.kind, &KINDS),
        method: owned(head.method),
        stream: head.stream.map(|id| id.get().into()),
        seq: head.seq.map(i64::from),
        end: name_of(head.end, &ENDS),
        error: owned(head.error),
        content: name_of(head.content, &CONTENTS),
        sent: head.sent.map(|sent| sent.to_string()),
        versions: owned(head.versions),
        role: name_of(head.role, &ROLES),
        headers: headers(head.own),
    }
}

/// Writes the head of a received envelope in the other form: everything in front of the body there.
///
/// Raises `malformed` if the message is none; `unwrap` says why.
#[uniffi::export]
pub fn convert_head(
    message: Vec<u8>,
    text: bool,
    recognition: Recognition,
) -> Result<Vec<u8>, CoreError> {
    guard(|| {
        let recognition = recognition.to_core();
        envelope::convert_head(&message, form(text), recognition, MAX_HEADER_BYTES)
    })
}

/// Whether a text is one JSON value whose nesting is within the bound, so that it stands in an envelope as it is.
#[uniffi::export]
pub fn is_json(text: String) -> Result<bool, CoreError> {
    guard(|| Ok(classify_text(text.as_bytes(), MAX_NESTING) == TextBody::Json))
}

/// Whether a message of the application could be taken for an envelope, so that it needs one around it.
#[uniffi::export]
pub fn is_look_alike(
    message: Vec<u8>,
    text: bool,
    recognition: Recognition,
) -> Result<bool, CoreError> {
    guard(|| {
        Ok(envelope::is_look_alike(
            &message,
            form(text),
            recognition.to_core(),
        ))
    })
}

/// Whether a text is a session id.
#[uniffi::export]
pub fn is_session_id(text: String) -> Result<bool, CoreError> {
    guard(|| Ok(envelope::is_session_id(&text)))
}

/// Whether a text is the name of a method.
#[uniffi::export]
pub fn is_method(text: String) -> Result<bool, CoreError> {
    guard(|| Ok(envelope::is_method(&text)))
}

/// Whether a text is the type of an error.
#[uniffi::export]
pub fn is_error_type(text: String) -> Result<bool, CoreError> {
    guard(|| Ok(envelope::is_error_type(&text)))
}
