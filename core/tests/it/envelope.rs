//! Both forms of the envelope, rule by rule of SPEC.md, chapters "Text envelope" to "Recognition" and "Limits".

use std::num::NonZeroU32;

use wirespan::Refusal;
use wirespan::envelope::{
    Body, Content, Drops, End, Form, Head, HeadFields, Kind, Opened, Plain, Recognition, Role,
    convert_head, is_look_alike, open, text_body, wrap, write_head,
};
use wirespan::limits::{
    MAX_BAGGAGE_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_NESTING, MAX_TRACESTATE_BYTES,
    MIN_MAX_HEADER_BYTES, MIN_TRACESTATE_KEPT_BYTES,
};
use wirespan::trace::{TraceFlags, TraceParent};

pub(crate) const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
pub(crate) const ANY: Recognition = Recognition::Any {
    max_nesting: MAX_NESTING,
};

pub(crate) fn read(message: &[u8], form: Form, recognition: Recognition) -> Opened<'_> {
    open(message, form, recognition, MAX_HEADER_BYTES)
}

fn text(message: &str) -> Opened<'_> {
    read(message.as_bytes(), Form::Text, Recognition::Canonical)
}

fn any(message: &str) -> Opened<'_> {
    read(message.as_bytes(), Form::Text, ANY)
}

pub(crate) fn binary(message: &[u8]) -> Opened<'_> {
    read(message, Form::Binary, Recognition::Canonical)
}

pub(crate) fn envelope<'m>(opened: Opened<'m>, message: &'m [u8]) -> (Head<'m>, &'m [u8]) {
    match opened {
        Opened::Envelope { head, body } => (head, &message[body]),
        Opened::Plain(why) => panic!("plain: {why:?}: {}", String::from_utf8_lossy(message)),
    }
}

/// A canonical envelope with these headers, given as JSON members, and a body.
pub(crate) fn canonical(headers: &str, body: &str) -> String {
    format!("{{\"headers\":{{{headers}}},\"body\":{body}}}")
}

fn head(headers: &str) -> Head<'static> {
    let message: &'static str = canonical(headers, "1").leak();
    envelope(text(message), message.as_bytes()).0
}

pub(crate) fn refused(opened: Opened<'_>, reason: Refusal) {
    assert_eq!(opened, Opened::Plain(Plain::Malformed(reason)));
}

/// A binary envelope of raw parts.
pub(crate) fn raw(flags: u8, block: &[u8], entries: &[(u8, &[u8])], payload: &[u8]) -> Vec<u8> {
    let mut head = block.to_vec();
    for (tag, value) in entries {
        head.push(*tag);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend_from_slice(value);
    }
    let length = u16::try_from(head.len()).unwrap().to_be_bytes();
    [
        &[0xFF, 0x57, 1, flags, length[0], length[1]],
        &head[..],
        payload,
    ]
    .concat()
}

pub(crate) fn trace_parent() -> TraceParent {
    TraceParent::parse(TRACEPARENT.as_bytes()).unwrap()
}

pub(crate) fn block() -> Vec<u8> {
    let parent = trace_parent();
    [
        &parent.trace_id[..],
        &parent.span_id[..],
        &[parent.flags.bits()],
    ]
    .concat()
}

pub(crate) fn all_fields<'a>(own: &'a [(&'a str, &'a str)]) -> HeadFields<'a> {
    HeadFields {
        trace_parent: Some(trace_parent()),
        trace_state: "a=1,b=2",
        baggage: "k=v",
        session: Some("s-1"),
        kind: Some(Kind::Call),
        method: Some("order\"\\"),
        stream: NonZeroU32::new(7),
        seq: 3,
        end: Some(End::Error),
        error: Some("Boom"),
        content: None,
        sent: Some(u64::MAX),
        own,
        hello: None,
    }
}

#[test]
fn the_encoder_writes_the_canonical_order_and_no_white_space() {
    let own = [("X-Own", "ä\n\u{1}".trim_end_matches('\n'))];
    let message = wrap(
        &all_fields(&[("b", "1"), ("A", own[0].1)]),
        Body::Text("{ }"),
    )
    .unwrap_err();
    assert_eq!(
        message.kind(),
        wirespan::ErrorKind::InvalidArgument,
        "a line feed is refused: {message}"
    );
    let message = wrap(
        &all_fields(&[("b", "1"), ("A", "ä\u{1}\"")]),
        Body::Text("{ }"),
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(message).unwrap(),
        canonical(
            &format!(
                "\"traceparent\":\"{TRACEPARENT}\",\"tracestate\":\"a=1,b=2\",\"baggage\":\"k=v\",\"session\":\"s-1\",\
                 \"kind\":\"call\",\"method\":\"order\\\"\\\\\",\"stream\":\"7\",\"seq\":\"3\",\"end\":\"error\",\
                 \"error\":\"Boom\",\"sent\":\"18446744073709551615\",\"b\":\"1\",\"A\":\"ä\\u0001\\\"\""
            ),
            "{ }"
        )
    );
}

#[test]
fn a_hello_is_written_as_the_specification_shows_it() {
    let fields = HeadFields {
        hello: Some(("1", Role::Server)),
        session: Some("s"),
        ..HeadFields::default()
    };
    let message = wrap(&fields, Body::None(Form::Text)).unwrap();
    assert_eq!(
        String::from_utf8(message).unwrap(),
        r#"{"headers":{"wirespan":"1","role":"server","session":"s","content":"none"},"body":null}"#
    );
}

#[test]
fn a_binary_envelope_with_a_trace_block_alone_has_31_bytes() {
    let fields = HeadFields {
        trace_parent: Some(trace_parent()),
        ..HeadFields::default()
    };
    let message = wrap(&fields, Body::Binary(b"")).unwrap();
    assert_eq!(message.len(), 31);
    assert_eq!(message, raw(1, &block(), &[], b""));
    // The example of SPEC.md.
    let fields = HeadFields {
        kind: Some(Kind::Call),
        stream: NonZeroU32::new(1),
        ..HeadFields::default()
    };
    let example = [0xFF, 0x57, 1, 0, 0, 0x0B, 4, 0, 1, 1, 6, 0, 4, 0, 0, 0, 1];
    assert_eq!(wrap(&fields, Body::Binary(b"")).unwrap(), example);
}

#[test]
fn unknown_flags_are_never_written() {
    let mut parent = trace_parent();
    parent.flags = TraceFlags::from_bits(0xFF);
    let fields = HeadFields {
        trace_parent: Some(parent),
        ..HeadFields::default()
    };
    let message = wrap(&fields, Body::Text("1")).unwrap();
    assert!(String::from_utf8(message).unwrap().contains("-03\""));
    assert_eq!(wrap(&fields, Body::Binary(b"")).unwrap()[30], 3);
}

#[test]
fn values_follow_their_grammar_and_invalid_ones_are_absent() {
    let ok = head(
        r#""kind":"transfer","STREAM":"4294967295","seq":"0","end":"cancel","sent":"0","error":"E""#,
    );
    assert_eq!(
        (ok.kind, ok.stream, ok.seq),
        (Some(Kind::Transfer), NonZeroU32::new(u32::MAX), Some(0))
    );
    assert_eq!(
        (ok.end, ok.sent, ok.error.as_deref()),
        (Some(End::Cancel), Some(0), Some("E"))
    );
    assert_eq!(ok.drops, Drops::default());
    for wrong in ["0", "01", "+1", "-1", "", " 1", "4294967296", "1.0"] {
        let got = head(&format!(
            r#""stream":"{wrong}","kind":"call","seq":"1","end":"1","error":"E","method":"m""#
        ));
        assert_eq!(
            (got.stream, got.kind, got.seq, got.end),
            (None, None, None, None),
            "{wrong:?}"
        );
        assert_eq!(
            (got.error, got.method.as_deref()),
            (None, Some("m")),
            "{wrong:?}"
        );
        assert_eq!(got.drops.header_invalid, 1, "{wrong:?}");
    }
    let wrong = head(
        r#""session":"a b","kind":"Call","method":"","stream":"1","seq":"-1","end":"2","error":"ä","content":"json","sent":"x""#,
    );
    assert_eq!(wrong.drops.header_invalid, 8);
    assert_eq!(wrong.stream, NonZeroU32::new(1));
    assert_eq!(
        Head {
            stream: None,
            drops: Drops::default(),
            ..wrong
        },
        Head::default(),
        "nothing that is invalid is believed"
    );
    assert_eq!(
        head(r#""wirespan":"2, 1","role":"peer""#)
            .versions
            .as_deref(),
        Some("2, 1")
    );
}

#[test]
fn contexts_are_judged_by_their_own_rules() {
    let good = head(&format!(
        r#""tracestate":"a=1","traceparent":"{TRACEPARENT}""#
    ));
    assert_eq!(good.trace_parent, Some(trace_parent()));
    assert_eq!(good.trace_state.as_deref(), Some("a=1"));
    let bad = head(r#""traceparent":"00-zz","tracestate":"a=1","baggage":"k=v""#);
    assert!(bad.drops.context_invalid && bad.drops.tracestate);
    assert_eq!((bad.trace_parent, bad.trace_state), (None, None));
    assert_eq!(
        bad.baggage.as_deref(),
        Some("k=v"),
        "baggage needs no traceparent"
    );
    assert!(head(r#""tracestate":"a=1""#).drops.tracestate);
}

#[test]
fn a_tracestate_or_baggage_over_its_own_limit_is_dropped_alone() {
    let long = "a".repeat(MAX_TRACESTATE_BYTES - 1);
    let got = head(&format!(
        r#""traceparent":"{TRACEPARENT}","tracestate":"{long}==""#
    ));
    assert!(got.drops.tracestate && got.trace_state.is_none() && got.trace_parent.is_some());
    let long = "b".repeat(MAX_BAGGAGE_BYTES + 1);
    let got = head(&format!(r#""stream":"1","baggage":"{long}""#));
    assert!(got.drops.baggage && got.baggage.is_none() && got.stream.is_some());
}

#[test]
fn a_repeated_name_silences_all_reserved_headers() {
    for repeat in [
        r#""kind":"call","stream":"1","KIND":"call""#,
        r#""stream":"1","\u0073tream":"2","kind":"call""#,
        r#""stream":"1","kind":"call","x":"1","X":"2""#,
        // Repeats are looked for before own headers are dropped.
        r#""stream":"1","kind":"call","a b":"1","a b":"2""#,
    ] {
        let got = head(repeat);
        assert!(got.drops.header_repeated, "{repeat}");
        assert_eq!((got.stream, got.kind), (None, None), "{repeat}");
    }
    assert_eq!(head(r#""x":"1","X":"2","y":"3""#).own.len(), 3);
    let message = canonical(r#""x":"1","x":"2","content":"text""#, "\"hi\"");
    let (got, body) = envelope(text(&message), message.as_bytes());
    assert_eq!(got.content, Some(Content::Text));
    assert_eq!(text_body(body).as_deref(), Some("hi"));
    assert_eq!(head(r#""content":"none","content":"none""#).content, None);
}

#[test]
fn own_headers_keep_case_and_order_and_bad_ones_are_dropped() {
    let got = head(r#""Zeta":"1","alpha":"","a b":"x","n":"a\nb","stream":"1","\u0062":"2""#);
    let own: Vec<_> = got
        .own
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    assert_eq!(own, [("Zeta", "1"), ("alpha", ""), ("b", "2")]);
    assert_eq!(got.drops.header_invalid, 2);
}

#[test]
fn content_must_fit_the_body() {
    let cases = [
        ("text", "\"a\\nb\"", Some(Content::Text)),
        ("text", " \"a\" ", Some(Content::Text)),
        ("text", "1", None),
        ("text", "\"a", None),
        ("text", "\"a\" \"b\"", None),
        ("none", "null", Some(Content::None)),
        ("none", "\tnull\n", Some(Content::None)),
        ("none", "0", None),
        ("none", "", None),
    ];
    for (content, body, expected) in cases {
        let message = canonical(&format!("\"content\":\"{content}\""), body);
        let (got, _) = envelope(text(&message), message.as_bytes());
        assert_eq!(got.content, expected, "{message}");
        assert_eq!(got.drops.content_mismatch, expected.is_none(), "{message}");
    }
    assert_eq!(text_body(b"\"\\ud83d!\"").as_deref(), Some("\u{fffd}!"));
    assert_eq!(text_body(b"\"a"), None);
    assert_eq!(text_body(b"a"), None);
}

#[test]
fn the_canonical_reader_takes_the_canonical_form_only() {
    assert_eq!(text(""), Opened::Plain(Plain::Ordinary));
    assert_eq!(
        text("{\"headers\": {},\"body\":1}"),
        Opened::Plain(Plain::Ordinary)
    );
    assert_eq!(
        text("{\"body\":1,\"headers\":{}}"),
        Opened::Plain(Plain::Ordinary)
    );
    refused(
        text(r#"{"headers":{"a":"b" },"body":1}"#),
        Refusal::Character,
    );
    refused(
        text(r#"{"headers":{"a": "b"},"body":1}"#),
        Refusal::Character,
    );
    refused(text(r#"{"headers":{"a":1},"body":1}"#), Refusal::Character);
    refused(text(r#"{"headers":{},"Body":1}"#), Refusal::Structure);
    refused(text(r#"{"headers":{},"body":1} "#), Refusal::Trailing);
    refused(text(r#"{"headers":{},"body":"#), Refusal::Truncated);
    refused(
        text(r#"{"headers":{"a":"\ud800"},"body":1}"#),
        Refusal::Character,
    );
    refused(
        text("{\"headers\":{\"a\":\"\n\"},\"body\":1}"),
        Refusal::Character,
    );
    let not_utf8 = b"{\"headers\":{\"a\":\"\xff\"},\"body\":1}";
    refused(
        read(not_utf8, Form::Text, Recognition::Canonical),
        Refusal::Character,
    );
    // The body is the application's to judge.
    let message = r#"{"headers":{},"body":not json}"#;
    assert_eq!(envelope(text(message), message.as_bytes()).1, b"not json");
}

#[test]
fn the_general_reader_takes_any_order_and_spacing() {
    for (message, body) in [
        ("{\"headers\":{},\"body\":1}", "1"),
        (
            " { \"body\" : [ 1 ] , \"headers\" : { \"a\" : \"b\" } } ",
            " [ 1 ] ",
        ),
        ("{\"\\u0068eaders\":{},\"b\\u006fdy\":\t{}\n}", "\t{}\n"),
    ] {
        assert_eq!(
            envelope(any(message), message.as_bytes()).1,
            body.as_bytes(),
            "{message}"
        );
    }
    for plain in [
        "",
        "1",
        "[]",
        "{}",
        "{\"headers\":{}}",
        "{\"body\":1}",
        "{\"Headers\":{},\"body\":1}",
        "{\"headers\":{},\"body\":1,\"x\":1}",
        "{\"headers\":{},\"body\":1,\"body\":1}",
        "{\"headers\":{},\"headers\":{}}",
        "{\"headers\":[],\"body\":1}",
        "{\"headers\":{\"a\":1},\"body\":1}",
        "{\"headers\":{},\"body\":01}",
        "{\"headers\":{},\"body\":1}x",
        "{\"headers\":{},\"body\":1",
        "{\"headers\":{},\"body\":}",
        "{\"headers\":{\"a\":\"\\udc00\"},\"body\":1}",
    ] {
        assert!(matches!(any(plain), Opened::Plain(_)), "{plain}");
    }
    let mut not_utf8 = b"{\"headers\":{},\"body\":\"\xff\"}".to_vec();
    refused(read(&not_utf8.clone(), Form::Text, ANY), Refusal::Structure);
    not_utf8[22] = b'x';
    assert!(matches!(
        read(&not_utf8, Form::Text, ANY),
        Opened::Envelope { .. }
    ));
}

#[test]
fn a_body_nested_too_deep_is_plain_for_the_general_reader_only() {
    let nested =
        |depth: usize| canonical("", &format!("{}{}", "[".repeat(depth), "]".repeat(depth)));
    assert!(matches!(any(&nested(512)), Opened::Envelope { .. }));
    refused(any(&nested(513)), Refusal::TooMany);
    refused(any(&nested(100_000)), Refusal::TooMany);
    assert!(matches!(text(&nested(100_000)), Opened::Envelope { .. }));
}

#[test]
fn a_string_that_looks_like_two_members_cannot_make_a_second_head() {
    let attack = r#"{"a":1},"headers":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},"body":{"#;
    let message = wrap(&HeadFields::default(), Body::Text(attack)).unwrap();
    for recognition in [Recognition::Canonical, ANY] {
        let (head, body) = envelope(read(&message, Form::Text, recognition), &message);
        assert_eq!(head.content, Some(Content::Text));
        assert_eq!(head.trace_parent, None);
        assert_eq!(text_body(body).as_deref(), Some(attack));
    }
}

#[test]
fn conversion_keeps_what_is_valid_and_leaves_out_what_means_nothing() {
    let message = canonical(
        r#""wirespan":"1","role":"client","session":"a b","kind":"what","stream":"1","seq":"0","content":"text","x":"1""#,
        "\"a\"",
    );
    let binary_head = convert_head(
        message.as_bytes(),
        Form::Text,
        Recognition::Canonical,
        MAX_HEADER_BYTES,
    )
    .unwrap();
    let expected = raw(
        0,
        b"",
        &[
            (3, b"a b"),
            (6, &[0, 0, 0, 1]),
            (7, &[0, 0, 0, 0]),
            (10, &[1]),
            (15, b"\x01x1"),
        ],
        b"",
    );
    assert_eq!(binary_head, expected);
    let back = convert_head(
        &binary_head,
        Form::Binary,
        Recognition::Canonical,
        MAX_HEADER_BYTES,
    )
    .unwrap();
    assert_eq!(
        String::from_utf8(back).unwrap(),
        r#"{"headers":{"session":"a b","stream":"1","seq":"0","content":"text","x":"1"},"body":"#
    );
    let error = convert_head(b"{}", Form::Text, ANY, MAX_HEADER_BYTES).unwrap_err();
    assert_eq!(error.kind(), wirespan::ErrorKind::Malformed);
}

#[test]
fn the_head_may_be_exactly_as_long_as_its_limit() {
    let empty = canonical("\"x\":\"\"", "1").len() - "1}".len();
    for (extra, fits) in [(0, true), (1, false)] {
        let value = "v".repeat(MAX_HEADER_BYTES - empty + extra);
        let message = canonical(&format!("\"x\":\"{value}\""), "1");
        for recognition in [Recognition::Canonical, ANY] {
            let opened = read(message.as_bytes(), Form::Text, recognition);
            match fits {
                true => assert_eq!(envelope(opened, message.as_bytes()).0.own.len(), 1),
                false => assert_eq!(opened, Opened::Plain(Plain::HeadTooLong)),
            }
        }
        let value = [&[1, b'x'], &vec![b'v'; MAX_HEADER_BYTES - 11 + extra][..]].concat();
        let message = raw(0, b"", &[(15, &value)], b"payload");
        assert_eq!(matches!(binary(&message), Opened::Envelope { .. }), fits);
    }
    // Where the body comes first, the head is the object of the headers.
    let long = format!(
        "{{\"body\":\"{}\",\"headers\":{{}}}}",
        "b".repeat(2 * MAX_HEADER_BYTES)
    );
    assert!(matches!(any(&long), Opened::Envelope { .. }));
}

#[test]
fn sixty_four_entries_are_allowed() {
    for (count, fits) in [(MAX_HEADERS, true), (MAX_HEADERS + 1, false)] {
        let members: Vec<String> = (0..count).map(|i| format!("\"h{i}\":\"\"")).collect();
        let message = canonical(&members.join(","), "1");
        for recognition in [Recognition::Canonical, ANY] {
            let opened = read(message.as_bytes(), Form::Text, recognition);
            assert_eq!(matches!(opened, Opened::Envelope { .. }), fits);
            assert_eq!(opened == Opened::Plain(Plain::HeadTooLong), !fits);
        }
        let values: Vec<Vec<u8>> = (0..count - 1)
            .map(|i| [&[3], format!("h{i:02}").as_bytes()].concat())
            .collect();
        let entries: Vec<(u8, &[u8])> = values.iter().map(|value| (15, value.as_slice())).collect();
        // The trace block is an entry.
        assert_eq!(
            matches!(
                binary(&raw(1, &block(), &entries, b"")),
                Opened::Envelope { .. }
            ),
            fits
        );
    }
}

#[test]
fn what_does_not_fit_is_left_out_in_a_fixed_order() {
    let short = "s".repeat(100);
    let members: Vec<String> = (0..10).map(|i| format!("k{i}={short}")).collect();
    let trace_state = [
        members.join(","),
        format!("long={}", "l".repeat(200)),
        "last=1".into(),
    ]
    .join(",");
    let own_value = "o".repeat(500);
    let own = [
        ("first", own_value.as_str()),
        ("second", own_value.as_str()),
        ("third", own_value.as_str()),
    ];
    let fields = HeadFields {
        trace_parent: Some(trace_parent()),
        trace_state: &trace_state,
        baggage: "k=v",
        own: &own,
        ..HeadFields::default()
    };
    for form in [Form::Text, Form::Binary] {
        let mut buffer = Vec::new();
        let written = write_head(&mut buffer, form, &fields, MIN_MAX_HEADER_BYTES).unwrap();
        assert!(
            written.baggage_dropped && written.tracestate_cut,
            "{form:?}"
        );
        assert!(buffer.len() <= MIN_MAX_HEADER_BYTES);
        if form == Form::Text {
            buffer.extend_from_slice(b"1}");
        }
        let (head, _) = envelope(read(&buffer, form, Recognition::Canonical), &buffer);
        let kept = head.trace_state.unwrap();
        assert!(
            !kept.contains("long=") && kept.len() >= MIN_TRACESTATE_KEPT_BYTES,
            "{kept}"
        );
        assert!(head.baggage.is_none());
        assert_eq!(head.own.len() + written.own_dropped, 3);
        assert_eq!(head.own[0].0, "first");
    }
    let mut buffer = b"before".to_vec();
    let error = write_head(&mut buffer, Form::Text, &all_fields(&[]), 100).unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (wirespan::ErrorKind::Limit, Some("max_header_bytes"))
    );
    assert_eq!(buffer, b"before");
}

#[test]
fn what_a_host_gives_cannot_break_a_line() {
    let fields = HeadFields {
        trace_parent: Some(trace_parent()),
        trace_state: "a=1\r\nx: y",
        baggage: "k=v\n",
        ..HeadFields::default()
    };
    let mut buffer = Vec::new();
    let written = write_head(&mut buffer, Form::Text, &fields, MAX_HEADER_BYTES).unwrap();
    assert!(written.baggage_dropped && written.tracestate_cut);
    assert_eq!(
        buffer,
        canonical(&format!("\"traceparent\":\"{TRACEPARENT}\""), "")
            .strip_suffix('}')
            .unwrap()
            .as_bytes()
    );
}

#[test]
fn look_alikes_are_what_the_peer_could_take_for_an_envelope() {
    assert!(is_look_alike(
        b"{\"headers\":{",
        Form::Text,
        Recognition::Canonical
    ));
    assert!(!is_look_alike(
        b"{\"headers\":[",
        Form::Text,
        Recognition::Canonical
    ));
    assert!(is_look_alike(
        b"\xff\x57",
        Form::Binary,
        Recognition::Canonical
    ));
    assert!(!is_look_alike(b"\xff", Form::Binary, ANY));
    assert!(is_look_alike(
        b" {\"body\":1,\"headers\":{}}",
        Form::Text,
        ANY
    ));
    // A peer that holds this side for announced reads by the head alone.
    assert!(is_look_alike(b"{\"headers\":{", Form::Text, ANY));
    assert!(!is_look_alike(b"{\"headers\":[", Form::Text, ANY));
}
