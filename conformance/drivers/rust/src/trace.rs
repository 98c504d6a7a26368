//! `traceparent`, `tracestate`, `baggage`, and the propagator.

use std::collections::BTreeMap;

use opentelemetry::Context as OtelContext;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use serde_json::{Map, Value, json};
use wirespan::Error;
use wirespan::otel::{Propagator, remote_context};
use wirespan::trace::{Baggage, BaggageMember, TraceParent, TraceState};

use crate::value::{Output, add, context, headers, list, text, values};

pub(crate) fn traceparent(input: &Value) -> Output {
    let values = values(&input["values"])?;
    match TraceParent::from_values(values.iter().map(Vec::as_slice)) {
        Ok(Some(parsed)) => Ok(json!({"traceparent": parsed.to_header()})),
        Ok(None) => Ok(json!({})),
        Err(error) => refused(error),
    }
}

pub(crate) fn tracestate(input: &Value) -> Output {
    let values = values(&input["values"])?;
    match TraceState::from_values(values.iter().map(Vec::as_slice)) {
        Ok(parsed) if parsed.is_empty() => Ok(json!({})),
        Ok(parsed) => Ok(json!({"tracestate": parsed.as_str()})),
        Err(error) => refused(error),
    }
}

fn refused(error: Error) -> Output {
    match error.reason() {
        Some(reason) => Ok(json!({"refused": reason.name()})),
        None => Err(error.into()),
    }
}

pub(crate) fn baggage_parse(input: &Value) -> Output {
    let values = values(&input["values"])?;
    let (baggage, dropped) = Baggage::from_values(values.iter().map(Vec::as_slice));
    let members = baggage
        .iter()
        .map(|member| json!([member.key, member.value, member.properties]));
    let mut output = Map::new();
    add(&mut output, "members", members.collect());
    add(&mut output, "dropped", dropped.into());
    Ok(output.into())
}

pub(crate) fn baggage_write(input: &Value) -> Output {
    let mut baggage = Baggage::default();
    for member in list(&input["members"])? {
        let mut made = BaggageMember::new(text(&member[0])?, text(&member[1])?);
        made.properties = text(&member[2])?.into();
        baggage.insert(made)?;
    }
    let (header, dropped) = baggage.encode();
    let mut output = Map::new();
    if !header.is_empty() {
        output.insert("baggage".to_owned(), header.into());
    }
    add(&mut output, "dropped", dropped.into());
    Ok(output.into())
}

pub(crate) fn propagate(input: &Value) -> Output {
    let fields = headers(&input["headers"])?;
    // The carrier of the `opentelemetry` crate holds texts.
    let fields = fields
        .into_iter()
        .map(|(name, value)| (name, String::from_utf8_lossy(&value).into_owned()));
    let request = Fields(fields.collect());
    let mut current = OtelContext::new();
    if let Some(local) = context(&input["local"])? {
        current = remote_context(&current, &local);
    }
    let propagator = Propagator::new();
    let extracted = propagator.extract_with_context(&current, &request);
    let mut next = Next::default();
    propagator.inject_context(&extracted, &mut next);
    Ok(json!(next.0))
}

/// Header fields in order, repeated ones included.
struct Fields(Vec<(String, String)>);

impl Extractor for Fields {
    fn get(&self, key: &str) -> Option<&str> {
        self.get_all(key)?.first().copied()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    fn get_all(&self, key: &str) -> Option<Vec<&str>> {
        let named = self
            .0
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(key));
        let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then_some(values)
    }
}

#[derive(Default)]
struct Next(BTreeMap<String, String>);

impl opentelemetry::propagation::Injector for Next {
    fn set(&mut self, key: &str, value: String) {
        self.0.insert(key.to_owned(), value);
    }
}
