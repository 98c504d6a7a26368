"""The parts that stand alone: stream metrics, and the carry of a queue."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any

from measuring import Measured, Rival, Row, Where, compare, row
from wirespan import StreamMetrics
from wirespan.carry import Queue

#: Bound of recording a chunk, against a class that keeps only sums.
RECORD = 0.35
#: Bound of what carrying adds to putting and getting an item.
CARRY = 0.25


class Sums:
    """Chunk statistics as one writes them, without the distribution."""

    def __init__(self) -> None:
        self.chunks = 0
        self.bytes = 0
        self.intervals = 0
        self.longest = 0
        self.last: int | None = None

    def record_chunk(self, size: int) -> None:
        now = time.monotonic_ns()
        if self.last is not None:
            interval = now - self.last
            self.intervals += interval
            if interval > self.longest:
                self.longest = interval
        self.last = now
        self.chunks += 1
        self.bytes += size


def recording(record_chunk: Callable[[int], Any]) -> Rival:
    def run(items: Iterable[int]) -> None:
        for _ in items:
            record_chunk(100)

    return Rival(run)


def work(item: int) -> None:
    """What is done with an item."""


async def bare(count: int) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    for item in range(count):
        await queue.put(item)
        work(await queue.get())


async def carried(count: int) -> None:
    queue: Queue[int] = Queue()
    for item in range(count):
        await queue.put(item)
        got = await queue.get()
        got.run(work, got.item)


def rows() -> list[Row]:
    """The rows of both."""
    metrics = StreamMetrics()
    metrics.start()
    product, sums = compare(recording(metrics.record_chunk), recording(Sums().record_chunk))
    made = [row(Where("record_chunk"), product, "class of sums", sums, target=RECORD)]
    loop = asyncio.new_event_loop()
    run = loop.run_until_complete
    product, plain = compare(
        # Long samples: the interpreter adapts the code of asyncio.Queue to the class that uses it, anew at each turn.
        Rival(lambda n: run(carried(n)), lambda count: count, sample_ns=8_000_000),
        Rival(lambda n: run(bare(n)), lambda count: count, sample_ns=8_000_000),
    )
    loop.close()
    added = Measured(
        product.median - plain.median,
        (product.quartiles[0] - plain.quartiles[0], product.quartiles[1] - plain.quartiles[1]),
    )
    made.append(row(Where("carry"), added, "put and get of asyncio.Queue", plain, target=CARRY))
    return made
