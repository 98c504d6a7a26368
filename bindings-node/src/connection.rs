//! The life of a connection: handshake, calls, events, end.

use wirespan::Error;
use wirespan::connection::{
    Accept, Connection, Endpoint, Event, HandshakeRequest, HandshakeResponse, PlainPolicy, ReadEnd,
    RequestTarget, SpanKey, StreamKey, Vouch,
};
use wirespan::counters::Counter;
use wirespan::trace::{SpanContext, TraceParent};

use serde_json::{Value as Json, json};

use crate::convert;
use crate::js::{Js, Value, wrong};
use crate::state::{Held, Out, State, event, number, word};

/// Takes the next event ahead and says whether there is one, and when the connection wants to be woken.
pub(crate) fn settle(held: &mut Held, out: &mut Out) {
    if held.next.is_none() {
        held.next = held.core.poll_event();
    }
    out.set(word::EVENTS, u32::from(held.next.is_some()));
    let deadline = held
        .core
        .next_deadline()
        .map_or(f64::INFINITY, |at_ns| at_ns as f64);
    out.set_number(number::DEADLINE, deadline);
}

/// Runs something on the connection of the first argument.
fn on<T>(
    js: &Js,
    state: &mut State,
    action: impl FnOnce(&mut Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let held = state.connections.get(js.u32(0, "handle")?)?;
    let result = action(&mut held.core);
    settle(held, &mut state.out);
    result
}

fn json(js: &Js, value: &Json) -> Result<Value, Error> {
    js.string(&value.to_string())
}

/// The span whose `traceparent` and `tracestate` stand at `index` and behind it.
fn span_at(js: &Js, index: usize) -> Result<Option<SpanContext>, Error> {
    let trace_parent = js.optional_text(index, "traceparent")?;
    let trace_state = js.optional_text(index + 1, "tracestate")?;
    Ok(convert::span_from(
        trace_parent.as_deref(),
        trace_state.as_deref(),
    ))
}

fn entropy_at(js: &Js, index: usize) -> Result<[u8; 16], Error> {
    js.bytes(index, "entropy")?
        .try_into()
        .map_err(|_| wrong("entropy", "must be 16 bytes"))
}

fn endpoint_at(js: &Js, index: usize) -> Result<Endpoint, Error> {
    let address = js.optional_text(index, "address")?.map(Into::into);
    let port = js
        .optional_u32(index + 1, "port")?
        .map(|port| u16::try_from(port).map_err(|_| wrong("port", "must be from 0 to 65535")))
        .transpose()?;
    Ok(Endpoint { address, port })
}

fn key_at(js: &Js, index: usize) -> Result<StreamKey, Error> {
    js.u32(index, "key").map(StreamKey::from_number)
}

/// `client(options, address, port, entropy)`: a handle.
pub(crate) fn client(js: &Js, state: &mut State) -> Result<Value, Error> {
    let options = convert::options(&js.text(0, "options")?)?;
    let connection = Connection::client(options, endpoint_at(js, 1)?, entropy_at(js, 3)?)?;
    Ok(js.number(state.connections.insert(Held::new(connection))))
}

/// `server(options, request, registry, remote, vouch, address, port, entropy)`: a handle. `vouch` is 0 without a callback, 1
/// for yes, 2 for no.
pub(crate) fn server(js: &Js, state: &mut State) -> Result<Value, Error> {
    let options = convert::options(&js.text(0, "options")?)?;
    let remote = js.optional_text(3, "remote")?;
    let mut accept = Accept::default();
    accept.remote = remote.as_deref();
    accept.vouch = match js.u32(4, "vouch")? {
        1 => Vouch::Yes,
        2 => Vouch::No,
        _ => Vouch::NoCallback,
    };
    let registry = match js.optional_u32(2, "registry")? {
        Some(handle) => Some(state.registries.get(handle)?.clone()),
        None => None,
    };
    accept.registry = registry.as_ref();
    let request = state.requests.get(js.u32(1, "request")?)?;
    let connection = Connection::server(
        options,
        request,
        accept,
        endpoint_at(js, 5)?,
        entropy_at(js, 7)?,
    )?;
    Ok(js.number(state.connections.insert(Held::new(connection))))
}

/// `connectionFree(handle)`.
pub(crate) fn free(js: &Js, state: &mut State) -> Result<Value, Error> {
    state.connections.remove(js.u32(0, "handle")?);
    Ok(js.undefined())
}

/// Names and values of headers, in turn, as Node.js has them in `rawHeaders`; a value may be bytes.
fn headers_at(js: &Js, index: usize) -> Result<Vec<Vec<u8>>, Error> {
    js.values(index, "headers")
}

/// `requestNew(headers, query)`: a handle.
pub(crate) fn request_new(js: &Js, state: &mut State) -> Result<Value, Error> {
    let headers = headers_at(js, 0)?;
    let mut request = HandshakeRequest::from_headers(convert::header_pairs(&headers));
    if let Some(query) = js.optional_text(1, "query")? {
        request = request.with_query(&query);
    }
    Ok(js.number(state.requests.insert(request)))
}

/// `requestInfo(request)`: `{proposedSession, applicationSubprotocols}`.
pub(crate) fn request_info(js: &Js, state: &mut State) -> Result<Value, Error> {
    let request = state.requests.get(js.u32(0, "request")?)?;
    let info = json!({
        "proposedSession": request.proposed_session(),
        "applicationSubprotocols": request.application_subprotocols(),
    });
    json(js, &info)
}

/// `requestFree(request)`.
pub(crate) fn request_free(js: &Js, state: &mut State) -> Result<Value, Error> {
    state.requests.remove(js.u32(0, "request")?);
    Ok(js.undefined())
}

/// `planHandshake(handle, httpTraceparent, httpTracestate, current)`: plans.
pub(crate) fn plan_handshake(js: &Js, state: &mut State) -> Result<Value, Error> {
    let http = span_at(js, 1)?;
    let plans = on(js, state, |connection| {
        Ok(connection.plan_handshake(http.as_ref(), js.flag(3)))
    })?;
    json(js, &plans.iter().map(convert::plan).collect())
}

/// `spanStarted(handle, span, traceparent, tracestate)`. A span without a valid context is none to link.
pub(crate) fn span_started(js: &Js, state: &mut State) -> Result<Value, Error> {
    let span = match js.u32(1, "span")? {
        0 => SpanKey::CONNECTION,
        1 => SpanKey::HANDSHAKE,
        _ => return Ok(js.undefined()),
    };
    if let Some(context) = span_at(js, 2)? {
        on(js, state, |connection| {
            connection.span_started(span, &context);
            Ok(())
        })?;
    }
    Ok(js.undefined())
}

fn headers_json(headers: &[(&'static str, String)]) -> Json {
    headers
        .iter()
        .map(|(name, value)| json!([name, value]))
        .collect()
}

/// `request(handle, host, hasSubprotocol, hasTraceContext, traceparent, tracestate)`: what to add to the request.
pub(crate) fn request(js: &Js, state: &mut State) -> Result<Value, Error> {
    let host = js.text(1, "host")?;
    let mut target = RequestTarget::new(&host);
    target.has_subprotocol = js.flag(2);
    target.has_trace_context = js.flag(3);
    let current = span_at(js, 4)?;
    let additions = on(js, state, |connection| {
        Ok(connection.request(target, current.as_ref()))
    })?;
    let additions = json!({
        "headers": headers_json(&additions.headers),
        "subprotocol": additions.subprotocol,
        "query": additions.query,
    });
    json(js, &additions)
}

/// `response(handle, request, selected)`: what to add to the response.
pub(crate) fn response(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections,
        requests,
        ..
    } = state;
    let connection = &mut connections.get(js.u32(0, "handle")?)?.core;
    let request = requests.get(js.u32(1, "request")?)?;
    let additions = connection.response(request, js.optional_text(2, "selected")?.as_deref());
    json(
        js,
        &json!({ "headers": headers_json(&additions.headers), "subprotocol": additions.subprotocol }),
    )
}

/// `openClient(handle, headers, now)`.
pub(crate) fn open_client(js: &Js, state: &mut State) -> Result<Value, Error> {
    let headers = headers_at(js, 1)?;
    let response = HandshakeResponse::from_headers(convert::header_pairs(&headers));
    let now_ns = js.u64(2, "now")?;
    on(js, state, |connection| {
        connection.open_client(&response, now_ns)
    })?;
    Ok(js.undefined())
}

/// `openServer(handle, now)`.
pub(crate) fn open_server(js: &Js, state: &mut State) -> Result<Value, Error> {
    let now_ns = js.u64(1, "now")?;
    on(js, state, |connection| connection.open_server(now_ns))?;
    Ok(js.undefined())
}

/// `failHandshake(handle, errorType)`.
pub(crate) fn fail_handshake(js: &Js, state: &mut State) -> Result<Value, Error> {
    let error_type = js.text(1, "errorType")?;
    on(js, state, |connection| {
        connection.fail_handshake(&error_type);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `planCall(handle, method, currentTraceparent, now)`: the plan, or `undefined` if one like it stands at the place in the words. The
/// number of the stream is there too.
pub(crate) fn plan_call(js: &Js, state: &mut State) -> Result<Value, Error> {
    plan_stream(js, state, Connection::plan_call)
}

/// `planTransfer(handle, method, currentTraceparent, now)`, as `planCall`.
pub(crate) fn plan_transfer(js: &Js, state: &mut State) -> Result<Value, Error> {
    plan_stream(js, state, Connection::plan_transfer)
}

type Planned = Result<(StreamKey, wirespan::connection::Plan), Error>;

fn plan_stream(
    js: &Js,
    state: &mut State,
    plan: impl FnOnce(&mut Connection, Option<&str>, Option<TraceParent>, u64) -> Planned,
) -> Result<Value, Error> {
    let method = js.optional_text(1, "method")?;
    let current = js.optional_text(2, "traceparent")?;
    let current = current.and_then(|text| TraceParent::parse(text.as_bytes()).ok());
    let now_ns = js.u64(3, "now")?;
    let (stream, plan) = on(js, state, |connection| {
        plan(connection, method.as_deref(), current, now_ns)
    })?;
    let held = state.connections.get(js.u32(0, "handle")?)?;
    state.out.set(word::STREAM, stream.number());
    if state.out.set_place(Some(held.plans.own(&plan))) {
        return Ok(js.undefined());
    }
    json(js, &convert::plan(&plan))
}

/// `end(handle, key, withContext, now)`.
pub(crate) fn end(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections,
        context,
        out,
        ..
    } = state;
    let held = connections.get(js.u32(0, "handle")?)?;
    let result = held.core.end(
        key_at(js, 1)?,
        &context.borrow(js.flag(2)),
        js.u64(3, "now")?,
    );
    settle(held, out);
    result.map(|()| js.undefined())
}

/// `leave(handle, key, now)`.
pub(crate) fn leave(js: &Js, state: &mut State) -> Result<Value, Error> {
    let (key, now_ns) = (key_at(js, 1)?, js.u64(2, "now")?);
    on(js, state, |connection| {
        connection.leave(key, now_ns);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `cancel(handle, key, now)`.
pub(crate) fn cancel(js: &Js, state: &mut State) -> Result<Value, Error> {
    let (key, now_ns) = (key_at(js, 1)?, js.u64(2, "now")?);
    on(js, state, |connection| {
        connection.cancel(key, now_ns);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `fail(handle, key, errorType, now)`.
pub(crate) fn fail(js: &Js, state: &mut State) -> Result<Value, Error> {
    let (key, error_type, now_ns) = (key_at(js, 1)?, js.text(2, "errorType")?, js.u64(3, "now")?);
    on(js, state, |connection| {
        connection.fail(key, &error_type, now_ns);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `onTime(handle, now)`.
pub(crate) fn on_time(js: &Js, state: &mut State) -> Result<Value, Error> {
    let now_ns = js.u64(1, "now")?;
    on(js, state, |connection| {
        connection.on_time(now_ns);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `onSuperseded(handle, now)`.
pub(crate) fn on_superseded(js: &Js, state: &mut State) -> Result<Value, Error> {
    let now_ns = js.u64(1, "now")?;
    on(js, state, |connection| {
        connection.on_superseded(now_ns);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `onClose(handle, code, reason, now)`.
pub(crate) fn on_close(js: &Js, state: &mut State) -> Result<Value, Error> {
    let code = js
        .optional_u32(1, "code")?
        .and_then(|code| u16::try_from(code).ok());
    let (reason, now_ns) = (js.text(2, "reason")?, js.u64(3, "now")?);
    on(js, state, |connection| {
        connection.on_close(code, &reason, now_ns);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `pollEvent(handle)`: what it is stands in the words. A `Buffer` that is a frame (its form is in the words), JSON, or `undefined`
/// where the words say everything. The end of a stream's span leaves the two summaries in the numbers.
pub(crate) fn poll_event(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections, out, ..
    } = state;
    let held = connections.get(js.u32(0, "handle")?)?;
    let event = held.next.take().or_else(|| held.core.poll_event());
    settle(held, out);
    let Some(event) = event else {
        out.set(word::EVENT, event::NONE);
        return Ok(js.undefined());
    };
    if let Event::Frame { form, bytes } = event {
        out.set(word::EVENT, event::FRAME);
        out.set(word::FORM, convert::form_number(form));
        return js.buffer(bytes.len(), |buffer| buffer.copy_from_slice(&bytes));
    }
    let value = if set_event(&event, out) {
        js.undefined()
    } else {
        out.set(word::EVENT, event::JSON);
        js.string(&convert::event(&event).to_string())?
    };
    if let Event::SpanEnd(end) = event {
        if let Some(report) = &end.report {
            out.set_summary(number::SUMMARY, &report.sent.summary());
            out.set_summary(number::RECEIVED, &report.received.summary());
        }
        held.ended = Some(end);
    }
    Ok(value)
}

/// Puts the usual ends of a reader and of a stream into the words; says whether the event was one of them.
fn set_event(event: &Event, out: &mut Out) -> bool {
    match event {
        Event::ReadEnd {
            stream,
            end: ReadEnd::Complete,
        } => {
            out.set(word::EVENT, event::READ_COMPLETE);
            out.set(word::STREAM, stream.number());
        }
        Event::SpanEnd(end) if end.error_type.is_none() && end.report.is_some() => {
            out.set(word::EVENT, event::STREAM_END);
            out.set(word::STREAM, end.span.number());
            let outcome = end.report.as_ref().map(|report| report.outcome);
            out.set(word::OUTCOME, convert::outcome_number(outcome));
        }
        _ => return false,
    }
    true
}

/// `spanEnd(handle)`: attributes and events of the span's end that was polled last; or `undefined` if it has no events, and
/// attributes like those at the place in the words. Their numbers are in the numbers.
pub(crate) fn span_end(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections, out, ..
    } = state;
    let held = connections.get(js.u32(0, "handle")?)?;
    let Some(end) = held.ended.take() else {
        return Err(Error::invalid_state("no end of a span was polled"));
    };
    let (attributes, events) = (end.attributes(), end.events());
    let place = held.ends.attributes(&attributes, number::MAX_ATTRIBUTES);
    if out.set_place(place) && events.is_empty() {
        for (at, attribute) in attributes.iter().enumerate() {
            let number = convert::number(&attribute.value).unwrap_or(f64::NAN);
            out.set_number(number::ATTRIBUTES + at, number);
        }
        return Ok(js.undefined());
    }
    json(js, &convert::span_end(&attributes, &events))
}

/// `snapshot(handle)`: what can be asked of a connection.
pub(crate) fn snapshot(js: &Js, state: &mut State) -> Result<Value, Error> {
    let connection = &state.connections.get(js.u32(0, "handle")?)?.core;
    let snapshot = json!({
        "role": convert::role_name(connection.role()),
        "peer": convert::peer(connection.peer()),
        "sessionId": connection.session_id(),
        "resumption": convert::resumption(&connection.resumption()),
        "connectionId": connection.connection_id().map(|id| id.number()),
        "superseded": connection.superseded().map(|id| id.number()),
        "isOpen": connection.is_open(),
        "isReady": connection.is_ready(),
        "mayRead": connection.may_read(),
        "openStreams": connection.open_streams(),
        "maxRunning": connection.options().max_running,
    });
    json(js, &snapshot)
}

/// `counters(handle)`: every counter.
pub(crate) fn counters(js: &Js, state: &mut State) -> Result<Value, Error> {
    let connection = &state.connections.get(js.u32(0, "handle")?)?.core;
    let map = connection
        .counters()
        .iter()
        .map(|(counter, n)| (counter.name().to_owned(), Json::from(n)));
    json(js, &Json::Object(map.collect()))
}

/// `count(handle, counter, n)`.
pub(crate) fn count(js: &Js, state: &mut State) -> Result<Value, Error> {
    let name = js.text(1, "counter")?;
    let n = js.u32(2, "n")?;
    let counter = Counter::ALL
        .into_iter()
        .find(|counter| counter.name() == name)
        .ok_or_else(|| wrong("counter", "is no counter"))?;
    on(js, state, |connection| {
        connection.count(counter, n);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `setMethods(handle, methods)`.
pub(crate) fn set_methods(js: &Js, state: &mut State) -> Result<Value, Error> {
    let methods = js.texts(1, "methods")?;
    on(js, state, |connection| {
        connection.set_methods(methods);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `setPlainPolicy(handle, policy)`.
pub(crate) fn set_plain_policy(js: &Js, state: &mut State) -> Result<Value, Error> {
    let policy = match js.text(1, "policy")?.as_str() {
        "deliver" => PlainPolicy::Deliver,
        "queue" => PlainPolicy::Queue,
        "discard" => PlainPolicy::Discard,
        _ => {
            return Err(wrong(
                "policy",
                "must be one of \"deliver\", \"queue\", \"discard\"",
            ));
        }
    };
    on(js, state, |connection| {
        connection.set_plain_policy(policy);
        Ok(())
    })?;
    Ok(js.undefined())
}

/// `streamMetrics(handle, key)`: leaves the two summaries of an open stream in the numbers and tells whether there is one.
pub(crate) fn stream_metrics(js: &Js, state: &mut State) -> Result<Value, Error> {
    let connection = &state.connections.get(js.u32(0, "handle")?)?.core;
    let Some((sent, received)) = connection.metrics(key_at(js, 1)?) else {
        return Ok(js.boolean(false));
    };
    state.out.set_summary(number::SUMMARY, &sent);
    state.out.set_summary(number::RECEIVED, &received);
    Ok(js.boolean(true))
}
