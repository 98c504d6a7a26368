"""The product against what one would write by hand, and against the copy of the body: ``bench.py OUTPUT``.

Each operation is timed with its rivals in one process, by turns (A B B A), in CPU time of the thread; medians and
quartiles of 42 samples are compared. Both sides get the same body and the same span, and pass baggage on. What has to
be there before an operation (a call that was planned, messages of the other end) and what it leaves behind are not
timed.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import alone
import idioms
import startup
from measuring import Rival, Row, Where, compare, row
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagate import inject
from opentelemetry.trace import NonRecordingSpan, TraceFlags
from wirespan import Connection, HandshakeRequest

SIZES = (64, 256, 4096, 65536, 1048576)
#: The size at which ratios to an idiom are judged, for an announced peer.
JUDGED = 256
TARGETS = {
    ("encode.first", "json"): 0.08,
    ("encode.first", "orjson.Fragment"): 0.12,
    ("encode.later", "json"): 0.03,
    ("decode.lazy", "json"): 0.03,
    ("decode.context", "json"): 0.08,
    ("decode.first", "json"): 0.08,
    ("decode.later", "json"): 0.03,
}
#: Bound of the full check at 64 KiB, against the quickest parse.
FULL_CHECK = 1.0
#: Bound of encoding a body that needs no check, against its copy, from 64 KiB on.
OVER_COPY = 1.25
#: Bound between the cheapest and the dearest size of a received message.
SPREAD = 1.15

#: Bytes of a payload from which on a view costs less than a copy.
VIEWED = 4096

METHOD = "recognise"
#: Spans that are new each time, as they are for calls of different requests.
CONTEXTS = [
    trace.set_span_in_context(
        NonRecordingSpan(trace.SpanContext(0xA0 << 120 | n + 1, 0xB0 << 56 | n + 1, False, TraceFlags(1))), Context()
    )
    for n in range(512)
]


def just_read(messages: list[str | bytes]) -> list[str | bytes]:
    """Brings both ends of messages near, as they are when a transport has just read them."""
    for message in messages:
        message[:64], message[-64:]
    return messages


def document(size: int) -> bytes:
    """A JSON text of about a length, with the mixture that messages have."""
    records: list[dict[str, Any]] = []
    length, n = 40, 0
    while length < size - 100:
        records.append({"id": n, "name": f"word {n}", "start": n / 8, "sure": n % 3 == 0, "alternatives": ["a", "b"]})
        length += len(json.dumps(records[-1], separators=(",", ":"))) + 1
        n += 1
    made = json.dumps({"text": "", "words": records}, separators=(",", ":"))
    return made.replace('"text":""', f'"text":"{"x" * max(0, size - len(made))}"').encode()


class Ends:
    """The two ends of a connection, the first of which opens calls with messages of one body."""

    def __init__(self, form: str, peer: str, body: bytes) -> None:
        options = {"mode": "always" if peer == "always" else "auto", "baggage_in": ["*"], "baggage_out": ["*"]}
        self.client = Connection.client(bytes(16), options)
        if peer == "always":
            self.server = Connection.server(bytes(16), options, HandshakeRequest([]))
            self.client.open_client([], 0)
        else:
            request = HandshakeRequest(self.client.request("localhost")[0])
            self.server = Connection.server(bytes(16), options, request)
            self.client.open_client(self.server.response(request)[0], 0)
        self.server.open_server(0)
        self.server.set_methods([METHOD])
        assert self.client.peer == self.server.peer == peer
        self.form, self.peer, self.body, self.text = form, peer, body, form == "text"
        self.most = max(16, min(500, (1 << 25) // len(body)))
        self.keys: list[int] = []
        self.arrived: list[int] = []

    def plan(self, count: int) -> list[tuple[int, Context]]:
        """Calls that are about to be opened, each with the context of its span."""
        self.keys = [self.client.plan_call(METHOD, None)[0] for _ in range(count)]
        return list(zip(self.keys, CONTEXTS, strict=False))

    def message(self, key: int, context: Any) -> str | bytes:
        frame = self.client.send(key, self.body, context, json=self.text)[1]
        return frame.decode() if self.text else frame

    def openings(self, count: int) -> list[str | bytes]:
        """The first messages of calls."""
        return just_read([self.message(key, context) for key, context in self.plan(count)])

    def later(self, count: int) -> list[str | bytes]:
        """Chunks of a call that the other end knows already."""
        (opening,) = self.openings(1)
        self.server.receive(opening)
        return just_read([self.message(self.keys[0], None) for _ in range(count)])

    def plain(self, count: int) -> list[str | bytes]:
        """Messages outside every call."""
        return just_read([self.message(0, context) for context in CONTEXTS[:count]])

    def close(self) -> None:
        """Ends the calls on both sides."""
        for key in self.keys:
            self.client.cancel(key)
            while (event := self.client.poll_event()) is not None:
                if event.kind == "frame" and event.data is not None:
                    self.server.receive(event.data.decode() if event.text else event.data)
        while self.server.poll_event() is not None:
            pass
        assert (self.client.open_streams, self.server.open_streams) == (0, 0)
        self.keys = []

    # What is timed.

    def send_first(self, items: Iterable[tuple[int, Context]]) -> None:
        send, body, is_json = self.client.send, self.body, self.text
        for key, context in items:
            send(key, body, context, None, False, None, is_json)

    def send_later(self, items: Iterable[Any]) -> None:
        send, body, is_json, key = self.client.send, self.body, self.text, self.keys[0]
        for _ in items:
            send(key, body, None, None, False, None, is_json)

    def send_plain(self, items: Iterable[Any]) -> None:
        send, body, is_json = self.client.send, self.body, self.text
        for _ in items:
            send(0, body, "current", None, False, None, is_json)

    def take(self, messages: Iterable[str | bytes]) -> None:
        """Takes the payload as it is cheapest: short ones as they are, others as a view."""
        receive = self.server.receive
        if len(self.body) < VIEWED:
            return self.take_copy(messages)
        for message in messages:
            receive(message).view  # noqa: B018

    def take_copy(self, messages: Iterable[str | bytes]) -> None:
        receive = self.server.receive
        for message in messages:
            receive(message).data  # noqa: B018

    def take_in_context(self, messages: Iterable[str | bytes]) -> None:
        receive, views = self.server.receive, len(self.body) >= VIEWED
        for message in messages:
            received = receive(message)
            received.view if views else received.data, received.otel_context()


def copy_of(body: bytes) -> Rival:
    """The floor: a copy of the body and nothing else."""
    view, copy = memoryview(body), bytes

    def run(items: Iterable[Any]) -> None:
        for _ in items:
            copy(view)

    return Rival(run)


ROWS: list[Row] = []


def measure(operation: str, ends: Ends, product: Rival, by_hand: dict[str, Rival], best: float | None = None) -> None:
    """Times an operation and adds a row for each idiom. ``best`` bounds the ratio to the quickest of them."""
    size = next(size for size in reversed(SIZES) if size <= len(ends.body) + 32)
    found = compare(product, copy_of(ends.body), *by_hand.values())
    mine, floor, theirs = found[0], found[1], dict(zip(by_hand, found[2:], strict=True))
    quickest = min(theirs, key=lambda name: theirs[name].median)
    # A body that needs no check costs little more than its copy.
    copies = operation.startswith("encode.") and operation not in CHECKED and size >= 65536
    for name, measured in theirs.items():
        target = None
        if copies:
            target = OVER_COPY
        elif best is not None:
            target = best if name == quickest else None
        elif size == JUDGED and ends.peer == "announced" and ends.form == "text":
            target = TARGETS.get((operation, name))
        where = Where(operation, size, ends.form, ends.peer)
        ROWS.append(row(where, mine, name, measured, floor=floor, target=target, of_floor=copies))


#: Operations whose body has to be looked at.
CHECKED = ("encode.checked", "encode.string")


def sending(ends: Ends) -> None:
    """The rows of sending bodies that need no check."""

    def mine(run: Callable[[Any], None], prepare: Callable[[int], Any]) -> Rival:
        return Rival(run, prepare, ends.close, ends.most)

    def begun(count: int) -> range:
        ends.openings(1)
        return range(count)

    def items(count: int) -> list[tuple[int, Context]]:
        return [(n, context) for n, context in enumerate(CONTEXTS[:count], 1)]

    def current(count: int) -> list[tuple[int, None]]:
        return [(1, None)] * count

    first, later = idioms.Sender(ends.body, True), idioms.Sender(ends.body, False)
    for operation, run, prepare, by_hand, given in (
        ("encode.first", ends.send_first, ends.plan, first, items),
        ("encode.later", ends.send_later, begun, later, items),
        ("encode.plain", ends.send_plain, begun, later, current),
    ):
        if ends.text:
            rivals = {
                "json": by_hand.by_json,
                "orjson.Fragment": by_hand.by_orjson,
                "msgspec.Raw": by_hand.by_msgspec,
            }
            if operation == "encode.later":
                rivals["json without context"] = by_hand.bare
        else:
            rivals = {"length, orjson, payload": by_hand.framed}
        theirs = {name: Rival(idiom, given, most=ends.most) for name, idiom in rivals.items()}
        measure(operation, ends, mine(run, prepare), theirs)


def sending_checked(size: int) -> None:
    """The rows of sending texts of which it is not known whether they are JSON."""
    body = document(size)
    for operation, text in (("encode.checked", body.decode()), ("encode.string", "x" * len(body))):
        ends = Ends("text", "announced", body)

        def run(items: Iterable[Any], ends: Ends = ends, text: str = text) -> None:
            send = ends.client.send
            for _ in items:
                send(0, text, "current")

        rivals = {"json": idioms.checked_by_json(text), "orjson.Fragment": idioms.checked_by_orjson(text)}
        given = {name: Rival(idiom, lambda count: [(1, None)] * count) for name, idiom in rivals.items()}
        measure(operation, ends, Rival(run), given)


def receiving(ends: Ends) -> None:
    """The rows of receiving."""
    framed = [idioms.frame({"kind": "call", "stream": "1", **carrier}, ends.body) for carrier in CARRIERS[: ends.most]]
    if not ends.text:
        rivals: dict[str, Any] = {"length, orjson, payload": idioms.by_frame}
    elif ends.peer == "always":
        rivals = {"json": idioms.parse_json, "orjson": idioms.parse_orjson, "msgspec.Raw": idioms.parse_msgspec}
    else:
        rivals = {"json": idioms.by_json, "orjson": idioms.by_orjson, "msgspec.Raw": idioms.by_msgspec}

    def given(make: Callable[[int], list[str | bytes]]) -> Callable[[int], list[str | bytes]]:
        if not ends.text:
            return lambda count: framed[:count]  # type: ignore[return-value]
        ready = make(ends.most)
        ends.close()
        return lambda count: ready[:count]

    for operation, run, make in (
        ("decode.lazy", ends.take, ends.plain),
        ("decode.copy", ends.take_copy, ends.plain),
        ("decode.context", ends.take_in_context, ends.plain),
        ("decode.first", ends.take_in_context, ends.openings),
        ("decode.later", ends.take, ends.later),
    ):
        # By hand every message has its context: there are no streams that would make it known by the first one.
        ready = given(ends.plain if operation == "decode.later" else make)
        theirs = {name: Rival(idiom, ready, most=ends.most) for name, idiom in rivals.items()}
        if operation == "decode.later" and ends.text and ends.peer == "announced":
            theirs["json without context"] = Rival(rivals["json"], given(make), most=ends.most)
        best = FULL_CHECK if ends.peer == "always" and ends.text and len(ends.body) >> 16 == 1 else None
        measure(operation, ends, Rival(run, make, ends.close, min(ends.most, 200)), theirs, best)


CARRIERS: list[dict[str, str]] = []
for context in CONTEXTS:
    CARRIERS.append({})
    inject(CARRIERS[-1], context)


def repeated(messages: list[str | bytes]) -> Callable[[int], list[str | bytes]]:
    """Gives as many messages as are wanted, the same ones over and over."""
    return lambda count: (messages * (count // len(messages) + 1))[:count]


def spreads() -> None:
    """How much the size of a message matters to its receiver, once it has been read.

    Messages outside calls can be received again and again. Those of calls cannot: making new ones of a megabyte each
    empties the caches, and what a few receptions after it take is what filling them takes.
    """
    for form in ("text", "binary"):
        rivals = []
        for size in SIZES:
            ends = Ends(form, "announced", document(size) if form == "text" else bytes(size))
            few = ends.plain(16)
            rivals.append(Rival(ends.take, repeated(few)))
        found = dict(zip(SIZES, compare(*rivals), strict=True))
        dearest, cheapest = max(found, key=lambda n: found[n].median), min(found, key=lambda n: found[n].median)
        where = Where("spread.plain", dearest, form, "announced")
        ROWS.append(row(where, found[dearest], f"{cheapest} bytes", found[cheapest], target=SPREAD))


def main() -> None:
    gc.disable()
    otel_context.attach(CONTEXTS[0])
    for size in SIZES:
        for peer in ("announced", "always"):
            for ends in (Ends("text", peer, document(size)), Ends("binary", peer, bytes(size))):
                sending(ends)
                receiving(ends)
        sending_checked(size)
    spreads()
    ROWS.extend(alone.rows())
    ROWS.extend(startup.rows())
    Path(sys.argv[1]).write_text(json.dumps(ROWS, indent=1) + "\n")


if __name__ == "__main__":
    main()
