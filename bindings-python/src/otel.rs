//! Between the contexts of the OpenTelemetry API and those of the core.
//!
//! These conversions are made for each message that carries a context. In Python they cost more than all of the core, so they
//! are here, and use only what the API documents. The one shortcut, that `SpanContext` is a tuple of its arguments, is tried
//! before it is taken.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyMapping, PyString, PyTuple, PyType};
use wirespan::connection::ContextRef;
use wirespan::trace::{Baggage, TraceFlags, TraceParent, TraceState};

use crate::error::invalid;
use crate::native;
use crate::trace::{SpanContext, baggage_of};

/// What is needed of the OpenTelemetry API, looked up once.
struct Api {
    span_context: Py<PyType>,
    non_recording_span: Py<PyType>,
    /// Whether such a span can be made without a call of its class.
    plain_holder: bool,
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
    /// The context variable that holds the current context, where that is how the API's runtime keeps it.
    variable: Option<Py<PyAny>>,
    get_current: Py<PyAny>,
    get_baggage: Py<PyAny>,
    /// The key under which a context holds its baggage.
    baggage_key: Py<PyAny>,
}

static API: PyOnceLock<Api> = PyOnceLock::new();

fn api(py: Python<'_>) -> PyResult<&Api> {
    API.get_or_try_init(py, || {
        let trace = py.import("opentelemetry.trace")?;
        let contexts = py.import("opentelemetry.context")?;
        let context = contexts.getattr("Context")?;
        let span_context = trace.getattr("SpanContext")?.cast_into::<PyType>()?;
        let non_recording_span = trace.getattr("NonRecordingSpan")?.cast_into::<PyType>()?;
        let make_flags = trace.getattr("TraceFlags")?;
        let flags = (0..4).map(|bits| Ok(make_flags.call1((bits,))?.unbind()));
        let flags = flags.collect::<PyResult<Vec<_>>>()?;
        // The API has one for all spans without vendor data.
        let empty_state = trace.getattr("DEFAULT_TRACE_STATE")?;
        let probe = span_context.call1((1, 2, true, make_flags.call1((1,))?, &empty_state))?;
        let holder = trace
            .getattr("set_span_in_context")?
            .call1((non_recording_span.call1((&probe,))?, context.call0()?))?;
        let baggage = py.import("opentelemetry.baggage")?;
        let baggage_holder = baggage.call_method1("set_baggage", ("a", "b", context.call0()?))?;
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
            plain_holder: is_plain_holder(&non_recording_span.call1((&probe,))?, &probe)?,
            non_recording_span: non_recording_span.unbind(),
            context: context.unbind(),
            span_key: key_in(&holder)?,
            flags,
            empty_state: empty_state.unbind(),
            trace_state: trace_state.unbind(),
            tuple_new: same.then(|| tuple_new.unbind()),
            variable: variable_of(&contexts, &holder),
            get_current: contexts.getattr("get_current")?.unbind(),
            get_baggage: baggage.getattr("get_all")?.unbind(),
            baggage_key: key_in(&baggage_holder)?,
        })
    })
}

/// The key of the only value that a context holds.
fn key_in(context: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let mut keys = context.try_iter()?;
    Ok(keys
        .next()
        .transpose()?
        .map_or_else(|| context.py().None(), Bound::unbind))
}

/// The context variable of the API's runtime. It is no public name, so what it says is compared with what the API says; another
/// runtime has none.
fn variable_of(contexts: &Bound<'_, PyModule>, probe: &Bound<'_, PyAny>) -> Option<Py<PyAny>> {
    let runtime = contexts.getattr("_RUNTIME_CONTEXT").ok()?;
    let variable = runtime.getattr("_current_context").ok()?;
    let token = contexts.call_method1("attach", (probe,)).ok()?;
    let found = native::variable(&variable);
    contexts.call_method1("detach", (token,)).ok()?;
    found
        .is_some_and(|found| found.is(probe))
        .then(|| variable.unbind())
}

/// The context that is current.
fn current<'py>(py: Python<'py>, api: &Api) -> PyResult<Option<Bound<'py, PyAny>>> {
    match &api.variable {
        Some(variable) => Ok(native::variable(variable.bind(py))),
        None => api.get_current.bind(py).call0().map(Some),
    }
}

/// The span that a context holds, if it is valid.
fn span_in(
    api: &Api,
    context: &Bound<'_, PyDict>,
) -> PyResult<Option<wirespan::trace::SpanContext>> {
    let py = context.py();
    let Some(span) = context.get_item(api.span_key.bind(py))? else {
        return Ok(None);
    };
    read(api, &span.call_method0(intern!(py, "get_span_context"))?)
}

/// The baggage that a context holds.
fn baggage_in(api: &Api, context: &Bound<'_, PyDict>) -> PyResult<Option<Baggage>> {
    let py = context.py();
    if !context.contains(api.baggage_key.bind(py))? {
        return Ok(None);
    }
    let all = api.get_baggage.bind(py).call1((context,))?;
    let copy = PyDict::new(py);
    copy.update(all.cast::<PyMapping>()?)?;
    Ok(Some(baggage_of(&copy)))
}

/// The span and baggage to send a message with.
pub(crate) enum Sender<'a> {
    Nobody,
    /// A context of the core's.
    Known(&'a SpanContext),
    /// What was found in a context of the OpenTelemetry API.
    Found(Option<wirespan::trace::SpanContext>, Option<Baggage>),
}

impl<'a> Sender<'a> {
    /// Reads what the application passed: a SpanContext, a Context, "current", or None.
    pub(crate) fn read(given: &'a Bound<'_, PyAny>, with_baggage: bool) -> PyResult<Self> {
        let py = given.py();
        if given.is_none() {
            return Ok(Self::Nobody);
        }
        if let Ok(known) = given.cast::<SpanContext>() {
            return Ok(Self::Known(known.get()));
        }
        if let Ok(context) = given.cast::<PyDict>() {
            return Ok(Self::find(context, with_baggage));
        }
        if given.cast::<PyString>().is_ok_and(|word| word == "current") {
            let context = current(py, api(py)?)?;
            let context = context.as_ref().and_then(|found| found.cast().ok());
            return Ok(context.map_or(Self::Nobody, |found| Self::find(found, with_baggage)));
        }
        Err(invalid(
            py,
            "context",
            "must be a SpanContext, a Context of OpenTelemetry, \"current\", or None",
        ))
    }

    /// What cannot be read of a context is not sent: telemetry does not fail a message.
    fn find(context: &Bound<'_, PyDict>, with_baggage: bool) -> Self {
        let Ok(api) = api(context.py()) else {
            return Self::Nobody;
        };
        let baggage = if with_baggage {
            baggage_in(api, context).unwrap_or_default()
        } else {
            None
        };
        Self::Found(span_in(api, context).unwrap_or_default(), baggage)
    }

    /// The same for the core. Baggage that was `given` goes before that of the context.
    pub(crate) fn context<'b>(&'b self, given: Option<&'b Baggage>) -> ContextRef<'b> {
        let (span, found) = match self {
            Self::Nobody => (None, None),
            Self::Known(known) => (Some(known.inner()), None),
            Self::Found(span, baggage) => (span.as_ref(), baggage.as_ref()),
        };
        ContextRef {
            trace_parent: span.map(|span| span.trace_parent),
            trace_state: span.map_or("", |span| span.trace_state.as_str()),
            baggage: given.or(found),
        }
    }
}

/// The core's context of a span context of the API; None if it is not valid.
#[pyfunction]
pub(crate) fn from_otel(span_context: &Bound<'_, PyAny>) -> PyResult<Option<SpanContext>> {
    let read = read(api(span_context.py())?, span_context)?;
    Ok(read.map(SpanContext::new))
}

/// The fields of a span context of the API, by their order in the tuple that it is.
const FIELDS: [&str; 5] = [
    "trace_id",
    "span_id",
    "is_remote",
    "trace_flags",
    "trace_state",
];

fn read(
    api: &Api,
    span_context: &Bound<'_, PyAny>,
) -> PyResult<Option<wirespan::trace::SpanContext>> {
    let py = span_context.py();
    let tuple = span_context
        .cast::<PyTuple>()
        .ok()
        .filter(|_| api.tuple_new.is_some() && span_context.get_type().is(&api.span_context));
    let field = |index: usize| match tuple {
        Some(tuple) => tuple.get_item(index),
        None => span_context.getattr(PyString::intern(
            py,
            FIELDS.get(index).copied().unwrap_or_default(),
        )),
    };
    let ids = (field(0)?.extract::<u128>(), field(1)?.extract::<u64>());
    // Numbers out of their range are no ids.
    let (Ok(trace_id), Ok(span_id)) = ids else {
        return Ok(None);
    };
    // Others than bits 0 and 1 are not the core's to know; TraceFlags is an int of any size.
    let flags = field(3)?.cast_into::<PyInt>()?;
    let flags = TraceFlags::from_bits(flags.extract().unwrap_or(0));
    let Some(trace_parent) = TraceParent::new(trace_id.to_be_bytes(), span_id.to_be_bytes(), flags)
    else {
        return Ok(None);
    };
    let state = field(4)?;
    let trace_state = if state.is(&api.empty_state) || !state.is_truthy()? {
        TraceState::default()
    } else {
        let header: String = state.call_method0("to_header")?.extract()?;
        // What is malformed is dropped, as a receiver would do.
        TraceState::parse(&header).unwrap_or_default()
    };
    Ok(Some(wirespan::trace::SpanContext {
        trace_parent,
        trace_state,
    }))
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
        Some(_) => {
            let items = (trace_id, span_id, is_remote, flags, state, true);
            native::tuple_of_class(class, items.into_pyobject(py)?)
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
    let holder = holder(api, span_context(py, inner, true)?)?;
    // A context refuses to be changed, and knows no other way to hold something than to be made of a dictionary. This one
    // has no other owner yet.
    let context = api.context.bind(py).call0()?;
    match context.cast::<PyDict>() {
        Ok(items) => items.set_item(&api.span_key, holder)?,
        Err(_) => {
            let items = PyDict::new(py);
            items.set_item(&api.span_key, holder)?;
            return api.context.bind(py).call1((items,));
        }
    }
    Ok(context)
}

/// A span that does nothing but hold a context.
fn holder<'py>(api: &Api, span_context: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = span_context.py();
    let class = api.non_recording_span.bind(py);
    if api.plain_holder
        && let Some(holder) = native::blank(class)?
    {
        holder.setattr(intern!(py, HELD), span_context)?;
        return Ok(holder);
    }
    class.call1((span_context,))
}

/// Where a `NonRecordingSpan` keeps its context. It is no public name, so it is tried before it is used.
const HELD: &str = "_context";

/// Tells whether a context is all that a `NonRecordingSpan` has.
fn is_plain_holder(made: &Bound<'_, PyAny>, span_context: &Bound<'_, PyAny>) -> PyResult<bool> {
    let attributes = PyDict::new(made.py());
    attributes.set_item(HELD, span_context)?;
    made.getattr("__dict__")?.eq(attributes)
}
