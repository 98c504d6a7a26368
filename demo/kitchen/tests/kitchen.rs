//! The kitchen as its own process: what it answers, what it exports, how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Stdio;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use prost::Message as _;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use wirespan::ErrorKind;
use wirespan::connection::Options;
use wirespan::tokio_tungstenite::connect;

const PATIENCE: Duration = Duration::from_secs(15);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what} never came"))
}

/// Starts the kitchen and waits until it listens.
async fn kitchen(collector: &str) -> (Child, u16) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wirespan-kitchen"))
        .args(["--port", "0"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = within("ready", lines.next_line()).await.unwrap().unwrap();
    let port = line.strip_prefix("ready ").unwrap().parse().unwrap();
    (child, port)
}

async fn terminate(mut child: Child) -> std::process::ExitStatus {
    let id = child.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .await
            .unwrap()
            .success()
    );
    within("the exit", child.wait()).await.unwrap()
}

/// A collector: takes what is exported over HTTP.
async fn collector() -> (String, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (exports, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(collect(stream, exports.clone()));
        }
    });
    (url, received)
}

async fn collect(stream: TcpStream, exports: mpsc::UnboundedSender<ExportTraceServiceRequest>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await.unwrap_or(0) > 0 && line != "\r\n" {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        if line.is_empty() {
            return;
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        exports
            .send(ExportTraceServiceRequest::decode(&body[..]).unwrap())
            .unwrap();
        let answer =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
    }
}

fn attribute(span: &Span, key: &str) -> Option<Value> {
    span.attributes
        .iter()
        .find(|item| item.key == key)?
        .value
        .clone()?
        .value
}

#[tokio::test]
async fn an_order_is_answered_word_by_word_with_one_stall_and_exported() {
    let (collector, mut exports) = collector().await;
    let (child, port) = kitchen(&collector).await;
    let connection = connect(format!("ws://127.0.0.1:{port}"), Options::default())
        .await
        .unwrap();
    let mut call = connection.call("order").unwrap();
    call.send_last("i would like two large pizzas with mushrooms please")
        .await
        .unwrap();
    let mut words = Vec::new();
    while let Some(word) = within("a word", call.next()).await {
        words.push(word.unwrap().to_string());
    }
    assert_eq!(
        words.join(" "),
        "Two large pizzas with mushrooms coming right up"
    );
    let received = call.metrics().received;
    assert_eq!((received.chunks, received.stalls), (8, 1));
    assert!(received.interval_max_ns.unwrap() >= 1_600_000_000);
    drop(call);
    let session = connection.session_id();
    connection.close().await;
    assert_eq!(terminate(child).await.code(), Some(0));

    let mut spans = Vec::new();
    while let Ok(export) = exports.try_recv() {
        for resource in export.resource_spans {
            let attributes = resource.resource.unwrap().attributes;
            let name = attributes
                .iter()
                .find(|item| item.key == "service.name")
                .unwrap();
            assert_eq!(
                name.value.clone().unwrap().value,
                Some(Value::StringValue("kitchen".into()))
            );
            spans.extend(
                resource
                    .scope_spans
                    .into_iter()
                    .flat_map(|scope| scope.spans),
            );
        }
    }
    let named = |name: &str| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {spans:#?}");
        found[0]
    };
    let (order, cook) = (named("order"), named("cook"));
    assert_eq!(order.kind(), SpanKind::Server);
    assert_eq!(
        attribute(order, "websocket.session.id"),
        Some(Value::StringValue(session))
    );
    assert!(
        matches!(attribute(order, "websocket.queue.wait"), Some(Value::DoubleValue(wait)) if wait >= 0.0)
    );
    assert_eq!(
        attribute(order, "websocket.stream.sent.stalls"),
        Some(Value::IntValue(1))
    );
    assert!(
        order
            .events
            .iter()
            .any(|event| event.name == "websocket.stream.stall")
    );
    assert_eq!(
        (&cook.parent_span_id, &cook.trace_id),
        (&order.span_id, &order.trace_id)
    );
    assert_eq!(order.links.len(), 1);
    assert_eq!(order.links[0].span_id, named("websocket.handshake").span_id);
}

#[tokio::test]
async fn a_caller_that_leaves_and_a_dead_collector_hold_nothing_up() {
    let (child, port) = kitchen("http://127.0.0.1:9").await;
    let connection = connect(format!("ws://127.0.0.1:{port}"), Options::default())
        .await
        .unwrap();
    let mut call = connection.call("order").unwrap();
    call.send_last("one soup").await.unwrap();
    assert_eq!(
        within("a word", call.next()).await.unwrap().unwrap().text(),
        Some("One")
    );
    call.cancel();
    let mut empty = connection.call("order").unwrap();
    empty.end().await.unwrap();
    let error = within("the error", empty.next())
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Remote);
    assert!(error.to_string().contains("no_order"), "{error}");
    assert_eq!(terminate(child).await.code(), Some(0));
}

#[tokio::test]
async fn a_port_in_use_is_said_and_fails() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_wirespan-kitchen"))
        .args(["--port", &port])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains(&format!("cannot listen at 127.0.0.1:{port}")),
        "{said}"
    );
}
