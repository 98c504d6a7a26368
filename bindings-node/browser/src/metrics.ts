import { NEVER } from './bytes.js';

export type Outcome = 'complete' | 'cancelled' | 'error' | 'abandoned';

export interface MetricsOptions {
  /** Nanoseconds above which an interval can be a stall. */
  stall_threshold?: number;
  skip_empty_first?: boolean;
}

export type Summary = Record<string, number>;

/** An interval that was a stall: the chunk that ended it (from 0), the interval and the reading, both in nanoseconds. */
export interface Stall {
  chunk: number;
  interval: number;
  at: number;
}

const MAX_BUCKETS = 640;
const MAX_STALL_EVENTS = 32;

/** Measures one direction of a stream. Times are readings of a monotonic clock in whole nanoseconds. */
export class Measure {
  readonly stalls_: Stall[] = [];
  clockBack_ = 0;
  chunks_ = 0;
  bytes_ = 0;
  stallCount_ = 0;
  stallTime_ = 0;
  outcome_: Outcome | undefined;
  // The intervals: how many, their sum and bounds, and the base-2 exponential histogram (SM-12), where zeros have the bucket -Infinity.
  count_ = 0;
  sum_ = 0;
  min_ = NEVER;
  max_ = 0;
  scale_ = 5;
  readonly buckets_ = new Map<number, number>();
  private started_: number | undefined;
  private first_ = 0;
  private last_ = 0;

  constructor(private readonly options_: MetricsOptions = {}) {}

  /** Sets the time from which the first chunk is counted (SM-15). */
  start_(at: number): void {
    if (!this.chunks_ && !this.outcome_) this.started_ ??= at;
  }

  /** Records a chunk; gives the stall that it ended, if it did. */
  chunk_(size: number, at: number): Stall | undefined {
    if (this.outcome_ || (this.options_.skip_empty_first && !this.chunks_ && !size)) return undefined;
    this.bytes_ += size;
    const floor = this.chunks_ ? this.last_ : (this.started_ ?? at);
    if (at < floor) this.clockBack_++;
    const before = this.last_;
    this.last_ = Math.max(at, floor);
    if (this.chunks_++) return this.interval_(this.last_ - before);
    this.first_ = this.last_;
    return undefined;
  }

  finish_(outcome: Outcome): void {
    this.outcome_ ??= outcome;
  }

  /** What stands on the span: everything that was measured, times in seconds; what is absent is left out. */
  summary_(): Summary {
    const { chunks_, count_ } = this;
    const seconds = (time: number): number => time / 1e9;
    const result: Summary = { chunks: chunks_, bytes: this.bytes_ };
    if (chunks_ && this.started_ !== undefined) {
      result.time_to_first_chunk = seconds(this.first_ - this.started_);
      result.time_to_last_chunk = seconds(this.last_ - this.started_);
    }
    if (this.last_ > this.first_) result.rate = (chunks_ - 1) / seconds(this.last_ - this.first_);
    if (count_) {
      result['interval.avg'] = seconds(this.sum_ / count_);
      result['interval.min'] = seconds(this.min_);
      result['interval.max'] = seconds(this.max_);
      for (const p of [50, 90, 95, 99]) result[`interval.p${p}`] = seconds(this.percentile_(p));
    }
    result.stalls = this.stallCount_;
    result.stall_time = seconds(this.stallTime_);
    return result;
  }

  private interval_(interval: number): Stall | undefined {
    const { stall_threshold = 1e9 } = this.options_;
    const stalled = interval > stall_threshold && (!this.count_ || interval * this.count_ > 5 * this.sum_);
    this.count_++;
    this.sum_ += interval;
    this.min_ = Math.min(this.min_, interval);
    this.max_ = Math.max(this.max_, interval);
    // Only a power of two lies on a bound of a bucket, and `Math.log2` is exact there.
    this.add_(Math.ceil(Math.log2(interval) * 2 ** this.scale_) - 1, 1);
    if (!stalled) return undefined;
    this.stallCount_++;
    this.stallTime_ += interval;
    const stall = { chunk: this.chunks_ - 1, interval, at: this.last_ };
    if (this.stalls_.length < MAX_STALL_EVENTS) this.stalls_.push(stall);
    return stall;
  }

  add_(bucket: number, n: number): void {
    const used = this.buckets_.has(bucket) ? [0] : [bucket, ...this.buckets_.keys()].filter(Number.isFinite);
    if (Math.max(...used) - Math.min(...used) >= MAX_BUCKETS) {
      this.scaleDown_();
      this.add_(Math.floor(bucket / 2), n);
    } else this.buckets_.set(bucket, (this.buckets_.get(bucket) ?? 0) + n);
  }

  scaleDown_(): void {
    const old = [...this.buckets_];
    this.buckets_.clear();
    this.scale_--;
    for (const [bucket, n] of old) this.add_(Math.floor(bucket / 2), n);
  }

  /** The nearest rank, as the middle of its bucket (SM-13). */
  private percentile_(p: number): number {
    let rank = Math.max(Math.ceil((p * this.count_) / 100), 1);
    for (const [bucket, n] of [...this.buckets_].sort(([a], [b]) => a - b)) {
      rank -= n;
      if (rank <= 0) return Math.min(Math.max(2 ** ((bucket + 0.5) / 2 ** this.scale_), this.min_), this.max_);
    }
    return this.max_;
  }
}
