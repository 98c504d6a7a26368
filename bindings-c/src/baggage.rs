//! Baggage by itself: names and values, to and from the header.

use std::ffi::c_char;

use wirespan::trace::{Baggage, BaggageMember};

use crate::guard::guard;
use crate::handle::Table;
use crate::pointers::{self, EMPTY, require_out, show, write_out};
use crate::types::{wirespan_status, wirespan_str};

/// Members of a baggage, in order, one of each name.
pub struct wirespan_baggage {
    _private: [u8; 0],
}

/// A member.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct wirespan_baggage_member {
    /// Its name, a token (RFC 9110, 5.6.2).
    pub key: wirespan_str,
    /// Its value, decoded.
    pub value: wirespan_str,
    /// Its properties as they stand in the header, without the semicolon in front of them.
    pub properties: wirespan_str,
}

static BAGGAGE: Table<Baggage> = Table::new(9, "baggage");

/// Makes an empty baggage. Free it with `wirespan_baggage_free`.
///
/// # Safety
///
/// `baggage` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_baggage_new(
    baggage: *mut *mut wirespan_baggage,
) -> wirespan_status {
    guard(|| {
        require_out("baggage", baggage)?;
        let handle = BAGGAGE.insert(Baggage::default())?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(baggage, handle) };
        Ok(())
    })
}

/// Reads the values of all header fields `baggage` of a message, in order, by W3C Baggage. What is outside the grammar or the limits is
/// left out, and counted in `dropped` (which may be NULL): never an error. Free the baggage with `wirespan_baggage_free`.
///
/// # Safety
///
/// `values` points to `count` texts, which may be any bytes; `baggage` points to memory for a pointer, `dropped` is NULL or points to
/// memory for a `size_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_baggage_parse(
    values: *const wirespan_str,
    count: usize,
    baggage: *mut *mut wirespan_baggage,
    dropped: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("baggage", baggage)?;
        // SAFETY: the caller vouches for the input.
        let values = unsafe { pointers::values(values, count) }?;
        let (parsed, lost) = Baggage::from_values(values.into_iter());
        let handle = BAGGAGE.insert(parsed)?;
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            write_out(baggage, handle);
            write_out(dropped, lost);
        }
        Ok(())
    })
}

/// Adds a member, or replaces that of the same name where it stands. `properties` may be empty.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` for a key that is no token and for properties outside the grammar. Every value is allowed.
///
/// # Safety
///
/// The texts of the member are UTF-8 and as long as they say.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_baggage_insert(
    baggage: *mut wirespan_baggage,
    member: wirespan_baggage_member,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the texts.
        let (key, value, properties) = unsafe {
            (
                pointers::str_of("key", member.key)?,
                pointers::str_of("value", member.value)?,
                pointers::str_of("properties", member.properties)?,
            )
        };
        let mut member = BaggageMember::new(key, value);
        member.properties = properties.into();
        Ok(BAGGAGE.with(baggage, |baggage| baggage.insert(member))?)
    })
}

/// Gives the member at position `index`; behind the last one all its texts are empty. They are valid until the baggage is changed or
/// freed.
///
/// # Safety
///
/// `member` points to memory for a member.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_baggage_read_member(
    baggage: *const wirespan_baggage,
    index: usize,
    member: *mut wirespan_baggage_member,
) -> wirespan_status {
    guard(|| {
        require_out("member", member)?;
        let shown = BAGGAGE.with(baggage, |baggage| {
            let found = baggage.iter().nth(index);
            Ok(found.map_or(
                wirespan_baggage_member {
                    key: EMPTY,
                    value: EMPTY,
                    properties: EMPTY,
                },
                |found| wirespan_baggage_member {
                    key: show(&found.key),
                    value: show(&found.value),
                    properties: show(&found.properties),
                },
            ))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(member, shown) };
        Ok(())
    })
}

/// Writes the value of a `baggage` header into `buffer`, without a NUL; never send an empty one. Members beyond 64, or beyond 8192 bytes,
/// are left out from the right and counted in `dropped` (which may be NULL).
///
/// Returns `WIRESPAN_STATUS_BUFFER_TOO_SMALL` if `size` is too small (`length` then holds what is needed); 8192 bytes always do.
///
/// # Safety
///
/// `buffer` points to `size` bytes; `length` points to memory for a `size_t`, `dropped` is NULL or does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_baggage_write(
    baggage: *const wirespan_baggage,
    buffer: *mut c_char,
    size: usize,
    length: *mut usize,
    dropped: *mut usize,
) -> wirespan_status {
    guard(|| {
        require_out("length", length)?;
        let (value, lost) = BAGGAGE.with(baggage, |baggage| Ok(baggage.encode()))?;
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            pointers::give_bytes(value.as_bytes(), buffer.cast(), size, length)?;
            write_out(dropped, lost);
        }
        Ok(())
    })
}

/// Frees a baggage.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_baggage_free(baggage: *mut wirespan_baggage) -> wirespan_status {
    guard(|| {
        BAGGAGE.remove(baggage)?;
        Ok(())
    })
}
