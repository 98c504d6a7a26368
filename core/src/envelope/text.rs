//! Reading the text form.

use std::borrow::Cow;
use std::ops::Range;

use super::collect::{Collector, Entries};
use super::json::{expect, scan_string, skip_space, skip_value, unescape};
use super::{Content, Head, Plain};
use crate::error::Refusal;
use crate::limits::MAX_HEADERS;

/// The first bytes of a canonical envelope.
pub(super) const START: &[u8] = br#"{"headers":{"#;
/// What stands between head and body.
pub(super) const MIDDLE: &[u8] = br#"},"body":"#;

/// Where the parts of a text envelope are.
pub(super) struct Parts {
    pub(super) body: Range<usize>,
}

pub(super) fn open<'m>(
    head: &mut Head<'m>,
    message: &'m [u8],
    canonical: bool,
    max_nesting: usize,
    max_header_bytes: usize,
) -> Result<Range<usize>, Plain> {
    let mut collector = Collector::default();
    let Parts { mut body } = if canonical {
        scan_canonical(message, max_header_bytes, &mut collector)?
    } else {
        scan_any(message, max_nesting, max_header_bytes, &mut collector)?
    };
    *head = collector.finish(|content| match content {
        Content::Text => match trimmed(message, &body) {
            Some(string) if is_string(message, &string) => {
                body = string;
                true
            }
            _ => false,
        },
        Content::None => {
            trimmed(message, &body).and_then(|range| message.get(range)) == Some(b"null")
        }
    });
    Ok(body)
}

/// Reads the canonical form: the head is tokenised, the body is not looked at (SPEC RC-2).
pub(super) fn scan_canonical<'m>(
    message: &'m [u8],
    max_header_bytes: usize,
    entries: &mut impl Entries<'m>,
) -> Result<Parts, Plain> {
    if !message.starts_with(START) {
        return Err(Plain::Ordinary);
    }
    // Nothing behind the longest head is read, so a head without an end costs no more than one with.
    let window = message.get(..max_header_bytes).unwrap_or(message);
    let refused = |(reason, _): (Refusal, usize)| match reason {
        Refusal::Truncated if window.len() < message.len() => Plain::HeadTooLong,
        other => Plain::Malformed(other),
    };
    let mut at = START.len();
    let mut count = 0;
    if window.get(at) != Some(&b'}') {
        loop {
            let (name, value, next) = scan_entry(window, at, false).map_err(refused)?;
            count += 1;
            if count > MAX_HEADERS {
                return Err(Plain::HeadTooLong);
            }
            entries.entry(name, value);
            match window.get(next) {
                Some(b',') => at = next + 1,
                Some(b'}') => {
                    at = next;
                    break;
                }
                Some(_) => return Err(Plain::Malformed(Refusal::Character)),
                None => return Err(refused((Refusal::Truncated, next))),
            }
        }
    }
    let start = at + MIDDLE.len();
    let middle = window.get(at..).unwrap_or_default();
    if !middle.starts_with(MIDDLE) {
        return Err(if MIDDLE.starts_with(middle) {
            refused((Refusal::Truncated, window.len()))
        } else {
            Plain::Malformed(Refusal::Structure)
        });
    }
    match message.get(start..).and_then(<[u8]>::split_last) {
        Some((b'}', body)) => Ok(Parts {
            body: start..start + body.len(),
        }),
        Some(_) => Err(Plain::Malformed(Refusal::Trailing)),
        None => Err(Plain::Malformed(Refusal::Truncated)),
    }
}

/// Name, value, and the position behind them.
type Entry<'m> = (Cow<'m, str>, Cow<'m, str>, usize);

/// Reads a string, a colon and a string.
fn scan_entry(bytes: &[u8], at: usize, spaced: bool) -> Result<Entry<'_>, (Refusal, usize)> {
    let skip = |at: usize| if spaced { skip_space(bytes, at) } else { at };
    let (name, at) = read_string(bytes, at)?;
    let at = skip(at);
    expect(bytes, at, b':')?;
    let at = skip(at + 1);
    if spaced && bytes.get(at).is_some_and(|byte| *byte != b'"') {
        return Err((Refusal::Structure, at));
    }
    let (value, at) = read_string(bytes, at)?;
    Ok((name, value, skip(at)))
}

/// Reads a string with its quotes; one that is no text refuses the message (SPEC TX-9, RC-7).
pub(super) fn read_string(
    bytes: &[u8],
    at: usize,
) -> Result<(Cow<'_, str>, usize), (Refusal, usize)> {
    expect(bytes, at, b'"')?;
    let scanned = scan_string(bytes, at + 1)?;
    let raw = bytes
        .get(at + 1..scanned.end)
        .and_then(|raw| std::str::from_utf8(raw).ok());
    let text = match raw {
        Some(text) if scanned.escaped => unescape(text, false),
        Some(text) => Some(Cow::Borrowed(text)),
        None => None,
    };
    text.map(|text| (text, scanned.end + 1))
        .ok_or((Refusal::Character, at))
}

/// What an always peer sends is an envelope or not; why not has no finer answer, so that a reader may stand on a JSON library
/// (SPEC RC-3).
const NOT_THE_TWO: Plain = Plain::Malformed(Refusal::Structure);

fn not_the_two((reason, _): (Refusal, usize)) -> Plain {
    match reason {
        Refusal::TooMany => Plain::Malformed(reason),
        _ => NOT_THE_TWO,
    }
}

/// Reads any valid JSON object with exactly the two members (SPEC RC-3).
pub(super) fn scan_any<'m>(
    message: &'m [u8],
    max_nesting: usize,
    max_header_bytes: usize,
    entries: &mut impl Entries<'m>,
) -> Result<Parts, Plain> {
    let at = skip_space(message, 0);
    if message.get(at) != Some(&b'{') {
        return Err(Plain::Ordinary);
    }
    if std::str::from_utf8(message).is_err() {
        return Err(NOT_THE_TWO);
    }
    let mut at = skip_space(message, at + 1);
    let mut headers: Option<Range<usize>> = None;
    let mut body: Option<Range<usize>> = None;
    for member in 0..2 {
        let (name, next) = read_string(message, at).map_err(not_the_two)?;
        at = skip_space(message, next);
        expect(message, at, b':').map_err(not_the_two)?;
        let colon = at;
        let start = skip_space(message, colon + 1);
        match &*name {
            "headers" if headers.is_none() => {
                let end = scan_headers(message, start, entries)?;
                headers = Some(start..end);
                at = skip_space(message, end);
            }
            "body" if body.is_none() => {
                let end = skip_value(message, start, max_nesting).map_err(not_the_two)?;
                at = skip_space(message, end);
                body = Some(colon + 1..at);
            }
            // Another name, or one of the two again: no envelope.
            _ => return Err(NOT_THE_TWO),
        }
        if member == 0 {
            expect(message, at, b',').map_err(not_the_two)?;
            at = skip_space(message, at + 1);
        }
    }
    if message.get(at) != Some(&b'}') || skip_space(message, at + 1) != message.len() {
        return Err(NOT_THE_TWO);
    }
    let (Some(headers), Some(body)) = (headers, body) else {
        return Err(NOT_THE_TWO);
    };
    // Where the body comes first, the head is the `headers` object (SPEC LI-2).
    let head_bytes = if headers.start < body.start {
        body.start
    } else {
        headers.len()
    };
    if head_bytes > max_header_bytes {
        return Err(Plain::HeadTooLong);
    }
    Ok(Parts { body })
}

/// Reads an object of strings and returns the position behind it.
fn scan_headers<'m>(
    message: &'m [u8],
    start: usize,
    entries: &mut impl Entries<'m>,
) -> Result<usize, Plain> {
    expect(message, start, b'{').map_err(not_the_two)?;
    let mut at = skip_space(message, start + 1);
    if message.get(at) == Some(&b'}') {
        return Ok(at + 1);
    }
    let mut count = 0;
    loop {
        let (name, value, next) = scan_entry(message, at, true).map_err(not_the_two)?;
        count += 1;
        if count > MAX_HEADERS {
            return Err(Plain::HeadTooLong);
        }
        entries.entry(name, value);
        match message.get(next) {
            Some(b',') => at = skip_space(message, next + 1),
            Some(b'}') => return Ok(next + 1),
            _ => return Err(NOT_THE_TWO),
        }
    }
}

/// The range without the JSON white space around it.
fn trimmed(message: &[u8], range: &Range<usize>) -> Option<Range<usize>> {
    let start = skip_space(message.get(..range.end)?, range.start);
    let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    let behind = message
        .get(start..range.end)?
        .iter()
        .rev()
        .take_while(space)
        .count();
    Some(start..range.end - behind)
}

fn is_string(message: &[u8], range: &Range<usize>) -> bool {
    let Some(bytes) = message.get(range.clone()) else {
        return false;
    };
    bytes.first() == Some(&b'"')
        && scan_string(bytes, 1).is_ok_and(|scanned| scanned.end + 1 == bytes.len())
        && std::str::from_utf8(bytes).is_ok()
}

/// The text of a `content:text` body, quotes included; escapes that are no code point become U+FFFD. `None` if it is no
/// JSON string.
#[must_use]
pub fn text_body(body: &[u8]) -> Option<Cow<'_, str>> {
    if body.first() != Some(&b'"') {
        return None;
    }
    let scanned = scan_string(body, 1).ok()?;
    if scanned.end + 1 != body.len() {
        return None;
    }
    unescape(std::str::from_utf8(body.get(1..scanned.end)?).ok()?, true)
}
