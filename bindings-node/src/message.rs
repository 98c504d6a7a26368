//! What happens for each message: sending, receiving, taking out of a queue.

use std::ops::Range;
use std::ptr;

use wirespan::connection::{Message, Payload, Received, StreamKey};
use wirespan::envelope::{Body, Form, Frame};
use wirespan::trace::{Baggage, TraceParent};
use wirespan::{Error, ErrorKind};

use crate::connection::settle;
use crate::convert;
use crate::js::{Js, Type, Value, wrong};
use crate::state::{Out, State, flag, number, word};

/// Bits of the argument `flags` of [`send`].
mod send_flag {
    /// The body is JSON: it is not looked at.
    pub(super) const JSON: u32 = 1;
    /// The bytes of the body are UTF-8 text.
    pub(super) const TEXT: u32 = 2;
    /// The last message of its direction.
    pub(super) const LAST: u32 = 4;
    /// With the context that was set last.
    pub(super) const CONTEXT: u32 = 8;
    /// The ids of that context are among the arguments, and its trace flags are in the byte from [`TRACE_FLAGS`] on.
    pub(super) const IDS: u32 = 16;
    /// The body stands between room for a head and room for a tail, so that the message is made around it.
    pub(super) const ROOM: u32 = 32;
    /// There is a body, which is a string.
    pub(super) const STRING: u32 = 64;
    /// There is a body, which is bytes.
    pub(super) const BYTES: u32 = 128;
    /// There are headers of the application's own.
    pub(super) const HEADERS: u32 = 1 << 16;
    /// Where the byte of trace flags starts.
    pub(super) const TRACE_FLAGS: u32 = 8;
}

/// Room in front of a body that was sent with [`send_flag::ROOM`]; a longer head makes a copy.
const HEAD_ROOM: usize = 1024;
/// Room behind it: the brace that ends a text envelope.
const TAIL_ROOM: usize = 1;

/// `setContext(traceparent, tracestate, baggage)`: the context for what is sent next. What is invalid counts as absent.
pub(crate) fn set_context(js: &Js, state: &mut State) -> Result<Value, Error> {
    let context = &mut state.context;
    let mut buffer = [0; 64];
    context.trace_parent = js
        .short_text(0, &mut buffer)
        .and_then(|text| TraceParent::parse(text).ok());
    context.trace_state.clear();
    if js.kind(1) == Type::Text {
        context
            .trace_state
            .push_str(js.text_into(1, "tracestate", &mut state.text)?);
    }
    context.baggage = baggage(js, 2)?;
    Ok(js.undefined())
}

/// Baggage of an array of keys, values and properties in turn; absent if there is none.
pub(crate) fn baggage(js: &Js, index: usize) -> Result<Option<Baggage>, Error> {
    let parts = js.texts(index, "baggage")?;
    if parts.is_empty() {
        return Ok(None);
    }
    Ok(Some(convert::baggage_from(&parts)))
}

/// Reads a context that is ids and flags alone, as most are.
fn ids_at(js: &Js, index: usize, trace_flags: u8) -> Option<TraceParent> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = *b"00-????????????????????????????????-????????????????-??";
    let digit = |nibble: u8| DIGITS[usize::from(nibble & 0xF)];
    text[53..].copy_from_slice(&[digit(trace_flags >> 4), digit(trace_flags)]);
    let (trace_id, span_id) = text.split_at_mut(36);
    js.ascii(index, trace_id.get_mut(3..35)?)?;
    js.ascii(index + 1, span_id.get_mut(..16)?)?;
    TraceParent::parse(&text).ok()
}

/// `send(body, headers, traceId, spanId)`: makes a frame. Handle, stream, flags, time, and place or length of the body are in the
/// words and numbers; a body that is bytes is their `ArrayBuffer`. Where the frame stands is then in the words: in the slab, or
/// around a body with room; otherwise it is a `Buffer` of its own, which is returned.
pub(crate) fn send(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections,
        context,
        text,
        out,
        slab,
        ..
    } = state;
    let held = connections.get(out.word(word::HANDLE))?;
    let to = StreamKey::from_number(out.word(word::KEY));
    let flags = out.word(word::GIVEN);
    let has = |bit: u32| flags & bit != 0;
    let body = if has(send_flag::STRING) {
        let units = position(out, number::LENGTH)?;
        let text = js.text_of_length(0, units, "body", text)?;
        if has(send_flag::JSON) {
            Body::Json(text.as_bytes())
        } else {
            Body::Text(text)
        }
    } else if has(send_flag::BYTES) {
        bytes_body(js.bytes_within(0, place(out)?, "body")?, flags)?
    } else {
        Body::None(Form::Text)
    };
    let now_ns = out.number(number::NOW, "now")?;
    let headers = if has(send_flag::HEADERS) {
        js.texts(1, "headers")?
    } else {
        Vec::new()
    };
    let headers = pairs(&headers)?;
    if has(send_flag::IDS) {
        context.trace_parent = ids_at(js, 2, (flags >> send_flag::TRACE_FLAGS) as u8);
        context.trace_state.clear();
        context.baggage = None;
    }
    let message = Message {
        body,
        last: has(send_flag::LAST),
        headers: &headers,
    };
    let context = context.borrow(has(send_flag::CONTEXT));
    let frame = held.core.send(to, message, &context, now_ns)?;
    out.set(word::FORM, convert::form_number(frame.form()));
    let written = if has(send_flag::ROOM) {
        write_around(js, &frame, &place(out)?)?
    } else {
        slab.write(&frame, body.bytes())
    };
    let value = match written {
        Some(written) => {
            // Both are far below 4 GiB: see the bounds of the slab, and of a body with room.
            out.set(word::START, written.start as u32);
            out.set(word::END, written.end as u32);
            // No value is `undefined` to JavaScript.
            ptr::null_mut()
        }
        None => own_buffer(js, &frame)?,
    };
    settle(held, out);
    Ok(value)
}

/// A place that JavaScript gave: in memory, or on the way there.
fn position(out: &Out, number: usize) -> Result<usize, Error> {
    let position = out.number(number, "place")?;
    usize::try_from(position).map_err(|_| wrong("place", "must be within memory"))
}

/// Where the bytes are that JavaScript gave.
fn place(out: &Out) -> Result<Range<usize>, Error> {
    let start = position(out, number::OFFSET)?;
    Ok(start..start.saturating_add(position(out, number::LENGTH)?))
}

/// The body that bytes are.
fn bytes_body(bytes: &[u8], flags: u32) -> Result<Body<'_>, Error> {
    let has = |bit: u32| flags & bit != 0;
    let bytes = if has(send_flag::ROOM) {
        body_within(bytes)?
    } else {
        bytes
    };
    if has(send_flag::JSON) {
        return Ok(Body::Json(bytes));
    }
    if !has(send_flag::TEXT) {
        return Ok(Body::Binary(bytes));
    }
    std::str::from_utf8(bytes)
        .map(Body::Text)
        .map_err(|_| wrong("body", "must be UTF-8 to be sent as text"))
}

/// A frame in a buffer of its own.
fn own_buffer(js: &Js, frame: &Frame<'_>) -> Result<Value, Error> {
    let length = frame.len();
    js.buffer(length, |bytes| {
        // The buffer has the length of the frame, so the copy fits.
        let copied = frame.copy_to(bytes);
        debug_assert_eq!(copied, Some(length));
    })
}

/// The body in a buffer that has room around it.
fn body_within(whole: &[u8]) -> Result<&[u8], Error> {
    let end = whole.len().saturating_sub(TAIL_ROOM);
    match whole.get(HEAD_ROOM..end) {
        Some(body) if u32::try_from(whole.len()).is_ok() => Ok(body),
        _ => Err(wrong("body", "must have room around it")),
    }
}

/// Writes head and tail of a frame around its body, where they fit and the body goes as it is. Says where the frame then is within
/// the room that was given.
fn write_around(
    js: &Js,
    frame: &Frame<'_>,
    given: &Range<usize>,
) -> Result<Option<Range<usize>>, Error> {
    let Some([head, body, tail]) = frame.parts() else {
        return Ok(None);
    };
    if head.len() > HEAD_ROOM
        || tail.len() > TAIL_ROOM
        || given.len() != HEAD_ROOM + body.len() + TAIL_ROOM
    {
        return Ok(None);
    }
    let memory = js.memory_within(0, given, "body")?.cast::<u8>();
    let place = HEAD_ROOM - head.len()..HEAD_ROOM + body.len() + tail.len();
    // SAFETY: the memory has `length` bytes, belongs to JavaScript, which does not run during the call, and was given for this:
    // the two places are the room in front of the body and behind it, so nothing that is borrowed lies there.
    unsafe {
        ptr::copy_nonoverlapping(head.as_ptr(), memory.add(place.start), head.len());
        ptr::copy_nonoverlapping(
            tail.as_ptr(),
            memory.add(HEAD_ROOM + body.len()),
            tail.len(),
        );
    }
    Ok(Some(place))
}

/// `slab(buffer)`: where short frames are written from now on. JavaScript makes sure before each sending that it is not detached.
pub(crate) fn slab(js: &Js, state: &mut State) -> Result<Value, Error> {
    state.slab.replace(js, 0)?;
    Ok(js.undefined())
}

/// Headers of an array of names and values in turn.
fn pairs(flat: &[String]) -> Result<Vec<(&str, &str)>, Error> {
    let (pairs, rest) = flat.as_chunks::<2>();
    if rest.is_empty() {
        Ok(pairs
            .iter()
            .map(|[name, value]| (name.as_str(), value.as_str()))
            .collect())
    } else {
        Err(wrong("headers", "must hold a value for each name"))
    }
}

/// `receive(buffer)`: takes a message. Handle, flags (1: it is binary), time, and where it is in its `ArrayBuffer` are in the words
/// and numbers. Leaves stream, payload, flags and ids in the words, and returns the text if the payload is one that is not part of
/// the message.
pub(crate) fn receive(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections,
        out,
        extras,
        ..
    } = state;
    let held = connections.get(out.word(word::HANDLE))?;
    let message = js.bytes_within(0, place(out)?, "message")?;
    if u32::try_from(message.len()).is_err() {
        return Err(Error::new(
            ErrorKind::Limit,
            "a message of 4 GiB or more cannot be received",
        ));
    }
    let form = if out.word(word::GIVEN) == 0 {
        Form::Text
    } else {
        Form::Binary
    };
    let now_ns = out.number(number::NOW, "now")?;
    let received = held.core.receive(message, form, now_ns);
    out.set(word::STREAM, received.stream.number());
    let text = put_payload(&received, out);
    let mut flags = put_context(&received, out);
    let place = received
        .opened
        .as_deref()
        .and_then(|opened| held.plans.incoming(opened, &received));
    let knows_opened = out.set_place(place);
    *extras = convert::extras(&received, knows_opened);
    flags |= match extras {
        Some(_) => flag::EXTRAS,
        None if knows_opened => flag::KNOWN,
        None => 0,
    };
    out.set(word::FLAGS, flags);
    // No value is `undefined` to JavaScript.
    let value = text.map_or_else(|| Ok(ptr::null_mut()), |text| js.string(text))?;
    settle(held, out);
    Ok(value)
}

fn put_payload<'r>(received: &'r Received<'_>, out: &mut Out) -> Option<&'r str> {
    match &received.payload {
        Payload::Nothing => {
            out.set(word::PAYLOAD, 0);
            None
        }
        Payload::Raw(range) => {
            out.set(word::PAYLOAD, 1);
            // The message is shorter than 4 GiB.
            out.set(word::START, range.start as u32);
            out.set(word::END, range.end as u32);
            None
        }
        Payload::Text(text) => {
            out.set(word::PAYLOAD, 2);
            Some(text)
        }
    }
}

fn put_context(received: &Received<'_>, out: &mut Out) -> u32 {
    let linked = received.link();
    let Some(span) = received.context().or(linked) else {
        return 0;
    };
    out.set(word::TRACE_FLAGS, u32::from(span.trace_parent.flags.bits()));
    out.set_ids(&span.trace_parent);
    flag::CONTEXT | if linked.is_some() { flag::LINKED } else { 0 }
}

/// `extras()`: what the last received message has beside its payload, as JSON, once.
pub(crate) fn extras(js: &Js, state: &mut State) -> Result<Value, Error> {
    js.optional_string(state.extras.take().as_deref())
}

/// `take(handle, key, bytes, now)`: a reader took a chunk out of its queue.
pub(crate) fn take(js: &Js, state: &mut State) -> Result<Value, Error> {
    let held = state.connections.get(js.u32(0, "handle")?)?;
    let key = StreamKey::from_number(js.u32(1, "key")?);
    let bytes = usize::try_from(js.u64(2, "bytes")?).unwrap_or(usize::MAX);
    held.core.take(key, bytes, js.u64(3, "now")?);
    settle(held, &mut state.out);
    Ok(js.undefined())
}

// The ids are written as six words.
const _: () = assert!(word::IDS + 6 <= word::COUNT);
