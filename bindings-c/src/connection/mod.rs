//! The connection: the core's state machine behind a handle, with the views that C looks at until its next call.

pub mod calls;
pub mod events;
pub mod handshake;
pub mod receive;

use std::ffi::c_char;

use wirespan::Error;
use wirespan::connection::{Connection, Event, Peer, PlainPolicy, Plan, SpanEnd, StreamKey};
use wirespan::counters::Counter;
use wirespan::envelope::{Form, Role};
use wirespan::trace::Baggage;

use crate::guard::guard;
use crate::handle::Table;
use crate::pointers::{
    self, NO_SPAN, SpanRef, give_text, no_such, require_out, show_optional_span, show_span,
    write_out,
};
use crate::spans::Spans;
use crate::tracer::{tracer_of, wirespan_tracer};
use crate::types::{
    wirespan_form, wirespan_peer, wirespan_plain_policy, wirespan_plan, wirespan_role,
    wirespan_span_callbacks, wirespan_span_context, wirespan_status, wirespan_str,
    wirespan_summary,
};
use crate::views::{Headers, PlanView, SpanEndView, show_summary};

/// One side of a connection: bytes, time and entropy go in; messages to send, events and span plans come out. It does no I/O
/// and reads no clock, so that any transport can be traced with it.
///
/// It may be used on any thread, one at a time; calls on several threads wait for each other. What a function shows by pointer
/// is valid until the next call with the same connection.
pub struct wirespan_connection {
    _private: [u8; 0],
}

/// The state of a connection.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_connection_state {
    /// This side's role.
    pub role: wirespan_role,
    /// What this side knows of its peer.
    pub peer: wirespan_peer,
    /// The version that an announced peer speaks, else 0.
    pub peer_version: u32,
    /// Whether it can send and receive.
    pub is_open: bool,
    /// Whether connecting is done: the peer is known, or will not become known by waiting.
    pub is_ready: bool,
    /// Whether the application may read from its transport.
    pub may_read: bool,
    /// Number of open calls and transfers, of both sides together.
    pub open_streams: usize,
    /// This connection's number within its registry, or 0.
    pub connection_id: u64,
    /// Number of the connection that lost its session to this one, or 0: call `wirespan_connection_on_superseded` on it.
    pub superseded: u64,
}

static CONNECTIONS: Table<Side> = Table::new(6, "connection");

/// A connection, who makes its spans, and what C was shown last.
struct Side {
    core: Connection,
    spans: Spans,
    /// The latest time that the application passed.
    now_ns: u64,
    plans: Vec<PlanView>,
    plan_pointers: Vec<PlanPointer>,
    headers: Headers,
    texts: Vec<String>,
    event: Option<Event>,
    /// The end of the span that the last event told of.
    span_end: Option<Box<SpanEnd>>,
    span_end_view: Option<SpanEndView>,
    attributes: crate::views::Attributes,
    received: receive::Shown,
}

/// Points to a plan of `plans`.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct PlanPointer(*const wirespan_plan);

// SAFETY: it points into the side that owns it.
unsafe impl Send for PlanPointer {}

// SAFETY: as above, for the pointers of the attributes.
unsafe impl Send for crate::views::Attributes {}

impl Side {
    fn new(core: Connection) -> Self {
        Self {
            core,
            spans: Spans::default(),
            now_ns: 0,
            plans: Vec::new(),
            plan_pointers: Vec::new(),
            headers: Headers::default(),
            texts: Vec::new(),
            event: None,
            span_end: None,
            span_end_view: None,
            attributes: crate::views::Attributes::default(),
            received: receive::Shown::default(),
        }
    }

    /// Shows plans and, unless that is the application's task, starts their spans.
    fn show_plans(&mut self, plans: Vec<Plan>, current: Option<SpanRef<'_>>, baggage: &Baggage) {
        self.plans.clear();
        for plan in plans {
            let span = plan.span;
            let view = self.spans.start(plan, current, baggage);
            if let Some(context) = self.spans.context(span.number()).cloned() {
                self.core.span_started(span, &context);
            }
            self.plans.push(view);
        }
        self.plan_pointers = self
            .plans
            .iter()
            .map(|plan| PlanPointer(plan.shown()))
            .collect();
    }

    fn at(&mut self, now_ns: u64) -> u64 {
        self.now_ns = self.now_ns.max(now_ns);
        now_ns
    }
}

impl Drop for Side {
    /// Ends every span that is still open: none may be lost with its connection.
    fn drop(&mut self) {
        self.core.on_close(None, "", self.now_ns);
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::SpanEnd(end) => self.spans.end(&end),
                Event::SpanUpdate { span, attributes } => {
                    self.spans.update(span.number(), attributes);
                }
                _ => {}
            }
        }
    }
}

/// Lets callbacks make the spans of a connection. Call it before `wirespan_connection_plan_handshake`. The table is copied.
///
/// From then on plans are acted on inside the calls that give them, contexts are sent by themselves, and the ends of spans are
/// acted on inside `wirespan_connection_poll_event`.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` without the functions `start` and `end`, `WIRESPAN_STATUS_INVALID_STATE` if
/// the connection has callbacks or a tracer already.
///
/// # Safety
///
/// `callbacks` points to a table whose functions may be called until the connection is freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_use_callbacks(
    connection: *mut wirespan_connection,
    callbacks: *const wirespan_span_callbacks,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the table.
        let callbacks = unsafe { callbacks.as_ref() }.copied();
        let callbacks =
            callbacks.ok_or_else(|| Error::invalid_argument("callbacks", "must not be NULL"))?;
        Ok(CONNECTIONS.with(connection, |side| side.spans.use_callbacks(callbacks))?)
    })
}

/// Lets the built-in tracer make the spans of a connection; otherwise as `wirespan_connection_use_callbacks`. `now_ns` is a
/// reading of the clock whose readings the connection is given.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_use_tracer(
    connection: *mut wirespan_connection,
    tracer: *const wirespan_tracer,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        let tracer = tracer_of(tracer, now_ns)?;
        Ok(CONNECTIONS.with(connection, |side| side.spans.use_tracer(tracer))?)
    })
}

/// Tells the state of a connection.
///
/// # Safety
///
/// `state` points to memory for a `wirespan_connection_state`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_read_state(
    connection: *const wirespan_connection,
    state: *mut wirespan_connection_state,
) -> wirespan_status {
    guard(|| {
        require_out("state", state)?;
        let current = CONNECTIONS.with(connection, |side| Ok(state_of(&side.core)))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(state, current) };
        Ok(())
    })
}

fn state_of(core: &Connection) -> wirespan_connection_state {
    let (peer, peer_version) = match core.peer() {
        Peer::Announced { version } => (wirespan_peer::Announced, version),
        Peer::Always => (wirespan_peer::Always, 0),
        _ => (wirespan_peer::Unknown, 0),
    };
    wirespan_connection_state {
        role: match core.role() {
            Role::Client => wirespan_role::Client,
            Role::Server => wirespan_role::Server,
        },
        peer,
        peer_version,
        is_open: core.is_open(),
        is_ready: core.is_ready(),
        may_read: core.may_read(),
        open_streams: core.open_streams(),
        connection_id: core.connection_id().map_or(0, |id| id.number()),
        superseded: core.superseded().map_or(0, |id| id.number()),
    }
}

/// Copies the session id in force into `buffer`, with a NUL behind it.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is not above the length, which is then in `length`; 129 bytes always do.
///
/// # Safety
///
/// `buffer` points to `size` bytes; `length` is NULL or points to memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_session_id(
    connection: *const wirespan_connection,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> wirespan_status {
    guard(|| {
        let session = CONNECTIONS.with(connection, |side| Ok(side.core.session_id().to_owned()))?;
        // SAFETY: the caller vouches for the buffer.
        unsafe { give_text(&session, buffer, size, length) }
    })
}

/// Gives what a later connection needs to continue this one's session, for `wirespan_options_resume`: the session id, as by
/// `wirespan_connection_session_id`, and the span that stands for this connection (all zero if there is none).
///
/// # Safety
///
/// `buffer` points to `size` bytes; `length` is NULL or points to memory for a `size_t`; `span` points to memory for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_resumption(
    connection: *mut wirespan_connection,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    span: *mut wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        require_out("span", span)?;
        let (session, shown) = CONNECTIONS.with(connection, |side| {
            let resumption = side.core.resumption();
            let mut shown = show_optional_span(resumption.span.as_ref(), false);
            if let Some(span) = resumption.span {
                side.texts = vec![span.trace_state.as_str().to_owned()];
                shown.trace_state = pointers::show(&side.texts[0]);
            }
            Ok((resumption.session_id, shown))
        })?;
        // SAFETY: the caller vouches for the buffer and the output.
        unsafe {
            give_text(&session, buffer, size, length)?;
            write_out(span, shown);
        }
        Ok(())
    })
}

/// Gives the context of an open span that callbacks or the tracer have started: that of a stream, `WIRESPAN_SPAN_CONNECTION`
/// or `WIRESPAN_SPAN_HANDSHAKE`. All zero if there is none.
///
/// # Safety
///
/// `context` points to memory for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_span_context(
    connection: *const wirespan_connection,
    span: u32,
    context: *mut wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        require_out("context", context)?;
        let shown = CONNECTIONS.with(connection, |side| {
            Ok(side
                .spans
                .context(span)
                .map_or(NO_SPAN, |context| show_span(context, false)))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(context, shown) };
        Ok(())
    })
}

/// Gives the counter at position `index`, counted from 0: its name, which is static, and its value. Behind the last one the name is
/// empty.
///
/// # Safety
///
/// `name` points to memory for a text, `value` to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_read_counter(
    connection: *const wirespan_connection,
    index: usize,
    name: *mut wirespan_str,
    value: *mut u32,
) -> wirespan_status {
    guard(|| {
        require_out("name", name)?;
        require_out("value", value)?;
        let found = CONNECTIONS.with(connection, |side| {
            Ok(side.core.counters().iter().nth(index))
        })?;
        let (shown, count) = found.map_or((pointers::EMPTY, 0), |(counter, count)| {
            (pointers::show(counter.name()), count)
        });
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            write_out(name, shown);
            write_out(value, count);
        }
        Ok(())
    })
}

/// Gives how often something was dropped, ignored or out of order, by the name of the counter: `context_invalid`,
/// `header_invalid`, `header_repeated`, `head_too_long`, `dropped_baggage`, `dropped_tracestate`, `dropped_header`,
/// `content_mismatch`, `repeat`, `gap`, `reorder`, `late`, `discarded`, `unmatched`, `limit`, `overflow`, `timeout`,
/// `session_replaced`, `role`, `version`, `clock_back`.
///
/// # Safety
///
/// `name` ends with NUL; `value` points to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_counter(
    connection: *const wirespan_connection,
    name: *const c_char,
    value: *mut u32,
) -> wirespan_status {
    guard(|| {
        require_out("value", value)?;
        // SAFETY: the caller vouches for the text.
        let name = unsafe { pointers::text("name", name) }?;
        let counter = Counter::ALL
            .into_iter()
            .find(|counter| counter.name() == name);
        let counter = counter.ok_or_else(|| Error::invalid_argument("name", "is no counter"))?;
        let count = CONNECTIONS.with(connection, |side| Ok(side.core.counters().get(counter)))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(value, count) };
        Ok(())
    })
}

/// Gives the stream metrics so far of an open call or transfer.
///
/// Returns `WIRESPAN_STATUS_INVALID_STATE` if the stream is not open.
///
/// # Safety
///
/// `sent` and `received` are NULL or point to memory for a summary.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_metrics(
    connection: *const wirespan_connection,
    stream: u32,
    sent: *mut wirespan_summary,
    received: *mut wirespan_summary,
) -> wirespan_status {
    guard(|| {
        let metrics = CONNECTIONS.with(connection, |side| {
            Ok(side.core.metrics(StreamKey::from_number(stream)))
        })?;
        let Some((sent_summary, received_summary)) = metrics else {
            return Err(
                Error::invalid_state("there is no such open call on this connection").into(),
            );
        };
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            write_out(sent, show_summary(&sent_summary));
            write_out(received, show_summary(&received_summary));
        }
        Ok(())
    })
}

/// Names the methods that the application serves; only these can name a span.
///
/// # Safety
///
/// `methods` points to `count` texts that end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_set_methods(
    connection: *mut wirespan_connection,
    methods: *const *const c_char,
    count: usize,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the texts.
        let methods = unsafe { pointers::names("methods", methods, count) }?;
        Ok(CONNECTIONS.with(connection, |side| {
            side.core.set_methods(methods);
            Ok(())
        })?)
    })
}

/// Says where messages outside every call go: a `wirespan_plain_policy`.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_set_plain_policy(
    connection: *mut wirespan_connection,
    policy: u32,
) -> wirespan_status {
    guard(|| {
        let policy = match policy {
            p if p == wirespan_plain_policy::Deliver as u32 => PlainPolicy::Deliver,
            p if p == wirespan_plain_policy::Queue as u32 => PlainPolicy::Queue,
            p if p == wirespan_plain_policy::Discard as u32 => PlainPolicy::Discard,
            _ => return Err(no_such("policy").into()),
        };
        Ok(CONNECTIONS.with(connection, |side| {
            side.core.set_plain_policy(policy);
            Ok(())
        })?)
    })
}

/// Frees a connection. Spans that are still open end with an error first, as if the transport had been lost.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_free(
    connection: *mut wirespan_connection,
) -> wirespan_status {
    guard(|| {
        drop(CONNECTIONS.remove(connection)?);
        Ok(())
    })
}

/// The form of a number.
pub(crate) fn form_of(form: u32) -> Result<Form, Error> {
    match form {
        f if f == wirespan_form::Text as u32 => Ok(Form::Text),
        f if f == wirespan_form::Binary as u32 => Ok(Form::Binary),
        _ => Err(no_such("form")),
    }
}

/// The number of a form.
pub(crate) fn show_form(form: Form) -> wirespan_form {
    match form {
        Form::Text => wirespan_form::Text,
        Form::Binary => wirespan_form::Binary,
    }
}
