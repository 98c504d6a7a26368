//! Peers that do not know Wirespan, or send garbage.

use futures_util::{SinkExt, StreamExt};
use opentelemetry::trace::{FutureExt, SpanKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{
    ClientRequestBuilder, Error as WsError, Message as WsMessage,
};
use wirespan::ErrorKind;
use wirespan::connection::{Mode, Options, Peer};
use wirespan::tokio_tungstenite::{Connector, Handlers};

use crate::harness::*;

/// Bodies that look like nothing, like JSON, and like our own envelopes.
const BODIES: [&str; 6] = [
    "hello",
    "{\"n\": 1e400}",
    "",
    "{\"headers\":{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\"},\"body\":1}",
    "{\"headers\":{",
    "\u{feff}{ \"body\" : null }",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_server_gets_and_gives_every_byte_as_it_is() {
    sdk();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let (seen, mut saw) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut raw = tokio_tungstenite::accept_async(stream).await.unwrap();
        while let Some(Ok(message)) = raw.next().await {
            if message.is_close() {
                break;
            }
            seen.send(message.clone()).unwrap();
            raw.send(message).await.unwrap();
        }
    });
    let connection = wirespan::tokio_tungstenite::connect(url, Options::default())
        .await
        .unwrap();
    assert_eq!(connection.peer(), Peer::Unknown);
    let app = root("app");
    for body in BODIES {
        connection
            .send(body)
            .with_context(app.clone())
            .await
            .unwrap();
        assert_eq!(
            within("the message", saw.recv()).await,
            Some(WsMessage::text(body))
        );
        assert_eq!(connection.recv().await.unwrap().text(), Some(body));
        connection
            .send(body.as_bytes())
            .with_context(app.clone())
            .await
            .unwrap();
        assert_eq!(
            within("the message", saw.recv()).await,
            Some(WsMessage::binary(body))
        );
        assert_eq!(
            &connection.recv().await.unwrap().bytes()[..],
            body.as_bytes()
        );
    }
    // A call gets what comes until it is left, and is the only one.
    let mut call = connection.call("ask").unwrap();
    assert_eq!(connection.call("ask").unwrap_err().kind(), ErrorKind::Busy);
    call.send("question").await.unwrap();
    assert_eq!(
        within("the message", saw.recv()).await,
        Some(WsMessage::text("question"))
    );
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("question"));
    drop(call);
    let session = connection.session_id();
    let call = span(&session, "ask", SpanKind::Client).await;
    assert_unset(&call);
    assert_eq!(number(&call, "websocket.stream.received.chunks"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_raw_client_gets_and_gives_every_byte_as_it_is() {
    let handlers = Handlers::new().on_message(|connection, message| async move {
        child("ignored");
        let sent = match message.text() {
            Some(text) => connection.send(text).await,
            None => connection.send(message.bytes().clone()).await,
        };
        sent.unwrap();
    });
    let server = serve(handlers).await;
    let (mut raw, response) =
        tokio_tungstenite::connect_async(format!("ws://{}/", server.local_addr()))
            .await
            .unwrap();
    assert!(!response.headers().contains_key("wirespan"), "{response:?}");
    for body in BODIES {
        for message in [WsMessage::text(body), WsMessage::binary(body)] {
            raw.send(message.clone()).await.unwrap();
            assert_eq!(
                within("the echo", raw.next()).await.unwrap().unwrap(),
                message
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_mode_never_nothing_is_added_to_the_request() {
    sdk();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let request = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = stream.read(&mut request).await.unwrap();
        String::from_utf8(request[..length].to_vec())
            .unwrap()
            .to_lowercase()
    });
    let mut options = Options::default();
    options.mode = Mode::Never;
    let error = Connector::new(options).connect(url).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    let request = request.await.unwrap();
    assert!(request.starts_with("get / http/1.1"), "{request}");
    assert!(
        !request.contains("wirespan") && !request.contains("traceparent"),
        "{request}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_place_of_a_handshake_does_not_stop_a_server() {
    let server = serve(echo()).await;
    for garbage in [
        &b"\x00\xff\x00garbage\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"",
    ] {
        let mut raw = TcpStream::connect(server.local_addr()).await.unwrap();
        raw.write_all(garbage).await.unwrap();
        raw.shutdown().await.unwrap();
        let mut answer = Vec::new();
        let _ = within("the end", raw.read_to_end(&mut answer)).await;
    }
    let connection = connect_to(&server).await;
    let mut call = connection.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_behind_a_handshake_ends_calls_with_an_error_and_is_answered_1002() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on(
        "open",
        move |mut call: wirespan::tokio_tungstenite::Call| {
            let seen = seen.clone();
            async move {
                call.next().await.unwrap()?;
                let error = call.next().await.unwrap().unwrap_err();
                seen.send((call.connection().session_id(), error.kind()))
                    .await?;
                Err(error.into())
            }
        },
    );
    let server = serve(handlers).await;
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let request =
        ClientRequestBuilder::new(format!("ws://{}/", server.local_addr()).parse().unwrap())
            .with_header("wirespan", "1;session=garbage-peer");
    let (mut raw, _) = tokio_tungstenite::client_async(request, stream)
        .await
        .unwrap();
    raw.send(WsMessage::text(
        "{\"headers\":{\"kind\":\"call\",\"method\":\"open\",\"stream\":\"1\"},\"body\":1}",
    ))
    .await
    .unwrap();
    // A frame with reserved bits, unmasked.
    raw.get_mut()
        .write_all(&[0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])
        .await
        .unwrap();
    let (session, kind) = within("the error", saw.recv()).await.unwrap();
    assert_eq!(
        (session.as_str(), kind),
        ("garbage-peer", ErrorKind::Closed)
    );
    assert_failed(&span(&session, "open", SpanKind::Server).await, "closed");
    match within("the close", raw.next()).await {
        Some(Ok(WsMessage::Close(Some(frame)))) => assert_eq!(u16::from(frame.code), 1002),
        // The reset that follows may overtake the close frame.
        None | Some(Err(WsError::Io(_) | WsError::Protocol(_))) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn envelopes_with_wrong_parts_are_delivered_and_harm_nothing() {
    let (seen, mut saw) = mpsc::unbounded_channel();
    let handlers = echo().on_message(move |_, message| {
        let seen = seen.clone();
        async move { seen.send(message.to_string()).unwrap() }
    });
    let server = serve(handlers).await;
    let request =
        ClientRequestBuilder::new(format!("ws://{}/", server.local_addr()).parse().unwrap())
            .with_header("wirespan", "1");
    let (mut raw, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let plain = [
        "{\"headers\":{\"traceparent\":\"zz\",\"stream\":\"0\"",
        "{\"headers\":{\"kind\":[]},\"body\":1}",
        "{\"headers\":{}, \"body\":1}",
    ];
    for body in plain {
        raw.send(WsMessage::text(body)).await.unwrap();
        assert_eq!(
            within("the message", saw.recv()).await.as_deref(),
            Some(body)
        );
    }
    for (sent, body) in [
        (
            "{\"headers\":{\"traceparent\":\"00-0-0-0\"},\"body\":1}",
            "1",
        ),
        (
            "{\"headers\":{\"stream\":\"99\",\"seq\":\"4\"},\"body\":[2]}",
            "[2]",
        ),
        (
            "{\"headers\":{\"a\":\"1\",\"A\":\"2\"},\"body\":\"\"}",
            "\"\"",
        ),
    ] {
        raw.send(WsMessage::text(sent)).await.unwrap();
        assert_eq!(
            within("the message", saw.recv()).await.as_deref(),
            Some(body)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mutated_envelopes_leave_the_connection_alive() {
    let handlers = echo().on_message(|connection, message| async move {
        if message.text() == Some("still there?") {
            connection.send("yes").await.unwrap();
        }
    });
    let server = serve(handlers).await;
    let request =
        ClientRequestBuilder::new(format!("ws://{}/", server.local_addr()).parse().unwrap())
            .with_header("wirespan", "1;session=mutant-peer");
    let (raw, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let (mut sink, mut source) = raw.split();
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    for n in 0..2000 {
        let stream = 2 * random(40) + 1;
        let valid = format!(
            "{{\"headers\":{{\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\
             \"kind\":\"call\",\"method\":\"echo\",\"stream\":\"{stream}\"}},\"body\":{n}}}"
        );
        let mut bytes = valid.into_bytes();
        for _ in 0..random(3) {
            let at = random(bytes.len());
            bytes[at] = u8::try_from(random(95) + 32).unwrap();
        }
        bytes.truncate(bytes.len() - random(2) * random(20));
        let message = match random(4) {
            0 => WsMessage::binary([&[0xff, 0x57, 1, 1][..], &bytes].concat()),
            _ => WsMessage::text(String::from_utf8(bytes).unwrap()),
        };
        sink.send(message).await.unwrap();
    }
    // No call: one of the mutants may have had the server's own parity, after which nothing opens any more.
    sink.send(WsMessage::text("still there?")).await.unwrap();
    while within("the answer", source.next()).await.unwrap().unwrap() != WsMessage::text("yes") {}
}
