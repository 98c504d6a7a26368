//! A model of received traces, and what is done with it.
//!
//! [`Span`] is what OTLP carries, [`Forest`] joins spans by their parents, [`expect`] compares a forest with the one that a test
//! expects, [`streams`] reads the stream metrics, [`tree`] draws for the terminal and [`page`] for the browser.

mod attribute;
pub mod expect;
mod forest;
mod ids;
pub mod page;
mod span;
pub mod streams;
pub mod text;
pub mod tree;

pub use self::attribute::{Attributes, Value};
pub use self::forest::Forest;
pub use self::ids::{SpanId, SpanRef, TraceId, TraceParent};
pub use self::span::{Event, Kind, Link, Span, Status};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
