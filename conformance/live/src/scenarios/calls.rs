//! Calls, streams and transfers that go as they should.

use std::time::Duration;

use serde_json::{Value, json};
use wirespan_conformance::trace::Kind;
use wirespan_conformance::trace::expect::{Expected, ExpectedForest, Top};

use super::{Outcome, contains, texts};
use crate::run::{Run, SESSION, Wire, measured};
use crate::tap::Recording;

pub(super) async fn text(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    let answer = run.call("echo", texts(&["{\"n\":1.0}"]), json!({})).await?;
    run.equal("replies", &answer["replies"], &texts(&["{\"n\":1.0}"]));
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("echo", &session, 1, 1));
    let seen = run.expect(expected).await?;
    let call = seen.traceparent("called");
    let recording = tap.recording(0);
    run.bytes(
        "to the server",
        &recording.sent,
        &[
            Wire::text(format!(r#"{{"headers":{{"traceparent":"{call}","kind":"call","method":"echo","stream":"1"}},"body":{{"n":1.0}}}}"#)),
            Wire::text(r#"{"headers":{"stream":"1","seq":"1","end":"1","content":"none"},"body":null}"#),
        ],
    );
    run.bytes(
        "to the client",
        &recording.received,
        &[
            Wire::text(r#"{"headers":{"stream":"1"},"body":{"n":1.0}}"#),
            Wire::text(
                r#"{"headers":{"stream":"1","seq":"1","end":"1","content":"none"},"body":null}"#,
            ),
        ],
    );
    let announced = json!(Recording::header(&recording.request, "wirespan"));
    run.equal(
        "header of the request",
        &announced,
        &json!([format!("1;session={session}")]),
    );
    let answered = json!(Recording::header(&recording.response, "wirespan"));
    run.equal(
        "header of the response",
        &answered,
        &json!([format!("1;session={session}")]),
    );
    let carried = json!(Recording::header(&recording.request, "traceparent"));
    run.equal(
        "traceparent of the request",
        &carried,
        &json!([seen.traceparent("client handshake")]),
    );
    Ok(Outcome::Ran)
}

pub(super) async fn binary(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    let messages = json!([{"binary": "AP9XAQ=="}, {"binary": ""}]);
    let answer = run
        .call("echo", messages.clone(), json!({"interleave": true}))
        .await?;
    run.equal("replies", &answer["replies"], &messages);
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("echo", &session, 2, 2));
    let seen = run.expect(expected).await?;
    let call = seen.traceparent("called");
    let (stream, one, two): (&[u8], &[u8], &[u8]) = (&[0, 0, 0, 1], &[0, 0, 0, 1], &[0, 0, 0, 2]);
    let end: [(u8, &[u8]); 4] = [(6, stream), (7, two), (8, &[1]), (10, &[2])];
    let recording = tap.recording(0);
    run.bytes(
        "to the server",
        &recording.sent,
        &[
            Wire::binary(
                Some(&call),
                &[(4, &[1]), (5, b"echo"), (6, stream)],
                b"\x00\xff\x57\x01",
            ),
            Wire::binary(None, &[(6, stream), (7, one)], b""),
            Wire::binary(None, &end, b""),
        ],
    );
    run.bytes(
        "to the client",
        &recording.received,
        &[
            Wire::binary(None, &[(6, stream)], b"\x00\xff\x57\x01"),
            Wire::binary(None, &[(6, stream), (7, one)], b""),
            Wire::binary(None, &end, b""),
        ],
    );
    Ok(Outcome::Ran)
}

pub(super) async fn not_json(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let odd = [
        "hello",
        "",
        "01",
        "{\"headers\":{\"stream\":\"9\"},\"body\":1}",
        "{\"headers\":{",
        " {\"a\" : 1e400}\n",
        "\u{fc}\u{1f3a4}\t\\\"",
        "\u{feff}1",
    ];
    let answer = run
        .call("echo", texts(&odd), json!({"interleave": true}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&odd));
    run.close().await?;
    let count = i64::try_from(odd.len()).unwrap_or_default();
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("echo", &session, count, count));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn stream_up(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let chunks: Value = (0..25).map(|n| json!({"text": n.to_string()})).collect();
    let answer = run.call("count", chunks, json!({})).await?;
    run.equal("replies", &answer["replies"], &texts(&["25"]));
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("count", &session, 25, 1));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn stream_down(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let answer = run.call("burst", texts(&["300"]), json!({})).await?;
    let wanted: Value = (0..300).map(|n| json!({"text": n.to_string()})).collect();
    run.equal("replies", &answer["replies"], &wanted);
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("burst", &session, 1, 300));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn stream_both_ways(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    let chunks: Value = (0..10).map(|n| json!({"text": format!("[{n}]")})).collect();
    let answer = run
        .call("echo", chunks.clone(), json!({"interleave": true}))
        .await?;
    run.equal("replies", &answer["replies"], &chunks);
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("echo", &session, 10, 10));
    run.expect(expected).await?;
    // The context is in the first message and in no other.
    let carried: Vec<usize> = tap
        .recording(0)
        .sent
        .iter()
        .enumerate()
        .filter(|(_, message)| contains(&message.payload, b"traceparent"))
        .map(|(index, _)| index)
        .collect();
    run.equal("messages with a context", &json!(carried), &json!([0]));
    Ok(Outcome::Ran)
}

pub(super) async fn server_initiated(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let answer = run.call("ask", texts(&["\"sure?\""]), json!({})).await?;
    run.equal("replies", &answer["replies"], &texts(&["\"sure?\""]));
    run.close().await?;
    let confirmed = Expected::new(&run.client.name, "confirm", Kind::Server)
        .attribute("rpc.method", "confirm")
        .link("client handshake");
    let confirm = Expected::new(&run.server.name, "confirm", Kind::Client)
        .attribute("rpc.method", "confirm")
        .link("server handshake");
    let confirm = measured(confirm, &session, 1, 1).child(measured(confirmed, &session, 1, 1));
    let served = Expected::new(&run.server.name, "ask", Kind::Server)
        .link("server handshake")
        .child(confirm);
    let called = Expected::new(&run.client.name, "ask", Kind::Client)
        .link("client handshake")
        .child(measured(served, &session, 1, 1));
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), measured(called, &session, 1, 1));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn transfer(run: &mut Run<'_>) -> Result<Outcome, String> {
    // Its own server: what transfers brought is asked for by number.
    let server = run.name("log");
    let tap = run.tap(&server, json!({}), None).await?;
    let session = run.connect(&tap, json!({})).await?;
    let messages = json!([{"text": "1"}, {"binary": "AAE="}, {"text": "three"}]);
    run.on_connection("transfer", json!({"method": "log", "messages": messages}))
        .await?;
    let logged = run
        .server
        .ask("logged", json!({"on": server, "count": 3}))
        .await?;
    run.equal("logged", &logged["messages"], &messages);
    // Its handler returns behind the last message; a connection that closes before that fails it (ST-19).
    run.ended("process log", Kind::Consumer).await?;
    run.close().await?;
    let sent = Expected::new(&run.client.name, "send log", Kind::Producer).label("sent");
    let processed = Expected::new(&run.server.name, "process log", Kind::Consumer).link("sent");
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), measured(sent, &session, 3, 0))
        .tree(Top::Root, measured(processed, &session, 0, 3));
    run.expect(expected).await?;
    run.server
        .ask("stop_serving", json!({"on": server}))
        .await?;
    Ok(Outcome::Ran)
}

pub(super) async fn interleaved(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let answer = run.on_connection("calls", json!({"method": "echo", "count": 8, "messages": texts(&["\"a\"", "\"b\"", "\"c\"", "\"d\""])})).await?;
    let wanted: Value = (0..8)
        .map(|call| {
            ["a", "b", "c", "d"]
                .iter()
                .map(|word| json!({"text": format!("\"{call}:{word}\"")}))
                .collect::<Value>()
        })
        .collect();
    run.equal("replies", &answer["replies"], &wanted);
    run.close().await?;
    let mut expected = ExpectedForest::new().tree(run.outside(), run.handshake(&session));
    for _ in 0..8 {
        expected = expected.tree(run.outside(), run.called("echo", &session, 4, 4));
    }
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn large(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let messages = json!([{"size": 1_048_576}, {"zeros": 1_048_576}]);
    let answer = run
        .call("echo", messages, json!({"interleave": true}))
        .await?;
    run.equal(
        "replies",
        &answer["replies"],
        &json!([{"size": 1_048_578}, {"zeros": 1_048_576}]),
    );
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("echo", &session, 2, 2));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn fragmented(run: &mut Run<'_>) -> Result<Outcome, String> {
    let tap = run.tap("default", json!({}), Some(7)).await?;
    let session = run.connect(&tap, json!({})).await?;
    let messages = json!([{"text": "\"a text that is longer than a fragment\""}, {"binary": "AAECAwQFBgcICQoLDA0ODw=="}, {"text": ""}]);
    let answer = run
        .call("echo", messages.clone(), json!({"interleave": true}))
        .await?;
    run.equal("replies", &answer["replies"], &messages);
    run.close().await?;
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), run.called("echo", &session, 3, 3));
    run.expect(expected).await?;
    let recording = tap.recording(0);
    if recording
        .sent
        .iter()
        .chain(&recording.received)
        .any(|message| message.payload.is_empty() || message.frames == 0)
    {
        run.problem("a message of an announced peer without a head");
    }
    Ok(Outcome::Ran)
}

pub(super) async fn deflated(run: &mut Run<'_>) -> Result<Outcome, String> {
    if !run.client.deflate || !run.server.deflate {
        return Ok(Outcome::Skipped("one of the libraries cannot compress"));
    }
    let tap = run.tap("deflate", json!({"deflate": true}), None).await?;
    let session = run.connect(&tap, json!({"deflate": true})).await?;
    let long = format!("\"{}\"", "again and again ".repeat(200));
    let answer = run
        .call("echo", texts(&[&long, &long]), json!({"interleave": true}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&[&long, &long]));
    run.close().await?;
    let bytes = i64::try_from(long.len() * 2).unwrap_or_default();
    let call = run
        .called("echo", &session, 2, 2)
        .attribute("websocket.stream.sent.bytes", bytes)
        .attribute("websocket.stream.received.bytes", bytes);
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), call);
    let seen = run.expect(expected).await?;
    let recording = tap.recording(0);
    let compressed = recording
        .sent
        .iter()
        .chain(&recording.received)
        .filter(|message| message.deflated)
        .count();
    if compressed < 4 {
        run.problem(format!(
            "{compressed} messages were compressed, expected at least 4"
        ));
    }
    let call = seen.traceparent("called");
    let first = format!(
        r#"{{"headers":{{"traceparent":"{call}","kind":"call","method":"echo","stream":"1"}},"body":{long}}}"#
    );
    if recording
        .sent
        .first()
        .is_none_or(|message| message.payload != first.as_bytes())
    {
        run.problem("the first message is not, inflated, what was sent");
    }
    Ok(Outcome::Ran)
}

pub(super) async fn relay(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (_tap, session) = connected!(run);
    let port = run.third.port("default", json!({})).await?;
    let order = json!({"url": format!("ws://127.0.0.1:{port}/"), "text": "\"on\""}).to_string();
    let answer = run.call("relay", texts(&[&order]), json!({})).await?;
    run.equal("replies", &answer["replies"], &texts(&["\"on\""]));
    run.close().await?;
    let last = Expected::new(&run.third.name, "echo", Kind::Server)
        .link("third handshake")
        .has(SESSION);
    let onward = Expected::new(&run.server.name, "echo", Kind::Client)
        .link("onward handshake")
        .has(SESSION)
        .child(last);
    let third = Expected::new(&run.third.name, "websocket.handshake", Kind::Server)
        .label("third handshake")
        .has(SESSION);
    let handshake = Expected::new(&run.server.name, "websocket.handshake", Kind::Client)
        .label("onward handshake")
        .has(SESSION)
        .child(third);
    let served = Expected::new(&run.server.name, "relay", Kind::Server)
        .link("server handshake")
        .child(handshake)
        .child(onward);
    let called = Expected::new(&run.client.name, "relay", Kind::Client)
        .link("client handshake")
        .child(measured(served, &session, 1, 1));
    let expected = ExpectedForest::new()
        .tree(run.outside(), run.handshake(&session))
        .tree(run.outside(), measured(called, &session, 1, 1));
    run.expect(expected).await?;
    Ok(Outcome::Ran)
}

pub(super) async fn reconnect(run: &mut Run<'_>) -> Result<Outcome, String> {
    let (tap, session) = connected!(run);
    let cut = async {
        // The stream is open at both ends once its first chunk is back.
        for _ in 0..500 {
            if !tap.recording(0).received.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tap.cut();
    };
    let (answer, ()) = tokio::join!(run.call("slow", texts(&["\"one\""]), json!({})), cut);
    let answer = answer?;
    run.equal(
        "the call that was cut",
        &answer,
        &json!({"replies": [{"text": "\"one\""}], "error": "closed"}),
    );
    // An id is honoured only while it is not live (SE-3), so until the server has seen the end of its connection.
    run.ended("slow", Kind::Server).await?;
    let second = run.name("again");
    let continued = run
        .connect(&tap, json!({"as": second, "resume": run.name("c")}))
        .await?;
    run.equal("session", &json!(continued), &json!(session));
    let answer = run
        .call("echo", texts(&["2"]), json!({"on": second}))
        .await?;
    run.equal("replies", &answer["replies"], &texts(&["2"]));
    run.on_connection("close", json!({"on": second})).await?;

    let first = run.handshake(&session);
    let again_server = Expected::new(&run.server.name, "websocket.handshake", Kind::Server)
        .label("server again")
        .attribute(SESSION, session.as_str())
        .link("server handshake");
    let again = Expected::new(&run.client.name, "websocket.handshake", Kind::Client)
        .label("client again")
        .attribute(SESSION, session.as_str())
        .link("client handshake")
        .child(again_server);
    let broken_server = Expected::new(&run.server.name, "slow", Kind::Server)
        .attribute(SESSION, session.as_str())
        .link("server handshake")
        .fails_with("closed");
    let broken = Expected::new(&run.client.name, "slow", Kind::Client)
        .attribute(SESSION, session.as_str())
        .link("client handshake")
        .fails_with("closed")
        .child(broken_server);
    let served = Expected::new(&run.server.name, "echo", Kind::Server).link("server again");
    let called = Expected::new(&run.client.name, "echo", Kind::Client)
        .label("called")
        .link("client again")
        .child(measured(served, &session, 1, 1));
    let expected = ExpectedForest::new()
        .tree(run.outside(), first)
        .tree(run.outside(), again)
        .tree(run.outside(), broken)
        .tree(run.outside(), measured(called, &session, 1, 1));
    let seen = run.expect(expected).await?;
    // Ids of streams begin again.
    let call = seen.traceparent("called");
    let first = tap
        .recording(1)
        .sent
        .into_iter()
        .take(1)
        .collect::<Vec<_>>();
    run.bytes("the first message of the second connection", &first, &[Wire::text(format!(
        r#"{{"headers":{{"traceparent":"{call}","kind":"call","method":"echo","stream":"1"}},"body":2}}"#
    ))]);
    Ok(Outcome::Ran)
}
