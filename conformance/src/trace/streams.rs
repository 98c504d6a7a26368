//! The stream metrics that spans carry.

use super::text::{self, clean, shortened};
use super::{Forest, Kind, Span};

/// One direction of a stream, as one side measured it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Stream {
    /// The span that carries it, as an index into the forest.
    pub span: usize,
    /// The direction, seen from the service of the span.
    pub direction: Direction,
    /// How the stream ended.
    pub outcome: String,
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of all chunks.
    pub bytes: u64,
    /// Seconds to the first chunk.
    pub first: Option<f64>,
    /// Seconds to the last chunk.
    pub last: Option<f64>,
    /// Chunks per second.
    pub rate: Option<f64>,
    /// Intervals between chunks, in seconds.
    pub interval: Intervals,
    /// Number of stalls.
    pub stalls: u64,
    /// Sum of the stalls in seconds.
    pub stall_time: Option<f64>,
    /// The stalls that have an event.
    pub stall_events: Vec<Stall>,
    start_ns: u64,
}

/// Away from the service of the span, or to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Away from it.
    Sent,
    /// To it.
    Received,
}

/// Intervals between chunks, in seconds.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct Intervals {
    /// Average.
    pub avg: Option<f64>,
    /// Shortest.
    pub min: Option<f64>,
    /// Longest.
    pub max: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 95th percentile.
    pub p95: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
}

/// An interval that was much too long.
#[derive(Clone, Copy, Debug)]
pub struct Stall {
    /// When it ended, Unix nanoseconds.
    pub end_ns: u64,
    /// How long it was, in seconds.
    pub interval: f64,
    /// The chunk that ended it, counted from 0.
    pub chunk: u64,
}

/// A chunk on the time line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When it came or went, Unix nanoseconds.
    pub at_ns: u64,
    /// Whether that time was measured; else it is spread evenly between two that were.
    pub measured: bool,
}

impl Direction {
    /// As in the names of attributes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// All streams of a forest, in the order in which the tree shows them.
#[must_use]
pub fn streams(forest: &Forest) -> Vec<Stream> {
    let spans = forest.walk().into_iter();
    spans
        .flat_map(|(index, _)| {
            let span = &forest.spans()[index];
            [Direction::Sent, Direction::Received]
                .into_iter()
                .filter_map(move |direction| Stream::of(index, span, direction))
        })
        .collect()
}

impl Stream {
    fn of(index: usize, span: &Span, direction: Direction) -> Option<Self> {
        let name = |last: &str| format!("websocket.stream.{}.{last}", direction.name());
        let number = |last: &str| span.attributes.number(&name(last));
        let count = |last: &str| {
            span.attributes
                .int(&name(last))
                .and_then(|number| u64::try_from(number).ok())
        };
        let stall_events = span.events.iter().filter_map(|event| {
            let of_direction =
                event.attributes.text("websocket.stream.direction") == Some(direction.name());
            (event.name == "websocket.stream.stall" && of_direction).then_some(())?;
            let chunk = event.attributes.int("websocket.stream.chunk")?;
            Some(Stall {
                end_ns: event.time_ns,
                interval: event.attributes.number("websocket.stream.interval")?,
                chunk: u64::try_from(chunk).ok()?,
            })
        });
        Some(Self {
            span: index,
            direction,
            outcome: span
                .attributes
                .text("websocket.stream.outcome")
                .unwrap_or_default()
                .to_owned(),
            chunks: count("chunks")?,
            bytes: count("bytes").unwrap_or_default(),
            first: number("time_to_first_chunk"),
            last: number("time_to_last_chunk"),
            rate: number("rate"),
            interval: Intervals {
                avg: number("interval.avg"),
                min: number("interval.min"),
                max: number("interval.max"),
                p50: number("interval.p50"),
                p90: number("interval.p90"),
                p95: number("interval.p95"),
                p99: number("interval.p99"),
            },
            stalls: count("stalls").unwrap_or_default(),
            stall_time: number("stall_time"),
            stall_events: stall_events.collect(),
            start_ns: span.start_ns,
        })
    }

    /// The chunks on the time line, at most `max`: the first, the last and those around a stall at the measured times, the
    /// others spread evenly between them. Times count from the start of the span.
    #[must_use]
    pub fn arrivals(&self, max: usize) -> Vec<Arrival> {
        let at = |seconds: f64| {
            self.start_ns
                .saturating_add((seconds.max(0.0) * 1e9) as u64)
        };
        let (Some(first), Some(last), 1..) = (self.first, self.last, self.chunks) else {
            return Vec::new();
        };
        // The measured points, in order of their chunks; a time never goes back.
        let mut known: Vec<(u64, u64)> = vec![(0, at(first))];
        let mut push = |chunk: u64, time: u64| {
            let (last_chunk, last_time) = known[known.len() - 1];
            if chunk > last_chunk && chunk < self.chunks {
                known.push((chunk, time.max(last_time)));
            }
        };
        let end = at(last);
        for stall in &self.stall_events {
            let interval_ns = (stall.interval.max(0.0) * 1e9) as u64;
            let end_ns = stall.end_ns.min(end);
            push(
                stall.chunk.saturating_sub(1),
                end_ns.saturating_sub(interval_ns),
            );
            push(stall.chunk, end_ns);
        }
        push(self.chunks - 1, end);

        let step = self.chunks.div_ceil(max.max(2) as u64).max(1);
        let mut arrivals = vec![Arrival {
            at_ns: known[0].1,
            measured: true,
        }];
        for pair in known.windows(2) {
            let [(from, from_ns), (to, to_ns)] = [pair[0], pair[1]];
            let mut chunk = from + step;
            while chunk < to {
                let part = (chunk - from) as f64 / (to - from) as f64;
                let at_ns = from_ns + ((to_ns - from_ns) as f64 * part) as u64;
                arrivals.push(Arrival {
                    at_ns,
                    measured: false,
                });
                chunk += step;
            }
            arrivals.push(Arrival {
                at_ns: to_ns,
                measured: true,
            });
        }
        arrivals
    }

    /// Who sends to whom: `gateway → kitchen`. The other side is known where its span is parent or child of this one.
    #[must_use]
    pub fn route(&self, forest: &Forest) -> String {
        let span = &forest.spans()[self.span];
        let peer =
            peer(forest, self.span).map_or("?", |peer| forest.spans()[peer].service.as_str());
        match self.direction {
            Direction::Sent => format!("{} → {peer}", span.service),
            Direction::Received => format!("{peer} → {}", span.service),
        }
    }
}

/// The span of the other side of a call.
#[must_use]
pub fn peer(forest: &Forest, span: usize) -> Option<usize> {
    match forest.spans()[span].kind {
        Kind::Server | Kind::Consumer => forest.parent(span),
        Kind::Client | Kind::Producer => forest
            .children(span)
            .iter()
            .copied()
            .find(|child| matches!(forest.spans()[*child].kind, Kind::Server | Kind::Consumer)),
        _ => None,
    }
}

/// The columns of [`rows`].
pub const COLUMNS: [&str; 15] = [
    "stream", "seen by", "method", "chunks", "bytes", "first", "last", "rate", "avg", "p50", "p95",
    "p99", "max", "stalls", "outcome",
];

/// A row of text for each stream, under [`COLUMNS`].
#[must_use]
pub fn rows(forest: &Forest, streams: &[Stream]) -> Vec<[String; 15]> {
    let row = |stream: &Stream| {
        let span = &forest.spans()[stream.span];
        let stalls = match stream.stalls {
            0 => "–".to_owned(),
            count => format!("{count} ({})", text::seconds(stream.stall_time)),
        };
        [
            clean(&stream.route(forest)).into_owned(),
            clean(&span.service).into_owned(),
            shortened(&clean(&span.name), 40).into_owned(),
            stream.chunks.to_string(),
            text::bytes(stream.bytes),
            text::seconds(stream.first),
            text::seconds(stream.last),
            stream
                .rate
                .map_or_else(|| "–".to_owned(), |rate| format!("{rate:.1}/s")),
            text::seconds(stream.interval.avg),
            text::seconds(stream.interval.p50),
            text::seconds(stream.interval.p95),
            text::seconds(stream.interval.p99),
            text::seconds(stream.interval.max),
            stalls,
            clean(&stream.outcome).into_owned(),
        ]
    };
    streams.iter().map(row).collect()
}

/// A table for the terminal, with a line below for each stall.
#[must_use]
pub fn table(forest: &Forest, streams: &[Stream]) -> String {
    let rows = rows(forest, streams);
    let header = COLUMNS.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows
            .iter()
            .chain([&header])
            .map(|row| row[column].chars().count());
        cells.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..COLUMNS.len()).map(width).collect();
    let mut out = String::new();
    for row in [&header].into_iter().chain(&rows) {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                // Numbers stand on the right.
                if (3..13).contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
        let line: Vec<String> = cells.collect();
        out.push_str(line.join("  ").trim_end());
        out.push('\n');
    }
    for stream in streams {
        for stall in &stream.stall_events {
            let span = &forest.spans()[stream.span];
            out.push_str(&format!(
                "stall: {} waited {} before chunk {} of {} (seen by {}, {})\n",
                clean(&stream.route(forest)),
                text::seconds(Some(stall.interval)),
                stall.chunk + 1,
                stream.chunks,
                clean(&span.service),
                shortened(&clean(&span.name), 40),
            ));
        }
    }
    out
}
