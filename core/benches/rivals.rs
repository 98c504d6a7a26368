//! The product beside what a user would write by hand, and beside the copy of the body: `make -C core bench`.
//!
//! Both run in one process, interleaved as A B B A, and medians are compared: ratios hold on a machine whose speed changes,
//! single times do not. Writes rows to the JSON file that is given as argument.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use wirespan::connection::{
    Accept, Connection, ContextRef, Endpoint, HandshakeRequest, Message, Options, StreamKey,
};
use wirespan::envelope::{Body, Form};
use wirespan::metrics::StreamMetrics;
use wirespan::otel::{Carry, remote_context, span_context};

const SIZES: [usize; 5] = [64, 256, 4096, 65_536, 1_048_576];
const ROUNDS: usize = 41;
/// How long one sample takes.
const SAMPLE_NS: u128 = 1_000_000;

#[derive(Serialize)]
struct Row {
    language: &'static str,
    operation: &'static str,
    size: Option<usize>,
    product_ns: f64,
    idiom: &'static str,
    idiom_ns: f64,
    ratio: f64,
    floor_ns: Option<f64>,
    floor_ratio: Option<f64>,
}

/// The hand-written envelope, with the body left as it stands.
#[derive(Serialize, Deserialize)]
struct ByHand<'a> {
    headers: HashMap<String, String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

fn main() {
    let path = std::env::args()
        .skip(1)
        .find(|argument| argument.ends_with(".json"));
    let path = path.expect("an argument names the JSON file to write");
    let mut rows = Vec::new();
    for size in SIZES {
        rows.push(encode(size));
        rows.push(decode(size));
    }
    rows.push(record_chunk());
    rows.push(carry());
    for row in &rows {
        eprintln!(
            "{:>12} {:>8} {:>10.1} ns, {:.3} of the idiom ({:.1} ns)",
            row.operation,
            row.size.map_or_else(String::new, |size| size.to_string()),
            row.product_ns,
            row.ratio,
            row.idiom_ns,
        );
    }
    std::fs::write(&path, serde_json::to_string_pretty(&rows).unwrap() + "\n").unwrap();
}

fn context() -> Context {
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes([0xab; 16]),
        SpanId::from_bytes([0xcd; 8]),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    ))
}

/// A server whose peer has announced itself.
fn connection() -> Connection {
    let request = HandshakeRequest::from_headers([("wirespan", &b"1"[..])]);
    let (accept, endpoint) = (Accept::default(), Endpoint::default());
    let mut connection =
        Connection::server(Options::default(), &request, accept, endpoint, [7; 16]).unwrap();
    connection.open_server(0).unwrap();
    connection
}

/// A JSON document of this size.
fn body(size: usize) -> Box<RawValue> {
    let filler = "The quick brown fox jumps over the lazy dog. ";
    let text: String = filler
        .chars()
        .cycle()
        .take(size - "{\"text\":\"\"}".len())
        .collect();
    RawValue::from_string(format!("{{\"text\":\"{text}\"}}")).unwrap()
}

fn by_hand(context: &Context, body: &RawValue) -> Vec<u8> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut headers);
    headers.retain(|_, value: &mut String| !value.is_empty());
    serde_json::to_vec(&ByHand { headers, body }).unwrap()
}

fn encode(size: usize) -> Row {
    let (body, context) = (body(size), context());
    let mut connection = connection();
    let product = || {
        let span = span_context(black_box(&context)).unwrap();
        let carried = ContextRef {
            trace_parent: Some(span.trace_parent),
            trace_state: span.trace_state.as_str(),
            baggage: None,
        };
        let message = Message::new(Body::Json(black_box(&body).get().as_bytes()));
        connection
            .send(StreamKey::PLAIN, message, &carried, 0)
            .unwrap()
            .to_vec()
    };
    let idiom = || by_hand(black_box(&context), black_box(&body));
    compare(
        "encode",
        Some(&body),
        "serde_json RawValue + official propagator",
        product,
        idiom,
    )
}

fn decode(size: usize) -> Row {
    let (body, context) = (body(size), context());
    let message = by_hand(&context, &body);
    let mut connection = connection();
    // The outcome of both is the body's bytes within the message, and a context of the host.
    let product = || {
        let received = connection.receive(black_box(&message), Form::Text, 0);
        let context = remote_context(&Context::new(), received.context().unwrap());
        (received.payload.bytes(&message).unwrap().len(), context)
    };
    let idiom = || {
        let opened: ByHand<'_> = serde_json::from_slice(black_box(&message)).unwrap();
        let context =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &opened.headers);
        (opened.body.get().len(), context)
    };
    compare(
        "decode",
        Some(&body),
        "serde_json RawValue + official propagator",
        product,
        idiom,
    )
}

/// What is commonly written by hand; it keeps every interval, since percentiles need them.
#[derive(Default)]
struct HandMetrics {
    chunks: u64,
    bytes: u64,
    first_ns: Option<u64>,
    last_ns: u64,
    stalls: u64,
    intervals: Vec<u64>,
}

impl HandMetrics {
    fn record_chunk(&mut self, bytes: u64, now_ns: u64) {
        self.chunks += 1;
        self.bytes += bytes;
        if self.first_ns.is_none() {
            self.first_ns = Some(now_ns);
        } else {
            let interval = now_ns - self.last_ns;
            self.stalls += u64::from(interval > 1_000_000_000);
            self.intervals.push(interval);
        }
        self.last_ns = now_ns;
    }

    fn percentiles(mut self) -> [u64; 4] {
        self.intervals.sort_unstable();
        [50, 90, 95, 99]
            .map(|percent| self.intervals[(self.intervals.len() * percent).div_ceil(100) - 1])
    }
}

fn record_chunk() -> Row {
    // Streams of a usual length: at the end of each both sides say their percentiles.
    const CHUNKS: u64 = 4096;
    let step = |n: u64| 20_000_000 + (n * 7_919) % 1_000_000;
    let (mut metrics, mut product_ns, mut product_n) = (StreamMetrics::default(), 0, 0);
    let product = || {
        product_n += 1;
        product_ns += step(product_n);
        metrics.record_chunk(black_box(640), black_box(product_ns));
        if product_n % CHUNKS == 0 {
            black_box(std::mem::take(&mut metrics).summary());
        }
    };
    let (mut hand, mut idiom_ns, mut idiom_n) = (HandMetrics::default(), 0, 0);
    let idiom = || {
        idiom_n += 1;
        idiom_ns += step(idiom_n);
        hand.record_chunk(black_box(640), black_box(idiom_ns));
        if idiom_n % CHUNKS == 0 {
            black_box(std::mem::take(&mut hand).percentiles());
        }
    };
    let by_hand = "counters and a Vec of intervals, sorted at the end";
    compare("record_chunk", None, by_hand, product, idiom)
}

fn carry() -> Row {
    let _current = context().attach();
    let product = || Carry::capture().run(|| Context::current().has_active_span());
    let idiom = || {
        let (carried, left) = black_box((Context::current(), Instant::now()));
        let wait = left.elapsed().as_secs_f64();
        carried
            .span()
            .set_attribute(KeyValue::new("queue.wait", wait));
        let _current = carried.attach();
        Context::current().has_active_span()
    };
    compare(
        "carry",
        None,
        "Context and Instant beside the item",
        product,
        idiom,
    )
}

fn compare<A, B>(
    operation: &'static str,
    body: Option<&RawValue>,
    idiom_name: &'static str,
    mut product: impl FnMut() -> A,
    mut idiom: impl FnMut() -> B,
) -> Row {
    let (product_times, idiom_times) = (calibrated(&mut product), calibrated(&mut idiom));
    let (mut product_ns, mut idiom_ns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        product_ns.push(sample(&mut product, product_times));
        idiom_ns.push(sample(&mut idiom, idiom_times));
        idiom_ns.push(sample(&mut idiom, idiom_times));
        product_ns.push(sample(&mut product, product_times));
    }
    let (product_ns, idiom_ns) = (median(product_ns), median(idiom_ns));
    let floor_ns = body.map(|body| {
        let mut copy = || black_box(body).get().as_bytes().to_vec();
        let times = calibrated(&mut copy);
        median((0..ROUNDS).map(|_| sample(&mut copy, times)).collect())
    });
    Row {
        language: "rust",
        operation,
        size: body.map(|body| body.get().len()),
        product_ns,
        idiom: idiom_name,
        idiom_ns,
        ratio: product_ns / idiom_ns,
        floor_ns,
        floor_ratio: floor_ns.map(|floor| product_ns / floor),
    }
}

/// How often to run something in one sample.
fn calibrated<T>(run: &mut impl FnMut() -> T) -> u32 {
    let mut times = 1;
    loop {
        let started = Instant::now();
        for _ in 0..times {
            black_box(run());
        }
        if started.elapsed().as_nanos() >= SAMPLE_NS || times >= 1 << 24 {
            return times;
        }
        times *= 2;
    }
}

fn sample<T>(run: &mut impl FnMut() -> T, times: u32) -> f64 {
    let started = Instant::now();
    for _ in 0..times {
        black_box(run());
    }
    started.elapsed().as_nanos() as f64 / f64::from(times)
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}
