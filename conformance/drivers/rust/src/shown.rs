//! What stands in outputs: contexts, plans, attributes, counters and summaries.

use serde_json::{Map, Value, json};
use wirespan::connection::{Attribute, Parent, Plan, Value as AttributeValue};
use wirespan::metrics::{Summary, seconds};
use wirespan::trace::{Baggage, SpanContext};

use crate::value::add;

pub(crate) fn context(context: &SpanContext) -> Value {
    let mut shown = json!({"traceparent": context.trace_parent.to_header()});
    if !context.trace_state.is_empty() {
        shown["tracestate"] = context.trace_state.as_str().into();
    }
    shown
}

pub(crate) fn baggage(baggage: &Baggage) -> Value {
    let members = baggage
        .iter()
        .map(|member| (member.key.clone(), member.value.clone().into()));
    Value::Object(members.collect())
}

/// Pairs of names and values in order.
pub(crate) fn headers<N: AsRef<str>, V: AsRef<str>>(headers: &[(N, V)]) -> Value {
    headers
        .iter()
        .map(|(name, value)| json!([name.as_ref(), value.as_ref()]))
        .collect()
}

pub(crate) fn attributes(attributes: &[Attribute]) -> Value {
    let members = attributes.iter().map(|attribute| {
        let value = match &attribute.value {
            AttributeValue::Str(text) => json!(text),
            AttributeValue::I64(number) => json!(number),
            AttributeValue::F64(number) => json!(number),
            other => json!(format!("{other:?}")),
        };
        (attribute.key.to_owned(), value)
    });
    Value::Object(members.collect())
}

/// A plan without its span.
pub(crate) fn plan(plan: &Plan) -> Map<String, Value> {
    let mut shown = Map::new();
    add(&mut shown, "name", json!(plan.name));
    add(&mut shown, "kind", plan.kind.name().into());
    let parent = match &plan.parent {
        Parent::Root => json!("root"),
        Parent::Current => json!("current"),
        Parent::Connection => json!("connection"),
        Parent::Remote(span) => json!({"remote": context(span)}),
        other => json!(format!("{other:?}")),
    };
    add(&mut shown, "parent", parent);
    let links = plan.links.iter().map(|link| {
        let mut shown = context(&link.span);
        if link.remote {
            shown["remote"] = true.into();
        }
        shown
    });
    add(&mut shown, "links", links.collect());
    add(&mut shown, "attributes", attributes(&plan.attributes));
    shown
}

/// A summary: times in seconds, zeros stand, what is absent is left out.
pub(crate) fn summary(summary: &Summary) -> Value {
    let time = |ns: Option<u64>| ns.map(|ns| json!(seconds(ns)));
    let exact = |ns: Option<f64>| ns.map(|ns| json!(ns / 1e9));
    let members = [
        ("chunks", Some(json!(summary.chunks))),
        ("bytes", Some(json!(summary.bytes))),
        ("time_to_first_chunk", time(summary.time_to_first_chunk_ns)),
        ("time_to_last_chunk", time(summary.time_to_last_chunk_ns)),
        ("rate", summary.rate.map(|rate| json!(rate))),
        ("intervals", Some(json!(summary.intervals))),
        ("interval.avg", exact(summary.interval_avg_ns)),
        ("interval.min", time(summary.interval_min_ns)),
        ("interval.max", time(summary.interval_max_ns)),
        ("interval.p50", exact(summary.interval_p50_ns)),
        ("interval.p90", exact(summary.interval_p90_ns)),
        ("interval.p95", exact(summary.interval_p95_ns)),
        ("interval.p99", exact(summary.interval_p99_ns)),
        ("stalls", Some(json!(summary.stalls))),
        ("stall_time", Some(json!(seconds(summary.stall_time_ns)))),
        ("clock_back", Some(json!(summary.clock_back))),
        (
            "outcome",
            summary.outcome.map(|outcome| json!(outcome.name())),
        ),
        ("relative_error", Some(json!(summary.relative_error))),
    ];
    let present = members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(present.collect())
}
