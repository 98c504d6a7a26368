//! Events of a connection.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use wirespan::connection::{Event as CoreEvent, ReadEnd, Status};

use crate::metrics::Summary;
use crate::plan::attributes;

/// Something that the host has to act on; `kind` says which of the other attributes are set.
///
/// - "frame": `text` says whether `data` is a text message; it is sent before anything that is sent later
/// - "span_update": `span`, `attributes()`
/// - "span_end": `span`, `error_type`, `is_error`, `attributes()`, `events()`, `sent`, `received`
/// - "read_end": `stream`, `error_kind` (None: complete), `error_type`
/// - "session_changed": `previous`
/// - "pause_reading", "resume_reading", "ready"
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct Event(CoreEvent);

impl Event {
    pub(crate) fn new(event: CoreEvent) -> Self {
        Self(event)
    }
}

/// Name, time and attributes of a span's event.
type SpanEvent<'py> = (&'static str, u64, Bound<'py, PyDict>);

#[pymethods]
impl Event {
    /// What happened.
    #[getter]
    fn kind<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        let word = match &self.0 {
            CoreEvent::Frame { .. } => "frame",
            CoreEvent::SpanUpdate { .. } => "span_update",
            CoreEvent::SpanEnd(_) => "span_end",
            CoreEvent::ReadEnd { .. } => "read_end",
            CoreEvent::PauseReading => "pause_reading",
            CoreEvent::ResumeReading => "resume_reading",
            CoreEvent::Ready => "ready",
            CoreEvent::SessionChanged { .. } => "session_changed",
            _ => "unknown",
        };
        PyString::intern(py, word)
    }

    /// Whether a frame is a text message.
    #[getter]
    fn text(&self) -> bool {
        matches!(
            &self.0,
            CoreEvent::Frame {
                form: wirespan::envelope::Form::Text,
                ..
            }
        )
    }

    /// The bytes of a frame.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        match &self.0 {
            CoreEvent::Frame { bytes, .. } => Some(PyBytes::new(py, bytes)),
            _ => None,
        }
    }

    /// The key of the span that is updated or ended.
    #[getter]
    fn span(&self) -> Option<u32> {
        match &self.0 {
            CoreEvent::SpanUpdate { span, .. } => Some(span.number()),
            CoreEvent::SpanEnd(end) => Some(end.span.number()),
            _ => None,
        }
    }

    /// The key of the stream whose reader gets nothing more.
    #[getter]
    fn stream(&self) -> Option<u32> {
        match &self.0 {
            CoreEvent::ReadEnd { stream, .. } => Some(stream.number()),
            _ => None,
        }
    }

    /// Why a reader gets nothing more, a kind of error; None if its direction is complete.
    #[getter]
    fn error_kind(&self) -> Option<&'static str> {
        match &self.0 {
            CoreEvent::ReadEnd {
                end: ReadEnd::Failed { kind, .. },
                ..
            } => Some(kind.name()),
            _ => None,
        }
    }

    /// The type of the error that ended a span or a reader.
    #[getter]
    fn error_type(&self) -> Option<&str> {
        match &self.0 {
            CoreEvent::SpanEnd(end) => end.error_type.as_deref(),
            CoreEvent::ReadEnd {
                end: ReadEnd::Failed { error_type, .. },
                ..
            } => error_type.as_deref(),
            _ => None,
        }
    }

    /// Whether the status of the span is Error.
    #[getter]
    fn is_error(&self) -> bool {
        matches!(&self.0, CoreEvent::SpanEnd(end) if end.status() == Status::Error)
    }

    /// The session id before.
    #[getter]
    fn previous(&self) -> Option<&str> {
        match &self.0 {
            CoreEvent::SessionChanged { previous } => Some(previous),
            _ => None,
        }
    }

    /// What was measured on the way to the peer, at the end of a stream.
    #[getter]
    fn sent(&self) -> Option<Summary> {
        match &self.0 {
            CoreEvent::SpanEnd(end) => end
                .report
                .as_ref()
                .map(|report| Summary::new(report.sent.summary())),
            _ => None,
        }
    }

    /// What was measured on the way from the peer, at the end of a stream.
    #[getter]
    fn received(&self) -> Option<Summary> {
        match &self.0 {
            CoreEvent::SpanEnd(end) => end
                .report
                .as_ref()
                .map(|report| Summary::new(report.received.summary())),
            _ => None,
        }
    }

    /// The attributes to set on the span. At an end ask first whether the span is recording: they are computed here.
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match &self.0 {
            CoreEvent::SpanUpdate {
                attributes: list, ..
            } => attributes(py, list),
            CoreEvent::SpanEnd(end) => attributes(py, &end.attributes()),
            _ => Ok(PyDict::new(py)),
        }
    }

    /// The events to add to the span, as (name, monotonic ns, attributes).
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Vec<SpanEvent<'py>>> {
        let CoreEvent::SpanEnd(end) = &self.0 else {
            return Ok(Vec::new());
        };
        let events = end.events().into_iter();
        events
            .map(|event| Ok((event.name, event.at_ns, attributes(py, &event.attributes)?)))
            .collect()
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!("Event({})", self.kind(py))
    }
}
