"""How calls end: cancelled, failed, cut off, stalled."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import wirespan
from harness import Spans, attributes, parent_id, span_id, until
from opentelemetry.trace import SpanKind, StatusCode
from wirespan.websockets import connect, serve


async def echo(call: wirespan.Call) -> None:
    async for message in call:
        await call.send(message.data)


async def test_a_cancelled_task_cancels_its_call(spans: Spans) -> None:
    ended: list[str] = []

    async def wait(call: wirespan.Call) -> None:
        try:
            await call.send("ready")
            async for _ in call:
                pass
        except wirespan.CancelledError as error:
            ended.append(error.kind)
            raise

    async with serve({"wait": wait}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            ready = asyncio.Event()

            async def run() -> None:
                async with connection.call("wait") as call:
                    await call.send("x")
                    await call.recv()
                    ready.set()
                    await call.recv()

            task = asyncio.create_task(run())
            await asyncio.wait_for(ready.wait(), 5)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: ended)
            for kind in (SpanKind.CLIENT, SpanKind.SERVER):
                span = await spans.one("wait", kind)
                assert attributes(span)["websocket.stream.outcome"] == "cancelled"
                assert span.status.status_code is StatusCode.UNSET
    assert ended == ["cancelled"]


async def test_an_exception_of_a_handler_fails_the_call(spans: Spans, caplog: pytest.LogCaptureFixture) -> None:
    class NoStock(Exception):
        pass

    async def order(call: wirespan.Call) -> None:
        raise NoStock("none")

    async with serve({"order": order}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            with pytest.raises(wirespan.RemoteError) as raised, caplog.at_level(logging.ERROR):
                async with connection.call("order") as call:
                    await call.send("x", last=True)
                    await call.recv()
            assert (raised.value.kind, raised.value.error_type) == ("remote", "NoStock")
            # The connection serves on.
            with pytest.raises(wirespan.RemoteError) as unknown:
                async with connection.call("other") as call:
                    await call.send("x", last=True)
                    await call.recv()
            assert unknown.value.error_type == "unknown_method"
    served = await spans.one("order", SpanKind.SERVER)
    assert served.status.status_code is StatusCode.ERROR
    assert attributes(served)["error.type"] == "NoStock"
    assert [event.name for event in served.events] == ["exception"]
    assert "the handler of 'order' failed" in caplog.text
    assert parent_id(served) == span_id(await spans.one("order", SpanKind.CLIENT))


async def test_an_exception_in_the_block_fails_the_call(spans: Spans) -> None:
    async with serve({"echo": echo}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            with pytest.raises(KeyError):
                async with connection.call("echo") as call:
                    await call.send("x")
                    raise KeyError("mine")
            for kind in (SpanKind.CLIENT, SpanKind.SERVER):
                span = await spans.one("echo", kind)
                assert attributes(span)["error.type"] == "KeyError" or kind is SpanKind.SERVER
                assert span.status.status_code is StatusCode.ERROR


class Proxy:
    """A TCP proxy whose connections can be cut without a close frame."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers += [writer, other_writer]
        await asyncio.gather(self._pipe(reader, other_writer), self._pipe(other_reader, writer))

    async def _pipe(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def stop(self) -> None:
        self.cut()
        self._server.close()


async def test_a_cut_connection_ends_every_span_and_the_next_one_links_it(spans: Spans) -> None:
    async with serve({"echo": echo}, "127.0.0.1", 0) as server:
        proxy = Proxy(server.port)
        port = await proxy.start()
        first = await connect(f"ws://127.0.0.1:{port}")
        with pytest.raises(wirespan.ClosedError):
            async with first.call("echo") as call:
                for text in ("a", "b"):
                    await call.send(text)
                    await call.recv()
                proxy.cut()
                await call.recv()
        await asyncio.wait_for(first.wait_closed(), 5)
        for kind in (SpanKind.CLIENT, SpanKind.SERVER):
            span = await spans.one("echo", kind)
            assert span.status.status_code is StatusCode.ERROR
            assert attributes(span)["error.type"] in ("closed", "ClosedError")
        old = [await spans.one("websocket.handshake", kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)]
        async with connect(f"ws://127.0.0.1:{port}", session=first.resumption) as second:
            assert second.session_id == first.session_id
            async with second.call("echo") as call:
                await call.send("again", last=True)
                assert [str(message) async for message in call] == ["again"]
        await proxy.stop()
    for kind, earlier in zip((SpanKind.CLIENT, SpanKind.SERVER), old, strict=True):
        _, new = await spans.wait("websocket.handshake", kind, 2)
        assert span_id(earlier) in [link.context.span_id for link in new.links]
        assert attributes(new)["websocket.session.id"] == first.session_id


async def test_one_stalled_reader_of_eight_holds_the_others_up_for_a_bounded_time(spans: Spans) -> None:
    async def pour(call: wirespan.Call) -> None:
        async for message in call:
            for _ in range(int(message.text)):
                await call.send(bytes(4096))

    async def read(connection: wirespan.TracedConnection) -> int:
        async with connection.call("pour") as call:
            await call.send("100", last=True)
            return len([message async for message in call])

    async with serve({"pour": pour}, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}"
        async with connect(url, overflow_wait=0.5, ping_interval=0.2, ping_timeout=2) as connection:
            async with connection.call("pour") as stalled:
                await stalled.send("2000", last=True)
                await until(lambda: not connection.core.may_read)
                counts = await asyncio.wait_for(asyncio.gather(*(read(connection) for _ in range(7))), 5)
                assert counts == [100] * 7
                unread = 0
                with pytest.raises(wirespan.OverflowError):
                    while await stalled.recv() is not None:
                        unread += 1
                # 1 MiB, and the message that was on its way.
                assert 0 < unread <= 257
            assert connection.counters["overflow"] == 1
            assert connection.core.is_open


async def test_a_silent_stream_times_out(spans: Spans) -> None:
    async def quiet(call: wirespan.Call) -> None:
        await asyncio.sleep(0.6)

    async with serve({"quiet": quiet}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}", idle_timeout=0.1) as connection:
            with pytest.raises(wirespan.TimeoutError):
                async with connection.call("quiet") as call:
                    await call.send("x")
                    await call.recv()
    assert attributes(await spans.one("quiet", SpanKind.CLIENT))["error.type"] in ("timeout", "TimeoutError")


async def test_a_refused_handshake_ends_its_span_with_an_error(spans: Spans) -> None:
    with pytest.raises(OSError, match=r"127\.0\.0\.1"):
        await connect("ws://127.0.0.1:1")
    span = await spans.one("websocket.handshake", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.ERROR
    assert attributes(span)["error.type"] == "ConnectionRefusedError"


async def test_a_client_that_goes_away_in_the_handshake_leaves_no_open_span(spans: Spans) -> None:
    asked = asyncio.Event()

    async def vouch(session_id: str, request: object) -> bool:
        asked.set()
        await asyncio.sleep(0.1)
        return True

    async with serve(host="127.0.0.1", port=0, vouch=vouch) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = ["GET / HTTP/1.1", "Host: x", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
        head += ["Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "wirespan: 1;session=s", "", ""]
        writer.write("\r\n".join(head).encode())
        await asyncio.wait_for(asked.wait(), 5)
        writer.transport.abort()
        span = await spans.one("websocket.handshake", SpanKind.SERVER)
        await until(lambda: server.connections == [])
    assert attributes(span)["websocket.session.id"] == "s"


async def test_sending_on_a_closed_connection_says_so(spans: Spans) -> None:
    async with serve({"echo": echo}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            pass
        with pytest.raises(wirespan.ClosedError):
            await connection.send("late")
        with pytest.raises(wirespan.ClosedError):
            async with connection.call("echo"):
                pass
        assert await connection.recv() is None


async def test_a_closed_connection_fails_its_readers_and_cancels_handlers_that_wait_for_something_else(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    ended: dict[str, str] = {}
    started: set[str] = set()

    def handler(method: str, wait: Callable[[wirespan.Call], Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
        async def run(call: wirespan.Call) -> None:
            started.add(method)
            try:
                await wait(call)
            except BaseException as error:
                ended[method] = type(error).__name__
                raise

        return run

    async def read(call: wirespan.Call) -> None:
        while await call.recv() is not None:
            pass

    async def write(call: wirespan.Call) -> None:
        while True:
            await call.send("x")
            await asyncio.sleep(0.01)

    handlers = {
        "read": handler("read", read),
        "write": handler("write", write),
        "elsewhere": handler("elsewhere", lambda _: asyncio.Event().wait()),
        "short": handler("short", lambda _: asyncio.sleep(0.1)),
    }
    async with serve(handlers, "127.0.0.1", 0, handler_grace=0.3) as server:
        proxy = Proxy(server.port)
        connection = await connect(f"ws://127.0.0.1:{await proxy.start()}")
        calls = [await connection.call(method) for method in handlers]
        for call in calls:
            await call.send("x")
        await until(lambda: started == set(handlers))
        (accepted,) = server.connections
        proxy.cut()
        for call in calls:
            with pytest.raises(wirespan.ClosedError):
                while await call.recv() is not None:
                    pass
        await asyncio.wait_for(accepted.wait_closed(), 5)
        assert ended == {"read": "ClosedError", "write": "ClosedError", "elsewhere": "CancelledError"}
        await proxy.stop()
    for method in handlers:
        for kind in (SpanKind.CLIENT, SpanKind.SERVER):
            span = await spans.one(method, kind)
            assert span.status.status_code is StatusCode.ERROR
            assert attributes(span)["error.type"] == "closed"
    # The SDK warns of a span that is ended or changed after its end.
    assert "ended span" not in caplog.text
