//! Messages as the application sends and receives them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use ::tokio_tungstenite::tungstenite;
use ::tokio_tungstenite::tungstenite::Utf8Bytes;
use bytes::Bytes;
use opentelemetry::Context as OtelContext;

use crate::connection::{Payload, Received};
use crate::envelope::{Body, Form, Frame};
use crate::error::Error;
use crate::trace::SpanContext;

/// A message as the transport gives it: whether text is UTF-8 has been looked at there.
#[derive(Debug)]
pub(super) enum Incoming {
    Text(Utf8Bytes),
    Binary(Bytes),
}

impl Incoming {
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Text(_) => Form::Text,
            Self::Binary(_) => Form::Binary,
        }
    }

    pub(super) fn bytes(&self) -> &Bytes {
        match self {
            Self::Text(text) => text.as_ref(),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// A received message: its bytes as the sender's application wrote them, its headers, and its context.
///
/// Formatting it gives its text; of a binary message, what of it is text.
#[derive(Clone, Debug)]
pub struct Message {
    form: Form,
    data: Bytes,
    /// The same of a text message, as a part of what is known to be UTF-8.
    text: Option<(Utf8Bytes, Range<usize>)>,
    headers: Vec<(String, String)>,
    context: Option<OtelContext>,
    link: Option<SpanContext>,
}

impl Message {
    /// Makes the message that is delivered, if one is. `call` is the context of the call that it belongs to.
    pub(super) fn new(
        received: &Received<'_>,
        whole: &Incoming,
        call: Option<&OtelContext>,
    ) -> Option<Self> {
        let (data, text) = match (&received.payload, whole) {
            (Payload::Nothing, _) => return None,
            (Payload::Raw(range), Incoming::Binary(bytes)) => (bytes.slice(range.clone()), None),
            (Payload::Raw(range), Incoming::Text(text)) => (
                whole.bytes().slice(range.clone()),
                Some((text.clone(), range.clone())),
            ),
            (Payload::Text(text), _) => {
                let text = Utf8Bytes::from(&**text);
                (
                    Bytes::clone(text.as_ref()),
                    Some((text.clone(), 0..text.len())),
                )
            }
        };
        let headers = received.headers.iter();
        Some(Self {
            form: whole.form(),
            data,
            text,
            headers: headers
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
            context: call.cloned().or_else(|| remote_context(received)),
            link: received.link().cloned(),
        })
    }

    /// Whether it came as text or as binary.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// The text, if it came as text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        let (whole, range) = self.text.as_ref()?;
        whole.get(range.clone())
    }

    /// Reads the message as JSON.
    ///
    /// # Errors
    ///
    /// Those of `serde_json`.
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.data)
    }

    /// The sender's own headers, in the order sent.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The context to work in: for a message of a call or transfer that of its span; for any other the one it came with,
    /// absent where the sender had none.
    #[must_use]
    pub fn context(&self) -> Option<&OtelContext> {
        self.context.as_ref()
    }

    /// The spans to link and not to continue: the sender's, under trust `link`.
    #[must_use]
    pub fn links(&self) -> &[SpanContext] {
        self.link.as_slice()
    }

    /// Runs a function inside the message's context; without one, inside the current context. For a future, give
    /// [`Message::context`] to `opentelemetry::trace::FutureExt::with_context`.
    pub fn run<T>(&self, function: impl FnOnce() -> T) -> T {
        let _attached = self.context.clone().map(OtelContext::attach);
        function()
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.data))
    }
}

/// The context that came with a message.
fn remote_context(received: &Received<'_>) -> Option<OtelContext> {
    let with_span = received
        .context()
        .map(|remote| crate::otel::remote_context(&OtelContext::new(), remote));
    if received.baggage.is_empty() {
        return with_span;
    }
    Some(crate::otel::with_baggage(
        &with_span.unwrap_or_default(),
        &received.baggage,
    ))
}

/// A message to send: text, bytes or JSON, and headers of the application's own.
///
/// Text becomes a text message and bytes become a binary one; both have conversions, so that `call.send("hello")` does.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    data: Data<'a>,
    headers: Vec<(String, String)>,
}

#[derive(Clone, Debug)]
enum Data<'a> {
    Text(Cow<'a, str>),
    Json(Cow<'a, str>),
    Binary(Cow<'a, [u8]>),
    Shared(Bytes),
}

impl<'a> Outgoing<'a> {
    fn new(data: Data<'a>) -> Self {
        Self {
            data,
            headers: Vec::new(),
        }
    }

    /// Makes a text message of a value that `serde_json` writes.
    ///
    /// # Errors
    ///
    /// `invalid_argument` if the value cannot be written as JSON.
    pub fn json(value: &impl serde::Serialize) -> Result<Self, Error> {
        match serde_json::to_string(value) {
            Ok(text) => Ok(Self::json_text(text)),
            Err(error) => Err(Error::invalid_argument(
                "body",
                format!("cannot be written as JSON: {error}"),
            )),
        }
    }

    /// Makes a text message of a string that the caller knows to be one JSON value: it is not looked at again.
    #[must_use]
    pub fn json_text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::new(Data::Json(text.into()))
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn headers(&self) -> Vec<(&str, &str)> {
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// The body, where that is text.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Text(text) | Data::Json(text) => Some(text),
            Data::Binary(_) | Data::Shared(_) => None,
        }
    }

    pub(super) fn body(&self) -> Body<'_> {
        match &self.data {
            Data::Text(text) => Body::Text(text),
            Data::Json(text) => Body::Json(text.as_bytes()),
            Data::Binary(bytes) => Body::Binary(bytes),
            Data::Shared(bytes) => Body::Binary(bytes),
        }
    }
}

impl<'a> From<&'a str> for Outgoing<'a> {
    fn from(text: &'a str) -> Self {
        Self::new(Data::Text(text.into()))
    }
}

impl<'a> From<&'a String> for Outgoing<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl From<String> for Outgoing<'_> {
    fn from(text: String) -> Self {
        Self::new(Data::Text(text.into()))
    }
}

impl<'a> From<&'a [u8]> for Outgoing<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::new(Data::Binary(bytes.into()))
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Outgoing<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        bytes.as_slice().into()
    }
}

impl From<Vec<u8>> for Outgoing<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Data::Binary(bytes.into()))
    }
}

impl From<Bytes> for Outgoing<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::new(Data::Shared(bytes))
    }
}

/// Makes the transport's message of a frame around a body, which may be text.
pub(super) fn to_transport(frame: &Frame<'_>, text: Option<&str>) -> tungstenite::Message {
    // This crate has no unsafe code to skip the check of text with; but what stands in the frame as the application gave it, as
    // a string, need not be checked.
    match (frame.parts(), text) {
        (Some([head, middle, tail]), Some(text)) if std::ptr::eq(middle, text.as_bytes()) => {
            let mut whole = String::with_capacity(frame.len());
            whole.push_str(&String::from_utf8_lossy(head));
            whole.push_str(text);
            whole.push_str(&String::from_utf8_lossy(tail));
            tungstenite::Message::Text(whole.into())
        }
        _ => bytes_to_transport(frame.form(), frame.to_vec()),
    }
}

/// Makes the transport's message of a frame's bytes.
pub(super) fn bytes_to_transport(form: Form, bytes: Vec<u8>) -> tungstenite::Message {
    match form {
        Form::Binary => tungstenite::Message::Binary(bytes.into()),
        Form::Text => {
            // Bodies of text come from strings, and so do heads, so this never replaces anything.
            let text = String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            tungstenite::Message::Text(text.into())
        }
    }
}
