"""How messages come from the library and go to it: the short way and the one through tasks, whose order is the same."""

import asyncio
import random
from typing import Any

import pytest
import wirespan
from harness import Spans, until
from opentelemetry import context as otel_context
from websockets.asyncio.client import connect as raw_connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as raw_serve
from wirespan.websockets import connect, serve

#: The library's own class has only the way through tasks.
WAYS = pytest.mark.parametrize("way", [{}, {"create_connection": ServerConnection}], ids=["short", "tasks"])


@WAYS
async def test_messages_keep_their_order_whole_or_in_fragments_and_while_reading_pauses(
    spans: Spans, way: dict[str, Any]
) -> None:
    rng = random.Random(7)
    sent = [rng.choice([f"text {n} ü", f"bytes {n}".encode(), str(n) * 9000, b"-%d-" % n * 9000]) for n in range(400)]
    got: list[str | bytes] = []
    most_unread = 0

    async def read(connection: wirespan.TracedConnection) -> None:
        nonlocal most_unread
        async for message in connection:
            got.append(message.data)
            most_unread = max(most_unread, len(connection._plain))
            if rng.randrange(8) == 0:
                await asyncio.sleep(rng.randrange(3) / 1000)

    async with serve(host="127.0.0.1", port=0, on_connect=read, max_unread=4, **way) as server:
        async with raw_connect(f"ws://127.0.0.1:{server.port}", compression=None) as websocket:
            for body in sent:
                cut = rng.randrange(len(body)) if rng.randrange(3) == 0 else 0
                parts: Any = [body[:cut], body[cut:]] if cut else body
                await websocket.send(parts)
            await until(lambda: len(got) == len(sent))
    assert got == sent
    assert most_unread <= 5


@WAYS
async def test_text_that_is_not_utf8_closes_the_connection(spans: Spans, way: dict[str, Any]) -> None:
    async with serve(host="127.0.0.1", port=0, **way) as server:
        async with raw_connect(f"ws://127.0.0.1:{server.port}") as websocket:
            await websocket.send(b"\xff", text=True)
            await websocket.wait_closed()
            assert websocket.close_code == 1007


async def test_a_peer_that_does_not_read_makes_send_wait_and_loses_nothing(spans: Spans) -> None:
    may_read = asyncio.Event()
    got: list[str | bytes] = []

    async def handle(websocket: ServerConnection) -> None:
        await may_read.wait()
        got.extend([message async for message in websocket])

    body = "x" * 60_000

    async def send_all(connection: wirespan.TracedConnection) -> None:
        for n in range(400):
            await connection.send(f"{n} {body}")

    async with raw_serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", compression=None) as connection:
            sending = asyncio.create_task(send_all(connection))
            await asyncio.wait([sending], timeout=1)
            waits, queued = not sending.done(), connection._out_bytes
            may_read.set()
            await asyncio.wait_for(sending, 20)
    assert waits
    assert 0 < queued < 2 * 1024 * 1024
    assert got == [f"{n} {body}" for n in range(400)]


async def test_what_arrives_is_handled_outside_the_context_of_whoever_connected(spans: Spans) -> None:
    seen: list[object] = []

    async def look(call: wirespan.Call) -> None:
        seen.append(otel_context.get_value("connected"))

    async def ask(connection: wirespan.TracedConnection) -> None:
        # What comes with the upgrade is read by a task.
        await asyncio.sleep(0.05)
        async with connection.call("look") as call:
            await call.send("now", last=True)
            async for _ in call:
                pass

    async with serve(host="127.0.0.1", port=0, on_connect=ask) as server:
        token = otel_context.attach(otel_context.set_value("connected", "here"))
        try:
            async with connect(f"ws://127.0.0.1:{server.port}", handlers={"look": look}):
                await until(lambda: seen)
        finally:
            otel_context.detach(token)
    assert seen == [None]
