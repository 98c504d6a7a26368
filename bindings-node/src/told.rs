//! What JavaScript has been told before. Most calls of a connection have the same plan and end with the same attributes but for
//! their numbers, and a number in an array costs a fraction of what it costs in JSON. Each connection remembers a few of both, at
//! places that `lib/connection.js` mirrors; what differs is told as JSON and remembered in the place of the oldest.

use wirespan::connection::{Attribute, IncomingStream, Parent, Plan, Received, Value};
use wirespan::envelope::Kind;

use crate::convert;

/// Things of one kind that a connection remembers.
const PLACES: usize = 8;

/// The few things that were told last.
pub(crate) struct Told<T> {
    things: Vec<T>,
    oldest: usize,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self {
            things: Vec::new(),
            oldest: 0,
        }
    }
}

/// Where a thing is remembered.
pub(crate) enum Place {
    /// JavaScript knows it.
    Known(usize),
    /// It is told now, and JavaScript is to remember it.
    New(usize),
}

impl<T> Told<T> {
    /// Finds a thing, or remembers what `make` makes.
    fn place(&mut self, is_it: impl Fn(&T) -> bool, make: impl FnOnce() -> T) -> Place {
        if let Some(at) = self.things.iter().position(is_it) {
            return Place::Known(at);
        }
        let at = self.oldest;
        self.oldest = (at + 1) % PLACES;
        match self.things.get_mut(at) {
            Some(thing) => *thing = make(),
            None => self.things.push(make()),
        }
        Place::New(at)
    }
}

/// A plan, and what opened the stream if that was the peer.
pub(crate) struct ToldPlan {
    plan: Plan,
    opened: Option<(Kind, Option<Box<str>>, bool)>,
}

impl Told<ToldPlan> {
    /// The place of the plan of an own stream.
    pub(crate) fn own(&mut self, plan: &Plan) -> Place {
        self.place(
            |told| told.opened.is_none() && is_like(&told.plan, plan),
            || ToldPlan {
                plan: plan.clone(),
                opened: None,
            },
        )
    }

    /// The place of what a message opens; none if its parent is not the context that the message came with, which JavaScript is
    /// told anyway.
    pub(crate) fn incoming(
        &mut self,
        opened: &IncomingStream,
        received: &Received<'_>,
    ) -> Option<Place> {
        if let Parent::Remote(span) = &opened.plan.parent
            && received.context() != Some(span)
        {
            return None;
        }
        let is_it = |told: &ToldPlan| {
            told.opened
                .as_ref()
                .is_some_and(|(kind, method, registered)| {
                    (*kind, *registered) == (opened.kind, opened.registered)
                        && *method == opened.method
                })
                && is_like(&told.plan, &opened.plan)
        };
        let make = || ToldPlan {
            plan: opened.plan.clone(),
            opened: Some((opened.kind, opened.method.clone(), opened.registered)),
        };
        Some(self.place(is_it, make))
    }
}

/// Whether two plans differ in nothing but the number of their span and the remote span that is their parent.
fn is_like(a: &Plan, b: &Plan) -> bool {
    std::mem::discriminant(&a.parent) == std::mem::discriminant(&b.parent)
        && a.kind == b.kind
        && a.name == b.name
        && a.attributes == b.attributes
        && a.links == b.links
}

impl Told<Vec<Attribute>> {
    /// The place of attributes; none if there are more than `most`, or some that cannot be told as numbers.
    pub(crate) fn attributes(&mut self, attributes: &[Attribute], most: usize) -> Option<Place> {
        if attributes.len() > most || !attributes.iter().all(is_tellable) {
            return None;
        }
        Some(self.place(
            |told| {
                told.len() == attributes.len() && told.iter().zip(attributes).all(differs_in_number)
            },
            || attributes.to_vec(),
        ))
    }
}

/// Whether two attributes differ in nothing but a number.
fn differs_in_number((a, b): (&Attribute, &Attribute)) -> bool {
    a.key == b.key
        && match (&a.value, &b.value) {
            (Value::Str(a), Value::Str(b)) => a == b,
            (Value::Str(_), _) | (_, Value::Str(_)) => false,
            _ => true,
        }
}

/// JSON has no number that is not finite.
fn is_tellable(attribute: &Attribute) -> bool {
    matches!(&attribute.value, Value::Str(_))
        || convert::number(&attribute.value).is_some_and(f64::is_finite)
}
