//! The short way through a head: what almost every message is. Everything else, and the reason of every refusal, is left to the
//! general reader, which gives the same answer for these heads too (tested below).

use std::num::NonZeroU32;
use std::ops::Range;

use super::binary::{self, kind};
use super::grammar::is_method;
use super::text::{MIDDLE, START};
use super::{End, Head, Kind};
use crate::limits::MIN_MAX_HEADER_BYTES;
use crate::trace::{TRACEPARENT_LEN, TraceFlags, TraceParent, read_canonical};

/// Reads a canonical head of a call or of a plain message: at most `traceparent`, `kind`, `method`, `stream`, `seq` and the normal
/// `end`, in this order and without escapes. Such a head is far below every limit that can be configured. `head` is empty; after
/// `None` it holds anything.
pub(super) fn open<'m>(head: &mut Head<'m>, message: &'m [u8]) -> Option<Range<usize>> {
    let mut rest = Rest {
        bytes: message.strip_prefix(START)?,
        more: true,
    };
    if let Some(value) = rest.value_of(b"\"traceparent\":\"") {
        let (value, behind) = value.split_first_chunk::<TRACEPARENT_LEN>()?;
        head.trace_parent = Some(read_canonical(value)?);
        rest = Rest::behind_value(behind)?;
    }
    if let Some(value) = rest.value_of(b"\"kind\":\"") {
        let (kind, behind) = match value.strip_prefix(b"call") {
            Some(behind) => (Kind::Call, behind),
            None => (Kind::Transfer, value.strip_prefix(b"transfer")?),
        };
        head.kind = Some(kind);
        rest = Rest::behind_value(behind)?;
    }
    if let Some(value) = rest.value_of(b"\"method\":\"") {
        let length = value.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (method, behind) = value.split_at_checked(length)?;
        let method = std::str::from_utf8(method).ok()?;
        if !is_method(method) {
            return None;
        }
        head.method = Some(method.into());
        rest = Rest::behind_value(behind)?;
    }
    if let Some(value) = rest.value_of(b"\"stream\":\"") {
        let (id, behind) = number(value)?;
        head.stream = Some(NonZeroU32::new(id)?);
        rest = behind;
    }
    if let Some(value) = rest.value_of(b"\"seq\":\"") {
        let (seq, behind) = number(value)?;
        head.seq = Some(seq);
        rest = behind;
    }
    if let Some(value) = rest.value_of(b"\"end\":\"1") {
        head.end = Some(End::Complete);
        rest = Rest::behind_value(value)?;
    }
    if !has_stream_if_needed(head) {
        return None;
    }
    let is_first = rest.bytes.len() + START.len() == message.len();
    if rest.more && !is_first {
        return None;
    }
    let body = rest.bytes.strip_prefix(MIDDLE)?.strip_suffix(b"}")?;
    let start = message.len() - body.len() - 1;
    Some(start..start + body.len())
}

/// As [`open`], for the binary form.
pub(super) fn open_binary<'m>(head: &mut Head<'m>, message: &'m [u8]) -> Option<Range<usize>> {
    let ([0xFF, 0x57, binary::VERSION, flags, high, low], rest) =
        message.split_first_chunk::<{ binary::FIXED_BYTES }>()?
    else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let payload = binary::FIXED_BYTES + length;
    if payload > MIN_MAX_HEADER_BYTES {
        return None;
    }
    let (mut rest, _) = rest.split_at_checked(length)?;
    match *flags {
        0 => {}
        binary::FLAG_TRACE => {
            let (trace_id, behind) = rest.split_first_chunk::<16>()?;
            let (span_id, behind) = behind.split_first_chunk::<8>()?;
            let (bits, behind) = behind.split_first()?;
            let trace_parent = TraceParent::new(*trace_id, *span_id, TraceFlags::from_bits(*bits))?;
            head.trace_parent = Some(trace_parent);
            rest = behind;
        }
        _ => return None,
    }
    let mut previous = 0;
    while let [tag, high, low, behind @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, behind) = behind.split_at_checked(length)?;
        if *tag <= previous {
            return None;
        }
        match (*tag, value) {
            (kind::KIND, [1]) => head.kind = Some(Kind::Call),
            (kind::KIND, [2]) => head.kind = Some(Kind::Transfer),
            (kind::METHOD, method) => {
                let method = std::str::from_utf8(method).ok()?;
                if !is_method(method) {
                    return None;
                }
                head.method = Some(method.into());
            }
            (kind::STREAM, _) => {
                let id = u32::from_be_bytes(value.try_into().ok()?);
                head.stream = Some(NonZeroU32::new(id)?);
            }
            (kind::SEQ, _) => head.seq = Some(u32::from_be_bytes(value.try_into().ok()?)),
            (kind::END, [1]) => head.end = Some(End::Complete),
            _ => return None,
        }
        (previous, rest) = (*tag, behind);
    }
    (rest.is_empty() && has_stream_if_needed(head)).then_some(payload..message.len())
}

/// Without a stream there is no kind, number or end; the general reader leaves these out.
fn has_stream_if_needed(head: &Head<'_>) -> bool {
    head.stream.is_some() || (head.kind.is_none() && head.seq.is_none() && head.end.is_none())
}

/// What is still to be read.
#[derive(Clone, Copy)]
struct Rest<'m> {
    bytes: &'m [u8],
    /// An entry may follow: nothing was read yet, or a comma.
    more: bool,
}

impl<'m> Rest<'m> {
    /// What stands behind the opening quote of a value, if the entry of this name comes next.
    #[inline]
    fn value_of(&self, name: &[u8]) -> Option<&'m [u8]> {
        if self.more {
            self.bytes.strip_prefix(name)
        } else {
            None
        }
    }

    /// Goes on behind a value, from its closing quote.
    #[inline]
    fn behind_value(bytes: &'m [u8]) -> Option<Self> {
        match bytes {
            [b'"', b',', rest @ ..] => Some(Self {
                bytes: rest,
                more: true,
            }),
            [b'"', rest @ ..] => Some(Self {
                bytes: rest,
                more: false,
            }),
            _ => None,
        }
    }
}

/// Reads a number without leading zeros, and its closing quote.
#[inline]
fn number(value: &[u8]) -> Option<(u32, Rest<'_>)> {
    let mut number = 0_u64;
    for (at, byte) in value.iter().enumerate().take(11) {
        match byte {
            b'0'..=b'9' => number = number * 10 + u64::from(byte - b'0'),
            b'"' => {
                let leading_zero = at > 1 && value.first() == Some(&b'0');
                if at == 0 || leading_zero {
                    return None;
                }
                let rest = Rest::behind_value(value.get(at..)?)?;
                return Some((u32::try_from(number).ok()?, rest));
            }
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::text;
    use super::*;
    use crate::limits::MAX_HEADER_BYTES;
    use proptest::prelude::*;

    /// Compares both ways, and tells whether the short one was taken.
    fn agrees(message: &[u8]) -> bool {
        let (mut head, mut expected) = (Head::default(), Head::default());
        let Some(body) = open(&mut head, message) else {
            return false;
        };
        let general = text::open(&mut expected, message, true, 0, MIN_MAX_HEADER_BYTES);
        assert_eq!(general, Ok(body));
        assert_eq!(head, expected);
        true
    }

    const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn usual_heads_are_read_like_all_others() {
        for head in [
            String::new(),
            format!(r#""traceparent":"{TRACEPARENT}""#),
            format!(r#""traceparent":"{TRACEPARENT}","kind":"call","method":"a.b/c","stream":"1""#),
            r#""kind":"transfer","stream":"4294967295","seq":"0","end":"1""#.into(),
            r#""stream":"7","seq":"4294967295""#.into(),
            r#""method":"alone""#.into(),
        ] {
            for body in ["", "1", "{}", "}", "\"a\"},\"body\":1"] {
                let message = format!("{{\"headers\":{{{head}}},\"body\":{body}}}");
                assert!(agrees(message.as_bytes()), "{message}");
            }
        }
    }

    #[test]
    fn others_are_left_to_the_general_reader() {
        for head in [
            r#""stream":"0""#,
            r#""stream":"01""#,
            r#""stream":"4294967296""#,
            r#""stream":"1","#,
            r#","stream":"1""#,
            r#""stream":"1""stream":"2""#,
            r#""stream":"1","stream":"2""#,
            r#""seq":"1","stream":"1""#,
            r#""kind":"call""#,
            r#""kind":"calls","stream":"1""#,
            r#""method":"a b","stream":"1""#,
            r#""method":"","stream":"1""#,
            r#""method":"\u0061","stream":"1""#,
            r#""end":"1""#,
            r#""stream":"1","end":"cancel""#,
            r#""stream":"1","own":"x""#,
            r#""Stream":"1""#,
            r#""traceparent":"00-00000000000000000000000000000000-b7ad6b7169203331-01""#,
            r#""traceparent":" 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01""#,
        ] {
            let message = format!("{{\"headers\":{{{head}}},\"body\":1}}");
            assert!(!agrees(message.as_bytes()), "{message}");
        }
        for message in [
            "",
            "{}",
            r#"{"headers":{},"body":"#,
            r#"{"headers":{},"body":1"#,
        ] {
            assert!(!agrees(message.as_bytes()), "{message}");
        }
    }

    /// As [`agrees`], for the binary form.
    fn binary_agrees(message: &[u8]) -> bool {
        let (mut head, mut expected) = (Head::default(), Head::default());
        let Some(body) = open_binary(&mut head, message) else {
            return false;
        };
        let general = binary::open(&mut expected, message, MIN_MAX_HEADER_BYTES);
        assert_eq!(general, Ok(body), "{message:?}");
        assert_eq!(head, expected, "{message:?}");
        true
    }

    #[test]
    fn usual_binary_heads_are_read_like_all_others() {
        let trace = [7; 25];
        let entries = [
            4, 0, 1, 1, 5, 0, 1, b'm', 6, 0, 4, 0, 0, 0, 1, 7, 0, 4, 0, 0, 0, 0, 8, 0, 1, 1,
        ];
        for (flags, head) in [
            (0, vec![]),
            (1, trace.to_vec()),
            (1, [&trace[..], &entries].concat()),
            (0, entries.to_vec()),
            (0, vec![5, 0, 1, b'm']),
        ] {
            let length = (head.len() as u16).to_be_bytes();
            let message = [
                &[0xFF, 0x57, 1, flags, length[0], length[1]],
                &head[..],
                b"body",
            ];
            assert!(binary_agrees(&message.concat()), "{head:?}");
        }
    }

    proptest! {
        #[test]
        fn both_ways_agree_on_mixed_heads(
            entries in proptest::collection::vec(prop_oneof![
                Just(format!(r#""traceparent":"{TRACEPARENT}""#)),
                "\"kind\":\"(call|transfer|x)\"",
                "\"method\":\"[a-c\\\\ ]{0,3}\"",
                "\"stream\":\"[0-9]{0,11}\"",
                "\"seq\":\"[0-9]{0,3}\"",
                "\"end\":\"(1|error|12)\"",
                "\"[a-z]{1,6}\":\"[ -~]{0,4}\"",
            ], 0..5),
            body in "[ -~]{0,6}",
            damage in any::<(u16, u8)>(),
            damaged in any::<bool>(),
        ) {
            let mut message = format!("{{\"headers\":{{{}}},\"body\":{body}}}", entries.join(",")).into_bytes();
            agrees(&message);
            if damaged {
                let at = usize::from(damage.0) % message.len();
                message[at] = damage.1;
                agrees(&message);
                message.truncate(at);
                agrees(&message);
            }
            prop_assert!(message.len() < MAX_HEADER_BYTES);
        }

        #[test]
        fn both_ways_agree_on_mixed_binary_heads(
            trace in proptest::option::of(any::<[u8; 25]>()),
            entries in proptest::collection::vec(
                (prop_oneof![4_u8..9, any::<u8>()], proptest::collection::vec(0_u8..4, 0..6)), 0..5),
            sorted in any::<bool>(),
            damage in any::<(u16, u8)>(),
        ) {
            let mut entries = entries;
            if sorted {
                entries.sort();
            }
            let mut head = trace.map(Vec::from).unwrap_or_default();
            for (tag, value) in entries {
                head.extend([tag, 0, value.len() as u8]);
                head.extend(value);
            }
            let length = (head.len() as u16).to_be_bytes();
            let start = [0xFF, 0x57, 1, u8::from(trace.is_some()), length[0], length[1]];
            let mut message = [&start[..], &head, b"body"].concat();
            binary_agrees(&message);
            let at = usize::from(damage.0) % message.len();
            message[at] = damage.1;
            binary_agrees(&message);
        }
    }
}
