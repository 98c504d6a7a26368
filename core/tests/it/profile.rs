//! Profiles and naming sets: messages of somebody else's schema, and names of somebody else's spans.

use wirespan::ErrorKind;
use wirespan::connection::{
    Connection, ContextRef, HandshakeResponse, Message, Mode, Naming, OptionValue, Options, Parent,
    Profile, RequestTarget, SpanKind, StreamKey, TraceScope, Value,
};
use wirespan::counters::Counter;
use wirespan::envelope::Body;

use crate::harness::{Side, Wire, connect_with, endpoint, span, span_header};

fn seed() -> Options {
    let mut options = Options::default();
    let word = OptionValue::Text("seed".into());
    options.set("profile", word).unwrap();
    assert_eq!(options.profile, Profile::SEED);
    options
}

fn pair() -> (Side, Side) {
    let (mut client, mut server) = connect_with(seed(), seed(), None);
    client.events.clear();
    server.events.clear();
    (client, server)
}

fn client_of_a_stranger() -> Side {
    let mut core = Connection::client(seed(), endpoint(), [1; 16]).unwrap();
    core.request(RequestTarget::new("localhost"), None);
    let mut side = Side::new(core);
    side.core
        .open_client(&HandshakeResponse::default(), side.now)
        .unwrap();
    side.poll();
    side
}

#[test]
fn a_call_travels_in_the_messages_own_headers_and_is_delivered_whole() {
    let (mut client, mut server) = pair();
    server.core.set_methods(vec!["greet".to_owned()]);
    let call = client.call("greet");
    let message = r#"{"headers":{"tenant":"a"},"body":"Ada"}"#;
    let wire = client.send_last(call, message);
    let parent = span_header(7);
    let expected = format!(
        r#"{{"headers":{{"traceparent":"{parent}","kind":"call","method":"greet","stream":"1","end":"1","tenant":"a"}},"body":"Ada"}}"#
    );
    assert_eq!(wire.as_text(), expected);
    let delivered = server.receive(&wire);
    assert_eq!(delivered.body(), expected, "the application gets it whole");
    assert_eq!(delivered.headers, [("tenant".to_owned(), "a".to_owned())]);
    let opened = delivered.opened.unwrap();
    assert_eq!(
        (
            opened.plan.name.as_ref(),
            opened.plan.kind,
            &opened.plan.parent
        ),
        ("greet", SpanKind::Server, &Parent::Remote(span(7).into()))
    );
    let reply = server.send_last(delivered.stream, r#"{"headers":null,"body":"hello Ada"}"#);
    assert_eq!(
        reply.as_text(),
        r#"{"headers":{"stream":"1","end":"1"},"body":"hello Ada"}"#
    );
    let delivered = client.receive(&reply);
    assert_eq!(
        (delivered.stream, delivered.body()),
        (call, reply.as_text())
    );
    assert_eq!(client.outcome(call), "complete");
}

#[test]
fn an_end_without_a_message_is_told_and_not_delivered() {
    let (mut client, mut server) = pair();
    let call = client.call("a");
    let opening = client.send(call, r#"{"body":1}"#);
    let stream = server.receive(&opening).stream;
    client
        .core
        .end(call, &ContextRef::default(), client.now)
        .unwrap();
    client.poll();
    let end = client.take_out().remove(0);
    let expected = r#"{"headers":{"stream":"1","seq":"1","end":"1","content":"none"},"body":null}"#;
    assert_eq!(end, Wire::text(expected));
    assert_eq!(server.receive(&end).body, None);
    assert!(server.read_end(stream).is_some());
}

#[test]
fn a_chunk_of_a_call_needs_room_for_its_headers() {
    let (mut client, _) = pair();
    let call = client.call("a");
    let context = ContextRef::default();
    for body in [
        Body::Text("hello"),
        Body::Text("[1]"),
        Body::Binary(b"{}"),
        Body::Text(r#"{"headers":{"kind":"x"}}"#),
    ] {
        let sent = client
            .core
            .send(call, Message::new(body), &context, client.now);
        assert_eq!(sent.unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
    client.send(call, "{}");
}

#[test]
fn plain_messages_get_the_context_where_they_have_room_and_go_unchanged_elsewhere() {
    let (mut client, mut server) = pair();
    let with_room = client.send(StreamKey::PLAIN, r#"{"headers":{"method":"own"},"body":1}"#);
    let delivered = server.receive(&with_room);
    assert_eq!(delivered.context, Some(span(7).into()));
    assert!(delivered.is_plain() && delivered.opened.is_none());
    for text in ["hello", "[1]", r#"{"headers":["mine"]}"#] {
        let wire = client.send(StreamKey::PLAIN, text);
        assert_eq!(wire, Wire::text(text));
        assert_eq!(server.receive(&wire).body(), text);
    }
    assert_eq!(client.count(Counter::DroppedHeader), 3);
    let binary = client.send_message(
        StreamKey::PLAIN,
        Message::new(Body::Binary(b"\xFF\x57\x01\0\0\0x")),
    );
    assert_eq!(
        server.receive(&binary).body().len(),
        "\u{fffd}W\u{1}\0\0\0x".len()
    );
    let named = Message::new(Body::Text(r#"{"headers":{"stream":"1"}}"#));
    let refused = client
        .core
        .send(StreamKey::PLAIN, named, &ContextRef::default(), client.now);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_peer_that_only_has_the_schema_gets_the_context_and_nothing_else() {
    let mut client = client_of_a_stranger();
    let call = client.call("greet");
    let wire = client.send(call, r#"{"headers":{"stream":"live"},"body":1}"#);
    assert_eq!(
        wire.as_text(),
        r#"{"headers":{"stream":"live"},"body":1}"#,
        "a name that would stand for something else keeps the context out"
    );
    assert_eq!(client.count(Counter::DroppedHeader), 1);
    client.core.leave(call, client.now);
    client.poll();
    let call = client.call("greet");
    let expected = |n| {
        format!(
            r#"{{"headers":{{"traceparent":"{}"}},"body":1}}"#,
            span_header(n)
        )
    };
    assert_eq!(client.send(call, r#"{"body":1}"#).as_text(), expected(7));
    assert_eq!(
        client.send(call, r#"{"body":1}"#).as_text(),
        r#"{"body":1}"#,
        "the first message of a stream carries the context"
    );
    let reply = client.receive_text(&expected(9));
    assert_eq!((reply.stream, reply.context), (call, None));
    client.core.leave(call, client.now);
    client.poll();
    let plain = client.receive_text(&expected(9));
    assert_eq!(plain.context, Some(span(9).into()));
    assert_eq!(plain.body(), expected(9));
}

#[test]
fn a_connection_that_writes_nothing_leaves_every_message_alone() {
    let mut options = seed();
    options.mode = Mode::Never;
    let (mut client, mut server) = connect_with(options.clone(), options, None);
    let text = r#"{"headers":{},"body":1}"#;
    let wire = client.send(StreamKey::PLAIN, text);
    assert_eq!(wire, Wire::text(text));
    let with = format!(r#"{{"headers":{{"traceparent":"{}"}}}}"#, span_header(9));
    assert_eq!(server.receive_text(&with).context, None);
}

#[test]
fn loongsuite_names_spans_by_the_side_and_says_where_the_connection_leads() {
    let mut options = Options::default();
    options
        .set("naming", OptionValue::Text("loongsuite".into()))
        .unwrap();
    assert_eq!(options.naming, Naming::Loongsuite);
    let (mut client, mut server) = connect_with(options.clone(), options.clone(), None);
    let (_, plan) = client
        .core
        .plan_call(Some("greet"), None, client.now)
        .unwrap();
    assert_eq!(
        (plan.name.as_ref(), plan.kind),
        ("Client send message", SpanKind::Client)
    );
    let (transfer, plan) = server.core.plan_transfer(None, None, server.now).unwrap();
    assert_eq!(
        (plan.name.as_ref(), plan.kind),
        ("Server send message", SpanKind::Producer)
    );
    let wire = server.send(transfer, "x");
    let plan = client.receive(&wire).opened.unwrap().plan;
    assert_eq!(
        (plan.name.as_ref(), plan.kind),
        ("Client handle message", SpanKind::Consumer)
    );

    options.trace_scope = TraceScope::Connection;
    let mut core = Connection::client(options, endpoint(), [1; 16]).unwrap();
    core.set_url(false, "/native/ws");
    for plan in core.plan_handshake(None, false) {
        let of = |key: &str| {
            let found = plan.attributes.iter().find(|item| item.key == key);
            found.map(|item| item.value.clone())
        };
        assert_eq!(
            of("websocket.endpoint"),
            Some(Value::Str("/native/ws".into()))
        );
        let destination = Value::Str("ws://localhost:8765".into());
        assert_eq!(of("websocket.destination"), Some(destination));
        assert_eq!(
            of("websocket.connection.type"),
            Some(Value::Str("client".into()))
        );
    }
}
