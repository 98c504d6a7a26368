//! Options by name: the names, words and bounds are the core's.

use wirespan::Error;
use wirespan::connection::{
    OptionValue as CoreValue, Options as CoreOptions, Resumption as CoreResumption, Session,
};

use crate::error::unsigned;
use crate::trace::{SpanContext, span_of};

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum OptionValue {
    /// A word, a session id, or one name of a list.
    Text {
        /// The value.
        value: String,
    },
    /// A yes or no.
    Flag {
        /// The value.
        value: bool,
    },
    /// A count or a number of bytes; for time spans, nanoseconds.
    Number {
        /// The value.
        value: i64,
    },
    /// A list of names.
    Names {
        /// The values.
        values: Vec<String>,
    },
}

/// An option that is not as by default.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct OptionSetting {
    /// Its name, from SPEC.md, chapter "Options".
    pub name: String,
    /// Its value.
    pub value: OptionValue,
}

/// What a later connection needs to continue the session of an earlier one.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Resumption {
    /// The session id.
    pub session_id: String,
    /// The span of the earlier connection, to which the new one links.
    pub span: Option<SpanContext>,
}

/// What a host chooses about a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, uniffi::Record)]
pub struct Options {
    /// The options that are not as by default, in any order.
    #[uniffi(default = [])]
    pub settings: Vec<OptionSetting>,
    /// The session to continue.
    #[uniffi(default = None)]
    pub resume: Option<Resumption>,
}

impl Options {
    pub(crate) fn to_core(&self) -> Result<CoreOptions, Error> {
        let mut options = CoreOptions::default();
        for setting in &self.settings {
            let value = match &setting.value {
                OptionValue::Text { value } => CoreValue::Text(value.clone()),
                OptionValue::Flag { value } => CoreValue::Flag(*value),
                OptionValue::Number { value } => {
                    let number = unsigned("", *value).map_err(|_| {
                        Error::invalid_argument(setting.name.clone(), "must not be negative")
                    })?;
                    CoreValue::Number(number)
                }
                OptionValue::Names { values } => CoreValue::List(values.clone()),
            };
            options.set(&setting.name, value)?;
        }
        if let Some(resume) = &self.resume {
            options.session = Session::Resume(CoreResumption {
                session_id: resume.session_id.clone(),
                span: span_of(resume.span.as_ref())?,
            });
            options.check()?;
        }
        Ok(options)
    }
}
