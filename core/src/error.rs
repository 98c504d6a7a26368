//! Errors: what kind, which field, at which byte.

use std::borrow::Cow;
use std::fmt;

/// What went wrong, in the terms a caller can act on.
///
/// The numbers are stable: they are the status codes of the C library. A retired number is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u32)]
pub enum ErrorKind {
    /// The programmer passed something that no run can accept.
    InvalidArgument = 1,
    /// The operation does not fit the state of its object.
    InvalidState = 2,
    /// Bytes do not follow the grammar; [`Error::reason`] says how.
    Malformed = 3,
    /// A bound of [`crate::limits`] was reached.
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
    /// A defect of the library, caught at a language boundary.
    Panic = 14,
}

impl ErrorKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 14] = [
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
    ];

    /// The name used in every language, in documents and in tests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::InvalidState => "invalid_state",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Busy => "busy",
            Self::Closed => "closed",
            Self::Cancelled => "cancelled",
            Self::Remote => "remote",
            Self::Timeout => "timeout",
            Self::Overflow => "overflow",
            Self::Role => "role",
            Self::Superseded => "superseded",
            Self::Io => "io",
            Self::Panic => "panic",
        }
    }

    /// The number that the C library returns.
    #[must_use]
    pub const fn code(self) -> u32 {
        self as u32
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a reader refused some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// A fixed-size field has another size.
    Length,
    /// A version that this reader must not read.
    Version,
    /// A character outside the grammar.
    Character,
    /// An identifier of zeros only.
    ZeroId,
    /// Something follows the end.
    Trailing,
    /// Given twice.
    Duplicate,
    /// A list member outside the grammar.
    Member,
    /// More entries than allowed.
    TooMany,
    /// More bytes than allowed.
    TooLong,
    /// A required part is absent.
    Missing,
    /// The input ends inside a part.
    Truncated,
    /// Parts are in the wrong order.
    Order,
    /// A part that must be understood is not.
    UnknownCritical,
    /// Well-formed, but not of the required shape.
    Structure,
}

impl Refusal {
    /// Every reason, in the order of the specification.
    pub const ALL: [Self; 14] = [
        Self::Length,
        Self::Version,
        Self::Character,
        Self::ZeroId,
        Self::Trailing,
        Self::Duplicate,
        Self::Member,
        Self::TooMany,
        Self::TooLong,
        Self::Missing,
        Self::Truncated,
        Self::Order,
        Self::UnknownCritical,
        Self::Structure,
    ];

    /// The name used in every language.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Version => "version",
            Self::Character => "character",
            Self::ZeroId => "zero_id",
            Self::Trailing => "trailing",
            Self::Duplicate => "duplicate",
            Self::Member => "member",
            Self::TooMany => "too_many",
            Self::TooLong => "too_long",
            Self::Missing => "missing",
            Self::Truncated => "truncated",
            Self::Order => "order",
            Self::UnknownCritical => "unknown_critical",
            Self::Structure => "structure",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An error with its kind, the field it concerns and, for refused bytes, the reason and the byte offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    reason: Option<Refusal>,
    field: Option<Cow<'static, str>>,
    offset: Option<usize>,
    message: Cow<'static, str>,
}

impl Error {
    /// Makes an error of `kind` whose message says what the caller can do.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            reason: None,
            field: None,
            offset: None,
            message: message.into(),
        }
    }

    /// Makes the error of a wrong argument: the field, and what it must be.
    #[must_use]
    pub fn invalid_argument(
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::new(ErrorKind::InvalidArgument, message).with_field(field)
    }

    /// Makes the error of an operation that does not fit the state of its object.
    #[must_use]
    pub fn invalid_state(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorKind::InvalidState, message)
    }

    /// Makes the error of refused bytes: the field, the reason and the offset of the first byte that is wrong.
    #[must_use]
    pub fn malformed(field: &'static str, reason: Refusal, offset: usize) -> Self {
        Self {
            kind: ErrorKind::Malformed,
            reason: Some(reason),
            field: Some(Cow::Borrowed(field)),
            offset: Some(offset),
            message: Cow::Borrowed(""),
        }
    }

    /// Names the field that the error concerns.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Why bytes were refused; present for [`ErrorKind::Malformed`].
    #[must_use]
    pub fn reason(&self) -> Option<Refusal> {
        self.reason
    }

    /// The header, argument or option that the error concerns.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// The offset, in bytes, of the first byte that was refused.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// What the programmer can do about it; empty where kind, field and reason say all.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if let Some(field) = &self.field {
            write!(f, ": {field}")?;
        }
        if let Some(reason) = self.reason {
            write!(f, ": {reason}")?;
        }
        if let Some(offset) = self.offset {
            write!(f, " at byte {offset}")?;
        }
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_the_positions_of_the_specification() {
        for (index, kind) in ErrorKind::ALL.into_iter().enumerate() {
            assert_eq!(kind.code() as usize, index + 1, "{kind}");
        }
    }

    #[test]
    fn display_names_kind_field_reason_and_offset() {
        let error = Error::malformed("traceparent", Refusal::ZeroId, 3);
        assert_eq!(
            error.to_string(),
            "malformed: traceparent: zero_id at byte 3"
        );
        let error = Error::invalid_argument("max_streams", "must be at least 1");
        assert_eq!(
            error.to_string(),
            "invalid_argument: max_streams: must be at least 1"
        );
    }
}
