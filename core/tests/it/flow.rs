use wirespan::ErrorKind;
use wirespan::connection::{Event, Message, Options, PlainPolicy, ReadEnd, StreamKey};
use wirespan::counters::Counter;
use wirespan::envelope::{Body, Form};

use crate::harness::{MS, Side, Wire, connect_with, connected};

const SECOND: u64 = 1000 * MS;

fn limited(change: impl Fn(&mut Options)) -> (Side, Side) {
    let mut options = Options::default();
    change(&mut options);
    let (mut client, mut server) = connect_with(options.clone(), options, None);
    client.events.clear();
    server.events.clear();
    (client, server)
}

fn pauses(side: &Side) -> (usize, usize) {
    let count =
        |wanted: fn(&Event) -> bool| side.events.iter().filter(|event| wanted(event)).count();
    (
        count(|event| matches!(event, Event::PauseReading)),
        count(|event| matches!(event, Event::ResumeReading)),
    )
}

#[test]
fn a_full_reader_pauses_reading_and_resumes_when_it_takes_a_chunk() {
    let (mut client, mut server) = limited(|options| options.max_unread = 3);
    let call = client.call("a");
    let wires: Vec<Wire> = (0..3).map(|n| client.send(call, &n.to_string())).collect();
    let key = server.receive(&wires[0]).stream;
    server.receive(&wires[1]);
    assert!(server.core.may_read());
    server.receive(&wires[2]);
    assert!(!server.core.may_read());
    assert_eq!(pauses(&server), (1, 0));
    server.core.take(key, 1, server.now);
    server.poll();
    assert!(server.core.may_read());
    assert_eq!(pauses(&server), (1, 1));
}

#[test]
fn a_message_larger_than_the_bound_is_accepted_when_nothing_is_unread() {
    let (mut client, mut server) = limited(|options| options.max_unread_bytes = 10);
    let call = client.call("a");
    let wire = client.send_message(call, Message::new(Body::Binary(&[0; 50])));
    let delivered = server.receive(&wire);
    assert_eq!(delivered.body().len(), 50);
    assert!(!server.core.may_read());
    server.core.take(delivered.stream, 50, server.now);
    assert!(server.core.may_read());
}

#[test]
fn a_reader_that_stalls_loses_its_call_and_the_others_go_on() {
    let (mut client, mut server) = limited(|options| options.max_unread = 2);
    let stalled = client.call("stalled");
    let other = client.call("other");
    let wires: Vec<Wire> = (0..2)
        .map(|n| client.send(stalled, &n.to_string()))
        .collect();
    let stalled_key = server.receive(&wires[0]).stream;
    server.receive(&wires[1]);
    assert_eq!(server.core.next_deadline(), Some(server.now + 5 * SECOND));
    server.pass(5 * SECOND - 1);
    assert!(!server.core.may_read());
    server.pass(1);
    assert!(server.core.may_read());
    let overflow = ReadEnd::Failed {
        kind: ErrorKind::Overflow,
        error_type: Some("overflow".into()),
    };
    assert_eq!(server.read_end(stalled_key), Some(&overflow));
    assert_eq!(server.error_type(stalled_key).as_deref(), Some("overflow"));
    assert_eq!(server.count(Counter::Overflow), 1);
    let told = server.take_out().remove(0);
    assert!(
        told.as_text()
            .contains("\"end\":\"error\",\"error\":\"overflow\"")
    );
    client.receive(&told);
    assert_eq!(client.error_type(stalled).as_deref(), Some("overflow"));
    let wire = client.send(other, "1");
    assert!(server.receive(&wire).opened.is_some());
}

#[test]
fn each_chunk_taken_gives_a_full_reader_more_time() {
    let (mut client, mut server) = limited(|options| options.max_unread_bytes = 10);
    let call = client.call("a");
    let wires: Vec<Wire> = (0..3)
        .map(|_| client.send_message(call, Message::new(Body::Binary(&[0; 8]))))
        .collect();
    let key = server.receive(&wires[0]).stream;
    server.receive(&wires[1]);
    server.receive(&wires[2]);
    server.pass(4 * SECOND);
    server.core.take(key, 8, server.now);
    assert!(!server.core.may_read(), "16 bytes are still unread");
    server.pass(4 * SECOND);
    assert_eq!(server.core.open_streams(), 1);
    server.core.take(key, 8, server.now);
    assert!(server.core.may_read());
}

#[test]
fn plain_messages_that_nobody_reads_do_not_hold_up_calls_for_ever() {
    let (mut client, mut server) = limited(|options| options.max_unread = 2);
    server.core.set_plain_policy(PlainPolicy::Queue);
    for _ in 0..2 {
        server.receive(&Wire::text("x"));
    }
    assert!(!server.core.may_read());
    server.pass(5 * SECOND);
    assert!(server.core.may_read());
    assert_eq!(server.receive(&Wire::text("y")).body, None);
    assert_eq!(server.count(Counter::Overflow), 1);
    let call = client.call("a");
    let wire = client.send(call, "1");
    assert!(server.receive(&wire).opened.is_some());
    server.core.take(StreamKey::PLAIN, 1, server.now);
    assert_eq!(
        server.receive(&Wire::text("z")).body(),
        "z",
        "somebody reads again"
    );
}

#[test]
fn plain_messages_that_nobody_wants_are_discarded_and_counted() {
    let (_, mut server) = connected();
    server.core.set_plain_policy(PlainPolicy::Discard);
    assert_eq!(server.receive(&Wire::text("x")).body, None);
    assert_eq!(server.count(Counter::Discarded), 1);
}

#[test]
fn a_silent_stream_times_out_on_both_sides() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let wire = client.send(call, "1");
    let key = server.receive(&wire).stream;
    server.pass(300 * SECOND);
    assert_eq!(server.error_type(key).as_deref(), Some("timeout"));
    assert_eq!(server.count(Counter::Timeout), 1);
    let told = server.take_out().remove(0);
    assert!(told.as_text().contains("\"error\":\"timeout\""));
    client.receive(&told);
    assert_eq!(client.error_type(call).as_deref(), Some("timeout"));
}

#[test]
fn activity_in_either_direction_keeps_a_stream_alive() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let wire = client.send(call, "1");
    let key = server.receive(&wire).stream;
    for _ in 0..4 {
        server.pass(200 * SECOND);
        server.send(key, "1");
    }
    assert_eq!(server.core.open_streams(), 1);
    let deadline = server.core.next_deadline().unwrap();
    assert!(deadline <= server.now + 300 * SECOND);
}

#[test]
fn streams_over_the_limit_are_refused_and_discarded() {
    let (_, mut server) = limited(|options| options.max_streams = 2);
    for id in [1, 3] {
        let text = format!("{{\"headers\":{{\"kind\":\"call\",\"stream\":\"{id}\"}},\"body\":1}}");
        assert!(server.receive_text(&text).opened.is_some());
    }
    let text = "{\"headers\":{\"kind\":\"transfer\",\"stream\":\"5\"},\"body\":1}";
    let refused = server.receive_text(text);
    assert!(refused.opened.is_none() && refused.body.is_none());
    let told = server.take_out().remove(0);
    assert_eq!(
        told.as_text(),
        "{\"headers\":{\"stream\":\"5\",\"end\":\"error\",\"error\":\"limit\",\"content\":\"none\"},\"body\":null}"
    );
    let chunk = server.receive_text("{\"headers\":{\"stream\":\"5\",\"seq\":\"1\"},\"body\":2}");
    assert_eq!(chunk.body, None);
    assert_eq!(
        (
            server.count(Counter::Limit),
            server.count(Counter::Discarded)
        ),
        (2, 2)
    );
    let error = server.core.plan_call(None, None, server.now).unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::Limit, Some("max_streams"))
    );
}

#[test]
fn a_million_stream_ids_stay_within_the_limit() {
    let (_, mut server) = connected();
    let mut opened = 0;
    for id in (1..2_000_000_u32).step_by(2) {
        let text = format!("{{\"headers\":{{\"kind\":\"call\",\"stream\":\"{id}\"}},\"body\":1}}");
        let received = server.core.receive(text.as_bytes(), Form::Text, server.now);
        opened += usize::from(received.opened.is_some());
        while server.core.poll_event().is_some() {}
    }
    assert_eq!((opened, server.core.open_streams()), (1024, 1024));
    assert_eq!(server.count(Counter::Limit), 1_000_000 - 1024);
}

#[test]
fn a_clock_that_steps_back_is_counted() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let wires: Vec<Wire> = (0..3).map(|n| client.send(call, &n.to_string())).collect();
    let key = server.receive(&wires[0]).stream;
    server.now += 10 * MS;
    server.receive(&wires[1]);
    server.now -= 20 * MS;
    server.receive(&wires[2]);
    assert_eq!(server.count(Counter::ClockBack), 1);
    let (_, received) = server.core.metrics(key).unwrap();
    assert_eq!(
        (received.interval_min_ns, received.interval_max_ns),
        (Some(0), Some(10 * MS))
    );
}

#[test]
fn stalls_become_events_of_the_span() {
    let (mut client, mut server) = connected();
    let call = client.call("a");
    let mut key = StreamKey::PLAIN;
    for (n, pause) in [0, 100, 100, 2500, 100].into_iter().enumerate() {
        server.now += pause * MS;
        let wire = client.send(call, &n.to_string());
        key = server.receive(&wire).stream;
    }
    let stalled_at = server.now - 100 * MS;
    server.core.leave(key, server.now);
    server.poll();
    let events = server.span_end(key).events();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].name, events[0].at_ns),
        ("websocket.stream.stall", stalled_at)
    );
    let attributes = server.span_end(key).attributes();
    let stalls = attributes
        .iter()
        .find(|item| item.key == "websocket.stream.received.stalls")
        .unwrap();
    assert_eq!(stalls.value, wirespan::connection::Value::I64(1));
}

#[test]
fn losing_the_connection_is_an_error_on_every_open_call() {
    let (mut client, _) = connected();
    let (first, second) = (client.call("a"), client.call("b"));
    client.send(first, "1");
    client.core.on_close(None, "", client.now);
    client.poll();
    for key in [first, second] {
        assert_eq!(client.error_type(key).as_deref(), Some("closed"));
        let closed = ReadEnd::Failed {
            kind: ErrorKind::Closed,
            error_type: Some("closed".into()),
        };
        assert_eq!(client.read_end(key), Some(&closed));
    }
    assert!(client.take_out().is_empty());
    assert_eq!(
        client.core.plan_call(None, None, 0).unwrap_err().kind(),
        ErrorKind::Closed
    );
}
