//! The sans-IO connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PySlice, PyString, PyTuple};
use wirespan::connection::{
    Accept, Connection as Core, ContextRef, Endpoint, HandshakeResponse, Message,
    Payload as Delivered, Peer, PlainPolicy, RequestTarget, SpanKey, StreamKey, Vouch,
};
use wirespan::counters::Counter;
use wirespan::envelope::{Body, Form, Frame, Role};

use crate::error::{invalid, raise};
use crate::event::Event;
use crate::handshake::{HandshakeRequest, Headers, SessionRegistry};
use crate::metrics::Summary;
use crate::options;
use crate::plan::Plan;
use crate::received::{IncomingStream, Received};
use crate::trace::{SpanContext, baggage_of};

/// One side of a connection: a deterministic state machine without I/O, clock and randomness.
///
/// Times are nanoseconds of a monotonic clock, entropy is 16 random bytes. After every call poll the events. It can be used
/// from several threads; what one of them does, it does whole.
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct Connection(Mutex<Core>);

/// Headers, a subprotocol and a query parameter to add to a request.
type RequestAdditions = (Vec<(&'static str, String)>, Option<String>, Option<String>);

impl Connection {
    fn lock(&self) -> MutexGuard<'_, Core> {
        // The lock is held for the length of one step of the core, in which no Python runs: no deadlock with the GIL.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

/// Bytes of ASCII text from which on a slice of the message costs less than reading the text anew.
const SLICED_BYTES: usize = 256;

/// The part of a message that is delivered.
fn delivered(
    message: &Bound<'_, PyAny>,
    bytes: &[u8],
    form: Form,
    place: &Delivered<'_>,
    part: &[u8],
) -> PyResult<Py<PyAny>> {
    let py = message.py();
    let is_str = message.is_instance_of::<PyString>();
    let has_own_type = is_str || (form == Form::Binary && message.is_instance_of::<PyBytes>());
    if has_own_type && part.len() == bytes.len() {
        // Nothing was taken away: the message itself is delivered.
        return Ok(message.clone().unbind());
    }
    if is_str
        && let Delivered::Raw(range) = place
        && range.len() >= SLICED_BYTES
        && message.len()? == bytes.len()
    {
        // As many characters as bytes: all are ASCII, and offsets are the same.
        let (start, end) = (range.start.cast_signed(), range.end.cast_signed());
        return Ok(message.get_item(PySlice::new(py, start, end, 1))?.unbind());
    }
    match (form, std::str::from_utf8(part)) {
        (Form::Text, Ok(text)) => Ok(PyString::new(py, text).into_any().unbind()),
        // A text message that is none is delivered as its bytes.
        _ => Ok(PyBytes::new(py, part).into_any().unbind()),
    }
}

/// Bytes of a frame from which on filling it with zeros costs more than a writer.
const WRITTEN_BYTES: usize = 16 * 1024;

/// A frame in memory of Python, copied once.
fn frame_bytes<'py>(py: Python<'py>, frame: &Frame<'_>) -> PyResult<Bound<'py, PyBytes>> {
    match frame.parts() {
        Some(parts) if frame.len() >= WRITTEN_BYTES => {
            PyBytes::new_with_writer(py, frame.len(), |writer| {
                parts
                    .into_iter()
                    .try_for_each(|part| writer.write_bytes(part))
            })
        }
        _ => PyBytes::new_with(py, frame.len(), |buffer| {
            // The buffer has the length that the frame said.
            let _ = frame.copy_to(buffer);
            Ok(())
        }),
    }
}

/// What the application sends, held for the time of one call.
enum Payload<'py> {
    Text(Bound<'py, PyString>),
    Bytes(Bound<'py, PyBytes>),
    Copied(Vec<u8>),
    None,
}

impl<'py> Payload<'py> {
    fn read(body: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = body.cast::<PyString>() {
            return Ok(Self::Text(text.clone()));
        }
        if let Ok(bytes) = body.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        if body.is_none() {
            return Ok(Self::None);
        }
        match PyBuffer::<u8>::get(body) {
            // Another thread may change or release the buffer at any time, so it is copied while nothing else runs.
            Ok(buffer) => Ok(Self::Copied(buffer.to_vec(body.py())?)),
            Err(_) => Err(invalid(
                body.py(),
                "body",
                "must be str, bytes, a buffer of bytes, or None",
            )),
        }
    }

    fn body(&self, json: bool) -> PyResult<Body<'_>> {
        Ok(match self {
            Self::Text(text) if json => Body::Json(text.to_str()?.as_bytes()),
            Self::Text(text) => Body::Text(text.to_str()?),
            Self::Bytes(bytes) if json => Body::Json(bytes.as_bytes()),
            Self::Bytes(bytes) => Body::Binary(bytes.as_bytes()),
            Self::Copied(bytes) if json => Body::Json(bytes),
            Self::Copied(bytes) => Body::Binary(bytes),
            // The core knows the form that the direction used last.
            Self::None => Body::None(Form::Text),
        })
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
        core.map(|core| Self(Mutex::new(core)))
            .map_err(|error| raise(py, &error))
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
        core.map(|core| Self(Mutex::new(core)))
            .map_err(|error| raise(py, &error))
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
    fn open_client(&self, py: Python<'_>, headers: &Bound<'_, PyAny>, now: u64) -> PyResult<()> {
        let headers = Headers::read(headers)?;
        let response = HandshakeResponse::from_headers(headers.iter());
        let opened = self.lock().open_client(&response, now);
        opened.map_err(|error| raise(py, &error))
    }

    /// Opens the accepting side: the upgrade was sent.
    fn open_server(&self, py: Python<'_>, now: u64) -> PyResult<()> {
        let opened = self.lock().open_server(now);
        opened.map_err(|error| raise(py, &error))
    }

    /// Says that the handshake failed.
    fn fail_handshake(&self, error_type: &str) {
        self.lock().fail_handshake(error_type);
    }

    /// Plans a call: start the span, then send with its context. `current` is the current span.
    #[pyo3(signature = (method, current, now))]
    fn plan_call(
        &self,
        py: Python<'_>,
        method: Option<&str>,
        current: Option<&Bound<'_, SpanContext>>,
        now: u64,
    ) -> PyResult<(u32, Plan)> {
        let current = current.map(|span| span.get().inner().trace_parent);
        let plan = self.lock().plan_call(method, current, now);
        planned(py, plan)
    }

    /// Plans a transfer, as `plan_call`.
    #[pyo3(signature = (method, current, now))]
    fn plan_transfer(
        &self,
        py: Python<'_>,
        method: Option<&str>,
        current: Option<&Bound<'_, SpanContext>>,
        now: u64,
    ) -> PyResult<(u32, Plan)> {
        let current = current.map(|span| span.get().inner().trace_parent);
        let plan = self.lock().plan_transfer(method, current, now);
        planned(py, plan)
    }

    /// Makes a message for a stream, or for 0 (PLAIN), and returns (is text, bytes). `body` is str, a buffer of bytes, or None
    /// for no body; `json` says that it is known to be JSON in UTF-8.
    #[pyo3(signature = (
        stream, body, context, now, last = false, headers = None, json = false, baggage = None
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
        context: Option<&Bound<'py, SpanContext>>,
        now: u64,
        last: bool,
        headers: Option<Vec<(String, String)>>,
        json: bool,
        baggage: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<(bool, Bound<'py, PyBytes>)> {
        let payload = Payload::read(body)?;
        let baggage = baggage.map(baggage_of);
        let headers = headers.unwrap_or_default();
        let own: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut message = Message::new(payload.body(json)?);
        message.last = last;
        message.headers = &own;
        let span = context.map(|context| context.get().inner());
        let context = ContextRef {
            trace_parent: span.map(|span| span.trace_parent),
            trace_state: span.map_or("", |span| span.trace_state.as_str()),
            baggage: baggage.as_ref(),
        };
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
    #[pyo3(signature = (stream, context, now, baggage = None))]
    fn end(
        &self,
        py: Python<'_>,
        stream: u32,
        context: Option<&Bound<'_, SpanContext>>,
        now: u64,
        baggage: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        let baggage = baggage.map(baggage_of);
        let span = context.map(|context| context.get().inner());
        let context = ContextRef {
            trace_parent: span.map(|span| span.trace_parent),
            trace_state: span.map_or("", |span| span.trace_state.as_str()),
            baggage: baggage.as_ref(),
        };
        let ended = self
            .lock()
            .end(StreamKey::from_number(stream), &context, now);
        ended.map_err(|error| raise(py, &error))
    }

    /// Ends a call that its block left normally, or whose handler returned.
    fn leave(&self, stream: u32, now: u64) {
        self.lock().leave(StreamKey::from_number(stream), now);
    }

    /// Cancels a call or transfer.
    fn cancel(&self, stream: u32, now: u64) {
        self.lock().cancel(StreamKey::from_number(stream), now);
    }

    /// Ends a call or transfer with an error type.
    fn fail(&self, stream: u32, error_type: &str, now: u64) {
        self.lock()
            .fail(StreamKey::from_number(stream), error_type, now);
    }

    /// Notes that a reader took a chunk of `size` bytes out of the host's queue.
    fn take(&self, stream: u32, size: usize, now: u64) {
        self.lock().take(StreamKey::from_number(stream), size, now);
    }

    /// Takes a received message: `str` for text, `bytes` for binary, or for text that is not decoded where `text` is true.
    /// Nothing that a peer sends raises.
    #[pyo3(signature = (message, now, text = false))]
    fn receive(
        &self,
        py: Python<'_>,
        message: &Bound<'_, PyAny>,
        now: u64,
        text: bool,
    ) -> PyResult<Received> {
        let copied;
        let (bytes, form) = if let Ok(text) = message.cast::<PyString>() {
            (text.to_str()?.as_bytes(), Form::Text)
        } else if let Ok(bytes) = message.cast::<PyBytes>() {
            (bytes.as_bytes(), form_of(text))
        } else {
            let buffer = PyBuffer::<u8>::get(message)
                .map_err(|_| invalid(py, "message", "must be str for text or bytes for binary"))?;
            copied = buffer.to_vec(py)?;
            (copied.as_slice(), form_of(text))
        };
        let received = self.lock().receive(bytes, form, now);
        let data = match received.payload.bytes(bytes) {
            None => None,
            Some(part) => Some(delivered(message, bytes, form, &received.payload, part)?),
        };
        let headers = received.headers.iter();
        let headers = headers
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect();
        let (context, link) = (received.context().cloned(), received.link().cloned());
        let opened = received
            .opened
            .map(|opened| Py::new(py, IncomingStream::new(py, *opened)?))
            .transpose()?;
        Ok(Received {
            text: form == Form::Text,
            stream: received.stream.number(),
            data,
            opened,
            context,
            link,
            baggage: received.baggage,
            headers,
        })
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
    fn on_time(&self, now: u64) {
        self.lock().on_time(now);
    }

    /// Says that the transport has closed; `code` is None without a close frame.
    #[pyo3(signature = (code, reason, now))]
    fn on_close(&self, code: Option<u16>, reason: &str, now: u64) {
        self.lock().on_close(code, reason, now);
    }

    /// Says that another connection took this one's session over.
    fn on_superseded(&self, now: u64) {
        self.lock().on_superseded(now);
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
        !self.lock().options().baggage_out.is_none()
    }
}
