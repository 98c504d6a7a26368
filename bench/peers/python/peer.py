"""The Python peer of the end-to-end benchmark: ``peer.py server MODE`` or ``peer.py client MODE PORT``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson
import websockets.asyncio.client
import websockets.asyncio.server
import wirespan.websockets
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from websockets.exceptions import ConnectionClosed
from wirespan import Call, TracedConnection

#: The library compresses unless it is told not to, and then compressing would be most of what is measured.
OPTIONS: dict[str, Any] = {"compression": None}
PROPAGATOR = TraceContextTextMapPropagator()
WORDS = "The quick brown fox jumps over the lazy dog. "

Body = str | bytes


class NoExport(SpanExporter):
    """Takes spans and lets them go: what an exporter costs is not Wirespan's."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(NoExport()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("bench")


@dataclass
class Run:
    """What the orchestrator asks a client for: ``SIZE FORM SECONDS WINDOW``."""

    body: Body
    until: float
    #: How many messages are on their way at a time.
    window: int

    @staticmethod
    def parse(line: str) -> Run:
        size, form, seconds, window = line.split()
        body: Body
        if form == "text":
            room = int(size) - len('{"text":""}')
            body = json.dumps({"text": (WORDS * (room // len(WORDS) + 1))[:room]}, separators=(",", ":"))
        else:
            body = bytes(n * 7 & 255 for n in range(int(size)))
        return Run(body, time.monotonic() + float(seconds), int(window))

    def goes_on(self) -> bool:
        return time.monotonic() < self.until


# -- the envelope by hand: JSON with the body left as it stands, or a length, JSON of the headers, and the payload


class Wire(msgspec.Struct):
    headers: dict[str, str]
    body: msgspec.Raw


DECODER = msgspec.json.Decoder(Wire)


def wrap(body: Body | msgspec.Raw, context: Context | None = None) -> tuple[bytes, bool]:
    """A message in its envelope, and whether it is text."""
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, context)
    if isinstance(body, bytes):
        head = orjson.dumps(headers)
        return b"".join((struct.pack(">H", len(head)), head, body)), False
    fragment = orjson.Fragment(body if isinstance(body, str) else bytes(body))
    return orjson.dumps({"headers": headers, "body": fragment}), True


def unwrap(message: bytes, text: bool) -> tuple[Context, bytes | msgspec.Raw]:
    if text:
        wire = DECODER.decode(message)
        return PROPAGATOR.extract(wire.headers, Context()), wire.body
    end = 2 + struct.unpack_from(">H", message)[0]
    return PROPAGATOR.extract(orjson.loads(message[2:end]), Context()), message[end:]


# -- servers


async def echo_untraced(socket: websockets.asyncio.server.ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


async def echo_idiom(socket: websockets.asyncio.server.ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = await socket.recv(decode=False)
            context, body = unwrap(message, message.startswith(b"{"))
            data, text = wrap(body, context)
            await socket.send(data, text=text)


async def echo_idiom_call(socket: websockets.asyncio.server.ServerConnection) -> None:
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = await socket.recv(decode=False)
            context, body = unwrap(message, message.startswith(b"{"))
            with tracer.start_as_current_span("echo", context, SpanKind.SERVER):
                data, text = wrap(body)
                await socket.send(data, text=text)


async def echo_plain(connection: TracedConnection) -> None:
    async for message in connection:
        with message:
            await connection.send(message.data, json=isinstance(message.data, str))


async def echo_call(call: Call) -> None:
    async for chunk in call:
        await call.send(chunk.data, json=isinstance(chunk.data, str))


async def answer_call(call: Call) -> None:
    asked = await call.recv()
    await call.send(asked.data, last=True, json=isinstance(asked.data, str))


async def serve(mode: str) -> None:
    server: Any
    if mode in ("plain", "stream", "call"):
        handlers = None if mode == "plain" else {"echo": echo_call, "answer": answer_call}
        on_connect = echo_plain if mode == "plain" else None
        server = await wirespan.websockets.serve(handlers, "127.0.0.1", 0, on_connect=on_connect, **OPTIONS)
        port = server.port
    else:
        echo = {"untraced": echo_untraced, "idiom": echo_idiom, "idiom-call": echo_idiom_call}[mode]
        server = await websockets.asyncio.server.serve(echo, "127.0.0.1", 0, **OPTIONS)
        port = server.sockets[0].getsockname()[1]
    print("port", port, flush=True)
    while await next_line():
        pass
    server.close()
    await server.wait_closed()


# -- clients


async def windowed(run: Run, send: Callable[[], Awaitable[None]], receive: Callable[[], Awaitable[None]]) -> int:
    """Keeps a window of messages on their way until the time is over; gives the number of round trips."""
    round_trips, on_way = 0, 0
    while on_way < run.window:
        await send()
        on_way += 1
    while on_way:
        await receive()
        round_trips += 1
        if run.goes_on():
            await send()
        else:
            on_way -= 1
    return round_trips


def run_untraced(socket: websockets.asyncio.client.ClientConnection, run: Run) -> Awaitable[int]:
    async def receive() -> None:
        await socket.recv()

    return windowed(run, lambda: socket.send(run.body), receive)


def run_idiom(socket: websockets.asyncio.client.ClientConnection, run: Run) -> Awaitable[int]:
    is_text = isinstance(run.body, str)

    async def send() -> None:
        data, text = wrap(run.body)
        await socket.send(data, text=text)

    async def receive() -> None:
        unwrap(await socket.recv(decode=False), is_text)

    return windowed(run, send, receive)


def run_idiom_call(socket: websockets.asyncio.client.ClientConnection, run: Run) -> Awaitable[int]:
    is_text = isinstance(run.body, str)
    spans: deque[Span] = deque()

    async def send() -> None:
        span = tracer.start_span("echo", kind=SpanKind.CLIENT)
        spans.append(span)
        data, text = wrap(run.body, trace.set_span_in_context(span))
        await socket.send(data, text=text)

    async def receive() -> None:
        unwrap(await socket.recv(decode=False), is_text)
        spans.popleft().end()

    return windowed(run, send, receive)


def run_plain(connection: TracedConnection, run: Run) -> Awaitable[int]:
    is_text = isinstance(run.body, str)

    async def receive() -> None:
        await connection.recv()

    return windowed(run, lambda: connection.send(run.body, json=is_text), receive)


async def run_stream(connection: TracedConnection, run: Run) -> int:
    is_text = isinstance(run.body, str)
    async with connection.call("echo") as call:

        async def receive() -> None:
            await call.recv()

        round_trips = await windowed(run, lambda: call.send(run.body, json=is_text), receive)
        await call.end()
        async for _ in call:
            pass
    return round_trips


async def run_call(connection: TracedConnection, run: Run) -> int:
    is_text = isinstance(run.body, str)

    async def calls() -> int:
        round_trips = 0
        while run.goes_on():
            async with connection.call("answer") as call:
                await call.send(run.body, last=True, json=is_text)
                async for _ in call:
                    pass
            round_trips += 1
        return round_trips

    return sum(await asyncio.gather(*(calls() for _ in range(run.window))))


CLIENTS: dict[str, Any] = {
    "untraced": run_untraced,
    "idiom": run_idiom,
    "idiom-call": run_idiom_call,
    "plain": run_plain,
    "stream": run_stream,
    "call": run_call,
}


async def client(mode: str, port: str) -> None:
    library = wirespan.websockets if mode in ("plain", "stream", "call") else websockets.asyncio.client
    async with library.connect(f"ws://127.0.0.1:{port}", **OPTIONS) as connection:
        print("ready", flush=True)
        while line := await next_line():
            run = Run.parse(line)
            # What is sent outside a call is sent inside this span.
            with tracer.start_as_current_span("run"):
                started = time.monotonic_ns()
                round_trips = await CLIENTS[mode](connection, run)
            print("done", round_trips, time.monotonic_ns() - started, flush=True)


async def next_line() -> str:
    return await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)


def main() -> None:
    if len(sys.argv) == 3 and sys.argv[1] == "server":
        asyncio.run(serve(sys.argv[2]))
    elif len(sys.argv) == 4 and sys.argv[1] == "client":
        asyncio.run(client(sys.argv[2], sys.argv[3]))
    else:
        sys.exit("usage: peer.py server MODE | client MODE PORT")
    provider.shutdown()


if __name__ == "__main__":
    main()
