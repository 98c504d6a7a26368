//! The connecting side.

use std::sync::Arc;

use ::tokio_tungstenite::tungstenite::Error as WsError;
use ::tokio_tungstenite::tungstenite::client::IntoClientRequest;
use ::tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use ::tokio_tungstenite::tungstenite::http::header::{self, HeaderName, HeaderValue};
use ::tokio_tungstenite::tungstenite::http::{Uri, uri::PathAndQuery};
use ::tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use ::tokio_tungstenite::{WebSocketStream, client_async_with_config, connect_async_with_config};
use opentelemetry::Context as OtelContext;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::TracedConnection;
use super::driver::drive;
use super::handlers::{Handlers, Hold, Runner};
use super::shared::{Serving, Shared};
use crate::connection::{
    Connection, Endpoint, HandshakeResponse, Options, RequestAdditions, RequestTarget,
};
use crate::error::{Error, ErrorKind};
use crate::names;
use crate::otel::span_context;

/// Connects to a URL. A request of `tungstenite` works as well, which is how to add headers and subprotocols:
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use tokio_tungstenite::tungstenite::ClientRequestBuilder;
/// use wirespan::connection::Options;
///
/// let request = ClientRequestBuilder::new("ws://localhost:8765".parse()?)
///     .with_header("authorization", "Bearer t0k3n")
///     .with_sub_protocol("chat");
/// let connection = wirespan::tokio_tungstenite::connect(request, Options::default()).await?;
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// `invalid_argument` for options or a URL that cannot be used, `io` if the connection or its handshake fails.
pub async fn connect(
    request: impl IntoClientRequest,
    options: impl Into<Arc<Options>>,
) -> Result<TracedConnection, Error> {
    Connector::new(options).connect(request).await
}

/// Connects with more than options: handlers for the calls of the server, and limits of the transport.
#[derive(Clone, Debug, Default)]
pub struct Connector {
    options: Arc<Options>,
    config: Option<WebSocketConfig>,
    serving: Serving,
}

impl Connector {
    /// Makes a connector with options.
    #[must_use]
    pub fn new(options: impl Into<Arc<Options>>) -> Self {
        Self {
            options: options.into(),
            ..Self::default()
        }
    }

    /// Sets the limits and buffers of the transport, such as the largest message.
    #[must_use]
    pub fn config(mut self, config: WebSocketConfig) -> Self {
        self.config = Some(config);
        self
    }

    /// Serves the calls of the peer with handlers.
    #[must_use]
    pub fn handlers(mut self, handlers: impl Into<Arc<Handlers>>) -> Self {
        self.serving = Serving::Handlers(handlers.into());
        self
    }

    /// Keeps the calls of the peer for [`TracedConnection::next_call`]; these methods may name a span.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.serving = Serving::Application(methods.into_iter().map(Into::into).collect());
        self
    }

    /// Connects. The future can be dropped at any time; `tokio::time::timeout` bounds it.
    ///
    /// # Errors
    ///
    /// As [`connect`].
    pub async fn connect(
        &self,
        request: impl IntoClientRequest,
    ) -> Result<TracedConnection, Error> {
        let (handshake, request) = self.begin(request)?;
        // Small messages are what streams are made of, so none waits for the next one.
        let upgraded = connect_async_with_config(request, self.config, true).await;
        self.open(handshake, upgraded).await
    }

    /// Connects over a transport that is there already: a Unix socket, a tunnel, TLS of the application's own.
    ///
    /// # Errors
    ///
    /// As [`connect`].
    pub async fn connect_over<S>(
        &self,
        stream: S,
        request: impl IntoClientRequest,
    ) -> Result<TracedConnection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (handshake, request) = self.begin(request)?;
        let upgraded = client_async_with_config(request, stream, self.config).await;
        self.open(handshake, upgraded).await
    }

    fn begin(&self, request: impl IntoClientRequest) -> Result<(Handshake, Request), Error> {
        if let Serving::Handlers(handlers) = &self.serving {
            handlers.check()?;
        }
        let mut request = request
            .into_client_request()
            .map_err(|error| Error::invalid_argument("url", error.to_string()))?;
        // The brackets of an IPv6 address belong to the URL, not to the address.
        let host = request.uri().host().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).to_owned();
        let default_port = if request.uri().scheme_str() == Some("wss") {
            443
        } else {
            80
        };
        let endpoint = Endpoint {
            address: Some(host.as_str().into()),
            port: Some(request.uri().port_u16().unwrap_or(default_port)),
        };
        let core = Connection::client(Arc::clone(&self.options), endpoint, super::entropy()?)?;
        let handshake = Handshake(Shared::new(core, self.serving.clone()));
        let shared = &handshake.0;

        let current = OtelContext::current();
        let has_parent = span_context(&current).is_some();
        let plans = shared.finish(|core, _| core.plan_handshake(None, has_parent));
        shared.start_handshake(plans, &current);
        let target = {
            let mut target = RequestTarget::new(&host);
            target.has_subprotocol = request
                .headers()
                .contains_key(header::SEC_WEBSOCKET_PROTOCOL);
            target.has_trace_context = request.headers().contains_key(names::header::TRACEPARENT);
            target
        };
        let around = span_context(&current);
        let additions = shared.finish(|core, _| core.request(target, around.as_ref()));
        add_to_request(&mut request, additions)?;
        Ok((handshake, request))
    }

    async fn open<S>(
        &self,
        handshake: Handshake,
        upgraded: Result<(WebSocketStream<S>, Response), WsError>,
    ) -> Result<TracedConnection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let shared = Arc::clone(&handshake.0);
        let (stream, response) = match upgraded {
            Ok(upgraded) => upgraded,
            Err(error) => {
                shared.fail_handshake(&error_type(&error));
                return Err(io_error("the handshake failed", &error));
            }
        };
        let headers = response.headers().iter();
        let response = HandshakeResponse::from_headers(
            headers.map(|(name, value)| (name.as_str(), value.as_bytes())),
        );
        shared.finish(|core, now_ns| core.open_client(&response, now_ns))?;
        let connection = TracedConnection::new(Arc::clone(&shared));
        let handlers = self.serving.handlers().map(|handlers| {
            let hold = Hold::Weak(Arc::downgrade(connection.handle()));
            Runner::start(Arc::clone(&shared), Arc::clone(handlers), hold)
        });
        tokio::spawn(drive(shared, stream, handlers));
        connection.ready().await;
        Ok(connection)
    }
}

/// A handshake that runs. If it is given up, its spans end.
struct Handshake(Arc<Shared>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.fail_handshake(ErrorKind::Cancelled.name());
    }
}

fn add_to_request(request: &mut Request, additions: RequestAdditions) -> Result<(), Error> {
    for (name, value) in additions.headers {
        // What the application has set itself stays.
        if !request.headers().contains_key(name) {
            request
                .headers_mut()
                .insert(HeaderName::from_static(name), header_value(&value)?);
        }
    }
    if let Some(ours) = additions.subprotocol {
        let offered = match request.headers().get(header::SEC_WEBSOCKET_PROTOCOL) {
            Some(theirs) => format!("{}, {ours}", theirs.to_str().unwrap_or_default()),
            None => ours,
        };
        request
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, header_value(&offered)?);
    }
    if let Some(parameter) = additions.query {
        let uri = request.uri();
        let path = uri.path();
        let path_and_query = match uri.query() {
            Some(query) => format!("{path}?{query}&{parameter}"),
            None => format!("{path}?{parameter}"),
        };
        let mut parts = uri.clone().into_parts();
        let invalid =
            |error: &dyn std::fmt::Display| Error::invalid_argument("url", error.to_string());
        parts.path_and_query =
            Some(PathAndQuery::try_from(path_and_query).map_err(|error| invalid(&error))?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|error| invalid(&error))?;
    }
    Ok(())
}

pub(super) fn header_value(value: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(value)
        .map_err(|error| Error::invalid_argument("headers", error.to_string()))
}

/// The type of an error of the transport, from a bounded set.
pub(super) fn error_type(error: &WsError) -> String {
    match error {
        WsError::Http(response) => response.status().as_u16().to_string(),
        WsError::Io(error) => error.kind().to_string(),
        WsError::Tls(_) => "tls".into(),
        WsError::Url(_) => "url".into(),
        WsError::Capacity(_) => ErrorKind::Limit.name().into(),
        WsError::ConnectionClosed | WsError::AlreadyClosed => ErrorKind::Closed.name().into(),
        _ => "protocol".into(),
    }
}

pub(super) fn io_error(what: &str, error: &WsError) -> Error {
    let kind = match error {
        WsError::Url(_) => ErrorKind::InvalidArgument,
        _ => ErrorKind::Io,
    };
    Error::new(kind, format!("{what}: {error}"))
}
