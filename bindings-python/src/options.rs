//! Options by name, from a Python dictionary.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyString};
use wirespan::connection::{OptionValue, Options, Resumption, Session, TIME_SPANS};

use crate::error::{invalid, raise};
use crate::trace::SpanContext;

/// Reads options. Time spans are seconds, as everywhere in Python.
pub(crate) fn read(dictionary: &Bound<'_, PyDict>) -> PyResult<Options> {
    let py = dictionary.py();
    let mut options = Options::default();
    for (name, value) in dictionary {
        let name: String = name.extract()?;
        if value.is_none() {
            continue;
        }
        if name == "session"
            && let Ok((session_id, span)) =
                value.extract::<(String, Option<PyRef<'_, SpanContext>>)>()
        {
            let span = span.map(|span| span.inner().clone());
            options.session = Session::Resume(Resumption { session_id, span });
            options.check().map_err(|error| raise(py, &error))?;
            continue;
        }
        options
            .set(&name, option_value(&name, &value)?)
            .map_err(|error| raise(py, &error))?;
    }
    Ok(options)
}

fn option_value(name: &str, value: &Bound<'_, PyAny>) -> PyResult<OptionValue> {
    let py = value.py();
    if value.is_instance_of::<PyBool>() {
        return Ok(OptionValue::Flag(value.extract()?));
    }
    if value.is_instance_of::<PyString>() {
        return Ok(OptionValue::Text(value.extract()?));
    }
    let is_number = value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>();
    if is_number && TIME_SPANS.contains(&name) {
        let seconds: f64 = value.extract()?;
        if !(0.0..=1e9).contains(&seconds) {
            return Err(named(
                py,
                name,
                "must be a number of seconds that is not negative",
            ));
        }
        return Ok(OptionValue::Number((seconds * 1e9).round() as u64));
    }
    if value.is_instance_of::<PyInt>() {
        let number = value
            .extract()
            .map_err(|_| named(py, name, "must not be negative"))?;
        return Ok(OptionValue::Number(number));
    }
    match value
        .try_iter()
        .and_then(|items| items.map(|item| item?.extract()).collect())
    {
        Ok(list) => Ok(OptionValue::List(list)),
        Err(_) => Err(named(py, name, "has a value of a type that no option has")),
    }
}

fn named(py: Python<'_>, name: &str, message: &str) -> PyErr {
    if name.is_empty() {
        return invalid(py, "options", message);
    }
    raise(
        py,
        &wirespan::Error::invalid_argument(name.to_owned(), message.to_owned()),
    )
}
