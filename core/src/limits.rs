//! Every bound, in one place, with the section of `conformance/SPEC.md` (chapter "Limits") that it comes from.
//!
//! Limits marked "option" are defaults that [`crate::connection::Options`] can lower.

/// Longest `traceparent` that is looked at, in bytes. A later version may have a tail, so this is more than 55.
pub const MAX_TRACEPARENT_BYTES: usize = 512;
/// Most members of a `tracestate` (Trace Context level 2, section 3.3.1.1).
pub const MAX_TRACESTATE_MEMBERS: usize = 32;
/// Longest `tracestate`, in bytes.
pub const MAX_TRACESTATE_BYTES: usize = 8 * 1024;
/// What is always kept of a `tracestate` that must be cut, in bytes (Trace Context level 2, section 3.3.1.5).
pub const MIN_TRACESTATE_KEPT_BYTES: usize = 512;
/// Members longer than this are cut first, in bytes (Trace Context level 2, section 3.3.1.5).
pub const LONG_TRACESTATE_MEMBER_BYTES: usize = 128;
/// Most members of a `baggage` (W3C Baggage, section 3.3.2).
pub const MAX_BAGGAGE_MEMBERS: usize = 64;
/// Longest `baggage`, in bytes (W3C Baggage, section 3.3.2).
pub const MAX_BAGGAGE_BYTES: usize = 8192;
/// Longest head of an envelope, in bytes; option `max_header_bytes`.
pub const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Smallest value of option `max_header_bytes`: reserved headers always fit.
pub const MIN_MAX_HEADER_BYTES: usize = 2 * 1024;
/// Most entries of an envelope's headers.
pub const MAX_HEADERS: usize = 64;
/// Longest name of a header, in bytes.
pub const MAX_HEADER_NAME_BYTES: usize = 255;
/// Longest session id, in bytes.
pub const MAX_SESSION_BYTES: usize = 128;
/// Longest method name, in bytes.
pub const MAX_METHOD_BYTES: usize = 128;
/// Longest error type, in bytes.
pub const MAX_ERROR_TYPE_BYTES: usize = 128;
/// Deepest nesting of a body that is looked at; option `max_nesting`.
pub const MAX_NESTING: usize = 512;
/// Most open streams of a connection, both sides together; option `max_streams`.
pub const MAX_STREAMS: usize = 1024;
/// Most ended streams that a connection remembers.
pub const MAX_REMEMBERED_STREAMS: usize = 1024;
/// How far back a repeated `seq` is told from a reordered one.
pub const SEQ_WINDOW: u32 = 64;
/// Most unread chunks of a call; option `max_unread`.
pub const MAX_UNREAD: usize = 256;
/// Most unread bytes of a call; option `max_unread_bytes`.
pub const MAX_UNREAD_BYTES: usize = 1024 * 1024;
/// Most handlers that run at once; option `max_running`.
pub const MAX_RUNNING: usize = 128;
/// How long a stream may be silent, in nanoseconds; option `idle_timeout`.
pub const IDLE_TIMEOUT_NS: u64 = 300_000_000_000;
/// How long reading may pause for one reader, in nanoseconds; option `overflow_wait`.
pub const OVERFLOW_WAIT_NS: u64 = 5_000_000_000;
/// How long a client waits for a hello, in nanoseconds; option `hello_wait`.
pub const HELLO_WAIT_NS: u64 = 250_000_000;
/// An interval longer than this may be a stall, in nanoseconds; option `stall_threshold`.
pub const STALL_THRESHOLD_NS: u64 = 1_000_000_000;
/// An interval is a stall only if it is also longer than this many times the average of the earlier ones.
pub const STALL_FACTOR: u64 = 5;
/// Most stall events that a span gets for each direction; further stalls are counted only.
pub const MAX_STALL_EVENTS: usize = 32;
/// Most live or remembered sessions of a registry.
pub const MAX_SESSIONS: usize = 100_000;
/// Most sessions of a registry that one remote address may hold.
pub const MAX_SESSIONS_PER_REMOTE: usize = 10_000;
/// Longest value of a handshake header that is looked at, in bytes.
pub const MAX_HANDSHAKE_VALUE_BYTES: usize = 8 * 1024;
/// Most values of one handshake header that are looked at.
pub const MAX_HANDSHAKE_VALUES: usize = 32;
/// Longest close reason that is recorded, in bytes (RFC 6455, section 5.5).
pub const MAX_CLOSE_REASON_BYTES: usize = 123;
