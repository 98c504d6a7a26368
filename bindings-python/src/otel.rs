//! Between the contexts of the OpenTelemetry API and those of the core.
//!
//! These conversions are made for each message that carries a context. In Python they cost more than all of the core, so they
//! are here, and use only what the API documents. The one shortcut, that `SpanContext` is a tuple of its arguments, is tried
//! before it is taken.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple, PyType};
use wirespan::trace::{TraceFlags, TraceParent, TraceState};

use crate::trace::SpanContext;

/// What is needed of the OpenTelemetry API, looked up once.
struct Api {
    span_context: Py<PyType>,
    non_recording_span: Py<PyAny>,
    context: Py<PyAny>,
    /// The key under which a context holds its span.
    span_key: Py<PyAny>,
    /// `TraceFlags` of the values 0 to 3; the core knows no other.
    flags: Vec<Py<PyAny>>,
    empty_state: Py<PyAny>,
    /// Makes a trace state of a header that the core has read.
    trace_state: Py<PyAny>,
    /// `tuple.__new__`, where a span context made by it equals one made by its class.
    tuple_new: Option<Py<PyAny>>,
}

static API: PyOnceLock<Api> = PyOnceLock::new();

fn api(py: Python<'_>) -> PyResult<&Api> {
    API.get_or_try_init(py, || {
        let trace = py.import("opentelemetry.trace")?;
        let context = py.import("opentelemetry.context")?.getattr("Context")?;
        let span_context = trace.getattr("SpanContext")?.cast_into::<PyType>()?;
        let non_recording_span = trace.getattr("NonRecordingSpan")?;
        let make_flags = trace.getattr("TraceFlags")?;
        let flags = (0..4).map(|bits| Ok(make_flags.call1((bits,))?.unbind()));
        let flags = flags.collect::<PyResult<Vec<_>>>()?;
        let empty_state = trace.getattr("TraceState")?.call0()?;
        let probe = span_context.call1((1, 2, true, make_flags.call1((1,))?, &empty_state))?;
        let holder = trace
            .getattr("set_span_in_context")?
            .call1((non_recording_span.call1((&probe,))?, context.call0()?))?;
        let span_key = holder.try_iter()?.next().transpose()?;
        let span_key = span_key.unwrap_or_else(|| py.None().into_bound(py));
        let tuple_new = py.get_type::<PyTuple>().getattr("__new__")?;
        let same = probe.cast::<PyTuple>().is_ok_and(|items| {
            items.len() == 6
                && tuple_new
                    .call1((&span_context, items.to_list()))
                    .and_then(|made| made.eq(&probe))
                    .unwrap_or(false)
        });
        let trace_state = py
            .import("wirespan._context")?
            .getattr("LevelTwoTraceState")?;
        Ok(Api {
            span_context: span_context.unbind(),
            non_recording_span: non_recording_span.unbind(),
            context: context.unbind(),
            span_key: span_key.unbind(),
            flags,
            empty_state: empty_state.unbind(),
            trace_state: trace_state.unbind(),
            tuple_new: same.then(|| tuple_new.unbind()),
        })
    })
}

/// The core's context of a span context of the API; None if it is not valid.
#[pyfunction]
pub(crate) fn from_otel(span_context: &Bound<'_, PyAny>) -> PyResult<Option<SpanContext>> {
    let py = span_context.py();
    let api = api(py)?;
    let is_tuple = api.tuple_new.is_some() && span_context.get_type().is(&api.span_context);
    let field = |index: usize, name: &str| match span_context.cast::<PyTuple>() {
        Ok(tuple) if is_tuple => tuple.get_item(index),
        _ => span_context.getattr(PyString::intern(py, name)),
    };
    let ids = (
        field(0, "trace_id")?.extract::<u128>(),
        field(1, "span_id")?.extract::<u64>(),
    );
    // Numbers out of their range are no ids.
    let (Ok(trace_id), Ok(span_id)) = ids else {
        return Ok(None);
    };
    // Others than bits 0 and 1 are not the core's to know; TraceFlags is an int of any size.
    let flags = field(3, "trace_flags")?.cast_into::<PyInt>()?;
    let flags = TraceFlags::from_bits(flags.extract().unwrap_or(0));
    let Some(trace_parent) = TraceParent::new(trace_id.to_be_bytes(), span_id.to_be_bytes(), flags)
    else {
        return Ok(None);
    };
    let state = field(4, "trace_state")?;
    let trace_state = if state.is(&api.empty_state) || !state.is_truthy()? {
        TraceState::default()
    } else {
        let header: String = state.call_method0("to_header")?.extract()?;
        // What is malformed is dropped, as a receiver would do.
        TraceState::parse(&header).unwrap_or_default()
    };
    Ok(Some(SpanContext::new(wirespan::trace::SpanContext {
        trace_parent,
        trace_state,
    })))
}

/// The API's span context of a remote span.
#[pyfunction]
#[pyo3(signature = (span, is_remote = true))]
pub(crate) fn to_otel<'py>(
    span: &Bound<'py, SpanContext>,
    is_remote: bool,
) -> PyResult<Bound<'py, PyAny>> {
    span_context(span.py(), span.get().inner(), is_remote)
}

fn span_context<'py>(
    py: Python<'py>,
    inner: &wirespan::trace::SpanContext,
    is_remote: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let api = api(py)?;
    let parent = &inner.trace_parent;
    let trace_id = u128::from_be_bytes(parent.trace_id);
    let span_id = u64::from_be_bytes(parent.span_id);
    let flags = api.flags.get(usize::from(parent.flags.bits() & 3));
    let state = if inner.trace_state.is_empty() {
        api.empty_state.bind(py).clone()
    } else {
        api.trace_state
            .bind(py)
            .call1((inner.trace_state.as_str(),))?
    };
    let class = api.span_context.bind(py);
    match &api.tuple_new {
        // The ids of the core are never zero, so the context is valid.
        Some(tuple_new) => {
            let items = (trace_id, span_id, is_remote, flags, state, true);
            tuple_new.bind(py).call1((class, items))
        }
        None => class.call1((trace_id, span_id, is_remote, flags, state)),
    }
}

/// A context of the API that holds a remote span and nothing else.
#[pyfunction]
pub(crate) fn remote_span_context<'py>(
    span: &Bound<'py, SpanContext>,
) -> PyResult<Bound<'py, PyAny>> {
    remote_context(span.py(), span.get().inner())
}

pub(crate) fn remote_context<'py>(
    py: Python<'py>,
    inner: &wirespan::trace::SpanContext,
) -> PyResult<Bound<'py, PyAny>> {
    let api = api(py)?;
    let holder = api
        .non_recording_span
        .bind(py)
        .call1((span_context(py, inner, true)?,))?;
    let items = PyDict::new(py);
    items.set_item(&api.span_key, holder)?;
    api.context.bind(py).call1((items,))
}
