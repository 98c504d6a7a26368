//! The propagator: contexts from and to headers, without a connection. Everything goes through the caller's buffers.

use std::ffi::c_char;

use wirespan::carry::Carried;
use wirespan::limits;
use wirespan::names::header;
use wirespan::trace::{AllowList, Context, TraceParent, TraceState};

use crate::guard::{Failure, guard};
use crate::pointers::{self, EMPTY, NO_SPAN, give_text, require_out, show_span, write_out};
use crate::types::{
    wirespan_context, wirespan_header, wirespan_span_context, wirespan_status, wirespan_str,
};

/// Length of a `traceparent` as it is written, without a NUL.
pub const WIRESPAN_TRACEPARENT_LENGTH: usize = 55;

/// Reads a `traceparent` by W3C Trace Context level 2.
///
/// Returns `WIRESPAN_STATUS_MALFORMED` if it does not follow the grammar; the error has the reason and the offset.
///
/// # Safety
///
/// `data` points to `length` bytes; `span` points to memory for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_traceparent_parse(
    data: *const c_char,
    length: usize,
    span: *mut wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        require_out("span", span)?;
        // SAFETY: the caller vouches for the input.
        let value = unsafe { pointers::slice("data", data.cast::<u8>(), length) }?;
        let mut shown = show_span(&TraceParent::parse(value)?.into(), true);
        shown.trace_state = EMPTY;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(span, shown) };
        Ok(())
    })
}

/// Reads the values of all header fields `traceparent` of a message, in order: there may be one at most. Without any, the span is all
/// zero.
///
/// Returns as `wirespan_traceparent_parse`; several are refused with the reason `duplicate`.
///
/// # Safety
///
/// `values` points to `count` texts, which may be any bytes; `span` points to memory for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_traceparent_parse_values(
    values: *const wirespan_str,
    count: usize,
    span: *mut wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        require_out("span", span)?;
        // SAFETY: the caller vouches for the input.
        let values = unsafe { pointers::values(values, count) }?;
        let parsed = TraceParent::from_values(values.into_iter())?;
        let shown = parsed.map_or(NO_SPAN, |parsed| {
            let mut shown = show_span(&parsed.into(), true);
            shown.trace_state = EMPTY;
            shown
        });
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(span, shown) };
        Ok(())
    })
}

/// Reads the values of all header fields `tracestate` of a message, in order, and writes the list that is sent on into `buffer`, without
/// a NUL: joined, empty members dropped, of a repeated key the first. `length` gets its length, which may be 0.
///
/// Returns `WIRESPAN_STATUS_MALFORMED` if the list does not follow the grammar or the limits; the error has the reason.
/// `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small (`length` then holds what is needed); 8192 bytes always do.
///
/// # Safety
///
/// `values` points to `count` texts, which may be any bytes; `buffer` points to `size` bytes; `length` to memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_tracestate_parse(
    values: *const wirespan_str,
    count: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        // SAFETY: the caller vouches for the input.
        let values = unsafe { pointers::values(values, count) }?;
        let parsed = TraceState::from_values(values.into_iter())?;
        // SAFETY: the caller vouches for the buffer.
        unsafe { pointers::give_bytes(parsed.as_str().as_bytes(), buffer.cast(), size, length) }
    })
}

/// Writes a `traceparent` into `buffer`, with a NUL behind it; `size` is at least `WIRESPAN_TRACEPARENT_LENGTH` + 1.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` if there is no span, `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small.
///
/// # Safety
///
/// `span` points to a context; `buffer` points to `size` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_traceparent_format(
    span: *const wirespan_span_context,
    buffer: *mut c_char,
    size: usize,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the input.
        let span = unsafe { pointers::span(span) }?;
        let span = span.ok_or_else(|| {
            wirespan::Error::invalid_argument("span", "must have ids that are not zero")
        })?;
        // SAFETY: the caller vouches for the buffer.
        unsafe {
            give_text(
                &span.trace_parent.to_header(),
                buffer,
                size,
                std::ptr::null_mut(),
            )
        }
    })
}

/// Writes the headers of a context: `traceparent`, `tracestate` and `baggage`, those that there are. `headers` has room for three,
/// `header_count` gets their number; their values stand in `buffer`, of which `length` bytes are used.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small; `length` then holds what is needed. `WIRESPAN_CONTEXT_BYTES` are
/// always enough.
///
/// # Safety
///
/// `context` points to a context; `buffer` points to `size` bytes, `headers` to memory for three headers, `header_count` and
/// `length` to memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_propagator_inject(
    context: *const wirespan_context,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    headers: *mut wirespan_header,
    header_count: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        require_out("headers", headers)?;
        require_out("header_count", header_count)?;
        // SAFETY: the caller vouches for the input.
        let context = unsafe { pointers::context(context) }?;
        let mut values: Vec<(&'static str, String)> = Vec::with_capacity(3);
        if let Some(span) = context.span {
            values.push((header::TRACEPARENT, span.trace_parent.to_header()));
            // Vendor data outside the grammar is left out: telemetry fails nothing.
            let trace_state = TraceState::parse(span.trace_state).unwrap_or_default();
            if !trace_state.is_empty() {
                let value = trace_state
                    .truncated(limits::MAX_TRACESTATE_BYTES)
                    .into_owned();
                values.push((header::TRACESTATE, value));
            }
        }
        if let Some(baggage) = context.baggage.filter(|baggage| !baggage.is_empty()) {
            values.push((header::BAGGAGE, baggage.to_header()));
        }
        // SAFETY: the caller vouches for the outputs.
        unsafe { give_headers(&values, buffer, size, length, headers, header_count) }
    })
}

/// Copies the values of headers into the caller's buffer, and headers that point at them. The names are static.
///
/// # Safety
///
/// `buffer` points to `size` bytes, `headers` to memory for as many headers, `header_count` and `length` to memory for a `usize`.
pub(crate) unsafe fn give_headers(
    values: &[(&'static str, String)],
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    headers: *mut wirespan_header,
    header_count: *mut usize,
) -> Result<(), Failure> {
    let all: String = values.iter().map(|(_, value)| value.as_str()).collect();
    // SAFETY: as this function's.
    unsafe {
        pointers::give_bytes(all.as_bytes(), buffer.cast::<u8>(), size, length)?;
        let mut offset = 0;
        for (index, (name, value)) in values.iter().enumerate() {
            let shown = wirespan_str {
                data: buffer.add(offset),
                length: value.len(),
            };
            headers.add(index).write(wirespan_header {
                name: pointers::show(name),
                value: shown,
            });
            offset += value.len();
        }
        write_out(header_count, values.len());
    }
    Ok(())
}

/// Reads a context from headers: `traceparent`, `tracestate` and `baggage`; others are ignored. Names compare without regard to
/// ASCII case. What is invalid or given twice counts as absent: what a peer sends is never an error. All baggage passes.
///
/// The texts of the context stand in `buffer`, of which `length` bytes are used.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small; `length` then holds what is needed. `WIRESPAN_CONTEXT_BYTES` are
/// always enough.
///
/// # Safety
///
/// `headers` points to `header_count` headers; `buffer` points to `size` bytes, `length` to memory for a `size_t`, `context` to
/// memory for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_propagator_extract(
    headers: *const wirespan_header,
    header_count: usize,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    context: *mut wirespan_context,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        require_out("context", context)?;
        // SAFETY: the caller vouches for the headers.
        let headers = unsafe { pointers::raw_headers(headers, header_count) }?;
        let carried = Carried::from_headers(headers, &AllowList::all());
        // SAFETY: the caller vouches for the outputs.
        unsafe { give_context(&carried.context, buffer, size, length, context) }
    })
}

/// Reads the context that this process was started with, from the environment variables `TRACEPARENT`, `TRACESTATE` and
/// `BAGGAGE`; otherwise as `wirespan_propagator_extract`.
///
/// # Safety
///
/// As for `wirespan_propagator_extract`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_propagator_from_environment(
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    context: *mut wirespan_context,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        require_out("context", context)?;
        let variables: Vec<(&str, String)> = [
            (header::TRACEPARENT, "TRACEPARENT"),
            (header::TRACESTATE, "TRACESTATE"),
            (header::BAGGAGE, "BAGGAGE"),
        ]
        .into_iter()
        .filter_map(|(name, variable)| Some((name, std::env::var(variable).ok()?)))
        .collect();
        let headers = variables
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()));
        let carried = Carried::from_headers(headers, &AllowList::all());
        // SAFETY: the caller vouches for the outputs.
        unsafe { give_context(&carried.context, buffer, size, length, context) }
    })
}

/// Copies the texts of a context into the caller's buffer, and shows a context that points at them.
///
/// # Safety
///
/// `buffer` points to `size` bytes; `length` and `out` point to memory for their types.
unsafe fn give_context(
    context: &Context,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    out: *mut wirespan_context,
) -> Result<(), Failure> {
    let trace_state = context
        .span
        .as_ref()
        .map_or("", |span| span.trace_state.as_str());
    let baggage = if context.baggage.is_empty() {
        String::new()
    } else {
        context.baggage.to_header()
    };
    let all = format!("{trace_state}{baggage}");
    // SAFETY: as this function's; the texts were copied to where they are shown.
    unsafe {
        pointers::give_bytes(all.as_bytes(), buffer.cast::<u8>(), size, length)?;
        let mut span = context
            .span
            .as_ref()
            .map_or(NO_SPAN, |span| show_span(span, true));
        span.trace_state = shown(buffer, 0, trace_state.len());
        let baggage = shown(buffer, trace_state.len(), baggage.len());
        write_out(out, wirespan_context { span, baggage });
    }
    Ok(())
}

/// Shows a part of the caller's buffer.
fn shown(buffer: *mut c_char, offset: usize, length: usize) -> wirespan_str {
    if length == 0 {
        EMPTY
    } else {
        wirespan_str {
            data: buffer.wrapping_add(offset),
            length,
        }
    }
}
