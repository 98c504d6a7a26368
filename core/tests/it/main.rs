//! The state machine as its hosts drive it: through the public API only, with times and entropy given.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod calls;
mod copies;
mod dependencies;
mod envelope;
mod envelope_binary;
mod envelope_edges;
mod envelope_props;
mod flow;
mod harness;
mod negotiation;
mod profile;
mod schema;
mod sessions;
mod spans;
mod trace;
mod unknown_peer;
