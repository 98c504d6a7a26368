"""A propagator for the OpenTelemetry API: W3C Trace Context level 2 and W3C Baggage, to the letter.

Set ``OTEL_PROPAGATORS=wirespan``, or ``opentelemetry.propagate.set_global_textmap(wirespan.Propagator())``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from opentelemetry import baggage as otel_baggage
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace import NonRecordingSpan

from ._context import current_span_context, to_otel
from ._core import extract, format_baggage, parse_baggage

_CarrierT = TypeVar("_CarrierT")

#: Context key of the properties of baggage members, which the OpenTelemetry API has no place for.
_PROPERTIES = otel_context.create_key("wirespan-baggage-properties")


class Propagator(TextMapPropagator):
    """Reads and writes ``traceparent``, ``tracestate`` and ``baggage``.

    Reading never raises, and never replaces a context by an invalid one.
    """

    @property
    def fields(self) -> set[str]:
        """The names of the headers that it writes."""
        return {"traceparent", "tracestate", "baggage"}

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Adds what the carrier holds to a context."""
        context = otel_context.get_current() if context is None else context
        span = extract(_values(getter.get(carrier, "traceparent")), _values(getter.get(carrier, "tracestate")))
        if span is not None:
            context = trace.set_span_in_context(NonRecordingSpan(to_otel(span)), context)
        members, _ = parse_baggage(_values(getter.get(carrier, "baggage")))
        properties = {}
        for name, value, property_text in members:
            context = otel_baggage.set_baggage(name, value, context)
            if property_text:
                properties[name] = (value, property_text)
        if properties:
            context = otel_context.set_value(_PROPERTIES, properties, context)
        return context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Writes what a context holds into the carrier."""
        span = current_span_context(context)
        if span is not None:
            setter.set(carrier, "traceparent", span.traceparent)
            if span.trace_state:
                setter.set(carrier, "tracestate", span.trace_state)
        baggage = otel_baggage.get_all(context)
        if baggage:
            kept: Any = otel_context.get_value(_PROPERTIES, context) or {}
            members = []
            for name, value in baggage.items():
                known, property_text = kept.get(name, (None, ""))
                # Properties belong to the value that they came with.
                members.append((name, str(value), property_text if known == value else ""))
            header, _ = format_baggage(members)
            if header:
                setter.set(carrier, "baggage", header)


def _values(values: Iterable[Any] | str | None) -> list[str | bytes]:
    if values is None:
        return []
    if isinstance(values, str):
        return [values]
    return [value for value in values if isinstance(value, str | bytes)]
