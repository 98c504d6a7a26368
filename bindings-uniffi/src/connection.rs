//! The sans-IO connection.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wirespan::connection::{
    Accept, Connection as Core, ContextRef, Endpoint, HandshakeResponse, Message, Peer,
    PlainPolicy, Plan as CorePlan, RequestTarget, SpanKey, StreamKey, Vouch,
};
use wirespan::counters::Counter;
use wirespan::envelope::{Form, Role};
use wirespan::trace::Baggage;
use wirespan::{Error, trace::SpanContext as CoreSpanContext};

use crate::envelope::{Body, form};
use crate::error::{CoreError, guard, signed, unsigned};
use crate::event::Event;
use crate::handshake::{HandshakeRequest, SessionRegistry, UpgradeAdditions};
use crate::metrics::Summary;
use crate::options::{Options, Resumption};
use crate::plan::Plan;
use crate::received::Received;
use crate::trace::{
    BaggageMember, Header, HeaderBytes, SpanContext, baggage, entropy, own_pairs, pairs, span_of,
};

/// A planned call or transfer: start the span, then send with its context.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct PlannedStream {
    /// The number of the stream.
    pub stream: i64,
    /// How to start its span.
    pub plan: Plan,
}

/// A message to send, with all that sending it needs.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Outgoing {
    /// The stream, or 0 for a message outside every stream.
    pub stream: i64,
    /// What is sent.
    pub body: Body,
    /// The monotonic time, in nanoseconds.
    pub now: i64,
    /// The context of the stream's span, or of the current span for a message outside every stream.
    #[uniffi(default = None)]
    pub context: Option<SpanContext>,
    /// Whether it is the last message of its direction.
    #[uniffi(default = false)]
    pub last: bool,
    /// Headers of the application's own.
    #[uniffi(default = [])]
    pub headers: Vec<Header>,
    /// Baggage, of which the allow-list lets names through.
    #[uniffi(default = [])]
    pub baggage: Vec<BaggageMember>,
}

/// A message for the transport.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Frame {
    /// Whether it is a text message.
    pub text: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether there are events to poll.
    pub has_events: bool,
    /// When `on_time` is due.
    pub deadline: Option<i64>,
}

/// Where a connection is.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ConnectionState {
    /// Whether the connection can send and receive.
    pub open: bool,
    /// Whether `connect` can return.
    pub ready: bool,
    /// Whether the host may read from its transport.
    pub may_read: bool,
    /// Number of open calls and transfers.
    pub open_streams: i64,
    /// What is known of the peer: `unknown`, `announced` or `always`.
    pub peer: String,
    /// The session id in force.
    pub session_id: String,
}

/// One side of a connection: a deterministic state machine without I/O, clock and randomness.
///
/// Times are nanoseconds of a monotonic clock, entropy is 16 random bytes. After every call poll the events. It can be used
/// from several threads; what one of them does, it does whole.
#[derive(Debug, uniffi::Object)]
pub struct Connection(Mutex<Core>);

impl Connection {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        // A step that panicked has said so; the next one finds the core as it was left.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn made(core: Core) -> Arc<Self> {
        Arc::new(Self(Mutex::new(core)))
    }
}

fn endpoint(address: Option<String>, port: Option<i32>) -> Result<Endpoint, Error> {
    let port = port.map(|port| unsigned("port", port.into()));
    Ok(Endpoint {
        address: address.map(String::into_boxed_str),
        port: port.transpose()?,
    })
}

pub(crate) fn key(stream: i64) -> Result<StreamKey, Error> {
    Ok(StreamKey::from_number(unsigned("stream", stream)?))
}

fn planned((key, plan): (StreamKey, CorePlan)) -> PlannedStream {
    PlannedStream {
        stream: key.number().into(),
        plan: plan.into(),
    }
}

pub(crate) fn deadline(core: &Core) -> Option<i64> {
    core.next_deadline().map(signed)
}

/// A context as the core borrows it.
struct Held {
    span: Option<CoreSpanContext>,
    baggage: Option<Baggage>,
}

impl Held {
    fn new(span: Option<&SpanContext>, members: &[BaggageMember]) -> Result<Self, Error> {
        Ok(Self {
            span: span_of(span)?,
            baggage: (!members.is_empty()).then(|| baggage(members).0),
        })
    }

    fn to_ref(&self) -> ContextRef<'_> {
        let span = self.span.as_ref();
        ContextRef {
            trace_parent: span.map(|span| span.trace_parent),
            trace_state: span.map_or("", |span| span.trace_state.as_str()),
            baggage: self.baggage.as_ref(),
        }
    }
}

#[uniffi::export]
impl Connection {
    /// Makes the connecting side.
    #[uniffi::constructor(default(address = None, port = None))]
    pub fn client(
        entropy: Vec<u8>,
        options: Options,
        address: Option<String>,
        port: Option<i32>,
    ) -> Result<Arc<Self>, CoreError> {
        guard(|| {
            let entropy = self::entropy(&entropy)?;
            let endpoint = endpoint(address, port)?;
            Core::client(Arc::new(options.to_core()?), endpoint, entropy).map(Self::made)
        })
    }

    /// Makes the accepting side for a request. `vouched` is what the application's callback said of the proposed session,
    /// false where there was none to ask about, and absent without a callback.
    #[expect(
        clippy::too_many_arguments,
        reason = "named arguments of Kotlin and Swift"
    )]
    #[uniffi::constructor(default(address = None, port = None, registry = None, remote = None, vouched = None))]
    pub fn server(
        entropy: Vec<u8>,
        options: Options,
        request: Arc<HandshakeRequest>,
        address: Option<String>,
        port: Option<i32>,
        registry: Option<Arc<SessionRegistry>>,
        remote: Option<String>,
        vouched: Option<bool>,
    ) -> Result<Arc<Self>, CoreError> {
        guard(|| {
            let entropy = self::entropy(&entropy)?;
            let mut accept = Accept::default();
            accept.registry = registry.as_deref().map(|registry| &registry.0);
            accept.remote = remote.as_deref();
            accept.vouch = match vouched {
                None => Vouch::NoCallback,
                Some(true) => Vouch::Yes,
                Some(false) => Vouch::No,
            };
            let endpoint = endpoint(address, port)?;
            let options = Arc::new(options.to_core()?);
            Core::server(options, &request.0, accept, endpoint, entropy).map(Self::made)
        })
    }

    /// Says what else is known of the connection's URL: whether its scheme is `wss`, and its path, without the query. Naming sets
    /// that record it do so from the handshake on.
    pub fn set_url(&self, secure: bool, path: String) -> Result<(), CoreError> {
        guard(|| {
            self.lock().set_url(secure, &path);
            Ok(())
        })
    }

    /// The spans to start before the handshake, none to two. `http_span` is the span of an HTTP instrumentation that is
    /// current; `current` says whether any other span is.
    #[uniffi::method(default(http_span = None, current = false))]
    pub fn plan_handshake(
        &self,
        http_span: Option<SpanContext>,
        current: bool,
    ) -> Result<Vec<Plan>, CoreError> {
        guard(|| {
            let http_span = span_of(http_span.as_ref())?;
            let plans = self.lock().plan_handshake(http_span.as_ref(), current);
            Ok(plans.into_iter().map(Plan::from).collect())
        })
    }

    /// Says that a span of the connection was started; those of streams need not be said.
    pub fn span_started(&self, span: i64, context: SpanContext) -> Result<(), CoreError> {
        guard(|| {
            let number: u32 = unsigned("span", span)?;
            let own = [SpanKey::CONNECTION, SpanKey::HANDSHAKE];
            if let Some(key) = own.into_iter().find(|key| key.number() == number) {
                self.lock().span_started(key, &context.to_core()?);
            }
            Ok(())
        })
    }

    /// What a client adds to its request. The context is that of the handshake's span, where one was started, else
    /// `current`.
    #[uniffi::method(default(has_subprotocol = false, has_trace_context = false, current = None))]
    pub fn request(
        &self,
        host: String,
        has_subprotocol: bool,
        has_trace_context: bool,
        current: Option<SpanContext>,
    ) -> Result<UpgradeAdditions, CoreError> {
        guard(|| {
            let mut target = RequestTarget::new(&host);
            target.has_subprotocol = has_subprotocol;
            target.has_trace_context = has_trace_context;
            let current = span_of(current.as_ref())?;
            Ok(self.lock().request(target, current.as_ref()).into())
        })
    }

    /// What a server adds to its response; `selected` is the subprotocol that the application selected.
    #[uniffi::method(default(selected = None))]
    pub fn response(
        &self,
        request: Arc<HandshakeRequest>,
        selected: Option<String>,
    ) -> Result<UpgradeAdditions, CoreError> {
        guard(|| Ok(self.lock().response(&request.0, selected.as_deref()).into()))
    }

    /// Opens the connecting side: the upgrade was answered with these headers.
    pub fn open_client(&self, headers: Vec<HeaderBytes>, now: i64) -> Result<(), CoreError> {
        guard(|| {
            let response = HandshakeResponse::from_headers(pairs(&headers));
            self.lock().open_client(&response, unsigned("now", now)?)
        })
    }

    /// Opens the accepting side: the upgrade was sent.
    pub fn open_server(&self, now: i64) -> Result<(), CoreError> {
        guard(|| self.lock().open_server(unsigned("now", now)?))
    }

    /// Says that the handshake failed.
    pub fn fail_handshake(&self, error_type: String) -> Result<(), CoreError> {
        guard(|| {
            self.lock().fail_handshake(&error_type);
            Ok(())
        })
    }

    /// Plans a call: start the span, then send with its context. `current` is the current span.
    pub fn plan_call(
        &self,
        method: Option<String>,
        current: Option<SpanContext>,
        now: i64,
    ) -> Result<PlannedStream, CoreError> {
        guard(|| {
            let current = span_of(current.as_ref())?.map(|span| span.trace_parent);
            let now = unsigned("now", now)?;
            let plan = self.lock().plan_call(method.as_deref(), current, now)?;
            Ok(planned(plan))
        })
    }

    /// Plans a transfer, as `plan_call`.
    pub fn plan_transfer(
        &self,
        method: Option<String>,
        current: Option<SpanContext>,
        now: i64,
    ) -> Result<PlannedStream, CoreError> {
        guard(|| {
            let current = span_of(current.as_ref())?.map(|span| span.trace_parent);
            let now = unsigned("now", now)?;
            let plan = self.lock().plan_transfer(method.as_deref(), current, now)?;
            Ok(planned(plan))
        })
    }

    /// Makes a message. Making it and queueing it for the transport is one critical section of the host.
    pub fn send(&self, message: Outgoing) -> Result<Frame, CoreError> {
        guard(|| {
            let own = own_pairs(&message.headers);
            let mut outgoing = Message::new(message.body.to_core());
            outgoing.last = message.last;
            outgoing.headers = &own;
            let held = Held::new(message.context.as_ref(), &message.baggage)?;
            let (key, now) = (key(message.stream)?, unsigned("now", message.now)?);
            let mut core = self.lock();
            let frame = core.send(key, outgoing, &held.to_ref(), now)?;
            let (text, bytes) = (frame.form() == Form::Text, frame.to_vec());
            Ok(Frame {
                text,
                bytes,
                has_events: core.has_events(),
                deadline: deadline(&core),
            })
        })
    }

    /// Ends this side's direction of a stream; the message that says so is an event.
    #[uniffi::method(default(baggage = []))]
    pub fn end(
        &self,
        stream: i64,
        context: Option<SpanContext>,
        now: i64,
        baggage: Vec<BaggageMember>,
    ) -> Result<(), CoreError> {
        guard(|| {
            let held = Held::new(context.as_ref(), &baggage)?;
            let (key, now) = (key(stream)?, unsigned("now", now)?);
            self.lock().end(key, &held.to_ref(), now)
        })
    }

    /// Ends a call that its block left normally, or whose handler returned.
    pub fn leave(&self, stream: i64, now: i64) -> Result<(), CoreError> {
        guard(|| {
            self.lock().leave(key(stream)?, unsigned("now", now)?);
            Ok(())
        })
    }

    /// Cancels a call or transfer.
    pub fn cancel(&self, stream: i64, now: i64) -> Result<(), CoreError> {
        guard(|| {
            self.lock().cancel(key(stream)?, unsigned("now", now)?);
            Ok(())
        })
    }

    /// Ends a call or transfer with an error type.
    pub fn fail(&self, stream: i64, error_type: String, now: i64) -> Result<(), CoreError> {
        guard(|| {
            let (key, now) = (key(stream)?, unsigned("now", now)?);
            self.lock().fail(key, &error_type, now);
            Ok(())
        })
    }

    /// Notes that a reader took a chunk of `size` bytes out of the host's queue. Returns whether there are events to poll.
    pub fn take(&self, stream: i64, size: i64, now: i64) -> Result<bool, CoreError> {
        guard(|| {
            let (key, size) = (key(stream)?, unsigned("size", size)?);
            let mut core = self.lock();
            core.take(key, size, unsigned("now", now)?);
            Ok(core.has_events())
        })
    }

    /// Takes a received message. Nothing that a peer sends raises.
    pub fn receive(&self, message: Vec<u8>, text: bool, now: i64) -> Result<Received, CoreError> {
        guard(|| {
            let now = unsigned("now", now)?;
            let mut core = self.lock();
            let received = core.receive(&message, form(text), now);
            let (has_events, deadline) = (core.has_events(), deadline(&core));
            Ok(Received::new(received, has_events, deadline))
        })
    }

    /// The next thing for the host to act on.
    pub fn poll_event(&self) -> Result<Option<Event>, CoreError> {
        guard(|| {
            let mut core = self.lock();
            while let Some(event) = core.poll_event() {
                if let Some(event) = Event::from_core(event) {
                    return Ok(Some(event));
                }
            }
            Ok(None)
        })
    }

    /// Everything for the host to act on, in order.
    pub fn poll_events(&self) -> Result<Vec<Event>, CoreError> {
        guard(|| {
            let mut core = self.lock();
            let events = std::iter::from_fn(|| core.poll_event());
            Ok(events.filter_map(Event::from_core).collect())
        })
    }

    /// When `on_time` is due.
    pub fn next_deadline(&self) -> Result<Option<i64>, CoreError> {
        guard(|| Ok(deadline(&self.lock())))
    }

    /// Does what is due.
    pub fn on_time(&self, now: i64) -> Result<(), CoreError> {
        guard(|| {
            self.lock().on_time(unsigned("now", now)?);
            Ok(())
        })
    }

    /// Says that the transport has closed; `code` is absent without a close frame.
    pub fn on_close(&self, code: Option<i32>, reason: String, now: i64) -> Result<(), CoreError> {
        guard(|| {
            let code = code.map(|code| unsigned("code", code.into())).transpose()?;
            self.lock().on_close(code, &reason, unsigned("now", now)?);
            Ok(())
        })
    }

    /// Says that another connection took this one's session over.
    pub fn on_superseded(&self, now: i64) -> Result<(), CoreError> {
        guard(|| {
            self.lock().on_superseded(unsigned("now", now)?);
            Ok(())
        })
    }

    /// Names the methods that the application serves; only these can name a span.
    pub fn set_methods(&self, methods: Vec<String>) -> Result<(), CoreError> {
        guard(|| {
            self.lock().set_methods(methods);
            Ok(())
        })
    }

    /// Says where messages outside every stream go: `deliver`, `queue` or `discard`.
    pub fn set_plain_policy(&self, policy: String) -> Result<(), CoreError> {
        guard(|| {
            let policy = match policy.as_str() {
                "deliver" => PlainPolicy::Deliver,
                "queue" => PlainPolicy::Queue,
                "discard" => PlainPolicy::Discard,
                _ => {
                    let message = "must be deliver, queue or discard";
                    return Err(Error::invalid_argument("policy", message));
                }
            };
            self.lock().set_plain_policy(policy);
            Ok(())
        })
    }

    /// The stream metrics so far of an open call or transfer: sent, received. Empty for one that is not open.
    pub fn metrics(&self, stream: i64) -> Result<Vec<Summary>, CoreError> {
        guard(|| {
            let metrics = self.lock().metrics(key(stream)?);
            Ok(metrics.map_or_else(Vec::new, |(sent, received)| {
                vec![Summary::from(&sent), Summary::from(&received)]
            }))
        })
    }

    /// How often something was dropped, ignored or out of order, by name.
    pub fn counters(&self) -> Result<HashMap<String, i64>, CoreError> {
        guard(|| {
            let counters = self.lock().counters().clone();
            let named = counters
                .iter()
                .map(|(counter, value)| (counter.name().to_owned(), i64::from(value)));
            Ok(named.collect())
        })
    }

    /// Counts something that the host had to drop.
    #[uniffi::method(default(n = 1))]
    pub fn count(&self, name: String, n: i64) -> Result<(), CoreError> {
        guard(|| {
            let known = Counter::ALL
                .into_iter()
                .find(|counter| counter.name() == name);
            let counter = known
                .ok_or_else(|| Error::invalid_argument("name", "must be the name of a counter"))?;
            self.lock().count(counter, unsigned("n", n)?);
            Ok(())
        })
    }

    /// `client` or `server`.
    pub fn role(&self) -> Result<String, CoreError> {
        guard(|| {
            Ok(match self.lock().role() {
                Role::Client => "client".to_owned(),
                Role::Server => "server".to_owned(),
            })
        })
    }

    /// Where the connection is.
    pub fn state(&self) -> Result<ConnectionState, CoreError> {
        guard(|| {
            let core = self.lock();
            Ok(ConnectionState {
                open: core.is_open(),
                ready: core.is_ready(),
                may_read: core.may_read(),
                open_streams: signed(core.open_streams() as u64),
                peer: match core.peer() {
                    Peer::Announced { .. } => "announced".to_owned(),
                    Peer::Always => "always".to_owned(),
                    _ => "unknown".to_owned(),
                },
                session_id: core.session_id().to_owned(),
            })
        })
    }

    /// What a later connection needs to continue this session.
    pub fn resumption(&self) -> Result<Resumption, CoreError> {
        guard(|| {
            let resumption = self.lock().resumption();
            Ok(Resumption {
                session_id: resumption.session_id,
                span: resumption.span.as_ref().map(SpanContext::from),
            })
        })
    }

    /// The number of this connection within its registry of sessions.
    pub fn connection_id(&self) -> Result<Option<i64>, CoreError> {
        guard(|| Ok(self.lock().connection_id().map(|id| signed(id.number()))))
    }

    /// The connection that lost its session to this one.
    pub fn superseded(&self) -> Result<Option<i64>, CoreError> {
        guard(|| Ok(self.lock().superseded().map(|id| signed(id.number()))))
    }

    /// Most handlers that run at once.
    pub fn max_running(&self) -> Result<i64, CoreError> {
        guard(|| Ok(signed(self.lock().options().max_running as u64)))
    }

    /// Whether any baggage may be sent, so that it is worth collecting.
    pub fn sends_baggage(&self) -> Result<bool, CoreError> {
        guard(|| Ok(!self.lock().options().baggage_out.is_none()))
    }
}
