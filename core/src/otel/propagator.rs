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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::baggage::BaggageExt;
    use opentelemetry::trace::{Span, TraceContextExt, Tracer, TracerProvider};
    use opentelemetry::{KeyValue, trace::TraceState as OtelTraceState};

    use super::*;

    const HEADER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";

    /// A carrier with repeated headers, as HTTP has them.
    #[derive(Debug, Default, PartialEq)]
    struct Headers(Vec<(String, String)>);

    impl Headers {
        fn new(headers: &[(&str, &str)]) -> Self {
            Self(
                headers
                    .iter()
                    .map(|(name, value)| ((*name).into(), (*value).into()))
                    .collect(),
            )
        }
    }

    impl Extractor for Headers {
        fn get(&self, key: &str) -> Option<&str> {
            self.get_all(key).and_then(|values| values.first().copied())
        }

        fn keys(&self) -> Vec<&str> {
            self.0.iter().map(|(name, _)| name.as_str()).collect()
        }

        fn get_all(&self, key: &str) -> Option<Vec<&str>> {
            let named = self
                .0
                .iter()
                .filter(|(name, _)| name.eq_ignore_ascii_case(key));
            let values: Vec<_> = named.map(|(_, value)| value.as_str()).collect();
            (!values.is_empty()).then_some(values)
        }
    }

    impl Injector for Headers {
        fn set(&mut self, key: &str, value: String) {
            self.0.push((key.to_owned(), value));
        }
    }

    fn extract(headers: &[(&str, &str)]) -> OtelContext {
        Propagator::new().extract_with_context(&OtelContext::new(), &Headers::new(headers))
    }

    fn inject(context: &OtelContext) -> Headers {
        let mut headers = Headers::default();
        Propagator::new().inject_context(context, &mut headers);
        headers
    }

    #[test]
    fn what_is_extracted_is_injected_again() {
        let headers = [
            ("traceparent", HEADER),
            ("tracestate", "b@c@d=1,1a= x,foo@=y"),
            ("baggage", "z=1+1,a=%25;p = 1 ;q"),
        ];
        let context = extract(&headers);
        assert!(context.span().span_context().is_remote());
        assert_eq!(inject(&context), Headers::new(&headers));
    }

    #[test]
    fn an_empty_context_injects_nothing() {
        assert_eq!(inject(&OtelContext::new()), Headers::default());
        let context = extract(&[
            ("traceparent", HEADER),
            ("tracestate", " , "),
            ("baggage", ","),
        ]);
        assert_eq!(inject(&context), Headers::new(&[("traceparent", HEADER)]));
    }

    #[test]
    fn a_failure_never_overwrites_a_valid_context() {
        let given = extract(&[
            ("traceparent", HEADER),
            ("tracestate", "a=1"),
            ("baggage", "b=2"),
        ]);
        let other = HEADER.replace("0af7", "1af7");
        let upper = HEADER.to_uppercase();
        let failures: [&[(&str, &str)]; 5] = [
            &[],
            &[
                ("traceparent", &upper),
                ("tracestate", "x=1"),
                ("baggage", "="),
            ],
            &[("traceparent", &other), ("Traceparent", &other)],
            &[("tracestate", "x=1")],
            &[("traceparent", ""), ("baggage", "")],
        ];
        for headers in failures {
            let kept = Propagator::new().extract_with_context(&given, &Headers::new(headers));
            assert_eq!(inject(&kept), inject(&given), "{headers:?}");
        }
    }

    #[test]
    fn repeated_headers_are_joined_in_order() {
        let context = extract(&[
            ("traceparent", HEADER),
            ("tracestate", "a=1"),
            ("TraceState", "b=2"),
            ("baggage", "c=3"),
            ("Baggage", "d=4,c=5"),
        ]);
        let expected = [
            ("traceparent", HEADER),
            ("tracestate", "a=1,b=2"),
            ("baggage", "c=5,d=4"),
        ];
        assert_eq!(inject(&context), Headers::new(&expected));
    }

    #[test]
    fn a_bad_tracestate_leaves_the_traceparent() {
        let context = extract(&[("traceparent", HEADER), ("tracestate", "a=1,B=2")]);
        assert_eq!(inject(&context), Headers::new(&[("traceparent", HEADER)]));
    }

    #[test]
    fn each_half_carries_its_own_headers_only() {
        let headers = Headers::new(&[
            ("traceparent", HEADER),
            ("tracestate", "a=1"),
            ("baggage", "b=2"),
        ]);
        let none = OtelContext::new();
        let trace = Propagator::trace_context().extract_with_context(&none, &headers);
        assert!(trace.span().span_context().is_valid() && trace.baggage().is_empty());
        let baggage = Propagator::baggage().extract_with_context(&none, &headers);
        assert!(!baggage.span().span_context().is_valid() && baggage.baggage().len() == 1);
        let fields = |propagator: Propagator| -> Vec<String> {
            propagator.fields().map(str::to_owned).collect()
        };
        assert_eq!(
            fields(Propagator::default()),
            ["traceparent", "tracestate", "baggage"]
        );
        assert_eq!(
            fields(Propagator::trace_context()),
            ["traceparent", "tracestate"]
        );
        assert_eq!(fields(Propagator::baggage()), ["baggage"]);
        let mut map = HashMap::new();
        Propagator::baggage().inject_context(&extract(&[("baggage", "b=2")]), &mut map);
        assert_eq!(
            map,
            HashMap::from([("baggage".to_owned(), "b=2".to_owned())])
        );
    }

    #[test]
    fn a_child_span_keeps_the_flags_and_vendor_data_of_its_trace() {
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let remote = extract(&[("traceparent", HEADER), ("tracestate", "b@c@d=1,a=2")]);
        let span = provider.tracer("test").start_with_context("child", &remote);
        let span_id = span.span_context().span_id();
        let headers = inject(&remote.with_span(span));
        let expected = format!("{}{span_id}-03", &HEADER[..36]);
        assert_eq!(
            headers,
            Headers::new(&[("traceparent", &expected), ("tracestate", "b@c@d=1,a=2")])
        );
        // A new trace has none of it.
        let root = provider
            .tracer("test")
            .start_with_context("root", &OtelContext::new());
        assert_eq!(inject(&remote.with_span(root)).get("tracestate"), None);
    }

    #[test]
    fn a_span_that_is_not_sampled_keeps_the_random_flag_of_its_trace() {
        let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build();
        let remote = extract(&[("traceparent", &HEADER.replace("-03", "-02"))]);
        let span = provider.tracer("test").start_with_context("child", &remote);
        let span_id = span.span_context().span_id();
        let context = remote.with_span(span);
        let expected = format!("{}{span_id}-02", &HEADER[..36]);
        assert_eq!(inject(&context).get("traceparent"), Some(&*expected));
        // It is the flag of that trace, not of what else runs in the context.
        let other = opentelemetry::trace::SpanContext::new(
            opentelemetry::TraceId::from(1),
            opentelemetry::SpanId::from(1),
            opentelemetry::TraceFlags::NOT_SAMPLED,
            false,
            OtelTraceState::NONE,
        );
        let expected = format!("00-{:032x}-{:016x}-00", 1, 1);
        let context = context.with_remote_span_context(other);
        assert_eq!(inject(&context).get("traceparent"), Some(&*expected));
    }

    #[test]
    fn what_a_sampler_changes_is_sent_beside_what_it_cannot_see() {
        let remote = extract(&[
            ("traceparent", HEADER),
            ("tracestate", "b@c@d=1,a=2,x=3,y=4"),
        ]);
        let span = remote.span().span_context().clone();
        let state = span
            .trace_state()
            .insert("y", "5")
            .unwrap()
            .delete("x")
            .unwrap();
        let state = state.insert("ot", "p:8").unwrap();
        let changed = opentelemetry::trace::SpanContext::new(
            span.trace_id(),
            span.span_id(),
            span.trace_flags(),
            true,
            state,
        );
        let context = remote.with_remote_span_context(changed);
        assert_eq!(
            inject(&context).get("tracestate"),
            Some("ot=p:8,y=5,b@c@d=1,a=2")
        );
    }

    #[test]
    fn vendor_data_of_an_earlier_message_is_not_mixed_in() {
        let first = extract(&[("traceparent", HEADER), ("tracestate", "a=1,b@c@d=2")]);
        let headers = Headers::new(&[("traceparent", HEADER), ("tracestate", "a=1")]);
        let second = Propagator::new().extract_with_context(&first, &headers);
        assert_eq!(inject(&second), headers);
    }

    #[test]
    fn baggage_set_through_the_api_is_sent_in_a_fixed_order() {
        let context = OtelContext::new().with_baggage([
            KeyValue::new("b", "2 %"),
            KeyValue::new("c", "x\r\ny"),
            KeyValue::new("a", "1"),
        ]);
        let expected = [("baggage", "a=1,b=2%20%25,c=x%0D%0Ay")];
        assert_eq!(inject(&context), Headers::new(&expected));
        // Baggage set over what came in replaces it.
        let received = extract(&[("baggage", "z=1;p,a=0")]);
        let merged = received.with_baggage([KeyValue::new("b", "2"), KeyValue::new("a", "1")]);
        assert_eq!(inject(&merged), Headers::new(&[("baggage", "a=1,b=2")]));
    }

    #[test]
    fn what_the_api_does_not_check_is_never_sent() {
        let state = OtelTraceState::from_key_value([
            ("a", "1"),
            ("b", "2\r\nx: y"),
            ("c", ""),
            ("d", "3 "),
        ]);
        let span = opentelemetry::trace::SpanContext::new(
            opentelemetry::TraceId::from(1),
            opentelemetry::SpanId::from(1),
            opentelemetry::TraceFlags::new(0xFF),
            false,
            state.unwrap(),
        );
        let context = OtelContext::new()
            .with_remote_span_context(span)
            .with_baggage([opentelemetry::baggage::KeyValueMetadata::new(
                "k", "v", "p,q=\r\n",
            )]);
        let trace_parent = format!("00-{:032x}-{:016x}-03", 1, 1);
        let expected = [
            ("traceparent", trace_parent.as_str()),
            ("tracestate", "a=1"),
            ("baggage", "k=v"),
        ];
        assert_eq!(inject(&context), Headers::new(&expected));
    }
}
