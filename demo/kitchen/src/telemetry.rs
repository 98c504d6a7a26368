//! Spans over OTLP/HTTP, where `OTEL_EXPORTER_OTLP_ENDPOINT` says.

use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::global;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;

/// The most of a collector's reply that is read, in bytes.
const MAX_REPLY_BYTES: u64 = 4 * 1024 * 1024;
/// How long an export may take.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Sets the global tracer provider of a service up; `None` where there is no collector to export to.
pub(crate) fn start(service: &str) -> Result<Option<SdkTracerProvider>, String> {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if !is_set("OTEL_EXPORTER_OTLP_ENDPOINT") && !is_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        eprintln!("{service}: OTEL_EXPORTER_OTLP_ENDPOINT is not set, so spans are not exported");
        return Ok(None);
    }
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(EXPORT_TIMEOUT))
        .http_status_as_error(false);
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(Client(config.build().into()))
        .build()
        .map_err(|error| format!("spans cannot be exported: {error}"))?;
    let provider = SdkTracerProvider::builder()
        .with_resource(
            Resource::builder()
                .with_service_name(service.to_owned())
                .build(),
        )
        .with_batch_exporter(exporter)
        .build();
    global::set_tracer_provider(provider.clone());
    Ok(Some(provider))
}

/// A blocking client; the exporter has a thread of its own.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let (parts, mut body) = self
            .0
            .run(Request::from_parts(parts, &body[..]))?
            .into_parts();
        let body = body.with_config().limit(MAX_REPLY_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, body.into()))
    }
}
