"""Between the contexts of the OpenTelemetry API and those of the core."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from opentelemetry import baggage as otel_baggage
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, TraceFlags, TraceState

from ._core import SpanContext


class _TraceState(TraceState):
    """Members that the core has read. The class of the API knows the grammar of level 1 only and would drop some."""

    def __init__(self, header: str) -> None:
        super().__init__()
        self._dict = OrderedDict(member.split("=", 1) for member in header.split(","))


def to_core(span_context: trace.SpanContext) -> SpanContext | None:
    """The core's context of a span; None if the span has no valid one."""
    if not span_context.is_valid:
        return None
    state = span_context.trace_state
    return SpanContext(
        span_context.trace_id,
        span_context.span_id,
        int(span_context.trace_flags),
        state.to_header() if state else "",
    )


def current_span_context(context: Context | None = None) -> SpanContext | None:
    """The core's context of the span that is current."""
    return to_core(trace.get_current_span(context).get_span_context())


def to_otel(span: SpanContext) -> trace.SpanContext:
    """The OpenTelemetry API's context of a remote span."""
    state = _TraceState(span.trace_state) if span.trace_state else TraceState()
    return trace.SpanContext(span.trace_id, span.span_id, True, TraceFlags(span.trace_flags), state)


def remote_context(
    span: SpanContext | None, baggage: Mapping[str, str] | None = None, base: Context | None = None
) -> Context:
    """A context that holds a remote span and baggage, on top of ``base`` (default: an empty one)."""
    context = Context() if base is None else base
    if span is not None:
        context = trace.set_span_in_context(NonRecordingSpan(to_otel(span)), context)
    for name, value in (baggage or {}).items():
        context = otel_baggage.set_baggage(name, value, context)
    return context


def current_baggage(context: Context | None = None) -> dict[str, str]:
    """The baggage of a context, as texts."""
    return {name: str(value) for name, value in otel_baggage.get_all(context).items()}
