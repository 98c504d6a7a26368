//! One SDK for all tests of the process; each test finds its own spans by session or trace.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use opentelemetry::trace::{
    FutureExt, SpanContext, SpanKind, Status, TraceContextExt, TraceId, Tracer,
};
use opentelemetry::{Context, Value, global};
use opentelemetry_sdk::trace::{InMemorySpanExporter, SdkTracerProvider, SpanData};
use wirespan::connection::Options;
use wirespan::tokio_tungstenite::{
    Acceptor, Connector, Failure, Handlers, Server, TracedConnection,
};

pub const PATIENCE: Duration = Duration::from_secs(10);

fn exporter() -> &'static InMemorySpanExporter {
    static EXPORTER: OnceLock<InMemorySpanExporter> = OnceLock::new();
    EXPORTER.get_or_init(|| {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_simple_exporter(exporter.clone())
            .build();
        global::set_tracer_provider(provider);
        exporter
    })
}

/// Sets the SDK up; every test does this first.
pub fn sdk() {
    exporter();
}

/// The context of a new root span.
pub fn root(name: &'static str) -> Context {
    sdk();
    let tracer = global::tracer("app");
    Context::new().with_span(tracer.start_with_context(name, &Context::new()))
}

/// Starts a child of the current span and ends it.
pub fn child(name: &'static str) {
    global::tracer("app").start(name);
}

pub fn span_of(context: &Context) -> SpanContext {
    context.span().span_context().clone()
}

fn exported(matches: impl Fn(&SpanData) -> bool) -> Vec<SpanData> {
    exporter()
        .get_finished_spans()
        .unwrap()
        .into_iter()
        .filter(|span| matches(span))
        .collect()
}

/// Waits until there is one span that matches, and gives it.
pub async fn one(what: &str, matches: impl Fn(&SpanData) -> bool) -> SpanData {
    let mut found = eventually(what, || {
        let found = exported(&matches);
        (!found.is_empty()).then_some(found)
    })
    .await;
    assert_eq!(found.len(), 1, "{what}: {found:#?}");
    found.remove(0)
}

/// All spans of a session that were exported, after giving late ones a moment.
pub async fn of_session(session: &str) -> Vec<SpanData> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    exported(|span| attribute(span, "websocket.session.id") == Some(session.to_owned().into()))
}

pub async fn of_trace(trace: TraceId) -> Vec<SpanData> {
    tokio::time::sleep(Duration::from_millis(100)).await;
    exported(|span| span.span_context.trace_id() == trace)
}

/// The one span of a session with a name and kind.
pub async fn span(session: &str, name: &str, kind: SpanKind) -> SpanData {
    one(&format!("{kind:?} {name} of {session}"), |span| {
        span.name == name
            && span.span_kind == kind
            && attribute(span, "websocket.session.id") == Some(session.to_owned().into())
    })
    .await
}

pub async fn eventually<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(result) = done() {
            return result;
        }
        assert!(started.elapsed() < PATIENCE, "{what} never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(result) => result,
        Err(_) => panic!("{what} never came"),
    }
}

/// The value that was set last: the Rust SDK keeps the earlier ones of a name beside it.
pub fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    let mut latest_first = span.attributes.iter().rev();
    let found = latest_first.find(|item| item.key.as_str() == key);
    found.map(|item| item.value.clone())
}

pub fn text(span: &SpanData, key: &str) -> String {
    attribute(span, key)
        .map(|value| value.as_str().into_owned())
        .unwrap_or_default()
}

pub fn number(span: &SpanData, key: &str) -> i64 {
    match attribute(span, key) {
        Some(Value::I64(number)) => number,
        other => panic!("{key} is {other:?}"),
    }
}

#[track_caller]
pub fn assert_child(child: &SpanData, parent: &SpanContext) {
    assert_eq!(
        child.parent_span_id,
        parent.span_id(),
        "parent of {}",
        child.name
    );
    assert_eq!(
        child.span_context.trace_id(),
        parent.trace_id(),
        "trace of {}",
        child.name
    );
}

#[track_caller]
pub fn assert_root(span: &SpanData) {
    assert_eq!(
        span.parent_span_id,
        opentelemetry::SpanId::INVALID,
        "{} is a root",
        span.name
    );
}

#[track_caller]
pub fn assert_links(span: &SpanData, linked: &[&SpanContext]) {
    let ids = |spans: Vec<&SpanContext>| -> Vec<_> {
        spans
            .into_iter()
            .map(|span| (span.trace_id(), span.span_id()))
            .collect()
    };
    let found = span.links.iter().map(|link| &link.span_context).collect();
    assert_eq!(ids(found), ids(linked.to_vec()), "links of {}", span.name);
}

#[track_caller]
pub fn assert_failed(span: &SpanData, error_type: &str) {
    assert!(
        matches!(span.status, Status::Error { .. }),
        "{}: {:?}",
        span.name,
        span.status
    );
    assert_eq!(text(span, "error.type"), error_type, "{}", span.name);
}

#[track_caller]
pub fn assert_unset(span: &SpanData) {
    assert_eq!(span.status, Status::Unset, "{}", span.name);
    assert_eq!(attribute(span, "error.type"), None, "{}", span.name);
}

pub async fn serve(handlers: Handlers) -> Server {
    serve_with(Acceptor::new(Options::default()).handlers(handlers)).await
}

pub async fn serve_with(acceptor: Acceptor) -> Server {
    sdk();
    acceptor.serve("127.0.0.1:0").await.unwrap()
}

pub async fn connect_to(server: &Server) -> TracedConnection {
    connect_with(Connector::default(), server).await
}

pub async fn connect_with(connector: Connector, server: &Server) -> TracedConnection {
    let url = format!("ws://{}/", server.local_addr());
    // Whatever the test does, connecting stands outside its spans.
    let connecting = connector.connect(url).with_context(Context::new());
    within("the connection", connecting).await.unwrap()
}

/// Echoes every message of a call.
pub fn echo() -> Handlers {
    Handlers::new().on("echo", |mut call| async move {
        while let Some(message) = call.next().await {
            call.send(message?.to_string()).await?;
        }
        Ok::<(), Failure>(())
    })
}
