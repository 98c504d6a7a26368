//! Carry for Rust: the current context travels with an item through a queue.

use std::future::Future;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{FutureExt, TraceContextExt};
use opentelemetry::{Context as OtelContext, ContextGuard, KeyValue};

use crate::carry::Carried;
use crate::metrics::seconds;
use crate::names::attribute;
use crate::trace::{AllowList, Context, SpanContext};

/// What an item takes along: a context, all of it, and when the item left.
///
/// In one process it goes through any channel beside the item; nothing is made of it but a clone of the context. Across a
/// broker it goes as headers beside the payload.
///
/// Restoring it records how long the item waited as `websocket.queue.wait` on the span that was carried, if that is still
/// open.
///
/// # Example: a channel of tokio, or of std
///
/// ```
/// use std::sync::mpsc;
/// use wirespan::otel::Carry;
///
/// let (queue, items) = mpsc::channel();
/// queue.send((Carry::capture(), "an order"))?;
///
/// let (carry, order) = items.recv()?;
/// let words = carry.run(|| order.split(' ').count()); // the sender's span is current in here
/// assert_eq!(words, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Carry {
    context: OtelContext,
    left: Left,
    session_id: Option<String>,
    owns_span: bool,
    wait: Option<Duration>,
}

/// When an item left.
#[derive(Clone, Copy, Debug)]
enum Left {
    /// In this process.
    Here(Instant),
    /// In another one, by the clock there.
    Elsewhere(SystemTime),
    Unknown,
}

impl Carry {
    /// Takes the current context along.
    #[must_use]
    pub fn capture() -> Self {
        Self::of(OtelContext::current())
    }

    /// Takes a given context along, such as that of a call.
    #[must_use]
    pub fn of(context: OtelContext) -> Self {
        Self::new(context, Left::Here(Instant::now()))
    }

    /// Takes a context along and takes its span over: the span ends when the carry has run or is dropped, however that
    /// comes about.
    #[must_use]
    pub fn take_over(context: OtelContext) -> Self {
        let mut carry = Self::of(context);
        carry.owns_span = true;
        carry
    }

    fn new(context: OtelContext, left: Left) -> Self {
        Self {
            context,
            left,
            session_id: None,
            owns_span: false,
            wait: None,
        }
    }

    /// Names the session in which the item is sent, for its headers.
    #[must_use]
    pub fn with_session(mut self, session_id: impl Into<String>) -> Self {
        self.session_id = Some(session_id.into());
        self
    }

    /// The session in which the item was sent.
    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.session_id.as_deref()
    }

    /// The context that is carried.
    #[must_use]
    pub fn context(&self) -> &OtelContext {
        &self.context
    }

    /// The span that is carried, to be linked by the span of a batch.
    #[must_use]
    pub fn link(&self) -> Option<SpanContext> {
        super::span_context(&self.context)
    }

    /// Notes that the item has come out, and tells how long it waited; absent where it does not say when it left. The first
    /// call measures.
    pub fn arrive(&mut self) -> Option<Duration> {
        if self.wait.is_none() {
            let wait = match self.left {
                Left::Here(instant) => instant.elapsed(),
                Left::Elsewhere(time) => SystemTime::now().duration_since(time).unwrap_or_default(),
                Left::Unknown => return None,
            };
            self.wait = Some(wait);
            let wait_ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
            let span = self.context.span();
            span.set_attribute(KeyValue::new(attribute::QUEUE_WAIT, seconds(wait_ns)));
        }
        self.wait
    }

    /// Makes the carried context current until the guard is dropped. Do not hold the guard across an `await`; see
    /// [`Carry::run_async`].
    #[must_use = "the context is current as long as the guard lives"]
    pub fn restore(&mut self) -> ContextGuard {
        self.arrive();
        self.context.clone().attach()
    }

    /// Runs a function with the carried context as the current one.
    pub fn run<T>(mut self, function: impl FnOnce() -> T) -> T {
        let _current = self.unpack().attach();
        function()
    }

    /// Runs a future with the carried context as the current one.
    pub async fn run_async<T>(mut self, future: impl Future<Output = T>) -> T {
        future.with_context(self.unpack()).await
    }

    /// The context, for an item that has come out and whose carry nobody can ask any more: how long it waited matters to a span
    /// that records, and to nobody else.
    fn unpack(&mut self) -> OtelContext {
        if self.context.span().is_recording() {
            self.arrive();
        }
        if self.owns_span {
            self.context.clone()
        } else {
            std::mem::take(&mut self.context)
        }
    }

    /// The headers to put beside the payload for a broker. Baggage passes an allow-list, as on a connection.
    #[must_use]
    pub fn to_headers(&self, baggage_out: &AllowList) -> Vec<(&'static str, String)> {
        let sent = match self.left {
            Left::Here(instant) => SystemTime::now().checked_sub(instant.elapsed()),
            Left::Elsewhere(time) => Some(time),
            Left::Unknown => None,
        };
        let sent_unix_ns = sent
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|since| u64::try_from(since.as_nanos()).ok());
        let context = Context {
            span: super::span_context(&self.context),
            baggage: super::baggage(&self.context),
        };
        Carried::new(context, self.session_id.clone(), sent_unix_ns).to_headers(baggage_out)
    }

    /// Reads the headers beside a payload. Without a usable context there, the current one stays in force.
    pub fn from_headers<'a>(
        headers: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        baggage_in: &AllowList,
    ) -> Self {
        let carried = Carried::from_headers(headers, baggage_in);
        let mut context = OtelContext::current();
        if let Some(span) = &carried.context.span {
            context = super::remote_context(&context, span);
        }
        if !carried.context.baggage.is_empty() {
            context = super::with_baggage(&context, &carried.context.baggage);
        }
        let left = carried
            .sent_unix_ns
            .map(|ns| UNIX_EPOCH + Duration::from_nanos(ns));
        let mut carry = Self::new(context, left.map_or(Left::Unknown, Left::Elsewhere));
        carry.session_id = carried.session_id;
        carry
    }
}

impl Drop for Carry {
    fn drop(&mut self) {
        if self.owns_span {
            self.context.span().end();
        }
    }
}
