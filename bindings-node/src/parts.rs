//! The parts that stand alone: registries of sessions, stream metrics, carry, names.

use serde_json::{Value as Json, json};
use wirespan::carry::{self, Carried};
use wirespan::connection::{Hosts, SessionRegistry};
use wirespan::counters::Counter;
use wirespan::metrics::{Direction, MetricValue, StreamMetrics, StreamMetricsOptions};
use wirespan::trace::{AllowList, Context};
use wirespan::{Error, ErrorKind, Refusal, limits, names};

use crate::convert::{self, OUTCOMES};
use crate::js::{Js, Value, wrong};
use crate::message;
use crate::state::{State, number};

fn json(js: &Js, value: &Json) -> Result<Value, Error> {
    js.string(&value.to_string())
}

/// `registryNew(maxSessions, maxPerRemote)`: a handle.
pub(crate) fn registry_new(js: &Js, state: &mut State) -> Result<Value, Error> {
    let bound = |index, name, default: usize| {
        js.optional_u32(index, name)
            .map(|max| max.map_or(default, |max| max as usize))
    };
    let registry = SessionRegistry::with_limits(
        bound(0, "maxSessions", limits::MAX_SESSIONS)?,
        bound(1, "maxPerRemote", limits::MAX_SESSIONS_PER_REMOTE)?,
    );
    Ok(js.number(state.registries.insert(registry)))
}

/// `registrySize(registry)`.
pub(crate) fn registry_size(js: &Js, state: &mut State) -> Result<Value, Error> {
    let size = state.registries.get(js.u32(0, "registry")?)?.len();
    Ok(js.number(u32::try_from(size).unwrap_or(u32::MAX)))
}

/// `registryFree(registry)`.
pub(crate) fn registry_free(js: &Js, state: &mut State) -> Result<Value, Error> {
    state.registries.remove(js.u32(0, "registry")?);
    Ok(js.undefined())
}

/// `metricsNew(stallThresholdNs, skipEmptyFirst)`: a handle.
pub(crate) fn metrics_new(js: &Js, state: &mut State) -> Result<Value, Error> {
    let options = StreamMetricsOptions {
        stall_threshold_ns: js
            .optional_u64(0, "stallThreshold")?
            .unwrap_or(limits::STALL_THRESHOLD_NS),
        skip_empty_first: js.flag(1),
    };
    Ok(js.number(state.metrics.insert(StreamMetrics::new(options))))
}

/// `metricsFree(metrics)`.
pub(crate) fn metrics_free(js: &Js, state: &mut State) -> Result<Value, Error> {
    state.metrics.remove(js.u32(0, "metrics")?);
    Ok(js.undefined())
}

/// `metricsStart(metrics, now)`.
pub(crate) fn metrics_start(js: &Js, state: &mut State) -> Result<Value, Error> {
    let now_ns = js.u64(1, "now")?;
    state.metrics.get(js.u32(0, "metrics")?)?.start(now_ns);
    Ok(js.undefined())
}

/// `recordChunk(metrics, bytes, now)`: 1 if the chunk ended a stall, which then stands in the numbers, else 0.
pub(crate) fn record_chunk(js: &Js, state: &mut State) -> Result<Value, Error> {
    let (bytes, now_ns) = (js.u64(1, "bytes")?, js.u64(2, "now")?);
    let Some(stall) = state
        .metrics
        .get(js.u32(0, "metrics")?)?
        .record_chunk(bytes, now_ns)
    else {
        return Ok(js.number(0));
    };
    state.out.set_number(number::STALL, stall.at_ns as f64);
    state
        .out
        .set_number(number::STALL + 1, stall.interval_ns as f64);
    state.out.set_number(number::STALL + 2, stall.chunk as f64);
    Ok(js.number(1))
}

/// `recordChunks(metrics, pairs, count)`: chunks of which none can end a stall, as `count` numbers, bytes and times in turn.
pub(crate) fn record_chunks(js: &Js, state: &mut State) -> Result<Value, Error> {
    let metrics = state.metrics.get(js.u32(0, "metrics")?)?;
    let count = js.u32(2, "count")? as usize;
    let pairs = js.doubles(1, "pairs")?;
    for [bytes, now_ns] in pairs.get(..count).unwrap_or(pairs).as_chunks::<2>().0 {
        metrics.record_chunk(*bytes as u64, *now_ns as u64);
    }
    Ok(js.undefined())
}

/// `metricsFinish(metrics, outcome, now)`.
pub(crate) fn metrics_finish(js: &Js, state: &mut State) -> Result<Value, Error> {
    let name = js.text(1, "outcome")?;
    let outcome = OUTCOMES
        .into_iter()
        .find(|outcome| outcome.name() == name)
        .ok_or_else(|| {
            wrong(
                "outcome",
                "must be one of \"complete\", \"cancelled\", \"error\", \"abandoned\"",
            )
        })?;
    let now_ns = js.u64(2, "now")?;
    state
        .metrics
        .get(js.u32(0, "metrics")?)?
        .finish(outcome, now_ns);
    Ok(js.undefined())
}

/// `metricsMerge(metrics, other)`.
pub(crate) fn metrics_merge(js: &Js, state: &mut State) -> Result<Value, Error> {
    let other = state.metrics.get(js.u32(1, "other")?)?.clone();
    state.metrics.get(js.u32(0, "metrics")?)?.merge(&other);
    Ok(js.undefined())
}

/// `metricsSummary(metrics)`: leaves the summary in the numbers.
pub(crate) fn metrics_summary(js: &Js, state: &mut State) -> Result<Value, Error> {
    let summary = state.metrics.get(js.u32(0, "metrics")?)?.summary();
    state.out.set_summary(number::SUMMARY, &summary);
    Ok(js.undefined())
}

/// `metricsAttributes(metrics, direction)`: attributes of a span.
pub(crate) fn metrics_attributes(js: &Js, state: &mut State) -> Result<Value, Error> {
    let direction = match js.text(1, "direction")?.as_str() {
        "sent" => Direction::Sent,
        "received" => Direction::Received,
        _ => return Err(wrong("direction", "must be \"sent\" or \"received\"")),
    };
    let summary = state.metrics.get(js.u32(0, "metrics")?)?.summary();
    let attributes = summary
        .attributes(direction)
        .into_iter()
        .map(|(key, value)| {
            let value = match value {
                MetricValue::Count(count) => Json::from(count),
                MetricValue::Float(number) => Json::from(number),
                _ => Json::Null,
            };
            (key.to_owned(), value)
        });
    json(js, &Json::Object(attributes.collect()))
}

fn allow_list(js: &Js, index: usize) -> Result<AllowList, Error> {
    js.texts(index, "baggage").map(AllowList::from_names)
}

/// `carryToHeaders(traceparent, tracestate, baggage, session, sent, allowed)`: an array of names and values.
pub(crate) fn carry_to_headers(js: &Js, _: &mut State) -> Result<Value, Error> {
    let (trace_parent, trace_state) = (
        js.optional_text(0, "traceparent")?,
        js.optional_text(1, "tracestate")?,
    );
    let context = Context {
        span: convert::span_from(trace_parent.as_deref(), trace_state.as_deref()),
        baggage: message::baggage(js, 2)?.unwrap_or_default(),
    };
    let carried = Carried::new(
        context,
        js.optional_text(3, "session")?,
        js.optional_u64(4, "sent")?,
    );
    let headers = carried.to_headers(&allow_list(js, 5)?);
    json(
        js,
        &headers
            .iter()
            .map(|(name, value)| json!([name, value]))
            .collect(),
    )
}

/// `carryFromHeaders(headers, allowed)`: what an item brings along; `sent` is a decimal string.
pub(crate) fn carry_from_headers(js: &Js, _: &mut State) -> Result<Value, Error> {
    let headers = js.values(0, "headers")?;
    let carried = from_headers(&headers, &allow_list(js, 1)?);
    let result = json!({
        "span": carried.context.span.as_ref().map(convert::span_context),
        "baggage": convert::baggage(&carried.context.baggage),
        "sessionId": carried.session_id,
        "sent": carried.sent_unix_ns.map(|sent| sent.to_string()),
        "contextInvalid": carried.context_invalid,
    });
    json(js, &result)
}

fn from_headers(flat: &[Vec<u8>], allowed: &AllowList) -> Carried {
    Carried::from_headers(convert::header_pairs(flat), allowed)
}

/// `planSend(destination, sessionId)`.
pub(crate) fn plan_send(js: &Js, _: &mut State) -> Result<Value, Error> {
    let (destination, session_id) = (
        js.optional_text(0, "destination")?,
        js.optional_text(1, "sessionId")?,
    );
    json(
        js,
        &convert::plan(&carry::plan_send(
            destination.as_deref(),
            session_id.as_deref(),
        )),
    )
}

/// `planProcess(destination, items, continueTrace, nowUnix)`: `items` is a JSON array of arrays of names and values in turn.
pub(crate) fn plan_process(js: &Js, _: &mut State) -> Result<Value, Error> {
    let items: Vec<Vec<String>> = serde_json::from_str(&js.text(1, "items")?)
        .map_err(|_| wrong("items", "must be headers of items"))?;
    let items: Vec<Carried> = items
        .into_iter()
        .map(|flat| flat.into_iter().map(String::into_bytes).collect::<Vec<_>>())
        .map(|flat| from_headers(&flat, &AllowList::none()))
        .collect();
    let destination = js.optional_text(0, "destination")?;
    let plan = carry::plan_process(
        destination.as_deref(),
        &items,
        js.flag(2),
        js.u64(3, "nowUnix")?,
    );
    json(js, &convert::plan(&plan))
}

/// `hostsAllow(options, host)`: whether the option `hosts` lets a host get the context.
pub(crate) fn hosts_allow(js: &Js, _: &mut State) -> Result<Value, Error> {
    let hosts: Hosts = convert::options(&js.text(0, "options")?)?.hosts;
    Ok(js.boolean(hosts.allows(&js.text(1, "host")?)))
}

/// `names()`: the words that JavaScript shares with the core.
pub(crate) fn names(js: &Js, _: &mut State) -> Result<Value, Error> {
    let words = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "errorKinds": ErrorKind::ALL.map(ErrorKind::name),
        "refusals": Refusal::ALL.map(Refusal::name),
        "counters": Counter::ALL.map(Counter::name),
        "outcomes": OUTCOMES.map(|outcome| outcome.name()),
        "reservedHeaders": names::header::RESERVED,
        "queueWait": names::attribute::QUEUE_WAIT,
        "sessionId": names::attribute::SESSION_ID,
        "stallThresholdNs": limits::STALL_THRESHOLD_NS,
        "unknownMethod": names::wire_error::UNKNOWN_METHOD,
        "handlerError": names::wire_error::HANDLER,
    });
    json(js, &words)
}
