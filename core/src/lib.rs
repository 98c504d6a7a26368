#![doc = "Trace context for WebSocket and other message streams."]
#![forbid(unsafe_code)]

pub mod counters;
pub mod envelope;
pub mod error;
pub mod limits;
pub mod metrics;
pub mod names;
pub mod trace;

pub use error::{Error, ErrorKind, Refusal};
