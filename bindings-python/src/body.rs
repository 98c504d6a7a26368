//! Bodies: what the application sends, and the bytes for the transport.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use wirespan::envelope::{Body, Form, Frame};

use crate::error::invalid;
use crate::native;

/// What the application sends, held for the time of one call.
pub(crate) enum Payload<'a, 'py> {
    Text(&'a Bound<'py, PyString>),
    Bytes(&'a Bound<'py, PyBytes>),
    Copied(Vec<u8>),
    None,
}

impl<'a, 'py> Payload<'a, 'py> {
    pub(crate) fn read(body: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = body.cast::<PyString>() {
            return Ok(Self::Text(text));
        }
        if let Ok(bytes) = body.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes));
        }
        if body.is_none() {
            return Ok(Self::None);
        }
        match PyBuffer::<u8>::get(body) {
            // Another thread may change or release the buffer at any time, so it is copied while nothing else runs.
            Ok(buffer) => Ok(Self::Copied(buffer.to_vec(body.py())?)),
            Err(_) => Err(invalid(
                body.py(),
                "body",
                "must be str, bytes, a buffer of bytes, or None",
            )),
        }
    }

    pub(crate) fn body(&self, json: bool) -> PyResult<Body<'_>> {
        Ok(match self {
            Self::Text(text) if json => Body::Json(text.to_str()?.as_bytes()),
            Self::Text(text) => Body::Text(text.to_str()?),
            Self::Bytes(bytes) if json => Body::Json(bytes.as_bytes()),
            Self::Bytes(bytes) => Body::Binary(bytes.as_bytes()),
            Self::Copied(bytes) if json => Body::Json(bytes),
            Self::Copied(bytes) => Body::Binary(bytes),
            // The core knows the form that the direction used last.
            Self::None => Body::None(Form::Text),
        })
    }
}

/// A frame in memory of Python, copied once.
pub(crate) fn frame_bytes<'py>(
    py: Python<'py>,
    frame: &Frame<'_>,
) -> PyResult<Bound<'py, PyBytes>> {
    match frame.parts() {
        Some(parts) => native::bytes_of(py, &parts),
        None => PyBytes::new_with(py, frame.len(), |buffer| {
            // The buffer has the length that the frame said.
            let _ = frame.copy_to(buffer);
            Ok(())
        }),
    }
}
