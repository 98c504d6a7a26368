//! What a received message means.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use wirespan::envelope::Kind;

use crate::plan::Plan;
use crate::trace::{SpanContext, baggage_dict};

/// A call or transfer that the peer opens.
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct IncomingStream {
    transfer: bool,
    method: Option<String>,
    registered: bool,
    plan: Py<Plan>,
}

impl IncomingStream {
    pub(crate) fn new(
        py: Python<'_>,
        stream: wirespan::connection::IncomingStream,
    ) -> PyResult<Self> {
        Ok(Self {
            transfer: stream.kind == Kind::Transfer,
            method: stream.method.map(String::from),
            registered: stream.registered,
            plan: Py::new(py, Plan::new(stream.plan))?,
        })
    }
}

#[pymethods]
impl IncomingStream {
    /// "call" or "transfer".
    #[getter]
    fn kind(&self) -> &'static str {
        if self.transfer { "transfer" } else { "call" }
    }

    /// The method that the peer named.
    #[getter]
    fn method(&self) -> Option<&str> {
        self.method.as_deref()
    }

    /// Whether the application registered that method.
    #[getter]
    fn registered(&self) -> bool {
        self.registered
    }

    /// How to start its span.
    #[getter]
    fn plan(&self, py: Python<'_>) -> Py<Plan> {
        self.plan.clone_ref(py)
    }
}

/// What to do with a received message: start the span of `opened`, deliver `data` to `stream`, then poll the events.
#[pyclass(frozen, module = "wirespan")]
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) text: bool,
    pub(crate) stream: u32,
    pub(crate) data: Option<Py<PyAny>>,
    pub(crate) opened: Option<Py<IncomingStream>>,
    pub(crate) context: Option<wirespan::trace::SpanContext>,
    pub(crate) link: Option<wirespan::trace::SpanContext>,
    pub(crate) baggage: wirespan::trace::Baggage,
    pub(crate) headers: Vec<(String, String)>,
}

#[pymethods]
impl Received {
    /// Whether it was a text message.
    #[getter]
    fn text(&self) -> bool {
        self.text
    }

    /// The stream that gets the message; 0 for messages outside every stream.
    #[getter]
    fn stream(&self) -> u32 {
        self.stream
    }

    /// What is delivered: `str` of a text message (`bytes` if it is not UTF-8), `bytes` of a binary one; None for nothing.
    #[getter]
    fn data(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.data.as_ref().map(|data| data.clone_ref(py))
    }

    /// The call or transfer that the message opens.
    #[getter]
    fn opened(&self, py: Python<'_>) -> Option<Py<IncomingStream>> {
        self.opened.as_ref().map(|opened| opened.clone_ref(py))
    }

    /// The sender's span, to be used as parent.
    #[getter]
    fn context(&self) -> Option<SpanContext> {
        self.context.clone().map(SpanContext::new)
    }

    /// The context of the OpenTelemetry API that holds the sender's span; None where there is none, or baggage beside it.
    fn otel_context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.context {
            Some(context) if self.baggage.is_empty() => {
                crate::otel::remote_context(py, context).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The sender's span, to be linked.
    #[getter]
    fn link(&self) -> Option<SpanContext> {
        self.link.clone().map(SpanContext::new)
    }

    /// The baggage that the allow-list lets through; None where there is none.
    #[getter]
    fn baggage<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        if self.baggage.is_empty() {
            Ok(None)
        } else {
            baggage_dict(py, &self.baggage).map(Some)
        }
    }

    /// The application's own headers, in the order sent.
    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        self.headers.clone()
    }
}
