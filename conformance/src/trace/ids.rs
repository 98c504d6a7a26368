//! Identifiers of traces and spans.

use std::fmt;
use std::str::FromStr;

/// Names a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TraceId(u128);

/// Names a span within its trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanId(u64);

/// A span and its trace, as parents and links name them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpanRef {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
}

/// A W3C `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The span that it names.
    pub span: SpanRef,
    /// Its flags; bit 0 is sampled.
    pub flags: u8,
}

impl TraceId {
    /// Reads the 16 bytes of OTLP; none for another length or zero.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let value = u128::from_be_bytes(bytes.try_into().ok()?);
        (value != 0).then_some(Self(value))
    }
}

impl SpanId {
    /// Reads the 8 bytes of OTLP; none for another length or zero.
    #[must_use]
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        let value = u64::from_be_bytes(bytes.try_into().ok()?);
        (value != 0).then_some(Self(value))
    }
}

impl TraceParent {
    /// Whether the sampled bit is set.
    #[must_use]
    pub fn is_sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

/// A text that is no `traceparent` of version 00.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTraceParent;

impl fmt::Display for InvalidTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not of the form 00-<32 hex digits>-<16 hex digits>-<2 hex digits>, in lower case, ids not zero")
    }
}

impl std::error::Error for InvalidTraceParent {}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |part: &str, length: usize| {
            let valid = part.len() == length
                && part
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            valid
                .then(|| u128::from_str_radix(part, 16).ok())
                .flatten()
                .ok_or(InvalidTraceParent)
        };
        let parts: Vec<&str> = text.split('-').collect();
        let &["00", trace_id, span_id, flags] = parts.as_slice() else {
            return Err(InvalidTraceParent);
        };
        let trace_id = TraceId::from_slice(&hex(trace_id, 32)?.to_be_bytes());
        let span_id = SpanId::from_slice(&hex(span_id, 16)?.to_be_bytes()[8..]);
        let flags = hex(flags, 2)?.to_be_bytes()[15];
        match (trace_id, span_id) {
            (Some(trace_id), Some(span_id)) => Ok(Self {
                span: SpanRef { trace_id, span_id },
                flags,
            }),
            _ => Err(InvalidTraceParent),
        }
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for SpanRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.trace_id, self.span_id)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
