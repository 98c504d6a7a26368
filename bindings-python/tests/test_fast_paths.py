"""What is quick gives the same as what is simple: on the conformance corpus and on random inputs."""

from __future__ import annotations

import base64
import contextvars
import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, TraceFlags, TraceState
from test_boundary import message, pair
from wirespan import Connection, HandshakeRequest, Received, SpanContext
from wirespan._context import current_baggage, current_span_context
from wirespan._core import Carried
from wirespan.carry import Carry, Queue

CASES = Path(__file__).parents[2] / "conformance" / "cases"
ALL = {"baggage_in": ["*"], "baggage_out": ["*"]}


def messages_in(value: Any) -> Iterator[tuple[bytes, bool]]:
    """All messages that stand in a case, and whether they are texts."""
    if isinstance(value, dict):
        if len(value) == 1:
            ((name, content),) = value.items()
            if name == "text" and isinstance(content, str):
                yield content.encode(errors="replace"), True
            elif name in ("text_base64", "binary") and isinstance(content, str):
                yield base64.b64decode(content), name != "binary"
        for inner in value.values():
            yield from messages_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from messages_in(inner)


CORPUS = sorted(
    {found for path in sorted(CASES.rglob("*.json")) for found in messages_in(json.loads(path.read_text()))}
)


def announced() -> Connection:
    return pair(**ALL)[1]


def always() -> Connection:
    server = Connection.server(bytes(16), {"mode": "always", **ALL}, HandshakeRequest([]))
    server.open_server(0)
    return server


def seen(received: Received) -> Any:
    """All that a message says, and a check that the ways to its content agree."""
    data, view = received.data, received.view
    assert (data is None) == (view is None) == (received.size is None)
    if data is not None and view is not None:
        assert received.size == len(view) == view.nbytes
        buffer: Any = received
        assert bytes(view) == bytes(buffer) == (data.encode() if isinstance(data, str) else data)
        assert view.readonly
        assert received.data is data
    opened = received.opened
    assert received.opened is opened
    what = None if opened is None else (opened.kind, opened.method, opened.registered, opened.plan.name)
    return (
        received.text,
        received.stream,
        data,
        what,
        received.context,
        received.link,
        received.baggage,
        received.headers,
    )


def check_reading(content: bytes, text: bool) -> None:
    """A message means the same as text, as bytes, and in a buffer."""
    for make in (announced, always):
        expected = seen(make().receive(content, 0, text))
        assert seen(make().receive(bytearray(content), 0, text)) == expected
        try:
            if text:
                assert seen(make().receive(content.decode(), 0)) == expected
        except UnicodeDecodeError:
            pass


def test_the_corpus_is_read_alike_however_it_comes() -> None:
    assert len(CORPUS) > 700
    for content, text in CORPUS:
        check_reading(content, text)


@given(st.sampled_from(CORPUS), st.data())
@settings(max_examples=300, deadline=None)
def test_broken_messages_are_read_alike_however_they_come(found: tuple[bytes, bool], data: st.DataObject) -> None:
    content, text = found
    at = data.draw(st.integers(0, len(content)))
    check_reading(content[:at] + data.draw(st.binary(max_size=8)) + content[at + data.draw(st.integers(0, 8)) :], text)


IDS = st.integers(0, (1 << 128) - 1), st.integers(0, (1 << 64) - 1)
STATES = st.dictionaries(st.sampled_from(["a", "b2", "c"]), st.sampled_from(["1", "x y"]), max_size=4)
BAGGAGE = st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=9), st.integers()), max_size=4)
BODIES = st.one_of(st.text(max_size=40), st.binary(max_size=40), st.just('{"a":1}'))


@given(*IDS, st.integers(0, 255), STATES, BAGGAGE, BODIES)
@settings(max_examples=300, deadline=None)
def test_a_context_is_sent_as_the_api_reads_it(
    trace_id: int, span_id: int, flags: int, state: dict[str, str], members: dict[str, Any], body: str | bytes
) -> None:
    span = trace.SpanContext(trace_id, span_id, False, TraceFlags(flags), TraceState(list(state.items())))
    context = trace.set_span_in_context(NonRecordingSpan(span), Context())
    for name, value in members.items():
        context = baggage.set_baggage(name, value, context)
    client, server = pair(**ALL)
    expected = client.send(0, body, current_span_context(context), 0, baggage=current_baggage(context))
    assert client.send(0, body, context, 0) == expected
    token = otel_context.attach(context)
    try:
        assert client.send(0, body, "current", 0) == expected
    finally:
        otel_context.detach(token)
    received = server.receive(message(expected), 0)
    remote = current_span_context(context)
    assert received.context == remote
    made = received.otel_context()
    if remote is None or received.baggage:
        assert made is None
        return
    assert made is not None
    simple = trace.SpanContext(trace_id, span_id, True, TraceFlags(flags & 3), span.trace_state)
    of_api = trace.set_span_in_context(NonRecordingSpan(simple), Context())
    assert (type(made), list(made)) == (Context, list(of_api))
    holder, theirs = trace.get_current_span(made), trace.get_current_span(of_api)
    assert (type(holder), vars(holder)) == (NonRecordingSpan, vars(theirs))
    with pytest.raises(ValueError):  # noqa: PT011 - the API says no more
        made["a"] = 1
    assert otel_context.get_value("a", otel_context.set_value("a", 1, made)) == 1


def test_a_context_that_cannot_be_read_costs_no_message() -> None:
    class Broken(NonRecordingSpan):
        def get_span_context(self) -> trace.SpanContext:
            raise RuntimeError("no context")

    client, server = pair(**ALL)
    broken = trace.set_span_in_context(Broken(trace.INVALID_SPAN_CONTEXT), Context())
    odd = otel_context.set_value(next(iter(broken)), "no span", Context())
    for context in (broken, odd, Context()):
        received = server.receive(message(client.send(0, "x", context)))
        assert (received.data, received.context) == ("x", None)
    with pytest.raises(ValueError, match="context: must be"):
        client.send(0, "x", "now")  # type: ignore[arg-type]


def test_another_runtime_of_contexts_is_asked_as_the_api_says() -> None:
    ended = subprocess.run(
        [
            sys.executable,
            "-c",
            """
from opentelemetry import context as otel_context, trace
class Runtime:
    held = otel_context.Context()
    def attach(self, context): before, self.held = self.held, context; return before
    def get_current(self): return self.held
    def detach(self, token): self.held = token
otel_context._RUNTIME_CONTEXT = Runtime()
import wirespan
client = wirespan.Connection.client(bytes(16), {"mode": "always"})
client.open_client([], 0)
span = trace.NonRecordingSpan(trace.SpanContext(1, 2, False))
otel_context.attach(trace.set_span_in_context(span))
print(client.send(0, "1", "current", 0) == client.send(0, "1", wirespan.SpanContext(1, 2), 0))
""",
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr


def test_a_view_outlives_its_message() -> None:
    client, server = pair()
    for body, json_text in (('["caf\u00e9"]', True), ("a\nb" * 5000, False), ("x" * 5000, False)):
        sent = client.send(0, body, SpanContext(1, 2), json=json_text)
        views = [server.receive(message(sent)).view, server.receive(sent[1], text=True).view]
        gc.collect()
        for view in views:
            assert view is not None
            assert bytes(view) == body.encode()
            with pytest.raises(TypeError, match="read-only"):
                view[0] = 1
            part = view[1:3]
            view.release()
            assert bytes(part) == body.encode()[1:3]


USER: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")


def test_an_item_of_a_queue_runs_as_in_a_copy_of_its_context() -> None:
    def work(name: str, *, fail: bool = False) -> str:
        before = USER.get()
        USER.set(name)
        if fail:
            raise KeyError(name)
        return before

    USER.set("ada")
    carried, simple = Carried(1), Carry(contextvars.copy_context(), 0)
    USER.set("bob")
    ways: list[Callable[..., Any]] = [carried.run, simple.run]
    for run in ways:
        assert run(work, "eve") == "ada"
        assert run(run, work, "eve") == "ada"
        with pytest.raises(KeyError, match="eve"):
            run(work, "eve", fail=True)
        with pytest.raises(TypeError):
            run(work)
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(run, [work] * 32, ["eve"] * 32)) == ["ada"] * 32
    assert USER.get() == "bob"


async def test_a_full_queue_still_brings_the_context_of_put() -> None:
    queue: Queue[Any] = Queue(1)
    USER.set("ada")
    await queue.put("first")
    carried = await queue.get()
    assert carried.carry is carried.carry
    assert carried.carry.wait == carried.wait
    assert carried.run(USER.get) == "ada"


def test_items_in_a_cycle_are_collected() -> None:
    class Item:
        carried: Any

    item = Item()
    item.carried = Carried(item)
    gone = weakref.ref(item)
    del item
    gc.collect()
    assert gone() is None
