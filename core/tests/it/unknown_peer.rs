use wirespan::ErrorKind;
use wirespan::connection::{
    Connection, ContextRef, HandshakeResponse, Hello, Message, Options, Peer, RequestTarget,
    StreamKey,
};
use wirespan::counters::Counter;
use wirespan::envelope::Body;

use crate::harness::{MS, Side, Wire, endpoint};

fn client_of_a_stranger(options: Options) -> Side {
    let mut core = Connection::client(options, endpoint(), [1; 16]).unwrap();
    core.request(RequestTarget::new("localhost"), None);
    let mut side = Side::new(core);
    side.core
        .open_client(&HandshakeResponse::default(), side.now)
        .unwrap();
    side.poll();
    side.events.clear();
    side
}

#[test]
fn a_call_sends_bare_messages_and_gets_every_answer() {
    let mut client = client_of_a_stranger(Options::default());
    let call = client.call("a");
    assert_eq!(
        client.receive_text("early").stream,
        StreamKey::PLAIN,
        "the call is still silent"
    );
    assert_eq!(client.send(call, "hello"), Wire::text("hello"));
    let delivered = client.receive_text("world");
    assert_eq!((delivered.stream, delivered.body()), (call, "world"));
    client
        .core
        .end(call, &ContextRef::default(), client.now)
        .unwrap();
    client.poll();
    assert!(
        client.take_out().is_empty(),
        "nothing is written that the peer would not understand"
    );
    assert_eq!(
        client.receive_text("again").stream,
        call,
        "end closes my direction only"
    );
    client.core.leave(call, client.now);
    client.poll();
    assert!(client.take_out().is_empty());
    assert_eq!(client.outcome(call), "complete");
    assert!(client.receive_text("later").is_plain());
}

#[test]
fn a_second_call_is_busy_until_the_first_is_left() {
    let mut client = client_of_a_stranger(Options::default());
    let call = client.call("a");
    let error = client.core.plan_call(None, None, client.now).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    client.core.leave(call, client.now);
    assert!(client.core.plan_call(None, None, client.now).is_ok());
}

#[test]
fn cancel_and_time_out_write_nothing() {
    let mut client = client_of_a_stranger(Options::default());
    let call = client.call("a");
    client.send(call, "1");
    client.core.cancel(call, client.now);
    client.poll();
    assert_eq!(client.outcome(call), "cancelled");
    let call = client.call("b");
    client.send(call, "1");
    client.pass(300_000 * MS);
    assert_eq!(
        (client.outcome(call), client.error_type(call).as_deref()),
        ("error", Some("timeout"))
    );
    assert!(client.take_out().is_empty());
}

#[test]
fn own_headers_cannot_reach_a_stranger_and_are_counted() {
    let mut client = client_of_a_stranger(Options::default());
    let message = Message {
        body: Body::Text("1"),
        last: false,
        headers: &[("X-Id", "7")],
    };
    assert_eq!(
        client.send_message(StreamKey::PLAIN, message),
        Wire::text("1")
    );
    assert_eq!(client.count(Counter::DroppedHeader), 1);
}

#[test]
fn a_call_that_began_bare_stays_bare_when_the_peer_becomes_known() {
    let mut options = Options::default();
    options.hello = Hello::Expect;
    let mut client = client_of_a_stranger(options);
    let bare = client.call("a");
    client.send(bare, "1");
    let hello =
        "{\"headers\":{\"wirespan\":\"1\",\"role\":\"server\",\"content\":\"none\"},\"body\":null}";
    client.receive_text(hello);
    assert_eq!(client.core.peer(), Peer::Announced { version: 1 });
    assert_eq!(client.send(bare, "2"), Wire::text("2"));
    assert_eq!(client.receive_text("reply").stream, bare);
    let known = client.call("b");
    assert!(
        client
            .send(known, "1")
            .as_text()
            .contains("\"stream\":\"1\"")
    );
}
