//! Plans become spans of whatever SDK is in the process, through the `opentelemetry` API alone.

use std::time::{Duration, SystemTime};

use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::trace::{
    Link, SpanBuilder, SpanContext as OtelSpanContext, SpanKind as OtelSpanKind,
    Status as OtelStatus, TraceContextExt, Tracer, TracerProvider,
};
use opentelemetry::{Context as OtelContext, InstrumentationScope, KeyValue};

use crate::connection::{Attribute, Parent, Plan, SpanEnd, SpanKind, Status, Value};
use crate::trace::Baggage;

/// Name of the instrumentation scope of every span that Wirespan starts.
pub const SCOPE: &str = "wirespan";

/// Ties the host's monotonic clock, in which the core measures, to the wall clock, in which spans are recorded.
#[derive(Clone, Copy, Debug)]
pub struct ClockTie {
    monotonic_ns: u64,
    wall: SystemTime,
}

impl ClockTie {
    /// Ties the two clocks by readings taken together.
    #[must_use]
    pub fn new(monotonic_ns: u64, wall: SystemTime) -> Self {
        Self { monotonic_ns, wall }
    }

    /// The wall-clock time of a monotonic reading.
    #[must_use]
    pub fn wall_time(&self, monotonic_ns: u64) -> SystemTime {
        let apart = Duration::from_nanos(monotonic_ns.abs_diff(self.monotonic_ns));
        let time = if monotonic_ns >= self.monotonic_ns {
            self.wall.checked_add(apart)
        } else {
            self.wall.checked_sub(apart)
        };
        // A time that the system cannot represent is no reason to fail.
        time.unwrap_or(self.wall)
    }
}

/// Starts and ends the spans that plans ask for.
pub struct SpanMaker {
    tracer: BoxedTracer,
}

impl std::fmt::Debug for SpanMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SpanMaker").finish_non_exhaustive()
    }
}

impl Default for SpanMaker {
    fn default() -> Self {
        Self::new()
    }
}

impl SpanMaker {
    /// Makes spans with the tracer provider that is set globally at this moment. Without an SDK they record nothing, and
    /// contexts still flow.
    #[must_use]
    pub fn new() -> Self {
        let scope = InstrumentationScope::builder(SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self {
            tracer: global::tracer_provider().tracer_with_scope(scope),
        }
    }

    /// Starts the span of a plan and gives the context that holds it. `current` is the host's current context,
    /// `connection` that of the connection span where there is one, `baggage` what came with the message.
    #[must_use]
    pub fn start(
        &self,
        plan: Plan,
        current: &OtelContext,
        connection: Option<&OtelContext>,
        baggage: &Baggage,
    ) -> OtelContext {
        let parent = match &plan.parent {
            Parent::Current => current.clone(),
            Parent::Connection => connection.cloned().unwrap_or_default(),
            Parent::Remote(remote) => super::remote_context(&OtelContext::new(), remote),
            Parent::Root => OtelContext::new(),
        };
        let parent = if baggage.is_empty() {
            parent
        } else {
            super::with_baggage(&parent, baggage)
        };
        let links = plan
            .links
            .iter()
            .map(|link| Link::new(OtelSpanContext::from(link), Vec::new(), 0));
        let builder = SpanBuilder::from_name(plan.name)
            .with_kind(otel_kind(plan.kind))
            .with_links(links.collect())
            .with_attributes(plan.attributes.into_iter().map(key_value));
        let span = self.tracer.build_with_context(builder, &parent);
        parent.with_span(span)
    }

    /// Ends a span: attributes, events, status. What would not be recorded is not computed.
    pub fn end(&self, context: &OtelContext, end: &SpanEnd, clock: &ClockTie) {
        let span = context.span();
        if span.is_recording() {
            span.set_attributes(end.attributes().into_iter().map(key_value));
            for event in end.events() {
                let attributes = event.attributes.into_iter().map(key_value).collect();
                span.add_event_with_timestamp(event.name, clock.wall_time(event.at_ns), attributes);
            }
            if end.status() == Status::Error {
                span.set_status(OtelStatus::error(""));
            }
        }
        span.end();
    }

    /// Sets attributes on an open span.
    pub fn update(&self, context: &OtelContext, attributes: Vec<Attribute>) {
        context
            .span()
            .set_attributes(attributes.into_iter().map(key_value));
    }
}

fn otel_kind(kind: SpanKind) -> OtelSpanKind {
    match kind {
        SpanKind::Internal => OtelSpanKind::Internal,
        SpanKind::Server => OtelSpanKind::Server,
        SpanKind::Client => OtelSpanKind::Client,
        SpanKind::Producer => OtelSpanKind::Producer,
        SpanKind::Consumer => OtelSpanKind::Consumer,
    }
}

fn key_value(attribute: Attribute) -> KeyValue {
    match attribute.value {
        Value::Str(text) => KeyValue::new(attribute.key, text),
        Value::I64(number) => KeyValue::new(attribute.key, number),
        Value::F64(number) => KeyValue::new(attribute.key, number),
    }
}
