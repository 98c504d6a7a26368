"""Between the contexts of the OpenTelemetry API and those of the core."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from opentelemetry import baggage as otel_baggage
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, TraceState

from ._core import SpanContext, remote_span_context, to_otel
from ._core import from_otel as to_core

__all__ = ["current_baggage", "current_span_context", "remote_context", "to_core", "to_otel"]


class LevelTwoTraceState(TraceState):
    """Members that the core has read. The class of the API knows the grammar of level 1 only and would drop some."""

    def __init__(self, header: str) -> None:
        super().__init__()
        self._dict = OrderedDict(member.split("=", 1) for member in header.split(","))


def current_span_context(context: Context | None = None) -> SpanContext | None:
    """The core's context of the span that is current."""
    return to_core(trace.get_current_span(context).get_span_context())


def remote_context(
    span: SpanContext | None, baggage: Mapping[str, str] | None = None, base: Context | None = None
) -> Context:
    """A context that holds a remote span and baggage, on top of ``base`` (default: an empty one)."""
    if base is None:
        context = Context() if span is None else remote_span_context(span)
    elif span is None:
        context = base
    else:
        context = trace.set_span_in_context(NonRecordingSpan(to_otel(span)), base)
    if baggage:
        for name, value in baggage.items():
            context = otel_baggage.set_baggage(name, value, context)
    return context


def current_baggage(context: Context | None = None) -> dict[str, str]:
    """The baggage of a context, as texts."""
    return {name: str(value) for name, value in otel_baggage.get_all(context).items()}
