use wirespan::connection::{
    Connection, Event, Options, Parent, SpanKey, SpanKind, Status, TraceScope, Trust, Value,
};

use crate::harness::{Side, connect_with, connected, endpoint, linked, span};

fn scoped() -> Options {
    let mut options = Options::default();
    options.trace_scope = TraceScope::Connection;
    options
}

fn trusting(trust: Trust) -> (Side, Side) {
    let mut options = Options::default();
    options.trust = trust;
    connect_with(Options::default(), options, None)
}

#[test]
fn the_handshake_has_a_span_that_ends_with_the_upgrade() {
    let mut core = Connection::client(Options::default(), endpoint(), [1; 16]).unwrap();
    let plans = core.plan_handshake(None, true);
    assert_eq!(plans.len(), 1);
    let plan = &plans[0];
    assert_eq!(
        (plan.span, plan.name.as_ref()),
        (SpanKey::HANDSHAKE, "websocket.handshake")
    );
    assert_eq!(
        (plan.kind, &plan.parent),
        (SpanKind::Client, &Parent::Current)
    );
    let keys: Vec<&str> = plan.attributes.iter().map(|item| item.key).collect();
    assert_eq!(
        keys,
        [
            "websocket.session.id",
            "network.protocol.name",
            "server.address",
            "server.port"
        ]
    );
    let (client, _) = connect_with(Options::default(), Options::default(), None);
    let ends = client
        .events
        .iter()
        .filter(|event| matches!(event, Event::SpanEnd(_)))
        .count();
    assert_eq!(ends, 1);
}

#[test]
fn a_failed_handshake_ends_its_span_with_an_error() {
    let mut core = Connection::client(scoped(), endpoint(), [1; 16]).unwrap();
    assert_eq!(core.plan_handshake(None, false).len(), 2);
    core.fail_handshake("ConnectionRefusedError");
    let mut side = Side::new(core);
    side.poll();
    let ends: Vec<_> = side
        .events
        .iter()
        .map(|event| match event {
            Event::SpanEnd(end) => (end.span, end.status(), end.error_type.as_deref()),
            other => panic!("{other:?}"),
        })
        .collect();
    let error = Some("ConnectionRefusedError");
    assert_eq!(
        ends,
        [
            (SpanKey::HANDSHAKE, Status::Error, error),
            (SpanKey::CONNECTION, Status::Error, error)
        ]
    );
}

#[test]
fn a_server_continues_links_or_ignores_the_context_of_a_handshake() {
    let request = wirespan::connection::HandshakeRequest::from_headers([(
        "traceparent",
        &b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"[..],
    )]);
    for (trust, parent_is_remote, links) in [
        (Trust::Continue, true, 0),
        (Trust::Link, false, 1),
        (Trust::Ignore, false, 0),
    ] {
        let mut options = Options::default();
        options.trust = trust;
        let accept = wirespan::connection::Accept::default();
        let mut core = Connection::server(options, &request, accept, endpoint(), [1; 16]).unwrap();
        let plan = core.plan_handshake(None, false).remove(0);
        assert_eq!(plan.kind, SpanKind::Server);
        assert_eq!(
            matches!(plan.parent, Parent::Remote(_)),
            parent_is_remote,
            "{trust:?}"
        );
        assert_eq!(plan.links.len(), links, "{trust:?}");
    }
}

#[test]
fn beside_an_http_span_no_handshake_span_is_made() {
    let mut core = Connection::client(Options::default(), endpoint(), [1; 16]).unwrap();
    assert!(core.plan_handshake(Some(&span(9).into()), true).is_empty());
    let mut core = Connection::client(scoped(), endpoint(), [1; 16]).unwrap();
    let plans = core.plan_handshake(Some(&span(9).into()), true);
    assert_eq!(
        (plans[0].kind, &plans[0].parent),
        (SpanKind::Internal, &Parent::Current)
    );
}

#[test]
fn a_call_is_a_client_span_under_the_current_one_and_links_the_handshake() {
    let (mut client, _) = connected();
    client
        .core
        .span_started(SpanKey::HANDSHAKE, &span(4).into());
    let (_, plan) = client
        .core
        .plan_call(Some("order"), Some(span(5)), client.now)
        .unwrap();
    assert_eq!((plan.name.as_ref(), plan.kind), ("order", SpanKind::Client));
    assert_eq!(
        (&plan.parent, linked(&plan)),
        (&Parent::Current, vec![(span(4).into(), false)])
    );
    assert!(plan.attributes.iter().any(|item| item.key == "rpc.method"));
    let (_, plan) = client.core.plan_call(None, None, client.now).unwrap();
    assert_eq!(
        (plan.name.as_ref(), &plan.parent),
        ("websocket call", &Parent::Root)
    );
}

#[test]
fn only_registered_methods_name_a_span() {
    let (mut client, mut server) = connected();
    server.core.set_methods(["order".to_owned()]);
    for (method, name, registered) in [("order", "order", true), ("evil", "websocket call", false)]
    {
        let call = client.call(method);
        let wire = client.send(call, "1");
        let opened = server.receive(&wire).opened.unwrap();
        assert_eq!(
            (opened.plan.name.as_ref(), opened.registered),
            (name, registered)
        );
        assert_eq!(opened.plan.kind, SpanKind::Server);
        assert_eq!(opened.plan.parent, Parent::Remote(span(7).into()));
        assert_eq!(
            opened
                .plan
                .attributes
                .iter()
                .any(|item| item.key == "rpc.method"),
            registered
        );
    }
}

#[test]
fn trust_decides_whether_a_callers_span_is_parent_link_or_nothing() {
    for (trust, parent_is_remote, links) in [
        (Trust::Continue, true, 0),
        (Trust::Link, false, 1),
        (Trust::Ignore, false, 0),
    ] {
        let (mut client, mut server) = trusting(trust);
        let call = client.call("a");
        let wire = client.send(call, "1");
        let delivered = server.receive(&wire);
        let plan = &delivered.opened.unwrap().plan;
        assert_eq!(
            matches!(plan.parent, Parent::Remote(_)),
            parent_is_remote,
            "{trust:?}"
        );
        assert_eq!(plan.links.len(), links, "{trust:?}");
        assert_eq!(delivered.context.is_some(), trust == Trust::Continue);
        assert_eq!(delivered.link.is_some(), trust == Trust::Link);
        let back = server.call("b");
        let wire = server.send(back, "1");
        let plan = client.receive(&wire).opened.unwrap().plan;
        assert!(
            matches!(plan.parent, Parent::Remote(_)),
            "the connecting side always continues"
        );
    }
}

#[test]
fn transfers_are_producer_and_consumer() {
    let (mut client, mut server) = connected();
    server.core.set_methods(["log".to_owned()]);
    let (key, plan) = client
        .core
        .plan_transfer(Some("log"), Some(span(5)), client.now)
        .unwrap();
    assert_eq!(
        (plan.name.as_ref(), plan.kind),
        ("send log", SpanKind::Producer)
    );
    let wire = client.send(key, "1");
    let plan = server.receive(&wire).opened.unwrap().plan;
    assert_eq!(
        (plan.name.as_ref(), plan.kind),
        ("process log", SpanKind::Consumer)
    );
    assert_eq!(
        (&plan.parent, linked(&plan)),
        (&Parent::Root, vec![(span(7).into(), true)])
    );
    let (key, plan) = client.core.plan_transfer(None, None, client.now).unwrap();
    assert_eq!(plan.name.as_ref(), "websocket send");
    let wire = client.send(key, "1");
    assert_eq!(
        server.receive(&wire).opened.unwrap().plan.name.as_ref(),
        "websocket process"
    );
}

#[test]
fn the_http_span_of_the_accept_counts_as_not_current() {
    let accept = wirespan::connection::Accept::default();
    let request = wirespan::connection::HandshakeRequest::from_headers([("wirespan", &b"1"[..])]);
    let mut core =
        Connection::server(Options::default(), &request, accept, endpoint(), [1; 16]).unwrap();
    core.plan_handshake(Some(&span(9).into()), true);
    core.response(&request, None);
    core.open_server(0).unwrap();
    let (_, plan) = core.plan_call(None, Some(span(9)), 0).unwrap();
    assert_eq!(
        (&plan.parent, linked(&plan)),
        (&Parent::Root, vec![(span(9).into(), false)])
    );
    let (_, plan) = core.plan_call(None, Some(span(8)), 0).unwrap();
    assert_eq!(plan.parent, Parent::Current);
}

#[test]
fn a_connection_span_lasts_and_records_its_start_at_once() {
    let (mut client, _) = connect_with(scoped(), Options::default(), None);
    client
        .core
        .span_started(SpanKey::CONNECTION, &span(4).into());
    let handshake_ended = client
        .events
        .iter()
        .any(|event| matches!(event, Event::SpanEnd(end) if end.span == SpanKey::HANDSHAKE));
    assert!(handshake_ended);
    client.events.clear();
    let (_, plan) = client.core.plan_call(None, None, client.now).unwrap();
    assert_eq!((&plan.parent, plan.links.len()), (&Parent::Connection, 0));
    let (_, plan) = client
        .core
        .plan_call(None, Some(span(5)), client.now)
        .unwrap();
    assert_eq!(
        (&plan.parent, linked(&plan)),
        (&Parent::Current, vec![(span(4).into(), false)])
    );
    client
        .core
        .on_close(Some(4000), "bye\r\nfaked log line", client.now);
    client.poll();
    let Some(Event::SpanEnd(end)) = client.events.last() else {
        panic!("{:?}", client.events)
    };
    assert_eq!(
        (end.span, end.error_type.as_deref()),
        (SpanKey::CONNECTION, Some("4000"))
    );
    let attributes = end.attributes();
    assert_eq!(attributes[0].value, Value::I64(4000));
    assert_eq!(
        attributes[1].value,
        Value::Str("bye\\r\\nfaked log line".into())
    );
}

#[test]
fn a_normal_close_is_no_error() {
    for code in [1000, 1001, 1005] {
        let (mut client, _) = connect_with(scoped(), Options::default(), None);
        client.events.clear();
        client.core.on_close(Some(code), "", client.now);
        client.poll();
        let Some(Event::SpanEnd(end)) = client.events.last() else {
            panic!("{:?}", client.events)
        };
        assert_eq!(
            (end.status(), end.attributes().len()),
            (Status::Unset, 1),
            "{code}"
        );
    }
}
