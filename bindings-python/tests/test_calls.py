"""Calls, streams, transfers and plain messages: the exact spans of both sides."""

import asyncio

import pytest
import wirespan
import wirespan.websockets
from harness import Spans, attributes, parent_id, span_id, trace_id, until
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode
from wirespan.websockets import connect, serve


async def echo(call: wirespan.Call) -> None:
    async for message in call:
        await call.send(message.data)


async def test_a_call_is_one_span_on_each_side(spans: Spans, tracer: trace.Tracer) -> None:
    inside: list[int] = []

    async def shout(call: wirespan.Call) -> None:
        inside.append(trace.get_current_span().get_span_context().span_id)
        async for message in call:
            await call.send(message.text.upper())

    async with serve({"shout": shout}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            session_id = connection.session_id
            with tracer.start_as_current_span("job"):
                async with connection.call("shout") as call:
                    mine = trace.get_current_span().get_span_context().span_id
                    for text in ("a", "b", "c"):
                        await call.send(text)
                    await call.end()
                    assert [str(message) async for message in call] == ["A", "B", "C"]
                assert trace.get_current_span().get_span_context().span_id != mine
            assert call.metrics.received.chunks == 3
    job = await spans.one("job", SpanKind.INTERNAL)
    client, server_span = await spans.one("shout", SpanKind.CLIENT), await spans.one("shout", SpanKind.SERVER)
    shakes = [await spans.one("websocket.handshake", kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)]
    assert len(spans.all()) == 5
    assert (parent_id(client), parent_id(server_span)) == (span_id(job), span_id(client))
    assert (mine, inside) == (span_id(client), [span_id(server_span)])
    assert trace_id(job) == trace_id(client) == trace_id(server_span) != trace_id(shakes[0])
    assert parent_id(shakes[0]) is None
    assert parent_id(shakes[1]) == span_id(shakes[0])
    for span, shake in ((client, shakes[0]), (server_span, shakes[1])):
        assert [(link.context.span_id, link.context.is_remote) for link in span.links] == [(span_id(shake), False)]
        found = attributes(span)
        assert found["websocket.session.id"] == session_id == attributes(shake)["websocket.session.id"]
        assert found["network.protocol.name"] == "websocket"
        assert (found["server.address"], found["server.port"]) == ("127.0.0.1", server.port)
        assert found["rpc.method"] == "shout"
        assert found["websocket.stream.outcome"] == "complete"
        for direction in ("sent", "received"):
            assert found[f"websocket.stream.{direction}.chunks"] == 3
            assert found[f"websocket.stream.{direction}.bytes"] == 3
            assert found[f"websocket.stream.{direction}.time_to_first_chunk"] >= 0
        assert span.status.status_code is StatusCode.UNSET


async def test_the_server_calls_the_client(spans: Spans, tracer: trace.Tracer) -> None:
    async def ask(call: wirespan.Call) -> None:
        async with call.connection.call("confirm") as back:
            await back.send({"total": 12}, last=True)
            answer = await back.recv()
        assert answer is not None
        await call.send(answer.json())

    async def confirm(call: wirespan.Call) -> None:
        message = await call.recv()
        assert message is not None
        await call.send({"yes": message.json()["total"] == 12})

    async with serve({"ask": ask}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}", handlers={"confirm": confirm}) as connection:
            async with connection.call("ask") as call:
                await call.end()
                assert [message.json() async for message in call] == [{"yes": True}]
    kinds = (SpanKind.CLIENT, SpanKind.SERVER)
    names = [(name, kind) for name in ("ask", "confirm") for kind in kinds]
    chain = [await spans.one(name, kind) for name, kind in names]
    assert [parent_id(span) for span in chain] == [None, *(span_id(span) for span in chain[:-1])]


async def test_a_transfer_is_a_producer_and_a_linked_consumer(spans: Spans) -> None:
    taken: list[bytes] = []

    async def upload(transfer: wirespan.Call) -> None:
        assert transfer.kind == "transfer"
        taken.extend([message.bytes async for message in transfer])

    async with serve({"upload": upload}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            async with connection.transfer("upload") as transfer:
                await transfer.send(b"\x00\xff")
                await transfer.send(bytearray(b"two"), last=True)
            sent = await spans.one("send upload", SpanKind.PRODUCER)
            processed = await spans.one("process upload", SpanKind.CONSUMER)
    assert taken == [b"\x00\xff", b"two"]
    assert parent_id(processed) is None
    assert (span_id(sent), True) in [(link.context.span_id, link.context.is_remote) for link in processed.links]


async def test_a_plain_message_brings_its_context_and_no_span(spans: Spans, tracer: trace.Tracer) -> None:
    seen: list[tuple[str, int, list[tuple[str, str]]]] = []

    def on_message(connection: wirespan.TracedConnection, message: wirespan.Message) -> None:
        current = trace.get_current_span().get_span_context().span_id
        seen.append((message.text, current, list(message.headers)))

    async with serve(host="127.0.0.1", port=0, on_message=on_message) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            with tracer.start_as_current_span("job") as job:
                await connection.send("with", headers=[("X-Own", "1")])
            await connection.send("without")
            await until(lambda: len(seen) == 2)
    assert seen == [("with", job.get_span_context().span_id, [("X-Own", "1")]), ("without", 0, [])]
    assert sorted(span.name for span in spans.all()) == ["job", "websocket.handshake", "websocket.handshake"]


@pytest.mark.parametrize("trust", ["continue", "link", "ignore"])
async def test_trust_decides_what_a_callers_span_is(spans: Spans, trust: str) -> None:
    async with serve({"echo": echo}, "127.0.0.1", 0, trust=trust) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            async with connection.call("echo") as call:
                await call.send("x", last=True)
                assert [str(message) async for message in call] == ["x"]
    client, served = await spans.one("echo", SpanKind.CLIENT), await spans.one("echo", SpanKind.SERVER)
    assert parent_id(served) == (span_id(client) if trust == "continue" else None)
    assert (trace_id(served) == trace_id(client)) is (trust == "continue")
    assert (span_id(client) in [link.context.span_id for link in served.links]) is (trust == "link")


@pytest.mark.parametrize(("allowed", "arrives"), [([], {}), (["tenant"], {"tenant": "a b"})])
async def test_baggage_passes_an_allow_list(spans: Spans, allowed: list[str], arrives: dict[str, str]) -> None:
    seen: list[dict[str, object]] = []

    async def look(call: wirespan.Call) -> None:
        seen.append(dict(baggage.get_all()))

    async with serve({"look": look}, "127.0.0.1", 0, baggage_in=["*"]) as server:
        async with connect(f"ws://127.0.0.1:{server.port}", baggage_out=allowed) as connection:
            token = otel_context.attach(baggage.set_baggage("secret", "s", baggage.set_baggage("tenant", "a b")))
            try:
                async with connection.call("look") as call:
                    await call.send("x", last=True)
                    assert [message async for message in call] == []
            finally:
                otel_context.detach(token)
    assert seen == [arrives]


async def test_bodies_come_out_as_they_went_in(spans: Spans) -> None:
    texts = ['{"a": 1.0,\t"b":1e400, "a":2}', "no json", ""]
    texts += ['{"headers":{"traceparent":"x"},"body":1}', "ü\u2028\0", "7 "]
    binary = [b"", b"\xff\x57\x01\x00", bytes(70_000)]
    async with serve({"echo": echo}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            async with connection.call("echo") as call:
                for body in [*texts, *binary]:
                    await call.send(body)
                await call.end()
                assert [message.data async for message in call] == [*texts, *binary]


async def test_handlers_run_at_most_so_many_at_once(spans: Spans) -> None:
    running = most = 0

    async def work(call: wirespan.Call) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1

    async def one(connection: wirespan.TracedConnection) -> None:
        async with connection.call("work") as call:
            await call.end()
            assert [message async for message in call] == []

    async with serve({"work": work}, "127.0.0.1", 0, max_running=2) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            await asyncio.gather(*(one(connection) for _ in range(7)))
    assert most == 2
    await spans.wait("work", SpanKind.SERVER, 7)


async def test_calls_are_iterated_by_those_who_schedule_themselves(spans: Spans) -> None:
    async def take(connection: wirespan.TracedConnection) -> None:
        async for call in connection.calls():
            async with call:
                await call.send(f"{call.method} {call.registered}")

    async with serve(host="127.0.0.1", port=0, on_connect=take) as server:
        async with connect(f"ws://127.0.0.1:{server.port}") as connection:
            async with connection.call("any") as call:
                await call.send("x", last=True)
                assert [str(message) async for message in call] == ["any False"]
    # A peer never chooses names of spans.
    assert "rpc.method" not in attributes(await spans.one("websocket call", SpanKind.SERVER))


async def test_unsampled_calls_carry_their_context(spans: Spans) -> None:
    seen: list[trace.SpanContext] = []

    async def look(call: wirespan.Call) -> None:
        seen.append(trace.get_current_span().get_span_context())

    off = TracerProvider(sampler=ALWAYS_OFF)
    async with serve({"look": look}, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{server.port}", tracer_provider=off) as connection:
            async with connection.call("look") as call:
                await call.send("x", last=True)
                assert [message async for message in call] == []
    assert call.span_context is not None
    assert seen[0].trace_id == call.span_context.trace_id
    assert not seen[0].trace_flags.sampled
    assert call.metrics.sent.chunks == 1
    assert spans.all() == []


async def test_the_connection_can_be_one_trace(spans: Spans) -> None:
    async with serve({"echo": echo}, "127.0.0.1", 0, trace_scope="connection") as server:
        async with connect(f"ws://127.0.0.1:{server.port}", trace_scope="connection") as connection:
            async with connection.call("echo") as call:
                await call.send("x", last=True)
                assert [str(message) async for message in call] == ["x"]
    mine = await spans.one("websocket.connection", SpanKind.CLIENT)
    its = await spans.one("websocket.connection", SpanKind.SERVER)
    client = await spans.one("echo", SpanKind.CLIENT)
    # The request carries the span that was started last: that of the handshake, within the connection.
    shakes = [span for span in spans.all() if span.name == "websocket.handshake" and parent_id(span) == span_id(mine)]
    assert (parent_id(its), parent_id(client)) == (span_id(shakes[0]), span_id(mine))
    assert attributes(mine)["websocket.close.code"] == 1000
    assert mine.status.status_code is StatusCode.UNSET
