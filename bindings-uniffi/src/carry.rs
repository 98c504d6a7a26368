//! Carry across brokers, and the wait in a queue.

use wirespan::carry::{self, Carried};
use wirespan::trace::Context;

use crate::error::{CoreError, guard, signed, unsigned};
use crate::plan::{Attribute, Plan, attribute};
use crate::trace::{
    BaggageMember, Header, HeaderBytes, SpanContext, allow, baggage, headers, members, pairs,
    span_of,
};

/// Writes the headers to put beside a payload. Baggage passes the allow-list `baggage_out`.
#[uniffi::export]
pub fn carry_to_headers(
    item: CarriedItem,
    members: Vec<BaggageMember>,
    baggage_out: Vec<String>,
) -> Result<Vec<Header>, CoreError> {
    guard(|| {
        let mut carried = item.to_core()?;
        carried.context.baggage = baggage(&members).0;
        Ok(headers(carried.to_headers(&allow(baggage_out))))
    })
}

/// What the headers beside a payload say.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct CarryHeaders {
    /// The sender's span.
    pub span: Option<SpanContext>,
    /// The baggage that the allow-list lets through.
    pub baggage: Vec<BaggageMember>,
    /// The session in which the item was sent.
    pub session_id: Option<String>,
    /// When the item was sent, Unix nanoseconds; the 64 bits of an unsigned number.
    pub sent_unix_ns: Option<i64>,
    /// Whether a context was there that is invalid.
    pub context_invalid: bool,
}

/// Reads the headers beside a payload. What is invalid or repeated counts as absent.
#[uniffi::export]
pub fn carry_from_headers(
    headers: Vec<HeaderBytes>,
    baggage_in: Vec<String>,
) -> Result<CarryHeaders, CoreError> {
    guard(|| {
        let carried = Carried::from_headers(pairs(&headers), &allow(baggage_in));
        Ok(CarryHeaders {
            span: carried.context.span.as_ref().map(SpanContext::from),
            baggage: members(&carried.context.baggage),
            session_id: carried.session_id,
            sent_unix_ns: carried.sent_unix_ns.map(u64::cast_signed),
            context_invalid: carried.context_invalid,
        })
    })
}

/// What is known of an item on its way.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct CarriedItem {
    /// The sender's span.
    pub span: Option<SpanContext>,
    /// The session in which it was sent.
    pub session_id: Option<String>,
    /// When it was sent, Unix nanoseconds; the 64 bits of an unsigned number.
    pub sent_unix_ns: Option<i64>,
}

impl CarriedItem {
    fn to_core(&self) -> Result<Carried, wirespan::Error> {
        let context = Context {
            span: span_of(self.span.as_ref())?,
            ..Context::default()
        };
        let sent = self.sent_unix_ns.map(i64::cast_unsigned);
        Ok(Carried::new(context, self.session_id.clone(), sent))
    }
}

/// Plans the span of sending an item to a broker.
#[uniffi::export]
pub fn plan_send(
    destination: Option<String>,
    session_id: Option<String>,
) -> Result<Plan, CoreError> {
    guard(|| Ok(carry::plan_send(destination.as_deref(), session_id.as_deref()).into()))
}

/// Plans the span of processing items.
#[uniffi::export]
pub fn plan_process(
    destination: Option<String>,
    items: Vec<CarriedItem>,
    continue_trace: bool,
    now_unix_ns: i64,
) -> Result<Plan, CoreError> {
    guard(|| {
        let items = items.iter().map(CarriedItem::to_core);
        let items = items.collect::<Result<Vec<_>, _>>()?;
        let now = unsigned("now", now_unix_ns)?;
        Ok(carry::plan_process(destination.as_deref(), &items, continue_trace, now).into())
    })
}

/// The attribute that records a wait in a queue.
#[uniffi::export]
pub fn queue_wait(wait_ns: i64) -> Result<Option<Attribute>, CoreError> {
    guard(|| {
        Ok(attribute(&carry::wait_attribute(unsigned(
            "wait", wait_ns,
        )?)))
    })
}

/// How long an item waited, in nanoseconds; never below 0, absent where it does not say when it was sent.
#[uniffi::export]
pub fn carry_wait_ns(item: CarriedItem, now_unix_ns: i64) -> Result<Option<i64>, CoreError> {
    guard(|| {
        let now = unsigned("now", now_unix_ns)?;
        Ok(item.to_core()?.wait_ns(now).map(signed))
    })
}
