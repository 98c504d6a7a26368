//! The conformance suite of Wirespan, and what the tests of this repository share.
//!
//! Feature `runner` (default): `suite` is the cases, `run` asks drivers, `report` says what came out, `check` mistrusts the
//! suite, `mutants` mistrusts what it can catch. Feature `receiver`: `receiver` takes what services export over OTLP/HTTP and
//! keeps it, `trace` makes a forest of it, compares it with what was expected, and draws it. Nothing here uses the product: a
//! check must not lean on what it checks.

#![forbid(unsafe_code)]

#[cfg(feature = "runner")]
pub mod check;
#[cfg(feature = "runner")]
pub mod known;
#[cfg(feature = "runner")]
pub mod mutants;
#[cfg(feature = "receiver")]
pub mod receiver;
#[cfg(feature = "runner")]
pub mod report;
#[cfg(feature = "runner")]
pub mod run;
#[cfg(feature = "runner")]
pub mod suite;
#[cfg(feature = "receiver")]
pub mod trace;
