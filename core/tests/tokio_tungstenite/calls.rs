//! Calls, streams, transfers and plain messages: parents, kinds, links and what arrives.

use std::sync::Arc;

use futures_util::StreamExt;
use opentelemetry::trace::{FutureExt, SpanKind, TraceContextExt};
use opentelemetry::{Context, KeyValue, baggage::BaggageExt};
use tokio::sync::mpsc;
use wirespan::connection::{Endpoint, Mode, Options, Peer, TraceScope, Trust};
use wirespan::envelope::{Form, Kind};
use wirespan::tokio_tungstenite::{Acceptor, Call, Connector, Failure, Handlers, Outgoing};
use wirespan::trace::AllowList;
use wirespan::{Error, ErrorKind};

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_one_trace_across_both_sides() {
    let handlers = Handlers::new().on("greet", |mut call: Call| async move {
        let name = call.next().await.unwrap()?;
        assert!(call.next().await.is_none(), "the request is complete");
        child("think");
        call.send(format!("hello {name}")).await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    assert_eq!(connection.peer(), Peer::Announced { version: 1 });

    let app = root("app");
    let answer = connection
        .call_with("greet", async |call: &mut Call| {
            call.send_last("ada").await?;
            child("wait");
            let answer = call.next().await.unwrap()?;
            assert!(call.next().await.is_none());
            Ok::<_, Error>(answer.to_string())
        })
        .with_context(app.clone())
        .await
        .unwrap();
    assert_eq!(answer, "hello ada");
    app.span().end();

    let session = connection.session_id();
    let client_handshake = span(&session, "websocket.handshake", SpanKind::Client).await;
    let server_handshake = span(&session, "websocket.handshake", SpanKind::Server).await;
    assert_root(&client_handshake);
    assert_child(&server_handshake, &client_handshake.span_context);
    assert!(server_handshake.parent_span_is_remote);

    let client = span(&session, "greet", SpanKind::Client).await;
    assert_child(&client, &span_of(&app));
    assert_links(&client, &[&client_handshake.span_context]);
    let server_span = span(&session, "greet", SpanKind::Server).await;
    assert_child(&server_span, &client.span_context);
    assert_links(&server_span, &[&server_handshake.span_context]);
    for (name, parent) in [("think", &server_span), ("wait", &client)] {
        let trace = client.span_context.trace_id();
        let child = one(name, |span| {
            span.name == name && span.span_context.trace_id() == trace
        });
        assert_child(&child.await, &parent.span_context);
    }
    for call in [&client, &server_span] {
        assert_unset(call);
        assert_eq!(text(call, "rpc.method"), "greet");
        assert_eq!(text(call, "network.protocol.name"), "websocket");
        assert_eq!(text(call, "server.address"), "127.0.0.1");
        assert_eq!(
            number(call, "server.port"),
            i64::from(server.local_addr().port())
        );
        assert_eq!(text(call, "websocket.stream.outcome"), "complete");
        assert_eq!(number(call, "websocket.stream.sent.chunks"), 1);
        assert_eq!(number(call, "websocket.stream.received.chunks"), 1);
    }
    assert_eq!(number(&client, "websocket.stream.received.bytes"), 9);
    assert_eq!(of_session(&session).await.len(), 4);
    assert_eq!(of_trace(span_of(&app).trace_id()).await.len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_span_of_a_call_is_current_inside_its_block_only() {
    let server = serve(echo()).await;
    let connection = connect_to(&server).await;
    let call = connection.call("echo").unwrap();
    assert!(
        !Context::current().has_active_span(),
        "making a call attaches nothing"
    );
    let inside = connection
        .call_with("echo", async |call: &mut Call| {
            let current = span_of(&Context::current());
            assert_eq!(&current, call.context().span().span_context());
            Ok::<_, Error>(current)
        })
        .await
        .unwrap();
    assert!(inside.is_valid());
    assert!(!Context::current().has_active_span());
    drop(call);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_calls_its_client_from_within_a_handler() {
    let handlers = Handlers::new().on("order", |call: Call| async move {
        let mut asked = call.connection().call("confirm")?;
        asked.send_last("really?").await?;
        let answer = asked.next().await.unwrap()?;
        call.send(answer.to_string()).await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let confirm = Handlers::new().on("confirm", |mut call: Call| async move {
        assert_eq!(call.next().await.unwrap()?.text(), Some("really?"));
        call.send_last("yes").await?;
        Ok(())
    });
    let connection = connect_with(Connector::default().handlers(confirm), &server).await;
    let mut order = connection.call("order").unwrap();
    order.send_last("pizza").await.unwrap();
    assert_eq!(
        within("the answer", order.next())
            .await
            .unwrap()
            .unwrap()
            .text(),
        Some("yes")
    );
    assert!(order.next().await.is_none());

    let session = connection.session_id();
    let order = span(&session, "order", SpanKind::Server).await;
    let asks = span(&session, "confirm", SpanKind::Client).await;
    let answers = span(&session, "confirm", SpanKind::Server).await;
    assert_child(&asks, &order.span_context);
    assert_child(&answers, &asks.span_context);
    let server_handshake = span(&session, "websocket.handshake", SpanKind::Server).await;
    let client_handshake = span(&session, "websocket.handshake", SpanKind::Client).await;
    assert_links(&asks, &[&server_handshake.span_context]);
    assert_links(&answers, &[&client_handshake.span_context]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_keep_order_bytes_and_forms_both_ways() {
    let handlers = Handlers::new().on("mirror", |mut call: Call| async move {
        while let Some(message) = call.next().await {
            let message = message?;
            match message.form() {
                Form::Text => call.send(message.to_string()).await?,
                Form::Binary => call.send(message.bytes().clone()).await?,
            }
        }
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("mirror").unwrap();
    let texts = [
        "{\"a\": 1e400}",
        "plain \"text\"\n",
        "",
        " [1, 2] ",
        "{\"headers\":{\"x\":\"y\"},\"body\":1}",
    ];
    for text in texts {
        call.send(text).await.unwrap();
        call.send(text.as_bytes()).await.unwrap();
    }
    call.end().await.unwrap();
    for text in texts {
        let message = call.next().await.unwrap().unwrap();
        assert_eq!((message.form(), message.text()), (Form::Text, Some(text)));
        let message = call.next().await.unwrap().unwrap();
        assert_eq!(
            (message.form(), &message.bytes()[..]),
            (Form::Binary, text.as_bytes())
        );
        assert_eq!(message.text(), None);
    }
    assert!(call.next().await.is_none());
    let metrics = call.metrics();
    assert_eq!((metrics.sent.chunks, metrics.received.chunks), (10, 10));
    assert_eq!(metrics.sent.bytes, metrics.received.bytes);
    let session = connection.session_id();
    assert_eq!(
        number(
            &span(&session, "mirror", SpanKind::Server).await,
            "websocket.stream.received.chunks"
        ),
        10
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn json_and_own_headers_reach_the_other_side() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("put", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            let message = call.next().await.unwrap()?;
            let list: Vec<u32> = message.json()?;
            seen.send((list, message.headers().to_vec())).await?;
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let call = connection.call("put").unwrap();
    let message = Outgoing::json(&[1, 2, 3])
        .unwrap()
        .header("x-tenant", "blue");
    call.send_last(message).await.unwrap();
    let (list, headers) = within("the message", saw.recv()).await.unwrap();
    assert_eq!(list, [1, 2, 3]);
    assert_eq!(headers, [("x-tenant".to_owned(), "blue".to_owned())]);
    let ended = call.send("more").await.unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::InvalidState);
    let wrong = connection
        .send(Outgoing::from("x").header("stream", "1"))
        .await
        .unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_linked_and_has_no_reply() {
    let (seen, mut saw) = mpsc::channel(8);
    let handlers = Handlers::new().on("telemetry", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            assert_eq!(call.kind(), Kind::Transfer);
            assert_eq!(
                call.send("no").await.unwrap_err().kind(),
                ErrorKind::InvalidState
            );
            while let Some(message) = call.next().await {
                seen.send(message?.to_string()).await?;
            }
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let app = root("app");
    let transfer = {
        let _current = app.clone().attach();
        connection.transfer("telemetry").unwrap()
    };
    transfer.send("1").await.unwrap();
    transfer.send_last("2").await.unwrap();
    for expected in ["1", "2"] {
        assert_eq!(
            within("the data", saw.recv()).await.as_deref(),
            Some(expected)
        );
    }
    drop(transfer);
    let session = connection.session_id();
    let sends = span(&session, "send telemetry", SpanKind::Producer).await;
    let processes = span(&session, "process telemetry", SpanKind::Consumer).await;
    assert_child(&sends, &span_of(&app));
    assert_root(&processes);
    assert_links(&processes, &[&sends.span_context]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_message_is_handled_in_the_context_it_was_sent_in() {
    let handlers = Handlers::new().on_message(|connection, message| async move {
        child("handled");
        connection.send(format!("got {message}")).await.unwrap();
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let app = root("app");
    connection
        .send("news")
        .with_context(app.clone())
        .await
        .unwrap();
    let answer = within("the answer", connection.recv()).await.unwrap();
    assert_eq!(answer.text(), Some("got news"));
    let trace = span_of(&app).trace_id();
    let handled = one("handled", |span| {
        span.name == "handled" && span.span_context.trace_id() == trace
    });
    assert_child(&handled.await, &span_of(&app));
    // The answer carries the context that was current there, and makes it current here.
    answer.run(|| child("read"));
    let read = one("read", |span| {
        span.name == "read" && span.span_context.trace_id() == trace
    });
    assert_child(&read.await, &span_of(&app));
    assert!(
        of_session(&connection.session_id())
            .await
            .iter()
            .all(|span| span.name == "websocket.handshake")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unsampled_call_exports_nothing_and_still_carries_its_context() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("quiet", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            child("inside");
            let message = call.next().await.unwrap()?;
            seen.send((span_of(&Context::current()), message.to_string()))
                .await?;
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let unsampled = wirespan::trace::TraceParent::parse(
        b"00-aaaabbbbccccddddaaaabbbbccccdddd-1111222233334444-00",
    );
    let parent = wirespan::otel::remote_context(&Context::new(), &unsampled.unwrap().into());
    connection
        .call_with("quiet", async |call: &mut Call| call.send_last("x").await)
        .with_context(parent.clone())
        .await
        .unwrap();
    let (inside, body) = within("the call", saw.recv()).await.unwrap();
    assert_eq!(body, "x");
    assert_eq!(inside.trace_id(), span_of(&parent).trace_id());
    assert!(!inside.is_sampled());
    assert!(of_trace(inside.trace_id()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn baggage_passes_allow_lists_only() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("bags", move |_call: Call| {
        let seen = seen.clone();
        async move {
            let current = Context::current();
            let names: Vec<_> = current
                .baggage()
                .iter()
                .map(|(name, _)| name.to_string())
                .collect();
            seen.send(names).await?;
            Ok(())
        }
    });
    let mut options = Options::default();
    options.baggage_in = AllowList::from_names(vec!["tenant".into(), "other".into()]);
    let server = serve_with(Acceptor::new(options).handlers(handlers)).await;
    let mut options = Options::default();
    options.baggage_out = AllowList::from_names(vec!["tenant".into(), "unlisted".into()]);
    let connection = connect_with(Connector::new(options), &server).await;
    // Without a span: what the context holds beside one is kept.
    let context = Context::new().with_baggage([
        KeyValue::new("tenant", "blue"),
        KeyValue::new("secret", "x"),
        KeyValue::new("unlisted", "y"),
    ]);
    connection
        .call_with("bags", async |call: &mut Call| call.send_last("x").await)
        .with_context(context)
        .await
        .unwrap();
    assert_eq!(within("the call", saw.recv()).await.unwrap(), ["tenant"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_peer_can_be_taken_one_by_one() {
    let server = serve(Handlers::new().on("start", |call: Call| async move {
        let mut asked = call.connection().call("ask")?;
        asked.send_last("?").await?;
        call.send(asked.next().await.unwrap()?.to_string()).await?;
        Ok(())
    }))
    .await;
    let connection = connect_with(Connector::default().methods(["ask"]), &server).await;
    let mut start = connection.call("start").unwrap();
    start.send_last("go").await.unwrap();
    let mut asked = within("the call", connection.next_call()).await.unwrap();
    assert_eq!(
        (asked.method(), asked.is_incoming(), asked.is_registered()),
        (Some("ask"), true, true)
    );
    assert_eq!(asked.next().await.unwrap().unwrap().text(), Some("?"));
    asked.send("!").await.unwrap();
    drop(asked);
    assert_eq!(start.next().await.unwrap().unwrap().text(), Some("!"));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_max_running_handlers_run_at_once() {
    let running = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let most = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (count, peak) = (Arc::clone(&running), Arc::clone(&most));
    let handlers = Handlers::new().on("work", move |call: Call| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        async move {
            use std::sync::atomic::Ordering::SeqCst;
            peak.fetch_max(count.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            count.fetch_sub(1, SeqCst);
            call.send("done").await?;
            Ok(())
        }
    });
    let mut options = Options::default();
    options.max_running = 2;
    let server = serve_with(Acceptor::new(options).handlers(handlers)).await;
    let connection = connect_to(&server).await;
    let mut calls = Vec::new();
    for _ in 0..7 {
        let call = connection.call("work").unwrap();
        call.send_last("x").await.unwrap();
        calls.push(call);
    }
    for mut call in calls {
        assert_eq!(
            within("the answer", call.next())
                .await
                .unwrap()
                .unwrap()
                .text(),
            Some("done")
        );
    }
    assert_eq!(most.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn under_trace_scope_connection_the_connection_has_a_span() {
    let mut options = Options::default();
    options.trace_scope = TraceScope::Connection;
    let server = serve_with(Acceptor::new(options.clone()).handlers(echo())).await;
    let connection = connect_with(Connector::new(options), &server).await;
    let session = connection.session_id();
    let mut call = connection.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
    drop(call);
    connection.close().await;
    let client = span(&session, "websocket.connection", SpanKind::Client).await;
    let server_span = span(&session, "websocket.connection", SpanKind::Server).await;
    for connection in [&client, &server_span] {
        assert_unset(connection);
        assert_eq!(number(connection, "websocket.close.code"), 1000);
    }
    let call = span(&session, "echo", SpanKind::Client).await;
    assert_child(&call, &client.span_context);
    assert_child(
        &span(&session, "echo", SpanKind::Server).await,
        &call.span_context,
    );
    assert_eq!(
        client.span_context.trace_id(),
        server_span.span_context.trace_id()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn two_always_peers_need_no_announcement() {
    let mut options = Options::default();
    options.mode = Mode::Always;
    let server = serve_with(Acceptor::new(options.clone()).handlers(echo())).await;
    let connection = connect_with(Connector::new(options), &server).await;
    let mut call = connection.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn subprotocol_and_query_announce_and_a_hello_answers() {
    let acceptor = Acceptor::new(Options::default())
        .handlers(echo())
        .subprotocols(["chat"]);
    let server = serve_with(acceptor).await;
    let mut options = Options::default();
    options.subprotocol = wirespan::connection::SubprotocolAnnouncement::Beside;
    options.query = true;
    let request = tokio_tungstenite::tungstenite::ClientRequestBuilder::new(
        format!("ws://{}/path?a=b", server.local_addr())
            .parse()
            .unwrap(),
    )
    .with_header("x-test", "1")
    .with_sub_protocol("chat");
    let connection = Connector::new(options).connect(request).await.unwrap();
    assert_eq!(connection.peer(), Peer::Announced { version: 1 });
    let mut call = connection.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_span_around_the_handshake_takes_its_place() {
    sdk();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let http = root("GET /ws");
    let acceptor = Acceptor::new(Options::default()).handlers(echo());
    let around = http.clone();
    let accepted = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).with_context(around).await.unwrap()
    });
    let url = format!("ws://{address}/");
    let connection = wirespan::tokio_tungstenite::connect(url, Options::default())
        .await
        .unwrap();
    accepted.await.unwrap();
    let mut call = connection.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
    drop(call);
    let session = connection.session_id();
    let echo = span(&session, "echo", SpanKind::Server).await;
    assert_links(&echo, &[&span_of(&http)]);
    let server_side = of_session(&session).await;
    assert!(
        !server_side.iter().any(|span| {
            span.name == "websocket.handshake" && span.span_kind == SpanKind::Server
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handlers_call_can_be_kept_by_a_task_and_ends_with_its_handler() {
    let (kept, mut keep) = mpsc::channel::<Call>(1);
    let handlers = Handlers::new().on("keep", move |call: Call| {
        let kept = kept.clone();
        async move {
            kept.send(call)
                .await
                .map_err(|_| Failure::new("gone", "the test is over"))?;
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("keep").unwrap();
    call.send_last("x").await.unwrap();
    let kept = within("the call", keep.recv()).await.unwrap();
    assert!(within("the end", call.next()).await.is_none());
    assert_eq!(
        kept.send("late").await.unwrap_err().kind(),
        ErrorKind::InvalidState
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn any_transport_can_be_connected_and_accepted_over() {
    sdk();
    let (near, far) = tokio::io::duplex(64);
    let acceptor = Acceptor::new(Options::default()).handlers(echo());
    let accepting = tokio::spawn(async move {
        acceptor
            .accept_over(far, Endpoint::default(), None)
            .await
            .unwrap()
    });
    let connection = Connector::default()
        .connect_over(near, "ws://tunnel/")
        .await
        .unwrap();
    let accepted = accepting.await.unwrap();
    assert_eq!(connection.session_id(), accepted.session_id());
    let mut call = connection.call("echo").unwrap();
    call.send_last("x".repeat(1000)).await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().bytes().len(), 1000);
    drop(call);
    let call = span(&connection.session_id(), "echo", SpanKind::Client).await;
    assert_eq!(
        (
            &*text(&call, "server.address"),
            number(&call, "server.port")
        ),
        ("tunnel", 80)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_something_else_has_parsed_can_be_upgraded() {
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    sdk();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let acceptor = Acceptor::new(Options::default()).handlers(echo());
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut begun = None;
        #[expect(
            clippy::result_large_err,
            reason = "the signature is that of the library's callback"
        )]
        let callback = |request: &Request, mut response: Response| {
            let upgrade = acceptor
                .upgrade(request, Endpoint::default(), None)
                .unwrap();
            for (name, value) in upgrade.headers() {
                response.headers_mut().insert(*name, value.parse().unwrap());
            }
            begun = Some(upgrade);
            Ok(response)
        };
        let stream = tokio_tungstenite::accept_hdr_async(stream, callback)
            .await
            .unwrap();
        begun.unwrap().open(stream).unwrap();
    });
    let connection = wirespan::tokio_tungstenite::connect(url, Options::default())
        .await
        .unwrap();
    assert_eq!(connection.peer(), Peer::Announced { version: 1 });
    let mut call = connection.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_of_a_call_are_a_stream() {
    let server = serve(echo()).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("echo").unwrap();
    for text in ["a", "b", "c"] {
        call.send(text).await.unwrap();
    }
    call.end().await.unwrap();
    let first: Vec<_> = call.messages().take(1).collect().await;
    let rest: Vec<_> = call
        .messages()
        .map(|message| message.unwrap().to_string())
        .collect()
        .await;
    assert_eq!(
        (first.len(), rest),
        (1, vec!["b".to_owned(), "c".to_owned()])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn trust_decides_whether_a_peer_is_continued_linked_or_ignored() {
    for trust in [Trust::Link, Trust::Ignore] {
        let (seen, mut saw) = mpsc::channel(1);
        let handlers = echo().on_message(move |_, message| {
            let seen = seen.clone();
            async move {
                let has_parent = message.context().is_some();
                seen.send((has_parent, message.links().to_vec()))
                    .await
                    .unwrap();
            }
        });
        let mut options = Options::default();
        options.trust = trust;
        let server = serve_with(Acceptor::new(options).handlers(handlers)).await;
        let connection = connect_to(&server).await;
        let app = root("app");
        connection
            .send("x")
            .with_context(app.clone())
            .await
            .unwrap();
        let (has_parent, links) = within("the message", saw.recv()).await.unwrap();
        assert!(!has_parent);
        let linked: Vec<_> = links.iter().map(|link| link.trace_parent.span_id).collect();
        let mut call = connection.call("echo").unwrap();
        call.send_last("x").await.unwrap();
        assert!(call.next().await.unwrap().is_ok());
        assert!(call.next().await.is_none());
        drop(call);
        let session = connection.session_id();
        let client = span(&session, "echo", SpanKind::Client).await;
        let server_span = span(&session, "echo", SpanKind::Server).await;
        let handshake = span(&session, "websocket.handshake", SpanKind::Server).await;
        assert_root(&server_span);
        assert_root(&handshake);
        if trust == Trust::Link {
            assert_eq!(linked, [span_of(&app).span_id().to_bytes()]);
            assert_links(
                &server_span,
                &[&client.span_context, &handshake.span_context],
            );
        } else {
            assert!(linked.is_empty());
            assert_links(&server_span, &[&handshake.span_context]);
        }
    }
}
