//! Receiving.

use std::borrow::Cow;

use wirespan::connection::{Payload, Received, StreamKey};
use wirespan::envelope::{Form, Kind};

use super::{CONNECTIONS, Side, form_of, wirespan_connection};
use crate::guard::guard;
use crate::pointers::{
    self, EMPTY, NO_CONTEXT, NO_SPAN, require_out, show, show_optional_span, write_out,
};
use crate::types::{
    wirespan_context, wirespan_form, wirespan_header, wirespan_kind, wirespan_plan,
    wirespan_span_context, wirespan_status, wirespan_str,
};

/// What to do with a received message: start the span of the plan if there is one, deliver the payload, poll the events.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_received {
    /// The stream that gets the payload; `WIRESPAN_STREAM_PLAIN` for messages outside every stream.
    pub stream: u32,
    /// Whether anything is delivered. An empty message is delivered and has the length 0.
    pub has_payload: bool,
    /// The kind of WebSocket message that it came as.
    pub form: wirespan_form,
    /// What is delivered. It points into the message that was passed, unless the text had to be unescaped: then it is valid until
    /// the next call with this connection.
    pub payload: *const u8,
    /// Its length in bytes.
    pub payload_length: usize,
    /// Where it stands in the message that was passed, or SIZE_MAX where it had to be unescaped.
    pub payload_offset: usize,
    /// The sender's span, to be used as parent, and the baggage that the options let in.
    pub context: wirespan_context,
    /// The sender's span, to be linked; set under the option `trust` = `link`, and the span of `context` then is not.
    pub link: wirespan_span_context,
    /// The application's own headers, in the order sent.
    pub headers: *const wirespan_header,
    /// Number of headers.
    pub header_count: usize,
    /// Whether the message opens a call or transfer; what follows is set only then.
    pub is_opening: bool,
    /// Call or transfer.
    pub kind: wirespan_kind,
    /// The method that the peer named; empty for none. The peer chose it: use it only to look a handler up.
    pub method: wirespan_str,
    /// Whether the application serves that method (`wirespan_connection_set_methods`).
    pub is_registered: bool,
    /// How to start its span; with callbacks or a tracer it has been started.
    pub plan: *const wirespan_plan,
}

/// What the last message showed.
#[derive(Default)]
pub(super) struct Shown {
    texts: Vec<String>,
    headers: Vec<wirespan_header>,
}

// SAFETY: the pointers point into what this owns, or into memory of the caller that is only handed back to it.
unsafe impl Send for Shown {}

/// Takes a received message, whole: never a frame or fragment. Nothing that a peer sends is an error.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` only for arguments that no message can have.
///
/// # Safety
///
/// `data` points to `length` bytes that do not change as long as `received` is used; `received` points to memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_receive(
    connection: *mut wirespan_connection,
    data: *const u8,
    length: usize,
    form: u32,
    now_ns: u64,
    received: *mut wirespan_received,
) -> wirespan_status {
    guard(|| {
        require_out("received", received)?;
        let form = form_of(form)?;
        // SAFETY: the caller vouches for the message.
        let message = unsafe { pointers::slice("data", data, length) }?;
        let shown = CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            let taken = side.core.receive(message, form, now_ns);
            Ok(side.show_received(taken, form, message))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(received, shown) };
        Ok(())
    })
}

/// Says that a reader took a chunk of this many bytes out of the application's queue (`WIRESPAN_STREAM_PLAIN` for the queue of
/// plain messages), so that the connection can bound what is unread. An application that works on each message inside its
/// receive callback calls it right there.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_take(
    connection: *mut wirespan_connection,
    stream: u32,
    bytes: usize,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core
                .take(StreamKey::from_number(stream), bytes, now_ns);
            Ok(())
        })?)
    })
}

impl Side {
    fn show_received(
        &mut self,
        mut taken: Received<'_>,
        form: Form,
        message: &[u8],
    ) -> wirespan_received {
        self.received.texts.clear();
        self.received.headers.clear();
        let mut shown = wirespan_received {
            stream: taken.stream.number(),
            has_payload: false,
            form: match form {
                Form::Text => wirespan_form::Text,
                Form::Binary => wirespan_form::Binary,
            },
            payload: std::ptr::null(),
            payload_length: 0,
            payload_offset: usize::MAX,
            context: NO_CONTEXT,
            link: NO_SPAN,
            headers: std::ptr::null(),
            header_count: 0,
            is_opening: false,
            kind: wirespan_kind::Call,
            method: EMPTY,
            is_registered: false,
            plan: std::ptr::null(),
        };
        match std::mem::replace(&mut taken.payload, Payload::Nothing) {
            Payload::Nothing => {}
            Payload::Raw(range) => {
                if let Some(bytes) = message.get(range.clone()) {
                    shown.has_payload = true;
                    shown.payload = bytes.as_ptr();
                    shown.payload_length = bytes.len();
                    shown.payload_offset = range.start;
                }
            }
            Payload::Text(text) => {
                let text = self.received.keep(text);
                shown.has_payload = true;
                shown.payload = text.data.cast::<u8>();
                shown.payload_length = text.length;
                // Unless it was unescaped, the text is a part of the message.
                let offset = shown.payload.addr().wrapping_sub(message.as_ptr().addr());
                shown.payload_offset = if offset <= message.len() {
                    offset
                } else {
                    usize::MAX
                };
            }
        }
        for (name, value) in std::mem::take(&mut taken.headers) {
            let header = wirespan_header {
                name: self.received.keep(name),
                value: self.received.keep(value),
            };
            self.received.headers.push(header);
        }
        if !self.received.headers.is_empty() {
            shown.headers = self.received.headers.as_ptr();
            shown.header_count = self.received.headers.len();
        }
        if !taken.baggage.is_empty() {
            shown.context.baggage = self.received.own(taken.baggage.to_header());
        }
        shown.context.span = show_optional_span(taken.context(), true);
        shown.link = show_optional_span(taken.link(), true);
        // A new trace does not take the vendor data of the old one along.
        shown.link.trace_state = EMPTY;
        if let Some(span) = taken.context()
            && !span.trace_state.is_empty()
        {
            shown.context.span.trace_state =
                self.received.own(span.trace_state.as_str().to_owned());
        } else {
            shown.context.span.trace_state = EMPTY;
        }
        if let Some(opened) = taken.opened.take() {
            shown.is_opening = true;
            shown.kind = match opened.kind {
                Kind::Transfer => wirespan_kind::Transfer,
                _ => wirespan_kind::Call,
            };
            if let Some(method) = opened.method {
                shown.method = self.received.own(method.into_string());
            }
            shown.is_registered = opened.registered;
            self.show_plans(vec![opened.plan], None, &taken.baggage);
            shown.plan = self.plans[0].shown();
        }
        shown
    }
}

impl Shown {
    /// Shows a text, and owns it if it is no part of the message.
    fn keep(&mut self, text: Cow<'_, str>) -> wirespan_str {
        match text {
            Cow::Borrowed(text) => show(text),
            Cow::Owned(text) => self.own(text),
        }
    }

    fn own(&mut self, text: String) -> wirespan_str {
        // The bytes of a String stay where they are when the String itself moves.
        let shown = show(&text);
        self.texts.push(text);
        shown
    }
}
