//! What stands in requests: texts, bytes, headers, contexts, messages and bodies.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use wirespan::Error;
use wirespan::envelope::{Body, Form};
use wirespan::trace::{AllowList, Baggage, BaggageMember, SpanContext, TraceParent, TraceState};

/// Why there is no output.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The implementation raised it.
    Raised(Error),
    /// This operation is not known.
    Unsupported(String),
    /// The request is not as the protocol says.
    Input(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Raised(error)
    }
}

pub(crate) type Output = Result<Value, Failure>;

pub(crate) fn wrong(what: &str, value: &Value) -> Failure {
    Failure::Input(format!("this is no {what}: {value}"))
}

pub(crate) fn text(value: &Value) -> Result<&str, Failure> {
    value.as_str().ok_or_else(|| wrong("text", value))
}

/// A text that may be left out.
pub(crate) fn optional(value: &Value) -> Result<Option<&str>, Failure> {
    if value.is_null() {
        Ok(None)
    } else {
        text(value).map(Some)
    }
}

pub(crate) fn number(value: &Value) -> Result<u64, Failure> {
    value.as_u64().ok_or_else(|| wrong("whole number", value))
}

pub(crate) fn size(value: &Value) -> Result<usize, Failure> {
    usize::try_from(number(value)?).map_err(|_| wrong("size", value))
}

pub(crate) fn list(value: &Value) -> Result<&[Value], Failure> {
    match value {
        Value::Null => Ok(&[]),
        Value::Array(elements) => Ok(elements),
        other => Err(wrong("list", other)),
    }
}

pub(crate) fn texts(value: &Value) -> Result<Vec<String>, Failure> {
    list(value)?
        .iter()
        .map(|one| text(one).map(str::to_owned))
        .collect()
}

pub(crate) fn base64(value: &Value) -> Result<Vec<u8>, Failure> {
    STANDARD
        .decode(text(value)?)
        .map_err(|_| wrong("base64", value))
}

/// A text's UTF-8, or `{"base64":…}`.
pub(crate) fn bytes(value: &Value) -> Result<Vec<u8>, Failure> {
    match value.get("base64") {
        Some(coded) => base64(coded),
        None => text(value).map(|text| text.as_bytes().to_vec()),
    }
}

pub(crate) fn values(value: &Value) -> Result<Vec<Vec<u8>>, Failure> {
    list(value)?.iter().map(bytes).collect()
}

/// Header fields in order.
pub(crate) fn headers(value: &Value) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let pair = |pair: &Value| Ok((text(&pair[0])?.to_owned(), bytes(&pair[1])?));
    list(value)?.iter().map(pair).collect()
}

/// Own headers, whose values are texts.
pub(crate) fn own_headers(value: &Value) -> Result<Vec<(&str, &str)>, Failure> {
    list(value)?
        .iter()
        .map(|pair| Ok((text(&pair[0])?, text(&pair[1])?)))
        .collect()
}

/// A valid context: a traceparent, or an object with a tracestate.
pub(crate) fn context(value: &Value) -> Result<Option<SpanContext>, Failure> {
    let (trace_parent, trace_state) = match value {
        Value::Null => return Ok(None),
        Value::Object(members) => (
            members.get("traceparent").unwrap_or(&Value::Null),
            members.get("tracestate").unwrap_or(&Value::Null),
        ),
        other => (other, &Value::Null),
    };
    Ok(Some(SpanContext {
        trace_parent: TraceParent::parse(text(trace_parent)?.as_bytes())?,
        trace_state: TraceState::parse(optional(trace_state)?.unwrap_or_default())?,
    }))
}

/// Baggage as an object of names and values.
pub(crate) fn baggage(value: &Value) -> Result<Baggage, Failure> {
    let mut baggage = Baggage::default();
    let none = Map::new();
    for (name, value) in value.as_object().unwrap_or(&none) {
        baggage.insert(BaggageMember::new(name, text(value)?))?;
    }
    Ok(baggage)
}

pub(crate) fn allow_list(value: &Value) -> Result<AllowList, Failure> {
    let names = texts(value)?;
    Ok(if names.iter().any(|name| name == "*") {
        AllowList::all()
    } else {
        AllowList::from_names(names)
    })
}

/// A message with its form.
pub(crate) fn message(value: &Value) -> Result<(Form, Vec<u8>), Failure> {
    if let Some(message) = value.get("text") {
        return Ok((Form::Text, text(message)?.as_bytes().to_vec()));
    }
    if let Some(coded) = value.get("text_base64") {
        return Ok((Form::Text, base64(coded)?));
    }
    match value.get("binary") {
        Some(coded) => Ok((Form::Binary, base64(coded)?)),
        None => Err(wrong("message", value)),
    }
}

/// What a body is made of.
#[derive(Debug)]
pub(crate) enum OwnedBody {
    Text(String),
    Json(Vec<u8>),
    Binary(Vec<u8>),
    None(Form),
}

impl OwnedBody {
    pub(crate) fn of(value: &Value) -> Result<Self, Failure> {
        let member = value.as_object().and_then(|members| members.iter().next());
        match member {
            Some((kind, body)) if kind == "text" => Ok(Self::Text(text(body)?.to_owned())),
            Some((kind, body)) if kind == "json" => Ok(Self::Json(text(body)?.as_bytes().to_vec())),
            Some((kind, body)) if kind == "binary" => Ok(Self::Binary(base64(body)?)),
            Some((kind, form)) if kind == "none" => match form.as_str() {
                Some("text") => Ok(Self::None(Form::Text)),
                Some("binary") => Ok(Self::None(Form::Binary)),
                _ => Err(wrong("form", form)),
            },
            _ => Err(wrong("body", value)),
        }
    }

    pub(crate) fn body(&self) -> Body<'_> {
        match self {
            Self::Text(text) => Body::Text(text),
            Self::Json(bytes) => Body::Json(bytes),
            Self::Binary(bytes) => Body::Binary(bytes),
            Self::None(form) => Body::None(*form),
        }
    }
}

/// Bytes of a form: a text, one that is not valid UTF-8, or binary.
pub(crate) fn message_value(form: Form, bytes: &[u8]) -> Value {
    match (form, std::str::from_utf8(bytes)) {
        (Form::Text, Ok(text)) => json!({"text": text}),
        (Form::Text, Err(_)) => json!({"text_base64": STANDARD.encode(bytes)}),
        (Form::Binary, _) => json!({"binary": STANDARD.encode(bytes)}),
    }
}

/// Adds a member unless it is absent, empty or zero.
pub(crate) fn add(members: &mut Map<String, Value>, name: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(inner) => inner.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(_) | Value::Bool(_) => false,
    };
    if !empty {
        members.insert(name.to_owned(), value);
    }
}
