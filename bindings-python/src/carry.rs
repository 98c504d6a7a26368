//! Carry across brokers.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use wirespan::carry::Carried;
use wirespan::trace::{AllowList, Context};

use crate::handshake::Headers;
use crate::plan::Plan;
use crate::trace::{SpanContext, baggage_dict, baggage_of};

fn allow(names: Option<Vec<String>>) -> AllowList {
    names.map_or_else(AllowList::none, AllowList::from_names)
}

/// Writes the headers to put beside a payload. Baggage passes the allow-list `baggage_out`.
#[pyfunction]
#[pyo3(signature = (span, baggage = None, session_id = None, sent_unix_ns = None, baggage_out = None))]
pub(crate) fn carry_to_headers(
    span: Option<&Bound<'_, SpanContext>>,
    baggage: Option<&Bound<'_, PyDict>>,
    session_id: Option<String>,
    sent_unix_ns: Option<u64>,
    baggage_out: Option<Vec<String>>,
) -> Vec<(&'static str, String)> {
    let context = Context {
        span: span.map(|span| span.get().inner().clone()),
        baggage: baggage.map(baggage_of).unwrap_or_default(),
    };
    Carried::new(context, session_id, sent_unix_ns).to_headers(&allow(baggage_out))
}

/// What the headers beside a payload say.
#[pyclass(frozen, get_all, module = "wirespan.carry")]
#[derive(Debug)]
pub(crate) struct CarryHeaders {
    /// The sender's span.
    span: Option<Py<SpanContext>>,
    /// The baggage that the allow-list lets through.
    baggage: Py<PyDict>,
    /// The session in which the item was sent.
    session_id: Option<String>,
    /// When the item was sent, Unix nanoseconds.
    sent_unix_ns: Option<u64>,
    /// Whether a context was there that is invalid.
    context_invalid: bool,
}

/// Reads the headers beside a payload. What is invalid or repeated counts as absent.
#[pyfunction]
#[pyo3(signature = (headers, baggage_in = None))]
pub(crate) fn carry_from_headers(
    py: Python<'_>,
    headers: &Bound<'_, PyAny>,
    baggage_in: Option<Vec<String>>,
) -> PyResult<CarryHeaders> {
    let headers = Headers::read(headers)?;
    let carried = Carried::from_headers(headers.iter(), &allow(baggage_in));
    let span = carried.context.span.map(SpanContext::new);
    Ok(CarryHeaders {
        span: span.map(|span| Py::new(py, span)).transpose()?,
        baggage: baggage_dict(py, &carried.context.baggage)?.unbind(),
        session_id: carried.session_id,
        sent_unix_ns: carried.sent_unix_ns,
        context_invalid: carried.context_invalid,
    })
}

/// Plans the span of sending an item to a broker.
#[pyfunction]
#[pyo3(signature = (destination = None, session_id = None))]
pub(crate) fn plan_send(destination: Option<&str>, session_id: Option<&str>) -> Plan {
    Plan::new(wirespan::carry::plan_send(destination, session_id))
}

/// What is known of one item of a batch.
type Item<'py> = (Option<Bound<'py, SpanContext>>, Option<String>, Option<u64>);

/// Plans the span of processing items, each given as (span, session id, sent).
#[pyfunction]
#[pyo3(signature = (destination, items, continue_trace, now_unix_ns))]
pub(crate) fn plan_process(
    destination: Option<&str>,
    items: Vec<Item<'_>>,
    continue_trace: bool,
    now_unix_ns: u64,
) -> Plan {
    let items: Vec<Carried> = items
        .into_iter()
        .map(|(span, session_id, sent)| {
            let span = span.map(|span| span.get().inner().clone());
            Carried::new(
                Context {
                    span,
                    ..Context::default()
                },
                session_id,
                sent,
            )
        })
        .collect();
    Plan::new(wirespan::carry::plan_process(
        destination,
        &items,
        continue_trace,
        now_unix_ns,
    ))
}
