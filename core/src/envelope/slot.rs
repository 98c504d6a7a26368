//! Headers inside a message of the application's own schema (SPEC AD-1, AD-2): JSON is edited in place, never parsed and printed
//! again.

use std::borrow::Cow;
use std::ops::Range;

use super::collect::{Collector, Entries};
use super::grammar::reserved;
use super::json::{expect, scan_string, skip_space, skip_value};
use super::text::{MIDDLE, START, read_string};
use super::write::write_head;
use super::{Content, Form, Head, HeadFields, Plain, Written};
use crate::error::{Error, ErrorKind, Refusal};
use crate::limits::MAX_HEADERS;
use crate::names::header;

/// Where a JSON object holds its headers, or could.
struct Slot<'m> {
    place: Place,
    /// The headers that are there, those that are strings.
    entries: Vec<(Cow<'m, str>, Cow<'m, str>)>,
    /// The member `body` is `null`.
    body_is_null: bool,
}

enum Place {
    /// An object at these bytes, braces included.
    Object(Range<usize>),
    /// `null` at these bytes.
    Null(Range<usize>),
    /// There is no such member; the message begins with its brace here.
    Absent { brace: usize, is_empty: bool },
}

/// Finds the slot of a message; `None` if it has none: it is no JSON object, or holds something else there.
fn find<'m>(message: &'m [u8], slot: &str, max_nesting: usize) -> Option<Slot<'m>> {
    std::str::from_utf8(message).ok()?;
    scan(message, slot, max_nesting).ok()
}

type Scan<T> = Result<T, (Refusal, usize)>;

fn scan<'m>(message: &'m [u8], slot: &str, max_nesting: usize) -> Scan<Slot<'m>> {
    let brace = skip_space(message, 0);
    expect(message, brace, b'{')?;
    let mut at = skip_space(message, brace + 1);
    let mut found = Slot {
        place: Place::Absent {
            brace,
            is_empty: message.get(at) == Some(&b'}'),
        },
        entries: Vec::new(),
        body_is_null: false,
    };
    let mut seen = false;
    if message.get(at) != Some(&b'}') {
        loop {
            let (name, next) = read_string(message, at)?;
            let colon = skip_space(message, next);
            expect(message, colon, b':')?;
            let start = skip_space(message, colon + 1);
            let end = if name == slot {
                // Which of two would be read nobody knows.
                if std::mem::replace(&mut seen, true) {
                    return Err((Refusal::Duplicate, at));
                }
                scan_slot(message, start, max_nesting, &mut found)?
            } else {
                skip_value(message, start, max_nesting.saturating_sub(1))?
            };
            if name == "body" {
                found.body_is_null = message.get(start..end) == Some(b"null");
            }
            at = skip_space(message, end);
            if message.get(at) != Some(&b',') {
                break;
            }
            at = skip_space(message, at + 1);
        }
    }
    expect(message, at, b'}')?;
    if skip_space(message, at + 1) != message.len() {
        return Err((Refusal::Trailing, at + 1));
    }
    Ok(found)
}

/// Reads what the slot holds and returns the position behind it.
fn scan_slot<'m>(
    message: &'m [u8],
    start: usize,
    max_nesting: usize,
    found: &mut Slot<'m>,
) -> Scan<usize> {
    if message.get(start) == Some(&b'n') {
        let end = skip_value(message, start, 0)?;
        found.place = Place::Null(start..end);
        return Ok(end);
    }
    expect(message, start, b'{')?;
    let mut at = skip_space(message, start + 1);
    if message.get(at) != Some(&b'}') {
        loop {
            let (name, next) = read_string(message, at)?;
            let colon = skip_space(message, next);
            expect(message, colon, b':')?;
            let value = skip_space(message, colon + 1);
            let end = if message.get(value) == Some(&b'"') {
                match read_string(message, value) {
                    Ok((text, end)) => {
                        // One more than there may be is enough to see that there are too many.
                        if found.entries.len() <= MAX_HEADERS {
                            found.entries.push((name, text));
                        }
                        end
                    }
                    // Escapes that are no text: the application's to judge.
                    Err(_) => scan_string(message, value + 1)?.end + 1,
                }
            } else {
                // A header that is no string is the application's alone.
                skip_value(message, value, max_nesting.saturating_sub(2))?
            };
            at = skip_space(message, end);
            if message.get(at) != Some(&b',') {
                break;
            }
            at = skip_space(message, at + 1);
        }
    }
    expect(message, at, b'}')?;
    found.place = Place::Object(start..at + 1);
    Ok(at + 1)
}

/// Reads the headers in the slot of a message. The whole message is what is delivered, unless it says that it has no content.
pub(crate) fn open_slot<'m>(
    head: &mut Head<'m>,
    message: &'m [u8],
    slot: &str,
    max_nesting: usize,
    max_header_bytes: usize,
) -> Result<(), Plain> {
    let found = find(message, slot, max_nesting).ok_or(Plain::Ordinary)?;
    let Place::Object(range) = &found.place else {
        return Err(Plain::Ordinary);
    };
    if range.len() > max_header_bytes || found.entries.len() > MAX_HEADERS {
        return Err(Plain::HeadTooLong);
    }
    let is_ours = found
        .entries
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case(header::STREAM));
    let mut collector = Collector::default();
    for (name, value) in found.entries {
        // Outside a stream these names are the application's: only the trace context means something.
        if is_ours || is_context(&name) || reserved(&name).is_none() {
            collector.entry(name, value);
        }
    }
    let body_is_null = found.body_is_null;
    *head = collector.finish(|content| content == Content::None && body_is_null);
    Ok(())
}

fn is_context(name: &str) -> bool {
    [header::TRACEPARENT, header::TRACESTATE, header::BAGGAGE]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(name))
}

/// Writes a message of the application's with headers in its slot to an empty buffer. A context that the application has put
/// there itself stays, and no other is added. `None`, and nothing written, if the message has no slot.
///
/// # Errors
///
/// `invalid_argument` if the message has a header of its own that names a stream, or that would stand twice; `limit` if the
/// headers do not fit beside those that are there. The buffer is then empty.
pub(crate) fn write_slot(
    buffer: &mut Vec<u8>,
    message: &[u8],
    slot: &str,
    fields: &HeadFields<'_>,
    max_nesting: usize,
    max_header_bytes: usize,
) -> Result<Option<Written>, Error> {
    let Some(found) = find(message, slot, max_nesting) else {
        return Ok(None);
    };
    let mut fields = *fields;
    if found.entries.iter().any(|(name, _)| is_context(name)) {
        fields.trace_parent = None;
        fields.baggage = "";
    }
    check_names(&found.entries, &fields)?;
    let there = match &found.place {
        Place::Object(range) => range.len(),
        Place::Null(_) | Place::Absent { .. } => 0,
    };
    let mut head = Vec::new();
    let room = max_header_bytes.saturating_sub(there);
    let written = write_head(&mut head, Form::Text, &fields, room)?;
    let members = head
        .get(START.len()..head.len() - MIDDLE.len())
        .unwrap_or_default();
    if members.is_empty() {
        buffer.extend_from_slice(message);
        return Ok(Some(written));
    }
    let ours = members.windows(3).filter(|three| three == b"\":\"").count();
    if head.len() > room || found.entries.len() + ours > MAX_HEADERS {
        return Err(Error::new(
            ErrorKind::Limit,
            "the headers do not fit beside those of the message (option max_header_bytes)",
        )
        .with_field("max_header_bytes"));
    }
    splice(buffer, message, slot, &found.place, members);
    Ok(Some(written))
}

fn check_names(
    entries: &[(Cow<'_, str>, Cow<'_, str>)],
    fields: &HeadFields<'_>,
) -> Result<(), Error> {
    let refused = entries.iter().find(|(name, _)| {
        let known = reserved(name).is_some() && !is_context(name);
        let names_a_stream = name.eq_ignore_ascii_case(header::STREAM);
        names_a_stream
            || (known && fields.stream.is_some())
            || fields
                .own
                .iter()
                .any(|(own, _)| own.eq_ignore_ascii_case(name))
    });
    match refused {
        None => Ok(()),
        Some((name, _)) => Err(Error::invalid_argument(
            "headers",
            format!("the message has a header {name:?}, which Wirespan writes there itself"),
        )),
    }
}

fn splice(buffer: &mut Vec<u8>, message: &[u8], slot: &str, place: &Place, members: &[u8]) {
    let part = |range: Range<usize>| message.get(range).unwrap_or_default();
    buffer.reserve(message.len() + members.len() + slot.len() + 6);
    match place {
        Place::Object(range) => {
            let inside = range.start + 1;
            let is_empty = skip_space(message, inside) + 1 == range.end;
            buffer.extend_from_slice(part(0..inside));
            buffer.extend_from_slice(members);
            if !is_empty {
                buffer.push(b',');
            }
            buffer.extend_from_slice(part(inside..message.len()));
        }
        Place::Null(range) => {
            buffer.extend_from_slice(part(0..range.start));
            buffer.push(b'{');
            buffer.extend_from_slice(members);
            buffer.push(b'}');
            buffer.extend_from_slice(part(range.end..message.len()));
        }
        Place::Absent { brace, is_empty } => {
            buffer.extend_from_slice(part(0..brace + 1));
            buffer.push(b'"');
            buffer.extend_from_slice(slot.as_bytes());
            buffer.extend_from_slice(b"\":{");
            buffer.extend_from_slice(members);
            buffer.push(b'}');
            if !is_empty {
                buffer.push(b',');
            }
            buffer.extend_from_slice(part(brace + 1..message.len()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{MAX_HEADER_BYTES, MAX_NESTING};
    use crate::trace::TraceParent;
    use proptest::prelude::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn fields() -> HeadFields<'static> {
        HeadFields {
            trace_parent: TraceParent::parse(PARENT.as_bytes()).ok(),
            ..HeadFields::default()
        }
    }

    fn written(message: &str, fields: &HeadFields<'_>) -> Result<Option<String>, Error> {
        let mut buffer = Vec::new();
        let written = write_slot(
            &mut buffer,
            message.as_bytes(),
            "headers",
            fields,
            MAX_NESTING,
            MAX_HEADER_BYTES,
        )?;
        Ok(written.map(|_| String::from_utf8(buffer).unwrap()))
    }

    #[test]
    fn headers_go_into_the_slot_and_every_other_byte_stays() {
        for (message, expected) in [
            (
                r#"{"headers":{},"body":"x"}"#,
                r#"{"headers":{@},"body":"x"}"#,
            ),
            (
                r#"{ "body" : [1.0e2,"ä"], "headers" : { "a" : "b", "n": 7 } }"#,
                r#"{ "body" : [1.0e2,"ä"], "headers" : {@, "a" : "b", "n": 7 } }"#,
            ),
            (
                r#"{"headers": null ,"body":null}"#,
                r#"{"headers": {@} ,"body":null}"#,
            ),
            (r#" {"body":"x"}"#, r#" {"headers":{@},"body":"x"}"#),
            ("{ }", "{\"headers\":{@} }"),
        ] {
            let members = format!("\"traceparent\":\"{PARENT}\"");
            assert_eq!(
                written(message, &fields()).unwrap().as_deref(),
                Some(expected.replace('@', &members).as_str())
            );
        }
    }

    #[test]
    fn a_message_without_a_slot_is_left_alone() {
        for message in [
            "hello",
            "[]",
            "7",
            r#"{"headers":[]}"#,
            r#"{"headers":"x"}"#,
            r#"{"headers":{},"headers":{}}"#,
            r#"{"headers":{}"#,
            r#"{"headers":{}} x"#,
        ] {
            assert_eq!(written(message, &fields()).unwrap(), None, "{message}");
        }
    }

    #[test]
    fn a_context_of_the_applications_own_is_never_doubled() {
        let message = r#"{"headers":{"Traceparent":"mine"},"body":1}"#;
        assert_eq!(
            written(message, &fields()).unwrap().as_deref(),
            Some(message)
        );
    }

    #[test]
    fn a_header_that_would_name_a_stream_is_refused() {
        let error = written(r#"{"headers":{"Stream":"1"}}"#, &fields()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let method = r#"{"headers":{"method":"m"}}"#;
        assert!(
            written(method, &fields()).is_ok(),
            "outside a stream it is the application's"
        );
        let in_stream = HeadFields {
            stream: std::num::NonZeroU32::new(1),
            ..fields()
        };
        assert!(written(method, &in_stream).is_err());
    }

    #[test]
    fn headers_that_do_not_fit_are_refused() {
        let long = format!(
            r#"{{"headers":{{"a":"{}"}}}}"#,
            "x".repeat(MAX_HEADER_BYTES)
        );
        assert_eq!(
            written(&long, &fields()).unwrap_err().kind(),
            ErrorKind::Limit
        );
        let many: Vec<String> = (0..MAX_HEADERS).map(|i| format!("\"h{i}\":\"\"")).collect();
        let many = format!("{{\"headers\":{{{}}}}}", many.join(","));
        assert_eq!(
            written(&many, &fields()).unwrap_err().kind(),
            ErrorKind::Limit
        );
    }

    #[test]
    fn outside_a_stream_only_the_context_means_something() {
        let message = format!(
            r#"{{"headers":{{"traceparent":"{PARENT}","content":"none","end":"1","a":"b"}},"body":null}}"#
        );
        let mut head = Head::default();
        let bytes = message.as_bytes();
        open_slot(&mut head, bytes, "headers", MAX_NESTING, MAX_HEADER_BYTES).unwrap();
        assert!(head.trace_parent.is_some());
        assert_eq!((head.content, head.end), (None, None));
        assert_eq!(head.own, [("a".into(), "b".into())]);
        assert_eq!(head.drops, super::super::Drops::default());
    }

    #[test]
    fn a_slot_with_too_many_headers_costs_no_memory_and_is_not_read() {
        let many: Vec<String> = (0..100_000).map(|i| format!("\"h{i}\":\"\"")).collect();
        let many = format!("{{\"headers\":{{{}}}}}", many.join(","));
        let found = find(many.as_bytes(), "headers", MAX_NESTING).unwrap();
        assert_eq!(found.entries.len(), MAX_HEADERS + 1);
        let mut head = Head::default();
        let opened = open_slot(
            &mut head,
            many.as_bytes(),
            "headers",
            MAX_NESTING,
            usize::MAX,
        );
        assert_eq!(opened, Err(Plain::HeadTooLong));
    }

    proptest! {
        #[test]
        fn a_slot_is_found_where_a_json_library_sees_one(
            text in "\\{(\"(headers|b)\":(\\{(\"a\":(\"x\"|1|null|\\[\\]))?\\}|null|\"n\"|7),?){0,3}\\}? ?",
        ) {
            let found = find(text.as_bytes(), "headers", MAX_NESTING).is_some();
            let library: Result<serde_json::Map<String, serde_json::Value>, _> = serde_json::from_str(&text);
            let once = text.matches("\"headers\"").count() <= 1;
            let expected = library.is_ok_and(|object| match object.get("headers") {
                None => true,
                Some(value) => value.is_object() || value.is_null(),
            });
            prop_assert_eq!(found, expected && once, "{}", text);
        }

        #[test]
        fn what_was_written_is_read_and_the_rest_is_the_same(
            own in proptest::collection::btree_map("[a-m]{1,4}", "\\PC{0,8}", 0..4),
            body in proptest::option::of("\\PC{0,12}"),
            stream in 1_u32..,
        ) {
            let message = serde_json::json!({"headers": own, "body": body});
            let fields = HeadFields { stream: std::num::NonZeroU32::new(stream), ..fields() };
            let with = written(&message.to_string(), &fields).unwrap().unwrap();
            let mut head = Head::default();
            open_slot(&mut head, with.as_bytes(), "headers", MAX_NESTING, MAX_HEADER_BYTES).unwrap();
            prop_assert_eq!(head.stream, fields.stream);
            prop_assert_eq!(head.trace_parent, fields.trace_parent);
            let mut read: serde_json::Value = serde_json::from_str(&with).unwrap();
            let headers = read["headers"].as_object_mut().unwrap();
            headers.remove("traceparent");
            headers.remove("stream");
            prop_assert_eq!(read, message);
        }
    }
}
