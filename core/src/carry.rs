//! Carry: context that travels with an item through a queue.
//!
//! In one process the host carries its own context object, and only the wait is computed here. Across a broker the
//! context is headers beside the payload: fields of a Redis stream entry, headers of a NATS or Kafka message. The names
//! are those of the envelope. `conformance/SPEC.md`, chapter "Carry", numbers the rules.

use std::borrow::Cow;

use crate::connection::{Attribute, Link, Parent, Plan, SpanKey, SpanKind};
use crate::envelope::{is_session_id, parse_u64};
use crate::limits::MAX_BAGGAGE_BYTES;
use crate::metrics::seconds;
use crate::names::{attribute, header};
use crate::trace::{AllowList, Baggage, Context, SpanContext, TraceParent, TraceState};

/// What an item brings along.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Carried {
    /// The context in which the item was sent.
    pub context: Context,
    /// The session in which the item was sent.
    pub session_id: Option<String>,
    /// When the item was sent, Unix time in nanoseconds.
    pub sent_unix_ns: Option<u64>,
    /// A context was there, but is invalid.
    pub context_invalid: bool,
}

impl Carried {
    /// Makes what an item takes along.
    #[must_use]
    pub fn new(context: Context, session_id: Option<String>, sent_unix_ns: Option<u64>) -> Self {
        Self {
            context,
            session_id,
            sent_unix_ns,
            context_invalid: false,
        }
    }

    /// Writes the headers to put beside the payload. Baggage passes an allow-list, as on a connection.
    #[must_use]
    pub fn to_headers(&self, baggage_out: &AllowList) -> Vec<(&'static str, String)> {
        let mut headers = Vec::with_capacity(5);
        if let Some(span) = &self.context.span {
            headers.push((header::TRACEPARENT, span.trace_parent.to_header()));
            if !span.trace_state.is_empty() {
                let value = span
                    .trace_state
                    .truncated(crate::limits::MAX_TRACESTATE_BYTES);
                headers.push((header::TRACESTATE, value.into_owned()));
            }
        }
        let baggage = self.context.baggage.filtered(baggage_out);
        if !baggage.is_empty() {
            headers.push((header::BAGGAGE, baggage.to_header()));
        }
        if let Some(session_id) = self.session_id.as_ref().filter(|id| is_session_id(id)) {
            headers.push((header::SESSION, session_id.clone()));
        }
        if let Some(sent) = self.sent_unix_ns {
            headers.push((header::SENT, sent.to_string()));
        }
        headers
    }

    /// Reads the headers beside a payload. Names compare without regard to ASCII case; what is invalid or repeated counts
    /// as absent. Never fails: an item without a usable context is delivered without one.
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        baggage_in: &AllowList,
    ) -> Self {
        let mut traceparent = Vec::new();
        let mut tracestate = Vec::new();
        let mut baggage = Vec::new();
        let mut session = Vec::new();
        let mut sent = Vec::new();
        for (name, value) in headers {
            let values = if name.eq_ignore_ascii_case(header::TRACEPARENT) {
                &mut traceparent
            } else if name.eq_ignore_ascii_case(header::TRACESTATE) {
                &mut tracestate
            } else if name.eq_ignore_ascii_case(header::BAGGAGE) {
                &mut baggage
            } else if name.eq_ignore_ascii_case(header::SESSION) {
                &mut session
            } else if name.eq_ignore_ascii_case(header::SENT) {
                &mut sent
            } else {
                continue;
            };
            // So many values are over every limit already, were they empty: nothing is kept of those behind them.
            if values.len() <= MAX_BAGGAGE_BYTES {
                values.push(value);
            }
        }
        let (span, context_invalid) = match TraceParent::from_values(traceparent.into_iter()) {
            Ok(Some(trace_parent)) => {
                // A discarded tracestate leaves the context valid (SPEC CA-6).
                let trace_state = TraceState::from_values(tracestate.into_iter());
                (
                    Some(SpanContext {
                        trace_parent,
                        trace_state: trace_state.unwrap_or_default(),
                    }),
                    false,
                )
            }
            Ok(None) => (None, false),
            Err(_) => (None, true),
        };
        let (all, _) = Baggage::from_values(baggage.into_iter());
        Self {
            context: Context {
                span,
                baggage: all.filtered(baggage_in),
            },
            session_id: single(&session)
                .and_then(|value| std::str::from_utf8(value).ok())
                .filter(|id| is_session_id(id))
                .map(str::to_owned),
            sent_unix_ns: single(&sent).and_then(parse_u64),
            context_invalid,
        }
    }

    /// How long the item waited, in nanoseconds; never below 0, absent where it does not say when it was sent.
    #[must_use]
    pub fn wait_ns(&self, now_unix_ns: u64) -> Option<u64> {
        self.sent_unix_ns
            .map(|sent| now_unix_ns.saturating_sub(sent))
    }
}

fn single<'a>(values: &[&'a [u8]]) -> Option<&'a [u8]> {
    match values {
        [value] => Some(value),
        _ => None,
    }
}

/// The attribute that records a wait.
#[must_use]
pub fn wait_attribute(wait_ns: u64) -> Attribute {
    Attribute::f64(attribute::QUEUE_WAIT, seconds(wait_ns))
}

/// Plans the span of sending an item to a broker: `send DESTINATION`, PRODUCER, child of the current span.
#[must_use]
pub fn plan_send(destination: Option<&str>, session_id: Option<&str>) -> Plan {
    plan(
        "send",
        destination,
        SpanKind::Producer,
        Parent::Current,
        session_id,
    )
}

/// Plans the span of processing what came out of a broker: `process DESTINATION`, CONSUMER. One item is linked and, where
/// `continue_trace` asks for it, also the parent; a batch is linked only, each item once, and counted.
#[must_use]
pub fn plan_process(
    destination: Option<&str>,
    items: &[Carried],
    continue_trace: bool,
    now_unix_ns: u64,
) -> Plan {
    let single = match items {
        [item] => Some(item),
        _ => None,
    };
    let parent = match single.and_then(|item| item.context.span.clone()) {
        Some(span) if continue_trace => Parent::Remote(span),
        _ => Parent::Root,
    };
    let session_id = single.and_then(|item| item.session_id.as_deref());
    let mut plan = plan(
        "process",
        destination,
        SpanKind::Consumer,
        parent,
        session_id,
    );
    plan.links.extend(
        items
            .iter()
            .filter_map(|item| item.context.span.clone())
            .map(Link::remote),
    );
    match single {
        Some(item) => plan
            .attributes
            .extend(item.wait_ns(now_unix_ns).map(wait_attribute)),
        None => plan.attributes.push(Attribute::i64(
            attribute::BATCH_MESSAGE_COUNT,
            i64::try_from(items.len()).unwrap_or(i64::MAX),
        )),
    }
    plan
}

fn plan(
    operation: &'static str,
    destination: Option<&str>,
    kind: SpanKind,
    parent: Parent,
    session_id: Option<&str>,
) -> Plan {
    let name = match destination {
        Some(destination) => Cow::Owned(format!("{operation} {destination}")),
        None => Cow::Owned(format!("websocket {operation}")),
    };
    let session = session_id.map(|id| Attribute::str(attribute::SESSION_ID, id.to_owned()));
    Plan {
        span: SpanKey::DETACHED,
        name,
        kind,
        parent,
        links: Vec::new(),
        attributes: session.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Value;

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn carried() -> Carried {
        let trace_parent = TraceParent::parse(TRACEPARENT.as_bytes()).unwrap();
        let context = Context {
            span: Some(trace_parent.into()),
            baggage: Baggage::default(),
        };
        Carried::new(context, Some("s-1".into()), Some(1_000))
    }

    #[test]
    fn headers_round_trip() {
        let headers = carried().to_headers(&AllowList::none());
        let expected = [
            ("traceparent", TRACEPARENT),
            ("session", "s-1"),
            ("sent", "1000"),
        ];
        assert_eq!(
            headers
                .iter()
                .map(|(k, v)| (*k, v.as_str()))
                .collect::<Vec<_>>(),
            expected
        );
        let back = Carried::from_headers(
            headers
                .iter()
                .map(|(name, value)| (*name, value.as_bytes())),
            &AllowList::none(),
        );
        assert_eq!(back, carried());
    }

    #[test]
    fn an_item_without_usable_headers_is_carried_without_context() {
        let none = Carried::from_headers([], &AllowList::none());
        assert_eq!(none, Carried::default());
        let wrong = [
            ("Traceparent", &b"00-zz"[..]),
            ("sent", b"-1"),
            ("session", b"a"),
            ("SESSION", b"b"),
        ];
        let wrong = Carried::from_headers(wrong, &AllowList::none());
        assert!(wrong.context_invalid);
        assert_eq!((wrong.session_id, wrong.sent_unix_ns), (None, None));
    }

    #[test]
    fn the_wait_is_never_negative() {
        assert_eq!(carried().wait_ns(1_500), Some(500));
        assert_eq!(carried().wait_ns(500), Some(0));
        assert_eq!(Carried::default().wait_ns(500), None);
    }

    #[test]
    fn a_single_item_is_linked_and_parent_only_if_asked() {
        let plan = plan_process(Some("orders"), &[carried()], false, 2_000);
        assert_eq!(
            (plan.name.as_ref(), plan.kind),
            ("process orders", SpanKind::Consumer)
        );
        assert_eq!((&plan.parent, plan.links.len()), (&Parent::Root, 1));
        let wait = plan
            .attributes
            .iter()
            .find(|item| item.key == attribute::QUEUE_WAIT)
            .unwrap();
        assert_eq!(wait.value, Value::F64(1e-6));
        let plan = plan_process(Some("orders"), &[carried()], true, 2_000);
        assert!(matches!(plan.parent, Parent::Remote(_)));
        assert_eq!(plan.links.len(), 1);
    }

    #[test]
    fn a_batch_is_linked_and_has_no_parent() {
        let items = [carried(), Carried::default(), carried()];
        let plan = plan_process(None, &items, true, 2_000);
        assert_eq!(
            (plan.name.as_ref(), &plan.parent),
            ("websocket process", &Parent::Root)
        );
        assert_eq!(plan.links.len(), 2);
        assert_eq!(
            plan.attributes,
            [Attribute::i64(attribute::BATCH_MESSAGE_COUNT, 3)]
        );
    }
}
