//! Errors of the core by kind, and the guard around every exported function.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wirespan::{Error, ErrorKind};

/// Writes the kinds once: a variant for each, all with the same details.
macro_rules! kinds {
    ($($(#[$docs:meta])* $kind:ident,)*) => {
        /// What went wrong: the kind, the field it concerns and, for refused bytes, the reason and the byte offset.
        #[derive(Clone, Debug, PartialEq, Eq, uniffi::Error)]
        pub enum CoreError {
            $(
                $(#[$docs])*
                $kind {
                    /// The name of the kind, the same in every language.
                    kind: String,
                    /// The header, argument or option that the error concerns.
                    field: Option<String>,
                    /// Why bytes were refused.
                    reason: Option<String>,
                    /// The offset of the first byte that was refused.
                    offset: Option<i64>,
                    /// All of it as one text.
                    detail: String,
                },
            )*
        }

        impl From<Error> for CoreError {
            fn from(error: Error) -> Self {
                let kind = error.kind().name().to_owned();
                let field = error.field().map(str::to_owned);
                let reason = error.reason().map(|reason| reason.name().to_owned());
                let offset = error.offset().and_then(|offset| i64::try_from(offset).ok());
                let detail = error.to_string();
                match error.kind() {
                    $(ErrorKind::$kind => Self::$kind { kind, field, reason, offset, detail },)*
                    // A kind that came later is a defect here; the test below compares the lists.
                    _ => Self::Panic { kind, field, reason, offset, detail },
                }
            }
        }

        impl std::fmt::Display for CoreError {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    $(Self::$kind { detail, .. } => f.write_str(detail),)*
                }
            }
        }

        #[cfg(test)]
        const KINDS: &[ErrorKind] = &[$(ErrorKind::$kind),*];
    };
}

kinds! {
    /// The programmer passed something that no run can accept.
    InvalidArgument,
    /// The operation does not fit the state of its object.
    InvalidState,
    /// Bytes do not follow the grammar.
    Malformed,
    /// A bound was reached.
    Limit,
    /// A peer that is not known to speak Wirespan can serve one call at a time.
    Busy,
    /// The connection is closed.
    Closed,
    /// The call was cancelled by either side.
    Cancelled,
    /// The peer ended the call with an error.
    Remote,
    /// A deadline passed.
    Timeout,
    /// A reader did not take its chunks in time.
    Overflow,
    /// The peer has the same role as this side: an echo or a relaying hub.
    Role,
    /// Another connection took the session over.
    Superseded,
    /// The transport failed.
    Io,
    /// A defect of the library, caught at the boundary.
    Panic,
}

impl std::error::Error for CoreError {}

/// Runs the body of an exported function: no panic gets out, it becomes an error of kind `panic`.
pub(crate) fn guard<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, CoreError> {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => result.map_err(CoreError::from),
        Err(payload) => {
            let what = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            // Dropping what was thrown could panic again.
            std::mem::forget(payload);
            let message = format!("a defect of the library, please report it: {what}");
            Err(Error::new(ErrorKind::Panic, message).into())
        }
    }
}

/// A number of Java's as the core takes it.
pub(crate) fn unsigned<T: TryFrom<i64>>(field: &'static str, value: i64) -> Result<T, Error> {
    T::try_from(value)
        .map_err(|_| Error::invalid_argument(field, "must not be negative or too large"))
}

/// A number of the core's as Java takes it; what is larger than a `long` is as large as one can be.
pub(crate) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_the_core_is_a_variant() {
        assert_eq!(KINDS, ErrorKind::ALL);
        for kind in ErrorKind::ALL {
            let error = CoreError::from(Error::new(kind, ""));
            assert_eq!(error.to_string(), kind.name());
            assert!(format!("{error:?}").contains(kind.name()));
        }
    }

    #[test]
    fn details_cross_the_boundary() {
        let error = Error::malformed("traceparent", wirespan::Refusal::ZeroId, 3);
        let CoreError::Malformed {
            field,
            reason,
            offset,
            detail,
            ..
        } = CoreError::from(error)
        else {
            unreachable!("the kind is kept")
        };
        assert_eq!(field.as_deref(), Some("traceparent"));
        assert_eq!((reason.as_deref(), offset), (Some("zero_id"), Some(3)));
        assert_eq!(detail, "malformed: traceparent: zero_id at byte 3");
    }

    #[test]
    #[expect(clippy::panic, reason = "it is what the guard is for")]
    fn a_panic_is_an_error_of_its_kind() {
        let result: Result<(), CoreError> = guard(|| panic!("broken"));
        let Err(CoreError::Panic { kind, detail, .. }) = result else {
            unreachable!("the panic was caught")
        };
        assert_eq!(kind, "panic");
        assert!(detail.ends_with("please report it: broken"), "{detail}");
    }

    #[test]
    fn numbers_keep_their_bounds() {
        assert_eq!(unsigned::<u32>("stream", 7), Ok(7));
        assert!(unsigned::<u32>("stream", -1).is_err());
        assert!(unsigned::<u16>("port", 65_536).is_err());
        assert_eq!(signed(u64::MAX), i64::MAX);
    }
}
