//! Who makes the spans of a connection: the application from plans, its callbacks, or the built-in tracer.

use std::collections::HashMap;
use std::ffi::c_void;

use wirespan::Error;
use wirespan::connection::{Attribute, Parent, Plan, SpanEnd, SpanKey};
use wirespan::trace::{Baggage, SpanContext, TraceParent, TraceState};

use crate::pointers::{self, NO_SPAN, SpanRef};
use crate::tracer::ConnectionTracer;
use crate::types::wirespan_span_callbacks;
use crate::views::{Attributes, ParentView, PlanView, SpanEndView, parent_of};

/// The maker and the spans that it has open.
#[derive(Default)]
pub(crate) struct Spans {
    maker: Maker,
    open: HashMap<u32, OpenSpan>,
    /// The connection's own span, where the application has started it.
    connection: Option<SpanContext>,
}

#[derive(Default)]
enum Maker {
    /// The application, which acts on plans and events.
    #[default]
    Application,
    Callbacks(Callbacks),
    Tracer(ConnectionTracer),
}

struct Callbacks(wirespan_span_callbacks);

// SAFETY: by the contract of wirespan_span_callbacks the functions and their user data may be used on every thread that the
// application uses the connection on.
unsafe impl Send for Callbacks {}

struct OpenSpan {
    made: Made,
    context: Option<SpanContext>,
}

impl OpenSpan {
    /// Keeps what the application's tracer may have forgotten of the trace.
    fn in_trace_of(mut self, parent: Option<TraceParent>) -> Self {
        if let (Some(context), Some(parent)) = (&mut self.context, parent) {
            context.trace_parent = parent.keep_random(context.trace_parent);
        }
        self
    }
}

enum Made {
    Host(HostSpan),
    Tracer(crate::tracer::TracerSpan),
}

#[derive(Clone, Copy)]
struct HostSpan(*mut c_void);

// SAFETY: the pointer is handed back to the host and never used.
unsafe impl Send for HostSpan {}

impl Spans {
    /// Lets callbacks make the spans from now on.
    pub(crate) fn use_callbacks(
        &mut self,
        callbacks: wirespan_span_callbacks,
    ) -> Result<(), Error> {
        self.require_application()?;
        if callbacks.start.is_none() || callbacks.end.is_none() {
            return Err(Error::invalid_argument(
                "callbacks",
                "must have the functions start and end",
            ));
        }
        self.maker = Maker::Callbacks(Callbacks(callbacks));
        Ok(())
    }

    /// Lets the built-in tracer make the spans from now on.
    pub(crate) fn use_tracer(&mut self, tracer: ConnectionTracer) -> Result<(), Error> {
        self.require_application()?;
        self.maker = Maker::Tracer(tracer);
        Ok(())
    }

    fn require_application(&self) -> Result<(), Error> {
        match self.maker {
            Maker::Application => Ok(()),
            _ => Err(Error::invalid_state(
                "the connection has callbacks or a tracer already",
            )),
        }
    }

    /// Tells whether the application has to act on plans and on the ends of spans by itself.
    pub(crate) fn by_application(&self) -> bool {
        matches!(self.maker, Maker::Application)
    }

    /// The context of a span that was started here.
    pub(crate) fn context(&self, span: u32) -> Option<&SpanContext> {
        self.open.get(&span).and_then(|open| open.context.as_ref())
    }

    /// Remembers the connection's own span, which the application has started.
    pub(crate) fn note_connection(&mut self, context: &SpanContext) {
        self.connection = Some(context.clone());
    }

    /// Lays a plan out for C and, unless that is the application's task, starts its span.
    pub(crate) fn start(
        &mut self,
        plan: Plan,
        current: Option<SpanRef<'_>>,
        baggage: &Baggage,
    ) -> PlanView {
        let span = plan.span;
        let parent = self.parent(&plan, current, baggage);
        let parent_span = parent.span.as_ref().map(|span| span.trace_parent);
        let made = match &self.maker {
            Maker::Tracer(tracer) => {
                let connection = match self.open.get(&SpanKey::CONNECTION.number()) {
                    Some(OpenSpan {
                        made: Made::Tracer(span),
                        ..
                    }) => Some(span),
                    _ => None,
                };
                let (made, context) = tracer.start(&plan, current, connection, baggage);
                Some(OpenSpan {
                    made: Made::Tracer(made),
                    context,
                })
            }
            _ => None,
        };
        let view = PlanView::new(plan, parent);
        let made = match &self.maker {
            Maker::Callbacks(callbacks) => Some(callbacks.start(&view).in_trace_of(parent_span)),
            _ => made,
        };
        if let Some(made) = made {
            self.open.insert(span.number(), made);
        }
        view
    }

    fn parent(&self, plan: &Plan, current: Option<SpanRef<'_>>, baggage: &Baggage) -> ParentView {
        let mut parent = parent_of(plan, current, baggage.to_header());
        if plan.parent == Parent::Connection {
            let open = self.open.get(&SpanKey::CONNECTION.number());
            parent.span = open
                .and_then(|open| open.context.clone())
                .or_else(|| self.connection.clone());
            parent.host = match open {
                Some(OpenSpan {
                    made: Made::Host(span),
                    ..
                }) => Some(span.0),
                _ => None,
            };
        }
        parent
    }

    /// Sets attributes on an open span; false if it is none of those that were started here.
    pub(crate) fn update(&self, span: u32, attributes: Vec<Attribute>) -> bool {
        let Some(open) = self.open.get(&span) else {
            return false;
        };
        match (&self.maker, &open.made) {
            (Maker::Callbacks(callbacks), Made::Host(span)) => {
                callbacks.update(*span, &Attributes::new(attributes));
            }
            (Maker::Tracer(tracer), Made::Tracer(span)) => tracer.update(span, attributes),
            _ => {}
        }
        true
    }

    /// Ends a span that was started here.
    pub(crate) fn end(&mut self, end: &SpanEnd) {
        let Some(open) = self.open.remove(&end.span.number()) else {
            return;
        };
        match (&self.maker, open.made) {
            (Maker::Callbacks(callbacks), Made::Host(span)) => callbacks.end(span, end),
            (Maker::Tracer(tracer), Made::Tracer(span)) => tracer.end(&span, end),
            _ => {}
        }
    }
}

impl Callbacks {
    fn start(&self, plan: &PlanView) -> OpenSpan {
        let mut context = NO_SPAN;
        let Some(start) = self.0.start else {
            return OpenSpan {
                made: host(std::ptr::null_mut()),
                context: None,
            };
        };
        // SAFETY: the application vouches for its function; the plan lives on, and the context is ours.
        let span = unsafe { start(self.0.user_data, plan.shown(), &raw mut context) };
        // SAFETY: the function has written the context, whose text it keeps until it is called again.
        let context = unsafe { pointers::span(&raw const context) };
        // Vendor data that is no text is left out: telemetry fails nothing.
        let context = context.ok().flatten().map(|span| SpanContext {
            trace_parent: span.trace_parent,
            trace_state: TraceState::parse(span.trace_state).unwrap_or_default(),
        });
        OpenSpan {
            made: host(span),
            context,
        }
    }

    fn update(&self, span: HostSpan, attributes: &Attributes) {
        if let Some(update) = self.0.update {
            let attributes = attributes.as_slice();
            // SAFETY: the application vouches for its function; the attributes live on.
            unsafe {
                update(
                    self.0.user_data,
                    span.0,
                    attributes.as_ptr(),
                    attributes.len(),
                )
            };
        }
    }

    fn end(&self, span: HostSpan, end: &SpanEnd) {
        let is_recording = match self.0.is_recording {
            // SAFETY: the application vouches for its function.
            Some(is_recording) => unsafe { is_recording(self.0.user_data, span.0) },
            None => true,
        };
        if let Some(function) = self.0.end {
            let view = SpanEndView::new(end, is_recording);
            // SAFETY: the application vouches for its function; the view lives on.
            unsafe { function(self.0.user_data, span.0, view.shown()) };
        }
    }
}

fn host(span: *mut c_void) -> Made {
    Made::Host(HostSpan(span))
}
