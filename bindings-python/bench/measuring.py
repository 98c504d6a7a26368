"""Timing of rivals by turns, and the rows of the report."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from time import thread_time_ns
from typing import Any, NamedTuple

Row = dict[str, Any]

#: Samples of each rival: two in each turn of A B B A.
TURNS = 21
#: What a sample takes unless it says something else, in nanoseconds.
SAMPLE_NS = 200_000


@dataclass(frozen=True)
class Rival:
    """Something to be timed: ``run(prepare(count))`` does it ``count`` times, and ``finish`` clears what it leaves."""

    run: Callable[[Any], object]
    prepare: Callable[[int], Any] = range
    finish: Callable[[], object] = lambda: None
    #: Most times in one sample.
    most: int = 10_000
    #: What a sample should take, in nanoseconds.
    sample_ns: int = SAMPLE_NS

    def sample(self, count: int) -> float:
        """CPU time of the thread for one of ``count`` times, in nanoseconds."""
        work = self.prepare(count)
        start = thread_time_ns()
        self.run(work)
        taken = thread_time_ns() - start
        self.finish()
        return taken / count

    def count(self) -> int:
        """How many times fill a sample."""
        few = min(self.most, 8)
        once = min(self.sample(few) for _ in range(3))
        return max(1, min(self.most, int(self.sample_ns / once)))


@dataclass(frozen=True)
class Measured:
    """Nanoseconds: the median of all samples, and the quartiles."""

    median: float
    quartiles: tuple[float, float] = field(default=(0.0, 0.0))

    @classmethod
    def of(cls, samples: list[float]) -> Measured:
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median, (low, high))


def compare(*rivals: Rival) -> list[Measured]:
    """Times the rivals by turns, back and forth."""
    counts = [rival.count() for rival in rivals]
    samples: list[list[float]] = [[] for _ in rivals]
    order = list(range(len(rivals)))
    for _ in range(TURNS):
        for at in [*order, *reversed(order)]:
            samples[at].append(rivals[at].sample(counts[at]))
    return [Measured.of(found) for found in samples]


class Where(NamedTuple):
    """What a row is about."""

    operation: str
    size: int | None = None
    form: str | None = None
    peer: str | None = None


def row(
    where: Where,
    product: Measured,
    idiom: str,
    by_hand: Measured,
    *,
    floor: Measured | None = None,
    target: float | None = None,
    of_floor: bool = False,
) -> Row:
    """A row of the report. ``target`` bounds the ratio to the idiom, with ``of_floor`` that to the body's copy."""
    ratio = round(product.median / by_hand.median, 4)
    floor_ratio = None if floor is None else round(product.median / floor.median, 3)
    judged = floor_ratio if of_floor else ratio
    return {
        "language": "python",
        **where._asdict(),
        "product_ns": round(product.median, 1),
        "product_quartiles": [round(edge, 1) for edge in product.quartiles],
        "idiom": idiom,
        "idiom_ns": round(by_hand.median, 1),
        "idiom_quartiles": [round(edge, 1) for edge in by_hand.quartiles],
        "ratio": ratio,
        "floor_ns": None if floor is None else round(floor.median, 1),
        "floor_ratio": floor_ratio,
        "target": target,
        "met": None if target is None or judged is None else judged <= target,
    }
