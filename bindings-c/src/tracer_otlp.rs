//! The built-in tracer: the OpenTelemetry SDK with a batch processor, its OTLP exporter, and a blocking HTTP client.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use opentelemetry::trace::{
    SpanBuilder, SpanContext as OtelSpanContext, SpanKind as OtelSpanKind, Status, TraceContextExt,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context as OtelContext, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span as SdkSpan,
    SpanData, SpanExporter as SpanExporterTrait, SpanProcessor,
};
use wirespan::connection::{Attribute, Plan, SpanEnd};
use wirespan::otel::{self, ClockTie, SCOPE, SpanMaker};
use wirespan::trace::{Baggage, SpanContext};
use wirespan::{Error, ErrorKind};

use super::{OwnAttribute, OwnValue, wirespan_span_kind, wirespan_tracer_stats};
use crate::pointers::SpanRef;

/// The most of a collector's reply that is read, in bytes.
const MAX_REPLY_BYTES: u64 = 4 * 1024 * 1024;
/// How long an export may take where `OTEL_EXPORTER_OTLP_TIMEOUT` does not say (OTLP exporter specification: 10 s).
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);

/// The tracer; clones share it.
#[derive(Clone)]
pub(crate) struct Tracer(Arc<Inner>);

struct Inner {
    provider: SdkTracerProvider,
    maker: SpanMaker<SdkTracer>,
    tracer: SdkTracer,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    ended: AtomicU64,
    exported: AtomicU64,
    failed: AtomicU64,
    pending: AtomicU64,
    dropped: AtomicU64,
}

impl Tracer {
    pub(crate) fn new(service_name: Option<&str>, endpoint: Option<&str>) -> Result<Self, Error> {
        let counts = Arc::new(Counts::default());
        let mut resource = Resource::builder();
        if let Some(name) = service_name {
            resource = resource.with_service_name(name.to_owned());
        }
        let mut provider = SdkTracerProvider::builder().with_resource(resource.build());
        if !is_disabled() {
            let exporter = CountingExporter {
                inner: exporter(endpoint)?,
                counts: counts.clone(),
            };
            let capacity = queue_size();
            let batches = BatchConfigBuilder::default().with_max_queue_size(capacity);
            let batches = BatchSpanProcessor::builder(exporter).with_batch_config(batches.build());
            provider = provider.with_span_processor(CountingProcessor {
                inner: batches.build(),
                counts: counts.clone(),
                capacity: capacity as u64,
            });
        }
        let provider = provider.build();
        let maker = SpanMaker::with_provider(&provider);
        let tracer = provider.tracer(SCOPE);
        Ok(Self(Arc::new(Inner {
            provider,
            maker,
            tracer,
            counts,
        })))
    }

    pub(crate) fn flush(&self, timeout_ms: u32) -> Result<(), Error> {
        let failed_before = self.0.counts.failed.load(Ordering::Relaxed);
        let provider = self.0.provider.clone();
        bounded(timeout_ms, move || provider.force_flush())?;
        self.failures_since(failed_before)
    }

    pub(crate) fn shutdown(&self, timeout_ms: u32) -> Result<(), Error> {
        let failed_before = self.0.counts.failed.load(Ordering::Relaxed);
        let provider = self.0.provider.clone();
        let timeout = Duration::from_millis(u64::from(timeout_ms));
        bounded(timeout_ms, move || provider.shutdown_with_timeout(timeout))?;
        self.failures_since(failed_before)
    }

    /// The processor reports that it has tried, not whether the collector took the spans.
    fn failures_since(&self, failed_before: u64) -> Result<(), Error> {
        match self.0.counts.failed.load(Ordering::Relaxed) - failed_before {
            0 => Ok(()),
            lost => Err(Error::new(
                ErrorKind::Io,
                format!(
                    "{lost} spans were lost: the collector could not be reached or refused them"
                ),
            )),
        }
    }

    pub(crate) fn stats(&self) -> wirespan_tracer_stats {
        let counts = &self.0.counts;
        wirespan_tracer_stats {
            ended: counts.ended.load(Ordering::Acquire),
            exported: counts.exported.load(Ordering::Acquire),
            failed: counts.failed.load(Ordering::Acquire),
            pending: counts.pending.load(Ordering::Acquire),
            dropped: counts.dropped.load(Ordering::Acquire),
        }
    }

    /// Starts a span of the application's own.
    pub(crate) fn start_named(
        &self,
        name: &str,
        kind: wirespan_span_kind,
        parent: Option<SpanRef<'_>>,
        baggage: &Baggage,
    ) -> (TracerSpan, Option<SpanContext>) {
        let kind = match kind {
            wirespan_span_kind::Internal => OtelSpanKind::Internal,
            wirespan_span_kind::Server => OtelSpanKind::Server,
            wirespan_span_kind::Client => OtelSpanKind::Client,
            wirespan_span_kind::Producer => OtelSpanKind::Producer,
            wirespan_span_kind::Consumer => OtelSpanKind::Consumer,
        };
        let parent = current_context(parent, baggage);
        let builder = SpanBuilder::from_name(name.to_owned()).with_kind(kind);
        let span = self.0.tracer.build_with_context(builder, &parent);
        let context = parent.with_span(span);
        let span_context = otel::span_context(&context);
        (TracerSpan(context), span_context)
    }
}

/// A tracer as a connection uses it: with the connection's clock tied to the wall clock.
pub(crate) struct ConnectionTracer {
    tracer: Tracer,
    clock: ClockTie,
}

/// A span that the tracer has started.
pub(crate) struct TracerSpan(OtelContext);

impl ConnectionTracer {
    pub(crate) fn new(tracer: &Tracer, now_ns: u64) -> Self {
        Self {
            tracer: tracer.clone(),
            clock: ClockTie::new(now_ns, SystemTime::now()),
        }
    }

    pub(crate) fn start(
        &self,
        plan: &Plan,
        current: Option<SpanRef<'_>>,
        connection: Option<&TracerSpan>,
        baggage: &Baggage,
    ) -> (TracerSpan, Option<SpanContext>) {
        let current = current_context(current, &Baggage::default());
        let connection = connection.map(|span| &span.0);
        let context = self
            .tracer
            .0
            .maker
            .start(plan.clone(), &current, connection, baggage);
        let span_context = otel::span_context(&context);
        (TracerSpan(context), span_context)
    }

    pub(crate) fn update(&self, span: &TracerSpan, attributes: Vec<Attribute>) {
        self.tracer.0.maker.update(&span.0, attributes);
    }

    pub(crate) fn end(&self, span: &TracerSpan, end: &SpanEnd) {
        self.tracer.0.maker.end(&span.0, end, &self.clock);
    }
}

impl TracerSpan {
    pub(crate) fn set_attributes(&self, attributes: Vec<OwnAttribute>) {
        self.0
            .span()
            .set_attributes(attributes.into_iter().map(
                |OwnAttribute { key, value }| match value {
                    OwnValue::Text(text) => KeyValue::new(key, text),
                    OwnValue::Integer(number) => KeyValue::new(key, number),
                    OwnValue::Number(number) => KeyValue::new(key, number),
                },
            ));
    }

    pub(crate) fn end(&self, error_type: Option<&str>) {
        let span = self.0.span();
        if let Some(error_type) = error_type {
            span.set_attribute(KeyValue::new(
                wirespan::names::attribute::ERROR_TYPE,
                error_type.to_owned(),
            ));
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

/// A context whose current span is the given one.
fn current_context(current: Option<SpanRef<'_>>, baggage: &Baggage) -> OtelContext {
    let mut context = OtelContext::new();
    if let Some(current) = current {
        let span = current.to_span();
        context = otel::remote_context(&context, &span);
        if !current.is_remote {
            let local = context.span().span_context().clone();
            let local = OtelSpanContext::new(
                local.trace_id(),
                local.span_id(),
                local.trace_flags(),
                false,
                local.trace_state().clone(),
            );
            context = context.with_remote_span_context(local);
        }
    }
    if baggage.is_empty() {
        context
    } else {
        otel::with_baggage(&context, baggage)
    }
}

fn is_disabled() -> bool {
    std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.trim().eq_ignore_ascii_case("true"))
}

fn exporter(endpoint: Option<&str>) -> Result<SpanExporter, Error> {
    let mut builder = SpanExporter::builder()
        .with_http()
        .with_http_client(Client::new());
    match endpoint {
        Some(endpoint) => builder = builder.with_endpoint(traces_url(endpoint)?),
        // What stands there is checked now: an exporter that can never work says nothing of it later.
        None => check_environment()?,
    }
    builder
        .build()
        .map_err(|error| Error::invalid_argument("endpoint", error.to_string()))
}

fn check_environment() -> Result<(), Error> {
    for name in [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ] {
        let Some(endpoint) = std::env::var(name).ok().filter(|value| !value.is_empty()) else {
            continue;
        };
        return check_url(name, &endpoint);
    }
    Ok(())
}

/// Refuses what this build cannot export to, and says what to do.
fn check_url(name: &'static str, endpoint: &str) -> Result<(), Error> {
    if endpoint.starts_with("https://") && !cfg!(feature = "tls") {
        return Err(Error::invalid_argument(
            name,
            "is an https URL, for which this library was built without TLS: build it with the feature tls, \
             or export to a collector beside the process over http",
        ));
    }
    let rest = ["http://", "https://"]
        .into_iter()
        .find_map(|scheme| endpoint.strip_prefix(scheme));
    let rest = rest.filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if rest.is_none() || endpoint.contains(char::is_whitespace) {
        return Err(Error::invalid_argument(
            name,
            "must be an http URL, such as http://localhost:4318",
        ));
    }
    Ok(())
}

/// The URL of the traces behind a base URL, as `OTEL_EXPORTER_OTLP_ENDPOINT` is read.
fn traces_url(endpoint: &str) -> Result<String, Error> {
    check_url("endpoint", endpoint)?;
    let base = endpoint.trim_end_matches('/');
    Ok(if base.ends_with("/v1/traces") {
        base.to_owned()
    } else {
        format!("{base}/v1/traces")
    })
}

/// Runs something that may take long on a thread of its own, and waits for it no longer than the caller wants.
fn bounded(
    timeout_ms: u32,
    run: impl FnOnce() -> OTelSdkResult + Send + 'static,
) -> Result<(), Error> {
    let (done, result) = mpsc::sync_channel(1);
    std::thread::Builder::new()
        .name("wirespan-flush".into())
        .spawn(move || {
            // The caller may have stopped waiting.
            let _ = done.send(run());
        })
        .map_err(|error| {
            Error::new(
                ErrorKind::Io,
                format!("no thread could be started: {error}"),
            )
        })?;
    let timed_out = || {
        Error::new(
            ErrorKind::Timeout,
            "the collector has not taken the spans in time",
        )
    };
    match result.recv_timeout(Duration::from_millis(u64::from(timeout_ms))) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(OTelSdkError::AlreadyShutdown)) => {
            Err(Error::invalid_state("the tracer was shut down before"))
        }
        Ok(Err(OTelSdkError::Timeout(_))) | Err(mpsc::RecvTimeoutError::Timeout) => {
            Err(timed_out())
        }
        Ok(Err(OTelSdkError::InternalFailure(what))) if what.contains("imeout") => Err(timed_out()),
        Ok(Err(OTelSdkError::InternalFailure(what))) => Err(Error::new(ErrorKind::Io, what)),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(Error::new(
            ErrorKind::Panic,
            "the thread that exports spans has died",
        )),
    }
}

/// Posts to the collector, with a bound on the time and on what is read of the reply.
struct Client(ureq::Agent);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    fn new() -> Self {
        let timeout = [
            "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
            "OTEL_EXPORTER_OTLP_TIMEOUT",
        ]
        .into_iter()
        .find_map(|name| std::env::var(name).ok()?.trim().parse().ok())
        .map_or(EXPORT_TIMEOUT, Duration::from_millis);
        let config = ureq::Agent::config_builder()
            // The exporter wants to see refusals as responses.
            .http_status_as_error(false)
            .timeout_global(Some(timeout))
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("wirespan-c/", env!("CARGO_PKG_VERSION")));
        #[cfg(feature = "tls")]
        let config = config.tls_config(
            ureq::tls::TlsConfig::builder()
                .root_certs(ureq::tls::RootCerts::PlatformVerifier)
                .build(),
        );
        Self(config.build().new_agent())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let (parts, mut reply) = self
            .0
            .run(Request::from_parts(parts, body.to_vec()))?
            .into_parts();
        let bytes = reply.with_config().limit(MAX_REPLY_BYTES).read_to_vec()?;
        Ok(Response::from_parts(parts, bytes.into()))
    }
}

/// How many spans may wait (OpenTelemetry specification, "Batch Span Processor").
fn queue_size() -> usize {
    let given = std::env::var("OTEL_BSP_MAX_QUEUE_SIZE").ok();
    let given = given.and_then(|size| size.trim().parse().ok());
    given.filter(|size| *size > 0).unwrap_or(2048)
}

/// Counts what goes into the queue, and what does not: the processor behind it says of neither.
#[derive(Debug)]
struct CountingProcessor {
    inner: BatchSpanProcessor,
    counts: Arc<Counts>,
    capacity: u64,
}

/// Keeps the last value of an attribute that was set again, where the first one stood. The SDK keeps both.
fn drop_replaced(attributes: &mut Vec<KeyValue>) {
    let mut at = 0;
    while at < attributes.len() {
        let again = attributes[at + 1..]
            .iter()
            .rposition(|other| other.key == attributes[at].key);
        if let Some(again) = again {
            let last = attributes.remove(at + 1 + again);
            attributes[at] = last;
        } else {
            at += 1;
        }
    }
}

impl SpanProcessor for CountingProcessor {
    fn on_start(&self, span: &mut SdkSpan, context: &OtelContext) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            return;
        }
        self.counts.ended.fetch_add(1, Ordering::Release);
        let pending = self.counts.pending.fetch_add(1, Ordering::AcqRel);
        if pending >= self.capacity {
            self.counts.pending.fetch_sub(1, Ordering::AcqRel);
            self.counts.dropped.fetch_add(1, Ordering::Release);
            return;
        }
        drop_replaced(&mut span.attributes);
        self.inner.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Counts what comes out at the other end.
#[derive(Debug)]
struct CountingExporter {
    inner: SpanExporter,
    counts: Arc<Counts>,
}

impl SpanExporterTrait for CountingExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len() as u64;
        let result = self.inner.export(batch).await;
        let counter = if result.is_ok() {
            &self.counts.exported
        } else {
            &self.counts.failed
        };
        counter.fetch_add(count, Ordering::Release);
        self.counts.pending.fetch_sub(count, Ordering::AcqRel);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_is_a_base_or_the_whole_url() {
        assert_eq!(
            traces_url("http://h:4318").unwrap(),
            "http://h:4318/v1/traces"
        );
        assert_eq!(
            traces_url("http://h:4318/").unwrap(),
            "http://h:4318/v1/traces"
        );
        assert_eq!(
            traces_url("http://h/v1/traces").unwrap(),
            "http://h/v1/traces"
        );
        for wrong in [
            "",
            "h:4318",
            "http://",
            "http:///x",
            "ftp://h",
            "http://a b",
        ] {
            assert_eq!(
                traces_url(wrong).unwrap_err().field(),
                Some("endpoint"),
                "{wrong}"
            );
        }
    }
}
