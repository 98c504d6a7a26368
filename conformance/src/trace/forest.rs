//! Spans joined by their parents.

use std::collections::{HashMap, HashSet};

use super::{Span, SpanRef};

/// Spans of one or more traces, joined by their parents, with the children of a span in order of their start.
#[derive(Debug)]
pub struct Forest {
    spans: Vec<Span>,
    children: Vec<Vec<usize>>,
    parents: Vec<Option<usize>>,
    roots: Vec<usize>,
    by_reference: HashMap<SpanRef, usize>,
    duplicates: Vec<Span>,
}

impl Forest {
    /// Joins the spans. A span whose parent is not among them stands at the top, as a root does; of spans with the same
    /// ids the first is kept, the others are [`duplicates`](Self::duplicates).
    #[must_use]
    pub fn new(received: Vec<Span>) -> Self {
        let mut spans: Vec<Span> = Vec::with_capacity(received.len());
        let mut seen = HashSet::with_capacity(received.len());
        let mut duplicates = Vec::new();
        for span in received {
            if seen.insert(span.reference()) {
                spans.push(span);
            } else {
                duplicates.push(span);
            }
        }
        spans.sort_by_key(|span| (span.start_ns, span.end_ns));
        let by_reference: HashMap<SpanRef, usize> = spans
            .iter()
            .enumerate()
            .map(|(index, span)| (span.reference(), index))
            .collect();
        let mut parents: Vec<Option<usize>> = spans
            .iter()
            .map(|span| {
                let span_id = span.parent?;
                by_reference
                    .get(&SpanRef {
                        trace_id: span.trace_id,
                        span_id,
                    })
                    .copied()
            })
            .collect();
        cut_circles(&mut parents);
        let mut children = vec![Vec::new(); spans.len()];
        let mut roots = Vec::new();
        for (index, parent) in parents.iter().enumerate() {
            match parent {
                Some(parent) => children[*parent].push(index),
                None => roots.push(index),
            }
        }
        Self {
            spans,
            children,
            parents,
            roots,
            by_reference,
            duplicates,
        }
    }

    /// The spans, in order of their start; an index into them names a span below.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// The spans at the top: roots, and those whose parent was not received.
    #[must_use]
    pub fn roots(&self) -> &[usize] {
        &self.roots
    }

    /// The children of a span.
    #[must_use]
    pub fn children(&self, span: usize) -> &[usize] {
        self.children.get(span).map_or(&[], Vec::as_slice)
    }

    /// The parent of a span, if it was received.
    #[must_use]
    pub fn parent(&self, span: usize) -> Option<usize> {
        self.parents.get(span).copied().flatten()
    }

    /// The index of a span.
    #[must_use]
    pub fn find(&self, reference: SpanRef) -> Option<usize> {
        self.by_reference.get(&reference).copied()
    }

    /// Spans that were received again with the ids of another.
    #[must_use]
    pub fn duplicates(&self) -> &[Span] {
        &self.duplicates
    }

    /// All spans with their depth, each before its children; the traces in order of their start.
    #[must_use]
    pub fn walk(&self) -> Vec<(usize, usize)> {
        let mut order = Vec::with_capacity(self.spans.len());
        let mut stack: Vec<(usize, usize)> =
            self.roots.iter().rev().map(|root| (*root, 0)).collect();
        while let Some((span, depth)) = stack.pop() {
            order.push((span, depth));
            stack.extend(
                self.children[span]
                    .iter()
                    .rev()
                    .map(|child| (*child, depth + 1)),
            );
        }
        order
    }
}

/// Makes a root of one span of each circle of parents, so that every span is reached from a root.
fn cut_circles(parents: &mut [Option<usize>]) {
    let mut known = vec![false; parents.len()];
    for start in 0..parents.len() {
        let mut path = HashSet::new();
        let mut at = start;
        while !known[at] {
            path.insert(at);
            match parents[at] {
                Some(parent) if path.contains(&parent) => {
                    parents[at] = None;
                    break;
                }
                Some(parent) => at = parent,
                None => break,
            }
        }
        for index in path {
            known[index] = true;
        }
    }
}
