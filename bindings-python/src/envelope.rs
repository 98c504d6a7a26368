//! The envelope by itself.

use std::num::NonZeroU32;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use wirespan::envelope::{
    Body, Content, End, Form, Head, HeadFields, Kind, Opened, Plain, Recognition, Role,
    check_own_headers, open, text_body,
};
use wirespan::limits::{MAX_HEADER_BYTES, MAX_NESTING};

use crate::error::{invalid, raise};
use crate::trace::SpanContext;

/// The headers of an envelope after validation, and its body.
#[pyclass(frozen, get_all, module = "wirespan")]
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
    /// What was left out: (context_invalid, header_invalid, header_repeated, tracestate, baggage, content_mismatch).
    drops: (bool, u8, bool, bool, bool, bool),
}

fn recognition(py: Python<'_>, word: &str) -> PyResult<Recognition> {
    match word {
        "canonical" => Ok(Recognition::Canonical),
        "any" => Ok(Recognition::Any {
            max_nesting: MAX_NESTING,
        }),
        _ => Err(invalid(
            py,
            "recognition",
            "must be \"canonical\" or \"any\"",
        )),
    }
}

/// Makes an envelope of a body: `str` or None for the text form, `bytes` for the binary form.
#[pyfunction]
#[pyo3(signature = (
    body, *, span = None, baggage = "", session = None, kind = None, method = None, stream = None, seq = 0, end = None,
    error = None, sent = None, headers = None, json = false
))]
#[expect(
    clippy::too_many_arguments,
    reason = "keyword arguments of a Python function"
)]
pub(crate) fn wrap<'py>(
    py: Python<'py>,
    body: &Bound<'py, PyAny>,
    span: Option<&Bound<'py, SpanContext>>,
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
) -> PyResult<Bound<'py, PyBytes>> {
    let headers = headers.unwrap_or_default();
    let own: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    check_own_headers(&own).map_err(|error| raise(py, &error))?;
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
        ..HeadFields::default()
    };
    let made = if let Ok(text) = body.cast::<PyString>() {
        let text = text.to_str()?;
        wirespan::envelope::wrap(
            &fields,
            if json {
                Body::Json(text.as_bytes())
            } else {
                Body::Text(text)
            },
        )
    } else if let Ok(bytes) = body.cast::<PyBytes>() {
        wirespan::envelope::wrap(&fields, Body::Binary(bytes.as_bytes()))
    } else if body.is_none() {
        wirespan::envelope::wrap(&fields, Body::None(Form::Text))
    } else {
        return Err(invalid(py, "body", "must be str, bytes or None"));
    };
    made.map(|bytes| PyBytes::new(py, &bytes))
        .map_err(|error| raise(py, &error))
}

fn parts<'a>(message: &'a Bound<'_, PyAny>) -> PyResult<(&'a [u8], Form)> {
    if let Ok(text) = message.cast::<PyString>() {
        return Ok((text.to_str()?.as_bytes(), Form::Text));
    }
    match message.cast::<PyBytes>() {
        Ok(bytes) => Ok((bytes.as_bytes(), Form::Binary)),
        Err(_) => Err(invalid(
            message.py(),
            "message",
            "must be str for text or bytes for binary",
        )),
    }
}

/// Reads a message: `str` for text, `bytes` for binary. Returns the envelope, or the reason for which the message is plain:
/// "ordinary", "head_too_long", "version", or a reason of refusal.
#[pyfunction]
#[pyo3(signature = (message, recognition = "canonical"))]
pub(crate) fn unwrap(
    py: Python<'_>,
    message: &Bound<'_, PyAny>,
    recognition: &str,
) -> PyResult<(Option<Envelope>, Option<&'static str>)> {
    let (bytes, form) = parts(message)?;
    let recognition = self::recognition(py, recognition)?;
    match open(bytes, form, recognition, MAX_HEADER_BYTES) {
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
        drops: (
            drops.context_invalid,
            drops.header_invalid,
            drops.header_repeated,
            drops.tracestate,
            drops.baggage,
            drops.content_mismatch,
        ),
    })
}

/// Writes the head of a received envelope in the other form: everything in front of the body there.
#[pyfunction]
#[pyo3(signature = (message, recognition = "canonical"))]
pub(crate) fn convert_head<'py>(
    py: Python<'py>,
    message: &Bound<'py, PyAny>,
    recognition: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let (bytes, form) = parts(message)?;
    let recognition = self::recognition(py, recognition)?;
    let head = wirespan::envelope::convert_head(bytes, form, recognition, MAX_HEADER_BYTES);
    head.map(|head| PyBytes::new(py, &head))
        .map_err(|error| raise(py, &error))
}
