//! The few places where CPython is used below what pyo3 offers, because they are on the way of each message.
#![allow(unsafe_code)]

use std::ffi::c_int;

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple, PyType};

/// The parts one after the other, each copied once into memory that nobody filled before.
pub(crate) fn bytes_of<'py>(py: Python<'py>, parts: &[&[u8]]) -> PyResult<Bound<'py, PyBytes>> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let len = isize::try_from(len)?;
    // SAFETY: without a source the new object has `len` bytes that are not set, and nobody else knows it yet. The parts
    // have that length together. An empty object is shared, and nothing is written to it.
    unsafe {
        let made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len);
        let made = Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked::<PyBytes>();
        let mut to = ffi::PyBytes_AsString(made.as_ptr()).cast::<u8>();
        for part in parts {
            std::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            to = to.add(part.len());
        }
        Ok(made)
    }
}

/// The characters from `start` to `end` of a text; shorter where it ends earlier.
pub(crate) fn part_of<'py>(
    text: &Bound<'py, PyString>,
    start: usize,
    end: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let (start, end) = (isize::try_from(start)?, isize::try_from(end)?);
    // SAFETY: the object is a text, and the function clips both ends. What it returns is new.
    unsafe {
        let part = ffi::PyUnicode_Substring(text.as_ptr(), start, end);
        Bound::from_owned_ptr_or_err(text.py(), part)
    }
}

/// `tuple.__new__(class, items)`.
pub(crate) fn tuple_of_class<'py>(
    class: &Bound<'py, PyType>,
    items: Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    if !class.is_subclass_of::<PyTuple>()? {
        return Err(PyTypeError::new_err("the class is no tuple"));
    }
    let arguments = PyTuple::new(py, [items])?;
    // SAFETY: the slot of `tuple` is there, and takes a subclass of `tuple`, a tuple of arguments and no keywords. What it
    // returns is new.
    unsafe {
        let Some(new) = ffi::PyTuple_Type.tp_new else {
            return Err(PyTypeError::new_err("tuple cannot be made"));
        };
        let made = new(
            class.as_type_ptr(),
            arguments.as_ptr(),
            std::ptr::null_mut(),
        );
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// `object.__new__(class)`, for classes that leave their making to `object`; None for others.
pub(crate) fn blank<'py>(class: &Bound<'py, PyType>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = class.py();
    let arguments = PyTuple::empty(py);
    // SAFETY: both are types, whose slots can be read. Where they have the same way to make an object it is right for the class,
    // and what it returns is new.
    unsafe {
        match (ffi::PyBaseObject_Type.tp_new, (*class.as_type_ptr()).tp_new) {
            (Some(new), Some(own)) if std::ptr::fn_addr_eq(new, own) => {
                let made = new(
                    class.as_type_ptr(),
                    arguments.as_ptr(),
                    std::ptr::null_mut(),
                );
                Bound::from_owned_ptr_or_err(py, made).map(Some)
            }
            _ => Ok(None),
        }
    }
}

/// The value of a context variable; None where it has none, or where the object is no such variable.
pub(crate) fn variable<'py>(variable: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: the function checks the type of the object. It leaves a new reference, or NULL where there is no value.
    unsafe {
        if ffi::PyContextVar_Get(variable.as_ptr(), std::ptr::null_mut(), &raw mut value) != 0 {
            drop(PyErr::take(variable.py()));
            return None;
        }
        Bound::from_owned_ptr_or_opt(variable.py(), value)
    }
}

/// The clock of `time.monotonic_ns`, in nanoseconds.
#[cfg(target_os = "linux")]
pub(crate) fn monotonic_ns() -> Option<u64> {
    let mut time = std::mem::MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the function fills what the pointer shows, unless it fails.
    let time = unsafe {
        if libc::clock_gettime(libc::CLOCK_MONOTONIC, time.as_mut_ptr()) != 0 {
            return None;
        }
        time.assume_init()
    };
    let seconds = u64::try_from(time.tv_sec).ok()?;
    let ns = u64::try_from(time.tv_nsec).ok()?;
    seconds.checked_mul(1_000_000_000)?.checked_add(ns)
}

/// A copy of the current context of variables, as `contextvars.copy_context()` makes it.
pub(crate) fn copied_variables(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: the thread is attached, and what the function returns is new.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// Does something inside a copy of a context of variables, as `variables.copy().run()` does. It is a copy since one context
/// cannot be entered by two threads at once.
pub(crate) fn inside_copy<'py, T>(
    variables: &Bound<'py, PyAny>,
    act: impl FnOnce() -> PyResult<T>,
) -> PyResult<T> {
    /// A context that was entered; left again however `act` ends.
    struct Entered<'py>(Bound<'py, PyAny>);
    impl Drop for Entered<'_> {
        fn drop(&mut self) {
            // SAFETY: it is the context that this thread entered last: what `act` entered it has left.
            if unsafe { ffi::PyContext_Exit(self.0.as_ptr()) } != 0 {
                drop(PyErr::take(self.0.py()));
            }
        }
    }
    let py = variables.py();
    // SAFETY: the function checks the type of the object, and what it returns is new.
    let copy =
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_Copy(variables.as_ptr()))? };
    // SAFETY: a copy is entered by nobody else.
    if unsafe { ffi::PyContext_Enter(copy.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    let _entered = Entered(copy);
    act()
}

/// Fills a view with bytes that live and stay as they are for as long as `owner` does.
///
/// # Safety
///
/// `view` is what the interpreter passed for `owner`, and `bytes` points into what `owner` keeps and never changes.
pub(crate) unsafe fn fill_view(
    owner: &Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    bytes: *const [u8],
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("there is no view to fill"));
    }
    let len = isize::try_from(bytes.len())?;
    let readonly = 1;
    // SAFETY: as the caller says. The function takes a reference to `owner` of its own, and refuses views to write through.
    let filled = unsafe {
        let start = bytes.cast::<std::ffi::c_void>().cast_mut();
        ffi::PyBuffer_FillInfo(view, owner.as_ptr(), start, len, readonly, flags)
    };
    if filled == 0 {
        Ok(())
    } else {
        Err(PyErr::fetch(owner.py()))
    }
}
