//! The integration over real connections and with a real SDK: what is exported, and what arrives.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod calls;
mod carry;
mod endings;
mod flow;
mod harness;
mod peers;
mod sessions;
