//! Trace context and baggage by themselves: what the propagator and the parsers for users need.

use serde_json::json;
use wirespan::Error;
use wirespan::limits;
use wirespan::trace::{Baggage, TraceParent, TraceState};

use crate::convert;
use crate::js::{Js, Type, Value};
use crate::state::{State, word};

fn slices(values: &[Vec<u8>]) -> impl Iterator<Item = &[u8]> {
    values.iter().map(Vec::as_slice)
}

/// `extractContext(traceparent, tracestate)`: leaves ids and flags in the words and returns the `tracestate`, possibly empty;
/// `undefined` if there is no valid context. Never fails because of what a peer sent.
pub(crate) fn extract_context(js: &Js, state: &mut State) -> Result<Value, Error> {
    let trace_parent = if js.kind(0) == Type::Text {
        TraceParent::parse(js.text_into(0, "traceparent", &mut state.text)?.as_bytes()).ok()
    } else {
        TraceParent::from_values(slices(&js.values(0, "traceparent")?))
            .ok()
            .flatten()
    };
    let Some(trace_parent) = trace_parent else {
        return Ok(js.undefined());
    };
    state
        .out
        .set(word::TRACE_FLAGS, u32::from(trace_parent.flags.bits()));
    state.out.set_ids(&trace_parent);
    if js.kind(1) == Type::Absent {
        return js.string("");
    }
    let trace_state =
        TraceState::from_values(slices(&js.values(1, "tracestate")?)).unwrap_or_default();
    js.string(trace_state.as_str())
}

/// `injectContext(traceparent)`: the header to send, or `undefined` if the context is not valid.
pub(crate) fn inject_context(js: &Js, state: &mut State) -> Result<Value, Error> {
    let text = js.text_into(0, "traceparent", &mut state.text)?;
    match TraceParent::parse(text.as_bytes()) {
        Ok(trace_parent) => js.string(&trace_parent.to_header()),
        Err(_) => Ok(js.undefined()),
    }
}

/// `parseTraceparent(values)`: the canonical header; `undefined` if there is none; throws why it is refused.
pub(crate) fn parse_traceparent(js: &Js, _: &mut State) -> Result<Value, Error> {
    let parsed = TraceParent::from_values(slices(&js.values(0, "traceparent")?))?;
    js.optional_string(
        parsed
            .map(|trace_parent| trace_parent.to_header())
            .as_deref(),
    )
}

/// `parseTracestate(values)`: the list as it is sent on; throws why it is refused.
pub(crate) fn parse_tracestate(js: &Js, _: &mut State) -> Result<Value, Error> {
    let parsed = TraceState::from_values(slices(&js.values(0, "tracestate")?))?;
    js.string(parsed.as_str())
}

/// `tracestateGet(list, key)`.
pub(crate) fn tracestate_get(js: &Js, _: &mut State) -> Result<Value, Error> {
    let list = TraceState::parse(&js.text(0, "tracestate")?)?;
    js.optional_string(list.get(&js.text(1, "key")?))
}

/// `tracestateSet(list, key, value)`: the new list.
pub(crate) fn tracestate_set(js: &Js, _: &mut State) -> Result<Value, Error> {
    let list = TraceState::parse(&js.text(0, "tracestate")?)?;
    js.string(
        list.with(&js.text(1, "key")?, &js.text(2, "value")?)?
            .as_str(),
    )
}

/// `tracestateUnset(list, key)`: the new list.
pub(crate) fn tracestate_unset(js: &Js, _: &mut State) -> Result<Value, Error> {
    let list = TraceState::parse(&js.text(0, "tracestate")?)?;
    js.string(list.without(&js.text(1, "key")?).as_str())
}

/// `tracestateTruncated(list, maxBytes)`: what is sent of a list; empty if it is not valid.
pub(crate) fn tracestate_truncated(js: &Js, _: &mut State) -> Result<Value, Error> {
    let max_bytes = js
        .optional_u32(1, "maxBytes")?
        .map_or(limits::MAX_TRACESTATE_BYTES, |max| max as usize);
    let list = TraceState::parse(&js.text(0, "tracestate")?).unwrap_or_default();
    js.string(&list.truncated(max_bytes))
}

/// `parseBaggage(values)`: `{members, dropped}`.
pub(crate) fn parse_baggage(js: &Js, _: &mut State) -> Result<Value, Error> {
    let (baggage, dropped) = Baggage::from_values(slices(&js.values(0, "baggage")?));
    js.string(&json!({ "members": convert::baggage(&baggage), "dropped": dropped }).to_string())
}

/// `formatBaggage(parts, strict)`: `{header, dropped}` of keys, values and properties in turn. A member outside the grammar is
/// left out, or refused if `strict`.
pub(crate) fn format_baggage(js: &Js, _: &mut State) -> Result<Value, Error> {
    let parts = js.texts(0, "baggage")?;
    let baggage = if js.flag(1) {
        convert::baggage_checked(&parts)?
    } else {
        convert::baggage_from(&parts)
    };
    let (header, dropped) = baggage.encode();
    js.string(&json!({ "header": header, "dropped": dropped }).to_string())
}
