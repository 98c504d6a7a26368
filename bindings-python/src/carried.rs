//! Items of queues within a process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::PyTraverseError;
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use crate::metrics::now_or;
use crate::native;

/// An item of a queue, with the context variables that were current when it was put, and how long it waited.
///
/// ``with carried as item:`` makes the OpenTelemetry context of ``put`` current.
#[pyclass(frozen, module = "wirespan.carry")]
pub(crate) struct Carried {
    item: Py<PyAny>,
    variables: Py<PyAny>,
    left_ns: u64,
    /// When it was taken out; 0 before.
    arrived_ns: AtomicU64,
    /// The same as a `Carry`, once somebody asked for it.
    carry: OnceLock<Py<PyAny>>,
}

impl Carried {
    fn arrive(&self, py: Python<'_>) -> PyResult<()> {
        if self.arrived_ns.load(Ordering::Relaxed) == 0 {
            self.arrived_ns.store(now_or(py, None)?, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// `Carried(item)`, without the cost of calling a class.
#[pyfunction]
pub(crate) fn carried(py: Python<'_>, item: Py<PyAny>) -> PyResult<Carried> {
    Carried::py_new(py, item)
}

#[pymethods]
impl Carried {
    /// Takes the current context along.
    #[new]
    fn py_new(py: Python<'_>, item: Py<PyAny>) -> PyResult<Self> {
        Ok(Self {
            item,
            variables: native::copied_variables(py)?.unbind(),
            left_ns: now_or(py, None)?,
            arrived_ns: AtomicU64::new(0),
            carry: OnceLock::new(),
        })
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, _item: &Bound<'_, PyAny>) -> Py<PyType> {
        class.clone().unbind()
    }

    /// The item as it was put.
    #[getter]
    fn item(&self, py: Python<'_>) -> Py<PyAny> {
        self.item.clone_ref(py)
    }

    /// How long the item was in the queue, in seconds; None until it is taken out.
    #[getter]
    fn wait(&self) -> Option<f64> {
        match self.arrived_ns.load(Ordering::Relaxed) {
            0 => None,
            arrived_ns => Some(arrived_ns.saturating_sub(self.left_ns) as f64 / 1e9),
        }
    }

    /// What it brought along.
    #[getter]
    fn carry<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(carry) = self.carry.get() {
            return Ok(carry.bind(py).clone());
        }
        let class = py.import("wirespan.carry")?.getattr("Carry")?;
        let made = class.call1((&self.variables, self.left_ns))?;
        if let arrived_ns @ 1.. = self.arrived_ns.load(Ordering::Relaxed) {
            made.setattr("_restored_ns", arrived_ns)?;
        }
        // Another thread may have been quicker.
        let _ = self.carry.set(made.clone().unbind());
        Ok(self
            .carry
            .get()
            .map_or(made, |carry| carry.bind(py).clone()))
    }

    /// The OpenTelemetry context in which the item was put.
    #[getter]
    fn context<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.carry(py)?.getattr("context")
    }

    /// Notes that the item was taken out of its queue.
    fn restore(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().arrive(slf.py())?;
        Ok(slf)
    }

    /// Calls a function inside the item's context, with all context variables that were current when it was put.
    #[pyo3(signature = (function, /, *args, **kwargs))]
    fn run<'py>(
        &self,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = function.py();
        self.arrive(py)?;
        native::inside_copy(self.variables.bind(py), || function.call(args, kwargs))
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Py<PyAny>> {
        self.arrive(py)?;
        self.carry(py)?.call_method0("__enter__")?;
        Ok(self.item(py))
    }

    #[pyo3(signature = (*details))]
    fn __exit__(&self, details: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.carry(details.py())?
            .call_method1("__exit__", details)?;
        Ok(())
    }

    /// Like a tuple it never changes, so whatever else is in a cycle is what breaks it.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.item)?;
        visit.call(&self.variables)?;
        match self.carry.get() {
            Some(carry) => visit.call(carry),
            None => Ok(()),
        }
    }
}
