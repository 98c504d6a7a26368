//! Trace context for WebSocket and other message streams.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod carry;
pub mod connection;
pub mod counters;
pub mod envelope;
pub mod error;
pub mod limits;
pub mod metrics;
pub mod names;
#[cfg(feature = "opentelemetry")]
pub mod otel;
#[cfg(feature = "tokio-tungstenite")]
pub mod tokio_tungstenite;
pub mod trace;

pub use error::{Error, ErrorKind, Refusal};
