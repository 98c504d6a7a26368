//! The Rust service under W3C's trace-context suite; `conformance/w3c/README.md` says what it does.

use std::convert::Infallible;
use std::error::Error;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanBuilder, SpanKind, TraceContextExt, Tracer, TracerProvider};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;
use wirespan::envelope::{self, Body, Form, HeadFields, Opened, Recognition};
use wirespan::limits::MAX_HEADER_BYTES;
use wirespan::otel::{self, Propagator};
use wirespan::trace::{Baggage, SpanContext, TraceState};

const MAX_BODY_BYTES: usize = 1024 * 1024;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

type Failure = Box<dyn Error + Send + Sync>;

/// One of the requests that the harness asks for.
#[derive(Deserialize)]
struct Call {
    url: String,
    arguments: Box<RawValue>,
}

struct Service {
    /// The envelope on the way; none where the context goes on directly.
    through: Option<Form>,
    tracer: SdkTracer,
    propagator: Propagator,
    client: ureq::Agent,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let through = match arguments[..] {
        [] | ["--through", "direct"] => None,
        ["--through", "text"] => Some(Form::Text),
        ["--through", "binary"] => Some(Form::Binary),
        _ => return Err("usage: wirespan-w3c [--through direct|text|binary]".into()),
    };
    let service = Arc::new(Service {
        through,
        tracer: SdkTracerProvider::builder().build().tracer("w3c"),
        propagator: Propagator::new(),
        client: ureq::Agent::config_builder()
            .timeout_global(Some(CALL_TIMEOUT))
            .build()
            .into(),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?.port());
        tokio::spawn(accept(listener, service));
        // Serves until the standard input ends, so that no service outlives who started it.
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    })
}

async fn accept(listener: TcpListener, service: Arc<Service>) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| respond(service.clone(), request));
            // What goes wrong on a connection is its client's to report.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn respond(
    service: Arc<Service>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, text) = match handle(service, request).await {
        Ok(calls) => (StatusCode::OK, format!("{{\"calls\":{calls}}}")),
        Err(failure) if failure.is::<serde_json::Error>() => (
            StatusCode::BAD_REQUEST,
            "not a list of {url, arguments}".to_owned(),
        ),
        Err(failure) => (StatusCode::INTERNAL_SERVER_ERROR, failure.to_string()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    if status == StatusCode::OK {
        let json = hyper::header::HeaderValue::from_static("application/json");
        response
            .headers_mut()
            .insert(hyper::header::CONTENT_TYPE, json);
    }
    Ok(response)
}

/// Calls what the request lists, with the context that came with it. Returns how many calls there were.
async fn handle(service: Arc<Service>, request: Request<Incoming>) -> Result<usize, Failure> {
    let (parts, body) = request.into_parts();
    let mut body = Limited::new(body, MAX_BODY_BYTES)
        .collect()
        .await?
        .to_bytes();
    let mut context = service
        .propagator
        .extract_with_context(&Context::new(), &HeaderExtractor(&parts.headers));
    if let Some(form) = service.through {
        (context, body) = forward(&context, &body, form)?;
    }
    let calls: Vec<Call> = serde_json::from_slice(&body)?;
    // The client blocks.
    tokio::task::spawn_blocking(move || {
        let served = service.start("POST", SpanKind::Server, &context);
        for call in &calls {
            service.call(&served, call)?;
        }
        Ok(calls.len())
    })
    .await?
}

impl Service {
    fn call(&self, context: &Context, call: &Call) -> Result<(), Failure> {
        let context = self.start("POST", SpanKind::Client, context);
        let mut request = ureq::http::Request::post(&call.url)
            .header("content-type", "application/json")
            .body(call.arguments.get())?;
        self.propagator
            .inject_context(&context, &mut HeaderInjector(request.headers_mut()));
        self.client.run(request)?.into_body().read_to_vec()?;
        Ok(())
    }

    /// Starts a span, which ends with the returned context.
    fn start(&self, name: &'static str, kind: SpanKind, parent: &Context) -> Context {
        let builder = SpanBuilder::from_name(name).with_kind(kind);
        parent.with_span(self.tracer.build_with_context(builder, parent))
    }
}

/// Sends a context and a body through the envelope, and returns what comes out of it.
fn forward(context: &Context, body: &[u8], form: Form) -> Result<(Context, Bytes), Failure> {
    let span = otel::span_context(context);
    let baggage = otel::baggage(context).to_header();
    let fields = HeadFields {
        trace_parent: span.as_ref().map(|span| span.trace_parent),
        trace_state: span.as_ref().map_or("", |span| span.trace_state.as_str()),
        baggage: &baggage,
        ..HeadFields::default()
    };
    let body = match form {
        Form::Text => Body::Text(std::str::from_utf8(body)?),
        Form::Binary => Body::Binary(body),
    };
    let message = envelope::wrap(&fields, body)?;
    let (head, body) =
        match envelope::open(&message, form, Recognition::Canonical, MAX_HEADER_BYTES) {
            Opened::Envelope { head, body } => (head, body),
            Opened::Plain(why) => return Err(format!("not read as an envelope: {why:?}").into()),
        };
    let mut arrived = Context::new();
    if let Some(trace_parent) = head.trace_parent {
        let trace_state = TraceState::parse(head.trace_state.as_deref().unwrap_or_default())?;
        let remote = SpanContext {
            trace_parent,
            trace_state,
        };
        arrived = otel::remote_context(&arrived, &remote);
    }
    if let Some(header) = head.baggage {
        let (baggage, _) = Baggage::from_values(std::iter::once(header.as_bytes()));
        arrived = otel::with_baggage(&arrived, &baggage);
    }
    let body = message.get(body).unwrap_or_default();
    Ok((arrived, Bytes::copy_from_slice(body)))
}
