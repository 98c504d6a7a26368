"""Context through queues, executors and brokers."""

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import pytest
from harness import Spans, attributes, parent_id, span_id
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.trace import SpanKind, StatusCode
from wirespan import SpanContext, carry
from wirespan.carry import Carry, ContextExecutor, Queue, ThreadQueue, process

USER: ContextVar[str] = ContextVar("user", default="nobody")


def current_id() -> int:
    return trace.get_current_span().get_span_context().span_id


async def test_an_asyncio_queue_brings_the_context_of_put(spans: Spans, tracer: trace.Tracer) -> None:
    queue: Queue[str] = Queue(1)
    ids = {}

    async def produce() -> None:
        for name in ("a", "b"):
            with tracer.start_as_current_span(name):
                ids[name] = current_id()
                await queue.put(name)

    producer = asyncio.create_task(produce())
    await asyncio.sleep(0.02)
    for name in ("a", "b"):
        carried = await queue.get()
        assert carried.item == name
        assert current_id() == 0
        assert carried.run(current_id) == ids[name]
        with carried as item:
            assert (item, current_id()) == (name, ids[name])
        assert current_id() == 0
        assert carried.wait is not None
    await producer


async def test_a_wait_is_measured(spans: Spans) -> None:
    queue: Queue[int] = Queue()
    queue.put_nowait(1)
    await asyncio.sleep(0.05)
    wait = queue.get_nowait().wait
    assert wait is not None
    assert 0.04 < wait < 2


def test_a_thread_queue_brings_the_context_of_put(spans: Spans, tracer: trace.Tracer) -> None:
    queue: ThreadQueue[int] = ThreadQueue()
    found: list[tuple[int, str]] = []

    def work() -> None:
        carried = queue.get()
        found.append(carried.run(lambda: (current_id(), USER.get())))

    thread = threading.Thread(target=work)
    thread.start()
    USER.set("ada")
    with tracer.start_as_current_span("job"):
        expected = current_id()
        queue.put(1)
    thread.join(5)
    assert found == [(expected, "ada")]


async def test_an_executor_runs_in_the_context_of_submit(spans: Spans, tracer: trace.Tracer) -> None:
    with ContextExecutor(ThreadPoolExecutor(4)) as pool:
        with tracer.start_as_current_span("job"):
            expected = current_id()
            futures = [pool.submit(current_id) for _ in range(16)]
            in_loop = asyncio.get_running_loop().run_in_executor(pool, current_id)
        assert {future.result() for future in futures} == {expected}
        assert await in_loop == expected
        # A worker keeps nothing of it.
        assert pool.submit(current_id).result() == 0


def test_headers_go_through_a_broker(spans: Spans, tracer: trace.Tracer) -> None:
    token = otel_context.attach(baggage.set_baggage("secret", "s", baggage.set_baggage("tenant", "a=b %")))
    with tracer.start_as_current_span("job"):
        expected = current_id()
        headers = Carry.capture().to_headers(session_id="s-1", baggage_out=["tenant"], sent_unix_ns=1)
    otel_context.detach(token)
    assert list(headers) == ["traceparent", "baggage", "session", "sent"]
    raw = [(name.upper().encode(), value.encode()) for name, value in headers.items()]
    read = Carry.from_headers(raw, baggage_in=["*"])
    with read:
        assert current_id() == expected
        assert dict(baggage.get_all()) == {"tenant": "a=b %"}
    assert (read.session_id, read.sent_unix_ns, read.context_invalid) == ("s-1", 1, False)
    assert read.wait is not None
    assert read.wait > 1e9


def test_invalid_headers_keep_the_local_context(spans: Spans, tracer: trace.Tracer) -> None:
    good = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    for headers in (
        [("traceparent", "00-" + "0" * 32 + "-" + "2" * 16 + "-01")],
        [("traceparent", good), ("Traceparent", good)],
        [("traceparent", good + "\n")],
        [("traceparent", "\ud800")],
        [],
    ):
        with tracer.start_as_current_span("local"):
            local = current_id()
            read = Carry.from_headers(headers)
            assert read.run(current_id) == local
            assert read.context_invalid is bool(headers)


async def test_a_batch_links_each_of_its_items(spans: Spans, tracer: trace.Tracer) -> None:
    carries, ids = [], []
    for name in ("a", "b"):
        with tracer.start_as_current_span(name):
            ids.append(current_id())
            carries.append(Carry.from_headers(Carry.capture().to_headers()))
    with process(carries, "orders"):
        pass
    with process(carries[:1], "single", continue_trace=True):
        pass
    batch = await spans.one("process orders", SpanKind.CONSUMER)
    assert parent_id(batch) is None
    assert [link.context.span_id for link in batch.links] == ids
    assert attributes(batch)["messaging.batch.message_count"] == 2
    single = await spans.one("process single", SpanKind.CONSUMER)
    assert parent_id(single) == ids[0]
    assert [link.context.span_id for link in single.links] == ids[:1]
    assert attributes(single)["websocket.queue.wait"] >= 0


async def test_a_span_that_is_handed_over_ends_once(spans: Spans, tracer: trace.Tracer) -> None:
    kept = Carry.capture(span=tracer.start_span("kept"))
    assert kept.run(current_id) != 0
    kept.end_span()
    kept.end_span()
    dropped = Carry.capture(span=tracer.start_span("dropped"))
    del dropped
    gc.collect()
    assert sorted(span.name for span in spans.all()) == ["dropped", "kept"]
    assert span_id(spans.all()[0]) != 0


async def test_sending_to_a_broker_is_a_span_that_the_receiver_links(spans: Spans, tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("job"):
        expected = current_id()
        with carry.send("orders", session_id="s-1") as headers:
            inside = current_id()
    with process([Carry.from_headers(headers)], "orders"):
        pass
    with pytest.raises(KeyError), carry.send("broken"):
        raise KeyError("no")
    sent = await spans.one("send orders", SpanKind.PRODUCER)
    assert (span_id(sent), parent_id(sent)) == (inside, expected)
    assert attributes(sent)["websocket.session.id"] == headers["session"] == "s-1"
    processed = await spans.one("process orders", SpanKind.CONSUMER)
    assert [link.context.span_id for link in processed.links] == [inside]
    broken = await spans.one("send broken", SpanKind.PRODUCER)
    assert broken.status.status_code is StatusCode.ERROR
    assert attributes(broken)["error.type"] == "KeyError"


def test_carry_without_opentelemetry_gives_contexts_and_plans() -> None:
    span = SpanContext(1, 2, 1, "a=b")
    headers = carry.to_headers(span, {"tenant": "x", "secret": "y"}, "s", None, ["tenant"])
    assert [name for name, _ in headers] == ["traceparent", "tracestate", "baggage", "session"]
    read = carry.from_headers(headers, ["*"])
    assert (read.span, read.baggage, read.session_id, read.sent_unix_ns) == (span, {"tenant": "x"}, "s", None)
    plan = carry.plan_send("q", "s")
    assert (plan.name, plan.kind, plan.parent) == ("send q", "PRODUCER", "current")
    plan = carry.plan_process("q", [(span, "s", 5)], True, 10)
    assert (plan.name, plan.kind, plan.parent) == ("process q", "CONSUMER", span)
    assert plan.attributes["websocket.queue.wait"] == 5e-9
