//! From pointers of C to Rust and back. Every function here that takes a raw pointer says what its caller must vouch for.

use std::ffi::{CStr, c_char};

use wirespan::envelope::{Body, Form};
use wirespan::trace::{Baggage, SpanContext, TraceFlags, TraceParent, TraceState};
use wirespan::{Error, ErrorKind};

use crate::guard::Failure;
use crate::types::{
    wirespan_body, wirespan_context, wirespan_header, wirespan_span_context, wirespan_str,
};

/// Writes an output.
///
/// # Safety
///
/// `out` is NULL, which writes nothing, or points to memory for a `T`.
pub(crate) unsafe fn write_out<T>(out: *mut T, value: T) {
    if !out.is_null() {
        // SAFETY: not NULL; the caller vouches for the rest. The memory need not be initialised, so nothing is dropped.
        unsafe { out.write(value) };
    }
}

/// Refuses an output that must be given.
pub(crate) fn require_out<T>(name: &'static str, out: *mut T) -> Result<(), Error> {
    if out.is_null() {
        Err(Error::invalid_argument(name, "must not be NULL"))
    } else {
        Ok(())
    }
}

/// Borrows an array of C.
///
/// # Safety
///
/// If `length` is not 0 and `data` is not NULL, `data` points to `length` initialised values that do not change during `'a`.
pub(crate) unsafe fn slice<'a, T>(
    name: &'static str,
    data: *const T,
    length: usize,
) -> Result<&'a [T], Error> {
    if length == 0 && (data.is_null() || !data.is_aligned()) {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(Error::invalid_argument(name, "is NULL but has a length"));
    }
    if !data.is_aligned() {
        return Err(Error::invalid_argument(name, "is not aligned"));
    }
    if length > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Error::invalid_argument(
            name,
            "has a length that no memory can have",
        ));
    }
    // SAFETY: neither NULL nor misaligned nor too long; the caller vouches for the rest.
    Ok(unsafe { std::slice::from_raw_parts(data, length) })
}

/// Borrows a text that ends with NUL.
///
/// # Safety
///
/// `text` is NULL or points to a text that ends with NUL and does not change during `'a`.
pub(crate) unsafe fn text<'a>(name: &'static str, text: *const c_char) -> Result<&'a str, Error> {
    // SAFETY: as this function's.
    match unsafe { optional_text(name, text) }? {
        Some(text) => Ok(text),
        None => Err(Error::invalid_argument(name, "must not be NULL")),
    }
}

/// Borrows a text that ends with NUL, or nothing.
///
/// # Safety
///
/// As for [`text`].
pub(crate) unsafe fn optional_text<'a>(
    name: &'static str,
    text: *const c_char,
) -> Result<Option<&'a str>, Error> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not NULL; the caller vouches for the rest.
    let text = unsafe { CStr::from_ptr(text) };
    match text.to_str() {
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(Error::invalid_argument(name, "must be UTF-8")),
    }
}

/// Borrows a text with a length.
///
/// # Safety
///
/// As for [`slice`].
pub(crate) unsafe fn str_of<'a>(name: &'static str, text: wirespan_str) -> Result<&'a str, Error> {
    // SAFETY: as this function's.
    let bytes = unsafe { slice(name, text.data.cast::<u8>(), text.length) }?;
    std::str::from_utf8(bytes).map_err(|_| Error::invalid_argument(name, "must be UTF-8"))
}

/// Borrows headers whose values may be any bytes, such as those of a handshake.
///
/// # Safety
///
/// As for [`slice`], for the array and for each of its texts.
pub(crate) unsafe fn raw_headers<'a>(
    data: *const wirespan_header,
    count: usize,
) -> Result<Vec<(&'a str, &'a [u8])>, Error> {
    // SAFETY: as this function's.
    let headers: &[wirespan_header] = unsafe { slice("headers", data, count) }?;
    let mut all = Vec::with_capacity(headers.len());
    for header in headers {
        // SAFETY: as this function's.
        let (name, value) = unsafe {
            (
                slice("headers", header.name.data.cast::<u8>(), header.name.length)?,
                slice(
                    "headers",
                    header.value.data.cast::<u8>(),
                    header.value.length,
                )?,
            )
        };
        // A peer may have chosen the name; one that is no text is none of those that are looked for.
        if let Ok(name) = std::str::from_utf8(name) {
            all.push((name, value));
        }
    }
    Ok(all)
}

/// Borrows headers of the application.
///
/// # Safety
///
/// As for [`raw_headers`].
pub(crate) unsafe fn own_headers<'a>(
    data: *const wirespan_header,
    count: usize,
) -> Result<Vec<(&'a str, &'a str)>, Error> {
    // SAFETY: as this function's.
    let headers: &[wirespan_header] = unsafe { slice("headers", data, count) }?;
    headers
        .iter()
        // SAFETY: as this function's.
        .map(|header| unsafe {
            Ok((
                str_of("headers", header.name)?,
                str_of("headers", header.value)?,
            ))
        })
        .collect()
}

/// Borrows a list of texts that end with NUL.
///
/// # Safety
///
/// As for [`slice`] and, for each of its texts, [`text`].
pub(crate) unsafe fn names(
    name: &'static str,
    data: *const *const c_char,
    count: usize,
) -> Result<Vec<String>, Error> {
    // SAFETY: as this function's.
    let all: &[*const c_char] = unsafe { slice(name, data, count) }?;
    // SAFETY: as this function's.
    all.iter()
        .map(|item| unsafe { text(name, *item) }.map(str::to_owned))
        .collect()
}

/// A span context as it was passed, with its vendor data unread.
#[derive(Clone, Copy)]
pub(crate) struct SpanRef<'a> {
    pub(crate) trace_parent: TraceParent,
    pub(crate) trace_state: &'a str,
    pub(crate) is_remote: bool,
}

impl SpanRef<'_> {
    /// The core's own type. Vendor data outside the grammar is left out: telemetry fails nothing.
    pub(crate) fn to_span(self) -> SpanContext {
        SpanContext {
            trace_parent: self.trace_parent,
            trace_state: TraceState::parse(self.trace_state).unwrap_or_default(),
        }
    }
}

/// Borrows a span context; NULL and an invalid one mean none.
///
/// # Safety
///
/// `span` is NULL or points to an initialised value whose texts are as for [`slice`].
pub(crate) unsafe fn span<'a>(
    span: *const wirespan_span_context,
) -> Result<Option<SpanRef<'a>>, Error> {
    // SAFETY: as this function's.
    let Some(span) = (unsafe { span.as_ref() }) else {
        return Ok(None);
    };
    let flags = TraceFlags::from_bits(span.flags);
    let Some(trace_parent) = TraceParent::new(span.trace_id, span.span_id, flags) else {
        return Ok(None);
    };
    // SAFETY: as this function's.
    let trace_state = unsafe { str_of("trace_state", span.trace_state) }?;
    Ok(Some(SpanRef {
        trace_parent,
        trace_state,
        is_remote: span.is_remote,
    }))
}

/// A context as it was passed.
#[derive(Default)]
pub(crate) struct ContextIn<'a> {
    pub(crate) span: Option<SpanRef<'a>>,
    pub(crate) baggage: Option<Baggage>,
}

/// Reads a context; NULL means an empty one.
///
/// # Safety
///
/// `context` is NULL or points to an initialised value whose texts are as for [`slice`].
pub(crate) unsafe fn context<'a>(context: *const wirespan_context) -> Result<ContextIn<'a>, Error> {
    // SAFETY: as this function's.
    let Some(context) = (unsafe { context.as_ref() }) else {
        return Ok(ContextIn::default());
    };
    // SAFETY: as this function's.
    let (span, baggage) = unsafe {
        (
            span(&raw const context.span)?,
            str_of("baggage", context.baggage)?,
        )
    };
    let baggage = (!baggage.is_empty()).then(|| Baggage::parse(baggage).0);
    Ok(ContextIn { span, baggage })
}

/// Borrows a body of a type (a `wirespan_body`).
///
/// # Safety
///
/// As for [`slice`].
pub(crate) unsafe fn body<'a>(
    name: &'static str,
    body_type: u32,
    data: *const u8,
    length: usize,
) -> Result<Body<'a>, Error> {
    // SAFETY: as this function's.
    let bytes = unsafe { slice(name, data, length) }?;
    match body_type {
        b if b == wirespan_body::Text as u32 => {
            std::str::from_utf8(bytes).map(Body::Text).map_err(|_| {
                Error::invalid_argument(name, "must be UTF-8 for a text: send bytes as binary")
            })
        }
        b if b == wirespan_body::Binary as u32 => Ok(Body::Binary(bytes)),
        b if b == wirespan_body::Json as u32 => Ok(Body::Json(bytes)),
        b if b == wirespan_body::None as u32 => Ok(Body::None(Form::Text)),
        b if b == wirespan_body::NoneBinary as u32 => Ok(Body::None(Form::Binary)),
        _ => Err(no_such("body_type")),
    }
}

/// Borrows texts with lengths, whose bytes may be any.
///
/// # Safety
///
/// As for [`slice`], for the array and for each of its texts.
pub(crate) unsafe fn values<'a>(
    data: *const wirespan_str,
    count: usize,
) -> Result<Vec<&'a [u8]>, Error> {
    // SAFETY: as this function's.
    let all: &[wirespan_str] = unsafe { slice("values", data, count) }?;
    all.iter()
        // SAFETY: as this function's.
        .map(|value| unsafe { slice("values", value.data.cast::<u8>(), value.length) })
        .collect()
}

/// Copies a result into the caller's buffer and reports its length, which is also reported when it does not fit.
///
/// # Safety
///
/// `buffer` is NULL or points to `size` writable bytes; `length` points to memory for a `usize`.
pub(crate) unsafe fn give_bytes(
    bytes: &[u8],
    buffer: *mut u8,
    size: usize,
    length: *mut usize,
) -> Result<(), Failure> {
    if bytes.len() > size || (buffer.is_null() && !bytes.is_empty()) {
        // SAFETY: as this function's.
        unsafe { write_out(length, bytes.len()) };
        return Err(Failure::BufferTooSmall);
    }
    // SAFETY: the buffer has room for all bytes and, being the caller's, does not overlap memory of this library.
    unsafe {
        if !bytes.is_empty() {
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer, bytes.len());
        }
        write_out(length, bytes.len());
    }
    Ok(())
}

/// Copies a text into the caller's buffer, with a NUL behind it that its length does not count.
///
/// # Safety
///
/// As for [`give_bytes`].
pub(crate) unsafe fn give_text(
    text: &str,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
) -> Result<(), Failure> {
    if buffer.is_null() || text.len() >= size {
        // SAFETY: as this function's.
        unsafe { write_out(length, text.len()) };
        return Err(Failure::BufferTooSmall);
    }
    // SAFETY: there is room for the text and the NUL.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr(), buffer.cast::<u8>(), text.len());
        buffer.add(text.len()).write(0);
        write_out(length, text.len());
    }
    Ok(())
}

/// Shows a text to C.
pub(crate) fn show(text: &str) -> wirespan_str {
    wirespan_str {
        data: text.as_ptr().cast::<c_char>(),
        length: text.len(),
    }
}

/// Shows no text.
pub(crate) const EMPTY: wirespan_str = wirespan_str {
    data: std::ptr::null(),
    length: 0,
};

/// Shows no span.
pub(crate) const NO_SPAN: wirespan_span_context = wirespan_span_context {
    trace_id: [0; 16],
    span_id: [0; 8],
    flags: 0,
    is_remote: false,
    trace_state: EMPTY,
};

/// Shows no context.
pub(crate) const NO_CONTEXT: wirespan_context = wirespan_context {
    span: NO_SPAN,
    baggage: EMPTY,
};

/// Shows a span.
pub(crate) fn show_span(span: &SpanContext, is_remote: bool) -> wirespan_span_context {
    wirespan_span_context {
        trace_id: span.trace_parent.trace_id,
        span_id: span.trace_parent.span_id,
        flags: span.trace_parent.flags.bits(),
        is_remote,
        trace_state: show(span.trace_state.as_str()),
    }
}

/// Shows an optional span.
pub(crate) fn show_optional_span(
    span: Option<&SpanContext>,
    is_remote: bool,
) -> wirespan_span_context {
    span.map_or(NO_SPAN, |span| show_span(span, is_remote))
}

/// The error of a number that stands for none of the words of an enumeration.
pub(crate) fn no_such(name: &'static str) -> Error {
    Error::new(
        ErrorKind::InvalidArgument,
        "is none of the constants of its type",
    )
    .with_field(name)
}
