"""Conversions between the contexts of the OpenTelemetry API and those of the core."""

import random

import pytest
from opentelemetry import baggage, trace
from opentelemetry.context import Context
from opentelemetry.trace import NonRecordingSpan, TraceFlags, TraceState
from wirespan import SpanContext
from wirespan._context import remote_context, to_core, to_otel


def test_a_context_made_in_rust_is_the_one_that_the_api_makes() -> None:
    chance = random.Random(7)
    for _ in range(200):
        trace_id, span_id, flags = chance.getrandbits(128) or 1, chance.getrandbits(64) or 1, chance.randrange(4)
        state = chance.choice(["", "a=1", "a=1,b=2"])
        members = [member.split("=") for member in state.split(",") if member]
        theirs = trace.SpanContext(
            trace_id, span_id, True, TraceFlags(flags), TraceState([(key, value) for key, value in members])
        )
        mine = to_otel(SpanContext(trace_id, span_id, flags, state))
        assert type(mine) is trace.SpanContext
        assert mine == theirs
        assert (mine.is_valid, mine.is_remote, mine.trace_flags.sampled) == (True, True, bool(flags & 1))
        assert mine.trace_state.to_header() == state
        assert to_core(theirs) == to_core(mine) == SpanContext(trace_id, span_id, flags, state)


@pytest.mark.parametrize(("trace_id", "span_id"), [(0, 1), (1, 0), (1 << 128, 1), (1, 1 << 64), (-1, 1), (1, -1)])
def test_ids_out_of_their_range_are_no_context(trace_id: int, span_id: int) -> None:
    assert to_core(trace.SpanContext(trace_id, span_id, False)) is None
    assert to_core(trace.INVALID_SPAN_CONTEXT) is None


def test_a_subclass_is_read_by_its_attributes() -> None:
    class Shifted(trace.SpanContext):
        @property
        def span_id(self) -> int:
            return self[1] + 1

    assert to_core(Shifted(1, 2, False, TraceFlags(1))) == SpanContext(1, 3, 1)


def test_other_flags_than_those_of_the_standard_are_left_out() -> None:
    assert to_core(trace.SpanContext(1, 2, False, TraceFlags(0xFF))) == SpanContext(1, 2, 3)
    assert to_core(trace.SpanContext(1, 2, False, TraceFlags(0x101))) == SpanContext(1, 2, 0)


def test_a_remote_context_holds_the_span_and_the_baggage() -> None:
    span = SpanContext(1, 2, 1, "1a=level-2")
    context = remote_context(span)
    assert type(context) is Context
    current = trace.get_current_span(context)
    assert type(current) is NonRecordingSpan
    assert current.get_span_context() == to_otel(span)
    assert context == trace.set_span_in_context(current, Context())
    both = remote_context(span, {"a": "b"}, baggage.set_baggage("c", "d", Context()))
    assert dict(baggage.get_all(both)) == {"a": "b", "c": "d"}
    assert to_core(trace.get_current_span(both).get_span_context()) == span
    assert remote_context(None) == Context()
