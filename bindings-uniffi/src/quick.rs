//! What a host does with each message, in one native call each.
//!
//! A generated method makes four calls through JNA (clone the handle, get a buffer, call, free the buffer), with structures that JNA takes
//! apart by reflection; together they cost twenty times what the message does. The functions here take numbers alone, and one
//! buffer of the host's: what goes in stands at its start, what comes out behind that. They decide nothing: each does
//! what the method of [`Connection`] does that has its name.

use std::cell::RefCell;

use wirespan::connection::{
    Connection as Core, ContextRef, Message, Payload, Received as CoreReceived,
};
use wirespan::envelope::{Body, Form};
use wirespan::trace::{TraceParent, TraceState};
use wirespan::{Error, ErrorKind};

use crate::UniFfiTag;
use crate::connection::{Connection, deadline, key};
use crate::envelope::form;
use crate::error::{CoreError, guard, unsigned};
use crate::metrics::StreamMetrics;
use crate::received::Received;
use crate::trace::{BaggageMember, SpanContext};

/// The length of a `traceparent`.
const TRACEPARENT: usize = 55;

/// What is asked for; the numbers are those of `Quick.kt`.
mod operation {
    pub(super) const SEND: i32 = 0;
    pub(super) const RECEIVE: i32 = 1;
    pub(super) const TAKE: i32 = 2;
    pub(super) const EVENTS: i32 = 3;
    pub(super) const PLAN_CALL: i32 = 4;
    pub(super) const PLAN_TRANSFER: i32 = 5;
    pub(super) const END: i32 = 6;
    pub(super) const LEAVE: i32 = 7;
    pub(super) const CANCEL: i32 = 8;
    pub(super) const FAIL: i32 = 9;
}

/// Flags of what goes in and comes out; the same numbers in `Quick.kt`.
mod flag {
    pub(super) const TEXT: i32 = 1;
    /// The text is JSON, and not looked at.
    pub(super) const JSON: i32 = 2;
    pub(super) const LAST: i32 = 4;
    pub(super) const EVENTS: u8 = 2;
    pub(super) const CONTEXT: u8 = 4;
    /// The payload is a text at the end of the result, instead of a range of the message.
    pub(super) const OWN_TEXT: u8 = 8;
    /// The whole record follows, as generated methods give it.
    pub(super) const RECORD: u8 = 16;
}

thread_local! {
    /// A result that was longer than the buffer; the next call of the thread fetches it.
    static REST: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// What is asked, apart from the bytes.
struct Asked {
    operation: i32,
    stream: i64,
    now: i64,
    /// Bits of [`flag`].
    flags: i32,
    /// Of a message to send, how many bytes of the input are its context (a `traceparent`, and the `tracestate` behind it); of a chunk
    /// that was taken, its size.
    count: i32,
}

/// Does one operation of a connection. Returns the length of the result, or, negative and less by one, that of the error which is
/// then the result; one that is longer than the room for it is fetched by [`wirespan_quick_rest`].
///
/// # Safety
///
/// `connection` is 0 or a handle of a [`Connection`] that is not freed before this returns; `buffer` has `capacity` bytes, of which the
/// first `length` are written, and nobody else uses them until this returns.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn wirespan_quick(
    connection: i64,
    operation: i32,
    stream: i64,
    now: i64,
    flags: i32,
    count: i32,
    buffer: i64,
    length: i32,
    capacity: i32,
) -> i64 {
    let asked = Asked {
        operation,
        stream,
        now,
        flags,
        count,
    };
    // SAFETY: the caller holds a handle, which is the address of a `Connection` behind an `Arc`, or has let it go, which is 0.
    let connection = unsafe { (connection as usize as *const Connection).as_ref() };
    // SAFETY: the caller vouches for so many bytes, and for nobody else using them.
    let buffer = unsafe { bytes(buffer, capacity) };
    let length = usize::try_from(length).unwrap_or(0).min(buffer.len());
    let (input, output) = buffer.split_at_mut(length);
    let result = guard(|| {
        Ok(match connection {
            Some(connection) => done(connection, &asked, input, output),
            None => Err(Error::new(ErrorKind::InvalidState, "the connection was let go").into()),
        })
    });
    match result.and_then(|result| result) {
        Ok(written) => returned(written),
        Err(error) => -returned(put(&lowered(error), output)) - 1,
    }
}

/// As [`StreamMetrics::record_chunk`]: returns the interval of the stall that the chunk ended, in nanoseconds, 0 where it ended none.
///
/// # Safety
///
/// `metrics` is a handle of a [`StreamMetrics`] that is not freed before this returns.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn wirespan_quick_record_chunk(
    metrics: i64,
    size: i32,
    now: i64,
) -> i64 {
    // SAFETY: the caller holds a handle, which is the address of a `StreamMetrics` behind an `Arc`.
    let metrics = unsafe { (metrics as usize as *const StreamMetrics).as_ref() };
    let stall = metrics.and_then(|metrics| metrics.record_chunk(size.into(), now).ok().flatten());
    stall.map_or(0, |stall| stall.interval_ns)
}

/// Fetches the result that did not fit, into a buffer that has room for it. Returns its length.
///
/// # Safety
///
/// `buffer` has `capacity` bytes, and nobody else uses them until this returns.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn wirespan_quick_rest(buffer: i64, capacity: i32) -> i64 {
    // SAFETY: the caller vouches for so many bytes, and for nobody else using them.
    let buffer = unsafe { bytes(buffer, capacity) };
    let rest = REST.take();
    let room = buffer.len().min(rest.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..room), rest.get(..room)) {
        to.copy_from_slice(from);
    }
    returned(room)
}

/// # Safety
///
/// `address` is that of so many bytes, which nobody else uses for `'a`.
unsafe fn bytes<'a>(address: i64, length: i32) -> &'a mut [u8] {
    let length = usize::try_from(length).unwrap_or(0);
    if address == 0 || length == 0 {
        return &mut [];
    }
    // SAFETY: as this function demands.
    unsafe { std::slice::from_raw_parts_mut(address as usize as *mut u8, length) }
}

fn returned(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Puts a result into the room for it, else keeps it. Returns its length.
fn put(result: &[u8], output: &mut [u8]) -> usize {
    match output.get_mut(..result.len()) {
        Some(room) => room.copy_from_slice(result),
        None => REST.set(result.to_vec()),
    }
    result.len()
}

/// A value as generated methods give it.
fn lowered<T: uniffi::Lower<UniFfiTag>>(value: T) -> Vec<u8> {
    let mut bytes = Vec::new();
    T::write(value, &mut bytes);
    bytes
}

/// Reads an argument as generated methods take it.
fn lift<T: uniffi::Lift<UniFfiTag>>(input: &mut &[u8]) -> Result<T, CoreError> {
    T::try_read(input).map_err(|error| Error::invalid_argument("input", error.to_string()).into())
}

fn done(
    connection: &Connection,
    asked: &Asked,
    mut input: &[u8],
    output: &mut [u8],
) -> Result<usize, CoreError> {
    let Asked { stream, now, .. } = *asked;
    let input = &mut input;
    match asked.operation {
        operation::SEND => guard(|| send(connection, asked, input, output)),
        operation::RECEIVE => guard(|| {
            let now = unsigned("now", now)?;
            let mut core = connection.lock();
            let received = core.receive(input, form(asked.flags & flag::TEXT != 0), now);
            Ok(put_received(received, input, &core, output))
        }),
        operation::TAKE => connection
            .take(stream, asked.count.into(), now)
            .map(usize::from),
        operation::EVENTS => {
            let events = lowered(connection.poll_events()?);
            let due = deadline(&connection.lock()).unwrap_or(-1);
            Ok(put(
                &[&due.to_be_bytes(), events.as_slice()].concat(),
                output,
            ))
        }
        operation::PLAN_CALL => {
            let planned = connection.plan_call(lift(input)?, lift(input)?, now)?;
            Ok(put(&lowered(planned), output))
        }
        operation::PLAN_TRANSFER => {
            let planned = connection.plan_transfer(lift(input)?, lift(input)?, now)?;
            Ok(put(&lowered(planned), output))
        }
        operation::END => {
            let context: Option<SpanContext> = lift(input)?;
            let baggage: Vec<BaggageMember> = lift(input)?;
            connection.end(stream, context, now, baggage).map(|()| 0)
        }
        operation::LEAVE => connection.leave(stream, now).map(|()| 0),
        operation::CANCEL => connection.cancel(stream, now).map(|()| 0),
        operation::FAIL => connection.fail(stream, lift(input)?, now).map(|()| 0),
        _ => {
            Err(Error::invalid_argument("operation", "must be one of those that there are").into())
        }
    }
}

/// Sends: the result is the deadline, the flags, and the frame.
fn send(
    connection: &Connection,
    asked: &Asked,
    input: &[u8],
    output: &mut [u8],
) -> Result<usize, Error> {
    let refused = || Error::invalid_argument("context", "must be within the input");
    let count = usize::try_from(asked.count).map_err(|_| refused())?;
    let (context, body) = input.split_at_checked(count).ok_or_else(refused)?;
    let (parent, state) = match context.split_at_checked(TRACEPARENT) {
        Some((parent, state)) => (Some(TraceParent::parse(parent)?), state),
        None => (None, &[][..]),
    };
    // What is malformed is dropped, as a receiver would do.
    let state = TraceState::from_values(std::iter::once(state)).unwrap_or_default();
    let context = ContextRef {
        trace_parent: parent,
        trace_state: state.as_str(),
        baggage: None,
    };
    let body = match asked.flags & (flag::TEXT | flag::JSON) {
        0 => Body::Binary(body),
        flag::TEXT => Body::Text(
            std::str::from_utf8(body)
                .map_err(|_| Error::invalid_argument("body", "must be UTF-8"))?,
        ),
        _ => Body::Json(body),
    };
    let mut message = Message::new(body);
    message.last = asked.flags & flag::LAST != 0;
    let (key, now) = (key(asked.stream)?, unsigned("now", asked.now)?);
    let mut core = connection.lock();
    let frame = core.send(key, message, &context, now)?;
    let is_text = if frame.form() == Form::Text { 1 } else { 0 };
    // What the frame borrows has to be let go before the rest is asked for, so it is copied first.
    let length = frame.len();
    let rest = match output.get_mut(FRAME..).and_then(|room| frame.copy_to(room)) {
        Some(_) => None,
        None => Some(frame.to_vec()),
    };
    let mut before = [0; FRAME];
    before[..8].copy_from_slice(&deadline(&core).unwrap_or(-1).to_be_bytes());
    before[8] = is_text | if core.has_events() { flag::EVENTS } else { 0 };
    match (rest, output.first_chunk_mut::<FRAME>()) {
        (None, Some(room)) => *room = before,
        (rest, _) => REST.set([&before[..], &rest.unwrap_or_default()].concat()),
    }
    Ok(FRAME + length)
}

/// Where the frame begins in what sending gives.
const FRAME: usize = 9;

/// Puts what was received: deadline, stream, flags, range of the payload, lengths of context and text, and these two; or, where there is
/// more to say, deadline, stream, flags, and the whole record.
fn put_received(
    received: CoreReceived<'_>,
    message: &[u8],
    core: &Core,
    output: &mut [u8],
) -> usize {
    let (has_events, due) = (core.has_events(), deadline(core));
    let mut result = Vec::with_capacity(160);
    result.extend(due.unwrap_or(-1).to_be_bytes());
    result.extend(i64::from(received.stream.number()).to_be_bytes());
    let events = if has_events { flag::EVENTS } else { 0 };
    let has_more = received.opened.is_some()
        || received.link().is_some()
        || !received.baggage.is_empty()
        || !received.headers.is_empty()
        || received.payload == Payload::Nothing;
    if has_more {
        result.push(events | flag::RECORD);
        result.extend(lowered(Received::new(received, has_events, due)));
        return put(&result, output);
    }
    let (range, text) = match &received.payload {
        Payload::Raw(range) => (range.clone(), None),
        Payload::Text(text) => (0..0, Some(text.as_bytes())),
        Payload::Nothing => (0..0, None),
    };
    debug_assert!(range.end <= message.len(), "a range of the message");
    let context = received.context();
    let parent = context.map(|span| span.trace_parent.to_header());
    let state = context.map_or("", |span| span.trace_state.as_str());
    result.push(
        events
            | if context.is_some() { flag::CONTEXT } else { 0 }
            | if text.is_some() { flag::OWN_TEXT } else { 0 },
    );
    for number in [
        range.start,
        range.len(),
        state.len(),
        text.map_or(0, <[u8]>::len),
    ] {
        // A message of Java's is no longer than this.
        result.extend(i32::try_from(number).unwrap_or(i32::MAX).to_be_bytes());
    }
    result.extend(parent.unwrap_or_default().as_bytes());
    result.extend(state.as_bytes());
    result.extend(text.unwrap_or_default());
    put(&result, output)
}
