//! Reading the binary form.

use std::borrow::Cow;
use std::ops::Range;

use super::collect::{Collector, field};
use super::{Content, End, Head, Kind, Plain};
use crate::error::Refusal;
use crate::limits::MAX_HEADERS;
use crate::trace::{TraceFlags, TraceParent};

use super::grammar::reserved;

/// The first bytes of a binary envelope.
pub(super) const START: [u8; 2] = [0xFF, 0x57];
pub(super) const VERSION: u8 = 1;
pub(super) const FLAG_TRACE: u8 = 1;
/// Bytes in front of the trace block or the entries.
pub(super) const FIXED_BYTES: usize = 6;
pub(super) const TRACE_BYTES: usize = 25;

/// Types of entries; the critical bit is left out.
pub(super) mod kind {
    pub(in crate::envelope) const TRACESTATE: u8 = 1;
    pub(in crate::envelope) const BAGGAGE: u8 = 2;
    pub(in crate::envelope) const SESSION: u8 = 3;
    pub(in crate::envelope) const KIND: u8 = 4;
    pub(in crate::envelope) const METHOD: u8 = 5;
    pub(in crate::envelope) const STREAM: u8 = 6;
    pub(in crate::envelope) const SEQ: u8 = 7;
    pub(in crate::envelope) const END: u8 = 8;
    pub(in crate::envelope) const ERROR: u8 = 9;
    pub(in crate::envelope) const CONTENT: u8 = 10;
    pub(in crate::envelope) const SENT: u8 = 12;
    pub(in crate::envelope) const OTHER: u8 = 15;
}

const CRITICAL: u8 = 0x80;

/// An entry of a binary head.
#[derive(Clone, Copy)]
pub(super) enum Entry<'m> {
    Trace(&'m [u8; TRACE_BYTES]),
    /// One of the types of [`kind`] but `OTHER`, its length checked.
    Known(u8, &'m [u8]),
    /// Name and value, neither checked.
    Other(&'m [u8], &'m [u8]),
    /// A type that this version does not know stands twice.
    UnknownAgain,
}

/// Walks over the entries of a head and returns where the payload begins.
pub(super) fn scan<'m>(
    message: &'m [u8],
    max_header_bytes: usize,
    mut entry: impl FnMut(Entry<'m>),
) -> Result<usize, Plain> {
    if !message.starts_with(&START) {
        return Err(Plain::Ordinary);
    }
    let truncated = Plain::Malformed(Refusal::Truncated);
    let &[_, _, version, flags, high, low] =
        message.first_chunk::<FIXED_BYTES>().ok_or(truncated)?;
    if version != VERSION {
        return Err(Plain::Version);
    }
    if flags & !FLAG_TRACE != 0 {
        return Err(Plain::Malformed(Refusal::Structure));
    }
    let payload = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    let mut rest = message.get(FIXED_BYTES..payload).ok_or(truncated)?;
    if payload > max_header_bytes {
        return Err(Plain::HeadTooLong);
    }
    let mut count = 0;
    if flags & FLAG_TRACE != 0 {
        let (block, entries) = rest.split_first_chunk::<TRACE_BYTES>().ok_or(truncated)?;
        entry(Entry::Trace(block));
        rest = entries;
        count = 1;
    }
    let mut last = None;
    while let Some((&[tag, high, low], behind)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let (value, next) = behind.split_at_checked(length).ok_or(truncated)?;
        rest = next;
        let tag_low = tag & !CRITICAL;
        if last.is_some_and(|last| last > tag_low) {
            return Err(Plain::Malformed(Refusal::Order));
        }
        let again = last == Some(tag_low);
        last = Some(tag_low);
        let fixed = match tag_low {
            kind::KIND | kind::END | kind::CONTENT => Some(1),
            kind::STREAM | kind::SEQ => Some(4),
            kind::SENT => Some(8),
            kind::TRACESTATE
            | kind::BAGGAGE
            | kind::SESSION
            | kind::METHOD
            | kind::ERROR
            | kind::OTHER => None,
            _ if tag & CRITICAL != 0 => {
                return Err(Plain::Malformed(Refusal::UnknownCritical));
            }
            _ => {
                if again {
                    entry(Entry::UnknownAgain);
                }
                continue;
            }
        };
        if fixed.is_some_and(|fixed| fixed != length) {
            return Err(Plain::Malformed(Refusal::Length));
        }
        count += 1;
        if count > MAX_HEADERS {
            return Err(Plain::HeadTooLong);
        }
        if tag_low == kind::OTHER {
            let (name_length, behind) = value.split_first().ok_or(truncated)?;
            let (name, value) = behind
                .split_at_checked(usize::from(*name_length))
                .ok_or(truncated)?;
            entry(Entry::Other(name, value));
        } else {
            entry(Entry::Known(tag_low, value));
        }
    }
    if rest.is_empty() {
        Ok(payload)
    } else {
        Err(truncated)
    }
}

pub(super) fn open<'m>(
    head: &mut Head<'m>,
    message: &'m [u8],
    max_header_bytes: usize,
) -> Result<Range<usize>, Plain> {
    let mut collector = Collector::default();
    let payload = scan(message, max_header_bytes, |entry| {
        collect(&mut collector, entry)
    })?;
    let body = payload..message.len();
    *head = collector.finish(|content| match content {
        // Type 10 with the value 1 says something of a text body only.
        Content::Text => true,
        Content::None => body.is_empty(),
    });
    Ok(body)
}

pub(super) fn collect<'m>(collector: &mut Collector<'m>, entry: Entry<'m>) {
    match entry {
        Entry::Trace(block) => {
            if collector.note(field::TRACEPARENT) {
                collector.trace_parent(trace_parent(block));
            }
        }
        Entry::Known(tag, value) => collect_known(collector, tag, value),
        Entry::Other(name, value) => collect_other(collector, name, value),
        Entry::UnknownAgain => collector.note_repeat(),
    }
}

fn collect_known<'m>(collector: &mut Collector<'m>, tag: u8, value: &'m [u8]) {
    let position = position(tag);
    if !collector.note(position) {
        return;
    }
    match tag {
        kind::KIND => collector.kind(match value {
            [1] => Some(Kind::Call),
            [2] => Some(Kind::Transfer),
            _ => None,
        }),
        kind::END => collector.end(match value {
            [1] => Some(End::Complete),
            [2] => Some(End::Cancel),
            [3] => Some(End::Error),
            _ => None,
        }),
        kind::CONTENT => match value {
            [1] => {}
            [2] => collector.content(Some(Content::None)),
            _ => collector.content(None),
        },
        kind::STREAM => collector.stream(u32_of(value)),
        kind::SEQ => collector.seq(u32_of(value)),
        kind::SENT => collector.sent(u64_of(value)),
        _ => match std::str::from_utf8(value) {
            Ok(text) => collector.reserved_text(position, Cow::Borrowed(text)),
            Err(_) => collector.invalid(),
        },
    }
}

fn collect_other<'m>(collector: &mut Collector<'m>, name: &'m [u8], value: &'m [u8]) {
    let (Ok(name), value) = (std::str::from_utf8(name), std::str::from_utf8(value)) else {
        return collector.invalid();
    };
    match reserved(name) {
        Some(field::TRACEPARENT) => {
            if let Some(text) = foreign_trace_parent(value.ok())
                && collector.note(field::TRACEPARENT)
            {
                collector.reserved_text(field::TRACEPARENT, Cow::Borrowed(text));
            }
        }
        // A reserved name has a type of its own.
        Some(_) => {}
        None => match value {
            Ok(value) => collector.own(Cow::Borrowed(name), Cow::Borrowed(value)),
            // The name still counts when repeats are looked for; NUL marks a value that no header may have.
            Err(_) => collector.own(Cow::Borrowed(name), Cow::Borrowed("\0")),
        },
    }
}

/// A `traceparent` that cannot stand in a trace block travels as it is (SPEC BN-7); one that can is ignored here. A value that
/// is no text is one that no grammar accepts.
fn foreign_trace_parent(value: Option<&str>) -> Option<&str> {
    let text = value.unwrap_or("\0");
    (!is_block_trace_parent(text)).then_some(text)
}

/// Tells whether a `traceparent` is a valid one of version 00, which stands in the trace block.
pub(super) fn is_block_trace_parent(value: &str) -> bool {
    value.trim_matches([' ', '\t']).starts_with("00-")
        && TraceParent::parse(value.as_bytes()).is_ok()
}

pub(super) fn trace_parent(block: &[u8; TRACE_BYTES]) -> Option<TraceParent> {
    let (trace_id, rest) = block.split_first_chunk::<16>()?;
    let (span_id, flags) = rest.split_first_chunk::<8>()?;
    TraceParent::new(*trace_id, *span_id, TraceFlags::from_bits(*flags.first()?))
}

pub(super) fn u32_of(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

pub(super) fn u64_of(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// The position of a type's name in the list of reserved names.
pub(super) fn position(tag: u8) -> usize {
    match tag {
        kind::TRACESTATE => field::TRACESTATE,
        kind::BAGGAGE => field::BAGGAGE,
        kind::SESSION => field::SESSION,
        kind::KIND => field::KIND,
        kind::METHOD => field::METHOD,
        kind::STREAM => field::STREAM,
        kind::SEQ => field::SEQ,
        kind::END => field::END,
        kind::ERROR => field::ERROR,
        kind::CONTENT => field::CONTENT,
        _ => field::SENT,
    }
}
