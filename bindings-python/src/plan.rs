//! Plans of spans.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};
use wirespan::connection::{Attribute, Parent, Value};

use crate::trace::SpanContext;

/// What to do to start a span: `name`, `kind` (such as "CLIENT"), `parent`, `links`, `attributes`, and the key of the span.
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct Plan(wirespan::connection::Plan);

impl Plan {
    pub(crate) fn new(plan: wirespan::connection::Plan) -> Self {
        Self(plan)
    }
}

#[pymethods]
impl Plan {
    /// Names the span until its end.
    #[getter]
    fn span(&self) -> u32 {
        self.0.span.number()
    }

    /// The span's name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The span's kind, one of INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER.
    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind.name()
    }

    /// "root", "current", "connection", or the SpanContext of a peer.
    #[getter]
    fn parent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let word = match &self.0.parent {
            Parent::Remote(remote) => {
                return Ok(Bound::new(py, SpanContext::new(remote.clone()))?.into_any());
            }
            Parent::Current => "current",
            Parent::Connection => "connection",
            _ => "root",
        };
        Ok(PyString::intern(py, word).into_any())
    }

    /// The contexts to link, each with whether it is a peer's.
    #[getter]
    fn links(&self) -> Vec<(SpanContext, bool)> {
        let links = self.0.links.iter();
        links
            .map(|link| (SpanContext::new(link.span.clone()), link.remote))
            .collect()
    }

    /// The attributes at the start.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        attributes(py, &self.0.attributes)
    }

    fn __repr__(&self) -> String {
        format!(
            "Plan({:?}, {}, {:?})",
            self.0.name,
            self.0.kind.name(),
            self.0.parent
        )
    }
}

pub(crate) fn attributes<'py>(py: Python<'py>, list: &[Attribute]) -> PyResult<Bound<'py, PyDict>> {
    let dictionary = PyDict::new(py);
    for attribute in list {
        let key = PyString::intern(py, attribute.key);
        match &attribute.value {
            Value::Str(text) => dictionary.set_item(key, &**text)?,
            Value::I64(number) => dictionary.set_item(key, *number)?,
            Value::F64(number) => dictionary.set_item(key, *number)?,
            _ => {}
        }
    }
    Ok(dictionary)
}
