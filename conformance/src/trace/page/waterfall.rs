//! Spans over time, one a row.

use super::super::text::{duration, html};
use super::super::{Attributes, Span, SpanRef, Status};
use super::{View, put};

/// Height of a row's picture in pixels.
const HEIGHT: u32 = 26;
/// Depth from which on rows are not indented further.
const MAX_DEPTH: usize = 12;
/// Width of an indent in pixels.
const INDENT: usize = 14;

pub(super) fn render(out: &mut String, view: &View<'_>) {
    out.push_str("<section aria-labelledby=\"waterfall\">\n<h2 id=\"waterfall\">Waterfall</h2>\n");
    out.push_str("<ul class=\"legend\" aria-label=\"Services\">\n");
    let mut services: Vec<_> = view.services.iter().collect();
    services.sort_by_key(|(_, order)| **order);
    for (service, _) in services {
        put(
            out,
            format_args!(
                "<li><span class=\"swatch f{}\"></span>{}</li>\n",
                view.colour(service),
                html(service)
            ),
        );
    }
    out.push_str("</ul>\n<div class=\"card\">\n");
    view.axis(out, "service, span, kind");
    // Roots of one trace stand together; the largest trace comes first.
    let walked = view.forest.walk();
    let mut traces: Vec<(_, Vec<(usize, usize)>)> = Vec::new();
    let mut places = std::collections::HashMap::new();
    for (index, depth) in walked {
        let trace = view.forest.spans()[index].trace_id;
        let place = *places.entry(trace).or_insert(traces.len());
        if place == traces.len() {
            traces.push((trace, Vec::new()));
        }
        traces[place].1.push((index, depth));
    }
    traces.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len()));
    for (trace, rows) in traces {
        put(
            out,
            format_args!("<div class=\"trace mono\">trace {trace}</div>\n"),
        );
        for (index, depth) in rows {
            row(out, view, index, depth);
        }
    }
    out.push_str("</div>\n</section>\n");
}

fn row(out: &mut String, view: &View<'_>, index: usize, depth: usize) {
    let span = &view.forest.spans()[index];
    let colour = view.colour(&span.service);
    let indent = depth.min(MAX_DEPTH) * INDENT;
    put(
        out,
        format_args!("<details id=\"span-{index}\">\n<summary class=\"row\"><span class=\"name\">"),
    );
    put(
        out,
        format_args!("<svg width=\"{indent}\" height=\"1\" aria-hidden=\"true\"></svg>"),
    );
    out.push_str("<svg class=\"turn\" width=\"8\" height=\"10\" aria-hidden=\"true\"><path d=\"M1 1l6 4-6 4z\" fill=\"currentColor\"/></svg>");
    put(
        out,
        format_args!(
            "<span class=\"swatch f{colour}\"></span><span class=\"service\">{}</span> <b>{}</b> <span class=\"kind\">{}</span>",
            html(&span.service),
            html(&span.name),
            span.kind
        ),
    );
    if !span.links.is_empty() {
        put(
            out,
            format_args!("<span class=\"kind\">↗ {}</span>", span.links.len()),
        );
    }
    let stalls = stalls(span).count();
    if stalls > 0 {
        put(
            out,
            format_args!(
                "<span class=\"warn\">‖ stall{}</span>",
                if stalls > 1 { "s" } else { "" }
            ),
        );
    }
    if span.is_error() {
        out.push_str("<span class=\"fail\">✗ error</span>");
    }
    out.push_str("</span><span class=\"plot-cell\">");
    bar(out, view, span, colour);
    out.push_str("</span></summary>\n");
    more(out, view, index);
    out.push_str("</details>\n");
}

fn bar(out: &mut String, view: &View<'_>, span: &Span, colour: usize) {
    let (start, end) = (view.x(span.start_ns), view.x(span.end_ns));
    let took = duration(span.duration_ns());
    put(
        out,
        format_args!(
            "<svg class=\"plot\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"starts at {}, takes {took}\">",
            view.offset(span)
        ),
    );
    view.gridlines(out, HEIGHT);
    let failed = if span.is_error() { " failed" } else { "" };
    // A bar is at least two pixels wide: a stroke-less rectangle below it keeps the shortest spans in sight.
    put(
        out,
        format_args!(
            "<rect class=\"f{colour}\" x=\"{start:.3}%\" y=\"7\" width=\"2\" height=\"12\" rx=\"1\"/><rect class=\"f{colour}{failed}\" x=\"{start:.3}%\" y=\"7\" width=\"{:.3}%\" height=\"12\" rx=\"3\"/>",
            (end - start).max(0.0)
        ),
    );
    for (end_ns, interval) in stalls(span) {
        let interval_ns = (interval.max(0.0) * 1e9) as u64;
        let from = view.x(end_ns.saturating_sub(interval_ns).max(span.start_ns));
        let width = (view.x(end_ns) - from).max(0.0);
        put(
            out,
            format_args!(
                "<rect class=\"stall\" x=\"{from:.3}%\" y=\"9\" width=\"{width:.3}%\" height=\"8\" rx=\"2\"/>"
            ),
        );
    }
    // The duration stands behind the bar, before it where there is no room behind.
    if end < 94.0 || start < 8.0 {
        put(
            out,
            format_args!("<text x=\"{end:.3}%\" y=\"17\" dx=\"6\">{took}</text>"),
        );
    } else {
        put(
            out,
            format_args!(
                "<text x=\"{start:.3}%\" y=\"17\" dx=\"-6\" text-anchor=\"end\">{took}</text>"
            ),
        );
    }
    out.push_str("</svg>");
}

fn stalls(span: &Span) -> impl Iterator<Item = (u64, f64)> {
    span.events.iter().filter_map(|event| {
        Some((
            event.time_ns,
            event.attributes.number("websocket.stream.interval")?,
        ))
    })
}

fn more(out: &mut String, view: &View<'_>, index: usize) {
    let span = &view.forest.spans()[index];
    out.push_str("<div class=\"more\">\n<table>\n");
    let parent = match (span.parent, view.forest.parent(index)) {
        (_, Some(parent)) => anchor(view, view.forest.spans()[parent].reference()),
        (Some(parent), None) => format!("<code>{parent}</code>, which was not received"),
        (None, None) => "none: a root".to_owned(),
    };
    let status = match &span.status {
        Status::Unset => "Unset".to_owned(),
        Status::Ok => "Ok".to_owned(),
        Status::Error(message) if message.is_empty() => "Error".to_owned(),
        Status::Error(message) => format!("Error: {}", html(message)),
    };
    for (name, value) in [
        ("span", format!("<code>{}</code>", span.reference())),
        ("parent", parent),
        (
            "start, duration",
            format!("{}, {}", view.offset(span), duration(span.duration_ns())),
        ),
        ("status", status),
        ("flags", format!("<code>{:02x}</code>", span.flags)),
    ] {
        put(
            out,
            format_args!("<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n"),
        );
    }
    out.push_str("</table>\n");
    if !span.links.is_empty() {
        out.push_str("<h3>Links</h3>\n<ul>\n");
        for link in &span.links {
            put(out, format_args!("<li>{}</li>\n", anchor(view, link.to)));
        }
        out.push_str("</ul>\n");
    }
    if !span.attributes.is_empty() {
        out.push_str("<h3>Attributes</h3>\n");
        attributes(out, &span.attributes);
    }
    if !span.events.is_empty() {
        out.push_str("<h3>Events</h3>\n<ul>\n");
        for event in &span.events {
            let at = duration(event.time_ns.saturating_sub(view.start_ns));
            put(out, format_args!("<li>{} at {at}", html(&event.name)));
            attributes(out, &event.attributes);
            out.push_str("</li>\n");
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</div>\n");
}

fn attributes(out: &mut String, attributes: &Attributes) {
    out.push_str("<table>\n");
    for (name, value) in attributes.iter() {
        put(
            out,
            format_args!(
                "<tr><th scope=\"row\">{}</th><td class=\"mono\">{}</td></tr>\n",
                html(name),
                html(&value.to_string())
            ),
        );
    }
    out.push_str("</table>\n");
}

fn anchor(view: &View<'_>, to: SpanRef) -> String {
    match view.forest.find(to) {
        Some(index) => {
            let span = &view.forest.spans()[index];
            format!(
                "<a href=\"#span-{index}\">{} {}</a> <code>{}</code>",
                html(&span.service),
                html(&span.name),
                span.span_id
            )
        }
        None => format!("<code>{to}</code>, which was not received"),
    }
}
