//! The plain types of `wirespan.h`. Everything here is data: what owns memory is behind a handle.

use std::ffi::{CStr, c_char, c_void};

use wirespan::ErrorKind;

/// How a function ended. The numbers are stable; a retired one is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_status {
    /// Success.
    Ok = 0,
    /// An argument that no run can accept: NULL, a foreign or freed handle, a value outside its bounds.
    InvalidArgument = 1,
    /// The operation does not fit the state of its object.
    InvalidState = 2,
    /// Bytes do not follow the grammar; `wirespan_last_error` says which field, why and where.
    Malformed = 3,
    /// A limit was reached.
    Limit = 4,
    /// A peer that is not known to speak Wirespan can serve one call at a time.
    Busy = 5,
    /// The connection is closed.
    Closed = 6,
    /// The call was cancelled by either side.
    Cancelled = 7,
    /// The peer ended the call with an error.
    Remote = 8,
    /// A deadline passed.
    Timeout = 9,
    /// A reader did not take its chunks in time.
    Overflow = 10,
    /// The peer has the same role as this side: an echo or a relaying hub.
    Role = 11,
    /// Another connection took the session over.
    Superseded = 12,
    /// The transport failed.
    Io = 13,
    /// A defect of the library. It was caught, and the process lives.
    Panic = 14,
    /// The caller's buffer is too small. Nothing has changed, and the length that is needed was reported.
    BufferTooSmall = 256,
}

impl wirespan_status {
    /// The status of a kind of error.
    pub(crate) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument => Self::InvalidArgument,
            ErrorKind::InvalidState => Self::InvalidState,
            ErrorKind::Malformed => Self::Malformed,
            ErrorKind::Limit => Self::Limit,
            ErrorKind::Busy => Self::Busy,
            ErrorKind::Closed => Self::Closed,
            ErrorKind::Cancelled => Self::Cancelled,
            ErrorKind::Remote => Self::Remote,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Overflow => Self::Overflow,
            ErrorKind::Role => Self::Role,
            ErrorKind::Superseded => Self::Superseded,
            ErrorKind::Io => Self::Io,
            // A kind that is newer than this list is told by its message.
            _ => Self::Panic,
        }
    }

    /// The name, as in every other language.
    pub(crate) fn name(self) -> &'static CStr {
        match self {
            Self::Ok => c"ok",
            Self::InvalidArgument => c"invalid_argument",
            Self::InvalidState => c"invalid_state",
            Self::Malformed => c"malformed",
            Self::Limit => c"limit",
            Self::Busy => c"busy",
            Self::Closed => c"closed",
            Self::Cancelled => c"cancelled",
            Self::Remote => c"remote",
            Self::Timeout => c"timeout",
            Self::Overflow => c"overflow",
            Self::Role => c"role",
            Self::Superseded => c"superseded",
            Self::Io => c"io",
            Self::Panic => c"panic",
            Self::BufferTooSmall => c"buffer_too_small",
        }
    }

    /// Every status, for looking one up by its number.
    pub(crate) const ALL: [Self; 16] = [
        Self::Ok,
        Self::InvalidArgument,
        Self::InvalidState,
        Self::Malformed,
        Self::Limit,
        Self::Busy,
        Self::Closed,
        Self::Cancelled,
        Self::Remote,
        Self::Timeout,
        Self::Overflow,
        Self::Role,
        Self::Superseded,
        Self::Io,
        Self::Panic,
        Self::BufferTooSmall,
    ];
}

/// The details of an error. Texts end with NUL and are never NULL.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_error {
    /// The status that the call returned.
    pub status: wirespan_status,
    /// The header, argument or option that the error concerns; empty where there is none.
    pub field: *const c_char,
    /// Why bytes were refused (`length`, `zero_id`, `duplicate`, …); empty for other errors.
    pub reason: *const c_char,
    /// Kind, field, reason, offset and what to do about it, in one line.
    pub message: *const c_char,
    /// Offset of the first byte that was refused, or SIZE_MAX.
    pub offset: usize,
}

/// A text that the caller does not own, without a NUL at its end. Empty texts may have any `data`, NULL included.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_str {
    /// Its first byte.
    pub data: *const c_char,
    /// Its length in bytes.
    pub length: usize,
}

/// A header: a name and a value.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_header {
    /// The name.
    pub name: wirespan_str,
    /// The value.
    pub value: wirespan_str,
}

/// The identity of a span: what `traceparent` and `tracestate` carry. All zero means: no span.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_span_context {
    /// Trace id, big-endian as it is written.
    pub trace_id: [u8; 16],
    /// Span id, big-endian as it is written.
    pub span_id: [u8; 8],
    /// Flags: bit 0 sampled, bit 1 random.
    pub flags: u8,
    /// Whether the span is one of another process.
    pub is_remote: bool,
    /// Value of `tracestate`, possibly empty.
    pub trace_state: wirespan_str,
}

/// A span and baggage: what travels with a message, a request or a queued item.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_context {
    /// The span; all zero for none.
    pub span: wirespan_span_context,
    /// Baggage as the value of a W3C `baggage` header, possibly empty.
    pub baggage: wirespan_str,
}

/// Which kind of WebSocket message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_form {
    /// A text message (UTF-8).
    Text = 1,
    /// A binary message.
    Binary = 2,
}

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_body {
    /// UTF-8 text. If it is one JSON value it stands in the envelope as it is, else inside a JSON string.
    Text = 1,
    /// Bytes, sent as a binary message.
    Binary = 2,
    /// One JSON value that the caller vouches for; it is not looked at.
    Json = 3,
    /// No body. In a stream the message has the form that its direction used last, else it is a text.
    None = 4,
    /// No body, as a binary message.
    NoneBinary = 5,
}

/// What a stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_kind {
    /// An invocation with an answer.
    Call = 1,
    /// One-way data.
    Transfer = 2,
}

/// The role of a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_role {
    /// The side that connected.
    Client = 1,
    /// The side that accepted.
    Server = 2,
}

/// What a side knows of its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_peer {
    /// Nothing: it gets and gives messages as they are.
    Unknown = 0,
    /// It announced itself.
    Announced = 1,
    /// It said nothing, and the option `mode` takes it to speak version 1.
    Always = 2,
}

/// Where messages outside every call go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_plain_policy {
    /// To the application, which has no queue to be bounded.
    Deliver = 0,
    /// Into a queue of the application, bounded like that of a call; it reports what it takes by `wirespan_connection_take`.
    Queue = 1,
    /// Nobody wants them: they are discarded and counted.
    Discard = 2,
}

/// What the application said of a session id that a client proposes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_vouch {
    /// It has no way to decide: the id is honoured if it is not live and trust is `continue`.
    NoOpinion = 0,
    /// The client may use the id.
    Yes = 1,
    /// The client may not use the id, or proposed none that could be decided about.
    No = 2,
}

/// How a stream, or a direction of it, ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_outcome {
    /// It has not ended.
    None = 0,
    /// Its sender said that it was done.
    Complete = 1,
    /// Either side cancelled.
    Cancelled = 2,
    /// It failed.
    Error = 3,
    /// This side left before it was done.
    Abandoned = 4,
}

/// The kind of a span, by OpenTelemetry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_span_kind {
    /// Within the process.
    Internal = 0,
    /// Handles a request.
    Server = 1,
    /// Makes a request.
    Client = 2,
    /// Sends without an answer.
    Producer = 3,
    /// Processes what was sent.
    Consumer = 4,
}

/// What a span is the child of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_parent {
    /// Nothing: a new trace.
    Root = 0,
    /// The current span that the caller passed.
    Current = 1,
    /// The connection's own span, `WIRESPAN_SPAN_CONNECTION`.
    Connection = 2,
    /// The span of a peer.
    Remote = 3,
}

/// The type of an attribute's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum wirespan_value_type {
    /// `text`.
    Text = 1,
    /// `integer`.
    Integer = 2,
    /// `number`.
    Number = 3,
}

/// An attribute of a span or of a span event.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_attribute {
    /// Its name.
    pub key: wirespan_str,
    /// Which of the values counts: a `wirespan_value_type`.
    pub value_type: u32,
    /// A text.
    pub text: wirespan_str,
    /// A whole number.
    pub integer: i64,
    /// A number.
    pub number: f64,
}

/// How to start a span. Links are complete: samplers see only those given at the start.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_plan {
    /// Names the span until its end: `WIRESPAN_SPAN_CONNECTION`, `WIRESPAN_SPAN_HANDSHAKE`, the stream whose span it is, or
    /// `WIRESPAN_SPAN_DETACHED`.
    pub span: u32,
    /// Its name.
    pub name: wirespan_str,
    /// Its kind.
    pub kind: wirespan_span_kind,
    /// What its parent is.
    pub parent: wirespan_parent,
    /// The parent itself; all zero for a new trace. For `WIRESPAN_PARENT_CONNECTION` and without callbacks or a tracer it is
    /// what `wirespan_connection_span_started` was told.
    pub parent_context: wirespan_context,
    /// What the callback `start` returned for the parent, if it is one of this connection's own spans; else NULL.
    pub parent_span: *mut c_void,
    /// The spans that it links.
    pub links: *const wirespan_span_context,
    /// Number of links.
    pub link_count: usize,
    /// Its attributes at the start.
    pub attributes: *const wirespan_attribute,
    /// Number of attributes.
    pub attribute_count: usize,
}

/// An event of a span.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_span_event {
    /// Its name.
    pub name: wirespan_str,
    /// When it happened, on the clock of the caller.
    pub at_ns: u64,
    /// Its attributes.
    pub attributes: *const wirespan_attribute,
    /// Number of attributes.
    pub attribute_count: usize,
}

/// How to end a span: set the attributes, add the events, set the status, end it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_span_end {
    /// The span.
    pub span: u32,
    /// Whether the status is Error. Otherwise it stays Unset.
    pub is_error: bool,
    /// Type of the error; empty without one. It also stands among the attributes.
    pub error_type: wirespan_str,
    /// The attributes to set.
    pub attributes: *const wirespan_attribute,
    /// Number of attributes.
    pub attribute_count: usize,
    /// The events to add.
    pub events: *const wirespan_span_event,
    /// Number of events.
    pub event_count: usize,
}

/// How the spans of a connection are made by the application, with opentelemetry-cpp for instance.
///
/// The functions are called on the thread that is inside a call into the connection, and must not use that connection, nor
/// throw, nor jump out. What the arguments point to is valid until the function returns.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_span_callbacks {
    /// Handed to every function. It must outlive the connection.
    pub user_data: *mut c_void,
    /// Starts a span, writes its context, and returns whatever the other functions shall get for it. Required.
    pub start: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            plan: *const wirespan_plan,
            context: *mut wirespan_span_context,
        ) -> *mut c_void,
    >,
    /// Tells whether a span is recording. If not, no attributes are computed for its end. Optional.
    pub is_recording:
        Option<unsafe extern "C" fn(user_data: *mut c_void, span: *mut c_void) -> bool>,
    /// Sets attributes on an open span. Optional.
    pub update: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            span: *mut c_void,
            attributes: *const wirespan_attribute,
            attribute_count: usize,
        ),
    >,
    /// Ends a span. It is called once for each span, at the latest when the connection is freed. Required.
    pub end: Option<
        unsafe extern "C" fn(
            user_data: *mut c_void,
            span: *mut c_void,
            end: *const wirespan_span_end,
        ),
    >,
}

/// What was measured on a direction of a stream. Times are in nanoseconds; -1 means that there is none.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_summary {
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of all chunks.
    pub bytes: u64,
    /// From the start to the first chunk.
    pub time_to_first_chunk_ns: i64,
    /// From the start to the last chunk.
    pub time_to_last_chunk_ns: i64,
    /// From the start to the end.
    pub duration_ns: i64,
    /// Chunks per second between the first and the last one, or -1.
    pub rate: f64,
    /// Number of intervals between chunks.
    pub intervals: u64,
    /// Average of the intervals.
    pub interval_avg_ns: f64,
    /// Shortest interval.
    pub interval_min_ns: i64,
    /// Longest interval.
    pub interval_max_ns: i64,
    /// Median of the intervals, within the relative error.
    pub interval_p50_ns: f64,
    /// 90th percentile of the intervals, within the relative error.
    pub interval_p90_ns: f64,
    /// 95th percentile of the intervals, within the relative error.
    pub interval_p95_ns: f64,
    /// 99th percentile of the intervals, within the relative error.
    pub interval_p99_ns: f64,
    /// Largest relative error of the percentiles.
    pub relative_error: f64,
    /// Number of stalls.
    pub stalls: u64,
    /// Sum of the whole intervals that were stalls.
    pub stall_time_ns: u64,
    /// How often the clock stepped back.
    pub clock_back: u32,
    /// How it ended.
    pub outcome: wirespan_outcome,
}

/// An interval between chunks that was much longer than the ones before it.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_stall {
    /// When the chunk came that ended it.
    pub at_ns: u64,
    /// The whole interval; 0 where there is no stall.
    pub interval_ns: u64,
    /// The chunk that ended it, counted from 0.
    pub chunk: u64,
}
