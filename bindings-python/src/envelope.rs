//! The envelope by itself.

use std::num::NonZeroU32;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use wirespan::envelope::{
    Body, Content, End, Form, Head, HeadFields, Kind, Opened, Plain, Recognition, Role, TextBody,
    classify_text, open, text_body, wrap_within,
};
use wirespan::limits::{MAX_HEADER_BYTES, MAX_NESTING};

use crate::error::{invalid, raise};
use crate::trace::SpanContext;

/// The headers of an envelope after validation, and its body.
#[pyclass(frozen, get_all, module = "wirespan.envelope")]
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The sender's span.
    span: Option<Py<SpanContext>>,
    /// The value of `baggage`.
    baggage: Option<String>,
    /// The session id.
    session: Option<String>,
    /// "call" or "transfer".
    kind: Option<&'static str>,
    /// The method.
    method: Option<String>,
    /// The stream id.
    stream: Option<u32>,
    /// The number of the message; None means 0.
    seq: Option<u32>,
    /// "1", "cancel" or "error".
    end: Option<&'static str>,
    /// The type of the error.
    error: Option<String>,
    /// "text" or "none".
    content: Option<&'static str>,
    /// Unix nanoseconds.
    sent: Option<u64>,
    /// Versions that the sender of a hello speaks.
    versions: Option<String>,
    /// Role of the sender of a hello, "client" or "server".
    role: Option<&'static str>,
    /// The application's own headers.
    headers: Vec<(String, String)>,
    /// What is delivered, `str` or `bytes`; None for nothing.
    body: Option<Py<PyAny>>,
    /// What was left out.
    drops: Py<Drops>,
}

/// What a reader left out of the headers of an envelope.
#[pyclass(frozen, get_all, module = "wirespan.envelope")]
#[derive(Debug)]
pub(crate) struct Drops {
    /// The `traceparent` is invalid.
    context_invalid: bool,
    /// How many other headers have an invalid name or value.
    header_invalid: u8,
    /// A name stands twice.
    header_repeated: bool,
    /// The `tracestate` is over its limit or has no valid `traceparent`.
    tracestate: bool,
    /// The `baggage` is over its limit.
    baggage: bool,
    /// The `content` does not fit the body.
    content_mismatch: bool,
}

/// A message with headers around it, and what was left out for the head to stay within its limit.
#[pyclass(frozen, get_all, module = "wirespan.envelope")]
#[derive(Debug)]
pub(crate) struct Wrapped {
    /// What to send: `str` as a text message, `bytes` as a binary one.
    message: Py<PyAny>,
    /// Whether the baggage was left out.
    baggage_dropped: bool,
    /// Whether the tracestate was cut or left out.
    tracestate_cut: bool,
    /// How many of the application's own headers were left out.
    own_dropped: usize,
}

fn recognition(py: Python<'_>, word: &str, max_nesting: Option<usize>) -> PyResult<Recognition> {
    match word {
        "canonical" => Ok(Recognition::Canonical),
        "any" => Ok(Recognition::Any {
            max_nesting: max_nesting.unwrap_or(MAX_NESTING),
        }),
        _ => Err(invalid(
            py,
            "recognition",
            "must be \"canonical\" or \"any\"",
        )),
    }
}

/// Makes an envelope of a body: `str` for the text form, `bytes` for the binary form, None for no body in the form of `text`.
/// `json` says that a `str` is known to be JSON; `hello` is the versions and the role of a hello.
#[pyfunction]
#[pyo3(signature = (
    body, *, span = None, baggage = "", session = None, kind = None, method = None, stream = None, seq = 0, end = None,
    error = None, sent = None, headers = None, json = false, text = true, hello = None, max_header_bytes = None,
    max_nesting = None
))]
#[expect(
    clippy::too_many_arguments,
    reason = "keyword arguments of a Python function"
)]
pub(crate) fn wrap(
    py: Python<'_>,
    body: &Bound<'_, PyAny>,
    span: Option<&Bound<'_, SpanContext>>,
    baggage: &str,
    session: Option<&str>,
    kind: Option<&str>,
    method: Option<&str>,
    stream: Option<u32>,
    seq: u32,
    end: Option<&str>,
    error: Option<&str>,
    sent: Option<u64>,
    headers: Option<Vec<(String, String)>>,
    json: bool,
    text: bool,
    hello: Option<(String, String)>,
    max_header_bytes: Option<usize>,
    max_nesting: Option<usize>,
) -> PyResult<Wrapped> {
    let headers = headers.unwrap_or_default();
    let own: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let span = span.map(|span| span.get().inner());
    let fields = HeadFields {
        trace_parent: span.map(|span| span.trace_parent),
        trace_state: span.map_or("", |span| span.trace_state.as_str()),
        baggage,
        session,
        kind: match kind {
            None => None,
            Some("call") => Some(Kind::Call),
            Some("transfer") => Some(Kind::Transfer),
            Some(_) => return Err(invalid(py, "kind", "must be \"call\" or \"transfer\"")),
        },
        method,
        stream: match stream {
            None => None,
            Some(id) => {
                Some(NonZeroU32::new(id).ok_or_else(|| invalid(py, "stream", "must not be 0"))?)
            }
        },
        seq,
        end: match end {
            None => None,
            Some("1") => Some(End::Complete),
            Some("cancel") => Some(End::Cancel),
            Some("error") => Some(End::Error),
            Some(_) => return Err(invalid(py, "end", "must be \"1\", \"cancel\" or \"error\"")),
        },
        error,
        sent,
        own: &own,
        hello: match &hello {
            None => None,
            Some((versions, role)) => Some((versions.as_str(), role_of(py, role)?)),
        },
        ..HeadFields::default()
    };
    let body = if let Ok(text) = body.cast::<PyString>() {
        let text = text.to_str()?;
        if json {
            Body::Json(text.as_bytes())
        } else {
            Body::Text(text)
        }
    } else if let Ok(bytes) = body.cast::<PyBytes>() {
        Body::Binary(bytes.as_bytes())
    } else if body.is_none() {
        Body::None(if text { Form::Text } else { Form::Binary })
    } else {
        return Err(invalid(py, "body", "must be str, bytes or None"));
    };
    let (max_nesting, max_header_bytes) = (
        max_nesting.unwrap_or(MAX_NESTING),
        max_header_bytes.unwrap_or(MAX_HEADER_BYTES),
    );
    let (bytes, written) = wrap_within(&fields, body, max_nesting, max_header_bytes)
        .map_err(|error| raise(py, &error))?;
    Ok(Wrapped {
        message: message_of(py, &bytes, body.form())?,
        baggage_dropped: written.baggage_dropped,
        tracestate_cut: written.tracestate_cut,
        own_dropped: written.own_dropped,
    })
}

fn role_of(py: Python<'_>, word: &str) -> PyResult<Role> {
    match word {
        "client" => Ok(Role::Client),
        "server" => Ok(Role::Server),
        _ => Err(invalid(py, "role", "must be \"client\" or \"server\"")),
    }
}

/// A message, or its head, as Python has it: `str` for text, `bytes` for binary.
fn message_of(py: Python<'_>, bytes: &[u8], form: Form) -> PyResult<Py<PyAny>> {
    Ok(match form {
        Form::Text => PyString::from_bytes(py, bytes)?.into_any().unbind(),
        Form::Binary => PyBytes::new(py, bytes).into_any().unbind(),
    })
}

fn parts<'a>(message: &'a Bound<'_, PyAny>, text: bool) -> PyResult<(&'a [u8], Form)> {
    if let Ok(text) = message.cast::<PyString>() {
        return Ok((text.to_str()?.as_bytes(), Form::Text));
    }
    let form = if text { Form::Text } else { Form::Binary };
    match message.cast::<PyBytes>() {
        Ok(bytes) => Ok((bytes.as_bytes(), form)),
        Err(_) => Err(invalid(
            message.py(),
            "message",
            "must be str for text or bytes for binary",
        )),
    }
}

/// Reads a message: `str` for text, `bytes` for binary, or for text that is not decoded where `text` is true. Returns the
/// envelope, or the reason for which the message is plain: "ordinary", "head_too_long", "version", or a reason of refusal.
///
/// `recognition` is "canonical", as for a peer that announced itself, or "any", as for one that is configured `always`.
#[pyfunction]
#[pyo3(signature = (
    message, recognition = "canonical", *, text = false, max_header_bytes = None, max_nesting = None
))]
pub(crate) fn unwrap(
    py: Python<'_>,
    message: &Bound<'_, PyAny>,
    recognition: &str,
    text: bool,
    max_header_bytes: Option<usize>,
    max_nesting: Option<usize>,
) -> PyResult<(Option<Envelope>, Option<&'static str>)> {
    let (bytes, form) = parts(message, text)?;
    let recognition = self::recognition(py, recognition, max_nesting)?;
    match open(
        bytes,
        form,
        recognition,
        max_header_bytes.unwrap_or(MAX_HEADER_BYTES),
    ) {
        Opened::Envelope { head, body } => {
            let body = bytes.get(body).unwrap_or_default();
            Ok((Some(envelope(py, head, body, form)?), None))
        }
        Opened::Plain(plain) => Ok((
            None,
            Some(match plain {
                Plain::HeadTooLong => "head_too_long",
                Plain::Version => "version",
                Plain::Malformed(reason) => reason.name(),
                _ => "ordinary",
            }),
        )),
    }
}

fn envelope(py: Python<'_>, head: Head<'_>, body: &[u8], form: Form) -> PyResult<Envelope> {
    let text = |bytes: &[u8]| {
        PyString::new(py, &String::from_utf8_lossy(bytes))
            .into_any()
            .unbind()
    };
    let body = match (head.content, form) {
        (Some(Content::None), _) => None,
        (Some(Content::Text), Form::Text) => Some(match text_body(body) {
            Some(content) => PyString::new(py, &content).into_any().unbind(),
            None => text(body),
        }),
        (_, Form::Text) => Some(text(body)),
        (_, Form::Binary) => Some(PyBytes::new(py, body).into_any().unbind()),
    };
    let span = head.trace_parent.map(|trace_parent| {
        let parsed = head
            .trace_state
            .as_deref()
            .map(wirespan::trace::TraceState::parse);
        let trace_state = parsed.and_then(Result::ok).unwrap_or_default();
        Py::new(
            py,
            SpanContext::new(wirespan::trace::SpanContext {
                trace_parent,
                trace_state,
            }),
        )
    });
    let owned = |value: Option<std::borrow::Cow<'_, str>>| value.map(std::borrow::Cow::into_owned);
    let drops = head.drops;
    Ok(Envelope {
        span: span.transpose()?,
        baggage: owned(head.baggage),
        session: owned(head.session),
        kind: head.kind.map(|kind| {
            if kind == Kind::Transfer {
                "transfer"
            } else {
                "call"
            }
        }),
        method: owned(head.method),
        stream: head.stream.map(NonZeroU32::get),
        seq: head.seq,
        end: head.end.map(|end| match end {
            End::Cancel => "cancel",
            End::Error => "error",
            _ => "1",
        }),
        error: owned(head.error),
        content: head.content.map(|content| {
            if content == Content::None {
                "none"
            } else {
                "text"
            }
        }),
        sent: head.sent,
        versions: owned(head.versions),
        role: head.role.map(|role| match role {
            Role::Client => "client",
            Role::Server => "server",
        }),
        headers: head
            .own
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
        body,
        drops: Py::new(
            py,
            Drops {
                context_invalid: drops.context_invalid,
                header_invalid: drops.header_invalid,
                header_repeated: drops.header_repeated,
                tracestate: drops.tracestate,
                baggage: drops.baggage,
                content_mismatch: drops.content_mismatch,
            },
        )?,
    })
}

/// Writes the head of a received envelope in the other form, everything in front of the body there: `bytes` of a text message,
/// `str` of a binary one. Raises MalformedError if the message is none; `unwrap` says why.
#[pyfunction]
#[pyo3(signature = (message, recognition = "canonical", *, text = false))]
pub(crate) fn convert_head(
    py: Python<'_>,
    message: &Bound<'_, PyAny>,
    recognition: &str,
    text: bool,
) -> PyResult<Py<PyAny>> {
    let (bytes, form) = parts(message, text)?;
    let recognition = self::recognition(py, recognition, None)?;
    let head = wirespan::envelope::convert_head(bytes, form, recognition, MAX_HEADER_BYTES)
        .map_err(|error| raise(py, &error))?;
    let other = match form {
        Form::Text => Form::Binary,
        Form::Binary => Form::Text,
    };
    message_of(py, &head, other)
}

/// Whether a text is one JSON value whose nesting is within the bound, so that it stands in an envelope as it is.
#[pyfunction]
#[pyo3(signature = (text, *, max_nesting = None))]
pub(crate) fn is_json(text: &str, max_nesting: Option<usize>) -> bool {
    let kind = classify_text(text.as_bytes(), max_nesting.unwrap_or(MAX_NESTING));
    kind == TextBody::Json
}

/// Whether a message of the application could be taken for an envelope, so that it needs one around it.
#[pyfunction]
#[pyo3(signature = (message, recognition = "canonical"))]
pub(crate) fn is_look_alike(
    py: Python<'_>,
    message: &Bound<'_, PyAny>,
    recognition: &str,
) -> PyResult<bool> {
    let (bytes, form) = parts(message, false)?;
    let recognition = self::recognition(py, recognition, None)?;
    Ok(wirespan::envelope::is_look_alike(bytes, form, recognition))
}

/// Whether a text is a session id.
#[pyfunction]
pub(crate) fn is_session_id(text: &str) -> bool {
    wirespan::envelope::is_session_id(text)
}

/// Whether a text is the name of a method.
#[pyfunction]
pub(crate) fn is_method(text: &str) -> bool {
    wirespan::envelope::is_method(text)
}

/// Whether a text is the type of an error.
#[pyfunction]
pub(crate) fn is_error_type(text: &str) -> bool {
    wirespan::envelope::is_error_type(text)
}
