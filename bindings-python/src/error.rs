//! Errors of the core as the Python exception `wirespan.Error`.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

static ERROR: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Makes the exception of an error. The class lives in Python, where it is documented and subclassed by kind.
pub(crate) fn raise(py: Python<'_>, error: &wirespan::Error) -> PyErr {
    let make = || -> PyResult<PyErr> {
        let class = ERROR.import(py, "wirespan._errors", "Error")?;
        let made = class.call_method1(
            "_of",
            (
                error.to_string(),
                error.kind().name(),
                error.field(),
                error.reason().map(|reason| reason.name()),
                error.offset(),
            ),
        )?;
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
