//! A propagator of the `opentelemetry` API made of the core's parsers.

use opentelemetry::Context as OtelContext;
use opentelemetry::propagation::text_map_propagator::FieldIter;
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};

use crate::limits::MAX_TRACESTATE_BYTES;
use crate::names::header::{BAGGAGE, TRACEPARENT, TRACESTATE};
use crate::trace::{Baggage, SpanContext, TraceParent, TraceState};

/// W3C Trace Context level 2 and W3C Baggage for every carrier that the `opentelemetry` API knows, HTTP headers first.
///
/// What is invalid or absent leaves the given context as it is. Baggage passes whole; an allow-list is a matter of
/// connections.
///
/// # Example
///
/// ```
/// use std::collections::HashMap;
///
/// use opentelemetry::propagation::TextMapPropagator;
/// use wirespan::otel::Propagator;
///
/// let header = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
/// let request = HashMap::from([("traceparent".to_owned(), header.to_owned())]);
/// let propagator = Propagator::new();
/// let context = propagator.extract(&request);
///
/// let mut next = HashMap::new();
/// propagator.inject_context(&context, &mut next);
/// assert_eq!(next["traceparent"], header);
/// ```
#[derive(Clone, Debug)]
pub struct Propagator {
    trace_context: bool,
    baggage: bool,
    fields: Vec<String>,
}

impl Default for Propagator {
    fn default() -> Self {
        Self::new()
    }
}

impl Propagator {
    /// Carries `traceparent`, `tracestate` and `baggage`.
    #[must_use]
    pub fn new() -> Self {
        Self::of(true, true)
    }

    /// Carries `traceparent` and `tracestate` only.
    #[must_use]
    pub fn trace_context() -> Self {
        Self::of(true, false)
    }

    /// Carries `baggage` only.
    #[must_use]
    pub fn baggage() -> Self {
        Self::of(false, true)
    }

    fn of(trace_context: bool, baggage: bool) -> Self {
        let fields = [
            (TRACEPARENT, trace_context),
            (TRACESTATE, trace_context),
            (BAGGAGE, baggage),
        ];
        let fields = fields.into_iter().filter(|(_, carried)| *carried);
        Self {
            trace_context,
            baggage,
            fields: fields.map(|(name, _)| name.to_owned()).collect(),
        }
    }
}

impl TextMapPropagator for Propagator {
    fn inject_context(&self, context: &OtelContext, injector: &mut dyn Injector) {
        if self.trace_context
            && let Some(span) = super::span_context(context)
        {
            injector.set(TRACEPARENT, span.trace_parent.to_header());
            if !span.trace_state.is_empty() {
                let value = span.trace_state.truncated(MAX_TRACESTATE_BYTES);
                injector.set(TRACESTATE, value.into_owned());
            }
        }
        if self.baggage {
            let header = super::baggage(context).to_header();
            if !header.is_empty() {
                injector.set(BAGGAGE, header);
            }
        }
    }

    fn extract_with_context(
        &self,
        context: &OtelContext,
        extractor: &dyn Extractor,
    ) -> OtelContext {
        let mut extracted = context.clone();
        if self.trace_context
            && let Some(span) = extract_span(extractor)
        {
            extracted = super::remote_context(&extracted, &span);
        }
        if self.baggage {
            let values = values(extractor, BAGGAGE);
            let (baggage, _) = Baggage::from_values(values.iter().map(|value| value.as_bytes()));
            if !baggage.is_empty() {
                extracted = super::with_baggage(&extracted, &baggage);
            }
        }
        extracted
    }

    fn fields(&self) -> FieldIter<'_> {
        FieldIter::new(&self.fields)
    }
}

fn extract_span(extractor: &dyn Extractor) -> Option<SpanContext> {
    let trace_parents = values(extractor, TRACEPARENT);
    let trace_parent =
        TraceParent::from_values(trace_parents.iter().map(|value| value.as_bytes())).ok()??;
    let trace_states = values(extractor, TRACESTATE);
    let trace_state = TraceState::from_values(trace_states.iter().map(|value| value.as_bytes()));
    Some(SpanContext {
        trace_parent,
        trace_state: trace_state.unwrap_or_default(),
    })
}

fn values<'a>(extractor: &'a dyn Extractor, name: &str) -> Vec<&'a str> {
    extractor.get_all(name).unwrap_or_default()
}
