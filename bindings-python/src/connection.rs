//! The sans-IO connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use wirespan::connection::{
    Accept, Connection as Core, Endpoint, HandshakeResponse, Message, Peer, PlainPolicy,
    RequestTarget, SpanKey, StreamKey, Vouch,
};
use wirespan::counters::Counter;
use wirespan::envelope::{Form, Role};

use crate::body::{Payload, frame_bytes};
use crate::error::{invalid, raise};
use crate::event::Event;
use crate::handshake::{HandshakeRequest, Headers, SessionRegistry};
use crate::metrics::{Summary, now_or};
use crate::options;
use crate::otel::Sender;
use crate::plan::Plan;
use crate::received::Received;
use crate::trace::{SpanContext, baggage_of};

/// One side of a connection: a deterministic state machine without I/O, clock and randomness.
///
/// Times are nanoseconds of a monotonic clock, entropy is 16 random bytes. After every call poll the events. It can be used
/// from several threads; what one of them does, it does whole.
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct Connection {
    core: Mutex<Core>,
    /// Whether the options let any baggage out.
    sends_baggage: bool,
}

/// Headers, a subprotocol and a query parameter to add to a request.
type RequestAdditions = (Vec<(&'static str, String)>, Option<String>, Option<String>);

impl Connection {
    fn lock(&self) -> MutexGuard<'_, Core> {
        // The lock is held for the length of one step of the core, in which no Python runs: no deadlock with the GIL.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new(py: Python<'_>, core: Result<Core, wirespan::Error>) -> PyResult<Self> {
        let core = core.map_err(|error| raise(py, &error))?;
        Ok(Self {
            sends_baggage: !core.options().baggage_out.is_none(),
            core: Mutex::new(core),
        })
    }

    fn receive_bytes(
        &self,
        message: &Bound<'_, PyAny>,
        bytes: &[u8],
        form: Form,
        now: u64,
    ) -> Received {
        let received = self.lock().receive(bytes, form, now);
        Received::new(message, bytes, form, received)
    }
}

/// A planned stream: its number and the plan of its span.
fn planned(
    py: Python<'_>,
    plan: Result<(StreamKey, wirespan::connection::Plan), wirespan::Error>,
) -> PyResult<(u32, Plan)> {
    match plan {
        Ok((key, plan)) => Ok((key.number(), Plan::new(plan))),
        Err(error) => Err(raise(py, &error)),
    }
}

fn entropy_of(py: Python<'_>, entropy: &[u8]) -> PyResult<[u8; 16]> {
    entropy
        .try_into()
        .map_err(|_| invalid(py, "entropy", "must be 16 random bytes"))
}

fn form_of(is_text: bool) -> Form {
    if is_text { Form::Text } else { Form::Binary }
}

fn endpoint(address: Option<String>, port: Option<u16>) -> Endpoint {
    Endpoint {
        address: address.map(String::into_boxed_str),
        port,
    }
}

#[pymethods]
impl Connection {
    /// Makes the connecting side. `options` are those of SPEC.md, chapter "Options", with times in seconds.
    #[staticmethod]
    #[pyo3(signature = (entropy, options, address = None, port = None))]
    fn client(
        py: Python<'_>,
        entropy: &[u8],
        options: &Bound<'_, PyDict>,
        address: Option<String>,
        port: Option<u16>,
    ) -> PyResult<Self> {
        let entropy = entropy_of(py, entropy)?;
        let core = Core::client(
            Arc::new(options::read(options)?),
            endpoint(address, port),
            entropy,
        );
        Self::new(py, core)
    }

    /// Makes the accepting side for a request. `vouched` is what the application's callback said of the proposed session,
    /// `False` where there was none to ask about, and `None` without a callback.
    #[staticmethod]
    #[pyo3(signature = (entropy, options, request, address = None, port = None, registry = None, remote = None, vouched = None))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments of a Python function"
    )]
    fn server(
        py: Python<'_>,
        entropy: &[u8],
        options: &Bound<'_, PyDict>,
        request: &Bound<'_, HandshakeRequest>,
        address: Option<String>,
        port: Option<u16>,
        registry: Option<&Bound<'_, SessionRegistry>>,
        remote: Option<String>,
        vouched: Option<bool>,
    ) -> PyResult<Self> {
        let entropy = entropy_of(py, entropy)?;
        let mut accept = Accept::default();
        accept.registry = registry.map(|registry| registry.get().inner());
        accept.remote = remote.as_deref();
        accept.vouch = match vouched {
            None => Vouch::NoCallback,
            Some(true) => Vouch::Yes,
            Some(false) => Vouch::No,
        };
        let options = Arc::new(options::read(options)?);
        let core = Core::server(
            options,
            request.get().inner(),
            accept,
            endpoint(address, port),
            entropy,
        );
        Self::new(py, core)
    }

    /// The spans to start before the handshake, none to two. `http_span` is the span of an HTTP instrumentation that is
    /// current; `current` says whether any other span is.
    #[pyo3(signature = (http_span = None, current = false))]
    fn plan_handshake(
        &self,
        http_span: Option<&Bound<'_, SpanContext>>,
        current: bool,
    ) -> Vec<Plan> {
        let http_span = http_span.map(|span| span.get().inner());
        self.lock()
            .plan_handshake(http_span, current)
            .into_iter()
            .map(Plan::new)
            .collect()
    }

    /// Says that a span of the connection was started (CONNECTION_SPAN or HANDSHAKE_SPAN).
    fn span_started(&self, span: u32, context: &Bound<'_, SpanContext>) {
        let key = if span == SpanKey::CONNECTION.number() {
            SpanKey::CONNECTION
        } else if span == SpanKey::HANDSHAKE.number() {
            SpanKey::HANDSHAKE
        } else {
            return;
        };
        self.lock().span_started(key, context.get().inner());
    }

    /// What a client adds to its request: headers, a subprotocol, a parameter of the query. The context is that of the handshake's
    /// span, where one was started, else `current`.
    #[pyo3(signature = (host, has_subprotocol = false, has_trace_context = false, current = None))]
    fn request(
        &self,
        host: &str,
        has_subprotocol: bool,
        has_trace_context: bool,
        current: Option<&Bound<'_, SpanContext>>,
    ) -> RequestAdditions {
        let mut target = RequestTarget::new(host);
        target.has_subprotocol = has_subprotocol;
        target.has_trace_context = has_trace_context;
        let additions = self
            .lock()
            .request(target, current.map(|span| span.get().inner()));
        (additions.headers, additions.subprotocol, additions.query)
    }

    /// What a server adds to its response: headers, and a subprotocol where the application selected none.
    #[pyo3(signature = (request, selected = None))]
    fn response(
        &self,
        request: &Bound<'_, HandshakeRequest>,
        selected: Option<&str>,
    ) -> (Vec<(&'static str, String)>, Option<String>) {
        let additions = self.lock().response(request.get().inner(), selected);
        (additions.headers, additions.subprotocol)
    }

    /// Opens the connecting side: the upgrade was answered with these headers.
    #[pyo3(signature = (headers, now = None))]
    fn open_client(
        &self,
        py: Python<'_>,
        headers: &Bound<'_, PyAny>,
        now: Option<u64>,
    ) -> PyResult<()> {
        let now = now_or(py, now)?;
        let headers = Headers::read(headers)?;
        let response = HandshakeResponse::from_headers(headers.iter());
        let opened = self.lock().open_client(&response, now);
        opened.map_err(|error| raise(py, &error))
    }

    /// Opens the accepting side: the upgrade was sent.
    #[pyo3(signature = (now = None))]
    fn open_server(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = now_or(py, now)?;
        let opened = self.lock().open_server(now);
        opened.map_err(|error| raise(py, &error))
    }

    /// Says that the handshake failed.
    fn fail_handshake(&self, error_type: &str) {
        self.lock().fail_handshake(error_type);
    }

    /// Plans a call: start the span, then send with its context. `current` is the current span.
    #[pyo3(signature = (method, current, now = None))]
    fn plan_call(
        &self,
        py: Python<'_>,
        method: Option<&str>,
        current: Option<&Bound<'_, SpanContext>>,
        now: Option<u64>,
    ) -> PyResult<(u32, Plan)> {
        let now = now_or(py, now)?;
        let current = current.map(|span| span.get().inner().trace_parent);
        let plan = self.lock().plan_call(method, current, now);
        planned(py, plan)
    }

    /// Plans a transfer, as `plan_call`.
    #[pyo3(signature = (method, current, now = None))]
    fn plan_transfer(
        &self,
        py: Python<'_>,
        method: Option<&str>,
        current: Option<&Bound<'_, SpanContext>>,
        now: Option<u64>,
    ) -> PyResult<(u32, Plan)> {
        let now = now_or(py, now)?;
        let current = current.map(|span| span.get().inner().trace_parent);
        let plan = self.lock().plan_transfer(method, current, now);
        planned(py, plan)
    }

    /// Makes a message for a stream, or for 0 (PLAIN), and returns (is text, bytes). `body` is str, a buffer of bytes, or None
    /// for no body; `json` says that it is known to be JSON in UTF-8.
    ///
    /// `context` is a SpanContext, a Context of OpenTelemetry, "current" for the one that is current, or None. With an
    /// OpenTelemetry context go its span and, where the options let any out and none is given, its baggage.
    #[pyo3(signature = (
        stream, body, context, now = None, last = false, headers = None, json = false, baggage = None
    ))]
    #[expect(
        clippy::too_many_arguments,
        reason = "keyword arguments of a Python function"
    )]
    fn send<'py>(
        &self,
        py: Python<'py>,
        stream: u32,
        body: &Bound<'py, PyAny>,
        context: &Bound<'py, PyAny>,
        now: Option<u64>,
        last: bool,
        headers: Option<Vec<(String, String)>>,
        json: bool,
        baggage: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(bool, Bound<'py, PyBytes>)> {
        let now = now_or(py, now)?;
        let payload = Payload::read(body)?;
        let sender = Sender::read(context, self.sends_baggage && baggage.is_none())?;
        let given = baggage.map(baggage_of);
        let own: Vec<(&str, &str)> = headers
            .iter()
            .flatten()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut message = Message::new(payload.body(json)?);
        message.last = last;
        message.headers = &own;
        let context = sender.context(given.as_ref());
        let mut core = self.lock();
        let frame = match core.send(StreamKey::from_number(stream), message, &context, now) {
            Ok(frame) => frame,
            Err(error) => {
                // Making the exception runs Python, in which another thread may come to wait for this lock.
                drop(core);
                return Err(raise(py, &error));
            }
        };
        let is_text = frame.form() == Form::Text;
        Ok((is_text, frame_bytes(py, &frame)?))
    }

    /// Ends this side's direction of a stream; the message that says so is an event.
    #[pyo3(signature = (stream, context, now = None, baggage = None))]
    fn end(
        &self,
        py: Python<'_>,
        stream: u32,
        context: &Bound<'_, PyAny>,
        now: Option<u64>,
        baggage: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let now = now_or(py, now)?;
        let sender = Sender::read(context, self.sends_baggage && baggage.is_none())?;
        let given = baggage.map(baggage_of);
        let context = sender.context(given.as_ref());
        let ended = self
            .lock()
            .end(StreamKey::from_number(stream), &context, now);
        ended.map_err(|error| raise(py, &error))
    }

    /// Ends a call that its block left normally, or whose handler returned.
    #[pyo3(signature = (stream, now = None))]
    fn leave(&self, py: Python<'_>, stream: u32, now: Option<u64>) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock().leave(StreamKey::from_number(stream), now);
        Ok(())
    }

    /// Cancels a call or transfer.
    #[pyo3(signature = (stream, now = None))]
    fn cancel(&self, py: Python<'_>, stream: u32, now: Option<u64>) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock().cancel(StreamKey::from_number(stream), now);
        Ok(())
    }

    /// Ends a call or transfer with an error type.
    #[pyo3(signature = (stream, error_type, now = None))]
    fn fail(
        &self,
        py: Python<'_>,
        stream: u32,
        error_type: &str,
        now: Option<u64>,
    ) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock()
            .fail(StreamKey::from_number(stream), error_type, now);
        Ok(())
    }

    /// Notes that a reader took a chunk of `size` bytes out of the host's queue.
    #[pyo3(signature = (stream, size, now = None))]
    fn take(&self, py: Python<'_>, stream: u32, size: usize, now: Option<u64>) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock().take(StreamKey::from_number(stream), size, now);
        Ok(())
    }

    /// Takes a received message: `str` for text, `bytes` for binary, or for text that is not decoded where `text` is true.
    /// Nothing that a peer sends raises.
    #[pyo3(signature = (message, now = None, text = false))]
    fn receive(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        now: Option<u64>,
        text: bool,
    ) -> PyResult<Received> {
        let now = now_or(py, now)?;
        let form = form_of(text);
        if let Ok(text) = message.cast::<PyString>() {
            let bytes = text.to_str()?.as_bytes();
            return Ok(self.receive_bytes(message, bytes, Form::Text, now));
        }
        if let Ok(bytes) = message.cast::<PyBytes>() {
            return Ok(self.receive_bytes(message, bytes.as_bytes(), form, now));
        }
        let buffer = PyBuffer::<u8>::get(message)
            .map_err(|_| invalid(py, "message", "must be str for text or bytes for binary"))?;
        // Another thread may change or release the buffer at any time, so it is copied while nothing else runs.
        let copied = PyBytes::new(py, &buffer.to_vec(py)?);
        Ok(self.receive_bytes(copied.as_any(), copied.as_bytes(), form, now))
    }

    /// The next thing for the host to act on, or None.
    fn poll_event(&self) -> Option<Event> {
        self.lock().poll_event().map(Event::new)
    }

    /// When `on_time` is due, or None.
    fn next_deadline(&self) -> Option<u64> {
        self.lock().next_deadline()
    }

    /// Does what is due.
    #[pyo3(signature = (now = None))]
    fn on_time(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock().on_time(now);
        Ok(())
    }

    /// Says that the transport has closed; `code` is None without a close frame.
    #[pyo3(signature = (code, reason, now = None))]
    fn on_close(
        &self,
        py: Python<'_>,
        code: Option<u16>,
        reason: &str,
        now: Option<u64>,
    ) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock().on_close(code, reason, now);
        Ok(())
    }

    /// Says that another connection took this one's session over.
    #[pyo3(signature = (now = None))]
    fn on_superseded(&self, py: Python<'_>, now: Option<u64>) -> PyResult<()> {
        let now = now_or(py, now)?;
        self.lock().on_superseded(now);
        Ok(())
    }

    /// Names the methods that the application serves; only these can name a span.
    fn set_methods(&self, methods: Vec<String>) {
        self.lock().set_methods(methods);
    }

    /// Says where messages outside every stream go: "deliver", "queue" or "discard".
    fn set_plain_policy(&self, py: Python<'_>, policy: &str) -> PyResult<()> {
        let policy = match policy {
            "deliver" => PlainPolicy::Deliver,
            "queue" => PlainPolicy::Queue,
            "discard" => PlainPolicy::Discard,
            _ => {
                return Err(invalid(
                    py,
                    "policy",
                    "must be \"deliver\", \"queue\" or \"discard\"",
                ));
            }
        };
        self.lock().set_plain_policy(policy);
        Ok(())
    }

    /// The stream metrics so far of an open call or transfer, as (sent, received).
    fn metrics(&self, stream: u32) -> Option<(Summary, Summary)> {
        let metrics = self.lock().metrics(StreamKey::from_number(stream));
        metrics.map(|(sent, received)| (Summary::new(sent), Summary::new(received)))
    }

    /// How often something was dropped, ignored or out of order, by name.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counters = self.lock().counters().clone();
        let dictionary = PyDict::new(py);
        for (counter, value) in counters.iter() {
            dictionary.set_item(PyString::intern(py, counter.name()), value)?;
        }
        Ok(dictionary)
    }

    /// Counts something that the host had to drop.
    #[pyo3(signature = (name, n = 1))]
    fn count(&self, py: Python<'_>, name: &str, n: u32) -> PyResult<()> {
        let Some(counter) = Counter::ALL
            .into_iter()
            .find(|counter| counter.name() == name)
        else {
            return Err(invalid(py, "name", "must be the name of a counter"));
        };
        self.lock().count(counter, n);
        Ok(())
    }

    /// "client" or "server".
    #[getter]
    fn role(&self) -> &'static str {
        match self.lock().role() {
            Role::Client => "client",
            Role::Server => "server",
        }
    }

    /// What is known of the peer: "unknown", "announced" or "always".
    #[getter]
    fn peer(&self) -> &'static str {
        match self.lock().peer() {
            Peer::Announced { .. } => "announced",
            Peer::Always => "always",
            _ => "unknown",
        }
    }

    /// The session id in force.
    #[getter]
    fn session_id(&self) -> String {
        self.lock().session_id().to_owned()
    }

    /// What a later connection needs, as its option `session`, to continue this session: (session id, span).
    #[getter]
    fn resumption<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let resumption = self.lock().resumption();
        (resumption.session_id, resumption.span.map(SpanContext::new)).into_pyobject(py)
    }

    /// The number of this connection within its registry of sessions.
    #[getter]
    fn connection_id(&self) -> Option<u64> {
        self.lock().connection_id().map(|id| id.number())
    }

    /// The connection that lost its session to this one.
    #[getter]
    fn superseded(&self) -> Option<u64> {
        self.lock().superseded().map(|id| id.number())
    }

    /// Whether the connection can send and receive.
    #[getter]
    fn is_open(&self) -> bool {
        self.lock().is_open()
    }

    /// Whether `connect` can return.
    #[getter]
    fn is_ready(&self) -> bool {
        self.lock().is_ready()
    }

    /// Whether the host may read from its transport.
    #[getter]
    fn may_read(&self) -> bool {
        self.lock().may_read()
    }

    /// Number of open calls and transfers.
    #[getter]
    fn open_streams(&self) -> usize {
        self.lock().open_streams()
    }

    /// Most handlers that run at once.
    #[getter]
    fn max_running(&self) -> usize {
        self.lock().options().max_running
    }

    /// Whether any baggage may be sent, so that it is worth collecting.
    #[getter]
    fn sends_baggage(&self) -> bool {
        self.sends_baggage
    }
}
