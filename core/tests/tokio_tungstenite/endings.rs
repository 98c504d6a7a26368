//! How calls and connections end: errors, panics, cancellation, close codes, shutdown.

use std::time::{Duration, Instant};

use opentelemetry::trace::SpanKind;
use tokio::sync::mpsc;
use wirespan::connection::Options;
use wirespan::tokio_tungstenite::{Acceptor, Call, Connector, Failure, Handlers};
use wirespan::{Error, ErrorKind};

use crate::harness::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_a_handler_fails_the_call_on_both_sides() {
    let handlers = Handlers::new().on("parse", |mut call: Call| async move {
        let number: u32 = call.next().await.unwrap()?.to_string().parse()?;
        call.send(number.to_string()).await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("parse").unwrap();
    call.send_last("seven").await.unwrap();
    let error = within("the error", call.next()).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert!(error.to_string().contains("ParseIntError"), "{error}");
    assert!(call.next().await.is_none(), "the error is told once");
    drop(call);
    let session = connection.session_id();
    let client = span(&session, "parse", SpanKind::Client).await;
    let server_span = span(&session, "parse", SpanKind::Server).await;
    for call in [&client, &server_span] {
        assert_failed(call, "ParseIntError");
        assert_eq!(text(call, "websocket.stream.outcome"), "error");
    }
    assert!(
        server_span
            .events
            .iter()
            .any(|event| event.name == "exception"),
        "{server_span:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_of_a_handler_is_an_error_of_its_call_and_the_connection_lives() {
    let handlers = echo()
        .on("panic", |_call: Call| async move { panic!("on purpose") })
        .on(
            "panic_at_once",
            |_call: Call| -> std::future::Ready<Result<(), Failure>> { panic!("on purpose") },
        );
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    for method in ["panic", "panic_at_once"] {
        let mut call = connection.call(method).unwrap();
        call.send_last("x").await.unwrap();
        let error = within("the error", call.next()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Remote);
        let session = connection.session_id();
        assert_failed(&span(&session, method, SpanKind::Server).await, "panic");
    }
    let mut call = connection.call("echo").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_method_without_a_handler_is_answered_and_names_no_span() {
    let server = serve(echo()).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("sing").unwrap();
    call.send_last("x").await.unwrap();
    let error = within("the error", call.next()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("unknown_method"), "{error}");
    drop(call);
    let session = connection.session_id();
    assert_failed(
        &span(&session, "sing", SpanKind::Client).await,
        "unknown_method",
    );
    assert_failed(
        &span(&session, "websocket call", SpanKind::Server).await,
        "unknown_method",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_block_of_a_call_cancels_it_on_both_sides() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("slow", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            call.next().await.unwrap()?;
            let ended = call.next().await.unwrap().unwrap_err();
            seen.send(ended.kind()).await?;
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let session = connection.session_id();
    let block = connection.call_with("slow", async |call: &mut Call| {
        call.send("x").await?;
        call.next().await.unwrap()
    });
    tokio::time::timeout(Duration::from_millis(100), block)
        .await
        .unwrap_err();
    assert_eq!(
        within("the cancel", saw.recv()).await,
        Some(ErrorKind::Cancelled)
    );
    for kind in [SpanKind::Client, SpanKind::Server] {
        let call = span(&session, "slow", kind).await;
        assert_unset(&call);
        assert_eq!(text(&call, "websocket.stream.outcome"), "cancelled");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_the_block_of_a_call_fails_it_with_the_name_of_its_type() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("doubt", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            call.next().await.unwrap()?;
            call.send("go on").await?;
            seen.send(call.next().await.unwrap().unwrap_err()).await?;
            Ok(())
        }
    });
    #[derive(Debug)]
    enum Doubt {
        Mine,
        Other,
    }
    impl From<Error> for Doubt {
        fn from(_: Error) -> Self {
            Self::Other
        }
    }
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let result: Result<(), Doubt> = connection
        .call_with("doubt", async |call: &mut Call| {
            call.send("x").await?;
            call.next().await.unwrap()?;
            Err(Doubt::Mine)
        })
        .await;
    assert!(matches!(result, Err(Doubt::Mine)));
    let error = within("the error", saw.recv()).await.unwrap();
    assert_eq!(error.kind(), ErrorKind::Remote);
    let session = connection.session_id();
    assert_failed(&span(&session, "doubt", SpanKind::Client).await, "Doubt");
    assert_failed(&span(&session, "doubt", SpanKind::Server).await, "Doubt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_can_be_held_by_a_spawned_task() {
    let server = serve(echo()).await;
    let connection = connect_to(&server).await;
    let task = tokio::spawn(async move {
        connection
            .call_with("echo", async |call: &mut Call| {
                call.send_last("x").await?;
                call.next().await.unwrap()
            })
            .await
    });
    assert_eq!(task.await.unwrap().unwrap().text(), Some("x"));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_a_call_early_abandons_its_reply() {
    let handlers = Handlers::new().on("count", |call: Call| async move {
        for n in 0..3 {
            call.send(n.to_string()).await?;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        call.send("late").await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("count").unwrap();
    call.send("x").await.unwrap();
    call.next().await.unwrap().unwrap();
    drop(call);
    let session = connection.session_id();
    let client = span(&session, "count", SpanKind::Client).await;
    assert_unset(&client);
    assert_eq!(text(&client, "websocket.stream.outcome"), "abandoned");
    assert_unset(&span(&session, "count", SpanKind::Server).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_ends_open_calls_with_an_error_on_both_sides() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("long", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            call.next().await.unwrap()?;
            seen.send(call.next().await.unwrap().unwrap_err().kind())
                .await?;
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("long").unwrap();
    call.send("x").await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    connection.close_with(4000, "enough").await.unwrap();
    assert_eq!(connection.close_frame(), Some((4000, "enough".to_owned())));
    assert_eq!(
        call.next().await.unwrap().unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert_eq!(call.send("y").await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(within("the end", saw.recv()).await, Some(ErrorKind::Closed));
    assert_eq!(
        connection.call("long").unwrap_err().kind(),
        ErrorKind::Closed
    );
    assert!(connection.recv().await.is_none());
    let session = connection.session_id();
    assert_failed(&span(&session, "long", SpanKind::Client).await, "closed");
    assert_failed(&span(&session, "long", SpanKind::Server).await, "closed");
    for (code, reason) in [(1005, ""), (1006, ""), (999, ""), (1000, &*"x".repeat(124))] {
        let error = connection.close_with(code, reason).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_closing_arrives() {
    let (seen, mut saw) = mpsc::channel(1);
    let handlers = Handlers::new().on("all", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            let mut bytes = 0;
            while let Some(Ok(message)) = call.next().await {
                bytes += message.bytes().len();
            }
            seen.send(bytes).await?;
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let call = connection.call("all").unwrap();
    for _ in 0..50 {
        call.send(vec![7; 100_000]).await.unwrap();
    }
    call.end().await.unwrap();
    connection.close().await;
    assert_eq!(within("the bytes", saw.recv()).await, Some(5_000_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_right_before_closing_is_still_handled() {
    let (seen, mut saw) = mpsc::unbounded_channel();
    let handlers = Handlers::new().on("note", move |mut call: Call| {
        let seen = seen.clone();
        async move {
            while let Some(message) = call.next().await {
                seen.send(message?.to_string())?;
            }
            Ok(())
        }
    });
    let mut options = Options::default();
    options.max_running = 1;
    let server = serve_with(Acceptor::new(options).handlers(handlers)).await;
    let connection = connect_to(&server).await;
    for n in 0..20 {
        let note = connection.transfer("note").unwrap();
        note.send_last(n.to_string()).await.unwrap();
    }
    connection.close().await;
    for n in 0..20 {
        assert_eq!(within("the note", saw.recv()).await, Some(n.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_handle_closes_the_connection() {
    let (ended, mut end) = mpsc::channel(1);
    let handlers = Handlers::new().on("hold", move |call: Call| {
        let ended = ended.clone();
        async move {
            call.connection().closed().await;
            ended.send(call.connection().close_frame()).await?;
            Ok(())
        }
    });
    let server = serve(handlers).await;
    let connection = connect_with(Connector::default().handlers(echo()), &server).await;
    let call = connection.call("hold").unwrap();
    call.send("x").await.unwrap();
    drop(connection);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(call.connection().is_open(), "a call holds its connection");
    drop(call);
    assert_eq!(
        within("the close", end.recv()).await,
        Some(Some((1000, String::new())))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_lets_running_handlers_return_and_closes_with_1001() {
    let handlers = echo().on("slow", |call: Call| async move {
        call.send("started").await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        call.send("finished").await?;
        Ok(())
    });
    let server = serve(handlers).await;
    let address = server.local_addr();
    let connection = connect_to(&server).await;
    let mut call = connection.call("slow").unwrap();
    call.send_last("x").await.unwrap();
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("started"));
    let stopping = tokio::spawn(async move { server.shutdown(Duration::from_secs(5)).await });
    assert_eq!(call.next().await.unwrap().unwrap().text(), Some("finished"));
    assert!(call.next().await.is_none());
    within("the close", connection.closed()).await;
    assert_eq!(connection.close_frame().map(|(code, _)| code), Some(1001));
    within("the shutdown", stopping).await.unwrap();
    let error = wirespan::tokio_tungstenite::connect(format!("ws://{address}"), Options::default());
    assert_eq!(error.await.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_does_not_wait_longer_than_its_grace() {
    let handlers = Handlers::new().on("stuck", |call: Call| async move {
        call.send("started").await?;
        std::future::pending::<()>().await;
        Ok(())
    });
    let server = serve(handlers).await;
    let connection = connect_to(&server).await;
    let mut call = connection.call("stuck").unwrap();
    call.send_last("x").await.unwrap();
    call.next().await.unwrap().unwrap();
    let started = Instant::now();
    server.shutdown(Duration::from_millis(100)).await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(
        within("the end", call.next())
            .await
            .unwrap()
            .unwrap_err()
            .kind(),
        ErrorKind::Closed
    );
    assert_failed(
        &span(&connection.session_id(), "stuck", SpanKind::Server).await,
        "closed",
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runtime_that_stops_ends_the_spans() {
    sdk();
    let session = std::thread::spawn(|| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let session = runtime.block_on(async {
            let server = serve(Handlers::new().on("never", |mut call: Call| async move {
                call.next().await;
                std::future::pending::<()>().await;
                Ok(())
            }))
            .await;
            let connection = connect_to(&server).await;
            let call = connection.call("never").unwrap();
            call.send("x").await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
            let session = connection.session_id();
            // Nothing is dropped in order: the runtime goes away under it.
            std::mem::forget((server, call));
            session
        });
        runtime.shutdown_timeout(Duration::from_secs(1));
        session
    })
    .join()
    .unwrap();
    span(&session, "never", SpanKind::Client).await;
    span(&session, "never", SpanKind::Server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_handshake_ends_its_spans_with_an_error() {
    let acceptor = Acceptor::new(Options::default()).handlers(echo());
    let acceptor = acceptor.authorize(|request| match request.headers().get("authorization") {
        Some(_) => Ok(()),
        None => Err(tokio_tungstenite::tungstenite::http::StatusCode::UNAUTHORIZED),
    });
    let server = serve_with(acceptor).await;
    let app = root("app");
    let url = format!("ws://{}", server.local_addr());
    let connecting = wirespan::tokio_tungstenite::connect(url, Options::default());
    let error = opentelemetry::trace::FutureExt::with_context(connecting, app.clone()).await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(error.to_string().contains("401"), "{error}");
    let spans = of_trace(span_of(&app).trace_id()).await;
    assert_eq!(spans.len(), 1, "the server makes none: {spans:?}");
    assert_failed(&spans[0], "401");
    assert_child(&spans[0], &span_of(&app));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_is_given_up_ends_its_span() {
    sdk();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let app = root("app");
    let connecting = wirespan::tokio_tungstenite::connect(url, Options::default());
    let connecting = opentelemetry::trace::FutureExt::with_context(connecting, app.clone());
    tokio::time::timeout(Duration::from_millis(100), connecting)
        .await
        .unwrap_err();
    let spans = of_trace(span_of(&app).trace_id()).await;
    assert_eq!(spans.len(), 1);
    assert_failed(&spans[0], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_say_what_to_do() {
    let wrong = Acceptor::new(Options::default())
        .handlers(Handlers::new().on("two words", |_| async { Ok(()) }));
    let error = wrong.serve("127.0.0.1:0").await.unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidArgument, Some("method"))
    );
    let error = wirespan::tokio_tungstenite::connect("not a url", Options::default()).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::InvalidArgument);
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = Acceptor::new(Options::default())
        .serve(address)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
}
