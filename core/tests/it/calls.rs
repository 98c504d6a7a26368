use wirespan::connection::{ContextRef, Fitted, Message, Options, ReadEnd, StreamKey};
use wirespan::counters::Counter;
use wirespan::envelope::{Body, Form, Kind};
use wirespan::{Error, ErrorKind};

use crate::harness::{Side, Wire, connect_with, connected, span, span_header};

fn send_error(side: &mut Side, key: StreamKey) -> Error {
    let now = side.now;
    side.core
        .send(
            key,
            Message::new(Body::Text("x")),
            &ContextRef::default(),
            now,
        )
        .unwrap_err()
}

#[test]
fn a_stream_carries_its_context_once_and_numbers_its_messages() {
    let (mut client, mut server) = connected();
    let call = client.call("transcribe");
    let first = client.send(call, "\"a\"");
    let expected = format!(
        "{{\"headers\":{{\"traceparent\":\"{}\",\"kind\":\"call\",\"method\":\"transcribe\",\"stream\":\"1\"}},\"body\":\"a\"}}",
        span_header(7)
    );
    assert_eq!(first.as_text(), expected);
    let second = client.send(call, "2");
    assert_eq!(
        second.as_text(),
        "{\"headers\":{\"stream\":\"1\",\"seq\":\"1\"},\"body\":2}"
    );
    let last = client.send_last(call, "x y");
    assert_eq!(
        last.as_text(),
        "{\"headers\":{\"stream\":\"1\",\"seq\":\"2\",\"end\":\"1\",\"content\":\"text\"},\"body\":\"x y\"}"
    );
    let delivered = server.receive(&first);
    let opened = delivered.opened.as_ref().unwrap();
    assert_eq!(
        (opened.kind, opened.method.as_deref()),
        (Kind::Call, Some("transcribe"))
    );
    assert_eq!(delivered.context.as_ref().unwrap().trace_parent, span(7));
    assert_eq!(delivered.body(), "\"a\"");
    let key = delivered.stream;
    assert_eq!(server.receive(&second).body(), "2");
    assert_eq!(server.receive(&last).body(), "x y");
    assert_eq!(server.read_end(key), Some(&ReadEnd::Complete));
    let reply = server.send_last(key, "done");
    assert_eq!(
        reply.as_text(),
        "{\"headers\":{\"stream\":\"1\",\"end\":\"1\",\"content\":\"text\"},\"body\":\"done\"}"
    );
    assert_eq!(client.receive(&reply).body(), "done");
    assert_eq!(client.outcome(call), "complete");
    assert_eq!(
        server.core.open_streams(),
        1,
        "the callee's call lasts until its handler returns"
    );
    server.core.leave(key, server.now);
    server.poll();
    assert_eq!(server.outcome(key), "complete");
    assert!(
        server.take_out().is_empty(),
        "its direction has ended already"
    );
}

#[test]
fn both_sides_can_call_and_ids_keep_their_parity() {
    let (mut client, mut server) = connected();
    let from_client = client.call("a");
    let first = client.send(from_client, "1");
    let from_server = server.call("b");
    let second = server.send(from_server, "2");
    assert!(first.as_text().contains("\"stream\":\"1\""));
    assert!(second.as_text().contains("\"stream\":\"2\""));
    assert!(server.receive(&first).opened.is_some());
    assert!(client.receive(&second).opened.is_some());
    let next = client.call("c");
    assert!(
        client
            .send(next, "3")
            .as_text()
            .contains("\"stream\":\"3\"")
    );
}

#[test]
fn a_repeated_first_message_opens_nothing() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let first = client.send(call, "1");
    let opened = server.receive(&first);
    let again = server.receive(&first);
    assert!(again.opened.is_none());
    assert_eq!((again.stream, again.body()), (opened.stream, "1"));
    assert_eq!(server.count(Counter::Repeat), 1);
}

#[test]
fn gaps_and_reordering_are_counted_and_hold_nothing_back() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let wires: Vec<Wire> = (0..5).map(|n| client.send(call, &n.to_string())).collect();
    server.receive(&wires[0]);
    assert_eq!(server.receive(&wires[3]).body(), "3");
    assert_eq!(server.receive(&wires[2]).body(), "2");
    assert_eq!(server.receive(&wires[2]).body(), "2");
    let counted =
        [Counter::Gap, Counter::Reorder, Counter::Repeat].map(|counter| server.count(counter));
    assert_eq!(counted, [2, 1, 1]);
}

#[test]
fn a_stream_opens_only_by_a_kind_without_seq_and_a_new_id() {
    let (_, mut server) = connected();
    let refused = [
        (
            "{\"headers\":{\"stream\":\"1\"},\"body\":1}",
            "without kind",
        ),
        (
            "{\"headers\":{\"kind\":\"call\",\"stream\":\"1\",\"seq\":\"1\"},\"body\":1}",
            "with seq",
        ),
        (
            "{\"headers\":{\"kind\":\"call\",\"stream\":\"1\",\"seq\":\"0\"},\"body\":1}",
            "with seq 0",
        ),
    ];
    for (index, (text, why)) in refused.into_iter().enumerate() {
        let delivered = server.receive_text(text);
        assert!(delivered.opened.is_none() && delivered.is_plain(), "{why}");
        assert_eq!(delivered.body(), "1");
        assert_eq!(server.count(Counter::Unmatched), index as u32 + 1, "{why}");
    }
    assert!(
        server
            .receive_text("{\"headers\":{\"kind\":\"call\",\"stream\":\"5\"},\"body\":1}")
            .opened
            .is_some()
    );
    let lower =
        server.receive_text("{\"headers\":{\"kind\":\"call\",\"stream\":\"3\"},\"body\":1}");
    assert!(lower.opened.is_none() && lower.is_plain());
    assert_eq!(server.count(Counter::Unmatched), 4);
}

#[test]
fn end_rides_on_a_message_without_body_when_nothing_is_left_to_say() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let first = client.send(call, "1");
    client
        .core
        .end(call, &ContextRef::default(), client.now)
        .unwrap();
    client.poll();
    let end = client.take_out().remove(0);
    assert_eq!(
        end.as_text(),
        "{\"headers\":{\"stream\":\"1\",\"seq\":\"1\",\"end\":\"1\",\"content\":\"none\"},\"body\":null}"
    );
    let key = server.receive(&first).stream;
    assert_eq!(server.receive(&end).body, None);
    assert_eq!(server.read_end(key), Some(&ReadEnd::Complete));
    assert_eq!(
        send_error(&mut client, call).kind(),
        ErrorKind::InvalidState
    );
    let report = server.core.metrics(key).unwrap();
    assert_eq!(report.1.chunks, 1, "a message without body is no chunk");
}

#[test]
fn a_call_that_only_ends_opens_with_its_end() {
    let (mut client, mut server) = connected();
    let call = client.call("ping");
    let context = ContextRef {
        trace_parent: Some(span(7)),
        ..ContextRef::default()
    };
    client.core.end(call, &context, client.now).unwrap();
    client.poll();
    let wire = client.take_out().remove(0);
    assert!(
        wire.as_text()
            .starts_with("{\"headers\":{\"traceparent\":\"00-"),
        "{}",
        wire.as_text()
    );
    assert!(
        wire.as_text()
            .contains("\"kind\":\"call\",\"method\":\"ping\",\"stream\":\"1\",\"end\":\"1\"")
    );
    let delivered = server.receive(&wire);
    assert!(delivered.opened.is_some());
    assert_eq!(server.read_end(delivered.stream), Some(&ReadEnd::Complete));
}

#[test]
fn binary_streams_end_in_binary() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let first = client.send_message(call, Message::new(Body::Binary(b"\x00\x01")));
    assert_eq!(first.form, Form::Binary);
    client
        .core
        .end(call, &ContextRef::default(), client.now)
        .unwrap();
    client.poll();
    let end = client.take_out().remove(0);
    assert_eq!(end.form, Form::Binary);
    assert_eq!(server.receive(&first).body(), "\u{0}\u{1}");
    assert_eq!(server.receive(&end).body, None);
}

#[test]
fn a_call_that_sent_nothing_writes_nothing_when_left() {
    for leave in [
        Connection::leave_it,
        Connection::cancel_it,
        Connection::fail_it,
    ] {
        let (mut client, _) = connected();
        let call = client.call("a");
        leave(&mut client, call);
        client.poll();
        assert!(client.take_out().is_empty());
        client.span_end(call);
        assert_eq!(client.core.open_streams(), 0);
    }
}

struct Connection;

impl Connection {
    fn leave_it(side: &mut Side, key: StreamKey) {
        side.core.leave(key, side.now);
    }
    fn cancel_it(side: &mut Side, key: StreamKey) {
        side.core.cancel(key, side.now);
    }
    fn fail_it(side: &mut Side, key: StreamKey) {
        side.core.fail(key, "ValueError", side.now);
    }
}

#[test]
fn leaving_with_an_open_reply_abandons_it_without_a_cancel() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let key = {
        let wire = client.send(call, "1");
        server.receive(&wire).stream
    };
    client.core.leave(call, client.now);
    client.poll();
    let out = client.take_out();
    assert_eq!(out.len(), 1);
    assert!(out[0].as_text().contains("\"end\":\"1\""));
    assert_eq!(client.outcome(call), "abandoned");
    assert_eq!(client.error_type(call), None);
    let reply = server.send(key, "2");
    assert_eq!(client.receive(&reply).body, None);
    assert_eq!(client.count(Counter::Discarded), 1);
}

#[test]
fn cancel_ends_both_directions_and_is_no_error() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let wire = client.send(call, "1");
    let key = server.receive(&wire).stream;
    client.core.cancel(call, client.now);
    client.poll();
    let cancel = client.take_out().remove(0);
    assert!(cancel.as_text().contains("\"end\":\"cancel\""));
    assert_eq!(server.receive(&cancel).body, None);
    let cancelled = ReadEnd::Failed {
        kind: ErrorKind::Cancelled,
        error_type: None,
    };
    assert_eq!(server.read_end(key), Some(&cancelled));
    for (side, key) in [(&mut client, call), (&mut server, key)] {
        assert_eq!(
            (side.outcome(key), side.error_type(key)),
            ("cancelled", None)
        );
        assert_eq!(send_error(side, key).kind(), ErrorKind::Cancelled);
    }
    let late = wire
        .as_text()
        .replace("\"stream\":\"1\"", "\"stream\":\"1\",\"seq\":\"9\"");
    assert_eq!(server.receive_text(&late).body, None);
    assert_eq!(server.count(Counter::Discarded), 1);
}

#[test]
fn an_error_names_its_type_on_both_spans() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let wire = client.send(call, "1");
    let key = server.receive(&wire).stream;
    server.core.fail(key, "ValueError", server.now);
    server.poll();
    let error = server.take_out().remove(0);
    assert!(
        error
            .as_text()
            .contains("\"end\":\"error\",\"error\":\"ValueError\"")
    );
    client.receive(&error);
    assert_eq!(client.error_type(call).as_deref(), Some("ValueError"));
    assert_eq!(server.error_type(key).as_deref(), Some("ValueError"));
    assert_eq!(send_error(&mut client, call).kind(), ErrorKind::Remote);
}

#[test]
fn an_error_without_a_usable_type_is_named_by_wirespan() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let wire = client.send(call, "1");
    let key = server.receive(&wire).stream;
    client.receive_text(
        "{\"headers\":{\"stream\":\"1\",\"end\":\"error\",\"content\":\"none\"},\"body\":null}",
    );
    assert_eq!(client.error_type(call).as_deref(), Some("remote"));
    server.core.fail(key, "no good\n", server.now);
    server.poll();
    assert!(
        server.take_out()[0]
            .as_text()
            .contains("\"error\":\"handler\"")
    );
}

#[test]
fn behind_its_end_a_side_may_still_cancel() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let only = client.send_last(call, "1");
    let key = server.receive(&only).stream;
    let late = server.receive_text("{\"headers\":{\"stream\":\"1\",\"seq\":\"1\"},\"body\":2}");
    assert!(late.is_plain());
    assert_eq!((late.body(), server.count(Counter::Late)), ("2", 1));
    client.core.cancel(call, client.now);
    client.poll();
    let cancel = client.take_out().remove(0);
    assert!(
        cancel
            .as_text()
            .contains("\"seq\":\"1\",\"end\":\"cancel\"")
    );
    server.receive(&cancel);
    assert_eq!(server.outcome(key), "cancelled");
}

#[test]
fn a_chunk_behind_a_normal_end_is_plain_and_without_context() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let only = client.send_last(call, "1");
    let key = server.receive(&only).stream;
    server.core.leave(key, server.now);
    server.poll();
    let again = server.receive(&only);
    assert!(again.is_plain() && again.opened.is_none() && again.context.is_none());
    assert_eq!((again.body(), server.count(Counter::Late)), ("1", 1));
}

#[test]
fn a_handler_that_returns_early_ends_its_direction_and_discards_the_rest() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let first = client.send(call, "1");
    let key = server.receive(&first).stream;
    server.core.leave(key, server.now);
    server.poll();
    let end = server.take_out().remove(0);
    assert!(
        end.as_text().contains("\"end\":\"1\",\"content\":\"none\""),
        "also when it sent nothing"
    );
    assert_eq!(server.outcome(key), "complete");
    let more = client.send(call, "2");
    assert_eq!(server.receive(&more).body, None);
    assert_eq!(server.count(Counter::Discarded), 1);
    client.receive(&end);
    assert_eq!(client.read_end(call), Some(&ReadEnd::Complete));
}

#[test]
fn an_opening_may_end_at_once_and_its_body_comes_first() {
    let (_, mut server) = connected();
    let text = "{\"headers\":{\"kind\":\"call\",\"stream\":\"1\",\"end\":\"cancel\"},\"body\":1}";
    let delivered = server.receive_text(text);
    assert!(delivered.opened.is_some());
    assert_eq!(delivered.body(), "1");
    assert_eq!(server.outcome(delivered.stream), "cancelled");
}

#[test]
fn a_transfer_has_no_replies() {
    let (mut client, mut server) = connected();
    let (key, _) = client
        .core
        .plan_transfer(Some("log"), None, client.now)
        .unwrap();
    let first = client.send(key, "1");
    assert!(first.as_text().contains("\"kind\":\"transfer\""));
    let delivered = server.receive(&first);
    assert_eq!(delivered.opened.as_ref().unwrap().kind, Kind::Transfer);
    let error = send_error(&mut server, delivered.stream);
    assert_eq!(error.kind(), ErrorKind::InvalidState);
    let last = client.send_last(key, "2");
    assert_eq!(client.outcome(key), "complete");
    server.receive(&last);
    server.core.leave(delivered.stream, server.now);
    server.poll();
    assert!(server.take_out().is_empty());
    assert_eq!(server.outcome(delivered.stream), "complete");
}

#[test]
fn a_receiver_may_cancel_a_transfer() {
    let (mut client, mut server) = connected();
    let (key, _) = client.core.plan_transfer(None, None, client.now).unwrap();
    let first = client.send(key, "1");
    let incoming = server.receive(&first).stream;
    let answer = client.receive_text("{\"headers\":{\"stream\":\"1\"},\"body\":5}");
    assert!(answer.is_plain());
    assert_eq!(client.count(Counter::Late), 1);
    server.core.cancel(incoming, server.now);
    server.poll();
    let cancel = server.take_out().remove(0);
    client.receive(&cancel);
    assert_eq!(client.outcome(key), "cancelled");
}

#[test]
fn an_echo_is_told_by_the_parity_of_its_ids() {
    let (mut client, _) = connected();
    let call = client.call("a");
    let wire = client.send(call, "1");
    let delivered = client.receive(&wire);
    assert!(delivered.is_plain());
    assert_eq!(
        delivered.context.unwrap().trace_parent,
        span(7),
        "plain, with its context"
    );
    assert_eq!(client.count(Counter::Role), 1);
    assert_eq!(client.error_type(call).as_deref(), Some("role"));
    let error = client.core.plan_call(None, None, client.now).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Role);
}

#[test]
fn a_plain_message_has_the_context_of_its_sender_and_own_headers() {
    let (mut client, mut server) = connected();
    let message = Message {
        body: Body::Text("1"),
        last: false,
        headers: &[("X-Id", "7")],
    };
    let wire = client.send_message(StreamKey::PLAIN, message);
    let expected = format!(
        "{{\"headers\":{{\"traceparent\":\"{}\",\"X-Id\":\"7\"}},\"body\":1}}",
        span_header(7)
    );
    assert_eq!(wire.as_text(), expected);
    let delivered = server.receive(&wire);
    assert_eq!(delivered.context.unwrap().trace_parent, span(7));
    assert_eq!(delivered.headers, [("X-Id".to_owned(), "7".to_owned())]);
}

#[test]
fn a_reserved_header_of_the_applications_is_refused_before_anything_changes() {
    let (mut client, _) = connected();
    let call = client.call("a");
    let now = client.now;
    let message = Message {
        body: Body::Text("1"),
        last: false,
        headers: &[("Stream", "7")],
    };
    let error = client
        .core
        .send(call, message, &ContextRef::default(), now)
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(
        client
            .send(call, "1")
            .as_text()
            .contains("\"stream\":\"1\"}"),
        "the first message is still to come"
    );
}

#[test]
fn baggage_that_is_too_long_is_counted_once_with_the_message_that_carries_it() {
    use wirespan::trace::{AllowList, Baggage, BaggageMember};
    let mut options = Options::default();
    options.baggage_out = AllowList::all();
    let (mut client, _server) = connect_with(options, Options::default(), None);
    let mut baggage = Baggage::default();
    for key in ["a", "b", "c"] {
        let value = "v".repeat(4000);
        let _ = baggage.insert(BaggageMember {
            key: key.into(),
            value,
            properties: String::new(),
        });
    }
    assert_eq!(baggage.encode().1, 1, "three members, room for two");
    let context = ContextRef {
        baggage: Some(&baggage),
        ..ContextRef::default()
    };
    let call = client.call("a");
    let message = Message::new(Body::Text("1"));
    let short = client.core.send_within(call, message, &context, 0, 10);
    assert!(matches!(short, Ok(Fitted::TooLong { .. })));
    assert_eq!(client.count(Counter::DroppedBaggage), 0, "nothing was made");
    for _ in 0..3 {
        client.core.send(call, message, &context, 0).unwrap();
    }
    assert_eq!(client.count(Counter::DroppedBaggage), 1);
}
