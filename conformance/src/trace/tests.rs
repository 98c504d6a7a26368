use super::expect::{About, Expected, ExpectedForest, Report, Top};
use super::page::{Page, Sightings, render};
use super::streams::{Direction, streams, table};
use super::text::{clean, duration, html, shortened};
use super::tree::{Style, draw};
use super::{
    Attributes, Event, Forest, Kind, Link, Span, SpanId, SpanRef, Status, TraceId, TraceParent,
    Value,
};

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000_000_000;

fn trace(number: u8) -> TraceId {
    TraceId::from_slice(&[number; 16]).unwrap()
}

fn id(number: u8) -> SpanId {
    SpanId::from_slice(&[number; 8]).unwrap()
}

fn span(service: &str, name: &str, kind: Kind, own: u8, parent: Option<u8>) -> Span {
    Span {
        service: service.into(),
        name: name.into(),
        kind,
        trace_id: trace(1),
        span_id: id(own),
        parent: parent.map(id),
        links: Vec::new(),
        start_ns: START + u64::from(own) * MS,
        end_ns: START + 2_000 * MS,
        attributes: [("websocket.session.id", "s1")].into_iter().collect(),
        events: Vec::new(),
        status: Status::Unset,
        flags: 1,
        trace_state: String::new(),
    }
}

fn in_trace(number: u8, mut span: Span) -> Span {
    span.trace_id = trace(number);
    span
}

fn linking(mut span: Span, to: &Span) -> Span {
    span.links.push(Link {
        to: to.reference(),
        attributes: Attributes::default(),
    });
    span
}

/// Two handshakes in a trace of their own, and a call with a worker below it.
fn received() -> Vec<Span> {
    let handshake = in_trace(
        2,
        span("device", "websocket.handshake", Kind::Client, 1, None),
    );
    let accepted = in_trace(
        2,
        span("gateway", "websocket.handshake", Kind::Server, 2, Some(1)),
    );
    let call = linking(span("device", "order", Kind::Client, 3, None), &handshake);
    let mut served = linking(
        span("gateway", "order", Kind::Server, 4, Some(3)),
        &accepted,
    );
    let metrics = [
        ("websocket.session.id", Value::from("s1")),
        ("websocket.stream.outcome", "complete".into()),
        ("websocket.stream.sent.chunks", 10_i64.into()),
        ("websocket.stream.sent.bytes", 2_048_i64.into()),
        ("websocket.stream.sent.time_to_first_chunk", 0.1.into()),
        ("websocket.stream.sent.time_to_last_chunk", 1.9.into()),
        ("websocket.stream.sent.rate", 5_i64.into()),
        ("websocket.stream.sent.stalls", 1_i64.into()),
        ("websocket.stream.sent.stall_time", 1.2.into()),
    ];
    served.attributes = metrics.into_iter().collect();
    served.events.push(Event {
        name: "websocket.stream.stall".into(),
        time_ns: START + 1_700 * MS,
        attributes: [
            ("websocket.stream.direction", Value::from("sent")),
            ("websocket.stream.interval", 1.2.into()),
            ("websocket.stream.chunk", 5_i64.into()),
        ]
        .into_iter()
        .collect(),
    });
    let cook = span("gateway", "cook", Kind::Internal, 5, Some(4));
    // In another order than that of their start.
    vec![cook, served, accepted, call, handshake]
}

fn expected() -> ExpectedForest {
    ExpectedForest::new()
        .tree(
            Top::RootOrUnder("served".into()),
            Expected::new("device", "websocket.handshake", Kind::Client)
                .label("handshake")
                .child(
                    Expected::new("gateway", "websocket.handshake", Kind::Server)
                        .label("accepted")
                        .same("websocket.session.id", "handshake"),
                ),
        )
        .tree(
            Top::Root,
            Expected::new("device", "order", Kind::Client)
                .label("call")
                .attribute("websocket.session.id", "s1")
                .lacks("error.type")
                .link("handshake")
                .child(
                    Expected::new("gateway", "order", Kind::Server)
                        .label("served")
                        .same("websocket.session.id", "call")
                        .event("websocket.stream.stall")
                        .link("accepted")
                        .child(Expected::new("gateway", "cook", Kind::Internal)),
                ),
        )
}

fn check(spans: Vec<Span>) -> Report {
    expected().check(&Forest::new(spans))
}

fn named<'a>(spans: &'a mut [Span], service: &str, name: &str) -> &'a mut Span {
    spans
        .iter_mut()
        .find(|span| span.service == service && span.name == name)
        .unwrap()
}

#[test]
fn the_expected_graph_has_no_difference() {
    let report = check(received());
    assert!(report.is_ok(), "{report}");
    assert_eq!(report.labels.len(), 4);
}

/// Each change of one thing is one difference, of its own sort.
#[test]
fn each_change_is_found_and_named() {
    type Change = fn(&mut Vec<Span>);
    let changes: [(&str, About, usize, Change); 14] = [
        ("a span is missing", About::Missing, 1, |spans| {
            spans.retain(|span| span.name != "cook")
        }),
        ("a span too many", About::Unexpected, 1, |spans| {
            spans.push(span("gateway", "cook", Kind::Internal, 9, Some(4)));
        }),
        ("a root too many", About::Unexpected, 1, |spans| {
            spans.push(in_trace(3, span("gateway", "order", Kind::Server, 9, None)));
        }),
        ("received twice", About::Duplicate, 1, |spans| {
            spans.push(spans[0].clone())
        }),
        ("another parent", About::Parent, 1, |spans| {
            named(spans, "gateway", "cook").parent = Some(id(3));
        }),
        ("a parent that is not there", About::Parent, 1, |spans| {
            named(spans, "gateway", "order").parent = Some(id(77));
        }),
        ("another trace", About::Parent, 1, |spans| {
            named(spans, "gateway", "order").trace_id = trace(9);
            named(spans, "gateway", "cook").trace_id = trace(9);
        }),
        ("another kind", About::Kind, 1, |spans| {
            named(spans, "gateway", "order").kind = Kind::Consumer;
        }),
        ("no attribute", About::Attribute, 1, |spans| {
            named(spans, "gateway", "order").attributes = Attributes::default();
        }),
        ("another value", About::Attribute, 2, |spans| {
            named(spans, "device", "order").attributes =
                [("websocket.session.id", "s2")].into_iter().collect();
        }),
        ("no event", About::Event, 1, |spans| {
            named(spans, "gateway", "order").events.clear()
        }),
        ("a failure", About::Status, 1, |spans| {
            named(spans, "gateway", "cook").status = Status::Error(String::new());
        }),
        ("no link", About::Link, 1, |spans| {
            named(spans, "device", "order").links.clear()
        }),
        ("another link", About::Link, 1, |spans| {
            let cook = named(spans, "gateway", "cook").clone();
            named(spans, "device", "order").links.push(Link {
                to: cook.reference(),
                attributes: Attributes::default(),
            });
        }),
    ];
    for (what, about, count, change) in changes {
        let mut spans = received();
        change(&mut spans);
        let report = check(spans);
        assert_eq!(report.about(about).count(), count, "{what}: {report}");
        assert_eq!(report.differences.len(), count, "{what}: {report}");
    }
}

#[test]
fn a_foreign_parent_is_told_from_a_root() {
    let foreign: TraceParent = "00-01010101010101010101010101010101-00f067aa0ba902b7-01"
        .parse()
        .unwrap();
    let tree = || Expected::new("device", "order", Kind::Client);
    let mut call = span("device", "order", Kind::Client, 3, None);
    call.parent = Some(foreign.span.span_id);
    let under = Forest::new(vec![call]);
    let root = Forest::new(vec![span("device", "order", Kind::Client, 3, None)]);
    let remote = ExpectedForest::new().tree(Top::Remote(foreign.span), tree());
    assert!(remote.check(&under).is_ok());
    assert_eq!(remote.check(&root).about(About::Parent).count(), 1);
    let top = ExpectedForest::new().tree(Top::Root, tree());
    assert_eq!(top.check(&under).about(About::Parent).count(), 1);
}

#[test]
fn failures_are_expected_with_their_type() {
    let mut failed = span("device", "order", Kind::Client, 3, None);
    failed.status = Status::Error("lost".into());
    failed.attributes = [("error.type", "io")].into_iter().collect();
    let forest = Forest::new(vec![failed]);
    let check = |expected: Expected| {
        ExpectedForest::new()
            .tree(Top::Root, expected)
            .check(&forest)
    };
    let expected = || Expected::new("device", "order", Kind::Client);
    assert!(check(expected().fails()).is_ok());
    assert!(check(expected().fails_with("io")).is_ok());
    assert!(check(expected().any_status()).is_ok());
    assert_eq!(
        check(expected().fails_with("timeout"))
            .about(About::Status)
            .count(),
        1
    );
    assert_eq!(check(expected()).about(About::Status).count(), 1);
}

#[test]
fn a_forest_survives_circles_and_deep_chains() {
    let circle = Forest::new(vec![
        span("a", "x", Kind::Internal, 1, Some(2)),
        span("a", "y", Kind::Internal, 2, Some(1)),
        span("a", "z", Kind::Internal, 3, Some(3)),
    ]);
    assert_eq!(circle.walk().len(), 3);
    assert_eq!(circle.roots().len(), 2);

    let chain = (1..=20_000_u64).map(|number| {
        let mut link = span("a", "deep", Kind::Internal, 1, None);
        link.span_id = SpanId::from_slice(&number.to_be_bytes()).unwrap();
        link.parent = SpanId::from_slice(&(number - 1).to_be_bytes());
        link
    });
    let forest = Forest::new(chain.collect());
    assert_eq!(forest.walk().last().map(|(_, depth)| *depth), Some(19_999));
    assert!(draw(&forest, Style::default()).len() < 20_000 * 400);
}

#[test]
fn streams_are_read_with_their_stalls() {
    let forest = Forest::new(received());
    let streams = streams(&forest);
    let [stream] = &streams[..] else {
        panic!("one direction has chunks: {streams:?}")
    };
    assert_eq!(
        (stream.direction, stream.chunks, stream.stalls),
        (Direction::Sent, 10, 1)
    );
    assert_eq!(stream.rate, Some(5.0));
    assert_eq!(stream.route(&forest), "gateway → device");
    let arrivals = stream.arrivals(100);
    assert_eq!(arrivals.len(), 10);
    assert!(
        arrivals
            .windows(2)
            .all(|pair| pair[0].at_ns <= pair[1].at_ns)
    );
    let measured: Vec<u64> = arrivals
        .iter()
        .filter(|a| a.measured)
        .map(|a| (a.at_ns - START) / MS)
        .collect();
    assert_eq!(measured, [104, 500, 1_700, 1_904]);
    assert!(stream.arrivals(4).len() <= 10);

    let text = table(&forest, &streams);
    assert!(text.contains("gateway → device"), "{text}");
    assert!(
        text.contains("stall: gateway → device waited 1.20 s before chunk 6 of 10"),
        "{text}"
    );
}

#[test]
fn the_tree_shows_service_span_kind_duration_links_and_stalls() {
    let text = draw(&Forest::new(received()), Style::default());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 7, "{text}");
    assert!(lines[3].starts_with("trace 0101"), "{text}");
    assert!(lines[3].contains("3 spans, 2 services"), "{text}");
    assert!(lines[4].starts_with("device  order"), "{text}");
    assert!(
        lines[4].contains("CLIENT") && lines[4].contains("↗ device websocket.handshake"),
        "{text}"
    );
    assert!(
        lines[5].starts_with("└─ gateway  order") && lines[5].contains("stall 1.20 s sent"),
        "{text}"
    );
    assert!(lines[6].starts_with("   └─ gateway  cook"), "{text}");
    assert!(!text.contains('\x1b'));
    assert!(draw(&Forest::new(received()), Style { colour: true }).contains("\x1b[36mgateway"));
}

#[test]
fn nothing_that_a_peer_chose_reaches_the_page_or_the_terminal_unescaped() {
    let evil = "<script>alert(1)</script>\"'&\x1b[2J\u{202e}\r\n";
    let mut spans = received();
    for span in &mut spans {
        span.service = evil.into();
        span.name = evil.into();
        span.status = Status::Error(evil.into());
        span.trace_state = evil.into();
        let outcome = [
            (evil, Value::from(evil)),
            ("error.type", evil.into()),
            ("websocket.stream.outcome", evil.into()),
            ("websocket.stream.sent.chunks", 3_i64.into()),
            ("websocket.stream.sent.time_to_first_chunk", f64::NAN.into()),
            (
                "websocket.stream.sent.time_to_last_chunk",
                f64::INFINITY.into(),
            ),
        ];
        span.attributes = outcome.into_iter().collect();
        for event in &mut span.events {
            event.name = evil.into();
        }
    }
    let forest = Forest::new(spans);
    let page = render(
        &Page {
            title: evil.into(),
            subtitle: evil.into(),
            facts: vec![(evil.into(), evil.into())],
            problems: Some(vec![evil.into()]),
            sightings: vec![Sightings {
                label: evil.into(),
                service: evil.into(),
                seen: vec![(START, evil.into()), (u64::MAX, evil.into())],
            }],
        },
        &forest,
    );
    assert!(!page.contains("<script"), "script");
    assert!(!page.contains("'&"), "quotes");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;\\u{1b}[2J"));
    for text in [
        page,
        draw(&forest, Style::default()),
        table(&forest, &streams(&forest)),
    ] {
        assert!(!text.contains(['\x1b', '\u{202e}', '\r']), "{text}");
    }
}

#[test]
fn the_page_asks_for_nothing_outside_itself() {
    let page = render(&Page::default(), &Forest::new(received()));
    assert!(page.contains("default-src 'none'"));
    for outside in [
        "http:", "https:", "src=", "@import", "url(", "<script", "<link", "<iframe",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("href=\"#span-"));
    // Nothing at all is a page, too.
    assert!(render(&Page::default(), &Forest::new(Vec::new())).contains("</html>"));
}

#[test]
fn trace_parents_are_read_strictly() {
    let valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let parsed: TraceParent = valid.parse().unwrap();
    assert!(!parsed.is_sampled());
    let reference = SpanRef {
        trace_id: parsed.span.trace_id,
        span_id: parsed.span.span_id,
    };
    assert_eq!(reference.to_string(), &valid[3..52]);
    for invalid in [
        "",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
        "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
    ] {
        assert!(invalid.parse::<TraceParent>().is_err(), "{invalid}");
    }
}

#[test]
fn texts_are_readable() {
    for (ns, text) in [
        (0, "0 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (12_345, "12.3 µs"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (999_499_999, "999 ms"),
        (1_200_000_000, "1.20 s"),
        (u64::MAX, "18446744074 s"),
    ] {
        assert_eq!(duration(ns), text);
    }
    assert_eq!(shortened("abcdef", 4), "abc…");
    assert_eq!(clean("a\tb"), "a\\u{9}b");
    assert_eq!(html("<a href=\"x\">"), "&lt;a href=&quot;x&quot;&gt;");
}
