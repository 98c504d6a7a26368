//! Plans of spans.

use wirespan::connection::{
    Attribute as CoreAttribute, Parent as CoreParent, Plan as CorePlan, Value,
};

use crate::trace::SpanContext;

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, uniffi::Enum)]
pub enum AttributeValue {
    /// Text.
    Text {
        /// The value.
        value: String,
    },
    /// A whole number.
    Whole {
        /// The value.
        value: i64,
    },
    /// A number.
    Number {
        /// The value.
        value: f64,
    },
}

/// An attribute of a span or of an event.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Attribute {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: AttributeValue,
}

/// What a span is the child of.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Parent {
    /// Nothing: a new trace.
    Root,
    /// The current span, with all that its context holds.
    Current,
    /// The connection's own span.
    Connection,
    /// The span of a peer.
    Remote {
        /// The span.
        span: SpanContext,
    },
}

/// A span to link.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Link {
    /// The span.
    pub span: SpanContext,
    /// Whether it is a peer's.
    pub remote: bool,
}

/// What to do to start a span.
#[derive(Clone, Debug, PartialEq, uniffi::Record)]
pub struct Plan {
    /// Names the span until its end.
    pub span: i64,
    /// Its name.
    pub name: String,
    /// Its kind: `INTERNAL`, `SERVER`, `CLIENT`, `PRODUCER` or `CONSUMER`.
    pub kind: String,
    /// Its parent.
    pub parent: Parent,
    /// The spans that it links.
    pub links: Vec<Link>,
    /// Its attributes at the start.
    pub attributes: Vec<Attribute>,
}

impl From<CorePlan> for Plan {
    fn from(plan: CorePlan) -> Self {
        Self {
            span: plan.span.number().into(),
            name: plan.name.into_owned(),
            kind: plan.kind.name().to_owned(),
            parent: match &plan.parent {
                CoreParent::Current => Parent::Current,
                CoreParent::Connection => Parent::Connection,
                CoreParent::Remote(span) => Parent::Remote { span: span.into() },
                _ => Parent::Root,
            },
            links: plan
                .links
                .iter()
                .map(|link| Link {
                    span: (&link.span).into(),
                    remote: link.remote,
                })
                .collect(),
            attributes: attributes(&plan.attributes),
        }
    }
}

pub(crate) fn attributes(list: &[CoreAttribute]) -> Vec<Attribute> {
    list.iter().filter_map(attribute).collect()
}

pub(crate) fn attribute(attribute: &CoreAttribute) -> Option<Attribute> {
    let value = match &attribute.value {
        Value::Str(text) => AttributeValue::Text {
            value: text.clone().into_owned(),
        },
        Value::I64(number) => AttributeValue::Whole { value: *number },
        Value::F64(number) => AttributeValue::Number { value: *number },
        _ => return None,
    };
    Some(Attribute {
        key: attribute.key.to_owned(),
        value,
    })
}
