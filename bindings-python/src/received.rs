//! What a received message means.

use std::ffi::c_int;
use std::ops::Range;
use std::sync::{Mutex, OnceLock, PoisonError};

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyDict, PyMemoryView, PyString};
use wirespan::connection::{IncomingStream as Opened, Payload, Received as Core};
use wirespan::envelope::{Form, Kind};
use wirespan::trace::Baggage;

use crate::native;
use crate::otel;
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
    fn new(py: Python<'_>, stream: Opened) -> PyResult<Self> {
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

/// What is delivered of a message.
#[derive(Debug)]
enum Place {
    Nothing,
    /// These bytes of the message, in UTF-8 where it is a text.
    Part(Range<usize>),
    /// This text, which stood in the message with escapes.
    Unescaped(String),
}

impl Place {
    fn of(payload: Payload<'_>, message: &[u8]) -> Self {
        match payload {
            Payload::Nothing => Self::Nothing,
            Payload::Raw(range) => Self::Part(range),
            Payload::Text(std::borrow::Cow::Owned(text)) => Self::Unescaped(text),
            // A borrowed text stands in the message.
            Payload::Text(std::borrow::Cow::Borrowed(text)) => {
                let start = text.as_ptr().addr().wrapping_sub(message.as_ptr().addr());
                Self::Part(start..start.wrapping_add(text.len()))
            }
        }
    }
}

/// What a message opens; made for Python when it is asked for.
#[derive(Debug)]
enum Opening {
    Nothing,
    Told(Box<Opened>),
    Made(Py<IncomingStream>),
}

/// What to do with a received message: start the span of `opened`, deliver `data` to `stream`, then poll the events.
///
/// It keeps the message, and makes what is asked for when it is asked for.
#[pyclass(frozen, module = "wirespan")]
pub(crate) struct Received {
    form: Form,
    stream: u32,
    /// The message: `str` or `bytes`.
    message: Py<PyAny>,
    place: Place,
    /// `data`, once it was asked for.
    data: OnceLock<Py<PyAny>>,
    opening: Mutex<Opening>,
    context: Option<wirespan::trace::SpanContext>,
    rest: Option<Box<Rest>>,
}

/// What few messages bring.
#[derive(Debug)]
struct Rest {
    link: Option<wirespan::trace::SpanContext>,
    baggage: Baggage,
    headers: Vec<(String, String)>,
}

impl Rest {
    fn of(received: &mut Core<'_>) -> Option<Box<Self>> {
        let link = received.link().cloned();
        if link.is_none() && received.baggage.is_empty() && received.headers.is_empty() {
            return None;
        }
        let headers = received.headers.iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_string()));
        Some(Box::new(Self {
            link,
            headers: headers.collect(),
            baggage: std::mem::take(&mut received.baggage),
        }))
    }
}

impl Received {
    /// `bytes` are those of `message`, which is a `str` or `bytes`.
    pub(crate) fn new(
        message: &Bound<'_, PyAny>,
        bytes: &[u8],
        form: Form,
        mut received: Core<'_>,
    ) -> Self {
        Self {
            form,
            stream: received.stream.number(),
            message: message.clone().unbind(),
            context: received.context().cloned(),
            rest: Rest::of(&mut received),
            place: Place::of(received.payload, bytes),
            data: OnceLock::new(),
            opening: Mutex::new(received.opened.map_or(Opening::Nothing, Opening::Told)),
        }
    }

    fn baggage_or_none(&self) -> Option<&Baggage> {
        let baggage = self.rest.as_ref().map(|rest| &rest.baggage);
        baggage.filter(|baggage| !baggage.is_empty())
    }

    /// The message in bytes.
    fn message_bytes<'a>(&'a self, py: Python<'a>) -> PyResult<&'a [u8]> {
        let message = self.message.bind(py);
        match message.cast::<PyString>() {
            Ok(text) => Ok(text.to_str()?.as_bytes()),
            Err(_) => Ok(message.cast::<PyBytes>()?.as_bytes()),
        }
    }

    /// The bytes that are delivered, unless there are none.
    fn part<'a>(&'a self, py: Python<'a>) -> PyResult<Option<&'a [u8]>> {
        match &self.place {
            Place::Nothing => Ok(None),
            Place::Part(range) => Ok(self.message_bytes(py)?.get(range.clone())),
            Place::Unescaped(text) => Ok(Some(text.as_bytes())),
        }
    }

    fn make_data(&self, py: Python<'_>, part: &[u8]) -> PyResult<Py<PyAny>> {
        let message = self.message.bind(py);
        let len = self.message_bytes(py)?.len();
        let text = message.cast::<PyString>().ok();
        if part.len() == len && (text.is_some() || self.form == Form::Binary) {
            // Nothing was taken away: the message itself is delivered.
            return Ok(message.clone().unbind());
        }
        if let (Some(text), Place::Part(range)) = (text, &self.place)
            && text.len()? == len
        {
            // As many characters as bytes: all are ASCII, and offsets are the same.
            return Ok(native::part_of(text, range.start, range.end)?.unbind());
        }
        match (self.form, std::str::from_utf8(part)) {
            (Form::Text, Ok(text)) => Ok(PyString::new(py, text).into_any().unbind()),
            // A text message that is none is delivered as its bytes.
            _ => Ok(PyBytes::new(py, part).into_any().unbind()),
        }
    }
}

#[pymethods]
impl Received {
    /// Whether it was a text message.
    #[getter]
    fn text(&self) -> bool {
        self.form == Form::Text
    }

    /// The stream that gets the message; 0 for messages outside every stream.
    #[getter]
    fn stream(&self) -> u32 {
        self.stream
    }

    /// What is delivered: `str` of a text message (`bytes` if it is not UTF-8), `bytes` of a binary one; None for nothing.
    #[getter]
    fn data(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        if let Some(made) = self.data.get() {
            return Ok(Some(made.clone_ref(py)));
        }
        let Some(part) = self.part(py)? else {
            return Ok(None);
        };
        let made = self.make_data(py, part)?;
        // Another thread may have been quicker, and has an equal one then.
        let _ = self.data.set(made.clone_ref(py));
        Ok(Some(made))
    }

    /// What is delivered as a view of the message that copies nothing, text in UTF-8; None for nothing.
    #[getter]
    fn view<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        match slf.get().place {
            Place::Nothing => Ok(None),
            _ => PyMemoryView::from(slf.as_any()).map(Some),
        }
    }

    /// The length in bytes of what is delivered, text in UTF-8; None for nothing.
    #[getter]
    fn size(&self) -> Option<usize> {
        match &self.place {
            Place::Nothing => None,
            Place::Part(range) => Some(range.len()),
            Place::Unescaped(text) => Some(text.len()),
        }
    }

    /// What `view` reads, for whatever takes a buffer.
    #[expect(unsafe_code, reason = "the buffer protocol hands out a pointer")]
    unsafe fn __getbuffer__(
        slf: &Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let part = slf.get().part(slf.py())?;
        let part = part.ok_or_else(|| PyBufferError::new_err("nothing is delivered"))?;
        // SAFETY: the view is the interpreter's. The bytes are those of a `str` or `bytes`, or of a text of this object, which it
        // keeps and nobody changes.
        unsafe { native::fill_view(slf.as_any(), view, part, flags) }
    }

    /// The call or transfer that the message opens.
    #[getter]
    fn opened(&self, py: Python<'_>) -> PyResult<Option<Py<IncomingStream>>> {
        let mut opening = self
            .opening
            .lock_py_attached(py)
            .unwrap_or_else(PoisonError::into_inner);
        let made = match std::mem::replace(&mut *opening, Opening::Nothing) {
            Opening::Nothing => return Ok(None),
            Opening::Told(told) => Py::new(py, IncomingStream::new(py, *told)?)?,
            Opening::Made(made) => made,
        };
        *opening = Opening::Made(made.clone_ref(py));
        Ok(Some(made))
    }

    /// The sender's span, to be used as parent.
    #[getter]
    fn context(&self) -> Option<SpanContext> {
        self.context.clone().map(SpanContext::new)
    }

    /// The context of the OpenTelemetry API that holds the sender's span; None where there is none, or baggage beside it.
    fn otel_context<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match &self.context {
            Some(context) if self.baggage_or_none().is_none() => {
                otel::remote_context(py, context).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The sender's span, to be linked.
    #[getter]
    fn link(&self) -> Option<SpanContext> {
        let link = self.rest.as_ref()?.link.clone();
        link.map(SpanContext::new)
    }

    /// The baggage that the allow-list lets through; None where there is none.
    #[getter]
    fn baggage<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let baggage = self.baggage_or_none();
        baggage.map(|baggage| baggage_dict(py, baggage)).transpose()
    }

    /// The application's own headers, in the order sent.
    #[getter]
    fn headers(&self) -> Vec<(String, String)> {
        let rest = self.rest.as_ref();
        rest.map_or_else(Vec::new, |rest| rest.headers.clone())
    }
}
