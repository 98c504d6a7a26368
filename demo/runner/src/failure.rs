//! Why a run ends early.

use std::fmt;

/// Why a run ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A signal; its number.
    Interrupted(i32),
    /// A service ended, or never came up.
    Service {
        name: String,
        what: String,
        tail: String,
    },
    /// Anything else: input, files, ports.
    Other(String),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            // As shells do.
            Self::Interrupted(signal) => 128_u8.saturating_add(u8::try_from(*signal).unwrap_or(0)),
            _ => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(signal) => write!(f, "interrupted by signal {signal}"),
            Self::Service { name, what, tail } if tail.is_empty() => {
                write!(f, "{name} {what}; it logged nothing")
            }
            Self::Service { name, what, tail } => {
                write!(f, "{name} {what}; the end of its log:")?;
                tail.lines()
                    .try_for_each(|line| write!(f, "\n  {name} | {line}"))
            }
            Self::Other(what) => f.write_str(what),
        }
    }
}
