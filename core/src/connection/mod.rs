//! The connection: a deterministic state machine. Bytes, time and entropy go in; events and span plans come out.
//!
//! It does no I/O, reads no clock and makes no span. The host does, in this order:
//!
//! 1. makes it ([`Connection::client`] or [`Connection::server`]), starts the spans that [`Connection::plan_handshake`]
//!    asks for, exchanges what [`Connection::request`] or [`Connection::response`] give, and opens it;
//! 2. passes each received message to [`Connection::receive`], and each message to send through [`Connection::send`];
//!    making a message and queueing it for the transport is one critical section;
//! 3. after every call polls the events until there is none, and calls [`Connection::on_time`] when
//!    [`Connection::next_deadline`] has come;
//! 4. says when the transport has closed ([`Connection::on_close`]).
//!
//! Times are readings of a monotonic clock of the host, in nanoseconds. `conformance/SPEC.md`, chapters "Negotiation",
//! "Sessions", "Streams" and "Span plans", numbers the rules.

mod event;
mod handshake;
mod lifecycle;
mod naming;
mod open;
mod options;
mod plan;
mod profile;
mod receive;
mod send;
mod session;
mod streams;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;

use rustc_hash::FxHashMap;

pub use event::{Event, IncomingStream, Payload, ReadEnd, Received};
pub use handshake::{
    HandshakeRequest, HandshakeResponse, RequestAdditions, ResponseAdditions, SUBPROTOCOL, VERSION,
};
pub use naming::Naming;
pub use open::{Accept, Endpoint, RequestTarget};
pub use options::{
    Hello, Hosts, Mode, OptionValue, Options, Resumption, Session, SubprotocolAnnouncement,
    TIME_SPANS, TraceScope, Trust,
};
pub use plan::{
    Attribute, Link, Parent, Plan, SpanEnd, SpanEvent, SpanKey, SpanKind, Status, StreamReport,
    Value,
};
pub use profile::Profile;
pub use send::{ContextRef, Fitted, Message};
pub use session::{ConnectionId, SessionRegistry, Vouch};
pub use streams::StreamKey;

use crate::counters::{Counter, Counters};
use crate::envelope::Role;
use crate::error::{Error, ErrorKind};
use crate::metrics::Summary;
use crate::trace::{SpanContext, TraceParent};
use streams::{EndedStreams, Stream, Unread};

/// What this side knows of its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Peer {
    /// Nothing: it gets and gives messages as they are.
    Unknown,
    /// It announced itself and speaks this version.
    Announced {
        /// The version.
        version: u32,
    },
    /// It said nothing, and the configuration takes it to speak version 1.
    Always,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Handshake,
    Open,
    Closed,
}

/// One side of a connection. See the [module](self) for what its host does.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    options: Arc<Options>,
    state: State,
    peer: Peer,
    /// This side has announced itself on this connection.
    announced: bool,
    session: String,
    /// The id that this side had proposed before the peer answered another one.
    previous_session: Option<String>,
    registry: Option<(SessionRegistry, ConnectionId)>,
    /// The peer's address, by which the registry bounds its sessions.
    remote: Option<Box<str>>,
    superseded: Option<ConnectionId>,
    /// The host has a callback that decides over session ids.
    asks_for_sessions: bool,
    endpoint: Endpoint,
    url: Option<UrlParts>,
    spans: ConnectionSpans,
    hello: HelloState,
    streams: FxHashMap<u32, Stream>,
    /// Keys of the open streams whose messages travel in envelopes, by their id on the wire.
    by_wire: FxHashMap<NonZeroU32, u32>,
    ended: EndedStreams,
    /// The open call toward a peer that is unknown.
    bare_call: Option<u32>,
    next_key: u32,
    /// The next id that this side will use on the wire, or 0 when all are used.
    next_wire: u32,
    highest_peer_wire: u32,
    /// The peer turned out to have this side's role; nothing opens any more.
    same_role: bool,
    plain: PlainQueue,
    /// Number of readers that hold reading up.
    full_readers: usize,
    /// No deadline of a stream or reader is earlier than this; `u64::MAX` without any.
    earliest_deadline_ns: u64,
    methods: Arc<[String]>,
    counters: Counters,
    events: VecDeque<Event>,
    /// The head of the message that is being sent, kept so that sending allocates nothing here.
    scratch: Vec<u8>,
}

/// What the endpoint does not say of the connection's URL.
#[derive(Debug)]
struct UrlParts {
    /// The scheme is `wss`.
    secure: bool,
    path: Box<str>,
}

/// The spans of the connection itself.
#[derive(Debug, Default)]
struct ConnectionSpans {
    /// The span as long as the connection is open.
    connection_open: bool,
    /// The span of the handshake is open.
    handshake_open: bool,
    /// The connection span, once the host has started it.
    connection: Option<SpanContext>,
    /// The handshake span, once the host has started it.
    handshake: Option<SpanContext>,
    /// The HTTP span of an instrumentation that was current during the handshake.
    http: Option<SpanContext>,
    /// What the peer's handshake carried.
    remote: Option<SpanContext>,
    /// The span of the connection before this one, until something links it.
    earlier: Option<SpanContext>,
}

#[derive(Debug, Default)]
struct HelloState {
    /// A message has been received.
    received_any: bool,
    /// A peer taken to speak version 1 has named its session; only the first name counts.
    session_named: bool,
    /// Until when `connect` waits.
    wait_until_ns: Option<u64>,
}

/// Messages outside every stream that the host holds for a reader.
#[derive(Debug, Default)]
struct PlainQueue {
    policy: PlainPolicy,
    unread: Unread,
    /// Nobody read for too long: what comes is discarded until somebody does.
    overflowing: bool,
}

/// Where messages outside every stream go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlainPolicy {
    /// To the host, which has no queue to be bounded.
    #[default]
    Deliver,
    /// Into a queue of the host, bounded like that of a call; the host reports what is taken out by [`Connection::take`].
    Queue,
    /// Nobody wants them: they are discarded and counted.
    Discard,
}

impl Connection {
    fn new(role: Role, options: Arc<Options>, session: String) -> Result<Self, Error> {
        options.check()?;
        Ok(Self {
            role,
            options,
            state: State::Handshake,
            peer: Peer::Unknown,
            announced: false,
            session,
            previous_session: None,
            registry: None,
            remote: None,
            superseded: None,
            asks_for_sessions: false,
            endpoint: Endpoint::default(),
            url: None,
            spans: ConnectionSpans::default(),
            hello: HelloState::default(),
            streams: FxHashMap::default(),
            by_wire: FxHashMap::default(),
            ended: EndedStreams::default(),
            bare_call: None,
            // 0 and 1 name the spans of the connection and of the handshake.
            next_key: 2,
            next_wire: match role {
                Role::Client => 1,
                Role::Server => 2,
            },
            highest_peer_wire: 0,
            same_role: false,
            plain: PlainQueue::default(),
            full_readers: 0,
            earliest_deadline_ns: u64::MAX,
            methods: Arc::default(),
            counters: Counters::default(),
            events: VecDeque::new(),
            scratch: Vec::new(),
        })
    }

    /// This side's role.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// What this side knows of its peer.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// The session id in force.
    #[must_use]
    pub fn session_id(&self) -> &str {
        &self.session
    }

    /// What a later connection needs to continue this one's session, through [`Options::session`].
    #[must_use]
    pub fn resumption(&self) -> Resumption {
        Resumption {
            session_id: self.session.clone(),
            span: self.own_span().cloned(),
        }
    }

    /// The options in force.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How often something was dropped, ignored or out of order.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Counts something that the host had to drop.
    pub fn count(&mut self, counter: Counter, n: u32) {
        self.counters.add(counter, n);
    }

    /// This connection's name within its registry of sessions.
    #[must_use]
    pub fn connection_id(&self) -> Option<ConnectionId> {
        self.registry.as_ref().map(|(_, id)| *id)
    }

    /// The connection that lost its session to this one: its host calls [`Connection::on_superseded`] on it.
    #[must_use]
    pub fn superseded(&self) -> Option<ConnectionId> {
        self.superseded
    }

    /// Tells whether the connection can send and receive.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Tells whether `connect` can return: the peer is known, or will not become known by waiting.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == State::Open && self.hello.wait_until_ns.is_none()
    }

    /// Tells whether the host may read from its transport.
    #[must_use]
    pub fn may_read(&self) -> bool {
        self.full_readers == 0
    }

    /// Number of open calls and transfers, of both sides together.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.len()
    }

    /// Names the methods that the application serves; only these can name a span.
    pub fn set_methods(&mut self, methods: impl Into<Arc<[String]>>) {
        self.methods = methods.into();
    }

    /// Says where messages outside every stream go.
    pub fn set_plain_policy(&mut self, policy: PlainPolicy) {
        self.plain.policy = policy;
    }

    /// The stream metrics so far of an open call or transfer: sent, received.
    #[must_use]
    pub fn metrics(&self, stream: StreamKey) -> Option<(Summary, Summary)> {
        let stream = self.streams.get(&stream.0)?;
        Some((
            stream.report.sent.summary(),
            stream.report.received.summary(),
        ))
    }

    /// The next thing for the host to act on.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Tells whether [`Connection::poll_event`] has something to give, for hosts to which asking for it costs a call.
    #[must_use]
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    fn require_open(&self) -> Result<(), Error> {
        match self.state {
            State::Open => Ok(()),
            State::Handshake => Err(Error::invalid_state(
                "the connection is not open yet: finish its handshake first",
            )),
            State::Closed => Err(Error::new(ErrorKind::Closed, "the connection is closed")),
        }
    }

    /// The span that stands for this connection: its own, else that of its handshake, else the HTTP span around it.
    fn own_span(&self) -> Option<&SpanContext> {
        let spans = &self.spans;
        spans
            .connection
            .as_ref()
            .or(spans.handshake.as_ref())
            .or(spans.http.as_ref())
    }

    /// The current span of the host, unless it is the HTTP span that was current at accept: that one is as long as the
    /// connection and says nothing about a call.
    fn usable_current(&self, current: Option<TraceParent>) -> Option<TraceParent> {
        let current = current?;
        let is_http = self.options.trace_scope == TraceScope::Call
            && self.role == Role::Server
            && self.spans.http.as_ref().is_some_and(|http| {
                http.trace_parent.span_id == current.span_id
                    && http.trace_parent.trace_id == current.trace_id
            });
        (!is_http).then_some(current)
    }

    fn is_mine(&self, wire: NonZeroU32) -> bool {
        let odd = wire.get() % 2 == 1;
        odd == (self.role == Role::Client)
    }

    /// Remembers that something is due at a time.
    fn note_deadline(&mut self, at_ns: u64) {
        self.earliest_deadline_ns = self.earliest_deadline_ns.min(at_ns);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some((registry, id)) = &self.registry {
            registry.release(&self.session, *id);
        }
    }
}

#[cfg(test)]
mod tests;
