//! The envelope by itself: for tools, tests and people who write their own transport.

use std::num::NonZeroU32;

use serde_json::{Value as Json, json};
use wirespan::envelope::{
    self, Body, Content, End, Form, Head, HeadFields, Kind, Opened, Plain, Recognition, Role,
    TextBody,
};
use wirespan::trace::TraceParent;
use wirespan::{Error, limits};

use crate::convert;
use crate::js::{Js, Type, Value, wrong};
use crate::state::State;

fn form_at(js: &Js, index: usize) -> Form {
    if js.flag(index) {
        Form::Binary
    } else {
        Form::Text
    }
}

/// `any` and `maxNesting` as two arguments.
fn recognition_at(js: &Js, index: usize) -> Result<Recognition, Error> {
    let max_nesting = bound_at(js, index + 1, "maxNesting", limits::MAX_NESTING)?;
    Ok(if js.flag(index) {
        Recognition::Any { max_nesting }
    } else {
        Recognition::Canonical
    })
}

fn bound_at(js: &Js, index: usize, name: &'static str, default: usize) -> Result<usize, Error> {
    Ok(js
        .optional_u32(index, name)?
        .map_or(default, |bound| bound as usize))
}

/// `envelopeUnwrap(message, binary, any, maxNesting, maxHeaderBytes)`: what a reader makes of a message.
pub(crate) fn unwrap(js: &Js, _: &mut State) -> Result<Value, Error> {
    let message = js.bytes(0, "message")?;
    let max_header_bytes = bound_at(js, 4, "maxHeaderBytes", limits::MAX_HEADER_BYTES)?;
    let opened = match envelope::open(
        message,
        form_at(js, 1),
        recognition_at(js, 2)?,
        max_header_bytes,
    ) {
        Opened::Envelope { head, body } => {
            let text = match head.content {
                Some(Content::Text) => message.get(body.clone()).and_then(envelope::text_body),
                _ => None,
            };
            json!({ "envelope": true, "head": head_json(&head), "start": body.start, "end": body.end, "text": text })
        }
        Opened::Plain(why) => {
            let reason = match why {
                Plain::Ordinary => "ordinary",
                Plain::Malformed(reason) => reason.name(),
                Plain::HeadTooLong => "head_too_long",
                Plain::Version => "version",
                _ => "unknown",
            };
            json!({ "envelope": false, "reason": reason })
        }
    };
    js.string(&opened.to_string())
}

fn head_json(head: &Head<'_>) -> Json {
    json!({
        "traceparent": head.trace_parent.map(|trace_parent| trace_parent.to_header()),
        "tracestate": head.trace_state,
        "baggage": head.baggage,
        "session": head.session,
        "kind": head.kind.map(convert::kind_name),
        "method": head.method,
        "stream": head.stream,
        "seq": head.seq,
        "end": head.end.map(convert::end_name),
        "error": head.error,
        "content": head.content.map(convert::content_name),
        "sent": head.sent.map(|sent| sent.to_string()),
        "versions": head.versions,
        "role": head.role.map(convert::role_name),
        "own": head.own.iter().map(|(name, value)| json!([name, value])).collect::<Json>(),
        "drops": {
            "contextInvalid": head.drops.context_invalid,
            "headerInvalid": head.drops.header_invalid,
            "headerRepeated": head.drops.header_repeated,
            "tracestate": head.drops.tracestate,
            "baggage": head.drops.baggage,
            "contentMismatch": head.drops.content_mismatch,
        },
    })
}

/// `envelopeWrap(head, body, json, binary, maxNesting, maxHeaderBytes)`: an envelope. What was left out to fit is fetched as
/// extras.
pub(crate) fn wrap(js: &Js, state: &mut State) -> Result<Value, Error> {
    let given: Json = serde_json::from_str(&js.text(0, "head")?)
        .map_err(|_| wrong("head", "must be an object"))?;
    let is_json = js.flag(2);
    let body = match js.kind(1) {
        Type::Text => {
            let text = js.text_into(1, "body", &mut state.text)?;
            if is_json {
                Body::Json(text.as_bytes())
            } else {
                Body::Text(text)
            }
        }
        Type::Absent => Body::None(form_at(js, 3)),
        _ if is_json => Body::Json(js.bytes(1, "body")?),
        _ => Body::Binary(js.bytes(1, "body")?),
    };
    let max_nesting = bound_at(js, 4, "maxNesting", limits::MAX_NESTING)?;
    let max_header_bytes = bound_at(js, 5, "maxHeaderBytes", limits::MAX_HEADER_BYTES)?;
    let own = own_headers(&given)?;
    let mut fields = fields(&given)?;
    fields.own = &own;
    let (frame, written) = envelope::wrap_within(&fields, body, max_nesting, max_header_bytes)?;
    let dropped = json!({
        "form": convert::form_name(body.form()),
        "baggageDropped": written.baggage_dropped,
        "tracestateCut": written.tracestate_cut,
        "ownDropped": written.own_dropped,
    });
    state.extras = Some(dropped.to_string());
    js.buffer(frame.len(), |buffer| buffer.copy_from_slice(&frame))
}

fn own_headers(given: &Json) -> Result<Vec<(&str, &str)>, Error> {
    let Some(own) = given.get("own").and_then(Json::as_array) else {
        return Ok(Vec::new());
    };
    own.iter()
        .map(|pair| match pair.as_array().map(Vec::as_slice) {
            Some([Json::String(name), Json::String(value)]) => Ok((name.as_str(), value.as_str())),
            _ => Err(wrong("own", "must be pairs of strings")),
        })
        .collect()
}

fn fields(given: &Json) -> Result<HeadFields<'_>, Error> {
    let text = |key: &str| given.get(key).and_then(Json::as_str);
    let number = |key: &'static str| match given.get(key) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .map(Some)
            .ok_or_else(|| wrong(key, "must be a whole number below 2^32")),
    };
    let trace_parent = text("traceparent")
        .map(|value| TraceParent::parse(value.as_bytes()))
        .transpose()?;
    let role = match text("role") {
        Some("server") => Role::Server,
        _ => Role::Client,
    };
    let sent = match text("sent") {
        Some(sent) => Some(
            envelope::parse_u64(sent.as_bytes())
                .ok_or_else(|| wrong("sent", "must be Unix nanoseconds"))?,
        ),
        None => None,
    };
    Ok(HeadFields {
        hello: text("versions").map(|versions| (versions, role)),
        trace_parent,
        trace_state: text("tracestate").unwrap_or_default(),
        baggage: text("baggage").unwrap_or_default(),
        session: text("session"),
        kind: match text("kind") {
            None => None,
            Some("call") => Some(Kind::Call),
            Some("transfer") => Some(Kind::Transfer),
            Some(_) => return Err(wrong("kind", "must be \"call\" or \"transfer\"")),
        },
        method: text("method"),
        stream: number("stream")?.and_then(NonZeroU32::new),
        seq: number("seq")?.unwrap_or(0),
        end: match text("end") {
            None => None,
            Some("1") => Some(End::Complete),
            Some("cancel") => Some(End::Cancel),
            Some("error") => Some(End::Error),
            Some(_) => {
                return Err(wrong("end", "must be \"1\", \"cancel\" or \"error\""));
            }
        },
        error: text("error"),
        sent,
        ..HeadFields::default()
    })
}

/// `envelopeConvert(message, binary, any, maxNesting, maxHeaderBytes)`: the head in the other form.
pub(crate) fn convert(js: &Js, _: &mut State) -> Result<Value, Error> {
    let message = js.bytes(0, "message")?;
    let max_header_bytes = bound_at(js, 4, "maxHeaderBytes", limits::MAX_HEADER_BYTES)?;
    let head = envelope::convert_head(
        message,
        form_at(js, 1),
        recognition_at(js, 2)?,
        max_header_bytes,
    )?;
    js.buffer(head.len(), |buffer| buffer.copy_from_slice(&head))
}

/// `envelopeCheck(what, value)`: whether a value follows the grammar of a session id, a method, an error type, or a number.
pub(crate) fn check(js: &Js, _: &mut State) -> Result<Value, Error> {
    let value = js.text(1, "value")?;
    let valid = match js.text(0, "what")?.as_str() {
        "session" => envelope::is_session_id(&value),
        "method" => envelope::is_method(&value),
        "error" => envelope::is_error_type(&value),
        "number" => envelope::parse_u64(value.as_bytes()).is_some(),
        _ => {
            return Err(wrong(
                "what",
                "must be \"session\", \"method\", \"error\" or \"number\"",
            ));
        }
    };
    Ok(js.boolean(valid))
}

/// `classifyText(text, maxNesting)`: whether a text goes into an envelope as the JSON value that it is.
pub(crate) fn classify_text(js: &Js, state: &mut State) -> Result<Value, Error> {
    let max_nesting = bound_at(js, 1, "maxNesting", limits::MAX_NESTING)?;
    let text = js.text_into(0, "text", &mut state.text)?;
    Ok(js.boolean(envelope::classify_text(text.as_bytes(), max_nesting) == TextBody::Json))
}

/// `isLookAlike(message, binary, any, maxNesting)`: whether a message of the application must be wrapped to come out as it is.
pub(crate) fn is_look_alike(js: &Js, _: &mut State) -> Result<Value, Error> {
    let message = js.bytes(0, "message")?;
    Ok(js.boolean(envelope::is_look_alike(
        message,
        form_at(js, 1),
        recognition_at(js, 2)?,
    )))
}
