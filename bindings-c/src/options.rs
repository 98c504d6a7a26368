//! Options by name.

use std::ffi::c_char;
use std::sync::Arc;

use wirespan::connection::{OptionValue, Options, Resumption, Session};
use wirespan::{Error, envelope};

use crate::guard::{Failure, guard};
use crate::handle::Table;
use crate::pointers::{self, require_out, write_out};
use crate::types::{wirespan_span_context, wirespan_status};

/// What the application chose about its connections. One set of options serves any number of connections.
pub struct wirespan_options {
    _private: [u8; 0],
}

static OPTIONS: Table<Arc<Options>> = Table::new(3, "options");

/// The options behind a handle; NULL means the defaults.
pub(crate) fn options_of(options: *const wirespan_options) -> Result<Arc<Options>, Error> {
    if options.is_null() {
        return Ok(Arc::default());
    }
    OPTIONS.with(options, |options| Ok(options.clone()))
}

/// Makes options with the defaults of the specification. Free them with `wirespan_options_free`.
///
/// # Safety
///
/// `options` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_options_new(
    options: *mut *mut wirespan_options,
) -> wirespan_status {
    guard(|| {
        require_out("options", options)?;
        let handle = OPTIONS.insert(Arc::default())?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(options, handle) };
        Ok(())
    })
}

/// Sets an option that is a word or a text: `mode` (`auto`, `always`, `never`), `hello` (`when_asked`, `first`, `expect`),
/// `subprotocol` (`off`, `beside`, `alone`), `trace_scope` (`call`, `connection`), `trust` (`continue`, `link`, `ignore`),
/// `session` (`new`, or a session id), `naming` (`otel`, `loongsuite`), `profile` (`none`, `seed`).
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` if there is no such option or it cannot have this value; the error says what it
/// can be, and the options are as before.
///
/// # Safety
///
/// Texts end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_options_set_text(
    options: *mut wirespan_options,
    name: *const c_char,
    value: *const c_char,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the texts.
        let (name, value) = unsafe {
            (
                pointers::text("name", name)?,
                pointers::text("value", value)?,
            )
        };
        set(options, name, OptionValue::Text(value.to_owned()))
    })
}

/// Sets an option that is a number: `max_running`, `max_streams`, `max_unread`, `max_unread_bytes`, `max_header_bytes`,
/// `max_nesting`, and, in nanoseconds, `hello_wait`, `stall_threshold`, `idle_timeout`, `overflow_wait`.
///
/// Returns as `wirespan_options_set_text`.
///
/// # Safety
///
/// `name` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_options_set_number(
    options: *mut wirespan_options,
    name: *const c_char,
    value: u64,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the text.
        let name = unsafe { pointers::text("name", name) }?;
        set(options, name, OptionValue::Number(value))
    })
}

/// Sets an option that is a yes or a no: `query`, `skip_empty_first`.
///
/// Returns as `wirespan_options_set_text`.
///
/// # Safety
///
/// `name` ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_options_set_flag(
    options: *mut wirespan_options,
    name: *const c_char,
    value: bool,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the text.
        let name = unsafe { pointers::text("name", name) }?;
        set(options, name, OptionValue::Flag(value))
    })
}

/// Sets an option that is a list of names: `baggage_in`, `baggage_out` (`*` stands for all), `hosts` (allowed ones, or denied
/// ones with a `!` in front of each).
///
/// Returns as `wirespan_options_set_text`.
///
/// # Safety
///
/// `name` ends with NUL; `values` points to `count` texts that end with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_options_set_list(
    options: *mut wirespan_options,
    name: *const c_char,
    values: *const *const c_char,
    count: usize,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the texts.
        let (name, values) = unsafe {
            (
                pointers::text("name", name)?,
                pointers::names("values", values, count)?,
            )
        };
        set(options, name, OptionValue::List(values))
    })
}

/// Continues the session of an earlier connection: its id, and the span that stands for it (NULL if it is not known), as
/// `wirespan_connection_resumption` gave them.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` for something that is no session id.
///
/// # Safety
///
/// `session_id` ends with NUL; `span` is NULL or points to a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_options_resume(
    options: *mut wirespan_options,
    session_id: *const c_char,
    span: *const wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the inputs.
        let (session_id, span) = unsafe {
            (
                pointers::text("session_id", session_id)?,
                pointers::span(span)?,
            )
        };
        if !envelope::is_session_id(session_id) {
            return Err(Error::invalid_argument(
                "session_id",
                "must be 1 to 128 characters of A-Z a-z 0-9 . _ ~ -",
            )
            .into());
        }
        let resumption = Resumption {
            session_id: session_id.to_owned(),
            span: span.map(|span| span.to_span()),
        };
        OPTIONS.with(options, |options| {
            Arc::make_mut(options).session = Session::Resume(resumption);
            Ok(())
        })?;
        Ok(())
    })
}

/// Frees options. Connections made with them keep what they need.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_options_free(options: *mut wirespan_options) -> wirespan_status {
    guard(|| {
        OPTIONS.remove(options)?;
        Ok(())
    })
}

fn set(options: *mut wirespan_options, name: &str, value: OptionValue) -> Result<(), Failure> {
    OPTIONS.with(options, |options| {
        // A value out of bounds leaves everything as it was.
        let mut changed = Options::clone(options);
        changed.set(name, value)?;
        *options = Arc::new(changed);
        Ok(())
    })?;
    Ok(())
}
