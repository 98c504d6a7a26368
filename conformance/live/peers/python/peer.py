"""The Python peer of the live matrix; conformance/live/PEERS.md says what it is asked."""

import asyncio
import base64
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import websockets
import wirespan
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from wirespan import carry
from wirespan.websockets import connect, serve

TIMES = {"hello_wait", "stall_threshold", "idle_timeout", "overflow_wait"}
LARGE = 65_536

Json = dict[str, Any]


class Boom(Exception):
    """What handlers and callers raise when they are told to."""


def to_body(message: Json) -> str | bytes:
    if "text" in message:
        return str(message["text"])
    if "size" in message:
        return '"' + "x" * message["size"] + '"'
    if "zeros" in message:
        return bytes(message["zeros"])
    return base64.b64decode(message["binary"])


def to_message(body: str | bytes) -> Json:
    size = len(body)
    if isinstance(body, str):
        if size > LARGE and body == '"' + "x" * (size - 2) + '"':
            return {"size": size}
        return {"text": body}
    if size > LARGE and not any(body):
        return {"zeros": size}
    return {"binary": base64.b64encode(body).decode()}


def body_of(message: wirespan.Message) -> str | bytes:
    return message.data


@contextlib.contextmanager
def under(command: Json) -> Iterator[None]:
    """Makes the parent that a command names current, as a remote span."""
    context = otel_context.Context()
    if parent := command.get("parent"):
        headers = {"traceparent": parent, **({"tracestate": command["state"]} if "state" in command else {})}
        context = TraceContextTextMapPropagator().extract(headers, context)
    for name, value in command.get("baggage", {}).items():
        context = baggage.set_baggage(name, value, context)
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def options_of(command: Json) -> Json:
    given = command.get("options") or {}
    return {name: value / 1000 if name in TIMES else value for name, value in given.items()}


class Peer:
    def __init__(self, provider: TracerProvider) -> None:
        self.provider = provider
        self.tracer = trace.get_tracer("peer")
        self.connections: dict[str, Any] = {}
        self.plain: dict[str, asyncio.Queue[wirespan.Message]] = {}
        self.servers: dict[str, Any] = {}
        self.logs: dict[str, list[Json]] = {}
        self.resumptions: dict[str, Any] = {}
        self.jobs: carry.Queue[Any] = carry.Queue()
        self.worker = asyncio.create_task(self.work())

    # What a server serves.

    async def echo(self, call: wirespan.Call) -> None:
        async for chunk in call:
            await call.send(body_of(chunk))

    async def count(self, call: wirespan.Call) -> None:
        await call.send(str(len([chunk async for chunk in call])))

    async def burst(self, call: wirespan.Call) -> None:
        first = await call.recv()
        for n in range(int(first.text)):
            await call.send(str(n))

    async def ask(self, call: wirespan.Call) -> None:
        first = await call.recv()
        async with call.connection.call("confirm") as confirm:
            await confirm.send(body_of(first), last=True)
            async for answer in confirm:
                await call.send(body_of(answer))

    async def relay(self, call: wirespan.Call) -> None:
        order = (await call.recv()).json()
        async with connect(order["url"], compression=None) as onward, onward.call("echo") as echo:
            await echo.send(order["text"], last=True)
            async for answer in echo:
                await call.send(body_of(answer))

    async def queue(self, call: wirespan.Call) -> None:
        first = await call.recv()
        done = asyncio.get_running_loop().create_future()
        await self.jobs.put((call, body_of(first), done))
        await done

    async def work(self) -> None:
        while True:
            carried = await self.jobs.get()
            with carried as (call, body, done), self.tracer.start_as_current_span("work"):
                await call.send(body)
                done.set_result(None)

    async def fail(self, call: wirespan.Call) -> None:
        await call.recv()
        raise Boom

    async def slow(self, call: wirespan.Call) -> None:
        await call.send(body_of(await call.recv()))

        async def ended() -> None:
            while await call.recv() is not None:
                pass
            await call.connection.wait_closed()

        with contextlib.suppress(wirespan.WirespanError, asyncio.TimeoutError):
            await asyncio.wait_for(ended(), 10)

    async def confirm(self, call: wirespan.Call) -> None:
        await call.send(body_of(await call.recv()))

    # Commands.

    async def hello(self, _: Json) -> Json:
        return {
            "language": "python",
            "library": f"websockets {websockets.__version__}",
            "deflate": True,
            "roles": ["client", "server"],
        }

    async def serve(self, command: Json) -> Json:
        name = command["as"]
        compression = "deflate" if command.get("deflate") else None
        if command.get("raw"):

            async def back(websocket: Any) -> None:
                async for message in websocket:
                    await websocket.send(message)

            server = await websockets.serve(back, "127.0.0.1", 0, compression=compression, max_size=None)
        else:
            log = self.logs[name] = []

            async def keep(call: wirespan.Call) -> None:
                async for chunk in call:
                    log.append(to_message(body_of(chunk)))  # noqa: PERF401 (what came is asked for before all has come)

            async def reply(connection: Any, message: wirespan.Message) -> None:
                await connection.send(body_of(message))

            handlers = {
                name: getattr(self, name)
                for name in ("echo", "count", "burst", "ask", "relay", "queue", "fail", "slow")
            }
            server = await serve(
                handlers | {"log": keep},
                "127.0.0.1",
                0,
                on_message=reply,
                compression=compression,
                max_size=None,
                **options_of(command),
            )
        self.servers[name] = server
        listening = server if command.get("raw") else server.server
        return {"port": listening.sockets[0].getsockname()[1]}

    async def connect(self, command: Json) -> Json:
        name, url = command["as"], command["url"]
        compression = "deflate" if command.get("deflate") else None
        if command.get("raw"):
            self.connections[name] = await websockets.connect(
                url, additional_headers=command.get("headers"), compression=compression, max_size=None
            )
            return {"session": "", "peer": "unknown"}
        plain = self.plain[name] = asyncio.Queue()
        options = options_of(command)
        if "resume" in command:
            options["session"] = self.resumptions[command["resume"]]
        with under(command):
            connection = await connect(
                url,
                handlers={"confirm": self.confirm},
                on_message=lambda _, message: plain.put_nowait(message),
                compression=compression,
                max_size=None,
                **options,
            )
        self.connections[name] = connection
        self.resumptions[name] = connection.resumption
        return {"session": connection.session_id, "peer": connection.peer}

    async def exchange(
        self, call: wirespan.Call, command: Json, bodies: list[str | bytes], replies: list[Json]
    ) -> None:
        end = command.get("end", "normal")
        for body in bodies:
            await call.send(body)
            if command.get("interleave"):
                replies.append(to_message(body_of(await call.recv())))
        if end == "normal":
            await call.end()
        async for reply in call:
            replies.append(to_message(body_of(reply)))
            if end != "normal":
                break
        if end == "cancel":
            call.cancel()
        elif end == "raise":
            raise Boom

    async def call(self, command: Json) -> Json:
        replies: list[Json] = []
        answer: Json = {"replies": replies}
        with under(command):
            try:
                async with self.connections[command["on"]].call(command["method"]) as call:
                    await self.exchange(call, command, [to_body(message) for message in command["messages"]], replies)
            except Boom:
                pass
            except wirespan.WirespanError as error:
                answer["error"] = error.kind
        return answer

    async def calls(self, command: Json) -> Json:
        async def one(number: int) -> list[Json]:
            messages = [
                {"text": json.dumps(f"{number}:{json.loads(message['text'])}")} for message in command["messages"]
            ]
            return (await self.call(command | {"messages": messages, "interleave": True}))["replies"]

        return {"replies": await asyncio.gather(*[one(number) for number in range(command["count"])])}

    async def transfer(self, command: Json) -> Json:
        with under(command):
            async with self.connections[command["on"]].transfer(command["method"]) as transfer:
                for message in command["messages"]:
                    await transfer.send(to_body(message))
        return {}

    async def send(self, command: Json) -> Json:
        with under(command):
            await self.connections[command["on"]].send(to_body(command["message"]))
        return {}

    async def recv(self, command: Json) -> Json:
        name = command["on"]
        if name not in self.plain:
            return {"message": to_message(await self.connections[name].recv())}
        message = await self.plain[name].get()
        span = trace.get_current_span(message.context).get_span_context()
        answer = {"message": to_message(body_of(message))}
        if span.is_valid:
            answer["context"] = f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"
        return answer

    async def logged(self, command: Json) -> Json:
        log = self.logs[command["on"]]
        while len(log) < command["count"]:  # noqa: ASYNC110 (the list has many writers)
            await asyncio.sleep(0.01)
        return {"messages": log}

    async def state(self, command: Json) -> Json:
        connection = self.connections[command["on"]]
        return {"session": connection.session_id, "peer": connection.peer, "counters": connection.counters}

    async def close(self, command: Json) -> Json:
        await self.connections[command["on"]].close(command.get("code", 1000))
        return {}

    async def stop_serving(self, command: Json) -> Json:
        self.servers.pop(command["on"]).close()
        return {}

    async def flush(self, _: Json) -> Json:
        await asyncio.to_thread(self.provider.force_flush)
        return {}


async def lines() -> AsyncIterator[str]:
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode()


async def main() -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": sys.argv[1]}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    peer = Peer(provider)
    running: set[asyncio.Task[None]] = set()

    async def answer(command: Json) -> None:
        reply: Json = {"seq": command["seq"]}
        try:
            reply["ok"] = await getattr(peer, command["do"])(command)
        except Exception as error:  # The answer says what went wrong, and the peer lives on.
            reply["error"] = f"{type(error).__name__}: {error}"
        print(json.dumps(reply), flush=True)

    async for line in lines():
        command = json.loads(line)
        if command["do"] == "stop":
            break
        task = asyncio.create_task(answer(command))
        running.add(task)
        task.add_done_callback(running.discard)
    peer.worker.cancel()
    provider.shutdown()


asyncio.run(main())
