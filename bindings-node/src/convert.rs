//! Between the core's types and JSON, for what is not per message.

use serde_json::{Map, Value as Json, json};
use wirespan::connection::{
    Attribute, Event, Link, OptionValue, Options, Parent, Peer, Plan, ReadEnd, Received,
    Resumption, Session, SpanEnd, SpanEvent, Status, Value,
};
use wirespan::envelope::{Content, End, Form, Kind, Role};
use wirespan::metrics::Outcome;
use wirespan::trace::{Baggage, BaggageMember, SpanContext, TraceParent, TraceState};
use wirespan::{Error, ErrorKind};

/// Outcomes by their number in the array of numbers.
pub(crate) const OUTCOMES: [Outcome; 4] = [
    Outcome::Complete,
    Outcome::Cancelled,
    Outcome::Error,
    Outcome::Abandoned,
];

/// An outcome as a number: 0 for none, otherwise its place from 1.
pub(crate) fn outcome_number(outcome: Option<Outcome>) -> u32 {
    let place = OUTCOMES
        .iter()
        .zip(1..)
        .find(|(other, _)| outcome == Some(**other));
    place.map_or(0, |(_, number)| number)
}

/// A form as a number: 0 text, 1 binary.
pub(crate) fn form_number(form: Form) -> u32 {
    u32::from(form == Form::Binary)
}

pub(crate) fn form_name(form: Form) -> &'static str {
    match form {
        Form::Text => "text",
        Form::Binary => "binary",
    }
}

pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Call => "call",
        _ => "transfer",
    }
}

pub(crate) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}

pub(crate) fn end_name(end: End) -> &'static str {
    match end {
        End::Complete => "1",
        End::Cancel => "cancel",
        _ => "error",
    }
}

pub(crate) fn content_name(content: Content) -> &'static str {
    match content {
        Content::Text => "text",
        _ => "none",
    }
}

/// A span context: `{traceparent, traceState}`; JavaScript cuts the ids out of the header.
pub(crate) fn span_context(span: &SpanContext) -> Json {
    json!({ "traceparent": span.trace_parent.to_header(), "traceState": span.trace_state.as_str() })
}

/// A span context of a `traceparent` and a `tracestate` that a host gave. Invalid means absent.
pub(crate) fn span_from(
    trace_parent: Option<&str>,
    trace_state: Option<&str>,
) -> Option<SpanContext> {
    let trace_parent = TraceParent::parse(trace_parent?.as_bytes()).ok()?;
    let trace_state = trace_state
        .and_then(|text| TraceState::parse(text).ok())
        .unwrap_or_default();
    Some(SpanContext {
        trace_parent,
        trace_state,
    })
}

/// Headers of names and values in turn. A name that is no text is that of no header.
pub(crate) fn header_pairs(flat: &[Vec<u8>]) -> impl Iterator<Item = (&str, &[u8])> {
    let pairs = flat.as_chunks::<2>().0.iter();
    pairs.filter_map(|[name, value]| Some((std::str::from_utf8(name).ok()?, value.as_slice())))
}

/// Baggage of keys, values and properties in turn. What the grammar refuses is left out: an entry of the host that cannot be
/// written is no failure of the message.
pub(crate) fn baggage_from(parts: &[String]) -> Baggage {
    let mut baggage = Baggage::default();
    for member in members(parts) {
        let _ = baggage.insert(member);
    }
    baggage
}

/// Baggage of keys, values and properties in turn, by whoever wants to know what the grammar refuses.
pub(crate) fn baggage_checked(parts: &[String]) -> Result<Baggage, Error> {
    let mut baggage = Baggage::default();
    members(parts).try_for_each(|member| baggage.insert(member))?;
    Ok(baggage)
}

fn members(parts: &[String]) -> impl Iterator<Item = BaggageMember> {
    parts
        .as_chunks::<3>()
        .0
        .iter()
        .map(|[key, value, properties]| {
            let mut member = BaggageMember::new(key.as_str(), value.as_str());
            member.properties.clone_from(properties);
            member
        })
}

/// Baggage as an array of `[key, value, properties]`.
pub(crate) fn baggage(baggage: &Baggage) -> Json {
    baggage
        .iter()
        .map(|member| json!([member.key, member.value, member.properties]))
        .collect()
}

fn attributes<'a>(attributes: impl IntoIterator<Item = &'a Attribute>) -> Json {
    let mut map = Map::new();
    for Attribute { key, value } in attributes {
        let value = match value {
            Value::Str(text) => Json::from(text.as_ref()),
            Value::I64(number) => Json::from(*number),
            Value::F64(number) => Json::from(*number),
            _ => continue,
        };
        map.insert((*key).to_owned(), value);
    }
    Json::Object(map)
}

fn link(link: &Link) -> Json {
    let mut shown = span_context(&link.span);
    shown["isRemote"] = Json::from(link.remote);
    shown
}

/// The number of an attribute, as JavaScript has numbers.
pub(crate) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::I64(number) => Some(*number as f64),
        Value::F64(number) => Some(*number),
        _ => None,
    }
}

/// A plan.
pub(crate) fn plan(plan: &Plan) -> Json {
    let (parent, remote) = match &plan.parent {
        Parent::Current => ("current", None),
        Parent::Connection => ("connection", None),
        Parent::Remote(span) => ("remote", Some(span_context(span))),
        _ => ("root", None),
    };
    json!({
        "span": plan.span.number(),
        "name": plan.name,
        "kind": plan.kind.name(),
        "parent": parent,
        "remote": remote,
        "links": plan.links.iter().map(link).collect::<Json>(),
        "attributes": attributes(&plan.attributes),
    })
}

/// What a received message has beside its payload, if there is anything: what it opens, unless that is known, headers, baggage,
/// vendor data.
pub(crate) fn extras(received: &Received<'_>, knows_opened: bool) -> Option<String> {
    let span = received.context().or_else(|| received.link());
    let trace_state = span
        .map(|span| span.trace_state.as_str())
        .filter(|text| !text.is_empty());
    let nothing = (received.opened.is_none() || knows_opened)
        && received.headers.is_empty()
        && received.baggage.is_empty()
        && trace_state.is_none();
    if nothing {
        return None;
    }
    let opened = received.opened.as_deref().map(|opened| {
        json!({
            "kind": kind_name(opened.kind),
            "method": opened.method,
            "registered": opened.registered,
            "plan": plan(&opened.plan),
        })
    });
    let extras = json!({
        "opened": opened,
        "headers": received.headers.iter().map(|(name, value)| json!([name, value])).collect::<Json>(),
        "baggage": baggage(&received.baggage),
        "traceState": trace_state,
    });
    Some(extras.to_string())
}

/// An event, but for frames, which are bytes.
pub(crate) fn event(event: &Event) -> Json {
    match event {
        Event::SpanUpdate {
            span,
            attributes: items,
        } => {
            json!({ "type": "spanUpdate", "span": span.number(), "attributes": attributes(items) })
        }
        Event::SpanEnd(end) => json!({
            "type": "spanEnd",
            "span": end.span.number(),
            "status": status(end),
            "errorType": end.error_type,
            "outcome": end.report.as_ref().map(|report| report.outcome.name()),
        }),
        Event::ReadEnd { stream, end } => {
            let (kind, error_type) = match end {
                ReadEnd::Complete => (None, None),
                ReadEnd::Failed { kind, error_type } => (Some(kind.name()), error_type.as_deref()),
                _ => (Some(ErrorKind::Closed.name()), None),
            };
            json!({
                "type": "readEnd",
                "stream": stream.number(),
                "complete": kind.is_none(),
                "kind": kind,
                "errorType": error_type,
            })
        }
        Event::PauseReading => json!({ "type": "pauseReading" }),
        Event::ResumeReading => json!({ "type": "resumeReading" }),
        Event::Ready => json!({ "type": "ready" }),
        Event::SessionChanged { previous } => {
            json!({ "type": "sessionChanged", "previous": previous })
        }
        _ => json!({ "type": "unknown" }),
    }
}

fn status(end: &SpanEnd) -> &'static str {
    match end.status() {
        Status::Unset => "unset",
        Status::Error => "error",
    }
}

/// The attributes of a span's end, their names in order, and its events.
pub(crate) fn span_end(items: &[Attribute], events: &[SpanEvent]) -> Json {
    let events = events.iter().map(
        |SpanEvent {
             name,
             at_ns,
             attributes: items,
             ..
         }| { json!({ "name": name, "at": at_ns, "attributes": attributes(items) }) },
    );
    let keys = items.iter().map(|attribute| attribute.key);
    json!({ "attributes": attributes(items), "keys": keys.collect::<Json>(), "events": events.collect::<Json>() })
}

/// What is known of a peer.
pub(crate) fn peer(peer: Peer) -> Json {
    match peer {
        Peer::Announced { version } => json!({ "known": "announced", "version": version }),
        Peer::Always => json!({ "known": "always" }),
        _ => json!({ "known": "unknown" }),
    }
}

/// What a later connection needs to continue a session.
pub(crate) fn resumption(resumption: &Resumption) -> Json {
    json!({ "sessionId": resumption.session_id, "span": resumption.span.as_ref().map(span_context) })
}

/// Options of a JSON object whose names are those of the specification; times are in nanoseconds.
pub(crate) fn options(text: &str) -> Result<Options, Error> {
    let malformed = || Error::invalid_argument("options", "must be an object");
    let Ok(Json::Object(map)) = serde_json::from_str(text) else {
        return Err(malformed());
    };
    let mut options = Options::default();
    for (name, value) in map {
        match (name.as_str(), value) {
            (_, Json::Null) => {}
            ("session", Json::Object(resumed)) => {
                let text = |key: &str| resumed.get(key).and_then(Json::as_str);
                options.set(
                    "session",
                    OptionValue::Text(text("sessionId").unwrap_or_default().to_owned()),
                )?;
                options.session = Session::Resume(Resumption {
                    session_id: text("sessionId").unwrap_or_default().to_owned(),
                    span: span_from(text("traceparent"), text("traceState")),
                });
            }
            (name, value) => options.set(name, option_value(name, value)?)?,
        }
    }
    Ok(options)
}

fn option_value(name: &str, value: Json) -> Result<OptionValue, Error> {
    let number = "must be a whole number that is not negative";
    match value {
        Json::String(text) => Ok(OptionValue::Text(text)),
        Json::Bool(flag) => Ok(OptionValue::Flag(flag)),
        Json::Number(given) => given
            .as_u64()
            .map(OptionValue::Number)
            .ok_or_else(|| Error::invalid_argument(name.to_owned(), number)),
        Json::Array(items) => {
            let names = items.into_iter().map(|item| match item {
                Json::String(text) => Ok(text),
                _ => Err(Error::invalid_argument(
                    name.to_owned(),
                    "must be a list of names",
                )),
            });
            names.collect::<Result<Vec<_>, _>>().map(OptionValue::List)
        }
        _ => Err(Error::invalid_argument(
            name.to_owned(),
            "has a type that no option has",
        )),
    }
}
