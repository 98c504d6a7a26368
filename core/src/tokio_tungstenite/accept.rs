//! The accepting side.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ::tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use ::tokio_tungstenite::tungstenite::http::StatusCode;
use ::tokio_tungstenite::tungstenite::http::header::{HeaderName, SEC_WEBSOCKET_PROTOCOL};
use ::tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use ::tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};
use opentelemetry::Context as OtelContext;
use rustc_hash::FxHashMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::connect::{error_type, header_value, io_error};
use super::connection::TracedConnection;
use super::driver::drive;
use super::handlers::{Handlers, Hold, Runner};
use super::shared::{Serving, Shared};
use crate::connection::{
    Accept, Connection, ConnectionId, Endpoint, HandshakeRequest, Options, SessionRegistry, Vouch,
};
use crate::error::{Error, ErrorKind};
use crate::names::wire_error;
use crate::otel::span_context;

type VouchFn = dyn Fn(&Request, &str) -> bool + Send + Sync;
type AuthorizeFn = dyn Fn(&Request) -> Result<(), StatusCode> + Send + Sync;

/// Close code for a connection whose session moved to another one (RFC 6455, section 7.4.1: policy).
const SUPERSEDED_CODE: u16 = 1008;

/// Accepts connections. Clones share their sessions, so use clones of one acceptor for all listeners of a service.
#[derive(Clone)]
pub struct Acceptor {
    pub(super) options: Arc<Options>,
    config: Option<WebSocketConfig>,
    serving: Serving,
    subprotocols: Arc<[String]>,
    vouch: Option<Arc<VouchFn>>,
    authorize: Option<Arc<AuthorizeFn>>,
    sessions: Arc<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    registry: SessionRegistry,
    /// The connections that are there, so that one that loses its session can be told.
    live: Mutex<FxHashMap<ConnectionId, Weak<Shared>>>,
}

impl Acceptor {
    /// Makes an acceptor with options.
    #[must_use]
    pub fn new(options: impl Into<Arc<Options>>) -> Self {
        Self {
            options: options.into(),
            config: None,
            serving: Serving::Nobody,
            subprotocols: Arc::default(),
            vouch: None,
            authorize: None,
            sessions: Arc::default(),
        }
    }

    /// Sets the limits and buffers of the transport, such as the largest message.
    #[must_use]
    pub fn config(mut self, config: WebSocketConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// Serves the calls of the peers with handlers.
    #[must_use]
    pub fn handlers(mut self, handlers: impl Into<Arc<Handlers>>) -> Self {
        self.serving = Serving::Handlers(handlers.into());
        self
    }

    /// Keeps the calls of the peers for [`TracedConnection::next_call`]; these methods may name a span.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.serving = Serving::Application(methods.into_iter().map(Into::into).collect());
        self
    }

    /// Names the subprotocols of the application; the first that a client offers is selected.
    #[must_use]
    pub fn subprotocols(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.subprotocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Decides whether a client may use the session id that it proposes. One that is vouched for takes the id over even
    /// from a live connection, whose calls then end with the error `superseded` and which is closed. Without this
    /// callback an id is honoured if it is not live and trust is `continue`. It is asked over the request; an id that a
    /// client without headers names later is not honoured where there is a callback.
    #[must_use]
    pub fn vouch(mut self, vouch: impl Fn(&Request, &str) -> bool + Send + Sync + 'static) -> Self {
        self.vouch = Some(Arc::new(vouch));
        self
    }

    /// Decides whether a request is accepted; one that is refused with a status makes no span.
    #[must_use]
    pub fn authorize(
        mut self,
        authorize: impl Fn(&Request) -> Result<(), StatusCode> + Send + Sync + 'static,
    ) -> Self {
        self.authorize = Some(Arc::new(authorize));
        self
    }

    /// Checks options and handlers, which otherwise the first connection does.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.options.check()?;
        match &self.serving {
            Serving::Handlers(handlers) => handlers.check(),
            _ => Ok(()),
        }
    }

    /// Accepts a connection. The future can be dropped at any time; `tokio::time::timeout` bounds it.
    ///
    /// # Errors
    ///
    /// `io` if the handshake fails or the request is refused, `invalid_argument` for options or handlers that cannot be
    /// used.
    pub async fn accept(&self, stream: TcpStream) -> Result<TracedConnection, Error> {
        let remote = stream.peer_addr().ok().map(|address| address.ip());
        let local = stream.local_addr().ok();
        let endpoint = Endpoint {
            address: local.map(|address| address.ip().to_string().into()),
            port: local.map(|address| address.port()),
        };
        // Small messages are what streams are made of, so none waits for the next one. A transport that cannot do this
        // works all the same.
        let _ = stream.set_nodelay(true);
        self.accept_over(stream, endpoint, remote).await
    }

    /// Accepts a connection over any transport: TLS of the application's own, a Unix socket. `endpoint` is where this
    /// server is, `remote` the address of the client, which bounds how many sessions it can hold.
    ///
    /// # Errors
    ///
    /// As [`Acceptor::accept`].
    pub async fn accept_over<S>(
        &self,
        stream: S,
        endpoint: Endpoint,
        remote: Option<IpAddr>,
    ) -> Result<TracedConnection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.check()?;
        let mut begun = None;
        #[expect(
            clippy::result_large_err,
            reason = "the signature is that of the library's callback"
        )]
        let answer =
            |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
                let upgrade = self.begin(request, endpoint, remote);
                let answered = match &upgrade {
                    Ok(upgrade) => {
                        for (name, value) in &upgrade.headers {
                            if let Ok(value) = header_value(value) {
                                response
                                    .headers_mut()
                                    .append(HeaderName::from_static(name), value);
                            }
                        }
                        if let Some(Ok(name)) = upgrade.subprotocol().map(header_value) {
                            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, name);
                        }
                        Ok(response)
                    }
                    Err(Refused { status, .. }) => {
                        let mut refusal = ErrorResponse::new(None);
                        *refusal.status_mut() = *status;
                        Err(refusal)
                    }
                };
                begun = Some(upgrade);
                answered
            };
        let stream = accept_hdr_async_with_config(stream, answer, self.config).await;
        match (begun, stream) {
            (Some(Ok(upgrade)), Ok(stream)) => upgrade.open(stream),
            (Some(Err(refused)), _) => Err(refused.error),
            (begun, Err(error)) => {
                if let Some(Ok(upgrade)) = begun {
                    upgrade.opening.0.fail_handshake(&error_type(&error));
                }
                Err(io_error("the handshake failed", &error))
            }
            // The library never upgrades without having asked.
            (None, Ok(_)) => Err(Error::invalid_state("the request was not seen")),
        }
    }

    /// Begins to accept a request that an HTTP server has parsed: add [`Upgrade::headers`] and [`Upgrade::subprotocol`] to
    /// its response, then give the upgraded transport to [`Upgrade::open`].
    ///
    /// # Errors
    ///
    /// As [`Acceptor::accept`]. A request that [`Acceptor::authorize`] refuses is to be answered with the status of its
    /// own choice.
    pub fn upgrade(
        &self,
        request: &Request,
        endpoint: Endpoint,
        remote: Option<IpAddr>,
    ) -> Result<Upgrade, Error> {
        self.check()?;
        self.begin(request, endpoint, remote)
            .map_err(|refused| refused.error)
    }

    fn begin(
        &self,
        request: &Request,
        endpoint: Endpoint,
        remote: Option<IpAddr>,
    ) -> Result<Upgrade, Refused> {
        if let Some(authorize) = &self.authorize
            && let Err(status) = authorize(request)
        {
            let error = Error::new(
                ErrorKind::Io,
                format!("the request was refused with {status}"),
            );
            return Err(Refused { status, error });
        }
        let headers = request.headers().iter();
        let handshake = HandshakeRequest::from_headers(
            headers.map(|(name, value)| (name.as_str(), value.as_bytes())),
        )
        .with_query(request.uri().query().unwrap_or_default());

        let remote = remote.map(|address| address.to_string());
        let vouch = match (&self.vouch, handshake.proposed_session()) {
            (Some(vouch), Some(session)) if vouch(request, &session) => Vouch::Yes,
            (Some(_), _) => Vouch::No,
            (None, _) => Vouch::NoCallback,
        };
        let registry = Some(&self.sessions.registry);
        let accept = Accept {
            registry,
            remote: remote.as_deref(),
            vouch,
        };
        let core = super::entropy().and_then(|entropy| {
            Connection::server(
                Arc::clone(&self.options),
                &handshake,
                accept,
                endpoint,
                entropy,
            )
        });
        let core = core.map_err(|error| Refused {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            error,
        })?;
        let superseded = core.superseded();
        let id = core.connection_id();

        let shared = Shared::new(core, self.serving.clone());
        let registered = self.sessions.register(id, &shared);
        if let Some(old) = superseded {
            self.sessions.supersede(old);
        }
        let opening = Opening(shared);
        let shared = &opening.0;
        // What is current while a request is accepted is the span of an HTTP instrumentation.
        let current = OtelContext::current();
        let http = span_context(&current);
        let plans = shared.finish(|core, _| core.plan_handshake(http.as_ref(), false));
        shared.start_handshake(plans, &current);

        let offered = handshake.application_subprotocols();
        let selected = self
            .subprotocols
            .iter()
            .find(|name| offered.contains(&name.as_str()));
        let selected = selected.map(String::as_str);
        let additions = shared.finish(|core, _| core.response(&handshake, selected));
        Ok(Upgrade {
            subprotocol: selected.map(str::to_owned).or(additions.subprotocol),
            headers: additions.headers,
            serving: self.serving.clone(),
            opening,
            registered,
        })
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor")
            .field("options", &self.options)
            .field("serving", &self.serving)
            .field("subprotocols", &self.subprotocols)
            .field("sessions", &self.sessions.registry.len())
            .finish_non_exhaustive()
    }
}

/// Why a request is not accepted.
struct Refused {
    status: StatusCode,
    error: Error,
}

/// A connection that is about to be accepted. Dropped before it is opened, its spans end as cancelled.
#[derive(Debug)]
pub struct Upgrade {
    headers: Vec<(&'static str, String)>,
    subprotocol: Option<String>,
    serving: Serving,
    opening: Opening,
    registered: Registered,
}

impl Upgrade {
    /// The headers to add to the response.
    #[must_use]
    pub fn headers(&self) -> &[(&'static str, String)] {
        &self.headers
    }

    /// The subprotocol to select.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Opens the connection, once the response has been sent.
    ///
    /// # Errors
    ///
    /// `closed` if another connection took its session over in the meantime and it was closed.
    pub fn open<S>(self, stream: WebSocketStream<S>) -> Result<TracedConnection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::clone(&self.opening.0);
        shared.finish(|core, now_ns| core.open_server(now_ns))?;
        let connection = TracedConnection::new(Arc::clone(&shared));
        let handlers = self.serving.handlers().map(|handlers| {
            let hold = Hold::Strong(connection.clone());
            Runner::start(Arc::clone(&shared), Arc::clone(handlers), hold)
        });
        let registered = self.registered;
        tokio::spawn(async move {
            drive(shared, stream, handlers).await;
            drop(registered);
        });
        Ok(connection)
    }
}

/// A handshake that runs. If it is given up, its spans end.
#[derive(Debug)]
struct Opening(Arc<Shared>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.fail_handshake(ErrorKind::Cancelled.name());
    }
}

/// A connection's entry among those that are there.
#[derive(Debug)]
struct Registered {
    sessions: Arc<Sessions>,
    id: Option<ConnectionId>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.sessions.live().remove(&id);
        }
    }
}

impl Sessions {
    fn live(&self) -> MutexGuard<'_, FxHashMap<ConnectionId, Weak<Shared>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn register(self: &Arc<Self>, id: Option<ConnectionId>, shared: &Arc<Shared>) -> Registered {
        if let Some(id) = id {
            self.live().insert(id, Arc::downgrade(shared));
        }
        Registered {
            sessions: Arc::clone(self),
            id,
        }
    }

    /// Tells a connection that it has lost its session.
    fn supersede(&self, old: ConnectionId) {
        let old = self.live().get(&old).and_then(Weak::upgrade);
        if let Some(old) = old {
            old.finish(|core, now_ns| core.on_superseded(now_ns));
            old.ask_close(SUPERSEDED_CODE, wire_error::SUPERSEDED);
        }
    }
}
