//! Traced WebSocket connections over `tokio-tungstenite`, client and server (feature `tokio-tungstenite`).
//!
//! A client connects, calls and reads the reply as it streams in:
//!
//! ```no_run
//! # async fn example() -> Result<(), wirespan::Error> {
//! use wirespan::connection::Options;
//! use wirespan::tokio_tungstenite::connect;
//!
//! let connection = connect("ws://localhost:8765", Options::default()).await?;
//! let mut call = connection.call("transcribe")?; // a CLIENT span, child of the current one
//! call.send("hello").await?; // the context travels with the first message only
//! call.end().await?; // my direction is done
//! while let Some(message) = call.next().await {
//!     println!("{}", message?);
//! }
//! # Ok(()) }
//! ```
//!
//! A server gives each method a handler, which runs inside the SERVER span of its call:
//!
//! ```no_run
//! # async fn example() -> Result<(), wirespan::Error> {
//! use wirespan::connection::Options;
//! use wirespan::tokio_tungstenite::{Handlers, serve};
//!
//! let handlers = Handlers::new().on("transcribe", |mut call| async move {
//!     while let Some(message) = call.next().await {
//!         call.send(format!("you said {}", message?)).await?;
//!     }
//!     Ok(()) // returning ends my direction and the span; an error fails the call
//! });
//! let server = serve("127.0.0.1:8765", handlers, Options::default()).await?;
//! server.stopped().await;
//! # Ok(()) }
//! ```
//!
//! TLS comes from the features of the crate `tokio-tungstenite`, such as `rustls-tls-native-roots`: enable one of them in
//! the application's own manifest. Limits on the size of messages are those of that crate; see [`Connector::config`].

mod accept;
mod call;
mod connect;
mod connection;
mod driver;
mod handlers;
mod message;
mod outbox;
mod server;
mod shared;
mod signal;

pub use accept::{Acceptor, Upgrade};
pub use call::{Call, CallMetrics, Transfer};
pub use connect::{Connector, connect};
pub use connection::TracedConnection;
pub use handlers::{Failure, Handlers};
pub use message::{Message, Outgoing};
pub use server::{Server, serve};

use crate::error::{Error, ErrorKind};

/// 128 random bits for a session id.
fn entropy() -> Result<[u8; 16], Error> {
    let mut bits = [0; 16];
    match getrandom::fill(&mut bits) {
        Ok(()) => Ok(bits),
        Err(error) => Err(Error::new(
            ErrorKind::Io,
            format!("the system has no random bits: {error}"),
        )),
    }
}
