//! Trace context and baggage as the standards want them: every row, every refusal with its reason and offset.

use proptest::prelude::*;
use wirespan::carry::Carried;
use wirespan::trace::{
    AllowList, Baggage, BaggageMember, Context, SpanContext, TraceFlags, TraceParent, TraceState,
};
use wirespan::{Error, ErrorKind, Refusal};

const VALID: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// The rows of the standards' rules on trace context and baggage, each with its check.
const ROWS: [(u8, fn()); 30] = [
    (1, only_lower_case_hex_of_exact_lengths),
    (2, || {
        refuse_parent(&VALID.replacen("00", "ff", 1), Refusal::Version, 0)
    }),
    (3, version_00_ends_with_the_flags),
    (4, a_later_version_is_read_as_00),
    (5, ids_of_zeros),
    (6, || {
        assert_eq!(
            read(&[("traceparent", "00-x"), ("tracestate", "a=1")]).span,
            None
        )
    }),
    (7, || assert_eq!(read(&[("tracestate", "a=1")]).span, None)),
    (8, two_traceparents),
    (9, only_space_and_tab_around),
    (10, flags_are_a_mask),
    (11, || {
        assert_eq!(sent_on(&with_flags("02")), with_flags("02"))
    }),
    (12, || {
        assert_eq!(sent_on(&with_flags("ff")), with_flags("03"))
    }),
    (13, the_allowed_mutations),
    (14, what_passes_through_is_unchanged),
    (15, keys_of_level_2),
    (16, values_of_vendor_data),
    (17, empty_members_and_lists),
    (18, several_values_are_joined),
    (19, a_33rd_member),
    (20, a_malformed_member_discards_the_list),
    (21, || {
        assert_eq!(state("a=1,b=2,a=3,c=4").as_str(), "a=1,b=2,c=4")
    }),
    (22, at_least_512_characters_are_sent),
    (23, || {
        assert_eq!(
            state("a=1,b=2,c=3").with("c", "4").unwrap().as_str(),
            "c=4,a=1,b=2"
        )
    }),
    (24, || {
        assert_eq!(
            state("ot=p:8,a=1").with("w", "1").unwrap().get("ot"),
            Some("p:8")
        )
    }),
    (25, everything_within_the_limits_is_passed_on),
    (26, names_are_tokens_and_values_may_hold_anything),
    (27, what_is_out_of_range_is_encoded),
    (28, || assert_eq!(value_of("a=1+1", "a"), "1+1")),
    (29, || {
        assert_eq!(baggage("a=1;p=x=y; q ;r").to_header(), "a=1;p=x=y; q ;r")
    }),
    (30, one_value_per_name_and_a_way_to_clear),
];

#[test]
fn every_row_of_the_rules_holds() {
    for (index, (row, check)) in ROWS.into_iter().enumerate() {
        assert_eq!(usize::from(row), index + 1);
        println!("row {row}");
        check();
    }
}

fn only_lower_case_hex_of_exact_lengths() {
    assert!(TraceParent::parse(VALID.as_bytes()).is_ok());
    for short in [
        "",
        "00",
        "00-ab-cd-1",
        &VALID[..54],
        &VALID.replacen("0af", "af", 1),
    ] {
        refuse_parent(short, Refusal::Length, short.len());
    }
    for (from, to, offset) in [
        ("-01", "-+1", 53),
        ("-01", "-1 1", 54),
        ("-01", "-0A", 54),
        ("00-", "0x-", 1),
        ("00-", "0A-", 1),
        ("0af7", "0AF7", 4),
        ("b7ad", "B7ad", 36),
        ("9c-", "9c_", 35),
        ("31-", "31_", 52),
        // A digit too many stands where a dash belongs.
        ("0af7", "00af7", 35),
        ("b7ad", "0b7ad", 52),
        ("00-", "000-", 2),
    ] {
        refuse_parent(&VALID.replacen(from, to, 1), Refusal::Character, offset);
    }
    refuse_parent(&" ".repeat(513), Refusal::TooLong, 512);
    refuse_parent(&" ".repeat(512), Refusal::Length, 512);
}

fn version_00_ends_with_the_flags() {
    for tail in ["-", "-x", "0", "x", " x", "-01"] {
        refuse_parent(&format!("{VALID}{tail}"), Refusal::Trailing, 55);
    }
}

fn a_later_version_is_read_as_00() {
    for version in ["01", "7f", "cc", "fe"] {
        let later = VALID.replacen("00", version, 1);
        for tail in ["", "-", "-what-the-future-will-be-like", "- ~"] {
            assert_eq!(
                sent_on(&format!("{later}{tail}")),
                VALID,
                "{version} {tail}"
            );
        }
        refuse_parent(&format!("{later}.x"), Refusal::Trailing, 55);
        refuse_parent(&format!("{later}0"), Refusal::Trailing, 55);
        refuse_parent(&format!("{later}-x\r\n"), Refusal::Character, 57);
        refuse_parent(&later[..54], Refusal::Length, 54);
    }
}

fn ids_of_zeros() {
    for version in ["00", "01"] {
        let value = VALID.replacen("00", version, 1);
        let no_trace = value.replace(&VALID[3..35], &"0".repeat(32));
        refuse_parent(&no_trace, Refusal::ZeroId, 3);
        let no_span = value.replace(&VALID[36..52], &"0".repeat(16));
        refuse_parent(&no_span, Refusal::ZeroId, 36);
        refuse_parent(&format!("\t {no_span}"), Refusal::ZeroId, 38);
    }
}

fn two_traceparents() {
    let twice = TraceParent::from_values([VALID.as_bytes(); 2].into_iter());
    assert_refusal(&twice.unwrap_err(), "traceparent", Refusal::Duplicate, 0);
    assert_eq!(TraceParent::from_values(std::iter::empty()), Ok(None));
    assert!(
        TraceParent::from_values(std::iter::once(VALID.as_bytes()))
            .unwrap()
            .is_some()
    );
    let carried = [
        ("traceparent", VALID),
        ("Traceparent", VALID),
        ("tracestate", "a=1"),
    ];
    assert_eq!(read(&carried).span, None);
    // Two values in one, as a proxy joins them.
    refuse_parent(&format!("{VALID},{VALID}"), Refusal::Trailing, 55);
}

fn only_space_and_tab_around() {
    for around in [" ", "\t", " \t \t"] {
        assert_eq!(sent_on(&format!("{around}{VALID}{around}")), VALID);
    }
    for around in [
        "\r", "\n", "\r\n", "\u{0B}", "\u{0C}", "\u{A0}", "\u{FEFF}", "\0",
    ] {
        refuse_parent(&format!("{around}{VALID}"), Refusal::Character, 0);
        refuse_parent(&format!("{VALID}{around}"), Refusal::Character, 55);
    }
}

fn flags_are_a_mask() {
    for (flags, sampled) in [
        ("00", false),
        ("01", true),
        ("02", false),
        ("03", true),
        ("fd", true),
        ("fe", false),
    ] {
        let parsed = TraceParent::parse(with_flags(flags).as_bytes()).unwrap();
        assert_eq!(parsed.flags.is_sampled(), sampled, "{flags}");
    }
}

fn the_allowed_mutations() {
    let received = TraceParent::parse(VALID.as_bytes()).unwrap();
    let child = TraceParent::new(received.trace_id, [7; 8], TraceFlags::NONE).unwrap();
    assert_eq!(
        child.to_header(),
        "00-0af7651916cd43dd8448eb211c80319c-0707070707070707-00"
    );
    let restarted = SpanContext::from(TraceParent::new([1; 16], [7; 8], received.flags).unwrap());
    assert!(restarted.trace_state.is_empty());
}

fn what_passes_through_is_unchanged() {
    let headers = [("traceparent", VALID), ("tracestate", "a@b@c=1,1x= y,z=~")];
    let carried = Carried::new(read(&headers), None, None).to_headers(&AllowList::none());
    assert_eq!(
        carried
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect::<Vec<_>>(),
        headers
    );
}

fn keys_of_level_2() {
    let longest = "k".repeat(256);
    for key in ["a", "1a", "9", "foo@", "a@b@c", "a_-*/@", &longest] {
        let value = format!("{key}=1");
        assert_eq!(state(&value).as_str(), value);
    }
    refuse_state("A=1", Refusal::Member, 0);
    refuse_state("_a=1", Refusal::Member, 0);
    refuse_state("@a=1", Refusal::Member, 0);
    refuse_state("=1", Refusal::Member, 0);
    refuse_state("aB=1", Refusal::Member, 1);
    refuse_state("a =1", Refusal::Member, 1);
    refuse_state("a.b=1", Refusal::Member, 1);
    refuse_state("aé=1", Refusal::Member, 1);
    refuse_state(&format!("a=1,{longest}k=1"), Refusal::Member, 4 + 256);
}

fn values_of_vendor_data() {
    let longest = "v".repeat(256);
    for value in ["1", " leading", "in side", "!~", &longest] {
        assert_eq!(state(&format!("a={value}")).get("a"), Some(value));
    }
    assert_eq!(state("a=1 \t,b=2").as_str(), "a=1,b=2");
    refuse_state("a=", Refusal::Member, 2);
    refuse_state("a= ", Refusal::Member, 2);
    refuse_state("a=b=c", Refusal::Member, 3);
    refuse_state("a=b\tc", Refusal::Member, 3);
    refuse_state("a=b\r\nc", Refusal::Member, 3);
    refuse_state("a=\u{7F}", Refusal::Member, 2);
    refuse_state("a=é", Refusal::Member, 2);
    refuse_state(&format!("a={longest}v"), Refusal::Member, 2 + 256);
}

fn empty_members_and_lists() {
    for empty in ["", ",", " , \t,,"] {
        let parsed = state(empty);
        assert!(parsed.is_empty());
        let span = SpanContext {
            trace_parent: VALID.parse().unwrap(),
            trace_state: parsed,
        };
        let context = Context {
            span: Some(span),
            baggage: Baggage::default(),
        };
        let headers = Carried::new(context, None, None).to_headers(&AllowList::all());
        assert_eq!(headers, [("traceparent", VALID.to_owned())]);
    }
    assert_eq!(state(",a=1,, \t ,b=2,").as_str(), "a=1,b=2");
}

fn several_values_are_joined() {
    let joined =
        |values: &[&str]| TraceState::from_values(values.iter().map(|value| value.as_bytes()));
    assert_eq!(joined(&[]).unwrap(), TraceState::default());
    assert_eq!(
        joined(&["a=1,b=2", "", "c=3,a=4"]).unwrap().as_str(),
        "a=1,b=2,c=3"
    );
    assert_refusal(
        &joined(&["", "a=1", "B=2"]).unwrap_err(),
        "tracestate",
        Refusal::Member,
        5,
    );
    let values = vec!["a=1"; 100_000];
    assert_refusal(
        &joined(&values).unwrap_err(),
        "tracestate",
        Refusal::TooLong,
        8192,
    );
    assert_refusal(
        &joined(&vec![""; 10_000]).unwrap_err(),
        "tracestate",
        Refusal::TooLong,
        8192,
    );
}

fn a_33rd_member() {
    let members: Vec<String> = (0..33).map(|n| format!("k{n:02}=v")).collect();
    assert_eq!(state(&members[..32].join(",")).members().count(), 32);
    refuse_state(&members.join(","), Refusal::TooMany, 32 * 6);
    assert_eq!(
        state(&[",".repeat(1000), members[..32].join(" , ")].concat())
            .members()
            .count(),
        32
    );
    // The bound is on what was sent, repeated or not.
    refuse_state(&vec!["a=1"; 33].join(","), Refusal::TooMany, 32 * 4);
}

fn a_malformed_member_discards_the_list() {
    for (list, offset) in [
        ("a=1,b,c=3", 5),
        ("a=1,b c=2", 5),
        ("a=1;b=2", 5),
        ("a=1\n,b=2", 3),
        ("a=1,\n", 4),
    ] {
        refuse_state(list, Refusal::Member, offset);
        let context = read(&[("traceparent", VALID), ("tracestate", list)]);
        let span = context.span.unwrap();
        assert_eq!(
            (
                span.trace_parent.to_header().as_str(),
                span.trace_state.as_str()
            ),
            (VALID, "")
        );
    }
}

fn at_least_512_characters_are_sent() {
    let long = format!("long={}", "v".repeat(200));
    let short: Vec<String> = (0..20)
        .map(|n| format!("k{n:02}={}", "v".repeat(46)))
        .collect();
    let list = [&short[..10].join(","), &long, &short[10..].join(",")]
        .map(String::as_str)
        .join(",");
    let state = state(&list);
    assert_eq!(state.truncated(list.len()), list);
    assert_eq!(state.truncated(list.len() - 1), short.join(","));
    assert_eq!(
        state.truncated(0),
        short[..11].join(","),
        "560 characters; one less would leave 509"
    );
}

fn everything_within_the_limits_is_passed_on() {
    let members: Vec<String> = (0..65).map(|n| format!("k{n}=v")).collect();
    assert_eq!(
        baggage(&members[..64].join(",")).to_header(),
        members[..64].join(",")
    );
    let (kept, dropped) = Baggage::parse(&members.join(","));
    assert_eq!((kept.to_header(), dropped), (members[..64].join(","), 1));
    let longest = format!("a={},b=1", "v".repeat(8186));
    assert_eq!(
        (longest.len(), baggage(&longest).to_header()),
        (8192, longest.clone())
    );
    let (kept, dropped) = Baggage::parse(&format!("{longest}2"));
    assert_eq!((kept.to_header(), dropped), (longest[..8188].to_owned(), 1));
    let field = format!("k={}", "v".repeat(8190));
    let fields = vec![field.as_bytes(); 1000];
    let (kept, dropped) = Baggage::from_values(fields.into_iter());
    assert_eq!((kept.to_header(), dropped), (field, 999));
}

fn names_are_tokens_and_values_may_hold_anything() {
    assert_eq!(value_of("k=a=b=c", "k"), "a=b=c");
    assert_eq!(value_of("k=", "k"), "");
    assert_eq!(value_of("a%20b=1", "a%20b"), "1");
    assert_eq!(value_of("constructor=1,__proto__=2", "__proto__"), "2");
    let (kept, dropped) = Baggage::parse("a b=1,ok=2,\"=3,=4,novalue");
    assert_eq!((kept.to_header().as_str(), dropped), ("ok=2", 4));
}

fn what_is_out_of_range_is_encoded() {
    let mut all = Baggage::default();
    all.insert(BaggageMember::new("k", "%\\\",; \r\nü!#~"))
        .unwrap();
    assert_eq!(all.to_header(), "k=%25%5C%22%2C%3B%20%0D%0A%C3%BC!#~");
    assert_eq!(baggage(&all.to_header()), all);
    assert_eq!(value_of("k=a%FFb%c3", "k"), "a\u{FFFD}b\u{FFFD}");
    assert_eq!(value_of("k=%c3%bc", "k"), "ü");
}

fn one_value_per_name_and_a_way_to_clear() {
    let all = baggage("a=1;p,b=2,a=3,A=4");
    assert_eq!(all.to_header(), "a=3,b=2,A=4");
    assert!(all.filtered(&AllowList::none()).is_empty());
    assert_eq!(
        all.filtered(&AllowList::from_names(vec!["A".into()]))
            .to_header(),
        "A=4"
    );
    assert_eq!(all.filtered(&AllowList::all()), all);
    // A name that came late still wins over its first value, beyond 64 names too.
    let many: Vec<String> = (0..64).map(|n| format!("k{n}=v")).collect();
    let (kept, dropped) = Baggage::parse(&format!("{},new=v,k0=last", many.join(",")));
    assert_eq!(
        (kept.len(), dropped, kept.get("k0").unwrap().value.as_str()),
        (64, 1, "last")
    );
}

/// A megabyte is refused, or cut, before it is split.
#[test]
fn a_megabyte_is_refused_on_its_length() {
    for text in [",", " ", "\t", "=", "a", ";", "%", "a=1,", "00-"] {
        let huge = text.repeat((1 << 20) / text.len());
        refuse_parent(&huge, Refusal::TooLong, 512);
        refuse_state(&huge, Refusal::TooLong, 8192);
        let (kept, dropped) = Baggage::parse(&huge);
        assert!(kept.len() <= 1 && dropped >= 1, "{text:?}");
    }
    let spaces = " ".repeat(8192);
    assert_eq!(Baggage::parse(&spaces), (Baggage::default(), 0));
    assert!(state(&spaces).is_empty());
}

proptest! {
    #[test]
    fn a_traceparent_round_trips(trace_id: [u8; 16], span_id: [u8; 8], bits: u8) {
        let Some(value) = TraceParent::new(trace_id, span_id, TraceFlags::from_bits(bits)) else { return Ok(()) };
        let header = value.to_header();
        prop_assert_eq!(TraceParent::parse(header.as_bytes()), Ok(value));
        for end in 0..header.len() {
            let error = TraceParent::parse(&header.as_bytes()[..end]).unwrap_err();
            prop_assert_eq!((error.reason(), error.offset()), (Some(Refusal::Length), Some(end)));
        }
    }

    /// What is accepted at all prints as something that is read as the same again.
    #[test]
    fn any_accepted_traceparent_is_stable(value in "[ \t]{0,2}(0[0-2]|f[e-f]|[0-9a-fA-F]{2})-[0-9a-f]{31,33}-[0-9a-f]{16}-[0-9a-f]{2}(-[ -~]{0,4})?[ \t\n]{0,1}") {
        if let Ok(parsed) = TraceParent::parse(value.as_bytes()) {
            let header = parsed.to_header();
            prop_assert_eq!(&header[3..53], &value.trim_matches([' ', '\t'])[3..53]);
            prop_assert_eq!(TraceParent::parse(header.as_bytes()), Ok(parsed));
        }
    }

    #[test]
    fn a_tracestate_round_trips(members in prop::collection::btree_map("[a-z0-9][a-z0-9_*/@-]{0,20}", "[ -+--<>-~]{0,20}[!-+--<>-~]", 0..=32), spaces in "[ \t]{0,3}") {
        let list: Vec<String> = members.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let parsed = state(&list.join(","));
        prop_assert_eq!(parsed.as_str(), list.join(","));
        prop_assert!(parsed.members().eq(members.iter().map(|(key, value)| (key.as_str(), value.as_str()))));
        // White space and empty members between members change nothing, and neither does a split over several values.
        prop_assert_eq!(&state(&list.join(&format!("{spaces},,{spaces}"))), &parsed);
        prop_assert_eq!(&TraceState::from_values(list.iter().map(String::as_bytes)).unwrap(), &parsed);
    }

    /// Whatever comes in: what is accepted is stable, and a cut keeps whole members in order.
    #[test]
    fn any_accepted_tracestate_is_stable(value in "([a-c1@A]{0,3}=?[a-c= ]{0,3}[, \t]{0,2}){0,36}", max in 0_usize..9000) {
        match TraceState::parse(&value) {
            Ok(parsed) => {
                prop_assert_eq!(&state(parsed.as_str()), &parsed);
                let cut = state(&parsed.truncated(max));
                let mut all = parsed.members();
                prop_assert!(cut.members().all(|member| all.any(|other| other == member)));
            }
            Err(error) => prop_assert!(error.offset().unwrap() <= value.len()),
        }
    }

    #[test]
    fn any_value_of_baggage_round_trips(members in prop::collection::btree_map("[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,8}", any::<String>(), 0..=16)) {
        let mut all = Baggage::default();
        for (key, value) in &members {
            all.insert(BaggageMember::new(key, value)).unwrap();
        }
        let (header, dropped) = all.encode();
        let parsed = baggage(&header);
        prop_assert_eq!(parsed.len() + dropped, all.len());
        prop_assert!(parsed.iter().eq(all.iter().take(parsed.len())));
        prop_assert!(header.bytes().all(|byte| byte.is_ascii_graphic()));
        let values: Vec<&[u8]> = header.as_bytes().split(|&byte| byte == b',').collect();
        prop_assert_eq!(Baggage::from_values(values.into_iter()), (parsed, 0));
    }

    #[test]
    fn any_accepted_baggage_is_stable(value in "([a-c%é]{0,2}=?[a-c=%+\\\\20fF]{0,4}[; \t]{0,2}[,p= ]{0,2}){0,20}") {
        let (parsed, _) = Baggage::parse(&value);
        prop_assert_eq!(&baggage(&parsed.to_header()), &parsed);
    }

    #[test]
    fn nothing_that_comes_in_makes_a_reader_fail(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
        let _ = TraceParent::parse(&bytes);
        let (parsed, _) = Baggage::from_values(std::iter::once(&bytes[..]));
        prop_assert_eq!(&baggage(&parsed.to_header()), &parsed);
        if let Ok(parsed) = TraceState::from_values(std::iter::once(&bytes[..])) {
            prop_assert!(parsed.as_str().bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
}

fn with_flags(flags: &str) -> String {
    format!("{}{flags}", &VALID[..53])
}

fn sent_on(value: &str) -> String {
    TraceParent::parse(value.as_bytes()).unwrap().to_header()
}

fn state(value: &str) -> TraceState {
    TraceState::parse(value).unwrap()
}

/// Baggage of which nothing is dropped.
fn baggage(value: &str) -> Baggage {
    let (parsed, dropped) = Baggage::parse(value);
    assert_eq!(dropped, 0, "{value:?}");
    parsed
}

fn value_of(header: &str, name: &str) -> String {
    baggage(header).get(name).unwrap().value.clone()
}

fn read(headers: &[(&str, &str)]) -> Context {
    let headers = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()));
    Carried::from_headers(headers, &AllowList::all()).context
}

fn refuse_parent(value: &str, reason: Refusal, offset: usize) {
    assert_refusal(
        &TraceParent::parse(value.as_bytes()).unwrap_err(),
        "traceparent",
        reason,
        offset,
    );
}

fn refuse_state(value: &str, reason: Refusal, offset: usize) {
    assert_refusal(
        &TraceState::parse(value).unwrap_err(),
        "tracestate",
        reason,
        offset,
    );
}

fn assert_refusal(error: &Error, field: &str, reason: Refusal, offset: usize) {
    assert_eq!(
        (error.kind(), error.field(), error.reason(), error.offset()),
        (
            ErrorKind::Malformed,
            Some(field),
            Some(reason),
            Some(offset)
        )
    );
}
