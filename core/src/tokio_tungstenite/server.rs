//! A server: a listener, and the connections that came through it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, ToSocketAddrs};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::accept::Acceptor;
use super::handlers::Handlers;
use crate::connection::Options;
use crate::error::{Error, ErrorKind};

/// How long a client may take for its handshake.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(10);
/// How long to wait after an error of the listener, such as too many open files.
const LISTENER_PAUSE: Duration = Duration::from_millis(50);

/// Serves handlers at an address. For more than options, see [`Acceptor`].
///
/// # Errors
///
/// `io` if the address cannot be bound, `invalid_argument` for options or handlers that cannot be used.
pub async fn serve(
    address: impl ToSocketAddrs,
    handlers: impl Into<Arc<Handlers>>,
    options: impl Into<Arc<Options>>,
) -> Result<Server, Error> {
    Acceptor::new(options)
        .handlers(handlers)
        .serve(address)
        .await
}

/// A server that runs. Dropping it stops it, without waiting for what it does.
#[derive(Debug)]
pub struct Server {
    local_addr: SocketAddr,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    /// Stopping; handlers get this long to return.
    Stopping(Duration),
    Stopped,
}

impl Acceptor {
    /// Binds an address and serves it.
    ///
    /// # Errors
    ///
    /// As [`serve`].
    pub async fn serve(self, address: impl ToSocketAddrs) -> Result<Server, Error> {
        self.check()?;
        match TcpListener::bind(address).await {
            Ok(listener) => self.serve_on(listener),
            Err(error) => Err(Error::new(
                ErrorKind::Io,
                format!("the address cannot be bound: {error}"),
            )),
        }
    }

    /// Serves a listener that is bound already.
    ///
    /// # Errors
    ///
    /// As [`serve`].
    pub fn serve_on(self, listener: TcpListener) -> Result<Server, Error> {
        self.check()?;
        let local_addr = listener.local_addr().map_err(|error| {
            Error::new(ErrorKind::Io, format!("the listener is unusable: {error}"))
        })?;
        let (state, _) = watch::channel(State::Running);
        tokio::spawn(run(self, listener, state.clone()));
        Ok(Server { local_addr, state })
    }
}

impl Server {
    /// The address that is served; tells the port where port 0 was asked for.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Stops: accepts no further connection and no further call, gives the running handlers `grace` to return, closes the
    /// connections with code 1001, and waits until all that is done.
    pub async fn shutdown(&self, grace: Duration) {
        self.stop(grace);
        self.stopped().await;
    }

    /// Waits until the server has stopped.
    pub async fn stopped(&self) {
        // The sender is part of self, so the channel is open.
        let _ = self
            .state
            .subscribe()
            .wait_for(|state| *state == State::Stopped)
            .await;
    }

    fn stop(&self, grace: Duration) {
        self.state.send_if_modified(|state| {
            let running = *state == State::Running;
            if running {
                *state = State::Stopping(grace);
            }
            running
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Duration::ZERO);
    }
}

async fn run(acceptor: Acceptor, listener: TcpListener, state: watch::Sender<State>) {
    let mut connections = JoinSet::new();
    let mut watched = state.subscribe();
    loop {
        tokio::select! {
            _ = stopping(&mut watched) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve_connection(acceptor.clone(), stream, state.subscribe()));
                }
                Err(error) => {
                    log::warn!("wirespan: the listener failed: {error}");
                    tokio::time::sleep(LISTENER_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    state.send_replace(State::Stopped);
}

async fn serve_connection(
    acceptor: Acceptor,
    stream: TcpStream,
    mut state: watch::Receiver<State>,
) {
    let accepted = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_WAIT, acceptor.accept(stream)) => accepted,
        _ = stopping(&mut state) => return,
    };
    let connection = match accepted {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return log::debug!("wirespan: a connection was not accepted: {error}"),
        Err(_) => return log::debug!("wirespan: a handshake took too long"),
    };
    let grace = tokio::select! {
        () = connection.closed() => return,
        grace = stopping(&mut state) => grace,
    };
    let _ = tokio::time::timeout(grace, connection.drained()).await;
    // 1001 is a code that may be sent, and the reason is short.
    let _ = connection.close_with(1001, "the server stops").await;
}

/// Waits until the server stops, and says how long handlers get.
async fn stopping(state: &mut watch::Receiver<State>) -> Duration {
    match state
        .wait_for(|state| *state != State::Running)
        .await
        .as_deref()
    {
        Ok(State::Stopping(grace)) => *grace,
        _ => Duration::ZERO,
    }
}
