"""Plans become spans, through the OpenTelemetry API alone."""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

from ._context import remote_context, to_otel
from ._core import Event, Plan, SpanContext, __version__

_KINDS = {kind.name: kind for kind in SpanKind}


class SpanMaker:
    """Starts and ends the spans that plans ask for, with whatever SDK is in the process."""

    __slots__ = ("_tracer", "_wall_minus_monotonic_ns")

    def __init__(self, tracer_provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("wirespan", __version__, tracer_provider)
        # The core measures by the monotonic clock, spans are recorded by the wall clock.
        self._wall_minus_monotonic_ns = time.time_ns() - time.monotonic_ns()

    def start(self, plan: Plan, connection: Context | None = None, baggage: Mapping[str, str] | None = None) -> Context:
        """Starts the span of a plan and returns the context that holds it."""
        # What the current context holds beside its span stays; the task that reads a connection has an empty one.
        current = otel_context.get_current()
        parent = plan.parent
        if isinstance(parent, SpanContext):
            base = remote_context(parent, baggage, current)
        elif parent == "current":
            base = current
        else:
            over: trace.Span = trace.INVALID_SPAN
            if parent == "connection" and connection is not None:
                over = trace.get_current_span(connection)
            base = remote_context(None, baggage, trace.set_span_in_context(over, current))
        span = self._tracer.start_span(
            plan.name,
            context=base,
            kind=_KINDS[plan.kind],
            attributes=plan.attributes,
            links=[Link(to_otel(link, is_remote)) for link, is_remote in plan.links],
        )
        return trace.set_span_in_context(span, base)

    def update(self, context: Context, event: Event) -> None:
        """Sets attributes on an open span."""
        trace.get_current_span(context).set_attributes(event.attributes())

    def end(self, context: Context, event: Event) -> None:
        """Ends a span: attributes, events, status. What would not be recorded is not computed."""
        span = trace.get_current_span(context)
        if span.is_recording():
            span.set_attributes(event.attributes())
            for name, at_ns, attributes in event.events():
                span.add_event(name, attributes, timestamp=at_ns + self._wall_minus_monotonic_ns)
            if event.is_error:
                span.set_status(Status(StatusCode.ERROR))
        span.end()
