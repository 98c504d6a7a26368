//! The parts that stand alone: stream metrics and carry.

use std::hint::black_box;
use std::time::Instant;

use opentelemetry::Context;
use opentelemetry::trace::TraceContextExt;
use tokio::sync::mpsc;
use wirespan::metrics::StreamMetrics;
use wirespan::otel::Carry;

use crate::measure::{Row, compare, repeated};
use crate::messages::context;

pub(crate) fn rows() -> Vec<Row> {
    vec![record_chunk(), carry()]
}

/// Records chunks as they come, with the clock and the histogram, beside reading the clock alone.
fn record_chunk() -> Row {
    let started = Instant::now();
    let now_ns = move || started.elapsed().as_nanos() as u64;
    let mut metrics = StreamMetrics::default();
    metrics.start(now_ns());
    let product = repeated(move || metrics.record_chunk(black_box(640), now_ns()));
    let idiom = repeated(now_ns);
    compare("record_chunk", "reading the clock", product, idiom).target(2.0)
}

/// An item through a channel of tokio with its context and its wait, beside the bare item.
fn carry() -> Row {
    let _current = context().attach();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let product = repeated(move || {
        sender.send((black_box(7_u64), Carry::capture())).unwrap();
        let (item, carry) = receiver.try_recv().unwrap();
        carry.run(|| (item, Context::current().has_active_span()))
    });
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let idiom = repeated(move || {
        sender.send(black_box(7_u64)).unwrap();
        (
            receiver.try_recv().unwrap(),
            Context::current().has_active_span(),
        )
    });
    compare("carry", "the bare channel of tokio", product, idiom).adds_at_most(80.0)
}
