//! Sessions: a cut connection, a reconnect with links, and who may take a session over.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::trace::SpanKind;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use wirespan::ErrorKind;
use wirespan::connection::{Options, Session, TraceScope, Trust};
use wirespan::counters::Counter;
use wirespan::tokio_tungstenite::{Acceptor, Call, Connector, Handlers};

use crate::harness::*;

/// Passes bytes on to a server until it is told to cut everything that goes through it.
struct Wire {
    address: std::net::SocketAddr,
    cut: Arc<Notify>,
}

impl Wire {
    async fn to(server: std::net::SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let cut = Arc::new(Notify::new());
        let cuts = Arc::clone(&cut);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let mut far = TcpStream::connect(server).await.unwrap();
                let cuts = Arc::clone(&cuts);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        () = cuts.notified() => {
                            // A reset, as when a host or a network dies.
                            near.set_zero_linger().unwrap();
                            far.set_zero_linger().unwrap();
                        }
                    }
                });
            }
        });
        Self { address, cut }
    }

    fn url(&self) -> String {
        format!("ws://{}/", self.address)
    }
}

fn resuming(connection: &wirespan::tokio_tungstenite::TracedConnection) -> Options {
    let mut options = Options::default();
    options.session = Session::Resume(connection.resumption());
    options
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_in_the_middle_of_a_stream_and_a_reconnect_with_the_same_session() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = echo().on("stream", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            loop {
                match call.next().await {
                    Some(Ok(message)) => call.send(message.to_string()).await?,
                    Some(Err(error)) => {
                        seen.send(error.kind()).await?;
                        return Err(error.into());
                    }
                    None => return Ok(()),
                }
            }
        }
    });
    let server = serve(handlers).await;
    let wire = Wire::to(server.local_addr()).await;
    let connector = Connector::default();
    let first = connector.connect(wire.url()).await.unwrap();
    let session = first.session_id();
    let mut call = first.call("stream").unwrap();
    for n in 0..3 {
        call.send(n.to_string()).await.unwrap();
        assert_eq!(
            call.next().await.unwrap().unwrap().to_string(),
            n.to_string()
        );
    }
    wire.cut.notify_waiters();
    let error = within("the end", call.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(within("the end", saw.recv()).await, Some(ErrorKind::Closed));
    within("the close", first.closed()).await;
    assert_eq!(first.close_frame(), None);
    let client = span(&session, "stream", SpanKind::Client).await;
    let server_span = span(&session, "stream", SpanKind::Server).await;
    for call in [&client, &server_span] {
        assert_failed(call, "closed");
        assert_eq!(text(call, "websocket.stream.outcome"), "error");
        assert_eq!(number(call, "websocket.stream.received.chunks"), 3);
    }
    let old_client = span(&session, "websocket.handshake", SpanKind::Client).await;
    let old_server = span(&session, "websocket.handshake", SpanKind::Server).await;

    let second = Connector::new(resuming(&first))
        .connect(wire.url())
        .await
        .unwrap();
    assert_eq!(second.session_id(), session);
    let mut call = second.call("echo").unwrap();
    call.send_last("again").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("again"));
    assert!(call.next().await.is_none());
    drop(call);
    let echo_client = span(&session, "echo", SpanKind::Client).await;
    let echo_server = span(&session, "echo", SpanKind::Server).await;
    let all = of_session(&session).await;
    let new = |kind: SpanKind, old: &opentelemetry_sdk::trace::SpanData| {
        let mut found: Vec<_> = all
            .iter()
            .filter(|span| {
                span.name == "websocket.handshake"
                    && span.span_kind == kind
                    && span.span_context != old.span_context
            })
            .collect();
        assert_eq!(found.len(), 1);
        found.remove(0)
    };
    let new_client = new(SpanKind::Client, &old_client);
    let new_server = new(SpanKind::Server, &old_server);
    assert_links(new_client, &[&old_client.span_context]);
    assert_links(new_server, &[&old_server.span_context]);
    assert_root(new_client);
    assert_child(new_server, &new_client.span_context);
    assert_links(&echo_client, &[&new_client.span_context]);
    assert_links(&echo_server, &[&new_server.span_context]);
    assert_ne!(
        echo_client.span_context.trace_id(),
        client.span_context.trace_id(),
        "no stale context"
    );
    assert_eq!(all.len(), 8, "every span once: {all:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn under_trace_scope_connection_a_cut_is_an_error_of_its_span_and_the_next_one_links_it() {
    let mut options = Options::default();
    options.trace_scope = TraceScope::Connection;
    let server = serve_with(Acceptor::new(options.clone()).handlers(echo())).await;
    let wire = Wire::to(server.local_addr()).await;
    let first = Connector::new(options.clone())
        .connect(wire.url())
        .await
        .unwrap();
    let session = first.session_id();
    wire.cut.notify_waiters();
    within("the close", first.closed()).await;
    let old_client = span(&session, "websocket.connection", SpanKind::Client).await;
    let old_server = span(&session, "websocket.connection", SpanKind::Server).await;
    for old in [&old_client, &old_server] {
        assert_failed(old, "1006");
        assert_eq!(number(old, "websocket.close.code"), 1006);
    }
    options.session = Session::Resume(first.resumption());
    let second = Connector::new(options).connect(wire.url()).await.unwrap();
    assert_eq!(second.session_id(), session);
    second.close().await;
    for old in [&old_client, &old_server] {
        let new = one("the next connection", |span| {
            span.name == "websocket.connection"
                && span.span_kind == old.span_kind
                && span.span_context != old.span_context
                && span
                    .links
                    .iter()
                    .any(|link| link.span_context.span_id() == old.span_context.span_id())
        })
        .await;
        assert_links(&new, &[&old.span_context]);
        assert_unset(&new);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_session_is_not_given_away_without_a_voucher() {
    let server = serve(echo()).await;
    let first = connect_to(&server).await;
    let thief = connect_with(Connector::new(resuming(&first)), &server).await;
    assert_ne!(thief.session_id(), first.session_id());
    let mut call = first.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vouched_session_moves_and_supersedes_the_old_connection() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = echo().on("hold", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            call.next().await.unwrap()?;
            seen.send(None).await?;
            let error = call.next().await.unwrap().unwrap_err();
            seen.send(Some(error.kind())).await?;
            Err(error.into())
        }
    });
    let acceptor = Acceptor::new(Options::default()).handlers(handlers);
    let acceptor = acceptor.vouch(|request, _| request.headers().contains_key("x-user"));
    let server = serve_with(acceptor).await;
    let url = format!("ws://{}/", server.local_addr());
    let request = |header: &str| {
        tokio_tungstenite::tungstenite::ClientRequestBuilder::new(url.parse().unwrap())
            .with_header(header, "ada")
    };
    let first = Connector::default()
        .connect(request("x-user"))
        .await
        .unwrap();
    let session = first.session_id();
    let mut call = first.call("hold").unwrap();
    call.send("x").await.unwrap();
    assert_eq!(within("the call", saw.recv()).await, Some(None));

    let stranger = Connector::new(resuming(&first))
        .connect(request("x-other"))
        .await
        .unwrap();
    assert_ne!(stranger.session_id(), session, "nobody vouched");

    let second = Connector::new(resuming(&first))
        .connect(request("x-user"))
        .await
        .unwrap();
    assert_eq!(second.session_id(), session);
    assert_eq!(
        within("the end", saw.recv()).await,
        Some(Some(ErrorKind::Superseded))
    );
    let error = within("the end", call.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert!(error.to_string().contains("superseded"), "{error}");
    within("the close", first.closed()).await;
    assert_eq!(first.close_frame().map(|(code, _)| code), Some(1008));
    assert_failed(
        &span(&session, "hold", SpanKind::Server).await,
        "superseded",
    );
    let mut call = second.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_session_stands_once_on_every_span() {
    let mut options = Options::default();
    options.trust = Trust::Link;
    let server = serve_with(Acceptor::new(options).handlers(echo())).await;
    let mut options = Options::default();
    options.trace_scope = TraceScope::Connection;
    let client = connect_with(Connector::new(options), &server).await;
    let session = client.session_id();
    let mut call = client.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
    drop(call);
    client.close().await;
    for name in ["websocket.connection", "websocket.handshake", "echo"] {
        let kind = if name == "websocket.handshake" {
            SpanKind::Internal
        } else {
            SpanKind::Client
        };
        let span = span(&session, name, kind).await;
        let named = span.attributes.iter();
        let named = named.filter(|attribute| attribute.key.as_str() == "websocket.session.id");
        assert_eq!(named.count(), 1, "{name}");
        assert_ne!(text(&span, "websocket.session.previous_id"), session);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sessions_replacement_is_counted_at_the_server() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("counters", move |call: Call| {
        let seen = seen.clone();
        async move {
            seen.send(call.connection().counters().get(Counter::SessionReplaced))
                .await?;
            Ok(())
        }
    });
    let acceptor = Acceptor::new(Options::default())
        .handlers(handlers)
        .vouch(|_, _| false);
    let server = serve_with(acceptor).await;
    let connection = connect_to(&server).await;
    let call = connection.call("counters").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(within("the count", saw.recv()).await, Some(1));
    // The client has taken the server's id, and says which one it had proposed.
    drop(call);
    let handshake = span(
        &connection.session_id(),
        "websocket.handshake",
        SpanKind::Client,
    )
    .await;
    assert_eq!(text(&handshake, "websocket.session.previous_id").len(), 32);
    tokio::time::sleep(Duration::from_millis(1)).await;
}
