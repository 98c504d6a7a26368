"""The driver of the Python package: python driver.py. It uses what every application can use and nothing else."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable
from typing import Any

import wirespan
from connection import connection_case, options_of
from opentelemetry import trace
from opentelemetry.context import Context
from values import (
    Json,
    body_of,
    context_of,
    counts,
    message_of,
    pairs_of,
    show_context,
    show_message,
    show_plan,
    show_summary,
    value_of,
    without,
)
from wirespan import Propagator, StreamMetrics, WirespanError
from wirespan.carry import from_headers, plan_process, plan_send, to_headers
from wirespan.envelope import Envelope, convert_head, unwrap, wrap


def refusal(act: Callable[[], Json]) -> Json:
    try:
        return act()
    except WirespanError as error:
        if error.reason is None:
            raise
        return {"refused": error.reason}


def traceparent_parse(input: Json) -> Json:
    def parse() -> Json:
        context = wirespan.parse_traceparent([value_of(value) for value in input["values"]])
        return {} if context is None else {"traceparent": context.traceparent}

    return refusal(parse)


def tracestate_parse(input: Json) -> Json:
    values = [value_of(value) for value in input["values"]]
    return refusal(lambda: without({"tracestate": wirespan.parse_tracestate(values)}))


def baggage_parse(input: Json) -> Json:
    members, dropped = wirespan.parse_baggage([value_of(value) for value in input["values"]])
    return without({"members": members, "dropped": dropped})


def baggage_write(input: Json) -> Json:
    baggage, dropped = wirespan.format_baggage([(key, value, rest) for key, value, rest in input["members"]])
    return without({"baggage": baggage, "dropped": dropped})


class Fields:
    """Header fields in order, repeated ones included, as the OpenTelemetry API asks for them."""

    def get(self, carrier: list[tuple[Any, Any]], key: str) -> list[Any] | None:
        return [value for name, value in carrier if name.lower() == key] or None

    def keys(self, carrier: list[tuple[Any, Any]]) -> list[str]:
        return [name for name, _ in carrier]


def propagate(input: Json) -> Json:
    local, context = context_of(input.get("local")), Context()
    if local is not None:
        state = trace.TraceState.from_header([local.trace_state] if local.trace_state else [])
        span = trace.SpanContext(local.trace_id, local.span_id, False, trace.TraceFlags(local.trace_flags), state)
        context = trace.set_span_in_context(trace.NonRecordingSpan(span), context)
    propagator, injected = Propagator(), dict[str, str]()
    extracted = propagator.extract(pairs_of(input["headers"]), context, Fields())  # type: ignore[arg-type]
    propagator.inject(injected, extracted)
    return injected


def recognition_of(input: Json) -> str:
    return "any" if input.get("recognition") == "always" else "canonical"


def show_head(envelope: Envelope) -> Json:
    """The reserved headers as they stand in a text envelope."""
    span = envelope.span
    head = {
        "wirespan": envelope.versions,
        "role": envelope.role,
        "traceparent": None if span is None else span.traceparent,
        "tracestate": None if span is None else span.trace_state or None,
        "baggage": envelope.baggage,
        "session": envelope.session,
        "kind": envelope.kind,
        "method": envelope.method,
        "stream": envelope.stream,
        "seq": envelope.seq,
        "end": envelope.end,
        "error": envelope.error,
        "content": envelope.content,
        "sent": envelope.sent,
    }
    return {name: str(value) for name, value in head.items() if value is not None}


def envelope_unwrap(input: Json) -> Json:
    message, text = message_of(input["message"])
    envelope, reason = unwrap(message, recognition_of(input), text=text)
    if envelope is None:
        return {"plain": reason}
    drops = envelope.drops
    dropped = counts(
        context_invalid=drops.context_invalid,
        header_invalid=drops.header_invalid,
        header_repeated=drops.header_repeated,
        dropped_tracestate=drops.tracestate,
        dropped_baggage=drops.baggage,
        content_mismatch=drops.content_mismatch,
    )
    body = envelope.body
    return {
        **without({"headers": show_head(envelope), "own": envelope.headers, "counts": dropped}),
        "body": None if body is None else show_message(body, text),
    }


def envelope_wrap(input: Json) -> Json:
    head = dict(input.get("headers", {}))
    body, marks = body_of(input["body"])
    context = {name: head.pop(name) for name in ("traceparent", "tracestate") if name in head}
    numbers: dict[str, Any] = {name: int(head.pop(name)) for name in ("stream", "seq", "sent") if name in head}
    hello = (head.pop("wirespan"), head.pop("role")) if "wirespan" in head else None
    made = wrap(
        body,
        span=context_of(context) if context else None,
        headers=[(name, value) for name, value in input.get("own", ())],
        hello=hello,
        **head,
        **numbers,
        **marks,
    )
    dropped = counts(
        dropped_baggage=made.baggage_dropped, dropped_tracestate=made.tracestate_cut, dropped_header=made.own_dropped
    )
    return {"message": show_message(made.message, isinstance(made.message, str)), **without({"counts": dropped})}


def envelope_convert(input: Json) -> Json:
    message, text = message_of(input["message"])
    envelope, reason = unwrap(message, recognition_of(input), text=text)
    if envelope is None:
        return {"plain": reason}
    head = convert_head(message, recognition_of(input), text=text)
    return {"head": show_message(head, isinstance(head, str))}


def carry_to_headers(input: Json) -> Json:
    sent = input.get("sent")
    headers = to_headers(
        context_of(input.get("context")),
        input.get("baggage"),
        input.get("session"),
        None if sent is None else int(sent),
        input.get("baggage_out"),
    )
    return without({"headers": headers})


def carry_from_headers(input: Json) -> Json:
    read = from_headers(pairs_of(input["headers"]), input.get("baggage_in"))
    return without(
        {
            "context": show_context(read.span),
            "baggage": read.baggage,
            "session": read.session_id,
            "sent": None if read.sent_unix_ns is None else str(read.sent_unix_ns),
            "counts": counts(context_invalid=read.context_invalid),
        }
    )


def carry_plan_send(input: Json) -> Json:
    return {"plan": show_plan(plan_send(input.get("destination"), input.get("session")))}


def carry_plan_process(input: Json) -> Json:
    items = [
        (context_of(item.get("context")), item.get("session"), int(item["sent"]) if "sent" in item else None)
        for item in input.get("items", ())
    ]
    plan = plan_process(input.get("destination"), items, input.get("continue", False), int(input["now"]))
    return {"plan": show_plan(plan)}


def metrics(input: Json) -> Json:
    stalls, measured = [], []
    for number, steps in enumerate(input["series"]):
        one = StreamMetrics(**options_of(input.get("options")))
        for act, *arguments in steps:
            acts: dict[str, Callable[..., Any]] = {"start": one.start, "chunk": one.record_chunk, "finish": one.finish}
            stall = acts[act](*arguments)
            if stall is not None:
                interval, chunk = stall
                stalls.append([number, chunk, interval])
        measured.append(one)
    first, *others = measured
    for other in others:
        first.merge(other)
    return {**without({"stalls": stalls}), "summary": show_summary(first.summary())}


OPERATIONS: dict[str, Callable[[Json], Json]] = {
    "traceparent.parse": traceparent_parse,
    "tracestate.parse": tracestate_parse,
    "baggage.parse": baggage_parse,
    "baggage.write": baggage_write,
    "propagate": propagate,
    "envelope.unwrap": envelope_unwrap,
    "envelope.wrap": envelope_wrap,
    "envelope.convert": envelope_convert,
    "carry.to_headers": carry_to_headers,
    "carry.from_headers": carry_from_headers,
    "carry.plan_send": carry_plan_send,
    "carry.plan_process": carry_plan_process,
    "metrics": metrics,
    "connection": connection_case,
}

FEATURES = [
    "traceparent",
    "tracestate",
    "baggage",
    "propagate",
    "text",
    "binary",
    "convert",
    "connection",
    "carry",
    "metrics",
]


def run(operation: str, input: Json) -> Json:
    if operation not in OPERATIONS:
        return {"unsupported": operation}
    try:
        return {"output": OPERATIONS[operation](input)}
    except WirespanError as error:
        return {"output": {"raises": error.kind}}
    except Exception:
        return {"error": traceback.format_exc()}


def answer(request: Json) -> Json:
    if request["do"] == "hello":
        version = wirespan.__version__
        about = {"implementation": "wirespan", "version": version, "language": "python", "spec": ["1"]}
        return {**about, "features": FEATURES}
    return run(request["op"], request["input"]) if request["do"] == "run" else {}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"seq": request["seq"], **answer(request)}), flush=True)
    if request["do"] == "stop":
        break
