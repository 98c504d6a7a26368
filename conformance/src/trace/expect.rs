//! Compares the spans that were received with the graph that a test expects.
//!
//! Everything has to be there, once, under its parent, and nothing else: what is not expected is a difference. A label
//! names an expected span, so that others can say that they link it or share a value with it.
//!
//! ```
//! use wirespan_conformance::trace::expect::{Expected, ExpectedForest, Top};
//! use wirespan_conformance::trace::{Forest, Kind};
//!
//! let expected = ExpectedForest::new()
//!     .tree(Top::Root, Expected::new("client", "websocket.handshake", Kind::Client).label("handshake"))
//!     .tree(
//!         Top::Root,
//!         Expected::new("client", "order", Kind::Client)
//!             .has("websocket.session.id")
//!             .link("handshake")
//!             .child(Expected::new("server", "order", Kind::Server).has("websocket.session.id")),
//!     );
//! let report = expected.check(&Forest::new(Vec::new()));
//! assert_eq!(report.differences.len(), 3); // three spans are missing
//! ```

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::{Forest, Kind, Span, SpanRef, Status, Value};

/// A span that is expected, with those below it.
#[derive(Clone, Debug)]
pub struct Expected {
    label: Option<String>,
    service: String,
    name: String,
    kind: Kind,
    attributes: Vec<(String, Want)>,
    events: Vec<String>,
    status: WantStatus,
    links: Option<Vec<LinkTo>>,
    children: Vec<Expected>,
}

#[derive(Clone, Debug)]
enum Want {
    Is(Value),
    Present,
    Absent,
    SameAs(String),
}

#[derive(Clone, Debug)]
enum WantStatus {
    NoError,
    Error,
    ErrorType(String),
    Any,
}

#[derive(Clone, Debug)]
enum LinkTo {
    Label(String),
    Outside(SpanRef),
}

/// Where a tree stands.
#[derive(Clone, Debug)]
pub enum Top {
    /// It has no parent.
    Root,
    /// Its parent is a span of somebody else, which is not among those received.
    Remote(SpanRef),
    /// It has no parent, or its parent is the span of that label.
    RootOrUnder(String),
}

/// The spans that are expected.
#[derive(Clone, Debug, Default)]
pub struct ExpectedForest {
    trees: Vec<(Top, Expected)>,
}

/// The result of a comparison.
#[derive(Debug, Default)]
pub struct Report {
    /// Everything that is not as expected; empty if all is well.
    pub differences: Vec<Difference>,
    /// The span found for each label, as an index into the forest.
    pub labels: HashMap<String, usize>,
}

/// Something that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is about.
    pub about: About,
    /// What was expected, and what was found.
    pub message: String,
}

/// What a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum About {
    /// A span was not received.
    Missing,
    /// A span was received that nobody expected.
    Unexpected,
    /// A span was received twice.
    Duplicate,
    /// A span has another parent.
    Parent,
    /// A span has another kind.
    Kind,
    /// An attribute is missing, or has another value.
    Attribute,
    /// An event is missing.
    Event,
    /// A span failed, or did not fail.
    Status,
    /// A link is missing, or was not expected.
    Link,
}

impl Expected {
    /// A span of that service, name and kind, with status Unset or Ok and no links.
    #[must_use]
    pub fn new(service: impl Into<String>, name: impl Into<String>, kind: Kind) -> Self {
        Self {
            label: None,
            service: service.into(),
            name: name.into(),
            kind,
            attributes: Vec::new(),
            events: Vec::new(),
            status: WantStatus::NoError,
            links: Some(Vec::new()),
            children: Vec::new(),
        }
    }

    /// Gives it a label.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// It has that attribute with that value.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.attributes.push((name.into(), Want::Is(value.into())));
        self
    }

    /// It has that attribute, whatever its value.
    #[must_use]
    pub fn has(mut self, name: impl Into<String>) -> Self {
        self.attributes.push((name.into(), Want::Present));
        self
    }

    /// It does not have that attribute.
    #[must_use]
    pub fn lacks(mut self, name: impl Into<String>) -> Self {
        self.attributes.push((name.into(), Want::Absent));
        self
    }

    /// It has that attribute with the value that the span of that label has.
    #[must_use]
    pub fn same(mut self, name: impl Into<String>, label: impl Into<String>) -> Self {
        self.attributes
            .push((name.into(), Want::SameAs(label.into())));
        self
    }

    /// It has at least one event of that name.
    #[must_use]
    pub fn event(mut self, name: impl Into<String>) -> Self {
        self.events.push(name.into());
        self
    }

    /// Its status is Error, and it has an `error.type`.
    #[must_use]
    pub fn fails(mut self) -> Self {
        self.status = WantStatus::Error;
        self
    }

    /// Its status is Error, with that `error.type`.
    #[must_use]
    pub fn fails_with(mut self, error_type: impl Into<String>) -> Self {
        self.status = WantStatus::ErrorType(error_type.into());
        self
    }

    /// Its status does not matter.
    #[must_use]
    pub fn any_status(mut self) -> Self {
        self.status = WantStatus::Any;
        self
    }

    /// It links the span of that label.
    #[must_use]
    pub fn link(mut self, label: impl Into<String>) -> Self {
        self.links
            .get_or_insert_default()
            .push(LinkTo::Label(label.into()));
        self
    }

    /// It links a span that is not among those received.
    #[must_use]
    pub fn link_outside(mut self, span: SpanRef) -> Self {
        self.links
            .get_or_insert_default()
            .push(LinkTo::Outside(span));
        self
    }

    /// Its links do not matter.
    #[must_use]
    pub fn any_links(mut self) -> Self {
        self.links = None;
        self
    }

    /// It has that child.
    #[must_use]
    pub fn child(mut self, child: Self) -> Self {
        self.children.push(child);
        self
    }
}

impl ExpectedForest {
    /// Nothing is expected.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tree.
    #[must_use]
    pub fn tree(mut self, top: Top, span: Expected) -> Self {
        self.trees.push((top, span));
        self
    }

    /// Compares.
    #[must_use]
    pub fn check(&self, forest: &Forest) -> Report {
        let mut matcher = Matcher::new(forest);
        // Trees that may stand under a label come last: the label has to be found first.
        let (late, early): (Vec<_>, Vec<_>) = self
            .trees
            .iter()
            .partition(|(top, _)| matches!(top, Top::RootOrUnder(_)));
        for (top, expected) in early.into_iter().chain(late) {
            matcher.place_tree(top, expected);
        }
        matcher.place_strays();
        matcher.check_details();
        matcher.finish()
    }
}

impl Report {
    /// Whether everything is as expected.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.differences.is_empty()
    }

    /// The differences about one thing.
    pub fn about(&self, about: About) -> impl Iterator<Item = &Difference> {
        self.differences
            .iter()
            .filter(move |difference| difference.about == about)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.differences
            .iter()
            .try_for_each(|difference| writeln!(f, "- {difference}"))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.service, self.name, self.kind)
    }
}

struct Matcher<'a> {
    forest: &'a Forest,
    claimed: HashSet<usize>,
    found: Vec<(&'a Expected, usize)>,
    /// Not found, with where it should have been.
    missing: Vec<(&'a Expected, String)>,
    labels: HashMap<String, usize>,
    differences: Vec<Difference>,
}

/// What it costs to take a span for another one: a wrong kind and a missing child outweigh a few wrong values.
const COST_KIND: usize = 20;
const COST_CHILD: usize = 10;

impl<'a> Matcher<'a> {
    fn new(forest: &'a Forest) -> Self {
        Self {
            forest,
            claimed: HashSet::new(),
            found: Vec::new(),
            missing: Vec::new(),
            labels: HashMap::new(),
            differences: Vec::new(),
        }
    }

    fn place_tree(&mut self, top: &Top, expected: &'a Expected) {
        let under = match top {
            Top::RootOrUnder(label) => self.labels.get(label).copied(),
            _ => None,
        };
        let candidates = (0..self.forest.spans().len()).filter(|index| {
            let span = &self.forest.spans()[*index];
            match top {
                Top::Root => span.parent.is_none(),
                Top::Remote(parent) => {
                    span.parent == Some(parent.span_id) && span.trace_id == parent.trace_id
                }
                Top::RootOrUnder(_) => {
                    span.parent.is_none()
                        || (under.is_some() && self.forest.parent(*index) == under)
                }
            }
        });
        let candidates: Vec<usize> = candidates.collect();
        match self.cheapest(expected, &candidates) {
            Some(index) => self.place(expected, index),
            None => self.miss(expected, top.to_string()),
        }
    }

    fn place(&mut self, expected: &'a Expected, index: usize) {
        self.claimed.insert(index);
        self.found.push((expected, index));
        if let Some(label) = &expected.label {
            self.labels.insert(label.clone(), index);
        }
        for child in &expected.children {
            match self.cheapest(child, self.forest.children(index)) {
                Some(found) => self.place(child, found),
                None => self.miss(child, format!("under {}", self.forest.spans()[index])),
            }
        }
    }

    fn miss(&mut self, expected: &'a Expected, place: String) {
        self.missing.push((expected, place));
        for child in &expected.children {
            self.miss(child, format!("under {expected}"));
        }
    }

    /// Spans that are there but not where they should be: a difference in the parent says more than two in presence.
    fn place_strays(&mut self) {
        for (expected, place) in std::mem::take(&mut self.missing) {
            let stray = (0..self.forest.spans().len()).find(|index| {
                let span = &self.forest.spans()[*index];
                !self.claimed.contains(index)
                    && is_named(expected, span)
                    && expected.kind == span.kind
            });
            let Some(index) = stray else {
                self.differ(About::Missing, format!("missing {expected}, {place}"));
                continue;
            };
            let span = &self.forest.spans()[index];
            let actual = match (span.parent, self.forest.parent(index)) {
                (_, Some(parent)) => format!("under {}", self.forest.spans()[parent]),
                (Some(parent), None) => format!("under span {parent}, which was not received"),
                (None, None) => "as a root".to_owned(),
            };
            // A parent that was itself found astray is where its children are expected.
            let parent_astray = self.forest.parent(index).is_some_and(|parent| {
                self.found.iter().any(|(above, at)| {
                    *at == parent
                        && above
                            .children
                            .iter()
                            .any(|child| std::ptr::eq(child, expected))
                })
            });
            if !parent_astray {
                self.differ(
                    About::Parent,
                    format!(
                        "{span} of trace {} is {actual}; expected {place}",
                        span.trace_id
                    ),
                );
            }
            self.claimed.insert(index);
            self.found.push((expected, index));
            if let Some(label) = &expected.label {
                self.labels.insert(label.clone(), index);
            }
        }
    }

    fn check_details(&mut self) {
        for (expected, index) in self.found.clone() {
            let span = &self.forest.spans()[index];
            if span.kind != expected.kind {
                self.differ(About::Kind, format!("{span} is no {}", expected.kind));
            }
            self.check_attributes(expected, span);
            for name in &expected.events {
                if !span.events.iter().any(|event| event.name == *name) {
                    self.differ(About::Event, format!("{span} has no event {name}"));
                }
            }
            self.check_status(expected, span);
            if let Some(links) = &expected.links {
                self.check_links(links, span);
            }
        }
    }

    fn check_attributes(&mut self, expected: &Expected, span: &Span) {
        for (name, want) in &expected.attributes {
            let value = span.attributes.get(name);
            let wrong = match (want, value) {
                (Want::Is(wanted), Some(value)) if wanted != value => {
                    Some(format!("is {value}, expected {wanted}"))
                }
                (Want::Is(_) | Want::Present | Want::SameAs(_), None) => {
                    Some("is missing".to_owned())
                }
                (Want::Absent, Some(value)) => Some(format!("is {value}, expected none")),
                (Want::SameAs(label), Some(value)) => match self.labels.get(label) {
                    Some(other) => {
                        let other = &self.forest.spans()[*other];
                        let same = other.attributes.get(name) == Some(value);
                        (!same).then(|| format!("is {value}, another one than that of {other}"))
                    }
                    None => None,
                },
                _ => None,
            };
            if let Some(wrong) = wrong {
                let wrong = super::text::clean(&wrong).into_owned();
                self.differ(
                    About::Attribute,
                    format!("{span}: attribute {name} {wrong}"),
                );
            }
        }
    }

    fn check_status(&mut self, expected: &Expected, span: &Span) {
        let error_type = span
            .attributes
            .get("error.type")
            .map(|value| value.to_string());
        let said = match (&span.status, &error_type) {
            (Status::Error(_), Some(error_type)) => format!("an error of type {error_type}"),
            (Status::Error(_), None) => "an error without error.type".to_owned(),
            _ => "no error".to_owned(),
        };
        let wanted = match &expected.status {
            WantStatus::NoError if span.is_error() => "no error",
            WantStatus::Error if !span.is_error() || error_type.is_none() => {
                "an error and its type"
            }
            WantStatus::ErrorType(wanted)
                if !span.is_error() || error_type.as_ref() != Some(wanted) =>
            {
                wanted.as_str()
            }
            _ => return,
        };
        let said = super::text::clean(&said).into_owned();
        self.differ(
            About::Status,
            format!("{span} has {said}; expected {wanted}"),
        );
    }

    fn check_links(&mut self, expected: &[LinkTo], span: &Span) {
        let mut left: Vec<SpanRef> = span.links.iter().map(|link| link.to).collect();
        for link in expected {
            let target = match link {
                LinkTo::Outside(reference) => Some(*reference),
                LinkTo::Label(label) => self
                    .labels
                    .get(label)
                    .map(|index| self.forest.spans()[*index].reference()),
            };
            // A label that was not found is a difference of its own.
            let Some(target) = target else { continue };
            match left.iter().position(|reference| *reference == target) {
                Some(position) => {
                    left.swap_remove(position);
                }
                None => self.differ(
                    About::Link,
                    format!("{span} does not link {}", self.describe(target)),
                ),
            }
        }
        for reference in left {
            self.differ(
                About::Link,
                format!(
                    "{span} links {}, which is not expected",
                    self.describe(reference)
                ),
            );
        }
    }

    fn describe(&self, reference: SpanRef) -> String {
        match self.forest.find(reference) {
            Some(index) => self.forest.spans()[index].to_string(),
            None => format!("{reference}, which was not received"),
        }
    }

    fn finish(mut self) -> Report {
        for (index, span) in self.forest.spans().iter().enumerate() {
            if self.claimed.contains(&index) {
                continue;
            }
            let place = match self.forest.parent(index) {
                Some(parent) => format!("under {}", self.forest.spans()[parent]),
                None => "at the top".to_owned(),
            };
            self.differ(About::Unexpected, format!("not expected: {span} {place}"));
        }
        for span in self.forest.duplicates() {
            self.differ(About::Duplicate, format!("received twice: {span}"));
        }
        Report {
            differences: self.differences,
            labels: self.labels,
        }
    }

    fn differ(&mut self, about: About, message: String) {
        self.differences.push(Difference { about, message });
    }

    /// The unclaimed candidate that fits best; the earliest of equals.
    fn cheapest(&self, expected: &Expected, candidates: &[usize]) -> Option<usize> {
        candidates
            .iter()
            .copied()
            .filter(|index| !self.claimed.contains(index))
            .filter(|index| is_named(expected, &self.forest.spans()[*index]))
            .min_by_key(|index| self.cost(expected, *index))
    }

    fn cost(&self, expected: &Expected, index: usize) -> usize {
        let span = &self.forest.spans()[index];
        let kind = if span.kind == expected.kind {
            0
        } else {
            COST_KIND
        };
        let wrong_values = expected.attributes.iter().filter(|(name, want)| {
            let value = span.attributes.get(name);
            match want {
                Want::Is(wanted) => value != Some(wanted),
                Want::Present | Want::SameAs(_) => value.is_none(),
                Want::Absent => value.is_some(),
            }
        });
        let children = self.forest.children(index);
        let below: usize = expected
            .children
            .iter()
            .map(|child| {
                let costs = children
                    .iter()
                    .filter(|index| is_named(child, &self.forest.spans()[**index]))
                    .map(|index| self.cost(child, *index));
                costs.min().unwrap_or(COST_CHILD)
            })
            .sum();
        kind + wrong_values.count() + below
    }
}

fn is_named(expected: &Expected, span: &Span) -> bool {
    expected.service == span.service && expected.name == span.name
}

impl fmt::Display for Top {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("as a root"),
            Self::Remote(parent) => write!(f, "under the foreign span {parent}"),
            Self::RootOrUnder(label) => write!(f, "as a root or under {label}"),
        }
    }
}
