//! Events, deadlines and the end of the transport.

use std::ffi::c_char;

use wirespan::connection::{Event, ReadEnd};

use super::{CONNECTIONS, Side, show_form, wirespan_connection};
use crate::guard::guard;
use crate::pointers::{self, EMPTY, require_out, show, write_out};
use crate::types::{
    wirespan_attribute, wirespan_form, wirespan_span_end, wirespan_status, wirespan_str,
};
use crate::views::{Attributes, SpanEndView};

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_event_type {
    /// There is none.
    None = 0,
    /// Send `data` as a message of the kind `form`, before anything that is sent later.
    Frame = 1,
    /// Set `attributes` on the open span `stream`. Does not come with callbacks or a tracer.
    SpanUpdate = 2,
    /// The span `stream` ends; for a call or transfer it also says that the stream is over. Without callbacks or a tracer the
    /// application ends the span, as `wirespan_connection_span_end` says.
    SpanEnd = 3,
    /// No further chunk comes for the reader of `stream`, once it has taken those it was given; `read_status` says why.
    ReadEnd = 4,
    /// Stop to read from the transport.
    PauseReading = 5,
    /// Read again.
    ResumeReading = 6,
    /// The connection knows what its peer speaks; connecting is done.
    Ready = 7,
    /// The session id is another one; `text` is the one that this side had proposed.
    SessionChanged = 8,
}

/// Something that the application has to act on.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_event {
    /// What it is about.
    pub event_type: wirespan_event_type,
    /// The stream, or the span.
    pub stream: u32,
    /// The kind of WebSocket message.
    pub form: wirespan_form,
    /// The bytes of the message.
    pub data: *const u8,
    /// Number of bytes.
    pub length: usize,
    /// The attributes to set.
    pub attributes: *const wirespan_attribute,
    /// Number of attributes.
    pub attribute_count: usize,
    /// `WIRESPAN_STATUS_OK`: the peer's direction is complete. Else what the reader reports: `WIRESPAN_STATUS_CANCELLED`,
    /// `WIRESPAN_STATUS_REMOTE`, `WIRESPAN_STATUS_TIMEOUT`, `WIRESPAN_STATUS_OVERFLOW`, `WIRESPAN_STATUS_CLOSED`, …
    pub read_status: wirespan_status,
    /// Type of the error that the peer sent, or that stands on the span; or the earlier session id.
    pub text: wirespan_str,
}

/// Gives the next thing to act on; call it after every call with the connection until there is none. What it shows is valid until
/// the next call with the connection.
///
/// # Safety
///
/// `event` points to memory for an event.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_poll_event(
    connection: *mut wirespan_connection,
    event: *mut wirespan_event,
) -> wirespan_status {
    guard(|| {
        require_out("event", event)?;
        let shown = CONNECTIONS.with(connection, |side| Ok(side.next_event()))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(event, shown) };
        Ok(())
    })
}

/// Gives how to end the span that the last event, of the type `WIRESPAN_EVENT_TYPE_SPAN_END`, told of. The attributes are computed
/// now: ask the span whether it is recording first. Valid until the next call with the connection.
///
/// Returns `WIRESPAN_STATUS_INVALID_STATE` if the last event was another one.
///
/// # Safety
///
/// `end` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_span_end(
    connection: *mut wirespan_connection,
    end: *mut *const wirespan_span_end,
) -> wirespan_status {
    guard(|| {
        require_out("end", end)?;
        let shown = CONNECTIONS.with(connection, |side| {
            let Some(end) = &side.span_end else {
                return Err(wirespan::Error::invalid_state(
                    "the last event was not the end of a span",
                ));
            };
            let view = side.span_end_view.insert(SpanEndView::new(end, true));
            Ok(view.shown())
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(end, shown) };
        Ok(())
    })
}

/// Gives the time at which `wirespan_connection_on_time` is to be called, or UINT64_MAX if nothing is due.
///
/// # Safety
///
/// `deadline_ns` points to memory for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_next_deadline(
    connection: *const wirespan_connection,
    deadline_ns: *mut u64,
) -> wirespan_status {
    guard(|| {
        require_out("deadline_ns", deadline_ns)?;
        let next = CONNECTIONS.with(connection, |side| {
            Ok(side.core.next_deadline().unwrap_or(u64::MAX))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(deadline_ns, next) };
        Ok(())
    })
}

/// Does what is due: ends the wait for a hello, silent streams, and readers that do not read.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_on_time(
    connection: *mut wirespan_connection,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core.on_time(now_ns);
            Ok(())
        })?)
    })
}

/// Says that another connection took this one's session over: its calls end.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_connection_on_superseded(
    connection: *mut wirespan_connection,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core.on_superseded(now_ns);
            Ok(())
        })?)
    })
}

/// Says that the transport has closed, by a close frame with this code and reason, or without one: 0 and NULL. Every open call ends
/// with an error; the connection's span ends. The reason is the peer's, so one that is no UTF-8 is left out.
///
/// # Safety
///
/// `reason` points to `reason_length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_connection_on_close(
    connection: *mut wirespan_connection,
    code: u16,
    reason: *const c_char,
    reason_length: usize,
    now_ns: u64,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the reason.
        let reason = unsafe { pointers::slice("reason", reason.cast::<u8>(), reason_length) }?;
        let reason = std::str::from_utf8(reason).unwrap_or("");
        Ok(CONNECTIONS.with(connection, |side| {
            let now_ns = side.at(now_ns);
            side.core
                .on_close((code != 0).then_some(code), reason, now_ns);
            Ok(())
        })?)
    })
}

impl Side {
    fn next_event(&mut self) -> wirespan_event {
        let mut shown = wirespan_event {
            event_type: wirespan_event_type::None,
            stream: 0,
            form: wirespan_form::Text,
            data: std::ptr::null(),
            length: 0,
            attributes: std::ptr::null(),
            attribute_count: 0,
            read_status: wirespan_status::Ok,
            text: EMPTY,
        };
        self.span_end = None;
        self.span_end_view = None;
        self.event = None;
        let event = loop {
            match self.core.poll_event() {
                None => return shown,
                Some(Event::SpanUpdate { span, attributes }) if !self.spans.by_application() => {
                    self.spans.update(span.number(), attributes);
                }
                Some(event) => break event,
            }
        };
        match event {
            Event::SpanUpdate { span, attributes } => {
                self.attributes = Attributes::new(attributes);
                shown.event_type = wirespan_event_type::SpanUpdate;
                shown.stream = span.number();
                shown.attributes = self.attributes.as_slice().as_ptr();
                shown.attribute_count = self.attributes.as_slice().len();
            }
            Event::SpanEnd(end) => {
                shown.event_type = wirespan_event_type::SpanEnd;
                shown.stream = end.span.number();
                self.spans.end(&end);
                let end = self.span_end.insert(end);
                shown.text = end.error_type.as_deref().map_or(EMPTY, show);
            }
            kept => self.show_kept(kept, &mut shown),
        }
        shown
    }

    /// Shows an event whose own memory is shown.
    fn show_kept(&mut self, event: Event, shown: &mut wirespan_event) {
        match self.event.insert(event) {
            Event::Frame { form, bytes } => {
                shown.event_type = wirespan_event_type::Frame;
                shown.form = show_form(*form);
                shown.data = bytes.as_ptr();
                shown.length = bytes.len();
            }
            Event::ReadEnd { stream, end } => {
                shown.event_type = wirespan_event_type::ReadEnd;
                shown.stream = stream.number();
                if let ReadEnd::Failed { kind, error_type } = end {
                    shown.read_status = wirespan_status::of(*kind);
                    shown.text = error_type.as_deref().map_or(EMPTY, show);
                }
            }
            Event::PauseReading => shown.event_type = wirespan_event_type::PauseReading,
            Event::ResumeReading => shown.event_type = wirespan_event_type::ResumeReading,
            Event::Ready => shown.event_type = wirespan_event_type::Ready,
            Event::SessionChanged { previous } => {
                shown.event_type = wirespan_event_type::SessionChanged;
                shown.text = show(previous);
            }
            _ => {}
        }
    }
}
