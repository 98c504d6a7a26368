//! In place of the tracer, where the library is built without the cargo feature `otlp`: it cannot be made.

use wirespan::Error;
use wirespan::connection::{Attribute, Plan, SpanEnd};
use wirespan::trace::{Baggage, SpanContext};

use super::{OwnAttribute, wirespan_span_kind, wirespan_tracer_stats};
use crate::pointers::SpanRef;

/// No value of this type exists.
#[derive(Clone)]
pub(crate) enum Tracer {}
/// No value of this type exists.
pub(crate) enum ConnectionTracer {}
/// No value of this type exists.
pub(crate) enum TracerSpan {}

impl Tracer {
    pub(crate) fn new(_: Option<&str>, _: Option<&str>) -> Result<Self, Error> {
        Err(Error::invalid_state(
            "this library was built without the feature otlp: it has no tracer",
        ))
    }

    pub(crate) fn flush(&self, _: u32) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn shutdown(&self, _: u32) -> Result<(), Error> {
        match *self {}
    }

    pub(crate) fn stats(&self) -> wirespan_tracer_stats {
        match *self {}
    }

    pub(crate) fn start_named(
        &self,
        _: &str,
        _: wirespan_span_kind,
        _: Option<SpanRef<'_>>,
        _: &Baggage,
    ) -> (TracerSpan, Option<SpanContext>) {
        match *self {}
    }
}

impl ConnectionTracer {
    pub(crate) fn new(tracer: &Tracer, _: u64) -> Self {
        match *tracer {}
    }

    pub(crate) fn start(
        &self,
        _: &Plan,
        _: Option<SpanRef<'_>>,
        _: Option<&TracerSpan>,
        _: &Baggage,
    ) -> (TracerSpan, Option<SpanContext>) {
        match *self {}
    }

    pub(crate) fn update(&self, _: &TracerSpan, _: Vec<Attribute>) {
        match *self {}
    }

    pub(crate) fn end(&self, _: &TracerSpan, _: &SpanEnd) {
        match *self {}
    }
}

impl TracerSpan {
    pub(crate) fn set_attributes(&self, _: Vec<OwnAttribute>) {
        match *self {}
    }

    pub(crate) fn end(&self, _: Option<&str>) {
        match *self {}
    }
}
