//! The base-2 exponential histogram of OTLP: bucket `i` holds the values in `(base^i, base^(i + 1)]`, where `base` is
//! `2^(2^-scale)`.

/// The scale to begin with: 32 buckets for each doubling.
const MAX_SCALE: u8 = 5;
const BUCKETS_PER_DOUBLING: usize = 1 << MAX_SCALE;
/// A million to one is not quite 20 doublings, or 638 buckets and a part of one at each end.
const BUCKETS: usize = 20 * BUCKETS_PER_DOUBLING;

/// How many values fell into each bucket, at a memory that never grows.
///
/// Values are whole numbers. The window of buckets lies where the values are; when they spread over more than it can hold,
/// neighbouring buckets are joined and the scale goes down by one, which doubles the relative error.
#[derive(Clone, Debug)]
pub struct Histogram {
    scale: u8,
    /// Lowest and highest bucket in use; `low > high` while there is none.
    low: i32,
    high: i32,
    zeros: u64,
    /// Bucket `i` stands at `slot(i)`: a ring, so that the window moves without copying. Apart from the rest, which every value
    /// needs and which is beside the sums so: among many streams each line of memory has to be fetched.
    counts: Box<[u32; BUCKETS]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            scale: MAX_SCALE,
            low: i32::MAX,
            high: i32::MIN,
            zeros: 0,
            counts: Box::new([0; BUCKETS]),
        }
    }
}

impl Histogram {
    /// The relative error of a percentile as long as the values spread over no more than a million to one:
    /// `2^(1/64) - 1`.
    pub const RELATIVE_ERROR: f64 = 0.010_889_286_051_700_475;

    /// Adds a value.
    pub fn record(&mut self, value: u64) {
        if value == 0 {
            self.zeros = self.zeros.saturating_add(1);
            return;
        }
        let mut index = index_at_max_scale(value) >> (MAX_SCALE - self.scale);
        if index < self.low || index > self.high {
            self.widen(index, index);
            index = index_at_max_scale(value) >> (MAX_SCALE - self.scale);
        }
        let count = &mut self.counts[slot(index)];
        *count = count.saturating_add(1);
    }

    /// Adds the values of another histogram, after scaling down to the coarser of both.
    pub fn merge(&mut self, other: &Self) {
        self.zeros = self.zeros.saturating_add(other.zeros);
        if other.low > other.high {
            return;
        }
        while self.scale > other.scale {
            self.scale_down();
        }
        let shift = other.scale - self.scale;
        self.widen(other.low >> shift, other.high >> shift);
        let shift = other.scale - self.scale;
        for index in other.low..=other.high {
            let count = &mut self.counts[slot(index >> shift)];
            *count = count.saturating_add(other.counts[slot(index)]);
        }
    }

    /// The value at rank `ceil(percent / 100 * n)`, within the relative error; absent without values.
    #[must_use]
    pub fn percentile(&self, percent: u8) -> Option<f64> {
        let total = self
            .buckets()
            .map(|(_, count)| u128::from(count))
            .sum::<u128>()
            + u128::from(self.zeros);
        if total == 0 {
            return None;
        }
        let rank = (total * u128::from(percent)).div_ceil(100).clamp(1, total);
        let mut seen = u128::from(self.zeros);
        if rank <= seen {
            return Some(0.0);
        }
        for (index, count) in self.buckets() {
            seen += u128::from(count);
            if rank <= seen {
                return Some(self.middle(index));
            }
        }
        None
    }

    /// The largest relative error of a percentile at the current scale.
    #[must_use]
    pub fn relative_error(&self) -> f64 {
        f64::exp2(0.5 / f64::from(1_u32 << self.scale)) - 1.0
    }

    /// The scale of OTLP: there are `2^scale` buckets for each doubling.
    #[must_use]
    pub fn scale(&self) -> u8 {
        self.scale
    }

    /// How many values are 0; they have no bucket.
    #[must_use]
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The buckets in use with their counts, from the lowest to the highest, empty ones between them included. A count that
    /// reaches `u32::MAX` stays there.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u32)> + '_ {
        (self.low..=self.high).map(|index| (index, self.counts[slot(index)]))
    }

    /// The geometric middle of a bucket, from which its ends are equally far in proportion.
    fn middle(&self, index: i32) -> f64 {
        f64::exp2((f64::from(index) + 0.5) / f64::from(1_u32 << self.scale))
    }

    /// Makes room for buckets, given at the current scale; the scale may be lower afterwards.
    fn widen(&mut self, mut low: i32, mut high: i32) {
        if self.low <= self.high {
            low = low.min(self.low);
            high = high.max(self.high);
        }
        while high.abs_diff(low) as usize >= BUCKETS {
            self.scale_down();
            (low, high) = (low >> 1, high >> 1);
        }
        (self.low, self.high) = (low, high);
    }

    /// Joins each two neighbouring buckets. All 64-bit values fit at scale 3, so the scale never gets below that.
    fn scale_down(&mut self) {
        let mut joined = Box::new([0; BUCKETS]);
        for (index, count) in self.buckets() {
            let sum: &mut u32 = &mut joined[slot(index >> 1)];
            *sum = sum.saturating_add(count);
        }
        self.counts = joined;
        self.scale -= 1;
        if self.low <= self.high {
            (self.low, self.high) = (self.low >> 1, self.high >> 1);
        }
    }
}

/// Where a bucket stands in the ring. The lowest bucket of a whole number is -1, that of the value 1.
fn slot(index: i32) -> usize {
    (index + 1).unsigned_abs() as usize % BUCKETS
}

/// The bucket of a value that is not 0, at the highest scale. Exact: no logarithm is rounded.
fn index_at_max_scale(value: u64) -> i32 {
    let doublings = value.ilog2();
    let mantissa = value << (u64::BITS - 1 - doublings);
    // The six bits behind the leading one name a slice that is narrower than any bucket, so it holds at most one boundary.
    let guess = GUESS[(mantissa >> 57 & 63) as usize];
    let within = i32::from(guess) + i32::from(mantissa > BOUNDARY[usize::from(guess) + 1]);
    // A power of two is the top of the bucket below.
    (doublings as i32) * BUCKETS_PER_DOUBLING as i32 + within - i32::from(mantissa == 1 << 63)
}

/// `2^(63 + i/32)`, rounded down; the last one saturates.
const BOUNDARY: [u64; BUCKETS_PER_DOUBLING + 1] = boundaries();
/// The bucket in which a slice of mantissas begins.
const GUESS: [u8; 64] = guesses();

/// Each boundary is the geometric mean of two that are equally far from it.
const fn boundaries() -> [u64; BUCKETS_PER_DOUBLING + 1] {
    let mut wide = [0_u128; BUCKETS_PER_DOUBLING + 1];
    wide[0] = 1 << 63;
    wide[BUCKETS_PER_DOUBLING] = 1 << 64;
    let mut step = BUCKETS_PER_DOUBLING / 2;
    while step > 0 {
        let mut i = step;
        while i < BUCKETS_PER_DOUBLING {
            wide[i] = (wide[i - step] * wide[i + step]).isqrt();
            i += 2 * step;
        }
        step /= 2;
    }
    let mut narrow = [u64::MAX; BUCKETS_PER_DOUBLING + 1];
    let mut i = 0;
    while i < BUCKETS_PER_DOUBLING {
        narrow[i] = wide[i] as u64;
        i += 1;
    }
    narrow
}

const fn guesses() -> [u8; 64] {
    let boundary = boundaries();
    let mut guess = [0; 64];
    let mut slice = 0;
    while slice < 64 {
        let start = (64 + slice as u64) << 57;
        let mut bucket = 0;
        while boundary[bucket + 1] < start {
            bucket += 1;
        }
        guess[slice] = bucket as u8;
        slice += 1;
    }
    guess
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_is_at_most_3_kib() {
        assert!(
            size_of::<Histogram>() <= 3 * 1024 - 256,
            "{}",
            size_of::<Histogram>()
        );
    }

    #[test]
    fn boundaries_are_powers_of_the_base() {
        for (i, boundary) in BOUNDARY.iter().enumerate() {
            let exact = f64::exp2(63.0 + i as f64 / 32.0);
            assert!((*boundary as f64 / exact - 1.0).abs() < 1e-15, "{i}");
        }
    }

    #[test]
    fn a_bucket_excludes_its_lower_end_and_includes_its_upper_end() {
        assert_eq!(index_at_max_scale(1), -1);
        assert_eq!(index_at_max_scale(2), 31);
        assert_eq!(index_at_max_scale(3), 50, "log2(3) * 32 = 50.7");
        assert_eq!(index_at_max_scale(1 << 20), 639);
        assert_eq!(index_at_max_scale((1 << 20) + 1), 640);
        assert_eq!(index_at_max_scale(u64::MAX), 2047);
    }

    #[test]
    fn the_bucket_of_a_value_agrees_with_the_logarithm() {
        let mut value = 3_u64;
        while value < 1 << 50 {
            for near in [value - 1, value, value + 1] {
                let exact = (near as f64).log2() * 32.0;
                // Where the logarithm is too near to a whole number to tell, the integers decide.
                if (exact - exact.round()).abs() > 1e-9 {
                    assert_eq!(index_at_max_scale(near), exact.ceil() as i32 - 1, "{near}");
                }
            }
            value += value / 97 + 1;
        }
    }

    #[test]
    fn a_million_to_one_keeps_the_scale() {
        for lowest in [1, 7, 1000, 123_456_789] {
            let mut histogram = Histogram::default();
            histogram.record(lowest * 1_000_000);
            histogram.record(lowest);
            assert_eq!(histogram.scale(), MAX_SCALE, "from {lowest}");
            assert_eq!(histogram.relative_error(), Histogram::RELATIVE_ERROR);
        }
    }

    #[test]
    fn beyond_a_million_to_one_the_scale_goes_down_and_the_error_is_stated() {
        let mut histogram = Histogram::default();
        for value in [1, 1 << 21, 1 << 21] {
            histogram.record(value);
        }
        assert_eq!(histogram.scale(), 4);
        assert!((histogram.relative_error() - 0.0219).abs() < 1e-4);
        histogram.record(u64::MAX);
        assert_eq!(histogram.scale(), 3);
        assert_eq!(histogram.buckets().map(|(_, count)| count).sum::<u32>(), 4);
        let median = histogram.percentile(50).unwrap();
        assert!((median / f64::from(1 << 21) - 1.0).abs() <= histogram.relative_error());
    }

    #[test]
    fn zeros_have_a_count_of_their_own() {
        let mut histogram = Histogram::default();
        for value in [0, 0, 0, 1000] {
            histogram.record(value);
        }
        assert_eq!((histogram.zeros(), histogram.buckets().count()), (3, 1));
        assert_eq!(histogram.percentile(75), Some(0.0));
        assert!(histogram.percentile(76).unwrap() > 980.0);
    }

    #[test]
    fn nothing_recorded_has_no_percentile() {
        assert_eq!(Histogram::default().percentile(50), None);
        let mut merged = Histogram::default();
        merged.merge(&Histogram::default());
        assert_eq!(merged.percentile(99), None);
    }
}
