//! The native module of the Python package `wirespan`: the core's types as Python classes, and nothing that decides.
#![deny(unsafe_code)]

mod body;
mod carried;
mod carry;
mod connection;
mod envelope;
mod error;
mod event;
mod handshake;
mod metrics;
mod native;
mod options;
mod otel;
mod plan;
mod received;
mod trace;

use pyo3::prelude::*;

/// The core of Wirespan. What this module holds is public through the package `wirespan`.
#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::carried::{Carried, carried};
    #[pymodule_export]
    use super::carry::{
        CarryHeaders, carry_from_headers, carry_to_headers, plan_process, plan_send,
    };
    #[pymodule_export]
    use super::connection::Connection;
    #[pymodule_export]
    use super::envelope::{
        Drops, Envelope, Wrapped, convert_head, is_error_type, is_json, is_look_alike, is_method,
        is_session_id, unwrap, wrap,
    };
    #[pymodule_export]
    use super::event::Event;
    #[pymodule_export]
    use super::handshake::HandshakeRequest;
    #[pymodule_export]
    use super::handshake::SessionRegistry;
    #[pymodule_export]
    use super::metrics::{StreamMetrics, Summary};
    #[pymodule_export]
    use super::otel::{from_otel, remote_span_context, to_otel};
    #[pymodule_export]
    use super::plan::Plan;
    #[pymodule_export]
    use super::received::{IncomingStream, Received};
    #[pymodule_export]
    use super::trace::{
        SpanContext, extract, format_baggage, parse_baggage, parse_traceparent, parse_tracestate,
    };

    #[pymodule_init]
    fn init(module: &super::Bound<'_, super::PyModule>) -> super::PyResult<()> {
        use super::PyModuleMethods;
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("TIME_SPANS", wirespan::connection::TIME_SPANS)?;
        module.add(
            "ERROR_KINDS",
            wirespan::ErrorKind::ALL.map(wirespan::ErrorKind::name),
        )?;
        module.add(
            "REFUSALS",
            wirespan::Refusal::ALL.map(wirespan::Refusal::name),
        )?;
        module.add(
            "COUNTERS",
            wirespan::counters::Counter::ALL.map(wirespan::counters::Counter::name),
        )?;
        module.add(
            "OUTCOMES",
            super::metrics::OUTCOMES.map(wirespan::metrics::Outcome::name),
        )?;
        module.add("RESERVED_HEADERS", wirespan::names::header::RESERVED)?;
        module.add(
            "CONNECTION_SPAN",
            wirespan::connection::SpanKey::CONNECTION.number(),
        )?;
        module.add(
            "HANDSHAKE_SPAN",
            wirespan::connection::SpanKey::HANDSHAKE.number(),
        )?;
        module.add("PLAIN", wirespan::connection::StreamKey::PLAIN.number())
    }
}
