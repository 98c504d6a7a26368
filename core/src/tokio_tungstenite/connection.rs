//! The handle of a connection.

use std::sync::Arc;

use opentelemetry::Context as OtelContext;

use super::call::{Call, Described, OnDrop, Transfer};
use super::message::{Message, Outgoing, to_transport};
use super::outbox::Origin;
use super::shared::{Chunk, Phase, Shared, State};
use crate::connection::{
    Connection, ContextRef, Message as CoreMessage, Peer, PlainPolicy, Plan, ReadEnd, Resumption,
    StreamKey,
};
use crate::counters::Counters;
use crate::envelope::Kind;
use crate::error::{Error, ErrorKind};
use crate::limits;
use crate::metrics::{StreamMetrics, Summary};
use crate::otel::span_context;
use crate::trace::{AllowList, Baggage, TraceParent};

/// A traced WebSocket connection.
///
/// Clones are handles of the same connection. It closes with code 1000 when the last handle and the last call are dropped;
/// one that was accepted together with handlers lives on for them.
#[derive(Clone, Debug)]
pub struct TracedConnection {
    handle: Arc<Handle>,
}

/// Closes the connection when nobody holds it any more.
#[derive(Debug)]
pub(super) struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.ask_close(1000, "");
    }
}

impl TracedConnection {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            handle: Arc::new(Handle { shared }),
        }
    }

    pub(super) fn from_handle(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    pub(super) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Starts a call: a CLIENT span, child of the current one, that lasts until both directions have ended or the call is
    /// dropped. The span is current nowhere; see [`TracedConnection::call_with`].
    ///
    /// # Errors
    ///
    /// `closed`, `busy`, `limit`, `role`, `invalid_argument`; see [`Connection::plan_call`].
    pub fn call<'m>(&self, method: impl Into<Option<&'m str>>) -> Result<Call, Error> {
        let method = method.into();
        self.open(Kind::Call, method, |core, current, now_ns| {
            core.plan_call(method, current, now_ns)
        })
    }

    /// Starts a transfer: one-way data under a PRODUCER span.
    ///
    /// # Errors
    ///
    /// `closed`, `limit`, `role`, `invalid_argument`; see [`Connection::plan_transfer`].
    pub fn transfer<'m>(&self, method: impl Into<Option<&'m str>>) -> Result<Transfer, Error> {
        let method = method.into();
        let call = self.open(Kind::Transfer, method, |core, current, now_ns| {
            core.plan_transfer(method, current, now_ns)
        })?;
        Ok(Transfer::new(call))
    }

    fn open(
        &self,
        kind: Kind,
        method: Option<&str>,
        plan: impl FnOnce(&mut Connection, Option<TraceParent>, u64) -> Result<(StreamKey, Plan), Error>,
    ) -> Result<Call, Error> {
        let shared = self.shared();
        let current = OtelContext::current();
        let parent = span_context(&current).map(|span| span.trace_parent);
        let mut guard = shared.lock();
        let state = &mut *guard;
        check_open(state)?;
        let (key, plan) = plan(&mut state.core, parent, shared.now_ns())?;
        let context = shared.start_span(state, plan, &current, &Baggage::default());
        state.hold(key, context.clone());
        shared.drain(state);
        let method = method.map(str::to_owned);
        let call = Described {
            key,
            kind,
            method,
            context,
            incoming: false,
            registered: false,
        };
        Ok(Call::new(self.clone(), call, OnDrop::Leave))
    }

    /// Sends a message outside every call, with the context of the current span.
    ///
    /// # Errors
    ///
    /// `closed`, `invalid_argument`, `limit`.
    pub async fn send<'a>(&self, message: impl Into<Outgoing<'a>>) -> Result<(), Error> {
        let context = OtelContext::current();
        self.send_on(StreamKey::PLAIN, message.into(), false, &context)
            .await
    }

    /// Receives the next message outside every call; `None` when the connection has closed. If nobody does, reading pauses
    /// once 256 wait, and after 5 s they are dropped and counted (options `max_unread` and `overflow_wait`).
    pub async fn recv(&self) -> Option<Message> {
        // Served by handlers that take none of them, they were discarded up to now.
        self.shared()
            .lock()
            .core
            .set_plain_policy(PlainPolicy::Queue);
        self.shared().next_plain().await
    }

    /// The next call or transfer of the peer, for those who schedule them themselves; `None` when the connection has
    /// closed. It needs [`super::Connector::methods`] or [`super::Acceptor::methods`]: without these, and without
    /// handlers, calls of the peer are answered `unknown_method`.
    pub async fn next_call(&self) -> Option<Call> {
        let call = self.shared().next_incoming().await?;
        Some(Call::new(self.clone(), call, OnDrop::Leave))
    }

    /// Closes the connection with code 1000: sends what is queued, exchanges close frames, and waits at most 5 s for the
    /// peer's. Open calls end with the error `closed`.
    pub async fn close(&self) {
        self.shared().ask_close(1000, "");
        self.closed().await;
    }

    /// As [`TracedConnection::close`], with a code and a reason.
    ///
    /// # Errors
    ///
    /// `invalid_argument` if a peer must not send the code (RFC 6455, section 7.4), or the reason is over 123 bytes.
    pub async fn close_with(&self, code: u16, reason: &str) -> Result<(), Error> {
        if !matches!(code, 1000..=1003 | 1007..=1011 | 3000..=4999) {
            return Err(Error::invalid_argument(
                "code",
                format!("must be 1000 to 1003, 1007 to 1011 or 3000 to 4999, not {code}"),
            ));
        }
        if reason.len() > limits::MAX_CLOSE_REASON_BYTES {
            return Err(Error::invalid_argument(
                "reason",
                "must be at most 123 bytes",
            ));
        }
        self.shared().ask_close(code, reason);
        self.closed().await;
        Ok(())
    }

    /// Waits until the connection has closed.
    pub async fn closed(&self) {
        self.shared()
            .wait_until(|state| (state.phase == Phase::Closed).then_some(()))
            .await;
    }

    /// Tells whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.shared().lock().phase == Phase::Open
    }

    /// The session id in force.
    #[must_use]
    pub fn session_id(&self) -> String {
        self.shared().lock().core.session_id().to_owned()
    }

    /// What this side knows of its peer.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.shared().lock().core.peer()
    }

    /// How often something was dropped, ignored or out of order.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared().lock().core.counters().clone()
    }

    /// What a later connection needs to continue this one's session, through
    /// [`crate::connection::Options::session`].
    #[must_use]
    pub fn resumption(&self) -> Resumption {
        self.shared().lock().core.resumption()
    }

    /// Code and reason with which the connection closed, once it has; `None` also where it closed without a close frame.
    #[must_use]
    pub fn close_frame(&self) -> Option<(u16, String)> {
        self.shared().lock().close_frame.clone()
    }

    /// Waits until the peer is known, or will not become known by waiting.
    pub(super) async fn ready(&self) {
        self.shared()
            .wait_until(|state| {
                (state.core.is_ready() || state.phase == Phase::Closed).then_some(())
            })
            .await;
    }

    /// Takes no further call of the peer, and waits until the handlers that run have returned.
    pub(super) async fn drained(&self) {
        self.shared().drained().await;
    }

    pub(super) async fn send_on(
        &self,
        key: StreamKey,
        message: Outgoing<'_>,
        last: bool,
        context: &OtelContext,
    ) -> Result<(), Error> {
        let (headers, text) = (message.headers(), message.text());
        self.with_room(key, context, |shared, state, carried| {
            let message = CoreMessage {
                body: message.body(),
                last,
                headers: &headers,
            };
            let frame = state.core.send(key, message, carried, shared.now_ns())?;
            let frame = to_transport(&frame, text);
            shared.enqueue(state, Origin::Application, frame);
            Ok(())
        })
        .await
    }

    pub(super) async fn end_on(&self, key: StreamKey, context: &OtelContext) -> Result<(), Error> {
        self.with_room(key, context, |shared, state, carried| {
            state.core.end(key, carried, shared.now_ns())
        })
        .await
    }

    /// Waits until the transport has room, then makes a message and queues it, all under one lock.
    async fn with_room(
        &self,
        key: StreamKey,
        context: &OtelContext,
        mut send: impl FnMut(&Shared, &mut State, &ContextRef<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let shared = self.shared();
        shared
            .wait_for_room(|state| {
                if let Err(closed) = check_open(state) {
                    // A call says why it ended, which may have been before.
                    let kind = state.failure(key).filter(|kind| *kind != ErrorKind::Closed);
                    return Some(Err(
                        kind.map_or(closed, |kind| Error::new(kind, "the call has ended"))
                    ));
                }
                if !state.has_room() {
                    return None;
                }
                let sent = if state.context_sent(key) {
                    send(shared, state, &ContextRef::default())
                } else {
                    let span = span_context(context);
                    let baggage = (state.core.options().baggage_out != AllowList::none())
                        .then(|| crate::otel::baggage(context));
                    let carried = ContextRef {
                        trace_parent: span.as_ref().map(|span| span.trace_parent),
                        trace_state: span.as_ref().map_or("", |span| span.trace_state.as_str()),
                        baggage: baggage.as_ref(),
                    };
                    send(shared, state, &carried)
                };
                if sent.is_ok() {
                    state.note_context_sent(key);
                }
                shared.drain(state);
                Some(sent)
            })
            .await
    }

    pub(super) fn finish(&self, act: impl FnOnce(&mut Connection, u64)) {
        self.shared().finish(act);
    }

    pub(super) async fn next_on(&self, key: StreamKey) -> Option<Result<Message, Error>> {
        loop {
            match self.shared().take_chunk(key) {
                Chunk::Message(message) => return Some(Ok(message)),
                Chunk::End(ReadEnd::Failed { kind, error_type }) => {
                    return Some(Err(read_error(kind, error_type.as_deref())));
                }
                Chunk::End(ReadEnd::Complete) | Chunk::Gone => return None,
                // One reader at a time: what comes before the wait begins is kept for it.
                Chunk::Wait(arrived) => arrived.raised().await,
            }
        }
    }

    pub(super) fn forget(&self, key: StreamKey) {
        self.shared().forget(key);
    }

    /// The stream metrics of a call, running or ended: sent, received.
    pub(super) fn metrics_of(&self, key: StreamKey) -> (Summary, Summary) {
        let state = self.shared().lock();
        match state.report(key) {
            Some(report) => (report.sent.summary(), report.received.summary()),
            None => state.core.metrics(key).unwrap_or_else(|| {
                let nothing = StreamMetrics::default().summary();
                (nothing.clone(), nothing)
            }),
        }
    }
}

fn check_open(state: &State) -> Result<(), Error> {
    if state.phase == Phase::Open {
        Ok(())
    } else {
        Err(Error::new(ErrorKind::Closed, "the connection is closed"))
    }
}

fn read_error(kind: ErrorKind, error_type: Option<&str>) -> Error {
    match error_type {
        Some(name) => Error::new(kind, format!("the call ended with the error {name:?}")),
        None => Error::new(kind, "the call ended before this direction was complete"),
    }
}
