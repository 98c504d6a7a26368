//! How things are compared: in one process, interleaved as A B B A, by the time that the thread computes.

use std::hint::black_box;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

const ROUNDS: usize = 41;
/// How long one sample takes.
const SAMPLE_NS: f64 = 1_000_000.0;

/// A figure of the report. Times are nanoseconds for one message.
#[derive(Serialize)]
pub(crate) struct Row {
    language: &'static str,
    pub(crate) operation: &'static str,
    /// Bytes of the body.
    pub(crate) size: Option<usize>,
    pub(crate) form: Option<&'static str>,
    pub(crate) peer: Option<&'static str>,
    product_ns: f64,
    product_quartiles: [f64; 2],
    idiom: &'static str,
    idiom_ns: f64,
    idiom_quartiles: [f64; 2],
    pub(crate) ratio: f64,
    /// The copy of the body alone.
    floor_ns: Option<f64>,
    floor_ratio: Option<f64>,
    /// The largest ratio to the idiom that is good enough.
    target: Option<f64>,
    met: Option<bool>,
}

impl Row {
    pub(crate) fn of(mut self, form: &'static str, peer: &'static str, size: usize) -> Self {
        (self.form, self.peer, self.size) = (Some(form), Some(peer), Some(size));
        self
    }

    pub(crate) fn target(mut self, target: f64) -> Self {
        self.target = Some(target);
        self.met = Some(self.ratio <= target);
        self
    }

    /// Sets the target as nanoseconds on top of the idiom.
    pub(crate) fn adds_at_most(self, ns: f64) -> Self {
        let target = 1.0 + ns / self.idiom_ns;
        self.target(target)
    }

    /// Adds the time that copying a body takes.
    pub(crate) fn floor(mut self, body: &[u8]) -> Self {
        let mut copy = repeated(|| black_box(body).to_vec());
        let floor = median(&mut (0..ROUNDS).map(|_| copy()).collect::<Vec<_>>());
        self.floor_ns = Some(floor);
        self.floor_ratio = Some(self.product_ns / floor);
        self
    }

    pub(crate) fn line(&self) -> String {
        let words = [Some(self.operation), self.form, self.peer];
        let what: Vec<_> = words.into_iter().flatten().collect();
        let size = self
            .size
            .map_or_else(String::new, |bytes| bytes.to_string());
        let target = match (self.target, self.met) {
            (Some(target), Some(met)) => {
                format!("  {} {target:.2}", if met { "<=" } else { "ABOVE" })
            }
            _ => String::new(),
        };
        format!(
            "{:<34}{size:>8}{:>12.1} ns  {:.3} of {} ({:.1} ns){target}",
            what.join(" "),
            self.product_ns,
            self.ratio,
            self.idiom,
            self.idiom_ns,
        )
    }
}

/// Compares two ways: each call of one takes a sample and gives the nanoseconds of one message.
pub(crate) fn compare(
    operation: &'static str,
    idiom_name: &'static str,
    mut product: impl FnMut() -> f64,
    mut idiom: impl FnMut() -> f64,
) -> Row {
    // The first of each warms up.
    let _ = (product(), idiom());
    let (mut product_ns, mut idiom_ns) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        product_ns.push(product());
        idiom_ns.push(idiom());
        idiom_ns.push(idiom());
        product_ns.push(product());
    }
    let (product, idiom) = (median(&mut product_ns), median(&mut idiom_ns));
    Row {
        language: "rust",
        operation,
        size: None,
        form: None,
        peer: None,
        product_ns: product,
        product_quartiles: quartiles(&product_ns),
        idiom: idiom_name,
        idiom_ns: idiom,
        idiom_quartiles: quartiles(&idiom_ns),
        ratio: product / idiom,
        floor_ns: None,
        floor_ratio: None,
        target: None,
        met: None,
    }
}

/// Samples something that can be repeated at will.
pub(crate) fn repeated<T>(mut run: impl FnMut() -> T) -> impl FnMut() -> f64 {
    let mut sample = move |times: u32| {
        timed(|| {
            for _ in 0..times {
                black_box(run());
            }
        })
    };
    let mut times = 1;
    while sample(times) < SAMPLE_NS && times < 1 << 24 {
        times *= 2;
    }
    move || sample(times) / f64::from(times)
}

/// The nanoseconds for which this thread computed.
pub(crate) fn timed(run: impl FnOnce()) -> f64 {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let started = now();
    run();
    now() - started
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn quartiles(sorted: &[f64]) -> [f64; 2] {
    [sorted[sorted.len() / 4], sorted[sorted.len() * 3 / 4]]
}
