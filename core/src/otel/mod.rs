//! The `opentelemetry` crate: contexts in its terms, spans from plans, and a propagator.
//!
//! The crate's `TraceState` knows the keys of level 1 only, its `Baggage` keeps no order, and its SDK forgets the random flag of
//! spans that it drops. What it cannot hold travels beside it, as a value of its `Context`, and comes back when the context is
//! read here. Conversions of a bare [`opentelemetry::trace::SpanContext`] or [`opentelemetry::baggage::Baggage`], outside a
//! context, lose it.

mod carry;
mod propagator;
mod spans;

use opentelemetry::Context as OtelContext;
use opentelemetry::baggage::{Baggage as OtelBaggage, BaggageExt, KeyValueMetadata};
use opentelemetry::trace::{
    SpanContext as OtelSpanContext, TraceContextExt, TraceFlags as OtelTraceFlags,
    TraceState as OtelTraceState,
};
use opentelemetry::{SpanId, TraceId};

use crate::limits::MAX_TRACESTATE_BYTES;
use crate::names::header::TRACEPARENT;
use crate::trace::{
    Baggage, BaggageMember, SpanContext, TraceFlags, TraceParent, TraceState, is_member,
};
use crate::{Error, Refusal};

pub use carry::Carry;
pub use propagator::Propagator;
pub use spans::{ClockTie, SCOPE, SpanMaker};

/// What the crate's own types cannot hold of a remote span, or may lose in its children.
#[derive(Debug)]
struct Carried {
    trace_id: TraceId,
    /// Whether the trace id is random: true of every span of the trace.
    is_random: bool,
    /// All vendor data.
    whole: TraceState,
    /// What the crate's own type holds of that.
    held: OtelTraceState,
}

/// The context with a peer's span as its current, remote span; everything else in it stays.
#[must_use]
pub fn remote_context(context: &OtelContext, remote: &SpanContext) -> OtelContext {
    let span = OtelSpanContext::from(remote);
    let is_random = remote.trace_parent.flags.is_random();
    let is_held = !is_random && holds_all(span.trace_state(), &remote.trace_state);
    let carried = (!is_held).then(|| Carried {
        trace_id: span.trace_id(),
        is_random,
        whole: remote.trace_state.clone(),
        held: span.trace_state().clone(),
    });
    let context = context.with_remote_span_context(span);
    // What an earlier span left behind must not be taken for this one's.
    if carried.is_some() || context.get::<Option<Carried>>().is_some() {
        context.with_value(carried)
    } else {
        context
    }
}

/// The span of a context in the core's terms, if it is valid. The random flag and the vendor data that came with
/// [`remote_context`] are kept as long as the trace goes on, together with what a sampler has changed since (SPEC TC-15).
#[must_use]
pub fn span_context(context: &OtelContext) -> Option<SpanContext> {
    let span = context.span();
    let span = span.span_context();
    let mut trace_parent = trace_parent(span)?;
    let carried = context.get::<Option<Carried>>().and_then(Option::as_ref);
    let trace_state = match carried.filter(|carried| carried.trace_id == span.trace_id()) {
        Some(carried) => {
            if carried.is_random {
                trace_parent.flags = trace_parent.flags.with_random();
            }
            carried.with_changes(span.trace_state())
        }
        None => trace_state(span.trace_state()),
    };
    Some(SpanContext {
        trace_parent,
        trace_state,
    })
}

/// The context with baggage in the place of what it had.
#[must_use]
pub fn with_baggage(context: &OtelContext, baggage: &Baggage) -> OtelContext {
    context
        .with_baggage(OtelBaggage::from(baggage))
        .with_value(baggage.clone())
}

/// The baggage of a context: first, in order, what came with [`with_baggage`] and is unchanged, then the rest by name.
#[must_use]
pub fn baggage(context: &OtelContext) -> Baggage {
    let all = Baggage::from(context.baggage());
    let Some(known) = context.get::<Baggage>() else {
        return all;
    };
    let (kept, rest): (Vec<_>, Vec<_>) = all
        .iter()
        .cloned()
        .partition(|member| known.get(&member.key) == Some(member));
    let in_order = known.iter().filter(|member| kept.contains(member)).cloned();
    collect(in_order.chain(rest))
}

impl Carried {
    /// All vendor data, with the differences between what the crate's type held and what it holds now.
    fn with_changes(&self, now: &OtelTraceState) -> TraceState {
        if *now == self.held {
            return self.whole.clone();
        }
        let mut all = self.whole.clone();
        for (key, _) in &self.held {
            if now.get(key).is_none() {
                all = all.without(key);
            }
        }
        let changed: Vec<_> = now
            .into_iter()
            .filter(|(key, value)| self.held.get(key) != Some(value) && is_member(key, value))
            .collect();
        // The one that was changed last stands first.
        changed
            .into_iter()
            .rev()
            .fold(all, |all, (key, value)| all.with_valid(key, value))
    }
}

fn holds_all(held: &OtelTraceState, whole: &TraceState) -> bool {
    whole.is_empty() || held.into_iter().eq(whole.members())
}

impl From<&SpanContext> for OtelSpanContext {
    /// A remote span. Of its vendor data, keys that level 1 does not know are lost.
    fn from(span: &SpanContext) -> Self {
        otel_span_context(span, true)
    }
}

fn otel_span_context(span: &SpanContext, is_remote: bool) -> OtelSpanContext {
    let members = || span.trace_state.members();
    let trace_state = if span.trace_state.is_empty() {
        OtelTraceState::NONE
    } else {
        OtelTraceState::from_key_value(members()).unwrap_or_else(|_| {
            let known =
                members().filter(|member| OtelTraceState::from_key_value([*member]).is_ok());
            OtelTraceState::from_key_value(known).unwrap_or_default()
        })
    };
    OtelSpanContext::new(
        TraceId::from_bytes(span.trace_parent.trace_id),
        SpanId::from_bytes(span.trace_parent.span_id),
        OtelTraceFlags::new(span.trace_parent.flags.bits()),
        is_remote,
        trace_state,
    )
}

impl TryFrom<&OtelSpanContext> for SpanContext {
    type Error = Error;

    /// Vendor data outside the grammar, which the crate's own type does not refuse, is lost member by member.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Malformed`], reason [`Refusal::ZeroId`], for a span context that is not valid.
    fn try_from(span: &OtelSpanContext) -> Result<Self, Error> {
        let trace_parent =
            trace_parent(span).ok_or_else(|| Error::malformed(TRACEPARENT, Refusal::ZeroId, 0))?;
        Ok(Self {
            trace_parent,
            trace_state: trace_state(span.trace_state()),
        })
    }
}

fn trace_parent(span: &OtelSpanContext) -> Option<TraceParent> {
    TraceParent::new(
        span.trace_id().to_bytes(),
        span.span_id().to_bytes(),
        TraceFlags::from_bits(span.trace_flags().to_u8()),
    )
}

fn trace_state(state: &OtelTraceState) -> TraceState {
    if state.into_iter().len() == 0 {
        return TraceState::default();
    }
    let mut list = String::new();
    for (key, value) in state
        .into_iter()
        .filter(|(key, value)| is_member(key, value))
    {
        // The crate's own type bounds the number of members, but not their size together.
        if list.len() + key.len() + value.len() + 2 > MAX_TRACESTATE_BYTES {
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.extend([key, "=", value]);
    }
    // Valid members within the bounds make a valid list.
    TraceState::parse(&list).unwrap_or_default()
}

impl From<&Baggage> for OtelBaggage {
    /// The order of the members is lost.
    fn from(baggage: &Baggage) -> Self {
        let members = baggage.iter().map(|member| {
            KeyValueMetadata::new(
                member.key.clone(),
                member.value.clone(),
                member.properties.as_str(),
            )
        });
        members.collect()
    }
}

impl From<&OtelBaggage> for Baggage {
    /// Members in the order of their names, so that the same baggage is always sent the same way. Metadata that are no valid
    /// properties are lost.
    fn from(baggage: &OtelBaggage) -> Self {
        let mut members: Vec<BaggageMember> = baggage
            .iter()
            .map(|(key, (value, metadata))| BaggageMember {
                key: key.as_str().to_owned(),
                value: value.as_str().to_owned(),
                properties: metadata.as_str().to_owned(),
            })
            .collect();
        members.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        collect(members)
    }
}

/// Baggage of members with different names; properties outside the grammar are left out.
fn collect(members: impl IntoIterator<Item = BaggageMember>) -> Baggage {
    let mut baggage = Baggage::default();
    for member in members {
        if baggage.insert(member.clone()).is_err() {
            // The crate refuses keys outside the grammar itself, so that only properties can be wrong.
            let _ = baggage.insert(BaggageMember {
                properties: String::new(),
                ..member
            });
        }
    }
    baggage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_context_converts_both_ways() {
        let header = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03";
        let trace_parent = TraceParent::parse(header).unwrap();
        let trace_state = TraceState::parse("a=1,t@s= 2").unwrap();
        let span = SpanContext {
            trace_parent,
            trace_state,
        };
        let other = OtelSpanContext::from(&span);
        assert!(other.is_remote() && other.is_sampled());
        assert_eq!(SpanContext::try_from(&other), Ok(span));
        let error = SpanContext::try_from(&OtelSpanContext::NONE).unwrap_err();
        assert_eq!(error.reason(), Some(Refusal::ZeroId));
    }

    #[test]
    fn vendor_data_too_long_to_be_sent_loses_members_from_the_right() {
        let members = (0..32).map(|n| (format!("k{n}"), "v".repeat(256)));
        let state = OtelTraceState::from_key_value(members).unwrap();
        let converted = trace_state(&state);
        assert_eq!(converted.members().count(), 31);
        assert_eq!(
            (converted.get("k0").is_some(), converted.get("k31")),
            (true, None)
        );
    }

    #[test]
    fn baggage_converts_both_ways() {
        let (all, _) = Baggage::parse("a=%22;p = 1;q,b=");
        assert_eq!(Baggage::from(&OtelBaggage::from(&all)), all);
        assert_eq!(baggage(&with_baggage(&OtelContext::new(), &all)), all);
    }
}
