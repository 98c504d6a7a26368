//! Trace context for WebSocket and other message streams.
//!
//! A WebSocket message has no headers, so a trace breaks at the first message, and again at the first queue behind it. This
//! crate carries OpenTelemetry context inside the messages, gives a call one span however many messages it has, and
//! measures where its stream stalled.
//!
//! - To trace connections of `tokio-tungstenite`, see the module `tokio_tungstenite` (feature
//!   `tokio-tungstenite`).
//! - For any other transport, [`connection`] is the same as a state machine without I/O: bytes and times go in, bytes,
//!   events and span plans come out. Feature `opentelemetry` (on by default) turns plans into spans (module `otel`).
//! - Each part stands alone: [`trace`] (W3C Trace Context level 2 and Baggage), [`envelope`], [`carry`] (context through
//!   queues), [`metrics`] (stream metrics).
//!
//! The rules of the wire format are numbered in `conformance/SPEC.md`.
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
