//! Traces as one HTML page that needs nothing else: no script, no request, everything that a peer chose escaped.

mod lanes;
mod waterfall;

use std::collections::BTreeMap;
use std::fmt::Write;

use super::streams::{self, Stream};
use super::text::{duration, html};
use super::{Forest, Span};

/// What a page shows beside the traces.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its title.
    pub title: String,
    /// A sentence below the title.
    pub subtitle: String,
    /// Names and values that stand at the top.
    pub facts: Vec<(String, String)>,
    /// What the checks found wrong; none if nothing was checked.
    pub problems: Option<Vec<String>>,
    /// Things that somebody saw, each on a line of its own in the time line.
    pub sightings: Vec<Sightings>,
}

/// Things that somebody saw, with the time at which it did.
#[derive(Clone, Debug, Default)]
pub struct Sightings {
    /// Who saw what.
    pub label: String,
    /// The service whose colour they have.
    pub service: String,
    /// Each with its time in Unix nanoseconds.
    pub seen: Vec<(u64, String)>,
}

/// Renders the page.
#[must_use]
pub fn render(page: &Page, forest: &Forest) -> String {
    let streams = streams::streams(forest);
    let view = View::new(page, forest);
    let mut out = String::with_capacity(1 << 16);
    out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    out.push_str("<meta name=\"referrer\" content=\"no-referrer\">\n");
    put(
        &mut out,
        format_args!("<title>{}</title>\n", html(&page.title)),
    );
    put(
        &mut out,
        format_args!(
            "<style>\n{}</style>\n</head>\n<body>\n",
            include_str!("page.css")
        ),
    );
    out.push_str("<a class=\"skip\" href=\"#waterfall\">Skip to the waterfall</a>\n");
    header(&mut out, page, &view);
    out.push_str("<main>\n");
    waterfall::render(&mut out, &view);
    lanes::render(&mut out, page, &view, &streams);
    metrics(&mut out, &view, &streams);
    out.push_str("</main>\n<footer>Times are those of the services' own clocks. Open a span to see its attributes, events and links.</footer>\n</body>\n</html>\n");
    out
}

fn header(out: &mut String, page: &Page, view: &View<'_>) {
    let spans = view.forest.spans();
    put(
        out,
        format_args!("<header>\n<h1>{}</h1>\n", html(&page.title)),
    );
    if !page.subtitle.is_empty() {
        put(
            out,
            format_args!("<p class=\"soft\">{}</p>\n", html(&page.subtitle)),
        );
    }
    match &page.problems {
        None => {}
        Some(problems) if problems.is_empty() => {
            out.push_str("<p><span class=\"good\">✓ connected: every span is where it was expected</span></p>\n");
        }
        Some(problems) => {
            put(
                out,
                format_args!(
                    "<p><span class=\"bad\">✗ {} not as expected</span></p>\n<ul class=\"problems\">\n",
                    problems.len()
                ),
            );
            for problem in problems {
                put(out, format_args!("<li>{}</li>\n", html(problem)));
            }
            out.push_str("</ul>\n");
        }
    }
    out.push_str("<dl class=\"facts\">\n");
    let counts = [
        ("Spans", spans.len().to_string()),
        ("Services", view.services.len().to_string()),
        ("Time", duration(view.end_ns - view.start_ns)),
    ];
    for (name, value) in &page.facts {
        let class = if value.chars().count() > 24 {
            " class=\"wide\""
        } else {
            ""
        };
        put(
            out,
            format_args!(
                "<div{class}><dt>{}</dt><dd>{}</dd></div>\n",
                html(name),
                html(value)
            ),
        );
    }
    for (name, value) in counts {
        put(
            out,
            format_args!("<div><dt>{name}</dt><dd>{}</dd></div>\n", html(&value)),
        );
    }
    out.push_str("</dl>\n</header>\n");
}

fn metrics(out: &mut String, view: &View<'_>, streams: &[Stream]) {
    out.push_str("<section aria-labelledby=\"metrics\">\n<h2 id=\"metrics\">Stream metrics</h2>\n");
    out.push_str("<div class=\"card scroll\" tabindex=\"0\" role=\"region\" aria-labelledby=\"metrics\">\n<table class=\"metrics\">\n");
    out.push_str("<caption>Each direction of each stream, as each side measured it. First and last count from the start of the call, avg to max are intervals between chunks.</caption>\n<thead><tr>");
    for column in streams::COLUMNS {
        put(out, format_args!("<th scope=\"col\">{column}</th>"));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for (row, stream) in streams::rows(view.forest, streams).iter().zip(streams) {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let class = if stream.stalls > 0 && streams::COLUMNS[column] == "stalls" {
                " class=\"has-stall\""
            } else {
                ""
            };
            match column {
                0 => put(out, format_args!("<th scope=\"row\">{}</th>", html(cell))),
                _ => put(out, format_args!("<td{class}>{}</td>", html(cell))),
            }
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n</section>\n");
}

/// What all parts of the page share: the time axis and the colours.
struct View<'a> {
    forest: &'a Forest,
    start_ns: u64,
    end_ns: u64,
    services: BTreeMap<&'a str, usize>,
}

/// Number of colours in the style sheet.
const COLOURS: usize = 8;
/// Steps of the time axis, at most.
const MAX_STEPS: u64 = 8;

impl<'a> View<'a> {
    fn new(page: &'a Page, forest: &'a Forest) -> Self {
        let spans = forest.spans();
        let seen = || {
            page.sightings
                .iter()
                .flat_map(|sightings| &sightings.seen)
                .map(|(at, _)| *at)
        };
        let start_ns = spans
            .iter()
            .map(|span| span.start_ns)
            .chain(seen())
            .min()
            .unwrap_or_default();
        let end_ns = spans
            .iter()
            .map(|span| span.end_ns)
            .chain(seen())
            .max()
            .unwrap_or_default();
        // Colours in the order in which the services appear, so that neighbours in the tree differ.
        let mut services = BTreeMap::new();
        let walked = forest.walk();
        let walked = walked
            .iter()
            .map(|(index, _)| spans[*index].service.as_str());
        for service in walked.chain(page.sightings.iter().map(|s| s.service.as_str())) {
            let next = services.len();
            services.entry(service).or_insert(next);
        }
        Self {
            forest,
            start_ns,
            end_ns: end_ns.max(start_ns + 1),
            services,
        }
    }

    /// Where a time stands on the axis, in per cent.
    fn x(&self, at_ns: u64) -> f64 {
        let at = at_ns.clamp(self.start_ns, self.end_ns) - self.start_ns;
        100.0 * at as f64 / (self.end_ns - self.start_ns) as f64
    }

    fn colour(&self, service: &str) -> usize {
        self.services
            .get(service)
            .map_or(0, |index| index % COLOURS)
    }

    /// Round times for the axis, from 0.
    fn steps(&self) -> Vec<u64> {
        let span = self.end_ns - self.start_ns;
        let mut step = 1_u64;
        let factors = [2, 5, 10];
        let mut base = 1_u64;
        'found: loop {
            for factor in factors {
                if span / step <= MAX_STEPS {
                    break 'found;
                }
                step = base.saturating_mul(factor);
            }
            base = base.saturating_mul(10);
            if base == u64::MAX {
                break;
            }
        }
        (0..=span / step).map(|index| index * step).collect()
    }

    fn gridlines(&self, out: &mut String, height: u32) {
        for step in self.steps() {
            let x = self.x(self.start_ns + step);
            put(
                out,
                format_args!(
                    "<line class=\"gridline\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"0\" y2=\"{height}\"/>"
                ),
            );
        }
    }

    fn axis(&self, out: &mut String, left: &str) {
        put(
            out,
            format_args!(
                "<div class=\"axis\"><span>{left}</span><div class=\"plot-cell\"><svg class=\"plot\" height=\"26\" aria-hidden=\"true\">"
            ),
        );
        for step in self.steps() {
            let x = self.x(self.start_ns + step);
            let label = if step == 0 {
                "0".to_owned()
            } else {
                duration(step)
            };
            put(
                out,
                format_args!(
                    "<line class=\"gridline\" x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"18\" y2=\"26\"/><text x=\"{x:.2}%\" y=\"14\" dx=\"3\">{label}</text>"
                ),
            );
        }
        out.push_str("</svg></div></div>\n");
    }

    fn offset(&self, span: &Span) -> String {
        duration(span.start_ns.saturating_sub(self.start_ns))
    }
}

/// Writes into a string, which does not fail.
fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(arguments);
}
