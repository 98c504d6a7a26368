"""Peers without Wirespan, and peers that send garbage."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import wirespan
from harness import Spans, until
from opentelemetry import trace
from opentelemetry.trace import SpanKind
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as raw_connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as raw_serve
from wirespan.websockets import connect, serve

TEXTS: list[str | bytes] = ['{"a": 1.0}', "no json", '{"headers":{"traceparent":"x"},"body":1}', "ü"]
BINARY: list[str | bytes] = [b"", b"\xff\x57\x01\x00\x00\x00x"]


@asynccontextmanager
async def raw_echo() -> AsyncIterator[tuple[int, list[str | bytes]]]:
    """A server without Wirespan that echoes; its port and what it got."""
    got: list[str | bytes] = []

    async def handle(websocket: ServerConnection) -> None:
        async for message in websocket:
            got.append(message)
            await websocket.send(message)

    async with raw_serve(handle, "127.0.0.1", 0) as server:
        yield next(iter(server.sockets)).getsockname()[1], got


async def test_a_server_without_it_gets_every_byte_as_it_was_sent(spans: Spans, tracer: trace.Tracer) -> None:
    async with raw_echo() as (port, got):
        async with connect(f"ws://127.0.0.1:{port}") as connection:
            assert connection.peer == "unknown"
            with tracer.start_as_current_span("job"):
                for body in [*TEXTS, *BINARY]:
                    await connection.send(body)
                    answer = await connection.recv()
                    assert answer is not None
                    assert answer.data == body
                async with connection.call("m") as call:
                    await call.send("question")
                    answer = await call.recv()
                    assert str(answer) == "question"
    assert got == [*TEXTS, *BINARY, "question"]


async def test_messages_with_room_for_headers_carry_the_context_there(spans: Spans, tracer: trace.Tracer) -> None:
    async with raw_echo() as (port, got):
        async with connect(f"ws://127.0.0.1:{port}", profile="seed") as connection:
            with tracer.start_as_current_span("job") as job:
                await connection.send('{ "headers": null, "body": {"n": 1.0} }')
                answer = await connection.recv()
    context = job.get_span_context()
    parent = f'"traceparent":"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"'
    assert got == ['{ "headers": {' + parent + '}, "body": {"n": 1.0} }']
    assert answer is not None
    assert answer.data == got[0], "the application gets its message whole"
    assert trace.get_current_span(answer.context).get_span_context().span_id == context.span_id


async def test_a_naming_set_names_the_spans(spans: Spans) -> None:
    async def echo(call: wirespan.Call) -> None:
        async for message in call:
            await call.send(message.data, last=True)

    async with serve({"echo": echo}, "127.0.0.1", 0, naming="loongsuite") as server:
        async with connect(f"ws://127.0.0.1:{server.port}", naming="loongsuite") as connection:
            async with connection.call("echo") as call:
                await call.send("question", last=True)
                assert str(await call.recv()) == "question"
    await spans.wait("Client send message", SpanKind.CLIENT)
    await spans.wait("Server handle message", SpanKind.SERVER)


async def test_a_client_without_it_gets_every_byte_as_it_was_sent(spans: Spans, tracer: trace.Tracer) -> None:
    async def answer(connection: wirespan.TracedConnection, message: wirespan.Message) -> None:
        with tracer.start_as_current_span("job"):
            await connection.send(message.data)

    async with serve(host="127.0.0.1", port=0, on_message=answer) as server:
        async with raw_connect(f"ws://127.0.0.1:{server.port}") as websocket:
            assert websocket.response is not None
            for body in [*TEXTS, *BINARY]:
                await websocket.send(body)
                assert await websocket.recv() == body


async def test_mode_never_writes_nothing(spans: Spans) -> None:
    seen: list[set[str]] = []

    async def handle(websocket: ServerConnection) -> None:
        assert websocket.request is not None
        seen.append({name.lower() for name, _ in websocket.request.headers.raw_items()})

    async with raw_serve(handle, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        for mode in ("never", "auto"):
            async with connect(f"ws://127.0.0.1:{port}", mode=mode):
                pass
        await until(lambda: len(seen) == 2)
    assert not seen[0] & {"wirespan", "traceparent"}
    assert seen[1] >= {"wirespan", "traceparent"}


async def drain(websocket: ClientConnection) -> None:
    async for _ in websocket:
        pass


async def test_garbage_of_an_announced_peer_harms_nobody(spans: Spans) -> None:
    async def echo(call: wirespan.Call) -> None:
        async for message in call:
            await call.send(message.data)

    rng = random.Random(1)
    async with serve({"echo": echo}, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with raw_connect(url, additional_headers={"wirespan": "1;session=x"}) as garbage, connect(url) as good:
            replies = asyncio.create_task(drain(garbage))
            for n in range(200):
                head = '{"headers":{"stream":"' + str(n) * 9
                await garbage.send(rng.randbytes(rng.randrange(200)) if n % 2 else head)
                await garbage.send('{"headers":{"kind":"call","stream":"' + str(2 * n + 1) + '"},"body":null}')
            async with good.call("echo") as call:
                await call.send("x", last=True)
                assert [str(message) async for message in call] == ["x"]
            await asyncio.wait_for(await garbage.ping(), 5)
            replies.cancel()
            (one,) = [item for item in server.connections if item.session_id == "x"]
            assert one.core.open_streams == 0


async def test_a_subprotocol_of_the_application_is_selected(spans: Spans) -> None:
    async with serve(host="127.0.0.1", port=0, subprotocols=["chat"]) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url, subprotocols=["chat"], subprotocol="beside") as connection:
            assert connection.peer == "announced"


async def test_a_session_is_replaced_unless_it_is_vouched_for(spans: Spans) -> None:
    async def vouch(session_id: str, request: object) -> bool:
        return session_id == "mine"

    async with serve(host="127.0.0.1", port=0, vouch=vouch) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url, session="mine") as first, connect(url, session="other") as other:
            assert first.session_id == "mine"
            assert other.session_id != "other"
            async with connect(url, session="mine") as second:
                assert second.session_id == "mine"
