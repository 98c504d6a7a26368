//! The grammar of names and values, shared by readers and writers of both forms.

use crate::error::Error;
use crate::limits::{
    MAX_ERROR_TYPE_BYTES, MAX_HEADER_NAME_BYTES, MAX_METHOD_BYTES, MAX_SESSION_BYTES,
};
use crate::names::header;

/// Tells whether a text is a session id: `[A-Za-z0-9._~-]{1,128}`.
#[must_use]
pub fn is_session_id(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'~' | b'-');
    (1..=MAX_SESSION_BYTES).contains(&text.len()) && text.bytes().all(allowed)
}

/// Tells whether a text is a method name: 1 to 128 visible ASCII characters.
#[must_use]
pub fn is_method(text: &str) -> bool {
    is_visible(text, MAX_METHOD_BYTES)
}

/// Tells whether a text is an error type: 1 to 128 visible ASCII characters.
#[must_use]
pub fn is_error_type(text: &str) -> bool {
    is_visible(text, MAX_ERROR_TYPE_BYTES)
}

/// Tells whether a text is a name of a header: 1 to 255 bytes of visible ASCII.
pub(super) fn is_header_name(text: &str) -> bool {
    is_visible(text, MAX_HEADER_NAME_BYTES)
}

/// Tells whether a text can be the value of a header of the application's own: no CR, LF or NUL.
pub(super) fn is_header_value(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'\r' | b'\n' | 0))
}

fn is_visible(text: &str, max_bytes: usize) -> bool {
    (1..=max_bytes).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads a decimal number without sign and leading zeros.
#[must_use]
pub fn parse_u64(digits: &[u8]) -> Option<u64> {
    if digits.len() > 1 && digits.first() == Some(&b'0') {
        return None;
    }
    let mut digits = digits.iter();
    let mut number = u64::from(digit(*digits.next()?)?);
    for byte in digits {
        number = number
            .checked_mul(10)?
            .checked_add(u64::from(digit(*byte)?))?;
    }
    Some(number)
}

pub(super) fn parse_u32(digits: &[u8]) -> Option<u32> {
    parse_u64(digits).and_then(|number| u32::try_from(number).ok())
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// Tells whether a text is `1*DIGIT *("," 1*DIGIT)` without leading zeros, OWS allowed around the numbers.
pub(super) fn is_version_list(text: &str) -> bool {
    text.split(',')
        .all(|item| parse_u64(item.trim_matches([' ', '\t']).as_bytes()).is_some())
}

/// The position of a reserved name in [`header::RESERVED`]; names compare without regard to ASCII case.
pub(super) fn reserved(name: &str) -> Option<usize> {
    header::RESERVED
        .iter()
        .position(|known| known.eq_ignore_ascii_case(name))
}

/// Checks the headers that the application wants to send.
///
/// # Errors
///
/// `invalid_argument` names the header: its name is no visible ASCII, reserved or given twice, or its value has CR, LF or
/// NUL.
pub fn check_own_headers(headers: &[(&str, &str)]) -> Result<(), Error> {
    for (index, (name, value)) in headers.iter().enumerate() {
        let wrong = if !is_header_name(name) {
            "must be named by 1 to 255 visible ASCII characters"
        } else if reserved(name).is_some() {
            "is a reserved name: choose another one"
        } else if !is_header_value(value) {
            "must have a value without CR, LF and NUL"
        } else if headers
            .iter()
            .take(index)
            .any(|(earlier, _)| earlier.eq_ignore_ascii_case(name))
        {
            "is given twice"
        } else {
            continue;
        };
        return Err(Error::invalid_argument(
            format!("header {}", name.escape_debug()),
            wrong,
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_sign_and_no_leading_zeros() {
        assert_eq!(parse_u64(b"0"), Some(0));
        assert_eq!(parse_u64(b"18446744073709551615"), Some(u64::MAX));
        for refused in [
            &b""[..],
            b"00",
            b"01",
            b"+1",
            b"-1",
            b" 1",
            b"1 ",
            b"1a",
            b"18446744073709551616",
        ] {
            assert_eq!(parse_u64(refused), None, "{refused:?}");
        }
        assert_eq!(parse_u32(b"4294967295"), Some(u32::MAX));
        assert_eq!(parse_u32(b"4294967296"), None);
    }

    #[test]
    fn names_are_bounded() {
        assert!(is_session_id("aZ09._~-") && is_session_id(&"a".repeat(128)));
        assert!(!is_session_id("") && !is_session_id(&"a".repeat(129)) && !is_session_id("a/b"));
        assert!(is_method("a.b/c\"") && !is_method("a b") && !is_method("ä") && !is_method(""));
        assert!(
            is_version_list("1")
                && is_version_list("2, 1")
                && !is_version_list("1,")
                && !is_version_list("01")
        );
    }

    #[test]
    fn own_headers_are_checked() {
        assert!(check_own_headers(&[("a", "b"), ("c", "")]).is_ok());
        for wrong in [
            &[("", "x")][..],
            &[("a b", "x")],
            &[("TraceParent", "x")],
            &[("a", "x\r")],
            &[("a", "x\0")],
            &[("a", "1"), ("A", "2")],
        ] {
            assert_eq!(
                check_own_headers(wrong).unwrap_err().kind(),
                crate::ErrorKind::InvalidArgument
            );
        }
    }
}
