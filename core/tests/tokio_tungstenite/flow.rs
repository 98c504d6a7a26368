//! Flow: readers that stall, peers that do not read, and what is bounded.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use opentelemetry::trace::SpanKind;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{ClientRequestBuilder, Message as WsMessage};
use wirespan::ErrorKind;
use wirespan::connection::Options;
use wirespan::counters::Counter;
use wirespan::tokio_tungstenite::{Acceptor, Call, Connector, Handlers};

use crate::harness::*;

const WAIT: Duration = Duration::from_millis(400);

fn impatient() -> Options {
    let mut options = Options::default();
    options.overflow_wait_ns = u64::try_from(WAIT.as_nanos()).unwrap();
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_eight_calls_stalls_and_the_others_resume_within_the_bound() {
    let (stalled, mut stall) = mpsc::channel(1);
    let handlers = echo().on("stall", move |mut call: Call| {
        let stalled = stalled.clone();
        async move {
            // Reads nothing until it has overflowed.
            tokio::time::sleep(3 * WAIT).await;
            let mut unread = (0, 0);
            loop {
                match call.next().await {
                    Some(Ok(message)) => unread = (unread.0 + 1, unread.1 + message.bytes().len()),
                    Some(Err(error)) => {
                        stalled.send((error.kind(), unread)).await?;
                        return Err(error.into());
                    }
                    None => return Ok(()),
                }
            }
        }
    });
    let server = serve_with(Acceptor::new(impatient()).handlers(handlers)).await;
    let connection = connect_to(&server).await;
    let session = connection.session_id();

    let flood = tokio::spawn({
        let connection = connection.clone();
        async move {
            let mut call = connection.call("stall").unwrap();
            let mut sent = 0_u64;
            while call.send(vec![0; 64 * 1024]).await.is_ok() {
                sent += 1;
            }
            let error = call.next().await.unwrap().unwrap_err();
            (sent, error)
        }
    });
    let mut others = Vec::new();
    for _ in 0..7 {
        let connection = connection.clone();
        others.push(tokio::spawn(async move {
            let mut call = connection.call("echo").unwrap();
            let started = Instant::now();
            let (mut longest, mut last) = (Duration::ZERO, started);
            let mut echoed = 0;
            while started.elapsed() < 4 * WAIT {
                call.send("tick").await.unwrap();
                assert_eq!(call.next().await.unwrap().unwrap().text(), Some("tick"));
                longest = longest.max(last.elapsed());
                last = Instant::now();
                echoed += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            call.end().await.unwrap();
            assert!(call.next().await.is_none());
            (longest, echoed)
        }));
    }
    for other in others {
        let (longest, echoed) = within("the other calls", other).await.unwrap();
        assert!(longest >= WAIT / 2, "reading did pause: {longest:?}");
        assert!(
            longest < WAIT + Duration::from_secs(2),
            "resumed after {longest:?}"
        );
        assert!(echoed > 10, "{echoed}");
    }
    let (kind, (chunks, bytes)) = within("the stall", stall.recv()).await.unwrap();
    assert_eq!(kind, ErrorKind::Overflow);
    assert!(
        chunks <= 256 && bytes <= 1024 * 1024 + 64 * 1024,
        "{chunks} chunks, {bytes} bytes"
    );
    let (sent, error) = within("the flood", flood).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert!(error.to_string().contains("overflow"), "{error}");
    assert!(sent > 16, "{sent}");
    assert_failed(&span(&session, "stall", SpanKind::Server).await, "overflow");
    assert_failed(&span(&session, "stall", SpanKind::Client).await, "overflow");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_within_the_bound_while_a_call_stalls() {
    let handlers = Handlers::new().on("stall", |call: Call| async move {
        call.connection().closed().await;
        Ok(())
    });
    let server = serve_with(Acceptor::new(impatient()).handlers(handlers)).await;
    let request =
        ClientRequestBuilder::new(format!("ws://{}/", server.local_addr()).parse().unwrap())
            .with_header("wirespan", "1;session=ping-peer");
    let (raw, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let (mut sink, mut source) = raw.split();
    let started = Instant::now();
    let flood = tokio::spawn(async move {
        let opening =
            "{\"headers\":{\"kind\":\"call\",\"method\":\"stall\",\"stream\":\"1\"},\"body\":0}";
        sink.send(WsMessage::text(opening)).await.unwrap();
        let filler = "x".repeat(64 * 1024);
        for seq in 1..200 {
            let head = format!("{{\"headers\":{{\"stream\":\"1\",\"seq\":\"{seq}\"}},\"body\":");
            sink.send(WsMessage::text(format!("{head}\"{filler}\"}}")))
                .await
                .unwrap();
            // A ping carries when it was sent.
            let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap();
            sink.send(WsMessage::Ping(now_ms.to_be_bytes().to_vec().into()))
                .await
                .unwrap();
        }
        sink
    });
    let (mut pongs, mut longest_ms, mut ended) = (0, 0, false);
    while pongs < 199 || !ended {
        match within("a pong", source.next()).await.unwrap().unwrap() {
            WsMessage::Pong(sent) => {
                let sent_ms = u64::from_be_bytes(sent[..].try_into().unwrap());
                let now_ms = u64::try_from(started.elapsed().as_millis()).unwrap();
                longest_ms = longest_ms.max(now_ms - sent_ms);
                pongs += 1;
            }
            WsMessage::Text(text) => ended |= text.contains("\"error\":\"overflow\""),
            other => panic!("{other:?}"),
        }
    }
    let wait_ms = u64::try_from(WAIT.as_millis()).unwrap();
    assert!(
        (wait_ms / 2..wait_ms + 2000).contains(&longest_ms),
        "{longest_ms} ms"
    );
    drop(flood.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_peers_that_both_send_a_lot_do_not_wait_for_each_other() {
    const LARGE: usize = 12 * 1024 * 1024;
    let handlers = Handlers::new().on("swap", |mut call: Call| async move {
        for _ in 0..3 {
            call.connection().send(vec![1; LARGE]).await?;
        }
        let mut bytes = 0;
        while let Some(message) = call.next().await {
            bytes += message?.bytes().len();
        }
        call.send(bytes.to_string()).await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("swap").unwrap();
    let receiving = tokio::spawn({
        let connection = connection.clone();
        async move {
            let mut bytes = 0;
            while bytes < 3 * LARGE {
                bytes += connection.recv().await.unwrap().bytes().len();
            }
        }
    });
    for _ in 0..3 {
        within("room", call.send(vec![2; LARGE])).await.unwrap();
    }
    call.end().await.unwrap();
    within("the messages", receiving).await.unwrap();
    let answer = within("the answer", call.next()).await.unwrap().unwrap();
    assert_eq!(answer.to_string(), (3 * LARGE).to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_nobody_reads_do_not_pile_up() {
    let mut options = Options::default();
    options.max_streams = 1;
    let held = Handlers::new().on("hold", |call: Call| async move {
        call.connection().closed().await;
        Ok(())
    });
    let server = serve_with(Acceptor::new(options).handlers(held)).await;
    let request =
        ClientRequestBuilder::new(format!("ws://{}/", server.local_addr()).parse().unwrap())
            .with_header("wirespan", "1");
    let (raw, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    let (mut sink, _unread) = raw.split();
    {
        let flood = async {
            for stream in (1..).step_by(2) {
                let opening = format!(
                    "{{\"headers\":{{\"kind\":\"call\",\"stream\":\"{stream}\",\"method\":\"hold\"}},\"body\":1}}"
                );
                sink.feed(WsMessage::text(opening)).await.unwrap();
            }
        };
        tokio::time::timeout(Duration::from_secs(5), flood)
            .await
            .unwrap_err();
    }
    // Reading has stopped at the server, so that nothing more can be sent to it.
    let more = sink.send(WsMessage::binary(vec![0; 8 * 1024 * 1024]));
    assert!(
        tokio::time::timeout(Duration::from_secs(1), more)
            .await
            .is_err(),
        "it reads on"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sending_waits_for_a_peer_that_does_not_read() {
    sdk();
    // A server that accepts the upgrade and then reads nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let silent = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    });
    let connection = wirespan::tokio_tungstenite::connect(url, Options::default())
        .await
        .unwrap();
    let silent = silent.await.unwrap();
    let mut sent = 0;
    let flood = async {
        loop {
            connection.send(vec![0; 256 * 1024]).await.unwrap();
            sent += 1;
        }
    };
    tokio::time::timeout(Duration::from_millis(500), flood)
        .await
        .unwrap_err();
    assert!(
        (1..200).contains(&sent),
        "{sent} messages of 256 KiB are held"
    );
    let before = Instant::now();
    within("the close", connection.close()).await;
    assert!(
        before.elapsed() < Duration::from_secs(7),
        "{:?}",
        before.elapsed()
    );
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_messages_that_nobody_reads_are_dropped_after_a_while_and_calls_go_on() {
    let handlers = echo().on("chatter", |call: Call| async move {
        for n in 0..1000 {
            call.connection().send(n.to_string()).await?;
        }
        call.send("done").await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_with(Connector::new(impatient()), &server).await;
    let mut call = connection.call("chatter").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(
        within("the answer", call.next())
            .await
            .unwrap()
            .unwrap()
            .text(),
        Some("done")
    );
    assert_eq!(connection.counters().get(Counter::Overflow), 1000 - 256);
    for n in 0..256 {
        assert_eq!(
            connection.recv().await.unwrap().text(),
            Some(&*n.to_string())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_messages_without_a_handler_are_discarded_and_counted() {
    let handlers = Handlers::new().on("counters", |call: Call| async move {
        let discarded = call.connection().counters().get(Counter::Discarded);
        call.send(discarded.to_string()).await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    for _ in 0..3 {
        connection.send("x").await.unwrap();
    }
    let mut call = connection.call("counters").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_stream_times_out() {
    let mut options = Options::default();
    options.idle_timeout_ns = 150_000_000;
    let handlers = Handlers::new().on("sleep", |mut call: Call| async move {
        call.next().await.unwrap()?;
        match call.next().await {
            Some(Err(error)) => Err(error.into()),
            other => panic!("{other:?}"),
        }
    });
    let server = serve_with(Acceptor::new(options).handlers(handlers)).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("sleep").unwrap();
    call.send("x").await.unwrap();
    let error = within("the time-out", call.next())
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("timeout"), "{error}");
    assert_failed(
        &span(&connection.session_id(), "sleep", SpanKind::Server).await,
        "timeout",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_over_the_limit_are_refused_and_the_others_go_on() {
    let mut options = Options::default();
    options.max_streams = 2;
    let server = serve_with(Acceptor::new(options).handlers(echo())).await;
    let connection = connect_to(&server).await;
    let mut calls: Vec<_> = (0..3).map(|_| connection.call("echo").unwrap()).collect();
    for call in &calls {
        call.send("x").await.unwrap();
    }
    let mut third = calls.pop().unwrap();
    let error = within("the refusal", third.next())
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.to_string().contains("limit"), "{error}");
    for mut call in calls {
        assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
    }
}
