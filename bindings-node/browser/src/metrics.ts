export type Outcome = 'complete' | 'cancelled' | 'error' | 'abandoned';

export interface MetricsOptions {
  /** Nanoseconds above which an interval can be a stall. */
  stall_threshold?: number;
  skip_empty_first?: boolean;
}

export type Summary = Record<string, number | string>;

/** An interval that was a stall: the chunk that ended it (from 0), the interval and the reading, both in nanoseconds. */
export interface Stall {
  chunk: number;
  interval: number;
  at: number;
}

const MAX_BUCKETS = 640;
const MAX_STALL_EVENTS = 32;

/** The base-2 exponential histogram of whole nanoseconds (SM-12, SM-13). */
class Histogram {
  scale = 5;
  zeros = 0;
  count = 0;
  readonly buckets = new Map<number, number>();

  record(value: number): void {
    this.count++;
    if (value) this.add(bucketOf(value, this.scale), 1);
    else this.zeros++;
  }

  merge(other: Histogram): void {
    while (this.scale > other.scale) this.scaleDown();
    this.count += other.count;
    this.zeros += other.zeros;
    for (const [index, n] of other.buckets) this.add(Math.floor(index / 2 ** (other.scale - this.scale)), n);
  }

  percentile(p: number, min: number, max: number): number {
    let rank = Math.max(Math.ceil((p * this.count) / 100), 1) - this.zeros;
    if (rank <= 0) return 0;
    for (const index of [...this.buckets.keys()].sort((a, b) => a - b)) {
      rank -= this.buckets.get(index) as number;
      if (rank <= 0) return Math.min(Math.max(2 ** ((index + 0.5) / 2 ** this.scale), min), max);
    }
    return max;
  }

  get error(): number {
    return 2 ** (0.5 / 2 ** this.scale) - 1;
  }

  private add(index: number, n: number): void {
    let at = index;
    while (!this.fits(at)) {
      this.scaleDown();
      at = Math.floor(at / 2);
    }
    this.buckets.set(at, (this.buckets.get(at) ?? 0) + n);
  }

  private fits(index: number): boolean {
    let low = index;
    let high = index;
    if (this.buckets.has(index)) return true;
    for (const used of this.buckets.keys()) {
      low = Math.min(low, used);
      high = Math.max(high, used);
    }
    return high - low < MAX_BUCKETS;
  }

  private scaleDown(): void {
    const old = [...this.buckets];
    this.buckets.clear();
    this.scale--;
    for (const [index, n] of old) {
      const half = Math.floor(index / 2);
      this.buckets.set(half, (this.buckets.get(half) ?? 0) + n);
    }
  }
}

/** `ceil(log2(v) * 2^s) - 1`. Only a power of two lies on a bound, and `Math.log2` is exact there. */
function bucketOf(value: number, scale: number): number {
  return Math.ceil(Math.log2(value) * 2 ** scale) - 1;
}

/** Measures one direction of a stream. Times are readings of a monotonic clock in whole nanoseconds. */
export class StreamMetrics {
  readonly stallEvents: Stall[] = [];
  clockBack = 0;
  private readonly histogram = new Histogram();
  private readonly threshold: number;
  private skipping: boolean;
  private started: number | undefined;
  private first = 0;
  private last = 0;
  private chunks = 0;
  private bytes = 0;
  private sum = 0;
  private min = Number.POSITIVE_INFINITY;
  private max = 0;
  private stalls = 0;
  private stallTime = 0;
  private outcome: Outcome | undefined;
  private merged = false;

  constructor({ stall_threshold = 1e9, skip_empty_first = false }: MetricsOptions = {}) {
    this.threshold = stall_threshold;
    this.skipping = skip_empty_first;
  }

  get hasChunks(): boolean {
    return this.chunks > 0;
  }

  /** Sets the time from which the first chunk is counted (SM-15). */
  start(at: number): void {
    if (this.started !== undefined || this.chunks || this.over) return;
    this.started = at;
  }

  /** Records a chunk; gives the stall that it ended, if it did. */
  chunk(size: number, at: number): Stall | undefined {
    if (this.over || (this.skipping && !size)) return undefined;
    this.skipping = false;
    this.bytes += size;
    const floor = this.chunks ? this.last : (this.started ?? at);
    if (at < floor) this.clockBack++;
    const now = Math.max(at, floor);
    if (!this.chunks++) {
      this.first = this.last = now;
      return undefined;
    }
    const interval = now - this.last;
    this.last = now;
    return this.interval(interval, now);
  }

  finish(outcome: Outcome): void {
    if (!this.over) this.outcome = outcome;
  }

  /** Adds what another calculator measured; nothing is recorded afterwards (SM-8, SM-15). */
  merge(other: StreamMetrics): void {
    this.merged = true;
    this.chunks += other.chunks;
    this.bytes += other.bytes;
    this.stalls += other.stalls;
    this.stallTime += other.stallTime;
    this.clockBack += other.clockBack;
    this.sum += other.sum;
    this.min = Math.min(this.min, other.min);
    this.max = Math.max(this.max, other.max);
    this.histogram.merge(other.histogram);
  }

  /** Everything that was measured, times in seconds; what is absent is left out. */
  summary(): Summary {
    const { chunks, histogram } = this;
    const result: Summary = { chunks, bytes: this.bytes, intervals: histogram.count };
    if (chunks && !this.merged) {
      if (this.started !== undefined) {
        result.time_to_first_chunk = (this.first - this.started) / 1e9;
        result.time_to_last_chunk = (this.last - this.started) / 1e9;
      }
      if (this.last > this.first) result.rate = (chunks - 1) / ((this.last - this.first) / 1e9);
    }
    if (histogram.count) {
      result['interval.avg'] = this.sum / histogram.count / 1e9;
      result['interval.min'] = this.min / 1e9;
      result['interval.max'] = this.max / 1e9;
      for (const p of [50, 90, 95, 99]) result[`interval.p${p}`] = histogram.percentile(p, this.min, this.max) / 1e9;
    }
    result.stalls = this.stalls;
    result.stall_time = this.stallTime / 1e9;
    result.clock_back = this.clockBack;
    if (this.outcome && !this.merged) result.outcome = this.outcome;
    result.relative_error = histogram.error;
    return result;
  }

  private get over(): boolean {
    return this.outcome !== undefined || this.merged;
  }

  private interval(interval: number, at: number): Stall | undefined {
    const { count } = this.histogram;
    const stalled = interval > this.threshold && (!count || interval * count > 5 * this.sum);
    this.histogram.record(interval);
    this.sum += interval;
    this.min = Math.min(this.min, interval);
    this.max = Math.max(this.max, interval);
    if (!stalled) return undefined;
    this.stalls++;
    this.stallTime += interval;
    const stall = { chunk: this.chunks - 1, interval, at };
    if (this.stallEvents.length < MAX_STALL_EVENTS) this.stallEvents.push(stall);
    return stall;
  }
}
