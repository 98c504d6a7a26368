//! Other peers, other traces, and other ends.

use serde_json::{Value, json};
use wirespan_conformance::trace::Kind;
use wirespan_conformance::trace::expect::{Expected, ExpectedForest, Top};

use super::{Outcome, texts};
use crate::run::{Run, SESSION, Wire, measured, reference};
use crate::tap::Recording;

pub(super) async fn plain_server(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("raw", json!({"raw": true}), None).await?;
    let session = run.connect(&tap, json!({})).await?;
    let state = run.on_connection("state", json!({})).await?;
    run.equal("peer", &state["peer"], &json!("unknown"));
    run.on_connection(
        "send",
        json!({"message": {"text": "{\"headers\":{\"a\":\"b\"},\"body\":1}"}}),
    )
    .await?;
    let got = run.on_connection("recv", json!({})).await?;
    run.equal(
        "message",
        &got["message"],
        &json!({"text": "{\"headers\":{\"a\":\"b\"},\"body\":1}"}),
    );
    let answer = run
        .call("echo", texts(&["hello"]), json!({"end": "leave"}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&["hello"]));
    run.close().await?;
    let handshake = Expected::new(&run.client.name, "websocket.handshake", Kind::Client)
        .label("client handshake")
        .attribute(SESSION, session.as_str());
    let called = Expected::new(&run.client.name, "echo", Kind::Client).link("client handshake");
    let expected = ExpectedForest::new()
        .tree(run.outside(), handshake)
        .tree(run.outside(), measured(called, &session, 1, 1));
    run.expect(expected).await?;
    // Not a byte of a message has changed.
    let plain = [
        Wire::text("{\"headers\":{\"a\":\"b\"},\"body\":1}"),
        Wire::text("hello"),
    ];
    run.bytes("to the server", &tap.recording(0).sent, &plain);
    Ok(Outcome::Ran)
}

pub(super) async fn plain_client(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("default", json!({}), None).await?;
    run.connect(&tap, json!({"raw": true})).await?;
    for text in [
        "hello",
        "{\"headers\":{\"stream\":\"1\",\"kind\":\"call\"},\"body\":1}",
    ] {
        run.on_connection("send", json!({"message": {"text": text}}))
            .await?;
        let got = run.on_connection("recv", json!({})).await?;
        run.equal("message", &got["message"], &json!({"text": text}));
    }
    run.close().await?;
    run.expect(ExpectedForest::new()).await?;
    let answered = json!(Recording::header(&tap.recording(0).response, "wirespan"));
    run.equal("header of the response", &answered, &json!([]));
    Ok(Outcome::Ran)
}

pub(super) async fn handshake_context(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("default", json!({}), None).await?;
    let parent = run.parent.clone();
    run.connect(
        &tap,
        json!({"raw": true, "headers": [["traceparent", parent], ["tracestate", "vendor=1"]]}),
    )
    .await?;
    run.on_connection("send", json!({"message": {"text": "hello"}}))
        .await?;
    let got = run.on_connection("recv", json!({})).await?;
    run.equal("message", &got["message"], &json!({"text": "hello"}));
    run.close().await?;
    let handshake = Expected::new(&run.server.name, "websocket.handshake", Kind::Server)
        .label("server handshake")
        .has(SESSION);
    let seen = run
        .expect(ExpectedForest::new().tree(run.outside(), handshake))
        .await?;
    let state = seen
        .span("server handshake")
        .map(|span| span.trace_state.clone());
    run.equal("tracestate of the span", &json!(state), &json!("vendor=1"));
    Ok(Outcome::Ran)
}

pub(super) async fn queue(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let answer = run
        .call("queue", texts(&["{\"job\":1}"]), json!({}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&["{\"job\":1}"]));
    run.close().await?;
    let work = Expected::new(&run.server.name, "work", Kind::Internal).any_links();
    let served = Expected::new(&run.server.name, "queue", Kind::Server)
        .link("server handshake")
        .child(work);
    let called = Expected::new(&run.client.name, "queue", Kind::Client)
        .link("client handshake")
        .child(measured(served, &session, 1, 1));
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), measured(called, &session, 1, 1));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn unsampled(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("default", json!({}), None).await?;
    let parent = run.unsampled_parent();
    run.connect(&tap, json!({"parent": parent})).await?;
    let answer = run
        .call("ask", texts(&["1"]), json!({"parent": parent}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&["1"]));
    run.close().await?;
    run.expect(ExpectedForest::new()).await?;
    let recording = tap.recording(0);
    let wanted = format!("\"traceparent\":\"00-{}-", run.trace_id());
    for (what, message) in [
        ("the call", recording.sent.first()),
        ("the call of the server", recording.received.first()),
    ] {
        let text = message
            .map(|message| String::from_utf8_lossy(&message.payload).into_owned())
            .unwrap_or_default();
        let flags = text
            .split_once(&wanted)
            .map(|(_, rest)| rest.get(17..19).unwrap_or_default().to_owned());
        let flags = flags.and_then(|flags| u8::from_str_radix(&flags, 16).ok());
        if flags.is_none_or(|flags| flags & 1 != 0) {
            run.problem(format!(
                "{what} does not carry the unsampled context: {text}"
            ));
        }
    }
    Ok(Outcome::Ran)
}

pub(super) async fn plain_messages(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    let parent = run.parent.clone();
    run.on_connection("send", json!({"message": {"text": "{\"a\":1}"}}))
        .await?;
    let got = run.on_connection("recv", json!({})).await?;
    run.equal(
        "message",
        &got,
        &json!({"message": {"text": "{\"a\":1}"}, "context": parent}),
    );
    run.on_connection("send", json!({"message": {"binary": "AQI="}}))
        .await?;
    let got = run.on_connection("recv", json!({})).await?;
    run.equal(
        "message",
        &got,
        &json!({"message": {"binary": "AQI="}, "context": parent}),
    );
    run.close().await?;
    run.expect(ExpectedForest::new().tree(run.outside(), run.handshake(&session)))
        .await?;
    let wire = [
        Wire::text(format!(
            r#"{{"headers":{{"traceparent":"{parent}"}},"body":{{"a":1}}}}"#
        )),
        Wire::binary(Some(&parent), &[], &[1, 2]),
    ];
    let recording = tap.recording(0);
    run.bytes("to the server", &recording.sent, &wire);
    run.bytes("to the client", &recording.received, &wire);
    Ok(Outcome::Ran)
}

pub(super) async fn vendor_data(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("default", json!({}), None).await?;
    let session = run
        .connect(&tap, json!({"options": {"baggage_out": ["tenant"]}}))
        .await?;
    let fields = json!({"state": "vendor=1,other=2", "baggage": {"tenant": "a b", "secret": "x"}});
    let answer = run.call("echo", texts(&["1"]), fields).await?;
    run.equal("replies", &answer["replies"], &texts(&["1"]));
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("echo", &session, 1, 1));
    let seen = run.expect(expected).await?;
    let state = seen.span("served").map(|span| span.trace_state.clone());
    run.equal(
        "tracestate of the server's span",
        &json!(state),
        &json!("vendor=1,other=2"),
    );
    let call = seen.traceparent("called");
    let first: Vec<_> = tap.recording(0).sent.into_iter().take(1).collect();
    run.bytes("to the server", &first, &[Wire::text(format!(
        r#"{{"headers":{{"traceparent":"{call}","tracestate":"vendor=1,other=2","baggage":"tenant=a%20b","kind":"call","method":"echo","stream":"1"}},"body":1}}"#
    ))]);
    Ok(Outcome::Ran)
}

/// A call that ends otherwise than by both directions being complete.
fn ended(
    run: &Run<'_>,
    method: &str,
    session: &str,
    outcome: &str,
    error: Option<&str>,
) -> Expected {
    let with = |span: Expected| {
        let span = span
            .attribute(SESSION, session)
            .attribute("websocket.stream.outcome", outcome);
        match error {
            Some(error) => span.fails_with(error),
            None => span,
        }
    };
    let served =
        with(Expected::new(&run.server.name, method, Kind::Server).link("server handshake"));
    with(Expected::new(&run.client.name, method, Kind::Client).link("client handshake"))
        .child(served)
}

pub(super) async fn cancelled(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    let answer = run
        .call("slow", texts(&["1"]), json!({"end": "cancel"}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&["1"]));
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(
            run.outside(),
            ended(run, "slow", &session, "cancelled", None),
        );
    run.expect(expected).await?;
    let last: Vec<_> = tap.recording(0).sent.into_iter().skip(1).collect();
    run.bytes(
        "to the server",
        &last,
        &[Wire::text(
            r#"{"headers":{"stream":"1","seq":"1","end":"cancel","content":"none"},"body":null}"#,
        )],
    );
    Ok(Outcome::Ran)
}

pub(super) async fn raised(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    run.call("slow", texts(&["1"]), json!({"end": "raise"}))
        .await?;
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(
            run.outside(),
            ended(run, "slow", &session, "error", Some("Boom")),
        );
    run.expect(expected).await?;
    let last: Vec<_> = tap.recording(0).sent.into_iter().skip(1).collect();
    run.bytes("to the server", &last, &[Wire::text(r#"{"headers":{"stream":"1","seq":"1","end":"error","error":"Boom","content":"none"},"body":null}"#)]);
    Ok(Outcome::Ran)
}

pub(super) async fn handler_fails(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let answer = run.call("fail", texts(&["1"]), json!({})).await?;
    run.equal(
        "the call",
        &answer,
        &json!({"replies": [], "error": "remote"}),
    );
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(
            run.outside(),
            ended(run, "fail", &session, "error", Some("Boom")),
        );
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn unknown_method(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let answer = run.call("nope", texts(&["1"]), json!({})).await?;
    run.equal(
        "the call",
        &answer,
        &json!({"replies": [], "error": "remote"}),
    );
    run.close().await?;
    let served = Expected::new(&run.server.name, "websocket call", Kind::Server)
        .link("server handshake")
        .attribute(SESSION, session.as_str())
        .lacks("rpc.method")
        .fails_with("unknown_method");
    let called = Expected::new(&run.client.name, "nope", Kind::Client)
        .link("client handshake")
        .attribute(SESSION, session.as_str())
        .fails_with("unknown_method")
        .child(served);
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), called);
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn left_early(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let answer = run
        .call("burst", texts(&["50"]), json!({"end": "leave"}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&["0"]));
    // What is still to come of the reply does not disturb the next call.
    let answer = run.call("echo", texts(&["\"next\""]), json!({})).await?;
    run.equal("replies", &answer["replies"], &texts(&["\"next\""]));
    run.close().await?;
    let served = Expected::new(&run.server.name, "burst", Kind::Server)
        .link("server handshake")
        .attribute(SESSION, session.as_str());
    let called = Expected::new(&run.client.name, "burst", Kind::Client)
        .link("client handshake")
        .attribute(SESSION, session.as_str())
        .has("websocket.stream.outcome")
        .child(served);
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), called)
        .tree(run.outside(), run.called("echo", &session, 1, 1));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn connection_span(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("default", json!({}), None).await?;
    let session = run
        .connect(&tap, json!({"options": {"trace_scope": "connection"}}))
        .await?;
    let answer = run
        .on_connection(
            "call",
            json!({"method": "echo", "messages": texts(&["1"]), "parent": Value::Null}),
        )
        .await?;
    run.equal("replies", &answer["replies"], &texts(&["1"]));
    run.close().await?;
    let served = Expected::new(&run.server.name, "echo", Kind::Server).link("server handshake");
    let called = Expected::new(&run.client.name, "echo", Kind::Client)
        .child(measured(served, &session, 1, 1));
    let handshake = Expected::new(&run.client.name, "websocket.handshake", Kind::Internal)
        .attribute(SESSION, session.as_str())
        .child(run.server_handshake(&session));
    let connection = Expected::new(&run.client.name, "websocket.connection", Kind::Client)
        .attribute(SESSION, session.as_str())
        .attribute("websocket.close.code", 1000)
        .child(handshake)
        .child(measured(called, &session, 1, 1));
    run.expect(ExpectedForest::new().tree(run.outside(), connection))
        .await?;
    Ok(Outcome::Ran)
}

pub(super) async fn echoing_peer(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("raw", json!({"raw": true}), None).await?;
    let session = run
        .connect(&tap, json!({"options": {"mode": "always"}}))
        .await?;
    let answer = run.call("echo", texts(&["1"]), json!({})).await?;
    run.equal("error", &answer["error"], &json!("role"));
    run.close().await?;
    let handshake = Expected::new(&run.client.name, "websocket.handshake", Kind::Client)
        .label("client handshake")
        .attribute(SESSION, session.as_str());
    let called = Expected::new(&run.client.name, "echo", Kind::Client)
        .link("client handshake")
        .attribute(SESSION, session.as_str())
        .fails_with("role");
    run.expect(
        ExpectedForest::new()
            .tree(run.outside(), handshake)
            .tree(run.outside(), called),
    )
    .await?;
    Ok(Outcome::Ran)
}

pub(super) async fn trust_link(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run
        .tap("link", json!({"options": {"trust": "link"}}), None)
        .await?;
    run.connect(&tap, json!({})).await?;
    let state = run.on_connection("state", json!({})).await?;
    let session = state["session"].as_str().unwrap_or_default().to_owned();
    let answer = run.call("echo", texts(&["1"]), json!({})).await?;
    run.equal("replies", &answer["replies"], &texts(&["1"]));
    run.close().await?;
    let handshake = Expected::new(&run.client.name, "websocket.handshake", Kind::Client)
        .label("client handshake")
        .attribute(SESSION, session.as_str());
    let called = Expected::new(&run.client.name, "echo", Kind::Client)
        .label("called")
        .link("client handshake");
    let accepted = run.server_handshake(&session).link("client handshake");
    let served = Expected::new(&run.server.name, "echo", Kind::Server)
        .link("called")
        .link("server handshake");
    let expected = ExpectedForest::new()
        .tree(run.outside(), handshake)
        .tree(run.outside(), measured(called, &session, 1, 1))
        .tree(Top::Root, accepted)
        .tree(Top::Root, measured(served, &session, 1, 1));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn call_without_messages(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    let answer = run.call("count", json!([]), json!({})).await?;
    run.equal("replies", &answer["replies"], &texts(&["0"]));
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("count", &session, 0, 1));
    let seen = run.expect(expected).await?;
    let call = seen.traceparent("called");
    run.bytes("to the server", &tap.recording(0).sent, &[Wire::text(format!(
        r#"{{"headers":{{"traceparent":"{call}","kind":"call","method":"count","stream":"1","end":"1","content":"none"}},"body":null}}"#
    ))]);
    if reference(&call).is_none() {
        run.problem("the call has no span");
    }
    Ok(Outcome::Ran)
}
