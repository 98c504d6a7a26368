//! Just enough JSON: strings are scanned and unescaped, values are validated; nothing is built.
//!
//! A JSON library would parse a body and print another one. Here a body is looked at only to know where it ends.

use std::borrow::Cow;

use crate::error::Refusal;
use crate::limits::MAX_NESTING;

/// Where a string ends, and whether it has escapes.
pub(super) struct Scanned {
    /// Position of the closing quote.
    pub(super) end: usize,
    pub(super) escaped: bool,
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks with its high bit each byte of a word that a string cannot hold as it is: a quote, a backslash, or a control
/// character. A marked byte may be followed by wrongly marked ones, so only the first counts.
fn special(word: u64) -> u64 {
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero(word ^ (ONES * 0x22));
    let backslash = zero(word ^ (ONES * 0x5C));
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (quote | backslash | control) & HIGHS
}

/// The next position from `at` on of a byte that a string cannot hold as it is; the length if there is none.
fn next_special(bytes: &[u8], at: usize) -> usize {
    // Most strings are short; of a long one, many bytes are looked at together.
    match next_special_by_words(bytes, at, at + WIDE) {
        Ok(found) => found,
        Err(mut at) => {
            while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<WIDE>)
                && !has_special(chunk)
            {
                at += WIDE;
            }
            match next_special_by_words(bytes, at, usize::MAX) {
                Ok(found) | Err(found) => found,
            }
        }
    }
}

const WIDE: usize = 64;

/// Tells whether one of many bytes is such a byte. There is no branch, so that the compiler compares many at once.
fn has_special(chunk: &[u8; WIDE]) -> bool {
    let is_special = |byte: u8| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    chunk
        .iter()
        .fold(0, |any, byte| any | u8::from(is_special(*byte)))
        != 0
}

/// Looks at eight bytes at once up to `until`, or a little further; `Err` says how far it came without finding one.
fn next_special_by_words(bytes: &[u8], mut at: usize, until: usize) -> Result<usize, usize> {
    while at < until
        && let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>)
    {
        let marks = special(u64::from_le_bytes(*chunk));
        if marks != 0 {
            return Ok(at + (marks.trailing_zeros() / 8) as usize);
        }
        at += 8;
    }
    if at >= until {
        return Err(at);
    }
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b'"' | b'\\' | 0..=0x1F) {
            break;
        }
        at += 1;
    }
    Ok(at)
}

/// Scans a string from the byte behind its opening quote, and checks its escapes by their form.
pub(super) fn scan_string(bytes: &[u8], start: usize) -> Result<Scanned, (Refusal, usize)> {
    let mut at = start;
    let mut escaped = false;
    loop {
        at = next_special(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(Scanned { end: at, escaped }),
            Some(b'\\') => {
                escaped = true;
                at = skip_escape(bytes, at)?;
            }
            Some(_) => return Err((Refusal::Character, at)),
            None => return Err((Refusal::Truncated, at)),
        }
    }
}

fn skip_escape(bytes: &[u8], at: usize) -> Result<usize, (Refusal, usize)> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            for position in at + 2..at + 6 {
                match bytes.get(position) {
                    Some(byte) if byte.is_ascii_hexdigit() => {}
                    Some(_) => return Err((Refusal::Character, position)),
                    None => return Err((Refusal::Truncated, position)),
                }
            }
            Ok(at + 6)
        }
        Some(_) => Err((Refusal::Character, at + 1)),
        None => Err((Refusal::Truncated, at + 1)),
    }
}

/// The text of a string that [`scan_string`] has scanned. Escapes that are no code point become U+FFFD where `replace` says
/// so; otherwise they refuse the string.
pub(super) fn unescape(text: &str, replace: bool) -> Option<Cow<'_, str>> {
    let Some(first) = text.find('\\') else {
        return Some(Cow::Borrowed(text));
    };
    let mut out = String::with_capacity(text.len());
    let (plain, mut rest) = text.split_at(first);
    out.push_str(plain);
    while let Some(escape) = rest.strip_prefix('\\') {
        let mut characters = escape.chars();
        let (character, behind) = match characters.next()? {
            'b' => ('\u{8}', characters.as_str()),
            'f' => ('\u{c}', characters.as_str()),
            'n' => ('\n', characters.as_str()),
            'r' => ('\r', characters.as_str()),
            't' => ('\t', characters.as_str()),
            'u' => unescape_unicode(characters.as_str(), replace)?,
            same => (same, characters.as_str()),
        };
        out.push(character);
        let (plain, next) = behind.split_at(behind.find('\\').unwrap_or(behind.len()));
        out.push_str(plain);
        rest = next;
    }
    Some(Cow::Owned(out))
}

/// Reads the digits behind `\u`, and those of a second escape where the two are a surrogate pair.
fn unescape_unicode(digits: &str, replace: bool) -> Option<(char, &str)> {
    let unit = |text: &str| {
        text.get(..4)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let high = unit(digits)?;
    let behind = digits.get(4..)?;
    if (0xD800..0xDC00).contains(&high)
        && let Some(low) = behind.strip_prefix("\\u").and_then(unit)
        && (0xDC00..0xE000).contains(&low)
    {
        let code = 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00);
        return Some((char::from_u32(code)?, behind.get(6..)?));
    }
    match char::from_u32(high) {
        Some(character) => Some((character, behind)),
        None if replace => Some((char::REPLACEMENT_CHARACTER, behind)),
        None => None,
    }
}

pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// Which of the open brackets are objects: one bit for each level, so that depth costs no stack.
struct Levels {
    objects: [u64; MAX_NESTING.div_ceil(64)],
    depth: usize,
    max: usize,
}

impl Levels {
    fn open(&mut self, is_object: bool) -> bool {
        if self.depth >= self.max {
            return false;
        }
        let (word, bit) = (self.depth / 64, 1 << (self.depth % 64));
        let Some(word) = self.objects.get_mut(word) else {
            return false;
        };
        if is_object {
            *word |= bit;
        } else {
            *word &= !bit;
        }
        self.depth += 1;
        true
    }

    fn in_object(&self) -> bool {
        let Some(level) = self.depth.checked_sub(1) else {
            return false;
        };
        self.objects
            .get(level / 64)
            .is_some_and(|word| word >> (level % 64) & 1 == 1)
    }
}

/// Validates one JSON value from its first byte on and returns the position behind it. A scalar has nesting 0. That the bytes
/// are UTF-8 is checked elsewhere.
pub(super) fn skip_value(
    bytes: &[u8],
    start: usize,
    max_nesting: usize,
) -> Result<usize, (Refusal, usize)> {
    let mut levels = Levels {
        objects: [0; MAX_NESTING.div_ceil(64)],
        depth: 0,
        max: max_nesting.min(MAX_NESTING),
    };
    let mut at = start;
    loop {
        // Here a value begins.
        at = match bytes.get(at) {
            Some(b'"') => scan_string(bytes, at + 1)?.end + 1,
            Some(open @ (b'{' | b'[')) => {
                let is_object = *open == b'{';
                if !levels.open(is_object) {
                    return Err((Refusal::TooMany, at));
                }
                let next = skip_space(bytes, at + 1);
                match (is_object, bytes.get(next)) {
                    (true, Some(b'}')) | (false, Some(b']')) => {
                        levels.depth -= 1;
                        next + 1
                    }
                    (true, _) => {
                        at = skip_name(bytes, next)?;
                        continue;
                    }
                    (false, _) => {
                        at = next;
                        continue;
                    }
                }
            }
            Some(b't') => skip_word(bytes, at, b"true")?,
            Some(b'f') => skip_word(bytes, at, b"false")?,
            Some(b'n') => skip_word(bytes, at, b"null")?,
            Some(b'-' | b'0'..=b'9') => skip_number(bytes, at)?,
            Some(_) => return Err((Refusal::Character, at)),
            None => return Err((Refusal::Truncated, at)),
        };
        // Here a value has ended.
        loop {
            if levels.depth == 0 {
                return Ok(at);
            }
            at = skip_space(bytes, at);
            match (levels.in_object(), bytes.get(at)) {
                (true, Some(b'}')) | (false, Some(b']')) => {
                    levels.depth -= 1;
                    at += 1;
                }
                (is_object, Some(b',')) => {
                    at = skip_space(bytes, at + 1);
                    if is_object {
                        at = skip_name(bytes, at)?;
                    }
                    break;
                }
                (_, Some(_)) => return Err((Refusal::Character, at)),
                (_, None) => return Err((Refusal::Truncated, at)),
            }
        }
    }
}

/// Skips the name of a member, its colon and the white space around, up to the member's value.
fn skip_name(bytes: &[u8], at: usize) -> Result<usize, (Refusal, usize)> {
    expect(bytes, at, b'"')?;
    let colon = skip_space(bytes, scan_string(bytes, at + 1)?.end + 1);
    expect(bytes, colon, b':')?;
    Ok(skip_space(bytes, colon + 1))
}

pub(super) fn expect(bytes: &[u8], at: usize, wanted: u8) -> Result<(), (Refusal, usize)> {
    match bytes.get(at) {
        Some(byte) if *byte == wanted => Ok(()),
        Some(_) => Err((Refusal::Character, at)),
        None => Err((Refusal::Truncated, at)),
    }
}

fn skip_word(bytes: &[u8], at: usize, word: &[u8]) -> Result<usize, (Refusal, usize)> {
    for (offset, wanted) in word.iter().enumerate() {
        expect(bytes, at + offset, *wanted)?;
    }
    Ok(at + word.len())
}

fn skip_number(bytes: &[u8], start: usize) -> Result<usize, (Refusal, usize)> {
    let mut at = start;
    if bytes.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => skip_digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = skip_digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1;
        if matches!(bytes.get(at), Some(b'+' | b'-')) {
            at += 1;
        }
        at = skip_digits(bytes, at)?;
    }
    Ok(at)
}

/// Skips one or more digits.
fn skip_digits(bytes: &[u8], start: usize) -> Result<usize, (Refusal, usize)> {
    let mut at = start;
    while matches!(bytes.get(at), Some(b'0'..=b'9')) {
        at += 1;
    }
    match (at > start, bytes.get(at)) {
        (true, _) => Ok(at),
        (false, Some(_)) => Err((Refusal::Character, at)),
        (false, None) => Err((Refusal::Truncated, at)),
    }
}

/// Tells whether a text is one JSON value with nothing but white space around it.
pub(super) fn is_value(bytes: &[u8], max_nesting: usize) -> bool {
    let start = skip_space(bytes, 0);
    skip_value(bytes, start, max_nesting).is_ok_and(|end| skip_space(bytes, end) == bytes.len())
}

/// The first byte of a run of bytes that a JSON string cannot hold as they are, from `at` on; for writers.
pub(super) fn next_to_escape(bytes: &[u8], at: usize) -> usize {
    next_special(bytes, at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_follow_the_grammar() {
        for valid in [
            "null",
            " true ",
            "false",
            "0",
            "-0",
            "12.50e+3",
            "1E400",
            "\"\"",
            "\"\\ud800\"",
            "[]",
            "{}",
            "[1,[2,{\"a\":[]}]]",
            "{\"a\":1,\"a\":2}",
            "\t{ \"a\" : [ ] , \"b\" : \"\\u00e4\\/\" }\r\n",
        ] {
            assert!(is_value(valid.as_bytes(), 512), "{valid}");
        }
        for refused in [
            "",
            " ",
            "nul",
            "nulll",
            "01",
            "+1",
            ".5",
            "1.",
            "1e",
            "-",
            "NaN",
            "Infinity",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "[",
            "]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{1:1}",
            "{\"a\":1]",
            "[}",
            "1 1",
            "{}{}",
            "'a'",
            "\u{feff}1",
        ] {
            assert!(!is_value(refused.as_bytes(), 512), "{refused}");
        }
    }

    #[test]
    fn nesting_is_bounded_without_a_stack() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_value(b"1", 0) && !is_value(b"[]", 0));
        assert!(is_value(nested(512).as_bytes(), 512) && !is_value(nested(513).as_bytes(), 512));
        assert!(!is_value(nested(513).as_bytes(), usize::MAX));
        assert!(!is_value(nested(100_000).as_bytes(), 512));
        let objects = format!("{}1{}", "{\"a\":[".repeat(256), "]}".repeat(256));
        assert!(is_value(objects.as_bytes(), 512) && !is_value(objects.as_bytes(), 511));
    }

    #[test]
    fn surrogates_pair_or_are_replaced() {
        assert_eq!(unescape("\\ud83d\\ude00", false).unwrap(), "\u{1f600}");
        assert_eq!(unescape("a\\ud83db", true).unwrap(), "a\u{fffd}b");
        assert_eq!(unescape("\\ud83d\\u0041", true).unwrap(), "\u{fffd}A");
        assert_eq!(
            unescape("\\ude00\\ud83d", true).unwrap(),
            "\u{fffd}\u{fffd}"
        );
        assert_eq!(unescape("\\ud83d", false), None);
        assert_eq!(unescape("\\u0000\\/\\\\ä", false).unwrap(), "\0/\\ä");
    }

    proptest! {
        #[test]
        fn values_agree_with_a_json_library(text in "[\\[\\]{}:,\"\\\\a-f0-9.eE+\\- untrl\\s]{0,24}") {
            // The library reads numbers into types with bounds of their own; compare by its raw value, which does not.
            let library = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(is_value(text.as_bytes(), 512), library, "{}", text);
        }

        #[test]
        fn strings_agree_with_a_json_library(text in any::<String>()) {
            let written = serde_json::to_string(&text).unwrap();
            let scanned = scan_string(written.as_bytes(), 1).ok().unwrap();
            prop_assert_eq!(scanned.end, written.len() - 1);
            prop_assert_eq!(unescape(&written[1..scanned.end], false).unwrap(), text);
        }

        #[test]
        fn many_bytes_and_one_by_one_find_the_same(
            plain in proptest::collection::vec(0x23_u8..0x5C, 0..300),
            mixed in proptest::collection::vec(any::<u8>(), 0..40),
            from in 0_usize..20,
        ) {
            let bytes = [plain, mixed].concat();
            let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..=0x1F);
            let from = from.min(bytes.len());
            let slow = bytes[from..].iter().position(is_special).map_or(bytes.len(), |at| from + at);
            prop_assert_eq!(next_special(&bytes, from), slow);
        }
    }
}
