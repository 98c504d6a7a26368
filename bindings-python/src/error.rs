//! Errors of the core as the Python exceptions under `wirespan.WirespanError`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Makes the exception of an error. The classes live in Python, one for each kind.
pub(crate) fn raise(py: Python<'_>, error: &wirespan::Error) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let make = MAKE.import(py, "wirespan._errors", "from_core")?;
        let made = make.call1((
            error.to_string(),
            error.kind().name(),
            error.field(),
            error.reason().map(|reason| reason.name()),
            error.offset(),
        ))?;
        Ok(PyErr::from_value(made))
    };
    make().unwrap_or_else(|_| PyRuntimeError::new_err(error.to_string()))
}

/// The error of an argument that no run can accept.
pub(crate) fn invalid(py: Python<'_>, field: &'static str, message: impl Into<String>) -> PyErr {
    raise(
        py,
        &wirespan::Error::invalid_argument(field, message.into()),
    )
}
