import { Measure, type MetricsOptions, type Outcome, type Stall } from '../metrics.js';
import type { Stream } from '../stream.js';

export type Summary = Record<string, number | string>;

/** Measures one direction of a stream, or anything that comes in chunks; what was measured can be merged. Times are readings of a
 * monotonic clock in whole nanoseconds. */
export class StreamMetrics {
  private readonly measure: Measure;
  private merged = false;

  constructor(options?: MetricsOptions) {
    this.measure = new Measure(options);
  }

  /** Sets the time from which the first chunk is counted (SM-15). */
  start(at: number): void {
    if (!this.merged) this.measure.start_(at);
  }

  /** Records a chunk; gives the stall that it ended, if it did. */
  chunk(size: number, at: number): Stall | undefined {
    return this.merged ? undefined : this.measure.chunk_(size, at);
  }

  finish(outcome: Outcome): void {
    this.measure.finish_(outcome);
  }

  /** Adds what another calculator measured; nothing is recorded afterwards (SM-8, SM-15). */
  merge({ measure: other }: StreamMetrics): void {
    const { measure } = this;
    this.merged = true;
    measure.chunks_ += other.chunks_;
    measure.bytes_ += other.bytes_;
    measure.stallCount_ += other.stallCount_;
    measure.stallTime_ += other.stallTime_;
    measure.clockBack_ += other.clockBack_;
    measure.count_ += other.count_;
    measure.sum_ += other.sum_;
    measure.min_ = Math.min(measure.min_, other.min_);
    measure.max_ = Math.max(measure.max_, other.max_);
    while (measure.scale_ > other.scale_) measure.scaleDown_();
    for (const [bucket, n] of other.buckets_) measure.add_(Math.floor(bucket / 2 ** (other.scale_ - measure.scale_)), n);
  }

  /** Everything that was measured, times in seconds; what is absent is left out, as times, rate and outcome of a merge are. */
  summary(): Summary {
    const summary = summaryOf(this.measure);
    if (!this.merged) return summary;
    const { time_to_first_chunk, time_to_last_chunk, rate, outcome, ...merged } = summary;
    return merged;
  }
}

const summaryOf = (measure: Measure): Summary => ({
  ...measure.summary_(),
  intervals: measure.count_,
  clock_back: measure.clockBack_,
  relative_error: 2 ** (0.5 / 2 ** measure.scale_) - 1,
  ...(measure.outcome_ && { outcome: measure.outcome_ }),
});

/** Everything that was measured of a stream so far. */
export const metricsOf = ({ sent_, received_ }: Stream): { sent: Summary; received: Summary } => ({
  sent: summaryOf(sent_),
  received: summaryOf(received_),
});
