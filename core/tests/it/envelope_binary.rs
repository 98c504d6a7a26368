//! The binary form of the envelope, entry by entry of SPEC.md, chapter "Binary envelope".

use std::borrow::Cow;
use std::num::NonZeroU32;

use wirespan::Refusal;
use wirespan::envelope::{
    Content, Drops, End, Form, Kind, Opened, Plain, Recognition, convert_head,
};
use wirespan::limits::MAX_HEADER_BYTES;

use crate::envelope::{TRACEPARENT, binary, canonical, envelope, raw, refused, trace_parent};

#[test]
fn binary_heads_are_refused_by_the_rule_that_they_break() {
    assert_eq!(binary(b""), Opened::Plain(Plain::Ordinary));
    assert_eq!(binary(b"\xff\x56"), Opened::Plain(Plain::Ordinary));
    refused(binary(b"\xff\x57\x01\x00\x00"), Refusal::Truncated);
    assert_eq!(
        binary(&[0xFF, 0x57, 2, 0, 0, 0]),
        Opened::Plain(Plain::Version)
    );
    refused(binary(&raw(2, b"", &[], b"")), Refusal::Structure);
    refused(
        binary(&[0xFF, 0x57, 1, 0, 0xFF, 0xFF][..]),
        Refusal::Truncated,
    );
    refused(binary(&raw(1, b"short", &[], b"")), Refusal::Truncated);
    refused(
        binary(&raw(0, b"", &[(6, &[0, 0, 0, 1]), (4, &[1])], b"")),
        Refusal::Order,
    );
    refused(binary(&raw(0, b"", &[(6, &[1])], b"")), Refusal::Length);
    refused(binary(&raw(0, b"", &[(4, &[1, 1])], b"")), Refusal::Length);
    refused(binary(&raw(0, &[6, 0, 9, 1], &[], b"")), Refusal::Truncated);
    refused(binary(&raw(0, &[6, 0], &[], b"")), Refusal::Truncated);
    refused(
        binary(&raw(0, b"", &[(15, &[5, b'a'])], b"")),
        Refusal::Truncated,
    );
    refused(
        binary(&raw(0, b"", &[(0x80 | 11, b"x")], b"")),
        Refusal::UnknownCritical,
    );
}

#[test]
fn binary_entries_are_read_by_their_type() {
    let message = raw(
        0,
        b"",
        &[
            (0x80 | 3, b"s-1"),
            (4, &[2]),
            (5, b"m"),
            (6, &[0, 0, 0, 9]),
            (7, &[0, 0, 0, 0]),
            (8, &[1]),
            (11, b"retired"),
            (12, &[0, 0, 0, 0, 0, 0, 1, 0]),
            (14, b"unknown"),
            (15, b"\x01aX"),
            (15, b"\x01b"),
        ],
        b"payload",
    );
    let (got, body) = envelope(binary(&message), &message);
    assert_eq!(
        (got.session.as_deref(), got.kind, got.method.as_deref()),
        (Some("s-1"), Some(Kind::Transfer), Some("m"))
    );
    assert_eq!(
        (got.stream, got.seq, got.end, got.sent),
        (NonZeroU32::new(9), Some(0), Some(End::Complete), Some(256))
    );
    assert_eq!(
        got.own,
        [
            (Cow::Borrowed("a"), Cow::Borrowed("X")),
            (Cow::Borrowed("b"), Cow::Borrowed(""))
        ]
    );
    assert_eq!((got.drops, body), (Drops::default(), &b"payload"[..]));
}

#[test]
fn binary_values_that_mean_nothing_are_absent() {
    let message = raw(
        0,
        b"",
        &[
            (3, b"\xff"),
            (4, &[9]),
            (6, &[0, 0, 0, 0]),
            (7, &[0, 0, 0, 1]),
        ],
        b"",
    );
    let (got, _) = envelope(binary(&message), &message);
    assert_eq!(
        (got.session.clone(), got.kind, got.stream, got.seq),
        (None, None, None, None)
    );
    assert_eq!(got.drops.header_invalid, 3);
    let zero = raw(1, &[0; 25], &[(1, b"a=1")], b"");
    let (got, _) = envelope(binary(&zero), &zero);
    assert!(got.drops.context_invalid && got.drops.tracestate && got.trace_parent.is_none());
    let none = raw(0, b"", &[(10, &[2])], b"x");
    assert!(envelope(binary(&none), &none).0.drops.content_mismatch);
    let none = raw(0, b"", &[(10, &[2])], b"");
    assert_eq!(
        envelope(binary(&none), &none).0.content,
        Some(Content::None)
    );
    let ignored = raw(0, b"", &[(10, &[1])], b"x");
    let (got, _) = envelope(binary(&ignored), &ignored);
    assert_eq!((got.content, got.drops), (None, Drops::default()));
}

#[test]
fn binary_repeats_are_repeats() {
    for entries in [
        &[(6, &[0, 0, 0, 1][..]), (6, &[0, 0, 0, 2])][..],
        &[(6, &[0, 0, 0, 1]), (15, b"\x01aX"), (15, b"\x01AY")],
        &[(6, &[0, 0, 0, 1]), (14, b"x"), (14, b"y")],
    ] {
        let message = raw(0, b"", entries, b"");
        let (got, _) = envelope(binary(&message), &message);
        assert!(
            got.drops.header_repeated && got.stream.is_none(),
            "{entries:?}"
        );
    }
    // A type 15 with a reserved name is ignored before repeats are looked for.
    let message = raw(
        0,
        b"",
        &[
            (6, &[0, 0, 0, 1]),
            (15, b"\x06stream2"),
            (15, b"\x06stream3"),
        ],
        b"",
    );
    let (got, _) = envelope(binary(&message), &message);
    assert_eq!(
        (got.stream, got.drops),
        (NonZeroU32::new(1), Drops::default())
    );
}

#[test]
fn a_traceparent_of_a_later_version_travels_as_type_15() {
    let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what";
    let value = [&[11], &b"traceparent"[..], later.as_bytes()].concat();
    let message = raw(0, b"", &[(15, &value)], b"");
    assert_eq!(
        envelope(binary(&message), &message).0.trace_parent,
        Some(trace_parent())
    );
    let value = [&[11], &b"traceparent"[..], TRACEPARENT.as_bytes()].concat();
    let message = raw(0, b"", &[(15, &value)], b"");
    assert_eq!(envelope(binary(&message), &message).0.trace_parent, None);
    let converted = convert_head(
        canonical(&format!("\"traceparent\":\"{later}\""), "1").as_bytes(),
        Form::Text,
        Recognition::Canonical,
        MAX_HEADER_BYTES,
    );
    let expected = [&[11], &b"traceparent"[..], later.as_bytes()].concat();
    assert_eq!(converted.unwrap(), raw(0, b"", &[(15, &expected)], b""));
}
