//! The built-in tracer as C sees it: spans over OTLP/HTTP without another SDK in the process.
//!
//! Without the cargo feature `otlp` the functions are there and say that the tracer is not.

use std::ffi::c_char;

use wirespan::Error;

use crate::guard::{Failure, guard};
use crate::handle::Table;
use crate::pointers::{self, require_out, show_optional_span, write_out};
use crate::types::{
    wirespan_attribute, wirespan_context, wirespan_span_context, wirespan_span_kind,
    wirespan_status, wirespan_value_type,
};

#[cfg(feature = "otlp")]
#[path = "tracer_otlp.rs"]
mod imp;
#[cfg(not(feature = "otlp"))]
#[path = "tracer_none.rs"]
mod imp;

use imp::Tracer;
pub(crate) use imp::{ConnectionTracer, TracerSpan};

/// The built-in tracer: makes spans and exports them in batches over OTLP/HTTP, in the background.
pub struct wirespan_tracer {
    _private: [u8; 0],
}

/// A span of the built-in tracer that belongs to no connection.
pub struct wirespan_span {
    _private: [u8; 0],
}

/// What became of the spans of a tracer.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct wirespan_tracer_stats {
    /// Spans that ended and were sampled.
    pub ended: u64,
    /// Spans that the collector took.
    pub exported: u64,
    /// Spans that were lost because the collector was away, slow or refused them.
    pub failed: u64,
    /// Spans that wait for the exporter, or are on their way; never more than the queue holds (`OTEL_BSP_MAX_QUEUE_SIZE`).
    pub pending: u64,
    /// Spans that were dropped because the queue was full.
    pub dropped: u64,
}

static TRACERS: Table<Tracer> = Table::new(1, "tracer");
static SPANS: Table<Span> = Table::new(2, "span");

struct Span {
    /// Kept alive until the span has ended.
    _tracer: Tracer,
    made: TracerSpan,
    context: Option<wirespan::trace::SpanContext>,
}

/// The tracer behind a handle, for a connection.
pub(crate) fn tracer_of(
    tracer: *const wirespan_tracer,
    now_ns: u64,
) -> Result<ConnectionTracer, Error> {
    TRACERS.with(tracer, |tracer| Ok(ConnectionTracer::new(tracer, now_ns)))
}

/// Makes a tracer for the service `service_name` that exports to `endpoint`, such as `http://localhost:4318`.
///
/// NULL for `endpoint` takes it from the environment (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`, else `OTEL_EXPORTER_OTLP_ENDPOINT`),
/// else `http://localhost:4318`. NULL for `service_name` takes it from `OTEL_SERVICE_NAME`. Further variables of the
/// OpenTelemetry specification hold as well: `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG`, `OTEL_RESOURCE_ATTRIBUTES`,
/// `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_BSP_*`, `OTEL_SPAN_*_LIMIT`, and
/// `OTEL_SDK_DISABLED=true`, which exports nothing.
///
/// A collector that is slow, dead or absent never blocks the application: the queue is bounded, and what does not fit is
/// dropped and counted.
///
/// Returns `WIRESPAN_STATUS_INVALID_ARGUMENT` for an endpoint that is no URL of a kind that this build can export to (`https` needs
/// the feature `tls`), also where it comes from the environment, `WIRESPAN_STATUS_INVALID_STATE` if the
/// library was built without the feature `otlp`. Free the tracer with `wirespan_tracer_free`.
///
/// # Safety
///
/// Texts are NULL or end with NUL; `tracer` points to memory for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_tracer_new(
    service_name: *const c_char,
    endpoint: *const c_char,
    tracer: *mut *mut wirespan_tracer,
) -> wirespan_status {
    guard(|| {
        require_out("tracer", tracer)?;
        // SAFETY: the caller vouches for the texts.
        let (service_name, endpoint) = unsafe {
            (
                pointers::optional_text("service_name", service_name)?,
                pointers::optional_text("endpoint", endpoint)?,
            )
        };
        let handle = TRACERS.insert(Tracer::new(service_name, endpoint)?)?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(tracer, handle) };
        Ok(())
    })
}

/// Exports what has ended so far and waits for it, at most `timeout_ms`.
///
/// Returns `WIRESPAN_STATUS_TIMEOUT` if that took longer, `WIRESPAN_STATUS_IO` if the collector could not be reached or
/// refused the spans.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_tracer_flush(
    tracer: *const wirespan_tracer,
    timeout_ms: u32,
) -> wirespan_status {
    guard(|| {
        // Flushing waits, so it does so outside the lock.
        let tracer = TRACERS.with(tracer, |tracer| Ok(tracer.clone()))?;
        Ok(tracer.flush(timeout_ms)?)
    })
}

/// Exports what has ended so far, waits for it at most `timeout_ms`, and stops. Spans that end later are not exported.
///
/// Returns as `wirespan_tracer_flush`; `WIRESPAN_STATUS_INVALID_STATE` if the tracer was shut down before.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_tracer_shutdown(
    tracer: *const wirespan_tracer,
    timeout_ms: u32,
) -> wirespan_status {
    guard(|| {
        let tracer = TRACERS.with(tracer, |tracer| Ok(tracer.clone()))?;
        Ok(tracer.shutdown(timeout_ms)?)
    })
}

/// Tells what became of the spans so far.
///
/// # Safety
///
/// `stats` points to memory for a `wirespan_tracer_stats`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_tracer_read_stats(
    tracer: *const wirespan_tracer,
    stats: *mut wirespan_tracer_stats,
) -> wirespan_status {
    guard(|| {
        require_out("stats", stats)?;
        let current = TRACERS.with(tracer, |tracer| Ok(tracer.stats()))?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(stats, current) };
        Ok(())
    })
}

/// Frees a tracer. Connections and spans that use it keep it alive until they are freed themselves; what they end is then
/// exported in the background. Call `wirespan_tracer_shutdown` before the process ends.
#[unsafe(no_mangle)]
pub extern "C" fn wirespan_tracer_free(tracer: *mut wirespan_tracer) -> wirespan_status {
    guard(|| {
        TRACERS.remove(tracer)?;
        Ok(())
    })
}

/// Starts a span of the application's own, with `parent` as its parent (NULL, or a context without a span: a new trace).
///
/// Its context is written to `context`, which may be NULL; the text in it is valid until the span ends. End the span with
/// `wirespan_span_finish`.
///
/// # Safety
///
/// `name` ends with NUL; `parent` is NULL or points to a context; `span` points to memory for a pointer, `context` is NULL or
/// points to memory for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_tracer_start_span(
    tracer: *const wirespan_tracer,
    name: *const c_char,
    kind: u32,
    parent: *const wirespan_context,
    span: *mut *mut wirespan_span,
    context: *mut wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        require_out("span", span)?;
        // SAFETY: the caller vouches for the inputs.
        let (name, parent) = unsafe { (pointers::text("name", name)?, pointers::context(parent)?) };
        let tracer = TRACERS.with(tracer, |tracer| Ok(tracer.clone()))?;
        let kind = match kind {
            k if k == wirespan_span_kind::Internal as u32 => wirespan_span_kind::Internal,
            k if k == wirespan_span_kind::Server as u32 => wirespan_span_kind::Server,
            k if k == wirespan_span_kind::Client as u32 => wirespan_span_kind::Client,
            k if k == wirespan_span_kind::Producer as u32 => wirespan_span_kind::Producer,
            k if k == wirespan_span_kind::Consumer as u32 => wirespan_span_kind::Consumer,
            _ => return Err(pointers::no_such("kind").into()),
        };
        let baggage = parent.baggage.unwrap_or_default();
        let (made, made_context) = tracer.start_named(name, kind, parent.span, &baggage);
        // The text in the context is on the heap, where it stays when the span moves into its table.
        let shown = show_optional_span(made_context.as_ref(), false);
        let handle = SPANS.insert(Span {
            _tracer: tracer,
            made,
            context: made_context,
        })?;
        // SAFETY: the caller vouches for the outputs.
        unsafe {
            write_out(span, handle);
            write_out(context, shown);
        }
        Ok(())
    })
}

/// Gives the context of an open span. The text in it is valid until the span ends.
///
/// # Safety
///
/// `context` points to memory for a context.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_span_read_context(
    span: *const wirespan_span,
    context: *mut wirespan_span_context,
) -> wirespan_status {
    guard(|| {
        require_out("context", context)?;
        let shown = SPANS.with(span, |span| {
            Ok(show_optional_span(span.context.as_ref(), false))
        })?;
        // SAFETY: the caller vouches for the output.
        unsafe { write_out(context, shown) };
        Ok(())
    })
}

/// Sets attributes on an open span.
///
/// # Safety
///
/// `attributes` points to `attribute_count` attributes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_span_set_attributes(
    span: *const wirespan_span,
    attributes: *const wirespan_attribute,
    attribute_count: usize,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the attributes.
        let attributes = unsafe { own_attributes(attributes, attribute_count) }?;
        Ok(SPANS.with(span, |span| {
            span.made.set_attributes(attributes);
            Ok(())
        })?)
    })
}

/// Ends a span, with an error of the type `error_type` unless that is NULL, and frees it.
///
/// # Safety
///
/// `error_type` is NULL or ends with NUL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirespan_span_finish(
    span: *mut wirespan_span,
    error_type: *const c_char,
) -> wirespan_status {
    guard(|| {
        // SAFETY: the caller vouches for the text.
        let error_type = unsafe { pointers::optional_text("error_type", error_type) }?;
        let span = SPANS.remove(span)?;
        span.made.end(error_type);
        Ok(())
    })
}

/// An attribute of the application's own.
pub(crate) struct OwnAttribute {
    pub(crate) key: String,
    pub(crate) value: OwnValue,
}

/// Its value.
pub(crate) enum OwnValue {
    Text(String),
    Integer(i64),
    Number(f64),
}

/// Copies attributes of the application.
///
/// # Safety
///
/// `attributes` points to `count` attributes whose texts are valid.
pub(crate) unsafe fn own_attributes(
    attributes: *const wirespan_attribute,
    count: usize,
) -> Result<Vec<OwnAttribute>, Failure> {
    // SAFETY: as this function's.
    let attributes: &[wirespan_attribute] =
        unsafe { pointers::slice("attributes", attributes, count) }?;
    let mut own = Vec::with_capacity(attributes.len());
    for attribute in attributes {
        // SAFETY: as this function's.
        let key = unsafe { pointers::str_of("attributes", attribute.key) }?.to_owned();
        if key.is_empty() {
            return Err(Error::invalid_argument("attributes", "must each have a key").into());
        }
        let value = match attribute.value_type {
            t if t == wirespan_value_type::Text as u32 => {
                // SAFETY: as this function's.
                OwnValue::Text(
                    unsafe { pointers::str_of("attributes", attribute.text) }?.to_owned(),
                )
            }
            t if t == wirespan_value_type::Integer as u32 => OwnValue::Integer(attribute.integer),
            t if t == wirespan_value_type::Number as u32 => OwnValue::Number(attribute.number),
            _ => return Err(pointers::no_such("value_type").into()),
        };
        own.push(OwnAttribute { key, value });
    }
    Ok(own)
}
