//! The C library: the core behind opaque handles, status codes and caller's buffers.
//!
//! A thin layer: it checks pointers, calls the core and lays the result out for C. `wirespan.h` is generated of this crate.
//!
//! - Every exported function runs inside [`guard::guard`]: no panic crosses the boundary.
//! - Inputs come before outputs; outputs are written only on success (a needed length, also when a buffer is too small).
//! - What owns memory is behind a handle, see [`handle`].
#![allow(
    non_camel_case_types,
    reason = "the names of C, so that the header needs no renaming"
)]
#![allow(
    clippy::too_many_arguments,
    reason = "C has no default arguments and no overloading"
)]
// Without the tracer its type has no values, so that what uses it cannot be reached.
#![cfg_attr(not(feature = "otlp"), allow(unreachable_code, dead_code))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod baggage;
pub mod carry;
pub mod connection;
pub mod envelope;
pub mod guard;
mod handle;
pub mod metrics;
pub mod misc;
pub mod options;
mod pointers;
pub mod propagator;
pub mod session;
mod spans;
pub mod tracer;
pub mod types;
mod views;
