//! The envelope by itself: writing and reading one, and going from one form to the other.

use std::borrow::Cow;
use std::cell::RefCell;
use std::num::NonZeroU32;

use wirespan::envelope::{
    self, Body, Content, End, Head, HeadFields, Kind, Opened, Plain, Recognition, Role, Written,
};
use wirespan::{Error, limits};

use crate::connection::form_of;
use crate::guard::{Failure, guard};
use crate::pointers::{self, EMPTY, NO_SPAN, no_such, require_out, show, show_span, write_out};
use crate::types::{
    wirespan_body, wirespan_form, wirespan_header, wirespan_kind, wirespan_peer, wirespan_role,
    wirespan_span_context, wirespan_status, wirespan_str,
};

/// How a message ends its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_end {
    /// It does not.
    None = 0,
    /// Nothing more follows.
    Complete = 1,
    /// The stream is cancelled.
    Cancel = 2,
    /// The stream failed.
    Error = 3,
}

/// What a message turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_opened {
    /// An envelope.
    Envelope = 0,
    /// An ordinary message.
    Plain = 1,
    /// Something that starts like an envelope but does not follow the grammar: deliver it as it is.
    Malformed = 2,
    /// An envelope whose head is over its limit: deliver it as it is.
    HeadTooLong = 3,
    /// An envelope of an unknown version, or with an unknown critical part: deliver it as it is.
    Version = 4,
}

/// The headers of an envelope. All zero means that there are none.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_head {
    /// The sender's span, with `tracestate`.
    pub span: wirespan_span_context,
    /// Baggage, as a header value.
    pub baggage: wirespan_str,
    /// Session id.
    pub session: wirespan_str,
    /// What the message opens: a `wirespan_kind`, or 0.
    pub kind: u32,
    /// Method name.
    pub method: wirespan_str,
    /// Stream id, or 0.
    pub stream: u32,
    /// Number of the message in its stream and direction.
    pub seq: u32,
    /// How the direction ends: a `wirespan_end`.
    pub end: u32,
    /// Error type.
    pub error: wirespan_str,
    /// Whether `seq` was there; what is written leaves 0 out.
    pub has_seq: bool,
    /// When a carried item left, Unix time in nanoseconds, or 0.
    pub sent_unix_ns: u64,
    /// Whether that was, or is to be, there though it is 0.
    pub has_sent: bool,
    /// Role of the sender of a hello: a `wirespan_role`, or 0.
    pub hello_role: u32,
    /// Versions that the sender of a hello speaks, highest first.
    pub hello_versions: wirespan_str,
    /// The application's own headers.
    pub headers: *const wirespan_header,
    /// Number of them.
    pub header_count: usize,
}

/// An envelope that was read.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_envelope {
    /// What the message turned out to be; what follows `reason` is set for an envelope only.
    pub opened: wirespan_opened,
    /// Why it is no envelope: `ordinary`, `head_too_long`, `version`, or the reason of the refusal (SPEC.md, RC-2, RC-3, BN-4). Static.
    pub reason: wirespan_str,
    /// Its headers; what was invalid is left out.
    pub head: wirespan_head,
    /// Whether there is a body. An empty one has the length 0.
    pub has_body: bool,
    /// The body: bytes of the message, or the text that stood in a JSON string.
    pub body: *const u8,
    /// Its length.
    pub body_length: usize,
    /// Whether the body is a text that stood in a JSON string.
    pub is_text: bool,
    /// What was left out of the headers.
    pub drops: wirespan_drops,
}

/// What a reader left out of the headers of an envelope.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct wirespan_drops {
    /// The `traceparent` is invalid.
    pub context_invalid: bool,
    /// How many other headers have an invalid name or value.
    pub header_invalid: u32,
    /// A name stands twice, so all reserved headers but `content` are ignored.
    pub header_repeated: bool,
    /// The `tracestate` is malformed or too long, or has no valid `traceparent`.
    pub tracestate: bool,
    /// The baggage is too long.
    pub baggage: bool,
    /// `content` does not fit the body.
    pub content_mismatch: bool,
}

/// What a writer left out to stay within the limits of a head.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct wirespan_written {
    /// The baggage went.
    pub baggage_dropped: bool,
    /// Members of the `tracestate` went, or all of it.
    pub tracestate_cut: bool,
    /// How many of the application's own headers went.
    pub own_dropped: u32,
}

thread_local! {
    /// The texts and headers that this thread was shown last.
    static SHOWN: RefCell<Shown> = const { RefCell::new(Shown { texts: Vec::new(), headers: Vec::new() }) };
}

struct Shown {
    texts: Vec<String>,
    headers: Vec<wirespan_header>,
}

/// Writes an envelope into `buffer`: the headers and a body of the type `body_type` (a `wirespan_body`), which also says the form. `length`
/// gets the number of bytes, `written` (which may be NULL) what was left out. Whether a peer may be sent one is what a connection decides.
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small (`length` then holds what is needed),
/// `WIRESPAN_STATUS_INVALID_ARGUMENT` for headers that no envelope can have, `WIRESPAN_STATUS_LIMIT` if they do not fit.
///
/// # Safety
///
/// `head` points to a head whose pointers are valid; `body` points to `body_length` bytes; `buffer` points to `size` bytes; `length`
/// points to memory for a `size_t`, `written` is NULL or points to memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_envelope_write(
    head: *const wirespan_head,
    body_type: u32,
    body: *const u8,
    body_length: usize,
    buffer: *mut u8,
    size: usize,
    length: *mut usize,
    written: *mut wirespan_written,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        // SAFETY: the caller vouches for the input.
        let head = unsafe { head.as_ref() };
        let head = head.ok_or_else(|| Error::invalid_argument("head", "must not be NULL"))?;
        // SAFETY: the caller vouches for the pointers.
        let (frame, told) = unsafe {
            let body = pointers::body("body", body_type, body, body_length)?;
            write(head, body)?
        };
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            pointers::give_bytes(&frame, buffer, size, length)?;
            write_out(
                written,
                wirespan_written {
                    baggage_dropped: told.baggage_dropped,
                    tracestate_cut: told.tracestate_cut,
                    own_dropped: u32::try_from(told.own_dropped).unwrap_or(u32::MAX),
                },
            );
        }
        Ok(())
    })
}

/// Writes an envelope.
///
/// # Safety
///
/// The pointers of the head are valid.
unsafe fn write(head: &wirespan_head, body: Body<'_>) -> Result<(Vec<u8>, Written), Error> {
    // SAFETY: as this function's.
    let (own, span, baggage, session, method, error, versions) = unsafe {
        (
            pointers::own_headers(head.headers, head.header_count)?,
            pointers::span(&raw const head.span)?,
            pointers::str_of("baggage", head.baggage)?,
            pointers::str_of("session", head.session)?,
            pointers::str_of("method", head.method)?,
            pointers::str_of("error", head.error)?,
            pointers::str_of("hello_versions", head.hello_versions)?,
        )
    };
    let some = |name: &'static str, text, is_valid: fn(&str) -> bool| match text {
        "" => Ok(None),
        text if is_valid(text) => Ok(Some(text)),
        _ => Err(Error::invalid_argument(
            name,
            "has characters or a length that no message can have",
        )),
    };
    let role = match head.hello_role {
        0 => None,
        r if r == wirespan_role::Client as u32 => Some(Role::Client),
        r if r == wirespan_role::Server as u32 => Some(Role::Server),
        _ => return Err(no_such("hello_role")),
    };
    let fields = HeadFields {
        hello: role.map(|role| (versions, role)),
        trace_parent: span.map(|span| span.trace_parent),
        trace_state: span.map_or("", |span| span.trace_state),
        baggage,
        session: some("session", session, envelope::is_session_id)?,
        kind: match head.kind {
            0 => None,
            k if k == wirespan_kind::Call as u32 => Some(Kind::Call),
            k if k == wirespan_kind::Transfer as u32 => Some(Kind::Transfer),
            _ => return Err(no_such("kind")),
        },
        method: some("method", method, envelope::is_method)?,
        stream: NonZeroU32::new(head.stream),
        seq: head.seq,
        end: match head.end {
            e if e == wirespan_end::None as u32 => None,
            e if e == wirespan_end::Complete as u32 => Some(End::Complete),
            e if e == wirespan_end::Cancel as u32 => Some(End::Cancel),
            e if e == wirespan_end::Error as u32 => Some(End::Error),
            _ => return Err(no_such("end")),
        },
        error: some("error", error, envelope::is_error_type)?,
        // Decided by the body.
        content: None,
        sent: (head.has_sent || head.sent_unix_ns != 0).then_some(head.sent_unix_ns),
        own: &own,
    };
    envelope::wrap_within(&fields, body, limits::MAX_NESTING, limits::MAX_HEADER_BYTES)
}

/// Reads a message that may be an envelope. `form` is a `wirespan_form`; `peer` says what is recognised: from `WIRESPAN_PEER_ANNOUNCED`
/// the canonical form only, from `WIRESPAN_PEER_ALWAYS` any JSON object with exactly the two members. Whatever is no envelope is an
/// ordinary message: never an error.
///
/// What `envelope` shows points into the message, or is valid until this thread reads another envelope.
///
/// # Safety
///
/// `data` points to `length` bytes that do not change as long as `envelope` is used; `envelope` points to memory for it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_envelope_read(
    data: *const u8,
    length: usize,
    form: u32,
    peer: u32,
    envelope: *mut wirespan_envelope,
) -> wirespan_status {
    guard(|| {
        require_out("envelope", envelope)?;
        let form = form_of(form)?;
        let recognition = recognition_of(peer)?;
        // SAFETY: the caller vouches for the message.
        let message = unsafe { pointers::slice("data", data, length) }?;
        let opened = envelope::open(message, form, recognition, limits::MAX_HEADER_BYTES);
        let shown = SHOWN.try_with(|shown| shown.borrow_mut().show(opened, message));
        let shown = shown.map_err(|_| Error::invalid_state("this thread is about to end"))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(envelope, shown) };
        Ok(())
    })
}

/// Writes the head of an envelope in the other form into `buffer`: everything in front of the body there. The body is the caller's to add,
/// and for the text form the closing brace behind it. Every valid header is kept. `length` gets the number of bytes.
///
/// Returns `WIRESPAN_STATUS_MALFORMED` if the message is no envelope, `WIRESPAN_STATUS_LIMIT` if the head is too long for the other form,
/// `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small (`length` then holds what is needed).
///
/// # Safety
///
/// `data` points to `data_length` bytes; `buffer` points to `size` bytes; `length` points to memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_envelope_convert_head(
    data: *const u8,
    data_length: usize,
    form: u32,
    peer: u32,
    buffer: *mut u8,
    size: usize,
    length: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        let (form, recognition) = (form_of(form)?, recognition_of(peer)?);
        // SAFETY: the caller vouches for the message.
        let message = unsafe { pointers::slice("data", data, data_length) }?;
        let head = envelope::convert_head(message, form, recognition, limits::MAX_HEADER_BYTES)?;
        // SAFETY: the caller vouches for the buffer.
        unsafe { pointers::give_bytes(&head, buffer, size, length) }
    })
}

fn recognition_of(peer: u32) -> Result<Recognition, Error> {
    match peer {
        p if p == wirespan_peer::Announced as u32 => Ok(Recognition::Canonical),
        p if p == wirespan_peer::Always as u32 => Ok(Recognition::Any {
            max_nesting: limits::MAX_NESTING,
        }),
        _ => Err(no_such("peer")),
    }
}

impl Shown {
    fn show(&mut self, opened: Opened<'_>, message: &[u8]) -> wirespan_envelope {
        self.texts.clear();
        self.headers.clear();
        let mut shown = wirespan_envelope {
            opened: wirespan_opened::Plain,
            reason: EMPTY,
            head: NO_HEAD,
            has_body: false,
            body: std::ptr::null(),
            body_length: 0,
            is_text: false,
            drops: wirespan_drops::default(),
        };
        let (head, body) = match opened {
            Opened::Envelope { head, body } => (head, body),
            Opened::Plain(why) => {
                shown.opened = match why {
                    Plain::Malformed(_) => wirespan_opened::Malformed,
                    Plain::HeadTooLong => wirespan_opened::HeadTooLong,
                    Plain::Version => wirespan_opened::Version,
                    _ => wirespan_opened::Plain,
                };
                shown.reason = show(match why {
                    Plain::Malformed(reason) => reason.name(),
                    Plain::HeadTooLong => "head_too_long",
                    Plain::Version => "version",
                    _ => "ordinary",
                });
                return shown;
            }
        };
        shown.opened = wirespan_opened::Envelope;
        let bytes = message.get(body).unwrap_or(&[]);
        let text = (head.content == Some(Content::Text))
            .then(|| envelope::text_body(bytes))
            .flatten();
        if let Some(text) = text {
            let text = self.keep(Some(text));
            (shown.has_body, shown.is_text) = (true, true);
            (shown.body, shown.body_length) = (text.data.cast::<u8>(), text.length);
        } else if head.content != Some(Content::None) {
            shown.has_body = true;
            (shown.body, shown.body_length) = (bytes.as_ptr(), bytes.len());
        }
        shown.drops = wirespan_drops {
            context_invalid: head.drops.context_invalid,
            header_invalid: head.drops.header_invalid.into(),
            header_repeated: head.drops.header_repeated,
            tracestate: head.drops.tracestate,
            baggage: head.drops.baggage,
            content_mismatch: head.drops.content_mismatch,
        };
        shown.head = self.show_head(head);
        shown
    }

    fn show_head(&mut self, head: Head<'_>) -> wirespan_head {
        let mut span = head.trace_parent.map_or(NO_SPAN, |trace_parent| {
            show_span(&trace_parent.into(), true)
        });
        span.trace_state = self.keep(head.trace_state);
        for (name, value) in head.own {
            let header = wirespan_header {
                name: self.keep(Some(name)),
                value: self.keep(Some(value)),
            };
            self.headers.push(header);
        }
        wirespan_head {
            span,
            baggage: self.keep(head.baggage),
            session: self.keep(head.session),
            kind: match head.kind {
                None => 0,
                Some(Kind::Transfer) => wirespan_kind::Transfer as u32,
                Some(_) => wirespan_kind::Call as u32,
            },
            method: self.keep(head.method),
            stream: head.stream.map_or(0, NonZeroU32::get),
            seq: head.seq.unwrap_or(0),
            has_seq: head.seq.is_some(),
            end: match head.end {
                None => wirespan_end::None as u32,
                Some(End::Complete) => wirespan_end::Complete as u32,
                Some(End::Cancel) => wirespan_end::Cancel as u32,
                Some(_) => wirespan_end::Error as u32,
            },
            error: self.keep(head.error),
            sent_unix_ns: head.sent.unwrap_or(0),
            has_sent: head.sent.is_some(),
            hello_role: match head.role {
                None => 0,
                Some(Role::Client) => wirespan_role::Client as u32,
                Some(Role::Server) => wirespan_role::Server as u32,
            },
            hello_versions: self.keep(head.versions),
            headers: if self.headers.is_empty() {
                std::ptr::null()
            } else {
                self.headers.as_ptr()
            },
            header_count: self.headers.len(),
        }
    }

    /// Shows a text, and owns it if it is no part of the message.
    fn keep(&mut self, text: Option<Cow<'_, str>>) -> wirespan_str {
        match text {
            None => EMPTY,
            Some(Cow::Borrowed(text)) => show(text),
            Some(Cow::Owned(text)) => {
                // The bytes of a String stay where they are when the String itself moves.
                let shown = show(&text);
                self.texts.push(text);
                shown
            }
        }
    }
}

const NO_HEAD: wirespan_head = wirespan_head {
    span: NO_SPAN,
    baggage: EMPTY,
    session: EMPTY,
    kind: 0,
    method: EMPTY,
    stream: 0,
    seq: 0,
    has_seq: false,
    end: 0,
    error: EMPTY,
    sent_unix_ns: 0,
    has_sent: false,
    hello_role: 0,
    hello_versions: EMPTY,
    headers: std::ptr::null(),
    header_count: 0,
};

/// The form of a body, so that the caller need not know it.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` for something that is no `wirespan_body`. A message without a body is a text.
///
/// # Safety
///
/// `form` points to memory for a form.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_body_form(
    body_type: u32,
    form: *mut wirespan_form,
) -> wirespan_status {
    guard(|| {
        require_out("form", form)?;
        let known = match body_type {
            b if b == wirespan_body::Binary as u32 || b == wirespan_body::NoneBinary as u32 => {
                wirespan_form::Binary
            }
            b if b == wirespan_body::Text as u32
                || b == wirespan_body::Json as u32
                || b == wirespan_body::None as u32 =>
            {
                wirespan_form::Text
            }
            _ => return Err(Failure::from(no_such("body_type"))),
        };
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(form, known) };
        Ok(())
    })
}
