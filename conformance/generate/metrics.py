"""Stream metrics in virtual time. The model below follows chapter "Stream metrics" of SPEC.md with exact lists, where an implementation has a histogram."""

import math

from build import case

S, MS = 1_000_000_000, 1_000_000
# SM-7: the largest relative error over a range of a million to one.
ERROR = 0.011


class Series:
    """What one calculator has seen."""

    def __init__(self, threshold: int, skip_empty_first: bool) -> None:
        self.threshold, self.skip = threshold, skip_empty_first
        self.start: int | None = None
        self.times: list[int] = []
        self.bytes = self.clock_back = 0
        self.intervals: list[int] = []
        self.stalls: list[tuple[int, int]] = []
        self.outcome: str | None = None

    def step(self, step: list) -> None:
        if step[0] == "start":
            self.start = step[1] if self.start is None and not self.times else self.start
        elif step[0] == "finish":
            self.outcome = self.outcome or step[1]
        elif self.outcome is None:
            self.chunk(step[1], step[2])

    def chunk(self, size: int, at: int) -> None:
        if self.skip and size == 0 and not self.times:  # SM-9
            return
        highest = self.times[-1] if self.times else self.start
        if highest is not None and at < highest:  # SM-4
            self.clock_back += 1
            at = highest
        self.bytes += size
        if self.times:
            interval = at - self.times[-1]
            average = sum(self.intervals) / len(self.intervals) if self.intervals else 0
            if interval > self.threshold and interval > 5 * average:  # SM-5
                self.stalls.append((len(self.times), interval))
            self.intervals.append(interval)
        self.times.append(at)


def nearest_rank(values: list[int], percent: int) -> int:
    return sorted(values)[max(math.ceil(percent * len(values) / 100), 1) - 1]  # SM-7


def bounds(value: float, error: float, low: float, high: float) -> object:
    """A percentile within its error, and never outside of minimum and maximum."""
    down, up = max(value / (1 + error), low) / S, min(value * (1 + error), high) / S
    return down if down == up else {"$between": [down, up]}


def summary_of(all_series: list[Series], error: float) -> dict:
    merged = len(all_series) > 1
    first = all_series[0]
    intervals = [interval for series in all_series for interval in series.intervals]
    stalls = [stall for series in all_series for stall in series.stalls]
    made: dict = {"chunks": sum(len(series.times) for series in all_series), "bytes": sum(series.bytes for series in all_series)}
    if not merged and first.times:
        if first.start is not None:
            made["time_to_first_chunk"] = (first.times[0] - first.start) / S
            made["time_to_last_chunk"] = (first.times[-1] - first.start) / S
        if first.times[-1] > first.times[0]:
            made["rate"] = (len(first.times) - 1) / ((first.times[-1] - first.times[0]) / S)  # SM-6
    made["intervals"] = len(intervals)
    if intervals:
        low, high = min(intervals), max(intervals)
        made |= {"interval.avg": sum(intervals) / len(intervals) / S, "interval.min": low / S, "interval.max": high / S}
        for percent in (50, 90, 95, 99):
            made[f"interval.p{percent}"] = bounds(nearest_rank(intervals, percent), error, low, high)
    made |= {"stalls": len(stalls), "stall_time": sum(interval for _, interval in stalls) / S, "clock_back": sum(series.clock_back for series in all_series)}
    if first.outcome and not merged:
        made["outcome"] = first.outcome
    made["relative_error"] = said_error(intervals)
    return made


def said_error(intervals: list[int]) -> float:
    """The error of SM-13 at the first scale from 5 downwards at which all buckets of SM-12 fit."""
    # 2^(i/32) < v <= 2^((i+1)/32), in whole numbers.
    indexes = [(interval**32 - 1).bit_length() - 1 for interval in intervals if interval]
    scale = 5
    while indexes and max(indexes) - min(indexes) >= 640:
        indexes = [index // 2 for index in indexes]
        scale -= 1
    return 2 ** (0.5 / 2**scale) - 1


def metrics(id_: str, title: str, rules: str, *series: list, threshold: int | None = None, skip: bool = False, error: float = ERROR) -> dict:
    options: dict = {}
    if threshold is not None:
        options["stall_threshold"] = threshold
    if skip:
        options["skip_empty_first"] = True
    seen = []
    for steps in series:
        one = Series(S if threshold is None else threshold, skip)
        for step in steps:
            one.step(step)
        seen.append(one)
    expect: dict = {}
    stalls = [[n, chunk, interval] for n, one in enumerate(seen) for chunk, interval in one.stalls]
    if stalls:
        expect["stalls"] = stalls
    expect["summary"] = summary_of(seen, error)
    input_: dict = {"series": [list(steps) for steps in series]}
    if options:
        input_["options"] = options
    return case(f"metrics/{id_}", title, rules, "metrics", "metrics", "metrics", input_, expect)


def stream(*times_ms: float, size: int = 10, start: int = 0, outcome: str | None = "complete") -> list:
    """A stream that starts at 0, with chunks at these milliseconds."""
    steps: list = [["start", start], *[["chunk", size, round(at * MS)] for at in times_ms]]
    if outcome:
        steps.append(["finish", outcome, round((times_ms[-1] if times_ms else 0) * MS)])
    return steps


def intervals(*lengths_ns: int) -> list:
    """A stream whose intervals are these."""
    steps: list = [["start", 0], ["chunk", 1, 0]]
    at = 0
    for length in lengths_ns:
        at += length
        steps.append(["chunk", 1, at])
    return [*steps, ["finish", "complete", at]]


BASICS = [
    metrics("no-chunk", "without chunks there are no times", "SM-3", stream()),
    metrics("no-start-no-chunk", "nothing at all", "SM-3", []),
    metrics("one-chunk", "one chunk: first equals last, no interval", "SM-3", stream(120)),
    metrics("two-chunks", "two chunks, one interval", "SM-1 SM-6", stream(100, 150)),
    metrics("three-chunks", "three chunks", "SM-1 SM-6", stream(100, 150, 250)),
    metrics("same-time", "chunks at the same time: interval 0, no rate", "SM-6", stream(100, 100)),
    metrics("same-time-thrice", "three at once", "SM-6", stream(100, 100, 100)),
    metrics("first-at-start", "a chunk at the start", "SM-2", stream(0, 10)),
    metrics("start-not-zero", "times are from the start", "SM-2", [["start", 5 * S], ["chunk", 3, 6 * S], ["chunk", 4, 8 * S], ["finish", "complete", 9 * S]]),
    metrics("large-readings", "readings near 2^53", "SM-1", [["start", 2**52], ["chunk", 1, 2**52 + MS], ["chunk", 1, 2**52 + 3 * MS], ["finish", "complete", 2**52 + 3 * MS]]),
    metrics("bytes-add-up", "bytes of every chunk", "SM-1", [["start", 0], ["chunk", 1, 1], ["chunk", 1000000, 2], ["chunk", 0, 3]]),
    metrics("empty-chunks-count", "empty chunks are chunks", "SM-2", stream(10, 20, 30, size=0)),
    metrics("not-finished", "an open stream has no outcome", "SM-10", stream(10, 20, outcome=None)),
    *[metrics(f"outcome-{outcome}", f"outcome {outcome}", "SM-10", stream(10, 20, outcome=outcome)) for outcome in ("complete", "cancelled", "error", "abandoned")],
    metrics("first-outcome-counts", "the first end counts", "SM-10", [*stream(10, 20), ["finish", "error", 30 * MS]]),
    metrics("chunk-behind-finish", "nothing is recorded behind the end", "SM-10", [*stream(10, 20), ["chunk", 9, 30 * MS]]),
    metrics("second-start-ignored", "only the first start counts", "SM-2 SM-15", [["start", 0], ["start", 50 * MS], ["chunk", 1, 100 * MS]]),
    metrics("without-start", "without a start no times, but all else", "SM-2", [["chunk", 1, 100 * MS], ["chunk", 1, 200 * MS], ["finish", "complete", 200 * MS]]),
    metrics("start-behind-chunk-ignored", "a start behind the first chunk does not count", "SM-2", [["chunk", 1, 100 * MS], ["start", 150 * MS], ["chunk", 1, 200 * MS]]),
    metrics("rate-of-a-burst", "chunks per second between first and last", "SM-6", stream(*[500 + n for n in range(101)])),
    metrics("nanosecond-intervals", "intervals of one nanosecond", "SM-1", intervals(1, 1, 1)),
]  # fmt: skip

SKIPPED = [
    metrics("skip-empty-first", "an empty first chunk is not counted at all", "SM-9", [["start", 0], ["chunk", 0, 10 * MS], ["chunk", 5, 100 * MS], ["chunk", 5, 150 * MS]], skip=True),
    metrics("skip-several-empty-first", "and the next one neither", "SM-9", [["start", 0], ["chunk", 0, 10 * MS], ["chunk", 0, 20 * MS], ["chunk", 5, 100 * MS]], skip=True),
    metrics("skip-only-first", "an empty chunk behind the first counts", "SM-9", [["start", 0], ["chunk", 5, 10 * MS], ["chunk", 0, 20 * MS]], skip=True),
    metrics("skip-off-by-default", "off by default", "SM-9", [["start", 0], ["chunk", 0, 10 * MS], ["chunk", 5, 100 * MS]]),
    metrics("skip-only-chunk", "a stream of one empty chunk has none", "SM-9 SM-3", [["start", 0], ["chunk", 0, 10 * MS], ["finish", "complete", 20 * MS]], skip=True),
]  # fmt: skip

CLOCK = [
    metrics("clock-back", "a step back gives interval 0 and counts", "SM-4", stream(100, 90, 110)),
    metrics("clock-back-highest-stays", "the highest reading stays", "SM-4", stream(100, 50, 60, 120)),
    metrics("clock-back-below-start", "below the start is the start", "SM-4", [["start", 100 * MS], ["chunk", 1, 40 * MS], ["chunk", 1, 150 * MS]]),
    metrics("clock-back-last", "the last chunk steps back", "SM-4", stream(100, 200, 150)),
    metrics("clock-back-to-zero", "back to zero", "SM-4", [["start", 0], ["chunk", 1, S], ["chunk", 1, 0], ["chunk", 1, 2 * S]]),
    metrics("clock-equal-is-no-step-back", "the same reading is none", "SM-4", stream(100, 100)),
    metrics("clock-back-every-time", "readings that fall all the time", "SM-4", stream(50, 40, 30, 20, 10)),
    metrics("clock-back-without-start", "without a start the first chunk is the highest", "SM-4", [["chunk", 1, 100 * MS], ["chunk", 1, 50 * MS]]),
]  # fmt: skip

STALLS = [
    metrics("stall-first-interval", "without earlier intervals the threshold alone decides", "SM-5", intervals(S + 1)),
    metrics("stall-at-threshold", "an interval of exactly the threshold is none", "SM-5", intervals(S)),
    metrics("stall-in-a-fast-stream", "one stall among fast chunks", "SM-5", intervals(20 * MS, 20 * MS, 2 * S, 20 * MS)),
    metrics("stall-five-times-average", "exactly five times the average is none", "SM-5 SM-14", intervals(400 * MS, 2 * S)),
    metrics("stall-over-five-times-average", "one nanosecond more is", "SM-5", intervals(400 * MS, 2 * S + 1)),
    metrics("stall-slow-stream", "a slow stream has no stall", "SM-5", intervals(2 * S, 3 * S, 2 * S)),
    metrics("stall-raises-the-average", "a stall counts in the average of later ones", "SM-5", intervals(100 * MS, 10 * S, 10 * S)),
    metrics("stall-two", "two stalls, whole intervals summed", "SM-5", intervals(10 * MS, 2 * S, 10 * MS, 10 * MS, 10 * MS, 10 * MS, 10 * MS, 6 * S)),
    metrics("stall-not-before-first-chunk", "the time to the first chunk is no interval", "SM-5", stream(60_000, 60_010)),
    metrics("stall-threshold-option", "another threshold", "SM-5", intervals(10 * MS, 101 * MS), threshold=100 * MS),
    metrics("stall-threshold-option-factor", "and the factor holds", "SM-5", intervals(50 * MS, 200 * MS), threshold=100 * MS),
    metrics("stall-threshold-high", "a threshold above everything", "SM-5", intervals(10 * MS, 5 * S), threshold=60 * S),
    metrics("stall-clock-back-lowers-average", "intervals of 0 count in the average", "SM-5 SM-4", [["start", 0], ["chunk", 1, 0], ["chunk", 1, S], ["chunk", 1, 0], ["chunk", 1, 4 * S]]),
]  # fmt: skip

LADDER = [(n + 1) * MS for n in range(100)]

PERCENTILES = [
    metrics("percentiles-of-one", "one interval is every percentile", "SM-7", intervals(123456789)),
    metrics("percentiles-of-two", "nearest rank of two", "SM-7", intervals(10 * MS, 20 * MS)),
    metrics("percentiles-of-ten", "nearest rank of ten", "SM-7", intervals(*[n * MS for n in range(1, 11)])),
    metrics("percentiles-of-eleven", "nearest rank of eleven", "SM-7", intervals(*[n * MS for n in range(1, 12)])),
    metrics("percentiles-of-twenty", "p95 of twenty is the nineteenth", "SM-7", intervals(*[n * MS for n in range(1, 21)])),
    metrics("percentiles-of-hundred", "1 to 100 ms", "SM-7 SM-12 SM-13", intervals(*LADDER)),
    metrics("percentiles-order-does-not-matter", "the same, backwards", "SM-7", intervals(*reversed(LADDER))),
    metrics("percentiles-equal", "equal intervals", "SM-7", intervals(*[33 * MS] * 50)),
    metrics("percentiles-one-outlier", "one outlier in a hundred", "SM-7", intervals(*[10 * MS] * 99, 900 * MS)),
    metrics("percentiles-two-outliers", "two are the p99", "SM-7", intervals(*[10 * MS] * 98, 900 * MS, 900 * MS)),
    metrics("percentiles-with-zeros", "intervals of 0 have a rank", "SM-7", intervals(*[0] * 60, *[10 * MS] * 40)),
    metrics("percentiles-all-zero", "only intervals of 0", "SM-7", intervals(0, 0, 0)),
    metrics("percentiles-powers-of-two", "powers of two", "SM-7", intervals(*[2**n for n in range(10, 29)])),
    metrics("percentiles-million-to-one", "a million to one keeps the error", "SM-7", intervals(*[1000] * 10, *[S] * 10, *[31623] * 10)),
    metrics("percentiles-beyond-a-million", "beyond, the error doubles", "SM-7", intervals(*[100] * 10, *[S] * 10, *[316_228] * 10), error=0.0219),
    metrics("percentiles-eighteen-decades", "one nanosecond to a day", "SM-7", intervals(*[1] * 5, *[86_400 * S] * 5, *[9_295_160] * 5), error=0.0443),
    metrics("percentiles-of-2000", "two thousand", "SM-7", intervals(*[(n * 7919) % 2000 * 10_000 + 10_000 for n in range(2000)])),
    metrics("percentiles-bimodal", "two clusters", "SM-7", intervals(*[5 * MS] * 50, *[500 * MS] * 50)),
]  # fmt: skip

MERGED = [
    metrics("merge-two", "counts, bytes and intervals add up; times, rate and outcome are absent", "SM-8", stream(10, 20, 40), stream(5, 6, size=3)),
    metrics("merge-three", "three", "SM-8", stream(10, 20), stream(10, 30), stream(10, 110)),
    metrics("merge-with-empty", "with one that has seen nothing", "SM-8", stream(10, 20, 40), []),
    metrics("merge-into-empty", "into one that has seen nothing", "SM-8", [], stream(10, 20, 40)),
    metrics("merge-both-empty", "two that have seen nothing", "SM-8", [], []),
    metrics("merge-one-chunk-each", "no interval stands between two streams", "SM-8", stream(10), stream(500)),
    metrics("merge-stalls", "stalls add up", "SM-8 SM-5", intervals(10 * MS, 2 * S), intervals(10 * MS, 3 * S)),
    metrics("merge-minimum-maximum", "minimum and maximum are those of both", "SM-8", intervals(10 * MS, 20 * MS), intervals(1 * MS, 50 * MS)),
    metrics("merge-clock-back", "steps back add up", "SM-8 SM-4", stream(100, 50), stream(100, 60, 50)),
    metrics("merge-percentiles", "percentiles of all intervals", "SM-8 SM-7", intervals(*LADDER[:50]), intervals(*LADDER[50:])),
    metrics("merge-unequal-scales", "unequal scales are scaled down", "SM-8 SM-7", intervals(*[10 * MS] * 20), intervals(*[100] * 10, *[S] * 10, *[316_228] * 10), error=0.0219),
    metrics("merge-unequal-scales-other-way", "the other way round", "SM-8 SM-7", intervals(*[100] * 10, *[S] * 10, *[316_228] * 10), intervals(*[10 * MS] * 20), error=0.0219),
    metrics("merge-far-apart", "two narrow ones that are far apart", "SM-8 SM-7", intervals(*[100] * 10), intervals(*[S] * 10), error=0.0219),
]  # fmt: skip

FILES = {
    "metrics/basics": BASICS,
    "metrics/skipped": SKIPPED,
    "metrics/clock": CLOCK,
    "metrics/stalls": STALLS,
    "metrics/percentiles": PERCENTILES,
    "metrics/merged": MERGED,
}
