//! The guard around every exported function, and the details of the last error of a thread.

use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use wirespan::{Error, ErrorKind};

use crate::pointers::write_out;
use crate::types::{wirespan_error, wirespan_status};

/// What an exported function can end with.
pub(crate) enum Failure {
    /// An error of the core's kinds.
    Error(Error),
    /// The caller's buffer is too small; the length that is needed has been reported.
    BufferTooSmall,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

#[derive(Default)]
struct LastError {
    status: Option<wirespan_status>,
    error: Option<Error>,
    /// The texts that C was shown; they live until it asks again.
    texts: Vec<CString>,
}

thread_local!(static LAST: RefCell<LastError> = RefCell::default());

/// Runs the body of an exported function: no panic gets out, and the details of a failure are kept for
/// [`wirespan_last_error`].
pub(crate) fn guard(run: impl FnOnce() -> Result<(), Failure>) -> wirespan_status {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(())) => wirespan_status::Ok,
        Ok(Err(Failure::Error(error))) => {
            let status = wirespan_status::of(error.kind());
            keep(status, Some(error));
            status
        }
        Ok(Err(Failure::BufferTooSmall)) => {
            keep(wirespan_status::BufferTooSmall, None);
            wirespan_status::BufferTooSmall
        }
        Err(payload) => {
            let what = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| payload.downcast_ref::<String>().cloned())
                .unwrap_or_default();
            // Dropping what was thrown could panic again.
            std::mem::forget(payload);
            let message = format!("a defect of the library, please report it: {what}");
            keep(
                wirespan_status::Panic,
                Some(Error::new(ErrorKind::Panic, message)),
            );
            wirespan_status::Panic
        }
    }
}

fn keep(status: wirespan_status, error: Option<Error>) {
    // At the end of a thread its variables are gone; the status code alone has to do then.
    let _ = LAST.try_with(|last| {
        if let Ok(mut last) = last.try_borrow_mut() {
            last.status = Some(status);
            last.error = error;
        }
    });
}

/// Gives the details of the last call on this thread that failed.
///
/// The texts end with NUL and are valid until this thread calls `wirespan_last_error` again. Before any failure the
/// status is `WIRESPAN_STATUS_OK` and every text is empty.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` if `error` is NULL.
///
/// # Safety
///
/// `error` must be NULL or point to memory for a `wirespan_error`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_last_error(error: *mut wirespan_error) -> wirespan_status {
    let mut details = None;
    let status = guard(|| {
        if error.is_null() {
            return Err(Error::invalid_argument("error", "must not be NULL").into());
        }
        details = LAST.with(|last| last.try_borrow_mut().ok().map(|mut last| last.show()));
        Ok(())
    });
    if let Some(details) = details {
        // SAFETY: not NULL, and the caller vouches for the rest.
        unsafe { write_out(error, details) };
    }
    status
}

impl LastError {
    fn show(&mut self) -> wirespan_error {
        self.texts.clear();
        let error = self.error.as_ref();
        let field = error.and_then(Error::field).unwrap_or("").to_owned();
        let reason = error
            .and_then(Error::reason)
            .map_or("", |reason| reason.name());
        let message = match (&self.error, self.status) {
            (Some(error), _) => error.to_string(),
            (None, Some(wirespan_status::BufferTooSmall)) => {
                "buffer_too_small: the length that is needed was reported".to_owned()
            }
            _ => String::new(),
        };
        let offset = error.and_then(Error::offset).unwrap_or(usize::MAX);
        wirespan_error {
            status: self.status.unwrap_or(wirespan_status::Ok),
            field: self.text(field),
            reason: self.text(reason.to_owned()),
            message: self.text(message),
            offset,
        }
    }

    fn text(&mut self, text: String) -> *const c_char {
        let bytes: Vec<u8> = text
            .into_bytes()
            .into_iter()
            .filter(|byte| *byte != 0)
            .collect();
        match CString::new(bytes) {
            Ok(text) => {
                // The bytes of a CString stay where they are when the CString itself moves.
                let start = text.as_ptr();
                self.texts.push(text);
                start
            }
            Err(_) => ptr::null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_status() {
        let status = guard(|| panic!("on purpose {}", 1));
        assert_eq!(status, wirespan_status::Panic);
        let message = LAST.with(|last| last.borrow().error.as_ref().unwrap().message().to_owned());
        assert!(message.ends_with("on purpose 1"), "{message}");
    }

    #[test]
    fn every_kind_has_its_code() {
        for kind in ErrorKind::ALL {
            assert_eq!(wirespan_status::of(kind) as u32, kind.code());
            assert_eq!(
                wirespan_status::of(kind).name().to_str().unwrap(),
                kind.name()
            );
        }
    }
}
