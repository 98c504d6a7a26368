//! Calls, transfers and plain messages: sending and ending.

use std::ffi::c_char;

use wirespan::Error;
use wirespan::connection::{ContextRef, Fitted, Message, StreamKey};
use wirespan::trace::Baggage;

use super::{CONNECTIONS, show_form, wirespan_connection};
use crate::guard::{Failure, guard};
use crate::pointers::{self, ContextIn, require_out, write_out};
use crate::spans::Spans;
use crate::types::{
    wirespan_context, wirespan_form, wirespan_header, wirespan_plan, wirespan_span_context,
    wirespan_status,
};

/// A message to send. All zero but the body is a good start.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_message {
    /// What the body is: a `wirespan_body`.
    pub body_type: u32,
    /// Its bytes; for a text they must be UTF-8.
    pub data: *const u8,
    /// Number of bytes.
    pub length: usize,
    /// Whether this is the last message of its direction.
    pub last: bool,
    /// Headers of the application's own. A peer that does not know envelopes cannot get them.
    pub headers: *const wirespan_header,
    /// Number of headers.
    pub header_count: usize,
}

/// Plans a call: the application starts the span of the plan, then sends the first message with that span's context. With
/// callbacks or a tracer the span has been started when this returns. `method` is the name of what is called, or NULL;
/// `current` the current span, or NULL.
///
/// Returns `WIRESPAN_STATUS_CLOSED`, `WIRESPAN_STATUS_ROLE`, `WIRESPAN_STATUS_LIMIT` (too many open streams),
/// `WIRESPAN_STATUS_BUSY` (one call at a time toward a peer that does not know envelopes) or
/// `WIRESPAN_STATUS_INVALID_ARGUMENT` (`method`).
///
/// # Safety
///
/// `method` is NULL or ends with NUL; `current` is NULL or points to a context; `stream` points to memory for a number; `plan`
/// is NULL or points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_plan_call(
    connection: *mut wirespan_connection,
    method: *const c_char,
    current: *const wirespan_span_context,
    now_ns: u64,
    stream: *mut u32,
    plan: *mut *const wirespan_plan,
) -> wirespan_status {
    guard(|| {
        // SAFETY: as this function's.
        unsafe { open(connection, true, method, current, now_ns, stream, plan) }
    })
}

/// Plans a transfer: one-way data. As `wirespan_connection_plan_call`, and never busy.
///
/// # Safety
///
/// As for `wirespan_connection_plan_call`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_plan_transfer(
    connection: *mut wirespan_connection,
    method: *const c_char,
    current: *const wirespan_span_context,
    now_ns: u64,
    stream: *mut u32,
    plan: *mut *const wirespan_plan,
) -> wirespan_status {
    guard(|| {
        // SAFETY: as this function's.
        unsafe { open(connection, false, method, current, now_ns, stream, plan) }
    })
}

/// Plans a call or transfer.
///
/// # Safety
///
/// As for [`wirespan_connection_plan_call`].
unsafe fn open(
    connection: *mut wirespan_connection,
    is_call: bool,
    method: *const c_char,
    current: *const wirespan_span_context,
    now_ns: u64,
    stream: *mut u32,
    plan: *mut *const wirespan_plan,
) -> Result<(), Failure> {
    require_out("stream", stream)?;
    // SAFETY: the caller vouches for the inputs.
    let (method, current) = unsafe {
        (
            pointers::optional_text("method", method)?,
            pointers::span(current)?,
        )
    };
    let (key, shown) = CONNECTIONS.with(connection, |side| {
        let now_ns = side.at(now_ns);
        let parent = current.map(|span| span.trace_parent);
        let (key, planned) = if is_call {
            side.core.plan_call(method, parent, now_ns)?
        } else {
            side.core.plan_transfer(method, parent, now_ns)?
        };
        side.show_plans(vec![planned], current, &Baggage::default());
        Ok((key.number(), side.plans[0].shown()))
    })?;
    // SAFETY: the caller vouches for the outputs.
    unsafe {
        write_out(stream, key);
        write_out(plan, shown);
    }
    Ok(())
}

/// Writes the bytes of a message for `stream` into `buffer`, or for no stream if that is `WIRESPAN_STREAM_PLAIN`. The
/// application queues them for its transport before anything else is sent.
///
/// `context` is that of the stream's span, or of the current span for a plain message; a stream sends it with its first message
/// only. NULL, or a context without a span, takes the span that callbacks or the tracer have started for the stream.
/// `length` gets the number of bytes written, and `form` (which may be NULL) the kind of WebSocket message: a `wirespan_form`.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small: `length` then holds what is needed, nothing else has changed,
/// and the call can be made again. `WIRESPAN_MAX_OVERHEAD` bytes above the body always do for bodies that are binary or JSON.
///
/// Returns `WIRESPAN_STATUS_CLOSED`; the reason for which the stream ended (`WIRESPAN_STATUS_CANCELLED`,
/// `WIRESPAN_STATUS_REMOTE`, `WIRESPAN_STATUS_TIMEOUT`, `WIRESPAN_STATUS_OVERFLOW`, …); `WIRESPAN_STATUS_INVALID_STATE` (the
/// direction has ended, or a transfer was answered); `WIRESPAN_STATUS_INVALID_ARGUMENT` (headers, or no body outside a
/// stream); `WIRESPAN_STATUS_LIMIT` (the headers do not fit). After an error nothing has changed.
///
/// # Safety
///
/// `message` points to a message, whose pointers are valid; `context` is NULL or points to a context; `buffer` points to `size`
/// bytes that do not overlap the message; `length` points to memory for a `size_t`, `form` is NULL or points to memory for a
/// form.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_send(
    connection: *mut wirespan_connection,
    stream: u32,
    message: *const wirespan_message,
    context: *const wirespan_context,
    now_ns: u64,
    buffer: *mut u8,
    size: usize,
    length: *mut usize,
    form: *mut wirespan_form,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        if buffer.is_null() && size > 0 {
            return Err(Error::invalid_argument("buffer", "is NULL but has a size").into());
        }
        let size = size.min(isize::MAX as usize);
        // SAFETY: the caller vouches for the inputs.
        let message = unsafe { message.as_ref() }
            .ok_or_else(|| Error::invalid_argument("message", "must not be NULL"))?;
        // SAFETY: likewise.
        let (body, headers, context) = unsafe {
            (
                pointers::body("data", message.body_type, message.data, message.length)?,
                pointers::own_headers(message.headers, message.header_count)?,
                pointers::context(context)?,
            )
        };
        let message = Message {
            body,
            last: message.last,
            headers: &headers,
        };
        let (needed, made) = CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            let context = context_for(&side.spans, stream, &context);
            let fitted = side.core.send_within(
                StreamKey::from_number(stream),
                message,
                &context,
                now_ns,
                size,
            )?;
            Ok(match fitted {
                Fitted::TooLong { needed } => (needed, None),
                Fitted::Frame(frame) => {
                    if frame.len() > 0 {
                        // SAFETY: the caller vouches for `size` bytes, which are at least as many as the frame has, and
                        // bytes need no initialisation before they are written.
                        let room = unsafe { std::slice::from_raw_parts_mut(buffer, frame.len()) };
                        frame.copy_to(room);
                    }
                    (frame.len(), Some(show_form(frame.form())))
                }
            })
        })?;
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            write_out(length, needed);
            let made = made.ok_or(Failure::BufferTooSmall)?;
            write_out(form, made);
        }
        Ok(())
    })
}

/// Ends this side's direction. What has to be sent for it comes as an event. A call that sent nothing opens with it, so
/// `context` is as for `wirespan_connection_send`.
///
/// Returns as `wirespan_connection_send`. Ending a direction that has ended does nothing.
///
/// # Safety
///
/// `context` is NULL or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_end(
    connection: *mut wirespan_connection,
    stream: u32,
    context: *const wirespan_context,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the input.
        let context = unsafe { pointers::context(context) }?;
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            let context = context_for(&side.spans, stream, &context);
            side.core
                .end(StreamKey::from_number(stream), &context, now_ns)
        })?)
    })
}

/// Leaves a call that is done: this side's direction ends, and what is still to come of a reply is abandoned. A caller that sent
/// nothing writes nothing. For an incoming call or transfer: its handler has returned. A stream that has ended stays so.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_leave(
    connection: *mut wirespan_connection,
    stream: u32,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core.leave(StreamKey::from_number(stream), now_ns);
            Ok(())
        })?)
    })
}

/// Cancels a call or transfer, from either side. A stream that has ended stays so.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_cancel(
    connection: *mut wirespan_connection,
    stream: u32,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core.cancel(StreamKey::from_number(stream), now_ns);
            Ok(())
        })?)
    })
}

/// Ends a call or transfer with an error, from either side: `unknown_method` where nobody serves the method, else a short name of
/// what failed. A name that does not fit the wire, empty or not visible ASCII, becomes `handler`. A stream that has ended stays so.
///
/// # Safety
///
/// `error_type` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_fail(
    connection: *mut wirespan_connection,
    stream: u32,
    error_type: *const c_char,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the text.
        let error_type = unsafe { pointers::text("error_type", error_type) }?;
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core
                .fail(StreamKey::from_number(stream), error_type, now_ns);
            Ok(())
        })?)
    })
}

/// The context to send: the one that was passed, else that of the span that was started for the stream.
fn context_for<'a>(spans: &'a Spans, stream: u32, passed: &'a ContextIn<'_>) -> ContextRef<'a> {
    let mut context = ContextRef {
        baggage: passed.baggage.as_ref(),
        ..ContextRef::default()
    };
    if let Some(span) = passed.span {
        context.trace_parent = Some(span.trace_parent);
        context.trace_state = span.trace_state;
    } else if stream != StreamKey::PLAIN.number()
        && let Some(span) = spans.context(stream)
    {
        context.trace_parent = Some(span.trace_parent);
        context.trace_state = span.trace_state.as_str();
    }
    context
}
