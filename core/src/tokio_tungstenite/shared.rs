//! What the tasks and handles of one connection share.
//!
//! Everything of a connection stands under one lock: making a message and queueing it for the transport is one critical
//! section, and so is taking a message and delivering it. No handler of the application runs under the lock; the
//! processors of its OpenTelemetry SDK do.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use ::tokio_tungstenite::tungstenite;
use opentelemetry::Context as OtelContext;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use super::call::Described;
use super::handlers::Handlers;
use super::message::{Incoming, Message, bytes_to_transport};
use super::outbox::{Origin, Outbox};
use super::signal::Signal;
use crate::connection::{
    Attribute, Connection, Event, IncomingStream, PlainPolicy, Plan, ReadEnd, SpanEnd, SpanKey,
    StreamKey, StreamReport,
};
use crate::counters::Counter;
use crate::error::ErrorKind;
use crate::names::{self, wire_error};
use crate::otel::{ClockTie, SpanMaker, span_context};
use crate::trace::Baggage;

/// How far the connection is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Messages go both ways.
    Open,
    /// What is queued is written, then a close frame with this code and reason.
    Closing(u16, String),
    /// Our close frame is out.
    CloseSent,
    /// Nothing goes any more.
    Closed,
}

/// Who takes the calls of the peer.
#[derive(Clone, Debug, Default)]
pub(super) enum Serving {
    /// Nobody: they are answered `unknown_method`.
    #[default]
    Nobody,
    /// The application, through `TracedConnection::next_call`; these methods may name a span.
    Application(Vec<String>),
    /// Handlers.
    Handlers(Arc<Handlers>),
}

impl Serving {
    pub(super) fn handlers(&self) -> Option<&Arc<Handlers>> {
        match self {
            Self::Handlers(handlers) => Some(handlers),
            Self::Nobody | Self::Application(_) => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    spans: SpanMaker,
    clock: ClockTie,
    started: Instant,
    /// Something is to be written, or to be closed.
    pub(super) to_write: Signal,
    /// What the reading side waits for has changed.
    pub(super) to_read: Signal,
    /// The connection is no longer open.
    pub(super) to_close: Signal,
    /// The writer made room, or closed.
    room: Notify,
    /// The phase or the readiness changed, or the last handler returned that was waited for.
    changed: Notify,
    /// A message outside every call arrived, or the connection closed.
    plain_arrived: Notify,
    /// A call of the peer arrived, or the connection closed.
    call_arrived: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) core: Connection,
    pub(super) phase: Phase,
    /// The close frame with which the connection closed.
    pub(super) close_frame: Option<(u16, String)>,
    outbox: Outbox,
    /// The deadline that the reading task has set its timer to.
    armed_ns: u64,
    calls: FxHashMap<StreamKey, CallState>,
    /// The spans that are open.
    open_spans: FxHashMap<SpanKey, OtelContext>,
    /// Those of them that have no session id yet.
    without_session: Vec<SpanKey>,
    plain: VecDeque<Message>,
    incoming: VecDeque<Described>,
    serving: Serving,
    /// No further call of the peer is taken.
    draining: bool,
    running_handlers: usize,
}

/// A call or transfer that the application, or a handler, holds.
#[derive(Debug)]
struct CallState {
    context: OtelContext,
    chunks: VecDeque<Message>,
    end: Option<ReadEnd>,
    /// A chunk or the end came.
    arrived: Arc<Signal>,
    /// The first message, which carries the context, has been sent.
    context_sent: bool,
    report: Option<Box<StreamReport>>,
}

/// What a reader of a call finds.
#[derive(Debug)]
pub(super) enum Chunk {
    Message(Message),
    End(ReadEnd),
    /// Nothing yet; wait for this.
    Wait(Arc<Signal>),
    /// The call is not held any more.
    Gone,
}

/// What the writing task does next.
#[derive(Debug)]
pub(super) enum Write {
    Message(tungstenite::Message),
    Close(u16, String),
    /// Everything is written: flush, then wait.
    Flush,
    Stop,
}

impl Shared {
    pub(super) fn new(mut core: Connection, serving: Serving) -> Arc<Self> {
        // Both clocks are read here, one right after the other.
        let started = Instant::now();
        let clock = ClockTie::new(0, SystemTime::now());
        let mut policy = PlainPolicy::Queue;
        match &serving {
            Serving::Nobody => {}
            Serving::Application(methods) => core.set_methods(methods.clone()),
            Serving::Handlers(handlers) => {
                core.set_methods(handlers.methods().map(str::to_owned).collect::<Vec<_>>());
                if !handlers.takes_messages() {
                    policy = PlainPolicy::Discard;
                }
            }
        }
        core.set_plain_policy(policy);
        Arc::new(Self {
            state: Mutex::new(State {
                core,
                phase: Phase::Open,
                close_frame: None,
                outbox: Outbox::default(),
                armed_ns: u64::MAX,
                calls: FxHashMap::default(),
                open_spans: FxHashMap::default(),
                without_session: Vec::new(),
                plain: VecDeque::new(),
                incoming: VecDeque::new(),
                serving,
                draining: false,
                running_handlers: 0,
            }),
            spans: SpanMaker::new(),
            clock,
            started,
            to_write: Signal::default(),
            to_read: Signal::default(),
            to_close: Signal::default(),
            room: Notify::new(),
            changed: Notify::new(),
            plain_arrived: Notify::new(),
            call_arrived: Notify::new(),
        })
    }

    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time of a deadline, if the clock can express it.
    pub(super) fn instant(&self, at_ns: u64) -> Option<Instant> {
        self.started.checked_add(Duration::from_nanos(at_ns))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Only an SDK's processor can panic under the lock, and the tables are consistent whenever one runs.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a span and remembers it until the core ends it.
    pub(super) fn start_span(
        &self,
        state: &mut State,
        mut plan: Plan,
        current: &OtelContext,
        baggage: &Baggage,
    ) -> OtelContext {
        let key = plan.span;
        if state.core.session_may_change() {
            // The SDK keeps both values of an attribute that is set twice, so this one waits until it is sure.
            plan.attributes
                .retain(|attribute| attribute.key != names::attribute::SESSION_ID);
            state.without_session.push(key);
        }
        let connection = state.open_spans.get(&SpanKey::CONNECTION).cloned();
        let context = self
            .spans
            .start(plan, current, connection.as_ref(), baggage);
        state.open_spans.insert(key, context.clone());
        if matches!(key, SpanKey::CONNECTION | SpanKey::HANDSHAKE)
            && let Some(span) = span_context(&context)
        {
            state.core.span_started(key, &span);
        }
        context
    }

    /// Starts the spans that a handshake asks for.
    pub(super) fn start_handshake(&self, plans: Vec<Plan>, current: &OtelContext) {
        let mut guard = self.lock();
        for plan in plans {
            self.start_span(&mut guard, plan, current, &Baggage::default());
        }
    }

    /// Calls into the core and acts on what follows.
    pub(super) fn finish<T>(&self, act: impl FnOnce(&mut Connection, u64) -> T) -> T {
        let mut guard = self.lock();
        let now_ns = self.now_ns();
        let result = act(&mut guard.core, now_ns);
        self.drain(&mut guard);
        result
    }

    /// Acts on everything that the core has to say.
    pub(super) fn drain(&self, state: &mut State) {
        while let Some(event) = state.core.poll_event() {
            match event {
                Event::Frame { form, bytes } => {
                    self.enqueue(state, Origin::Connection, bytes_to_transport(form, bytes));
                }
                Event::SpanUpdate { span, attributes } => {
                    state.without_session.retain(|other| *other != span);
                    if let Some(context) = state.open_spans.get(&span) {
                        self.spans.update(context, attributes);
                    }
                }
                Event::SpanEnd(end) => self.end_span(state, *end),
                Event::ReadEnd { stream, end } => {
                    if let Some(call) = state.calls.get_mut(&stream) {
                        call.end = Some(end);
                        call.arrived.raise();
                    }
                }
                Event::PauseReading | Event::ResumeReading => self.to_read.raise(),
                Event::Ready => self.changed.notify_waiters(),
                Event::SessionChanged { .. } => {}
            }
        }
        if !state.without_session.is_empty() && !state.core.session_may_change() {
            for span in std::mem::take(&mut state.without_session) {
                self.set_session(state, span);
            }
        }
        let deadline_ns = state.core.next_deadline().unwrap_or(u64::MAX);
        if deadline_ns < state.armed_ns {
            state.armed_ns = deadline_ns;
            self.to_read.raise();
        }
    }

    fn set_session(&self, state: &State, span: SpanKey) {
        if let Some(context) = state.open_spans.get(&span) {
            let session_id = state.core.session_id().to_owned();
            let session = Attribute::str(names::attribute::SESSION_ID, session_id);
            self.spans.update(context, vec![session]);
        }
    }

    fn end_span(&self, state: &mut State, mut end: SpanEnd) {
        if let Some(at) = state
            .without_session
            .iter()
            .position(|span| *span == end.span)
        {
            state.without_session.swap_remove(at);
            self.set_session(state, end.span);
        }
        if let Some(context) = state.open_spans.remove(&end.span) {
            self.spans.end(&context, &end, &self.clock);
        }
        if let Some(call) = state
            .calls
            .get_mut(&StreamKey::from_number(end.span.number()))
        {
            call.report = end.report.take();
        }
    }

    pub(super) fn enqueue(&self, state: &mut State, origin: Origin, message: tungstenite::Message) {
        // Behind a close frame nothing goes out, and nobody would take it off the queue.
        if matches!(state.phase, Phase::Open | Phase::Closing(..)) {
            state.outbox.push(origin, message);
            self.to_write.raise();
        }
    }

    pub(super) fn next_to_write(&self) -> Write {
        let mut guard = self.lock();
        let state = &mut *guard;
        let held_up_reading = !state.outbox.has_room_for_answers();
        let held_up_senders = !state.outbox.has_room();
        if let Some(message) = state.outbox.pop() {
            if held_up_senders && state.outbox.has_room() {
                self.room.notify_waiters();
            }
            if held_up_reading {
                self.to_read.raise();
            }
            return Write::Message(message);
        }
        match std::mem::replace(&mut state.phase, Phase::CloseSent) {
            Phase::Closing(code, reason) => Write::Close(code, reason),
            Phase::Open => {
                state.phase = Phase::Open;
                Write::Flush
            }
            ended => {
                state.phase = ended;
                Write::Stop
            }
        }
    }

    /// Says that nothing can be written any more: what is queued is dropped, and senders find the connection closed.
    pub(super) fn stop_writing(&self) {
        let mut state = self.lock();
        if state.phase != Phase::Closed {
            state.phase = Phase::CloseSent;
        }
        state.outbox.clear();
        drop(state);
        self.room.notify_waiters();
        self.to_read.raise();
        self.to_close.raise();
        self.changed.notify_waiters();
    }

    /// Whether the reading task may take a message from the transport, and when it has to look at the clock.
    pub(super) fn reading(&self) -> (bool, Option<Instant>) {
        let mut state = self.lock();
        let deadline_ns = state.core.next_deadline();
        state.armed_ns = deadline_ns.unwrap_or(u64::MAX);
        // While the connection closes, nothing keeps the peer's close frame from being seen.
        let may_read = state.phase != Phase::Open || state.has_room_to_read();
        (may_read, deadline_ns.and_then(|at_ns| self.instant(at_ns)))
    }

    /// Takes a message from the transport, and tells whether it opened a call that is to be served.
    pub(super) fn receive(&self, message: &Incoming) -> bool {
        let mut guard = self.lock();
        let state = &mut *guard;
        // The reading task looks for a deadline by itself after this, and need not be woken for it.
        state.armed_ns = 0;
        // While it closes, what the peer still sends is read up to its close frame, but not piled up.
        if state.phase != Phase::Open && !state.has_room_to_read() {
            state.core.count(Counter::Discarded, 1);
            return false;
        }
        let mut received = state
            .core
            .receive(message.bytes(), message.form(), self.now_ns());
        let (stream, mut is_call) = (received.stream, false);
        if let Some(opened) = received.opened.take() {
            let baggage = std::mem::take(&mut received.baggage);
            is_call = self.open_incoming(state, stream, *opened, &baggage);
        }
        if stream == StreamKey::PLAIN {
            if let Some(message) = Message::new(&received, message, None) {
                state.plain.push_back(message);
                self.plain_arrived.notify_one();
            }
        } else if let Some(call) = state.calls.get_mut(&stream)
            && let Some(message) = Message::new(&received, message, Some(&call.context))
        {
            call.chunks.push_back(message);
            call.arrived.raise();
        }
        self.drain(state);
        is_call
    }

    /// Opens a call of the peer, and tells whether it is served.
    fn open_incoming(
        &self,
        state: &mut State,
        key: StreamKey,
        opened: IncomingStream,
        baggage: &Baggage,
    ) -> bool {
        // What is current in the reading task has nothing to do with the call.
        let context = self.start_span(state, opened.plan, &OtelContext::new(), baggage);
        let wanted = match &state.serving {
            Serving::Nobody => false,
            Serving::Application(_) => true,
            Serving::Handlers(handlers) => handlers.serves(opened.method.as_deref()),
        };
        if !wanted {
            state
                .core
                .fail(key, wire_error::UNKNOWN_METHOD, self.now_ns());
            return false;
        }
        state.calls.insert(key, CallState::new(context.clone()));
        state.incoming.push_back(Described {
            key,
            kind: opened.kind,
            method: opened.method.map(String::from),
            context,
            incoming: true,
            registered: opened.registered,
        });
        self.call_arrived.notify_one();
        true
    }

    /// Forgets a call that nobody holds any more.
    pub(super) fn forget(&self, key: StreamKey) {
        self.lock().calls.remove(&key);
    }

    /// Takes the next chunk of a call.
    pub(super) fn take_chunk(&self, key: StreamKey) -> Chunk {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(call) = state.calls.get_mut(&key) else {
            return Chunk::Gone;
        };
        if let Some(message) = call.chunks.pop_front() {
            state.core.take(key, message.bytes().len(), self.now_ns());
            self.drain(state);
            return Chunk::Message(message);
        }
        match &call.end {
            Some(end) => Chunk::End(end.clone()),
            None => Chunk::Wait(Arc::clone(&call.arrived)),
        }
    }

    /// The next message outside every call; `None` when the connection has closed.
    pub(super) async fn next_plain(&self) -> Option<Message> {
        self.wait_for(&self.plain_arrived, |state| match state.plain.pop_front() {
            Some(message) => {
                let now_ns = self.now_ns();
                state
                    .core
                    .take(StreamKey::PLAIN, message.bytes().len(), now_ns);
                self.drain(state);
                Some(Some(message))
            }
            None => (state.phase == Phase::Closed).then_some(None),
        })
        .await
    }

    /// The next call of the peer; `None` when none is taken any more.
    pub(super) async fn next_incoming(&self) -> Option<Described> {
        self.wait_for(&self.call_arrived, |state| {
            // What came before the connection closed is still taken.
            match state.incoming.pop_front() {
                Some(call) if !state.draining => Some(Some(call)),
                _ => (state.draining || state.phase == Phase::Closed).then_some(None),
            }
        })
        .await
    }

    /// Waits until `done` answers.
    pub(super) async fn wait_until<T>(&self, done: impl FnMut(&mut State) -> Option<T>) -> T {
        self.wait_for(&self.changed, done).await
    }

    /// Waits until `done` answers, for one of several that send.
    pub(super) async fn wait_for_room<T>(&self, done: impl FnMut(&mut State) -> Option<T>) -> T {
        self.wait_for(&self.room, done).await
    }

    async fn wait_for<T>(
        &self,
        notify: &Notify,
        mut done: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        // Mostly there is nothing to wait for.
        if let Some(result) = done(&mut self.lock()) {
            return result;
        }
        loop {
            let notified = notify.notified();
            tokio::pin!(notified);
            // From here on a notification is not lost, so it may come between the look and the wait.
            notified.as_mut().enable();
            if let Some(result) = done(&mut self.lock()) {
                return result;
            }
            notified.await;
        }
    }

    /// Takes the next call that has come, if another handler may run, and counts that as running.
    pub(super) fn start_next(&self) -> Option<Described> {
        let mut state = self.lock();
        if state.draining || state.running_handlers >= state.core.options().max_running {
            return None;
        }
        let call = state.incoming.pop_front()?;
        state.running_handlers += 1;
        Some(call)
    }

    /// Whether a call that waited for its turn still has something for a handler.
    pub(super) fn wants_handler(&self, key: StreamKey) -> bool {
        let state = self.lock();
        state
            .calls
            .get(&key)
            .is_some_and(|call| !matches!(call.end, Some(ReadEnd::Failed { .. })))
    }

    pub(super) fn handler_stops(&self, key: StreamKey) {
        let mut state = self.lock();
        state.running_handlers -= 1;
        state.calls.remove(&key);
        let is_drained = state.draining && state.running_handlers == 0;
        drop(state);
        if is_drained {
            self.changed.notify_waiters();
        }
    }

    /// Takes no further call of the peer, and waits until the handlers that run have returned.
    pub(super) async fn drained(&self) {
        self.lock().draining = true;
        self.call_arrived.notify_waiters();
        self.wait_until(|state| {
            (state.running_handlers == 0 || state.phase == Phase::Closed).then_some(())
        })
        .await;
    }

    /// Asks for the closing handshake.
    pub(super) fn ask_close(&self, code: u16, reason: &str) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Closing(code, reason.to_owned());
        }
        drop(state);
        self.to_write.raise();
        self.to_read.raise();
        self.to_close.raise();
        self.changed.notify_waiters();
    }

    /// Notes the peer's close frame. It is answered by the library, and nothing goes out behind the answer.
    pub(super) fn peer_closes(&self, frame: (u16, String)) {
        let mut guard = self.lock();
        let state = &mut *guard;
        // Before the peer hears the answer: it may come again at once, and its session must be free by then.
        state.core.on_close(Some(frame.0), &frame.1, self.now_ns());
        state.close_frame = Some(frame);
        self.drain(state);
        drop(guard);
        self.stop_writing();
        self.to_write.raise();
    }

    /// Marks the connection closed and ends what is open. `sent` is a close frame of this side that stands for the peer's.
    pub(super) fn close(&self, sent: Option<(u16, String)>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.phase == Phase::Closed {
            return;
        }
        state.phase = Phase::Closed;
        state.close_frame = state.close_frame.take().or(sent);
        state.outbox.clear();
        let (code, reason) = match &state.close_frame {
            Some((code, reason)) => (Some(*code), reason.as_str()),
            None => (None, ""),
        };
        state.core.on_close(code, reason, self.now_ns());
        self.drain(state);
        drop(guard);
        self.to_write.raise();
        self.to_read.raise();
        self.to_close.raise();
        self.room.notify_waiters();
        self.changed.notify_waiters();
        self.plain_arrived.notify_waiters();
        self.call_arrived.notify_waiters();
    }

    /// Ends the handshake's spans with an error, if it is not over.
    pub(super) fn fail_handshake(&self, error_type: &str) {
        self.finish(|core, _| core.fail_handshake(error_type));
    }
}

impl State {
    /// Whether senders may add to what waits for the transport.
    pub(super) fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Whether a message may be taken from the transport.
    fn has_room_to_read(&self) -> bool {
        self.core.may_read() && self.outbox.has_room_for_answers()
    }

    /// Remembers a call of this side.
    pub(super) fn hold(&mut self, key: StreamKey, context: OtelContext) {
        self.calls.insert(key, CallState::new(context));
    }

    /// Tells whether a call has sent its context, which goes with the first message only.
    pub(super) fn context_sent(&self, key: StreamKey) -> bool {
        self.calls.get(&key).is_some_and(|call| call.context_sent)
    }

    pub(super) fn note_context_sent(&mut self, key: StreamKey) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.context_sent = true;
        }
    }

    /// Why a call has ended, if it did not end normally.
    pub(super) fn failure(&self, key: StreamKey) -> Option<ErrorKind> {
        match self.calls.get(&key)?.end {
            Some(ReadEnd::Failed { kind, .. }) => Some(kind),
            _ => None,
        }
    }

    /// What was measured on a call that has ended.
    pub(super) fn report(&self, key: StreamKey) -> Option<&StreamReport> {
        self.calls.get(&key)?.report.as_deref()
    }
}

impl CallState {
    fn new(context: OtelContext) -> Self {
        Self {
            context,
            chunks: VecDeque::new(),
            end: None,
            arrived: Arc::default(),
            context_sent: false,
            report: None,
        }
    }
}
