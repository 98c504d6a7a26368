use wirespan::connection::{
    Accept, Connection, Event, HandshakeRequest, HandshakeResponse, OptionValue, Options,
    RequestTarget, Session, SessionRegistry, SpanKey, Trust, Value, Vouch,
};
use wirespan::counters::Counter;

use crate::harness::{Side, connect_with, endpoint, linked, span};

fn accept_with(
    proposed: Option<&str>,
    options: Options,
    registry: &SessionRegistry,
    vouch: Vouch,
) -> Side {
    let value = proposed.map_or("1".to_owned(), |id| format!("1;session={id}"));
    let request = HandshakeRequest::from_headers([("wirespan", value.as_bytes())]);
    let mut accept = Accept::default();
    accept.registry = Some(registry);
    accept.remote = Some("192.0.2.1");
    accept.vouch = vouch;
    Side::new(Connection::server(options, &request, accept, endpoint(), [0x5e; 16]).unwrap())
}

fn options(trust: Trust) -> Options {
    let mut options = Options::default();
    options.trust = trust;
    options
}

#[test]
fn a_proposal_is_honoured_under_continue_while_it_is_not_live() {
    let registry = SessionRegistry::new();
    let first = accept_with(Some("s"), Options::default(), &registry, Vouch::NoCallback);
    assert_eq!(first.core.session_id(), "s");
    let second = accept_with(Some("s"), Options::default(), &registry, Vouch::NoCallback);
    assert_eq!(second.core.session_id(), "5e".repeat(16));
    assert_eq!(second.count(Counter::SessionReplaced), 1);
    drop(first);
    let third = accept_with(Some("s"), Options::default(), &registry, Vouch::NoCallback);
    assert_eq!(
        third.core.session_id(),
        "s",
        "the session of a connection that is gone can be continued"
    );
}

#[test]
fn without_a_voucher_a_distrusting_edge_replaces_every_proposal() {
    let registry = SessionRegistry::new();
    for trust in [Trust::Link, Trust::Ignore] {
        let side = accept_with(Some("s"), options(trust), &registry, Vouch::NoCallback);
        assert_eq!(side.count(Counter::SessionReplaced), 1);
        let side = accept_with(Some("s"), options(trust), &registry, Vouch::Yes);
        assert_eq!(side.core.session_id(), "s");
    }
    let side = accept_with(Some("t"), Options::default(), &registry, Vouch::No);
    assert_eq!(side.count(Counter::SessionReplaced), 1);
}

#[test]
fn a_vouched_session_moves_and_ends_the_calls_of_the_old_connection() {
    let registry = SessionRegistry::new();
    let (mut client, mut old) =
        connect_with(Options::default(), Options::default(), Some(&registry));
    let call = client.call("a");
    let wire = client.send(call, "1");
    let key = old.receive(&wire).stream;
    let session = old.core.session_id().to_owned();
    let new = accept_with(Some(&session), Options::default(), &registry, Vouch::Yes);
    assert_eq!(new.core.superseded(), old.core.connection_id());
    old.core.on_superseded(old.now);
    old.poll();
    assert_eq!(old.error_type(key).as_deref(), Some("superseded"));
    assert!(
        old.take_out()[0]
            .as_text()
            .contains("\"error\":\"superseded\"")
    );
}

#[test]
fn the_answer_of_the_server_wins_and_open_spans_are_updated() {
    let mut core = Connection::client(Options::default(), endpoint(), [0xc1; 16]).unwrap();
    core.plan_handshake(None, false);
    core.request(RequestTarget::new("localhost"), None);
    let response = HandshakeResponse::from_headers([("wirespan", &b"1;session=theirs"[..])]);
    let mut client = Side::new(core);
    client.core.open_client(&response, client.now).unwrap();
    client.poll();
    assert_eq!(client.core.session_id(), "theirs");
    let update = client.events.iter().find_map(|event| match event {
        Event::SpanUpdate { span, attributes } => Some((*span, attributes.clone())),
        _ => None,
    });
    let (updated, attributes) = update.unwrap();
    assert_eq!(updated, SpanKey::HANDSHAKE);
    let named = |key: &str| {
        attributes
            .iter()
            .find(|item| item.key == key)
            .map(|item| item.value.clone())
            .unwrap()
    };
    assert_eq!(named("websocket.session.id"), Value::Str("theirs".into()));
    assert_eq!(
        named("websocket.session.previous_id"),
        Value::Str("c1".repeat(16).into())
    );
    assert!(
        matches!(client.events.last(), Some(Event::SpanEnd(end)) if end.span == SpanKey::HANDSHAKE)
    );
    let (_, plan) = client.core.plan_call(Some("a"), None, client.now).unwrap();
    assert!(
        plan.attributes
            .iter()
            .any(|item| item.key == "websocket.session.previous_id")
    );
}

#[test]
fn a_reconnect_with_the_same_session_links_the_old_connection_on_both_sides() {
    let registry = SessionRegistry::new();
    let (mut client, mut server) =
        connect_with(Options::default(), Options::default(), Some(&registry));
    client
        .core
        .span_started(SpanKey::HANDSHAKE, &span(1).into());
    server
        .core
        .span_started(SpanKey::HANDSHAKE, &span(2).into());
    client.core.on_close(None, "", client.now);
    server.core.on_close(None, "", server.now);
    let mut again = Options::default();
    again.session = Session::Resume(client.core.resumption());
    let mut client = Connection::client(again, endpoint(), [9; 16]).unwrap();
    let plans = client.plan_handshake(None, false);
    assert_eq!(linked(&plans[0]), [(span(1).into(), false)]);
    let session = client.session_id().to_owned();
    let mut server = accept_with(
        Some(&session),
        Options::default(),
        &registry,
        Vouch::NoCallback,
    );
    let plans = server.core.plan_handshake(None, false);
    assert_eq!(linked(&plans[0]), [(span(2).into(), false)]);
}

#[test]
fn without_a_handshake_span_the_first_call_links_the_old_connection() {
    let mut again = Options::default();
    again.session = Session::Resume(wirespan::connection::Resumption {
        session_id: "s".into(),
        span: Some(span(1).into()),
    });
    let mut core = Connection::client(again, endpoint(), [9; 16]).unwrap();
    assert!(core.plan_handshake(Some(&span(5).into()), true).is_empty());
    core.request(RequestTarget::new("localhost"), None);
    core.open_client(
        &HandshakeResponse::from_headers([("wirespan", &b"1"[..])]),
        0,
    )
    .unwrap();
    let (_, first) = core.plan_call(None, None, 0).unwrap();
    assert_eq!(
        linked(&first),
        [(span(5).into(), false), (span(1).into(), false)]
    );
    let (_, second) = core.plan_call(None, None, 0).unwrap();
    assert_eq!(linked(&second), [(span(5).into(), false)]);
}

#[test]
fn an_always_peer_is_told_the_session_with_each_stream() {
    let mut always = Options::default();
    always
        .set("mode", OptionValue::Text("always".into()))
        .unwrap();
    let mut core = Connection::client(always.clone(), endpoint(), [0xc1; 16]).unwrap();
    core.plan_handshake(None, false);
    core.request(RequestTarget::new("localhost"), None);
    core.open_client(&HandshakeResponse::default(), 0).unwrap();
    let mut client = Side::new(core);
    let registry = SessionRegistry::new();
    let request = HandshakeRequest::default();
    let mut accept = Accept::default();
    accept.registry = Some(&registry);
    let core = Connection::server(always, &request, accept, endpoint(), [0x5e; 16]).unwrap();
    let mut server = Side::new(core);
    server.core.open_server(0).unwrap();
    let call = client.call("a");
    let wire = client.send(call, "1");
    assert!(
        wire.as_text()
            .contains(&format!("\"session\":\"{}\"", "c1".repeat(16)))
    );
    let key = server.receive(&wire).stream;
    assert_eq!(
        server.core.session_id(),
        "c1".repeat(16),
        "nothing else named a session"
    );
    let reply = server.send(key, "2");
    assert!(reply.as_text().contains("\"session\":\"c1"));
    let second = client.send(call, "3");
    assert!(!second.as_text().contains("session"));
    let other = r#"{"headers":{"session":"other","kind":"call","stream":"3"},"body":1}"#;
    server.receive_text(other);
    assert_eq!(
        server.core.session_id(),
        "c1".repeat(16),
        "only the first name counts"
    );
}

#[test]
fn a_session_that_moves_by_hello_still_counts_for_its_remote() {
    let registry = SessionRegistry::with_limits(10, 2);
    let mut sides = Vec::new();
    for number in 0..2 {
        let mut options = Options::default();
        options.hello = wirespan::connection::Hello::Expect;
        let mut accept = Accept::default();
        accept.registry = Some(&registry);
        accept.remote = Some("192.0.2.1");
        let request = HandshakeRequest::default();
        let mut core =
            Connection::server(options, &request, accept, endpoint(), [number; 16]).unwrap();
        core.open_server(0).unwrap();
        let hello = format!(
            r#"{{"headers":{{"wirespan":"1","role":"client","session":"s{number}","content":"none"}},"body":null}}"#
        );
        let _ = core.receive(hello.as_bytes(), wirespan::envelope::Form::Text, 0);
        sides.push(core);
    }
    assert_eq!(sides[0].session_id(), "s0");
    assert!(registry.len() <= 2, "two of one remote, {}", registry.len());
    let third = accept_with(Some("t"), Options::default(), &registry, Vouch::NoCallback);
    assert_ne!(third.core.session_id(), "t", "two of this remote are live");
    assert_eq!(registry.len(), 2);
}
