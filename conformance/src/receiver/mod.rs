//! An OTLP/HTTP receiver that keeps what it receives, for tests and demos.
//!
//! It follows the OTLP specification, section "OTLP/HTTP": `POST /v1/traces`, `/v1/metrics` and `/v1/logs`, bodies in binary
//! protobuf or JSON, plain or gzip, answers in the encoding of the request. Spans are kept in order of arrival; metrics and logs
//! are counted.

mod body;
mod http;
mod store;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::oneshot;

pub use self::store::{Received, Store};

/// Bounds of a receiver.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest body, before and after inflation.
    pub max_body_bytes: usize,
    /// Most spans that are kept; later ones are rejected, and the answer says so.
    pub max_spans: usize,
    /// Most bytes of spans that are kept, counted as protobuf; later spans are rejected likewise.
    pub max_span_bytes: usize,
    /// Most connections that are served at once; others wait.
    pub max_connections: usize,
    /// Longest time for a request to arrive, and for an idle connection to stay open.
    pub request_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: 8 << 20,
            max_spans: 1 << 18,
            max_span_bytes: 256 << 20,
            max_connections: 256,
            request_timeout: Duration::from_secs(30),
        }
    }
}

/// A running receiver; it stops when dropped.
#[derive(Debug)]
pub struct Receiver {
    address: SocketAddr,
    store: Arc<Store>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on a free port of the loopback address.
    ///
    /// # Errors
    /// When no port can be bound or no thread be started.
    pub fn start() -> io::Result<Self> {
        Self::bind((Ipv4Addr::LOCALHOST, 0).into(), Limits::default())
    }

    /// Listens on an address.
    ///
    /// # Errors
    /// When the address cannot be bound or no thread be started.
    pub fn bind(address: SocketAddr, limits: Limits) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let store = Arc::new(Store::new(limits.max_spans, limits.max_span_bytes));
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let served = Arc::clone(&store);
        let thread = std::thread::Builder::new()
            .name("otlp-receiver".into())
            .spawn(move || {
                runtime.block_on(http::serve(listener, served, limits, stopped));
            })?;
        Ok(Self {
            address,
            store,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// The address it listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What has been received.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
