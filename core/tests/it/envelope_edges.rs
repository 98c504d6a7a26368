//! Where the rules of the envelope meet: repeats and conversion, limits and each other, prefixes.

use std::num::NonZeroU32;

use wirespan::envelope::{
    Body, Content, Drops, End, Form, Head, HeadFields, Kind, Opened, Recognition, convert_head,
    wrap, write_head,
};
use wirespan::limits::{MAX_HEADER_BYTES, MAX_HEADERS, MAX_TRACESTATE_BYTES, MIN_MAX_HEADER_BYTES};

use crate::envelope::{
    ANY, TRACEPARENT, all_fields, binary, block, canonical, envelope, raw, read, trace_parent,
};

/// What both readers make of a head, drops aside.
fn same_head(message: &[u8], form: Form) {
    let (other, tail) = match form {
        Form::Text => (Form::Binary, &b""[..]),
        Form::Binary => (Form::Text, &b"1}"[..]),
    };
    let converted = convert_head(message, form, Recognition::Canonical, MAX_HEADER_BYTES).unwrap();
    let converted = [&converted[..], tail].concat();
    let without_drops = |head: Head<'_>| {
        let drops = Drops::default();
        format!("{:?}", Head { drops, ..head })
    };
    let (before, _) = envelope(read(message, form, Recognition::Canonical), message);
    let (after, _) = envelope(read(&converted, other, Recognition::Canonical), &converted);
    assert_eq!(without_drops(after), without_drops(before));
}

#[test]
fn conversion_believes_no_more_than_a_reader_of_the_original() {
    let later = TRACEPARENT.replace("0af7", "1af7");
    for headers in [
        format!(r#""traceparent":"{TRACEPARENT}","traceparent":"{later}""#),
        format!(r#""traceparent":"{TRACEPARENT}","traceparent":"zz""#),
        r#""kind":"call","stream":"1","stream":"x""#.to_owned(),
        r#""kind":"call","stream":"1","Wirespan":"1","wirespan":"1""#.to_owned(),
        r#""stream":"1","x":"1","X":"2""#.to_owned(),
        format!(r#""stream":"1","{}":"v","y":"2""#, "n".repeat(256)),
    ] {
        same_head(canonical(&headers, "1").as_bytes(), Form::Text);
    }
    let stream: (u8, &[u8]) = (6, &[0, 0, 0, 1]);
    for entries in [
        [stream, (14, b""), (14, b"")],
        [(4, &[1]), stream, (6, &[0, 0, 0, 0])],
        [stream, (15, b"\x01aX"), (15, b"\x01AY")],
    ] {
        same_head(&raw(1, &block(), &entries, b""), Form::Binary);
    }
}

#[test]
fn a_head_that_the_other_form_has_no_room_for_is_refused() {
    let value = [&[1, b'x'], &[1; 8000][..]].concat();
    let message = raw(0, b"", &[(15, &value)], b"");
    let error = convert_head(&message, Form::Binary, ANY, MAX_HEADER_BYTES).unwrap_err();
    assert_eq!(error.kind(), wirespan::ErrorKind::Limit);
}

#[test]
fn a_tracestate_over_its_limit_is_cut_and_not_lost() {
    let member = |i: usize| format!("k{i:02}={}", "v".repeat(256));
    let long: Vec<String> = (0..32).map(member).collect();
    let long = long.join(",");
    assert!(long.len() > MAX_TRACESTATE_BYTES);
    let fields = HeadFields {
        trace_parent: Some(trace_parent()),
        trace_state: &long,
        ..HeadFields::default()
    };
    let mut buffer = Vec::new();
    let written = write_head(&mut buffer, Form::Binary, &fields, MAX_HEADER_BYTES).unwrap();
    assert!(written.tracestate_cut);
    let (head, _) = envelope(binary(&buffer), &buffer);
    let kept = head.trace_state.unwrap();
    assert!(long.starts_with(&*kept) && kept.len() > MAX_TRACESTATE_BYTES - 300);
}

#[test]
fn a_tracestate_never_keeps_a_message_from_being_sent() {
    let quotes = "\"".repeat(256);
    let state = format!("{}={quotes},{}={quotes}", "a".repeat(250), "b".repeat(250));
    let (long, session) = ("\"".repeat(128), "s".repeat(128));
    let fields = HeadFields {
        trace_parent: Some(trace_parent()),
        trace_state: &state,
        session: Some(&session),
        kind: Some(Kind::Call),
        method: Some(&long),
        stream: NonZeroU32::new(u32::MAX),
        end: Some(End::Error),
        error: Some(&long),
        content: Some(Content::Text),
        ..HeadFields::default()
    };
    let mut buffer = Vec::new();
    let written = write_head(&mut buffer, Form::Text, &fields, MIN_MAX_HEADER_BYTES).unwrap();
    assert!(written.tracestate_cut && buffer.len() <= MIN_MAX_HEADER_BYTES);
}

#[test]
fn baggage_goes_before_own_headers_where_entries_are_short() {
    let names: Vec<String> = (0..MAX_HEADERS).map(|i| format!("h{i}")).collect();
    let own: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    for (own, dropped) in [(&own[1..], 0), (&own[..], 1)] {
        let fields = HeadFields {
            stream: NonZeroU32::new(1),
            baggage: "k=v",
            own,
            ..HeadFields::default()
        };
        let mut buffer = Vec::new();
        let written = write_head(&mut buffer, Form::Text, &fields, MAX_HEADER_BYTES).unwrap();
        assert_eq!(
            (written.baggage_dropped, written.own_dropped),
            (true, dropped)
        );
    }
}

#[test]
fn the_convenience_refuses_what_no_reader_takes() {
    for fields in [
        HeadFields {
            session: Some("a\r\nb"),
            ..HeadFields::default()
        },
        HeadFields {
            method: Some(""),
            ..HeadFields::default()
        },
        HeadFields {
            error: Some("a b"),
            ..HeadFields::default()
        },
    ] {
        let error = wrap(&fields, Body::Binary(b"")).unwrap_err();
        assert_eq!(error.kind(), wirespan::ErrorKind::InvalidArgument);
    }
}

#[test]
fn every_prefix_of_an_envelope_is_plain() {
    let own = [("x", "\"y\"")];
    let fields = all_fields(&own);
    let message = wrap(&fields, Body::Text("{\"a\":{\"b\":[1,{}]}}")).unwrap();
    for end in 0..message.len() {
        let opened = read(&message[..end], Form::Text, ANY);
        assert!(matches!(opened, Opened::Plain(_)), "{end}");
        let closed = message[..end].last() == Some(&b'}');
        let opened = read(&message[..end], Form::Text, Recognition::Canonical);
        assert!(closed || matches!(opened, Opened::Plain(_)), "{end}");
    }
    let mut head = Vec::new();
    write_head(&mut head, Form::Binary, &fields, MAX_HEADER_BYTES).unwrap();
    for end in 0..head.len() {
        assert!(matches!(binary(&head[..end]), Opened::Plain(_)), "{end}");
    }
}
