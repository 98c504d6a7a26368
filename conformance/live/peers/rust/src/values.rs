//! How the lines of a peer write messages, options and parents.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use opentelemetry::baggage::BaggageExt;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::{Context, KeyValue};
use serde_json::{Value, json};
use wirespan::connection::{OptionValue, Options, TIME_SPANS};
use wirespan::otel::Propagator;
use wirespan::tokio_tungstenite::{Message, Outgoing};

/// Messages over this are told by their size.
const LARGE: usize = 65_536;

/// A message of the application.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Text(String),
    Binary(Vec<u8>),
}

impl Body {
    pub(crate) fn of(message: &Message) -> Self {
        match message.text() {
            Some(text) => Self::Text(text.to_owned()),
            None => Self::Binary(message.bytes().to_vec()),
        }
    }

    pub(crate) fn read(message: &Value) -> Result<Self, String> {
        if let Some(text) = message["text"].as_str() {
            return Ok(Self::Text(text.to_owned()));
        }
        if let Some(size) = message["size"].as_u64() {
            return Ok(Self::Text(format!("\"{}\"", "x".repeat(as_size(size)?))));
        }
        if let Some(size) = message["zeros"].as_u64() {
            return Ok(Self::Binary(vec![0; as_size(size)?]));
        }
        let encoded = message["binary"].as_str();
        let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
        bytes
            .map(Self::Binary)
            .ok_or_else(|| format!("{message} is no message"))
    }

    pub(crate) fn show(&self) -> Value {
        match self {
            Self::Text(text) => {
                let inner = text
                    .strip_prefix('"')
                    .and_then(|text| text.strip_suffix('"'));
                match inner {
                    Some(inner) if text.len() > LARGE && inner.bytes().all(|byte| byte == b'x') => {
                        json!({"size": text.len()})
                    }
                    _ => json!({"text": text}),
                }
            }
            Self::Binary(bytes) if bytes.len() > LARGE && bytes.iter().all(|&byte| byte == 0) => {
                json!({"zeros": bytes.len()})
            }
            Self::Binary(bytes) => json!({"binary": STANDARD.encode(bytes)}),
        }
    }

    pub(crate) fn outgoing(&self) -> Outgoing<'_> {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Binary(bytes) => bytes.as_slice().into(),
        }
    }
}

fn as_size(size: u64) -> Result<usize, String> {
    usize::try_from(size).map_err(|_| format!("{size} is no size"))
}

/// All bodies of a command.
pub(crate) fn bodies(command: &Value) -> Result<Vec<Body>, String> {
    let messages = command["messages"].as_array().map(Vec::as_slice);
    messages
        .unwrap_or_default()
        .iter()
        .map(Body::read)
        .collect()
}

/// Options under the names of the specification; times are milliseconds here.
pub(crate) fn options(command: &Value) -> Result<Options, String> {
    let mut options = Options::default();
    let given = command["options"].as_object();
    for (name, value) in given.into_iter().flatten() {
        let value = match value {
            Value::Bool(flag) => OptionValue::Flag(*flag),
            Value::String(text) => OptionValue::Text(text.clone()),
            Value::Number(number) => {
                let scale = if TIME_SPANS.contains(&name.as_str()) {
                    1e6
                } else {
                    1.0
                };
                OptionValue::Number((number.as_f64().unwrap_or_default() * scale) as u64)
            }
            Value::Array(list) => {
                let names = list.iter().filter_map(Value::as_str);
                OptionValue::List(names.map(str::to_owned).collect())
            }
            _ => return Err(format!("{name}: {value} is no option's value")),
        };
        options
            .set(name, value)
            .map_err(|error| error.to_string())?;
    }
    Ok(options)
}

/// The context that a command runs in: its parent as a remote span, and its baggage.
pub(crate) fn parent(command: &Value) -> Context {
    let header = |name| command[name].as_str().map(str::to_owned);
    let mut carrier = HashMap::new();
    if let Some(parent) = header("parent") {
        carrier.insert("traceparent".to_owned(), parent);
    }
    if let Some(state) = header("state") {
        carrier.insert("tracestate".to_owned(), state);
    }
    let context = Propagator::new().extract_with_context(&Context::new(), &carrier);
    let baggage = command["baggage"].as_object().into_iter().flatten();
    let baggage: Vec<KeyValue> = baggage
        .filter_map(|(name, value)| Some(KeyValue::new(name.clone(), value.as_str()?.to_owned())))
        .collect();
    if baggage.is_empty() {
        return context;
    }
    context.with_baggage(baggage)
}
