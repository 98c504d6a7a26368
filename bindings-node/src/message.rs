//! What happens for each message: sending, receiving, taking out of a queue.

use wirespan::connection::{Message, Payload, Received, StreamKey};
use wirespan::envelope::{Body, Form, Frame};
use wirespan::trace::{Baggage, TraceParent};
use wirespan::{Error, ErrorKind};

use crate::connection::settle;
use crate::convert;
use crate::js::{Js, Type, Value, wrong};
use crate::state::{Out, State, flag, word};

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
}

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

/// `send(handle, key, body, flags, slab, offset, now, headers)`: makes a frame and returns its length if it was written into
/// the slab, else a `Buffer`.
pub(crate) fn send(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections,
        context,
        text,
        out,
        ..
    } = state;
    let held = connections.get(js.u32(0, "handle")?)?;
    let to = StreamKey::from_number(js.u32(1, "key")?);
    let flags = js.u32(3, "flags")?;
    let has = |bit: u32| flags & bit != 0;
    let body = match js.kind(2) {
        Type::Text => {
            let text = js.text_into(2, "body", text)?;
            if has(send_flag::JSON) {
                Body::Json(text.as_bytes())
            } else {
                Body::Text(text)
            }
        }
        Type::Absent => Body::None(Form::Text),
        _ => {
            let bytes = js.bytes(2, "body")?;
            if has(send_flag::JSON) {
                Body::Json(bytes)
            } else if has(send_flag::TEXT) {
                Body::Text(
                    std::str::from_utf8(bytes)
                        .map_err(|_| wrong("body", "must be UTF-8 to be sent as text"))?,
                )
            } else {
                Body::Binary(bytes)
            }
        }
    };
    let now_ns = js.u64(6, "now")?;
    let headers = js.texts(7, "headers")?;
    let headers = pairs(&headers)?;
    let message = Message {
        body,
        last: has(send_flag::LAST),
        headers: &headers,
    };
    let frame = held.core.send(
        to,
        message,
        &context.borrow(has(send_flag::CONTEXT)),
        now_ns,
    )?;
    out.set(word::FORM, convert::form_number(frame.form()));
    let written = write_frame(js, &frame)?;
    settle(held, out);
    Ok(written)
}

/// Writes a frame into the slab (arguments 4 and 5) if it fits there, else into a buffer of its own.
fn write_frame(js: &Js, frame: &Frame<'_>) -> Result<Value, Error> {
    let length = frame.len();
    if js.kind(4) == Type::Object {
        let offset = js.u32(5, "offset")? as usize;
        let slab = js.bytes(4, "slab")?;
        let room = slab.len().saturating_sub(offset);
        let number = u32::try_from(length).ok().filter(|_| length <= room);
        let source = js.kind(2) == Type::Object;
        if let Some(number) = number
            && !(source && overlaps(js.bytes(2, "body")?, &slab[offset..]))
        {
            let start = slab[offset..].as_ptr().cast_mut();
            // SAFETY: the memory belongs to JavaScript, which does not run during the call; the part behind `offset` was not
            // given to anybody and does not overlap with the body. `length` bytes of it are there.
            let copied = frame.copy_to(unsafe { std::slice::from_raw_parts_mut(start, length) });
            debug_assert_eq!(copied, Some(length));
            return Ok(js.number(number));
        }
    }
    js.buffer(length, |bytes| {
        // The buffer has the length of the frame, so the copy fits.
        let copied = frame.copy_to(bytes);
        debug_assert_eq!(copied, Some(length));
    })
}

fn overlaps(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (a.as_ptr_range(), b.as_ptr_range());
    a.start < b.end && b.start < a.end
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

/// `receive(handle, message, isBinary, now)`: leaves stream, payload, flags and ids in the words, and returns the text if the
/// payload is one that is not part of the message.
pub(crate) fn receive(js: &Js, state: &mut State) -> Result<Value, Error> {
    let State {
        connections,
        out,
        extras,
        ..
    } = state;
    let held = connections.get(js.u32(0, "handle")?)?;
    let message = js.bytes(1, "message")?;
    if u32::try_from(message.len()).is_err() {
        return Err(Error::new(
            ErrorKind::Limit,
            "a message of 4 GiB or more cannot be received",
        ));
    }
    let form = if js.flag(2) { Form::Binary } else { Form::Text };
    let now_ns = js.u64(3, "now")?;
    let received = held.core.receive(message, form, now_ns);
    out.set(word::STREAM, received.stream.number());
    let text = put_payload(&received, out);
    let flags = put_context(&received, out);
    *extras = convert::extras(&received);
    out.set(
        word::FLAGS,
        if extras.is_some() {
            flags | flag::EXTRAS
        } else {
            flags
        },
    );
    let value = text.map_or_else(|| Ok(js.undefined()), |text| js.string(text))?;
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
