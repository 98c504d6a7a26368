//! The handshake's data and the registry of sessions.

use std::sync::Arc;

use wirespan::connection::{
    HandshakeRequest as CoreRequest, RequestAdditions, ResponseAdditions,
    SessionRegistry as CoreRegistry,
};

use crate::error::{CoreError, guard, signed, unsigned};
use crate::trace::{Header, HeaderBytes, headers, pairs};

/// The part of an opening handshake request that concerns Wirespan, as an accepting side sees it.
#[derive(Debug, uniffi::Object)]
pub struct HandshakeRequest(pub(crate) CoreRequest);

#[uniffi::export]
impl HandshakeRequest {
    /// Reads all headers of the request in order, and the query of its URL without "?".
    #[uniffi::constructor(default(query = ""))]
    pub fn new(headers: Vec<HeaderBytes>, query: String) -> Result<Arc<Self>, CoreError> {
        guard(|| {
            let request = CoreRequest::from_headers(pairs(&headers)).with_query(&query);
            Ok(Arc::new(Self(request)))
        })
    }

    /// The session id that the client proposes, for the decision whether to vouch for it.
    pub fn proposed_session(&self) -> Result<Option<String>, CoreError> {
        guard(|| Ok(self.0.proposed_session()))
    }

    /// The subprotocols that the client offers for the application, without Wirespan's own.
    pub fn application_subprotocols(&self) -> Result<Vec<String>, CoreError> {
        guard(|| {
            let offered = self.0.application_subprotocols();
            Ok(offered.into_iter().map(str::to_owned).collect())
        })
    }
}

/// What a side adds to its request or its response.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct UpgradeAdditions {
    /// Headers to add.
    pub headers: Vec<Header>,
    /// A client offers it behind those of the application; a server selects it where the application selected none.
    pub subprotocol: Option<String>,
    /// Parameter to add to the query of a request's URL.
    pub query: Option<String>,
}

impl From<RequestAdditions> for UpgradeAdditions {
    fn from(additions: RequestAdditions) -> Self {
        Self {
            headers: headers(additions.headers),
            subprotocol: additions.subprotocol,
            query: additions.query,
        }
    }
}

impl From<ResponseAdditions> for UpgradeAdditions {
    fn from(additions: ResponseAdditions) -> Self {
        Self {
            headers: headers(additions.headers),
            subprotocol: additions.subprotocol,
            query: None,
        }
    }
}

/// The sessions of an accepting side, shared by its connections.
#[derive(Debug, uniffi::Object)]
pub struct SessionRegistry(pub(crate) CoreRegistry);

#[uniffi::export]
impl SessionRegistry {
    /// Makes an empty registry; bounds smaller than the specification's can be given.
    #[uniffi::constructor(default(max_sessions = None, max_per_remote = None))]
    pub fn new(
        max_sessions: Option<i64>,
        max_per_remote: Option<i64>,
    ) -> Result<Arc<Self>, CoreError> {
        guard(|| {
            let bound =
                |name, max: Option<i64>| max.map_or(Ok(usize::MAX), |max| unsigned(name, max));
            Ok(Arc::new(Self(CoreRegistry::with_limits(
                bound("max_sessions", max_sessions)?,
                bound("max_per_remote", max_per_remote)?,
            ))))
        })
    }

    /// Number of live sessions.
    pub fn size(&self) -> Result<i64, CoreError> {
        guard(|| Ok(signed(self.0.len() as u64)))
    }
}
