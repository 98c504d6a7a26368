//! What the core says, laid out for C. A view owns what its pointers point to, and is itself shown by pointer.

use std::ffi::c_void;
use std::ptr;

use wirespan::connection::{Attribute, Parent, Plan, SpanEnd, SpanEvent, SpanKind, Status, Value};
use wirespan::metrics::{Direction, MetricValue, Outcome, Summary};
use wirespan::trace::SpanContext;

use crate::pointers::{EMPTY, NO_SPAN, SpanRef, show, show_span};
use crate::types::{
    wirespan_attribute, wirespan_context, wirespan_header, wirespan_outcome, wirespan_parent,
    wirespan_plan, wirespan_span_context, wirespan_span_end, wirespan_span_event,
    wirespan_span_kind, wirespan_summary, wirespan_value_type,
};

/// Attributes for C. Every text is on the heap or static, so that the list can be moved.
#[derive(Default)]
pub(crate) struct Attributes {
    shown: Vec<wirespan_attribute>,
    _owned: Vec<Attribute>,
}

impl Attributes {
    pub(crate) fn new(owned: Vec<Attribute>) -> Self {
        let shown = owned
            .iter()
            .map(|attribute| match &attribute.value {
                Value::Str(text) => text_attribute(attribute.key, text),
                Value::I64(number) => integer_attribute(attribute.key, *number),
                Value::F64(number) => number_attribute(attribute.key, *number),
                // A type that is newer than this list has no value in C.
                _ => text_attribute(attribute.key, ""),
            })
            .collect();
        Self {
            shown,
            _owned: owned,
        }
    }

    pub(crate) fn as_slice(&self) -> &[wirespan_attribute] {
        &self.shown
    }
}

fn text_attribute(key: &str, text: &str) -> wirespan_attribute {
    let value_type = wirespan_value_type::Text as u32;
    wirespan_attribute {
        key: show(key),
        value_type,
        text: show(text),
        integer: 0,
        number: 0.0,
    }
}

fn integer_attribute(key: &str, integer: i64) -> wirespan_attribute {
    let value_type = wirespan_value_type::Integer as u32;
    wirespan_attribute {
        key: show(key),
        value_type,
        text: EMPTY,
        integer,
        number: 0.0,
    }
}

fn number_attribute(key: &str, number: f64) -> wirespan_attribute {
    let value_type = wirespan_value_type::Number as u32;
    wirespan_attribute {
        key: show(key),
        value_type,
        text: EMPTY,
        integer: 0,
        number,
    }
}

/// The attributes of a summary; their names are static.
pub(crate) fn summary_attributes(
    summary: &Summary,
    direction: Direction,
) -> Vec<wirespan_attribute> {
    summary
        .attributes(direction)
        .into_iter()
        .map(|(key, value)| match value {
            MetricValue::Count(count) => {
                integer_attribute(key, i64::try_from(count).unwrap_or(i64::MAX))
            }
            MetricValue::Float(number) => number_attribute(key, number),
            _ => text_attribute(key, ""),
        })
        .collect()
}

/// What the parent of a plan is, as far as this side knows it.
#[derive(Default)]
pub(crate) struct ParentView {
    pub(crate) span: Option<SpanContext>,
    pub(crate) is_remote: bool,
    pub(crate) baggage: String,
    pub(crate) host: Option<*mut c_void>,
}

/// A plan for C.
pub(crate) struct PlanView {
    shown: Box<wirespan_plan>,
    _plan: Box<Plan>,
    _parent: Box<ParentView>,
    _links: Vec<wirespan_span_context>,
    _attributes: Attributes,
}

// SAFETY: the pointers of a view point into what it owns. That of the host's span is handed back and never used.
unsafe impl Send for PlanView {}

impl PlanView {
    pub(crate) fn new(plan: Plan, parent: ParentView) -> Self {
        let plan = Box::new(plan);
        let parent = Box::new(parent);
        let links: Vec<_> = plan
            .links
            .iter()
            .map(|link| show_span(&link.span, link.remote))
            .collect();
        let attributes = Attributes::new(plan.attributes.clone());
        let shown = Box::new(wirespan_plan {
            span: plan.span.number(),
            name: show(&plan.name),
            kind: span_kind(plan.kind),
            parent: match plan.parent {
                Parent::Current => wirespan_parent::Current,
                Parent::Connection => wirespan_parent::Connection,
                Parent::Remote(_) => wirespan_parent::Remote,
                _ => wirespan_parent::Root,
            },
            parent_context: wirespan_context {
                span: parent
                    .span
                    .as_ref()
                    .map_or(NO_SPAN, |span| show_span(span, parent.is_remote)),
                baggage: show(&parent.baggage),
            },
            parent_span: parent.host.unwrap_or(ptr::null_mut()),
            links: links.as_ptr(),
            link_count: links.len(),
            attributes: attributes.as_slice().as_ptr(),
            attribute_count: attributes.as_slice().len(),
        });
        Self {
            shown,
            _plan: plan,
            _parent: parent,
            _links: links,
            _attributes: attributes,
        }
    }

    /// Where C finds the plan, for as long as the view lives.
    pub(crate) fn shown(&self) -> *const wirespan_plan {
        &raw const *self.shown
    }
}

/// The parent of a plan where it is not the connection's own span.
pub(crate) fn parent_of(plan: &Plan, current: Option<SpanRef<'_>>, baggage: String) -> ParentView {
    let (span, is_remote) = match (&plan.parent, current) {
        (Parent::Current, Some(current)) => (Some(current.to_span()), current.is_remote),
        (Parent::Remote(remote), _) => (Some(remote.clone()), true),
        _ => (None, false),
    };
    ParentView {
        span,
        is_remote,
        baggage,
        host: None,
    }
}

fn span_kind(kind: SpanKind) -> wirespan_span_kind {
    match kind {
        SpanKind::Internal => wirespan_span_kind::Internal,
        SpanKind::Server => wirespan_span_kind::Server,
        SpanKind::Client => wirespan_span_kind::Client,
        SpanKind::Producer => wirespan_span_kind::Producer,
        SpanKind::Consumer => wirespan_span_kind::Consumer,
    }
}

/// The end of a span for C.
pub(crate) struct SpanEndView {
    shown: Box<wirespan_span_end>,
    _attributes: Attributes,
    _events: Vec<wirespan_span_event>,
    _event_attributes: Vec<Attributes>,
    _error_type: String,
}

// SAFETY: the pointers of a view point into what it owns.
unsafe impl Send for SpanEndView {}

impl SpanEndView {
    /// Lays an end out. Where the span does not record, there is nothing but its status.
    pub(crate) fn new(end: &SpanEnd, is_recording: bool) -> Self {
        let (attributes, core_events) = if is_recording {
            (end.attributes(), end.events())
        } else {
            (Vec::new(), Vec::new())
        };
        let attributes = Attributes::new(attributes);
        let mut event_attributes = Vec::with_capacity(core_events.len());
        let events: Vec<_> = core_events
            .into_iter()
            .map(
                |SpanEvent {
                     name,
                     at_ns,
                     attributes,
                     ..
                 }| {
                    let attributes = Attributes::new(attributes);
                    let shown = wirespan_span_event {
                        name: show(name),
                        at_ns,
                        attributes: attributes.as_slice().as_ptr(),
                        attribute_count: attributes.as_slice().len(),
                    };
                    event_attributes.push(attributes);
                    shown
                },
            )
            .collect();
        let error_type = end.error_type.as_deref().unwrap_or("").to_owned();
        let shown = Box::new(wirespan_span_end {
            span: end.span.number(),
            is_error: end.status() == Status::Error,
            error_type: show(&error_type),
            attributes: attributes.as_slice().as_ptr(),
            attribute_count: attributes.as_slice().len(),
            events: events.as_ptr(),
            event_count: events.len(),
        });
        Self {
            shown,
            _attributes: attributes,
            _events: events,
            _event_attributes: event_attributes,
            _error_type: error_type,
        }
    }

    pub(crate) fn shown(&self) -> *const wirespan_span_end {
        &raw const *self.shown
    }
}

/// Headers for C.
#[derive(Default)]
pub(crate) struct Headers {
    shown: Vec<wirespan_header>,
    _owned: Vec<(String, String)>,
}

// SAFETY: the pointers of a view point into what it owns.
unsafe impl Send for Headers {}

impl Headers {
    pub(crate) fn new(owned: Vec<(String, String)>) -> Self {
        let shown = owned
            .iter()
            .map(|(name, value)| wirespan_header {
                name: show(name),
                value: show(value),
            })
            .collect();
        Self {
            shown,
            _owned: owned,
        }
    }

    pub(crate) fn as_slice(&self) -> &[wirespan_header] {
        &self.shown
    }
}

/// A summary for C.
pub(crate) fn show_summary(summary: &Summary) -> wirespan_summary {
    let time = |ns: Option<u64>| ns.map_or(-1, |ns| i64::try_from(ns).unwrap_or(i64::MAX));
    wirespan_summary {
        chunks: summary.chunks,
        bytes: summary.bytes,
        time_to_first_chunk_ns: time(summary.time_to_first_chunk_ns),
        time_to_last_chunk_ns: time(summary.time_to_last_chunk_ns),
        duration_ns: time(summary.duration_ns),
        rate: summary.rate.unwrap_or(-1.0),
        intervals: summary.intervals,
        interval_avg_ns: summary.interval_avg_ns.unwrap_or(-1.0),
        interval_min_ns: time(summary.interval_min_ns),
        interval_max_ns: time(summary.interval_max_ns),
        interval_p50_ns: summary.interval_p50_ns.unwrap_or(-1.0),
        interval_p90_ns: summary.interval_p90_ns.unwrap_or(-1.0),
        interval_p95_ns: summary.interval_p95_ns.unwrap_or(-1.0),
        interval_p99_ns: summary.interval_p99_ns.unwrap_or(-1.0),
        relative_error: summary.relative_error,
        stalls: summary.stalls,
        stall_time_ns: summary.stall_time_ns,
        clock_back: summary.clock_back,
        outcome: match summary.outcome {
            None => wirespan_outcome::None,
            Some(Outcome::Complete) => wirespan_outcome::Complete,
            Some(Outcome::Cancelled) => wirespan_outcome::Cancelled,
            Some(Outcome::Abandoned) => wirespan_outcome::Abandoned,
            Some(_) => wirespan_outcome::Error,
        },
    }
}
