//! The envelope that one writes by hand: JSON with the body left as it stands, or a length, JSON of the headers, and the
//! payload; each with the official propagator.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::Message;

use crate::{Body, Failure};

type Headers = HashMap<String, String>;

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    headers: Headers,
    #[serde(borrow)]
    body: &'a RawValue,
}

fn headers_of(context: &Context) -> Headers {
    let mut headers = Headers::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers.retain(|_, value| !value.is_empty());
    headers
}

fn context_of(headers: &Headers) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), headers)
}

pub(crate) fn wrap(body: &Body, context: &Context) -> Result<Message, Failure> {
    match body {
        Body::Json(json) => wrap_json(json, context),
        Body::Binary(bytes) => wrap_binary(bytes, context),
    }
}

fn wrap_json(body: &RawValue, context: &Context) -> Result<Message, Failure> {
    let headers = headers_of(context);
    Ok(Message::text(serde_json::to_string(&Envelope {
        headers,
        body,
    })?))
}

fn wrap_binary(payload: &[u8], context: &Context) -> Result<Message, Failure> {
    let head = serde_json::to_vec(&headers_of(context))?;
    let length = u16::try_from(head.len())?;
    Ok(Message::binary(
        [&length.to_be_bytes()[..], &head, payload].concat(),
    ))
}

/// Opens a message and answers it with its own body, in the context that `enter` makes of the one it came with.
pub(crate) fn echo(
    message: &Message,
    enter: impl FnOnce(Context) -> Context,
) -> Result<Option<Message>, Failure> {
    match message {
        Message::Text(text) => {
            let opened: Envelope<'_> = serde_json::from_str(text)?;
            wrap_json(opened.body, &enter(context_of(&opened.headers))).map(Some)
        }
        Message::Binary(bytes) => {
            let (headers, payload) = split(bytes)?;
            wrap_binary(payload, &enter(context_of(&headers))).map(Some)
        }
        _ => Ok(None),
    }
}

/// Opens an answer: its context and the length of its body.
pub(crate) fn open(message: &Message) -> Result<(Context, usize), Failure> {
    match message {
        Message::Text(text) => {
            let opened: Envelope<'_> = serde_json::from_str(text)?;
            Ok((context_of(&opened.headers), opened.body.get().len()))
        }
        other => {
            let bytes = other.clone().into_data();
            let (headers, payload) = split(&bytes)?;
            Ok((context_of(&headers), payload.len()))
        }
    }
}

fn split(bytes: &[u8]) -> Result<(Headers, &[u8]), Failure> {
    let (length, rest) = bytes.split_first_chunk().ok_or("no length")?;
    let head = usize::from(u16::from_be_bytes(*length));
    let (head, payload) = rest.split_at_checked(head).ok_or("too short")?;
    Ok((serde_json::from_slice(head)?, payload))
}
