use wirespan::connection::{
    Connection, ContextRef, Event, HandshakeResponse, Hello, Message, Mode, Options, Peer,
    RequestTarget, StreamKey, SubprotocolAnnouncement,
};
use wirespan::counters::Counter;
use wirespan::envelope::{Body, Form};

use crate::harness::{MS, Side, Wire, connect_with, connected, endpoint, span, span_header};

fn options(change: impl FnOnce(&mut Options)) -> Options {
    let mut options = Options::default();
    change(&mut options);
    options
}

/// A client whose peer answered with these headers.
fn client_with(options: Options, headers: &[(&str, &str)]) -> Side {
    let mut core = Connection::client(options, endpoint(), [0xc1; 16]).unwrap();
    core.plan_handshake(None, false);
    core.request(RequestTarget::new("localhost"), None);
    let response = HandshakeResponse::from_headers(
        headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes())),
    );
    let mut side = Side::new(core);
    side.core.open_client(&response, side.now).unwrap();
    side.poll();
    side
}

#[test]
fn both_sides_announce_themselves_by_header() {
    let (client, server) = connected();
    assert_eq!(client.core.peer(), Peer::Announced { version: 1 });
    assert_eq!(server.core.peer(), Peer::Announced { version: 1 });
    assert_eq!(client.core.session_id(), "c1".repeat(16));
    assert_eq!(server.core.session_id(), "c1".repeat(16));
    assert!(client.core.is_ready());
}

#[test]
fn a_request_holds_the_announcement_and_the_trace_context() {
    let mut core = Connection::client(Options::default(), endpoint(), [0xc1; 16]).unwrap();
    let added = core.request(RequestTarget::new("localhost"), Some(&span(3).into()));
    let session = "c1".repeat(16);
    assert_eq!(
        added.headers,
        [
            ("wirespan", format!("1;session={session}")),
            ("traceparent", span_header(3))
        ]
    );
    assert_eq!((added.subprotocol, added.query), (None, None));
}

#[test]
fn a_trace_context_of_an_instrumentation_is_not_doubled() {
    let mut core = Connection::client(Options::default(), endpoint(), [0xc1; 16]).unwrap();
    let mut target = RequestTarget::new("localhost");
    target.has_trace_context = true;
    let added = core.request(target, Some(&span(3).into()));
    assert_eq!(added.headers.len(), 1);
}

#[test]
fn never_writes_nothing_anywhere() {
    let never = options(|options| options.mode = Mode::Never);
    let mut core = Connection::client(never.clone(), endpoint(), [0xc1; 16]).unwrap();
    let added = core.request(RequestTarget::new("localhost"), Some(&span(3).into()));
    assert!(added.headers.is_empty());
    let (mut client, server) = connect_with(never, Options::default(), None);
    assert_eq!(
        (client.core.peer(), server.core.peer()),
        (Peer::Unknown, Peer::Unknown)
    );
    let wire = client.send(StreamKey::PLAIN, "{\"headers\":{},\"body\":1}");
    assert_eq!(wire, Wire::text("{\"headers\":{},\"body\":1}"));
}

#[test]
fn an_answer_that_is_no_announcement_means_unknown() {
    for headers in [
        &[][..],
        &[("wirespan", "2")],
        &[("wirespan", "01")],
        &[("wirespan", "yes")],
        &[("wirespan", "1"), ("Wirespan", "1")],
    ] {
        assert_eq!(
            client_with(Options::default(), headers).core.peer(),
            Peer::Unknown,
            "{headers:?}"
        );
    }
}

#[test]
fn always_takes_a_silent_peer_to_speak_version_1() {
    let always = options(|options| options.mode = Mode::Always);
    assert_eq!(client_with(always.clone(), &[]).core.peer(), Peer::Always);
    let announced = client_with(always, &[("wirespan", "1")]);
    assert_eq!(
        announced.core.peer(),
        Peer::Announced { version: 1 },
        "what a peer says counts more"
    );
}

#[test]
fn a_client_without_headers_gets_a_hello_and_waits_for_it() {
    let browser = options(|options| options.subprotocol = SubprotocolAnnouncement::Alone);
    let core = Connection::client(browser, endpoint(), [0xc1; 16]).unwrap();
    let mut client = Side::new(core);
    let added = client.core.request(RequestTarget::new("localhost"), None);
    let subprotocol = added.subprotocol.unwrap();
    assert_eq!(subprotocol, format!("wirespan.v1.{}", "c1".repeat(16)));
    let request = wirespan::connection::HandshakeRequest::from_headers([(
        "sec-websocket-protocol",
        subprotocol.as_bytes(),
    )]);
    let core = Connection::server(
        Options::default(),
        &request,
        wirespan::connection::Accept::default(),
        endpoint(),
        [0x5e; 16],
    );
    let mut server = Side::new(core.unwrap());
    let answer = server.core.response(&request, None);
    assert_eq!(
        answer.subprotocol.as_deref(),
        Some(subprotocol.as_str()),
        "offered alone, it is echoed"
    );
    assert!(answer.headers.is_empty());
    server.core.open_server(server.now).unwrap();
    server.poll();
    let hello = server.take_out().remove(0);
    assert_eq!(
        hello.as_text(),
        format!(
            "{{\"headers\":{{\"wirespan\":\"1\",\"role\":\"server\",\"session\":\"{}\",\"content\":\"none\"}},\"body\":null}}",
            "c1".repeat(16)
        )
    );
    client
        .core
        .open_client(&HandshakeResponse::default(), client.now)
        .unwrap();
    assert!(!client.core.is_ready());
    assert_eq!(client.core.next_deadline(), Some(client.now + 250 * MS));
    let delivered = client.receive(&hello);
    assert_eq!(delivered.body, None, "a hello is never delivered");
    assert!(client.core.is_ready());
    assert_eq!(client.core.peer(), Peer::Announced { version: 1 });
    assert!(
        client.take_out().is_empty(),
        "a client that has announced itself answers nothing"
    );
    assert!(
        client
            .events
            .iter()
            .any(|event| matches!(event, Event::Ready))
    );
}

#[test]
fn waiting_for_a_hello_ends_with_the_first_message_or_the_time() {
    let expect = options(|options| options.hello = Hello::Expect);
    let mut client = client_with(expect.clone(), &[]);
    let delivered = client.receive_text("hi");
    assert_eq!(delivered.body(), "hi");
    assert!(client.core.is_ready());
    let mut client = client_with(expect, &[]);
    client.pass(250 * MS);
    assert!(client.core.is_ready());
    let hello =
        "{\"headers\":{\"wirespan\":\"1\",\"role\":\"server\",\"content\":\"none\"},\"body\":null}";
    let delivered = client.receive_text(hello);
    assert_eq!(
        delivered.body, None,
        "a hello that is the first message is accepted however late"
    );
    assert_eq!(client.core.peer(), Peer::Announced { version: 1 });
}

#[test]
fn a_hello_that_nobody_asked_for_is_an_ordinary_message() {
    let (_, mut server) = connect_with(
        options(|options| options.mode = Mode::Never),
        Options::default(),
        None,
    );
    let hello =
        "{\"headers\":{\"wirespan\":\"1\",\"role\":\"client\",\"content\":\"none\"},\"body\":null}";
    assert_eq!(server.receive_text(hello).body(), hello);
    assert_eq!(server.core.peer(), Peer::Unknown);
}

#[test]
fn a_hello_of_my_own_role_is_an_echo() {
    let first = options(|options| options.hello = Hello::First);
    let mut client = client_with(first, &[]);
    let echo = client.take_out().remove(0);
    assert!(echo.as_text().contains("\"role\":\"client\""));
    let delivered = client.receive(&echo);
    assert_eq!(delivered.body, None);
    assert_eq!(client.count(Counter::Role), 1);
    assert_eq!(client.core.peer(), Peer::Unknown);
}

#[test]
fn a_hello_with_no_common_version_is_delivered() {
    let expect = options(|options| options.hello = Hello::Expect);
    let mut client = client_with(expect, &[]);
    let hello =
        "{\"headers\":{\"wirespan\":\"2\",\"role\":\"server\",\"content\":\"none\"},\"body\":null}";
    assert_eq!(client.receive_text(hello).body(), hello);
    assert_eq!(client.core.peer(), Peer::Unknown);
}

#[test]
fn an_end_that_has_not_announced_itself_answers_a_hello() {
    let expect = options(|options| options.hello = Hello::Expect);
    let (_, mut server) = connect_with(options(|options| options.mode = Mode::Never), expect, None);
    let hello =
        "{\"headers\":{\"wirespan\":\"1\",\"role\":\"client\",\"content\":\"none\"},\"body\":null}";
    assert_eq!(server.receive_text(hello).body, None);
    assert_eq!(server.core.peer(), Peer::Announced { version: 1 });
    let answer = server.take_out();
    assert_eq!(answer.len(), 1);
    assert!(answer[0].as_text().contains("\"role\":\"server\""));
}

#[test]
fn an_envelope_announces_nobody() {
    let mut client = client_with(Options::default(), &[]);
    let envelope = "{\"headers\":{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"},\"body\":1}";
    let delivered = client.receive_text(envelope);
    assert_eq!(delivered.body(), envelope);
    assert_eq!(delivered.context, None);
    assert_eq!(client.core.peer(), Peer::Unknown);
}

#[test]
fn what_the_application_sends_comes_out_as_it_went_in() {
    let (mut client, mut server) = connected();
    let none = ContextRef::default();
    for text in [
        "{\"headers\":{},\"body\":1}",
        "plain",
        "",
        "{\"a\":1}",
        "{\"headers\":{\"a\":1}}",
    ] {
        let now = client.now;
        let frame = client
            .core
            .send(StreamKey::PLAIN, Message::new(Body::Text(text)), &none, now)
            .unwrap();
        let wire = Wire {
            form: frame.form(),
            bytes: frame.to_vec(),
        };
        assert_eq!(server.receive(&wire).body(), text);
        let looks_alike = text.starts_with("{\"headers\":{");
        assert_eq!(
            wire.bytes != text.as_bytes(),
            looks_alike,
            "only look-alikes are wrapped: {text}"
        );
    }
    let binary = [0xFF, 0x57, 1, 0, 0, 0];
    let frame = client
        .core
        .send(
            StreamKey::PLAIN,
            Message::new(Body::Binary(&binary)),
            &none,
            0,
        )
        .unwrap();
    let wire = Wire {
        form: Form::Binary,
        bytes: frame.to_vec(),
    };
    assert_eq!(wire.bytes.len(), 12);
    let received = server.core.receive(&wire.bytes, wire.form, 0);
    assert_eq!(received.payload.bytes(&wire.bytes), Some(&binary[..]));
}
