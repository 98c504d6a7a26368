//! Plans become spans of whatever SDK is in the process, through the `opentelemetry` API alone.

use std::time::{Duration, SystemTime};

use opentelemetry::global::{self, BoxedTracer};
use opentelemetry::trace::{
    Link, SpanBuilder, SpanKind as OtelSpanKind, Status as OtelStatus, TraceContextExt, Tracer,
    TracerProvider,
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

/// Starts and ends the spans that plans ask for, with the tracer of the global provider or one of the host's own.
pub struct SpanMaker<T = BoxedTracer> {
    tracer: T,
}

impl<T> std::fmt::Debug for SpanMaker<T> {
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
        Self::with_provider(&global::tracer_provider())
    }
}

impl<T> SpanMaker<T>
where
    T: Tracer,
    T::Span: Send + Sync + 'static,
{
    /// Makes spans with a tracer of this provider, which need not be the global one.
    #[must_use]
    pub fn with_provider(provider: &impl TracerProvider<Tracer = T>) -> Self {
        let scope = InstrumentationScope::builder(SCOPE)
            .with_version(env!("CARGO_PKG_VERSION"))
            .build();
        Self {
            tracer: provider.tracer_with_scope(scope),
        }
    }

    /// Starts the span of a plan and gives the context that holds it. `current` is the host's current context, or an empty
    /// one for what a peer opens; what it holds beside its span stays. `connection` is the context of the connection span
    /// where there is one, `baggage` what came with the message.
    #[must_use]
    pub fn start(
        &self,
        plan: Plan,
        current: &OtelContext,
        connection: Option<&OtelContext>,
        baggage: &Baggage,
    ) -> OtelContext {
        let with_baggage = |context: OtelContext| {
            if baggage.is_empty() {
                context
            } else {
                super::with_baggage(&context, baggage)
            }
        };
        let context = with_baggage(match &plan.parent {
            Parent::Remote(remote) => super::remote_context(current, remote),
            Parent::Connection => match connection {
                Some(connection) => {
                    current.with_remote_span_context(connection.span().span_context().clone())
                }
                None => current.clone(),
            },
            Parent::Current | Parent::Root => current.clone(),
        });
        // A context cannot be rid of its span, and samplers take an invalid one for a parent that is not sampled: a root is
        // made in an empty context.
        let is_root = match &plan.parent {
            Parent::Root => true,
            Parent::Connection => connection.is_none(),
            Parent::Current | Parent::Remote(_) => false,
        };
        let parent = if is_root {
            &with_baggage(OtelContext::new())
        } else {
            &context
        };
        let links = plan.links.iter().map(|link| {
            let span = super::otel_span_context(&link.span, link.remote);
            Link::new(span, Vec::new(), 0)
        });
        let builder = SpanBuilder::from_name(plan.name)
            .with_kind(otel_kind(plan.kind))
            .with_links(links.collect())
            .with_attributes(plan.attributes.into_iter().map(key_value));
        let span = self.tracer.build_with_context(builder, parent);
        context.with_span(span)
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

    /// Sets attributes on an open span. The Rust SDK keeps both values of an attribute that is set twice; see
    /// [`crate::connection::Connection::session_may_change`].
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

#[cfg(test)]
mod tests {
    use opentelemetry::trace::SpanId;
    use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider};

    use super::*;
    use crate::connection::SpanKey;
    use crate::trace::{TraceFlags, TraceParent};

    fn plan(parent: Parent, links: Vec<crate::connection::Link>) -> Plan {
        Plan {
            span: SpanKey::DETACHED,
            name: "order".into(),
            kind: SpanKind::Server,
            parent,
            links,
            attributes: vec![Attribute {
                key: "server.port",
                value: Value::I64(8765),
            }],
        }
    }

    /// The only test of this process that sets the global provider.
    #[test]
    fn plans_become_spans_of_the_global_provider() {
        let remote = TraceParent::new([1; 16], [2; 8], TraceFlags::SAMPLED).unwrap();
        let baggage = Baggage::parse("a=1").0;
        let current = OtelContext::new();

        // Without an SDK the remote context still flows.
        let maker = SpanMaker::new();
        let context = maker.start(
            plan(Parent::Remote(remote.into()), Vec::new()),
            &current,
            None,
            &baggage,
        );
        assert_eq!(super::super::span_context(&context), Some(remote.into()));

        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        global::set_tracer_provider(provider);
        let maker = SpanMaker::default();
        let context = maker.start(
            plan(
                Parent::Remote(remote.into()),
                vec![
                    crate::connection::Link::remote(remote.into()),
                    crate::connection::Link::own(remote.into()),
                ],
            ),
            &current,
            None,
            &baggage,
        );
        assert_eq!(super::super::baggage(&context), baggage);
        let child = maker.start(
            plan(Parent::Connection, Vec::new()),
            &current,
            Some(&context),
            &Baggage::default(),
        );
        let root = maker.start(
            plan(Parent::Root, Vec::new()),
            &context,
            None,
            &Baggage::default(),
        );
        maker.update(
            &context,
            vec![Attribute {
                key: "rpc.method",
                value: Value::Str("m".into()),
            }],
        );
        let clock = ClockTie::new(0, SystemTime::UNIX_EPOCH);
        maker.end(&root, &SpanEnd::new(SpanKey::DETACHED, None), &clock);
        maker.end(&child, &SpanEnd::new(SpanKey::DETACHED, None), &clock);
        maker.end(
            &context,
            &SpanEnd::new(SpanKey::DETACHED, Some("closed".into())),
            &clock,
        );

        let spans = exporter.get_finished_spans().unwrap();
        let [root, child, call] = &spans[..] else {
            panic!("{spans:?}")
        };
        assert_eq!(root.parent_span_id, SpanId::INVALID);
        assert_eq!(child.parent_span_id, call.span_context.span_id());
        assert_eq!(call.parent_span_id.to_bytes(), remote.span_id);
        assert_eq!(call.span_context.trace_id().to_bytes(), remote.trace_id);
        assert!(call.parent_span_is_remote && !child.parent_span_is_remote);
        assert_eq!(
            (call.name.as_ref(), &call.span_kind),
            ("order", &OtelSpanKind::Server)
        );
        let linked = |index: usize| {
            let span = &call.links[index].span_context;
            (span.span_id().to_bytes(), span.is_remote())
        };
        assert_eq!(linked(0), (remote.span_id, true));
        assert_eq!(linked(1), (remote.span_id, false));
        let expected = [
            KeyValue::new("server.port", 8765),
            KeyValue::new("rpc.method", "m"),
            KeyValue::new("error.type", "closed"),
        ];
        assert_eq!(call.attributes, expected);
        assert_eq!(
            (&call.status, &child.status),
            (&OtelStatus::error(""), &OtelStatus::Unset)
        );
        assert_eq!(call.instrumentation_scope.name(), SCOPE);
    }

    #[test]
    fn the_clocks_are_tied_in_both_directions() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(10);
        let tie = ClockTie::new(5_000, wall);
        assert_eq!(tie.wall_time(6_000), wall + Duration::from_nanos(1_000));
        assert_eq!(tie.wall_time(4_000), wall - Duration::from_nanos(1_000));
        let tie = ClockTie::new(u64::MAX, wall);
        // Centuries ago, which systems can or cannot represent; never a failure.
        assert!(tie.wall_time(0) <= wall);
    }
}
