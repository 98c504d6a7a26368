"""The call ``transcribe`` over real connections, with the real SDK."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import wirespan
import wirespan.websockets
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from orders import ORDERS, path
from websockets.asyncio.client import connect

from recogniser.engine import CHUNK_BYTES
from recogniser.service import QUEUED_CHUNKS, Recogniser
from recogniser.wav import chunks, read


@pytest.fixture(scope="session")
def memory() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(memory: InMemorySpanExporter) -> Iterator[InMemorySpanExporter]:
    memory.clear()
    yield memory
    # Whatever a test does, no worker waits for chunks for ever.
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("recogniser")]


@pytest.fixture
async def connection(spans: InMemorySpanExporter) -> AsyncIterator[wirespan.TracedConnection]:
    recogniser = Recogniser()
    async with wirespan.websockets.serve({"transcribe": recogniser.transcribe}, "127.0.0.1", 0) as server:
        async with wirespan.websockets.connect(f"ws://127.0.0.1:{server.port}") as connection:
            yield connection
    await asyncio.to_thread(recogniser.close)


async def transcribe(connection: wirespan.TracedConnection, audio: list[Any], pace: float = 0) -> list[dict[str, Any]]:
    async def speak(call: wirespan.Call) -> None:
        for chunk in audio:
            await call.send(chunk)
            await asyncio.sleep(pace)
        await call.end()

    async with connection.call("transcribe") as call:
        speaking = asyncio.create_task(speak(call))
        try:
            return [message.json() async for message in call]
        finally:
            speaking.cancel()
            await asyncio.gather(speaking, return_exceptions=True)


async def finished(exporter: InMemorySpanExporter, name: str, kind: SpanKind, count: int = 1) -> list[ReadableSpan]:
    for _ in range(500):
        found = [span for span in exporter.get_finished_spans() if span.name == name and span.kind == kind]
        if len(found) >= count:
            break
        await asyncio.sleep(0.01)
    assert len(found) == count, [(span.name, span.kind) for span in exporter.get_finished_spans()]
    return found


def parent_of(span: ReadableSpan) -> int | None:
    return span.parent.span_id if span.parent is not None else None


async def test_text_comes_while_the_order_is_spoken(connection: wirespan.TracedConnection) -> None:
    audio = chunks(read(path("pizza")))
    early: list[dict[str, Any]] = []
    async with connection.call("transcribe") as call:
        for chunk in audio[:40]:
            await call.send(chunk)
        # Half of it is spoken, and not ended: there is text already.
        while not early or not early[-1]["text"].startswith("two large pizzas"):
            message = await asyncio.wait_for(call.recv(), 10)
            assert message is not None
            early.append(message.json())
        for chunk in audio[40:]:
            await call.send(chunk)
        await call.end()
        rest = [message.json() async for message in call]
    assert not any(item["final"] for item in [*early, *rest[:-1]])
    assert rest[-1] == {"text": ORDERS["pizza"], "final": True}


async def test_the_worker_has_a_span_under_that_of_the_call(
    connection: wirespan.TracedConnection, spans: InMemorySpanExporter
) -> None:
    with trace.get_tracer("test").start_as_current_span("device"):
        texts = await transcribe(connection, chunks(read(path("soup"))))
    assert texts[-1] == {"text": ORDERS["soup"], "final": True}
    (device,) = await finished(spans, "device", SpanKind.INTERNAL)
    (client,) = await finished(spans, "transcribe", SpanKind.CLIENT)
    (server,) = await finished(spans, "transcribe", SpanKind.SERVER)
    (worker,) = await finished(spans, "recognise", SpanKind.INTERNAL)
    ids = [span.context.span_id for span in (device, client, server)]
    assert [parent_of(span) for span in (client, server, worker)] == ids
    assert len({span.context.trace_id for span in (device, client, server, worker)}) == 1
    attributes = dict(worker.attributes or {})
    assert attributes["speech.seconds"] == pytest.approx(2.82, abs=0.01)
    assert isinstance(attributes["websocket.queue.wait"], float)
    assert 0 < attributes["websocket.queue.wait"] < 10
    assert attributes["websocket.session.id"] == connection.session_id
    received = dict(server.attributes or {})["websocket.stream.received.bytes"]
    assert received == len(read(path("soup")))
    assert all(span.status.status_code is StatusCode.UNSET for span in (client, server, worker))


async def test_orders_at_once_do_not_mix(connection: wirespan.TracedConnection, spans: InMemorySpanExporter) -> None:
    names = list(ORDERS)
    results = await asyncio.gather(*(transcribe(connection, chunks(read(path(name))), 0.002) for name in names))
    assert [texts[-1]["text"] for texts in results] == [ORDERS[name] for name in names]
    servers = await finished(spans, "transcribe", SpanKind.SERVER, len(names))
    workers = await finished(spans, "recognise", SpanKind.INTERNAL, len(names))
    assert {parent_of(span) for span in workers} == {span.context.span_id for span in servers}


@pytest.mark.parametrize(
    ("audio", "error_type"),
    [
        ([], "NoSpeech"),
        ([bytes(CHUNK_BYTES)] * 50, "NoSpeech"),
        # As fast as it goes: more than the queue and the call hold together.
        ([bytes(CHUNK_BYTES)] * 740, "NoSpeech"),
        ([bytes(CHUNK_BYTES - 1)], "BadAudio"),
        (["two large pizzas"], "BadAudio"),
        ([bytes(32_000)] * 31, "TooLong"),
        # The worker has given up while the call still fills the queue.
        ([bytes(1), *[bytes(2)] * (QUEUED_CHUNKS * 3)], "BadAudio"),
    ],
)
async def test_what_is_no_order_fails_the_call(
    connection: wirespan.TracedConnection, spans: InMemorySpanExporter, audio: list[Any], error_type: str
) -> None:
    with pytest.raises(wirespan.RemoteError) as raised:
        await transcribe(connection, audio)
    assert raised.value.error_type == error_type
    (server,) = await finished(spans, "transcribe", SpanKind.SERVER)
    assert dict(server.attributes or {})["error.type"] == error_type
    assert server.status.status_code is StatusCode.ERROR
    # The connection is as good as before.
    assert (await transcribe(connection, chunks(read(path("tea")))))[-1]["text"] == ORDERS["tea"]


async def test_what_was_heard_is_an_error_of_the_worker_too(
    connection: wirespan.TracedConnection, spans: InMemorySpanExporter
) -> None:
    with pytest.raises(wirespan.RemoteError):
        await transcribe(connection, [bytes(CHUNK_BYTES)] * 20)
    (worker,) = await finished(spans, "recognise", SpanKind.INTERNAL)
    assert worker.status.status_code is StatusCode.ERROR
    assert dict(worker.attributes or {})["error.type"] == "NoSpeech"
    assert [event.name for event in worker.events] == ["exception"]


async def test_garbage_harms_nobody(spans: InMemorySpanExporter) -> None:
    recogniser = Recogniser()
    async with wirespan.websockets.serve({"transcribe": recogniser.transcribe}, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.port}"
        garbage: list[str | bytes] = [
            "",
            "\0",
            '{"headers":{',
            '{"headers":{"stream":"1","kind":"call","method":"transcribe","traceparent":"00-zz"},"body":}',
            '{"headers":{"stream":"1","kind":"call","method":"other"},"body":null}',
            '{"headers":{"stream":"4294967296","kind":"dance"},"body":1}',
            b"\xff\x57\x01\x01\xff\xff",
            random.Random(3).randbytes(2000),
        ]
        async with connect(url, additional_headers={"wirespan": "1"}) as known, connect(url) as unknown:
            for message in garbage:
                await known.send(message)
                await unknown.send(message)
            async with wirespan.websockets.connect(url) as connection:
                texts = await transcribe(connection, chunks(read(path("pizza"))))
    assert texts[-1]["text"] == ORDERS["pizza"]
    await asyncio.to_thread(recogniser.close)


async def test_a_caller_that_cancels_frees_its_worker(
    connection: wirespan.TracedConnection, spans: InMemorySpanExporter
) -> None:
    call = await connection.call("transcribe")
    for chunk in chunks(read(path("coffee")))[:30]:
        await call.send(chunk)
    await asyncio.wait_for(call.recv(), 10)
    call.cancel()
    (worker,) = await finished(spans, "recognise", SpanKind.INTERNAL)
    assert worker.status.status_code is StatusCode.UNSET
    (server,) = await finished(spans, "transcribe", SpanKind.SERVER)
    assert dict(server.attributes or {})["websocket.stream.outcome"] == "cancelled"


async def test_a_caller_that_is_cut_off_frees_its_worker(spans: InMemorySpanExporter) -> None:
    recogniser = Recogniser()
    async with wirespan.websockets.serve({"transcribe": recogniser.transcribe}, "127.0.0.1", 0) as server:
        connection = await wirespan.websockets.connect(f"ws://127.0.0.1:{server.port}")
        call = await connection.call("transcribe")
        for chunk in chunks(read(path("coffee")))[:30]:
            await call.send(chunk)
        await asyncio.wait_for(call.recv(), 10)
        await connection.close()
        await finished(spans, "recognise", SpanKind.INTERNAL)
        (ended,) = await finished(spans, "transcribe", SpanKind.SERVER)
        assert ended.status.status_code is StatusCode.ERROR
    await asyncio.to_thread(recogniser.close)
