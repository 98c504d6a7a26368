"""How the protocol's JSON writes messages, bodies, contexts, plans and summaries."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from wirespan import Plan, SpanContext, Summary, parse_traceparent, parse_tracestate

Json = Any
Pairs = list[tuple[str | bytes, str | bytes]]


def bytes_of(encoded: str) -> bytes:
    return base64.b64decode(encoded)


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def value_of(value: Json) -> str | bytes:
    """A header's value: a text, or bytes that need not be one."""
    return value if isinstance(value, str) else bytes_of(value["base64"])


def pairs_of(headers: Iterable[list[Json]] = ()) -> Pairs:
    return [(value_of(name), value_of(value)) for name, value in headers]


def message_of(message: Json) -> tuple[bytes, bool]:
    """A message as bytes, and whether it is text."""
    if "text" in message:
        return message["text"].encode(), True
    if "text_base64" in message:
        return bytes_of(message["text_base64"]), True
    return bytes_of(message["binary"]), False


def show_message(data: str | bytes, text: bool) -> Json:
    if isinstance(data, str):
        return {"text": data}
    if not text:
        return {"binary": base64_of(data)}
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"text_base64": base64_of(data)}


def body_of(body: Json) -> tuple[str | bytes | None, dict[str, Any]]:
    """A body as ``send`` and ``wrap`` take it, and what they need to know beside it."""
    if "text" in body:
        return body["text"], {}
    if "json" in body:
        return body["json"], {"json": True}
    if "binary" in body:
        return bytes_of(body["binary"]), {}
    return None, {"text": body["none"] == "text"}


def context_of(context: Json) -> SpanContext | None:
    if context is None:
        return None
    shown = {"traceparent": context} if isinstance(context, str) else context
    parsed = parse_traceparent([shown["traceparent"]])
    if parsed is None or "tracestate" not in shown:
        return parsed
    return SpanContext(parsed.trace_id, parsed.span_id, parsed.trace_flags, parse_tracestate([shown["tracestate"]]))


def show_context(context: SpanContext | None) -> Json:
    if context is None:
        return None
    return without({"traceparent": context.traceparent, "tracestate": context.trace_state})


def show_plan(plan: Plan) -> Json:
    """A plan without its span."""
    parent = plan.parent if isinstance(plan.parent, str) else {"remote": show_context(plan.parent)}
    links = [{**show_context(link), **({"remote": True} if remote else {})} for link, remote in plan.links]
    shown = {"name": plan.name, "kind": plan.kind.upper(), "parent": parent, "links": links}
    return without({**shown, "attributes": plan.attributes})


INTERVALS = ("avg", "min", "max", "p50", "p90", "p95", "p99")


def show_summary(summary: Summary) -> Json:
    shown = {
        "chunks": summary.chunks,
        "bytes": summary.bytes,
        "time_to_first_chunk": summary.time_to_first_chunk,
        "time_to_last_chunk": summary.time_to_last_chunk,
        "rate": summary.rate,
        "intervals": summary.intervals,
        **{f"interval.{which}": getattr(summary, f"interval_{which}") for which in INTERVALS},
        "stalls": summary.stalls,
        "stall_time": summary.stall_time,
        "clock_back": summary.clock_back,
        "outcome": summary.outcome,
        "relative_error": summary.relative_error,
    }
    return {name: value for name, value in shown.items() if value is not None}


def counts(**named: int) -> dict[str, int]:
    return without({name: int(n) for name, n in named.items()})


def without(shown: dict[str, Json]) -> dict[str, Json]:
    """Leaves out what is absent, empty or zero."""
    return {name: value for name, value in shown.items() if value or (isinstance(value, float) and value == 0.0)}
