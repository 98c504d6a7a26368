//! From the head of one form to the same head in the other (SPEC, chapter "Conversion").

use std::borrow::Cow;

use super::binary::{self, Entry, kind};
use super::collect::{Collector, Entries, field};
use super::grammar::{parse_u32, parse_u64, reserved};
use super::write::{BinaryWriter, TextWriter, content_word, end_word, kind_word};
use super::{Content, End, Form, Kind, Plain, Recognition, text};
use crate::error::{Error, ErrorKind, Refusal};
use crate::limits::MAX_HEADER_NAME_BYTES;
use crate::names::header;
use crate::trace::TraceParent;

type Pair<'m> = (Cow<'m, str>, Cow<'m, str>);

/// The entries as they stand, and what a reader makes of them.
#[derive(Default)]
struct Both<'m> {
    pairs: Vec<Pair<'m>>,
    collector: Collector<'m>,
}

impl<'m> Entries<'m> for Both<'m> {
    fn entry(&mut self, name: Cow<'m, str>, value: Cow<'m, str>) {
        self.collector.entry(name.clone(), value.clone());
        self.pairs.push((name, value));
    }
}

/// Writes the head of a received envelope in the other form: everything in front of the body there. The body is the caller's to
/// add, and for the text form the closing brace behind it.
///
/// Every valid header is kept. An invalid value of a numeric or coded header is left out, one of a text header travels as it is.
/// `wirespan` and `role` belong to the connection and are left out. Where a name stands twice, the reserved headers that a
/// reader ignores are left out, because the other form cannot always show the repeat.
///
/// # Errors
///
/// `malformed` if the message is no envelope; `limit` if the head is too long for the other form.
pub fn convert_head(
    message: &[u8],
    form: Form,
    recognition: Recognition,
    max_header_bytes: usize,
) -> Result<Vec<u8>, Error> {
    let mut both = Both::default();
    let scanned = match (form, recognition) {
        (Form::Text, Recognition::Canonical) => {
            text::scan_canonical(message, max_header_bytes, &mut both).map(|_| ())
        }
        (Form::Text, Recognition::Any { max_nesting }) => {
            text::scan_any(message, max_nesting, max_header_bytes, &mut both).map(|_| ())
        }
        (Form::Binary, _) => binary::scan(message, max_header_bytes, |entry| {
            binary::collect(&mut both.collector, entry);
            text_of(&mut both.pairs, entry);
        })
        .map(|_| ()),
    };
    scanned.map_err(|plain| match plain {
        Plain::HeadTooLong => Error::new(ErrorKind::Limit, "the head is over its limit"),
        Plain::Malformed(reason) => Error::malformed("envelope", reason, 0),
        Plain::Version => Error::malformed("envelope", Refusal::Version, 0),
        Plain::Ordinary => Error::malformed("envelope", Refusal::Structure, 0),
    })?;
    let Both {
        mut pairs,
        collector,
    } = both;
    let read = collector.finish(|_| true);
    pairs.retain(|(name, _)| match reserved(name) {
        Some(field::WIRESPAN | field::ROLE) => false,
        Some(field::CONTENT) => !read.drops.header_repeated || read.content.is_some(),
        Some(_) => !read.drops.header_repeated,
        // No reader takes a longer name, and the binary form has no room for one.
        None => name.len() <= MAX_HEADER_NAME_BYTES,
    });
    // Canonical order; the sort is stable, so the application's own stay as they came, behind all others.
    pairs.sort_by_key(|(name, _)| reserved(name).unwrap_or(usize::MAX));
    let mut head = Vec::new();
    let fits = match form {
        Form::Binary => {
            let mut writer = TextWriter::new(&mut head);
            for (name, value) in &pairs {
                writer.entry(name, value);
            }
            writer.finish();
            true
        }
        Form::Text => to_binary(&mut head, &pairs),
    };
    if fits && head.len() <= max_header_bytes {
        Ok(head)
    } else {
        Err(Error::new(
            ErrorKind::Limit,
            "the head is too long in the other form",
        ))
    }
}

/// The text of a binary entry, unless its value means nothing.
fn text_of<'m>(pairs: &mut Vec<Pair<'m>>, entry: Entry<'m>) {
    let text = |bytes: &'m [u8]| std::str::from_utf8(bytes).ok().map(Cow::Borrowed);
    let (name, value): (Cow<'m, str>, Option<Cow<'m, str>>) = match entry {
        Entry::Trace(block) => {
            let value =
                binary::trace_parent(block).map(|trace_parent| trace_parent.to_header().into());
            (header::TRACEPARENT.into(), value)
        }
        Entry::Known(tag, value) => {
            let coded = match tag {
                kind::KIND => match value {
                    [1] => Some(kind_word(Kind::Call).into()),
                    [2] => Some(kind_word(Kind::Transfer).into()),
                    _ => None,
                },
                kind::END => match value {
                    [1] => Some(end_word(End::Complete).into()),
                    [2] => Some(end_word(End::Cancel).into()),
                    [3] => Some(end_word(End::Error).into()),
                    _ => None,
                },
                kind::CONTENT => match value {
                    [1] => Some(content_word(Content::Text).into()),
                    [2] => Some(content_word(Content::None).into()),
                    _ => None,
                },
                kind::STREAM => binary::u32_of(value)
                    .filter(|id| *id != 0)
                    .map(|id| id.to_string().into()),
                kind::SEQ => binary::u32_of(value).map(|seq| seq.to_string().into()),
                kind::SENT => binary::u64_of(value).map(|sent| sent.to_string().into()),
                _ => text(value),
            };
            (header::RESERVED[binary::position(tag)].into(), coded)
        }
        Entry::Other(name, value) => match (text(name), text(value)) {
            (Some(name), Some(value)) => {
                let kept = match reserved(&name) {
                    None => true,
                    Some(field::TRACEPARENT) => !binary::is_block_trace_parent(&value),
                    Some(_) => false,
                };
                (name, kept.then_some(value))
            }
            _ => return,
        },
        Entry::UnknownAgain => return,
    };
    if let Some(value) = value {
        pairs.push((name, value));
    }
}

/// Writes pairs in canonical order as a binary head; false if it is too long for the form.
fn to_binary(head: &mut Vec<u8>, pairs: &[Pair<'_>]) -> bool {
    let block = pairs.iter().find(|(name, value)| {
        reserved(name) == Some(field::TRACEPARENT) && binary::is_block_trace_parent(value)
    });
    let block = block
        .and_then(|(_, value)| TraceParent::parse(value.as_bytes()).ok())
        .map(|trace_parent| {
            let mut bytes = [0; binary::TRACE_BYTES];
            bytes[..16].copy_from_slice(&trace_parent.trace_id);
            bytes[16..24].copy_from_slice(&trace_parent.span_id);
            bytes[24] = trace_parent.flags.bits() & 3;
            bytes
        });
    let mut writer = BinaryWriter::new(head, block.as_ref());
    for (name, value) in pairs {
        let number = parse_u32(value.as_bytes());
        match reserved(name) {
            Some(field::TRACESTATE) => writer.entry(kind::TRACESTATE, value.as_bytes()),
            Some(field::BAGGAGE) => writer.entry(kind::BAGGAGE, value.as_bytes()),
            Some(field::SESSION) => writer.entry(kind::SESSION, value.as_bytes()),
            Some(field::METHOD) => writer.entry(kind::METHOD, value.as_bytes()),
            Some(field::ERROR) => writer.entry(kind::ERROR, value.as_bytes()),
            Some(field::KIND) => coded(&mut writer, kind::KIND, value, &["call", "transfer"]),
            Some(field::END) => coded(&mut writer, kind::END, value, &["1", "cancel", "error"]),
            Some(field::CONTENT) => coded(&mut writer, kind::CONTENT, value, &["text", "none"]),
            Some(field::STREAM) => {
                if let Some(id) = number.filter(|id| *id != 0) {
                    writer.entry(kind::STREAM, &id.to_be_bytes());
                }
            }
            Some(field::SEQ) => {
                if let Some(seq) = number {
                    writer.entry(kind::SEQ, &seq.to_be_bytes());
                }
            }
            Some(field::SENT) => {
                if let Some(sent) = parse_u64(value.as_bytes()) {
                    writer.entry(kind::SENT, &sent.to_be_bytes());
                }
            }
            _ => {}
        }
    }
    // Type 15 is the last one, so what travels in it comes behind everything else.
    let mut fits = true;
    for (name, value) in pairs {
        let travels = match reserved(name) {
            None => true,
            Some(field::TRACEPARENT) => !binary::is_block_trace_parent(value),
            Some(_) => false,
        };
        if travels {
            fits &= name.len() + value.len() < usize::from(u16::MAX);
            writer.other(name, value);
        }
    }
    writer.finish() && fits
}

/// Writes a coded header: the words stand for 1, 2, 3.
fn coded(writer: &mut BinaryWriter<'_>, tag: u8, value: &str, words: &[&str]) {
    if let Some(code) = words
        .iter()
        .zip(1_u8..)
        .find_map(|(word, code)| (*word == value).then_some(code))
    {
        writer.entry(tag, &[code]);
    }
}
