//! What Wirespan's own tests and its demo share.
//!
//! [`receiver`] takes what services export over OTLP/HTTP and keeps it, [`trace`] makes a forest of it, compares it with
//! what was expected, and draws it. Neither uses the product: a check must not lean on what it checks.

#![forbid(unsafe_code)]

pub mod receiver;
pub mod trace;
