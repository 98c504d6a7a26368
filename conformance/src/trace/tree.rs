//! Traces as trees for the terminal.

use super::text::{clean, duration, shortened};
use super::{Forest, Span, TraceId};

/// How a tree is drawn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Use colours of the terminal.
    pub colour: bool,
}

/// Draws all traces, each as a tree: service, span, kind, start, duration, links, and errors and stalls where there are any.
#[must_use]
pub fn draw(forest: &Forest, style: Style) -> String {
    let lines = lines(forest);
    let width = |of: fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or_default();
    let left_width = width(|line| line.left.chars().count());
    let mut out = String::new();
    let mut trace: Option<TraceId> = None;
    for line in &lines {
        let span = &forest.spans()[line.span];
        if trace != Some(span.trace_id) {
            trace = Some(span.trace_id);
            let heading = heading(forest, span.trace_id);
            out.push_str(&style.paint(BOLD, &heading));
            out.push('\n');
        }
        let pad = left_width - line.left.chars().count();
        out.push_str(&line.left[..line.prefix_bytes]);
        let colour = if span.is_error() { RED } else { CYAN };
        out.push_str(&style.paint(colour, &line.left[line.prefix_bytes..]));
        let times = format!(
            "{:>9}  {:>9}",
            format!("+{}", duration(offset_ns(forest, span))),
            duration(span.duration_ns())
        );
        out.push_str(&format!("{:pad$}  {:<8}  {times}", "", span.kind));
        for note in notes(forest, span) {
            let colour = if note.warns { YELLOW } else { DIM };
            out.push_str("  ");
            out.push_str(&style.paint(colour, &note.text));
        }
        out.push('\n');
    }
    out
}

struct Line {
    span: usize,
    left: String,
    prefix_bytes: usize,
}

fn lines(forest: &Forest) -> Vec<Line> {
    let mut lines = Vec::new();
    // Roots of one trace stand together; the traces are in order of their first span.
    let mut roots = forest.roots().to_vec();
    let position = |trace: TraceId| {
        forest
            .roots()
            .iter()
            .position(|root| forest.spans()[*root].trace_id == trace)
    };
    roots.sort_by_key(|root| position(forest.spans()[*root].trace_id));
    let mut stack: Vec<(usize, String, &'static str)> = roots
        .iter()
        .rev()
        .map(|root| (*root, String::new(), ""))
        .collect();
    while let Some((index, indent, branch)) = stack.pop() {
        let span = &forest.spans()[index];
        let prefix = format!("{indent}{branch}");
        let (service, name) = (clean(&span.service), clean(&span.name));
        let left = format!("{prefix}{}  {}", service, shortened(&name, 60));
        lines.push(Line {
            span: index,
            left,
            prefix_bytes: prefix.len(),
        });
        let below = match branch {
            // Deeper spans stand in one column: indents must not grow with what was received.
            _ if indent.len() >= MAX_INDENT_BYTES => indent,
            "├─ " => indent + "│  ",
            "└─ " => indent + "   ",
            _ => indent,
        };
        let children = forest.children(index);
        for (position, child) in children.iter().enumerate().rev() {
            let branch = if position + 1 == children.len() {
                "└─ "
            } else {
                "├─ "
            };
            stack.push((*child, below.clone(), branch));
        }
    }
    lines
}

fn heading(forest: &Forest, trace: TraceId) -> String {
    let spans: Vec<&Span> = forest
        .spans()
        .iter()
        .filter(|span| span.trace_id == trace)
        .collect();
    let mut services: Vec<&str> = spans.iter().map(|span| span.service.as_str()).collect();
    services.sort_unstable();
    services.dedup();
    let start = spans
        .iter()
        .map(|span| span.start_ns)
        .min()
        .unwrap_or_default();
    let end = spans
        .iter()
        .map(|span| span.end_ns)
        .max()
        .unwrap_or_default();
    format!(
        "trace {trace}  {}, {}, {}",
        counted(spans.len(), "span"),
        counted(services.len(), "service"),
        duration(end.saturating_sub(start)),
    )
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn offset_ns(forest: &Forest, span: &Span) -> u64 {
    let start = forest.spans().first().map_or(0, |first| first.start_ns);
    span.start_ns.saturating_sub(start)
}

struct Note {
    text: String,
    warns: bool,
}

fn notes(forest: &Forest, span: &Span) -> Vec<Note> {
    let mut notes = Vec::new();
    if forest
        .find(span.reference())
        .is_some_and(|index| forest.parent(index).is_none())
        && let Some(parent) = span.parent
    {
        notes.push(Note {
            text: format!("parent {parent} is elsewhere"),
            warns: false,
        });
    }
    for link in &span.links {
        let target = match forest.find(link.to) {
            Some(index) => {
                let to = &forest.spans()[index];
                format!(
                    "{} {} {}",
                    clean(&to.service),
                    shortened(&clean(&to.name), 40),
                    to.span_id
                )
            }
            None => link.to.to_string(),
        };
        notes.push(Note {
            text: format!("↗ {target}"),
            warns: false,
        });
    }
    for event in &span.events {
        if let Some(interval) = event.attributes.number("websocket.stream.interval") {
            let direction = event
                .attributes
                .text("websocket.stream.direction")
                .unwrap_or_default();
            let interval = super::text::seconds(Some(interval));
            notes.push(Note {
                text: format!("stall {interval} {}", clean(direction)),
                warns: true,
            });
        }
    }
    if let Some(error_type) = span.attributes.text("error.type") {
        let text = format!("error {}", shortened(&clean(error_type), 60));
        notes.push(Note { text, warns: true });
    }
    notes
}

/// Longest indent of a line.
const MAX_INDENT_BYTES: usize = 200;

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "31";
const YELLOW: &str = "33";
const CYAN: &str = "36";

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
