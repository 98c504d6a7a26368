"""The product against what one would write by hand, and against the copy of the body: ``bench.py OUTPUT``.

Both sides get the same body and the same span and give the same result. They take turns in one process (A B B A), and
medians are compared. The idiom of a row is the quickest of those that people write: ``json``, ``orjson.Fragment``,
``msgspec.Raw``, each with the official propagator.
"""

import contextvars
import gc
import json
import statistics
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from wirespan import Connection, HandshakeRequest, Message, StreamMetrics
from wirespan._context import to_core
from wirespan.carry import Carry

SIZES = (64, 256, 4096, 65536, 1048576)
ROUNDS = 11
ROUND_NS = 3_000_000
Run = Callable[[int], Any]

PROPAGATOR = TraceContextTextMapPropagator()
#: Spans that are new each time, as they are for calls of different requests.
SPANS = [trace.SpanContext(0xA0 << 120 | n + 1, 0xB0 << 56 | n + 1, False, TraceFlags(1)) for n in range(64)]
CONTEXTS = [trace.set_span_in_context(NonRecordingSpan(span), Context()) for span in SPANS]


def timed(run: Run, count: int) -> float:
    start = time.perf_counter_ns()
    for n in range(count):
        run(n)
    return (time.perf_counter_ns() - start) / count


def compare(rivals: list[Run]) -> list[float]:
    """Nanoseconds of each, rivals by turns."""
    counts = [max(1, int(ROUND_NS / min(timed(run, 3) for _ in range(3)))) for run in rivals]
    times: list[list[float]] = [[] for _ in rivals]
    for turn in range(ROUNDS):
        order = list(range(len(rivals)))
        if turn % 2:
            order.reverse()
        for at in [*order, *reversed(order)]:
            times[at].append(timed(rivals[at], counts[at]))
    return [statistics.median(found) for found in times]


ROWS: list[dict[str, Any]] = []


def measure(operation: str, size: int | None, product: Run, idioms: dict[str, Run], floor: Run | None = None) -> None:
    found = compare([product, *idioms.values(), *([] if floor is None else [floor])])
    names = list(idioms)
    idiom_ns, idiom = min(zip(found[1 : 1 + len(names)], names, strict=True))
    floor_ns = None if floor is None else found[-1]
    ROWS.append(
        {
            "language": "python",
            "operation": operation,
            "size": size,
            "product_ns": round(found[0], 1),
            "idiom": idiom,
            "idiom_ns": round(idiom_ns, 1),
            "ratio": round(found[0] / idiom_ns, 3),
            "floor_ns": None if floor_ns is None else round(floor_ns, 1),
            "floor_ratio": None if floor_ns is None else round(found[0] / floor_ns, 3),
        }
    )


def ends() -> tuple[Connection, Connection]:
    """Two ends that know each other."""
    client = Connection.client(bytes(16), {})
    request = HandshakeRequest(client.request("localhost")[0])
    server = Connection.server(bytes(16), {}, request)
    client.open_client(server.response(request)[0], 0)
    server.open_server(0)
    return client, server


class Wire(msgspec.Struct):
    """The envelope as one writes it with msgspec."""

    headers: dict[str, str]
    body: msgspec.Raw


def injected(n: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, CONTEXTS[n & 63])
    return headers


def text(size: int) -> None:
    client, server = ends()
    body = json.dumps({"text": "x" * max(1, size - 12)}, separators=(",", ":"))
    raw = body.encode()
    encoder, decoder = msgspec.json.Encoder(), msgspec.json.Decoder(Wire)

    def product(n: int) -> bytes:
        return client.send(0, raw, to_core(SPANS[n & 63]), n, False, None, True)[1]

    measure(
        "encode",
        size,
        product,
        {
            "json": lambda n: ('{"headers":' + json.dumps(injected(n)) + ',"body":' + body + "}").encode(),
            "orjson.Fragment": lambda n: orjson.dumps({"headers": injected(n), "body": orjson.Fragment(raw)}),
            "msgspec.Raw": lambda n: encoder.encode(Wire(injected(n), msgspec.Raw(raw))),
        },
        lambda n: bytes(memoryview(raw)),
    )
    frames = [product(n).decode() for n in range(64)]

    def opened(n: int) -> Any:
        received = server.receive(frames[n & 63], n)
        data = received.data
        assert data is not None
        return Message(received, data).context, data

    def by_json(n: int) -> Any:
        message = json.loads(frames[n & 63])
        return PROPAGATOR.extract(message["headers"], Context()), message["body"]

    def by_msgspec(n: int) -> Any:
        message = decoder.decode(frames[n & 63])
        return PROPAGATOR.extract(message.headers, Context()), bytes(message.body)

    measure("decode", size, opened, {"json": by_json, "msgspec.Raw": by_msgspec}, lambda n: bytes(memoryview(raw)))


def binary(size: int) -> None:
    client, server = ends()
    body = bytes(size)

    def by_hand(n: int) -> bytes:
        head = json.dumps(injected(n)).encode()
        return b"".join((struct.pack(">H", len(head)), head, body))

    def product(n: int) -> bytes:
        return client.send(0, body, to_core(SPANS[n & 63]), n)[1]

    measure("encode", size, product, {"length, json, payload": by_hand}, lambda n: bytes(memoryview(body)))
    frames, theirs = [product(n) for n in range(64)], [by_hand(n) for n in range(64)]

    def opened(n: int) -> Any:
        received = server.receive(frames[n & 63], n)
        data = received.data
        assert data is not None
        return Message(received, data).context, data

    def by_hand_opened(n: int) -> Any:
        frame = theirs[n & 63]
        end = 2 + struct.unpack_from(">H", frame)[0]
        return PROPAGATOR.extract(json.loads(frame[2:end]), Context()), frame[end:]

    measure("decode", size, opened, {"length, json, payload": by_hand_opened}, lambda n: bytes(memoryview(body)))


class ByHand:
    """Chunk statistics as one writes them."""

    def __init__(self) -> None:
        self.chunks = self.bytes = 0
        self.intervals: list[int] = []
        self.last: int | None = None

    def record_chunk(self, size: int) -> None:
        now = time.monotonic_ns()
        if self.last is not None:
            self.intervals.append(now - self.last)
        self.last = now
        self.chunks += 1
        self.bytes += size


def nothing() -> int:
    return 1


def carried_in_process(n: int) -> tuple[int, float]:
    variables, left = contextvars.copy_context(), time.monotonic_ns()
    return variables.run(nothing), (time.monotonic_ns() - left) / 1e9


def carried_by_hand(n: int) -> int:
    carrier = injected(n)
    token = otel_context.attach(PROPAGATOR.extract(carrier, Context()))
    try:
        return nothing()
    finally:
        otel_context.detach(token)


def main() -> None:
    gc.disable()
    for size in SIZES:
        text(size)
        binary(size)
    metrics, mine = StreamMetrics(), ByHand()
    metrics.start()
    measure(
        "record_chunk",
        None,
        lambda n: metrics.record_chunk(100),
        {"class with a list": lambda n: mine.record_chunk(100)},
    )
    otel_context.attach(CONTEXTS[0])
    measure(
        "carry",
        None,
        lambda n: Carry.capture().run(nothing),
        {"inject and extract": carried_by_hand, "copy_context and a clock": carried_in_process},
    )
    Path(sys.argv[1]).write_text(json.dumps(ROWS, indent=1) + "\n")


if __name__ == "__main__":
    main()
