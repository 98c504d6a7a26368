//! The HTTP side of the receiver.

use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsServiceRequest, ExportLogsServiceResponse,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio::sync::{Semaphore, oneshot};

use super::body::{Encoding, Refusal, inflate};
use super::{Limits, Store};

/// Time to wait after the system refused to accept a connection, when it has no file descriptor left, say.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    store: Arc<Store>,
    limits: Limits,
    mut stop: oneshot::Receiver<()>,
) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let connections = Arc::new(Semaphore::new(limits.max_connections));
    let limits = Arc::new(limits);
    loop {
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await.ok()?;
            Some((permit, listener.accept().await))
        };
        let (permit, stream) = tokio::select! {
            _ = &mut stop => return,
            next = next => match next {
                Some((permit, Ok((stream, _)))) => (permit, stream),
                Some((_, Err(_))) => {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
                None => return,
            },
        };
        let store = Arc::clone(&store);
        let limits = Arc::clone(&limits);
        tokio::spawn(async move {
            let service = service_fn(|request| handle(request, &store, &limits));
            // What goes wrong on a connection is its client's to report.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.request_timeout)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            drop(permit);
        });
    }
}

async fn handle(
    request: Request<Incoming>,
    store: &Store,
    limits: &Limits,
) -> Result<Response<Full<Bytes>>, Infallible> {
    // An error is told in the encoding of the request, in protobuf where that is unknown.
    let encoding = Encoding::of(request.headers());
    let answered = answer(request, encoding, store, limits).await;
    let encoding = encoding.unwrap_or(Encoding::Protobuf);
    let (status, body) = match answered {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            store.count_refused();
            (refusal.status, refusal.encode(encoding))
        }
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        hyper::header::HeaderValue::from_static(encoding.content_type()),
    );
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(ALLOW, hyper::header::HeaderValue::from_static("POST"));
    }
    Ok(response)
}

async fn answer(
    request: Request<Incoming>,
    encoding: Option<Encoding>,
    store: &Store,
    limits: &Limits,
) -> Result<Vec<u8>, Refusal> {
    let signal = match request.uri().path() {
        "/v1/traces" => Signal::Traces,
        "/v1/metrics" => Signal::Metrics,
        "/v1/logs" => Signal::Logs,
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "no such path")),
    };
    if request.method() != Method::POST {
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "only POST is taken here",
        ));
    }
    let encoding = encoding.ok_or_else(|| {
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-type is neither application/x-protobuf nor application/json",
        )
    })?;
    let (parts, body) = request.into_parts();
    let limit = limits.max_body_bytes;
    let collected =
        tokio::time::timeout(limits.request_timeout, Limited::new(body, limit).collect());
    let raw = match collected.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Refusal::too_large(limit)),
        Ok(Err(_)) => {
            return Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "the body ended early",
            ));
        }
        Err(_) => {
            return Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body took too long",
            ));
        }
    };
    let inflated = inflate(&parts.headers, &raw, limit)?;
    let bytes = inflated.as_deref().unwrap_or(&raw);
    match signal {
        Signal::Traces => {
            let request: ExportTraceServiceRequest = encoding.decode(bytes)?;
            let refused = store.add(request.resource_spans);
            let partial_success = refused.map(|refused| ExportTracePartialSuccess {
                rejected_spans: i64::try_from(refused.spans).unwrap_or(i64::MAX),
                error_message: refused.reason.to_owned(),
            });
            Ok(encoding.encode(&ExportTraceServiceResponse { partial_success }))
        }
        Signal::Metrics => {
            let request: ExportMetricsServiceRequest = encoding.decode(bytes)?;
            store.count_metrics(request.resource_metrics.len());
            Ok(encoding.encode(&ExportMetricsServiceResponse::default()))
        }
        Signal::Logs => {
            let request: ExportLogsServiceRequest = encoding.decode(bytes)?;
            store.count_logs(request.resource_logs.len());
            Ok(encoding.encode(&ExportLogsServiceResponse::default()))
        }
    }
}

#[derive(Clone, Copy)]
enum Signal {
    Traces,
    Metrics,
    Logs,
}
