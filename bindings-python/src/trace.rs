//! Trace context and baggage.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use wirespan::trace::{Baggage, BaggageMember, TraceFlags, TraceParent, TraceState};

use crate::error::raise;

/// Identity of a span with its vendor data, in the terms of W3C Trace Context.
#[pyclass(frozen, eq, hash, module = "wirespan")]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpanContext(wirespan::trace::SpanContext);

impl std::hash::Hash for SpanContext {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.trace_parent.trace_id.hash(state);
        self.0.trace_parent.span_id.hash(state);
    }
}

impl SpanContext {
    pub(crate) fn new(inner: wirespan::trace::SpanContext) -> Self {
        Self(inner)
    }

    pub(crate) fn inner(&self) -> &wirespan::trace::SpanContext {
        &self.0
    }
}

#[pymethods]
impl SpanContext {
    /// Makes a context of numbers; raises MalformedError if an id is zero. A tracestate outside the grammar is dropped.
    #[new]
    #[pyo3(signature = (trace_id, span_id, trace_flags = 0, trace_state = ""))]
    fn py_new(
        py: Python<'_>,
        trace_id: u128,
        span_id: u64,
        trace_flags: u8,
        trace_state: &str,
    ) -> PyResult<Self> {
        let flags = TraceFlags::from_bits(trace_flags);
        let trace_parent = TraceParent::new(trace_id.to_be_bytes(), span_id.to_be_bytes(), flags)
            .ok_or_else(|| {
            raise(
                py,
                &wirespan::Error::malformed("traceparent", wirespan::Refusal::ZeroId, 3),
            )
        })?;
        // What is malformed is dropped, as a receiver would do.
        let trace_state = TraceState::parse(trace_state).unwrap_or_default();
        Ok(Self(wirespan::trace::SpanContext {
            trace_parent,
            trace_state,
        }))
    }

    /// The trace id, a number of 128 bits.
    #[getter]
    fn trace_id(&self) -> u128 {
        u128::from_be_bytes(self.0.trace_parent.trace_id)
    }

    /// The span id, a number of 64 bits.
    #[getter]
    fn span_id(&self) -> u64 {
        u64::from_be_bytes(self.0.trace_parent.span_id)
    }

    /// The flags: bit 0 sampled, bit 1 random.
    #[getter]
    fn trace_flags(&self) -> u8 {
        self.0.trace_parent.flags.bits()
    }

    /// The value of `tracestate`, possibly empty.
    #[getter]
    fn trace_state(&self) -> &str {
        self.0.trace_state.as_str()
    }

    /// The value of `traceparent`.
    #[getter]
    fn traceparent(&self) -> String {
        self.0.trace_parent.to_header()
    }

    fn __repr__(&self) -> String {
        format!("SpanContext({})", self.0.trace_parent.to_header())
    }
}

/// Bytes of a header value that came as `str` or `bytes`.
pub(crate) fn value_bytes<'a>(value: &'a Bound<'_, PyAny>) -> PyResult<std::borrow::Cow<'a, [u8]>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().into());
    }
    match value.cast::<PyString>()?.to_str() {
        Ok(text) => Ok(text.as_bytes().into()),
        // A lone surrogate is in no grammar; one byte that is none either takes its place.
        Err(_) => Ok(b"\0"[..].into()),
    }
}

fn values_bytes<'a>(values: &'a [Bound<'_, PyAny>]) -> PyResult<Vec<std::borrow::Cow<'a, [u8]>>> {
    values.iter().map(value_bytes).collect()
}

/// Reads the values of all `traceparent` fields. Returns the context, without tracestate, or None without a value.
///
/// Raises MalformedError whose `reason` says why they are refused.
#[pyfunction]
pub(crate) fn parse_traceparent(
    py: Python<'_>,
    values: Vec<Bound<'_, PyAny>>,
) -> PyResult<Option<SpanContext>> {
    let values = values_bytes(&values)?;
    match TraceParent::from_values(values.iter().map(AsRef::as_ref)) {
        Ok(parsed) => Ok(parsed.map(|trace_parent| SpanContext(trace_parent.into()))),
        Err(error) => Err(raise(py, &error)),
    }
}

/// Reads the values of all `tracestate` fields. Returns the list as it is sent on, empty where nothing is left.
///
/// Raises MalformedError whose `reason` says why the list is refused.
#[pyfunction]
pub(crate) fn parse_tracestate(py: Python<'_>, values: Vec<Bound<'_, PyAny>>) -> PyResult<String> {
    let values = values_bytes(&values)?;
    match TraceState::from_values(values.iter().map(AsRef::as_ref)) {
        Ok(parsed) => Ok(parsed.as_str().to_owned()),
        Err(error) => Err(raise(py, &error)),
    }
}

/// Reads the values of `traceparent` and `tracestate`. Returns the context, or None.
#[pyfunction]
pub(crate) fn extract(
    traceparent: Vec<Bound<'_, PyAny>>,
    tracestate: Vec<Bound<'_, PyAny>>,
) -> PyResult<Option<SpanContext>> {
    let parents = values_bytes(&traceparent)?;
    let parsed = TraceParent::from_values(parents.iter().map(AsRef::as_ref));
    // Extraction never fails: what is invalid counts as absent.
    let Ok(Some(trace_parent)) = parsed else {
        return Ok(None);
    };
    let states = values_bytes(&tracestate)?;
    let trace_state = TraceState::from_values(states.iter().map(AsRef::as_ref)).unwrap_or_default();
    Ok(Some(SpanContext(wirespan::trace::SpanContext {
        trace_parent,
        trace_state,
    })))
}

/// Name, value and properties of a member of baggage.
type Member = (String, String, String);

/// Reads the values of `baggage`. Returns members as (name, value, properties), and how many were dropped.
#[pyfunction]
pub(crate) fn parse_baggage(values: Vec<Bound<'_, PyAny>>) -> PyResult<(Vec<Member>, usize)> {
    let values = values_bytes(&values)?;
    let (baggage, dropped) = Baggage::from_values(values.iter().map(AsRef::as_ref));
    let members = baggage.iter().map(|member| {
        (
            member.key.clone(),
            member.value.clone(),
            member.properties.clone(),
        )
    });
    Ok((members.collect(), dropped))
}

/// Writes members (name, value, properties) as the value of `baggage`, and says how many were dropped.
#[pyfunction]
pub(crate) fn format_baggage(members: Vec<Member>) -> (String, usize) {
    let mut baggage = Baggage::default();
    let mut refused = 0;
    for (key, value, properties) in members {
        let mut member = BaggageMember::new(key, value);
        member.properties = properties;
        refused += usize::from(baggage.insert(member).is_err());
    }
    let (header, dropped) = baggage.encode();
    (header, dropped + refused)
}

/// Baggage of a Python dictionary of texts; what the grammar does not allow is left out.
pub(crate) fn baggage_of(dictionary: &Bound<'_, PyDict>) -> Baggage {
    let mut baggage = Baggage::default();
    for (name, value) in dictionary {
        if let (Ok(name), Ok(value)) = (
            name.extract::<String>(),
            value.str().and_then(|text| text.extract::<String>()),
        ) {
            // A name outside the grammar cannot travel; the others still do.
            let _ = baggage.insert(BaggageMember::new(name, value));
        }
    }
    baggage
}

pub(crate) fn baggage_dict<'py>(
    py: Python<'py>,
    baggage: &Baggage,
) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    for member in baggage.iter() {
        dictionary.set_item(&member.key, &member.value)?;
    }
    Ok(dictionary)
}
