//! The handshake's data and the registry of sessions.

use pyo3::prelude::*;

use crate::trace::value_bytes;

/// The part of an opening handshake request that concerns Wirespan, as an accepting side sees it.
///
/// `headers` are all headers of the request in order, as (name, value); `query` is that of the URL, without "?".
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct HandshakeRequest(wirespan::connection::HandshakeRequest);

impl HandshakeRequest {
    pub(crate) fn inner(&self) -> &wirespan::connection::HandshakeRequest {
        &self.0
    }
}

/// Headers as the core takes them: names that are text, values in bytes.
pub(crate) struct Headers(Vec<(String, Vec<u8>)>);

impl Headers {
    pub(crate) fn read(headers: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut list = Vec::new();
        for pair in headers.try_iter()? {
            let (name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair?.extract()?;
            let name = String::from_utf8_lossy(&value_bytes(&name)?).into_owned();
            list.push((name, value_bytes(&value)?.into_owned()));
        }
        Ok(Self(list))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_slice()))
    }
}

#[pymethods]
impl HandshakeRequest {
    #[new]
    #[pyo3(signature = (headers, query = ""))]
    fn py_new(headers: &Bound<'_, PyAny>, query: &str) -> PyResult<Self> {
        let headers = Headers::read(headers)?;
        Ok(Self(
            wirespan::connection::HandshakeRequest::from_headers(headers.iter()).with_query(query),
        ))
    }

    /// The session id that the client proposes, for the decision whether to vouch for it.
    #[getter]
    fn proposed_session(&self) -> Option<String> {
        self.0.proposed_session()
    }

    /// The subprotocols that the client offers for the application, without Wirespan's own.
    #[getter]
    fn application_subprotocols(&self) -> Vec<String> {
        self.0
            .application_subprotocols()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }
}

/// The sessions of an accepting side, shared by its connections.
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug, Default)]
pub(crate) struct SessionRegistry(wirespan::connection::SessionRegistry);

impl SessionRegistry {
    pub(crate) fn inner(&self) -> &wirespan::connection::SessionRegistry {
        &self.0
    }
}

#[pymethods]
impl SessionRegistry {
    /// Makes an empty registry; smaller bounds can be given.
    #[new]
    #[pyo3(signature = (max_sessions = None, max_per_remote = None))]
    fn py_new(max_sessions: Option<usize>, max_per_remote: Option<usize>) -> Self {
        Self(wirespan::connection::SessionRegistry::with_limits(
            max_sessions.unwrap_or(usize::MAX),
            max_per_remote.unwrap_or(usize::MAX),
        ))
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}
