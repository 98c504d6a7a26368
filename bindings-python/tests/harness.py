"""Real connections on loopback, real spans of the official SDK."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind


class Spans:
    """The finished spans of a test."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    async def wait(self, name: str, kind: SpanKind, count: int = 1) -> list[ReadableSpan]:
        """The spans with a name and kind, once there are as many as expected; never more."""
        found: list[ReadableSpan] = []
        for _ in range(300):
            found = [span for span in self.all() if span.name == name and span.kind is kind]
            if len(found) >= count:
                break
            await asyncio.sleep(0.01)
        assert len(found) == count, [(span.name, span.kind) for span in self.all()]
        return found

    async def one(self, name: str, kind: SpanKind) -> ReadableSpan:
        return (await self.wait(name, kind))[0]


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    return memory


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> Spans:
    exporter.clear()
    return Spans(exporter)


@pytest.fixture
def tracer(exporter: InMemorySpanExporter) -> trace.Tracer:
    return trace.get_tracer("test")


def parent_id(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def span_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.span_id)


def trace_id(span: ReadableSpan) -> int:
    assert span.context is not None
    return int(span.context.trace_id)


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Waits for a condition."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)
