//! Chunks of each stream on the time line, with their stalls.

use super::super::streams::Stream;
use super::super::text::{html, seconds, shortened};
use super::{Page, View, put};

/// Most marks that are drawn for a direction of a stream.
const MAX_MARKS: usize = 400;
/// Height of a lane in pixels.
const HEIGHT: u32 = 34;
/// Smallest distance between two words in a lane, in per cent of the axis per character.
const ROOM_PER_CHARACTER: f64 = 0.95;
/// Longest word that is written into a lane, in characters.
const MAX_WORD: usize = 24;

pub(super) fn render(out: &mut String, page: &Page, view: &View<'_>, streams: &[Stream]) {
    let seen = page
        .sightings
        .iter()
        .any(|sightings| !sightings.seen.is_empty());
    // A single chunk is no stream to look at; the table has it.
    let streams: Vec<&Stream> = streams.iter().filter(|stream| stream.chunks > 1).collect();
    if streams.is_empty() && !seen {
        return;
    }
    out.push_str(
        "<section aria-labelledby=\"chunks\">\n<h2 id=\"chunks\">Chunks on the time line</h2>\n",
    );
    out.push_str("<p class=\"soft\">Full marks were measured: the first and the last chunk, and those on either side of a stall. Pale marks are the chunks between them, spread evenly; the metrics below say how even they were. Directions with a single chunk are only in the table.</p>\n");
    out.push_str("<div class=\"card\">\n");
    view.axis(out, "stream, seen by");
    for sightings in page
        .sightings
        .iter()
        .filter(|sightings| !sightings.seen.is_empty())
    {
        words(
            out,
            view,
            &sightings.label,
            &sightings.service,
            &sightings.seen,
        );
    }
    for stream in streams {
        stream_lane(out, view, stream);
    }
    out.push_str("</div>\n</section>\n");
}

fn stream_lane(out: &mut String, view: &View<'_>, stream: &Stream) {
    let span = &view.forest.spans()[stream.span];
    let colour = view.colour(&span.service);
    put(
        out,
        format_args!(
            "<div class=\"row lane\"><div class=\"name\"><span class=\"swatch f{colour}\"></span><b>{}</b><span class=\"service\"><a href=\"#span-{}\">{} · {}</a>, {} chunks</span></div><div class=\"plot-cell\">",
            html(&stream.route(view.forest)),
            stream.span,
            html(&span.service),
            html(&shortened(&span.name, 40)),
            stream.chunks,
        ),
    );
    put(
        out,
        format_args!(
            "<svg class=\"plot\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{} chunks, {} stalls\">",
            stream.chunks, stream.stalls
        ),
    );
    view.gridlines(out, HEIGHT);
    for stall in &stream.stall_events {
        let interval_ns = (stall.interval.max(0.0) * 1e9) as u64;
        let from = view.x(stall.end_ns.saturating_sub(interval_ns));
        let width = (view.x(stall.end_ns) - from).max(0.0);
        let middle = from + width / 2.0;
        put(
            out,
            format_args!(
                "<rect class=\"stall\" x=\"{from:.3}%\" y=\"5\" width=\"{width:.3}%\" height=\"24\" rx=\"4\"/><text class=\"stall-text\" x=\"{middle:.3}%\" y=\"21\" text-anchor=\"middle\">stall {}</text>",
                seconds(Some(stall.interval))
            ),
        );
    }
    for arrival in stream.arrivals(MAX_MARKS) {
        let class = if arrival.measured { "" } else { " spread" };
        put(
            out,
            format_args!(
                "<line class=\"s{colour}{class}\" stroke-width=\"2\" x1=\"{0:.3}%\" x2=\"{0:.3}%\" y1=\"8\" y2=\"26\"/>",
                view.x(arrival.at_ns)
            ),
        );
    }
    out.push_str("</svg></div></div>\n");
}

fn words(out: &mut String, view: &View<'_>, label: &str, service: &str, seen: &[(u64, String)]) {
    let colour = view.colour(service);
    put(
        out,
        format_args!(
            "<div class=\"row lane\"><div class=\"name\"><span class=\"swatch f{colour}\"></span><b>{}</b><span class=\"service\">{} seen</span></div><div class=\"plot-cell\">",
            html(label),
            seen.len()
        ),
    );
    let all: Vec<&str> = seen.iter().map(|(_, text)| text.as_str()).collect();
    put(
        out,
        format_args!(
            "<svg class=\"plot\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            html(&shortened(&all.join(" "), 400))
        ),
    );
    view.gridlines(out, HEIGHT);
    let mut free_from = f64::MIN;
    for (at_ns, text) in seen.iter().take(MAX_MARKS) {
        let x = view.x(*at_ns);
        put(
            out,
            format_args!(
                "<circle class=\"f{colour}\" cx=\"{x:.3}%\" cy=\"25\" r=\"3\"><title>{}</title></circle>",
                html(text)
            ),
        );
        let word = shortened(text, MAX_WORD);
        if x >= free_from {
            free_from = x + ROOM_PER_CHARACTER * (word.chars().count() as f64 + 1.0);
            put(
                out,
                format_args!("<text x=\"{x:.3}%\" y=\"14\">{}</text>", html(&word)),
            );
        }
    }
    out.push_str("</svg></div></div>\n");
}
