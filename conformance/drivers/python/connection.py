"""Scripts of connections: each step is one call of the package's sans-IO ``Connection``."""

from __future__ import annotations

from typing import Any

from values import (
    Json,
    body_of,
    context_of,
    message_of,
    pairs_of,
    show_context,
    show_message,
    show_plan,
    show_summary,
    without,
)
from wirespan import (
    CONNECTION_SPAN,
    HANDSHAKE_SPAN,
    PLAIN,
    Connection,
    Event,
    HandshakeRequest,
    Plan,
    Received,
    SessionRegistry,
    WirespanError,
)
from wirespan.names import TIME_SPANS

OWN_SPANS = {"connection": CONNECTION_SPAN, "handshake": HANDSHAKE_SPAN}


def options_of(options: Json = None) -> dict[str, Any]:
    """Options of the protocol, whose times are nanoseconds, as the package takes them, whose times are seconds."""
    return {name: value / 1e9 if name in TIME_SPANS else value for name, value in (options or {}).items()}


def connection_case(input: Json) -> Json:
    script = Script()
    return {"steps": [script.step(step) for step in input["steps"]]}


class Side:
    """A connection of the script, with what it was made of."""

    def __init__(self, connection: Connection, number: int, request: HandshakeRequest | None = None) -> None:
        self.connection = connection
        self.number = number
        self.request = request


class Script:
    def __init__(self) -> None:
        self.made = 0
        self.sides: dict[str, Side] = {}
        self.registries: dict[str, SessionRegistry] = {}
        # Names of connections by registry and number.
        self.registered: dict[tuple[str, int | None], str] = {}
        # Names of streams by connection and number, and numbers by name.
        self.names: dict[tuple[int, int], str] = {}
        self.numbers: dict[str, int] = {"plain": PLAIN}

    def step(self, step: Json) -> Json:
        on = step.get("on", "c")
        act = getattr(self, step["do"])
        try:
            result = act(step, on) if step["do"] in ("client", "server") else act(step, self.sides[on])
        except WirespanError as error:
            result = {"raises": error.kind}
        events = []
        if on in self.sides:
            side = self.sides[on]
            while (event := side.connection.poll_event()) is not None:
                events.append(self.event(side, event))
        return {**(result or {}), **without({"events": events})}

    # How connections begin.

    def client(self, step: Json, on: str) -> Json:
        options = options_of(step.get("options"))
        if "resume" in step:
            options["session"] = self.sides[step["resume"]].connection.resumption
        entropy = bytes.fromhex(step["entropy"])
        self.keep(on, Connection.client(entropy, options, step.get("address"), step.get("port")))

    def server(self, step: Json, on: str) -> Json:
        request = step.get("request", {})
        handshake = HandshakeRequest(pairs_of(request.get("headers", ())), request.get("query", ""))
        name = step.get("registry")
        if name is not None and name not in self.registries:
            self.registries[name] = SessionRegistry(step.get("max_sessions"), step.get("max_per_remote"))
        connection = Connection.server(
            bytes.fromhex(step["entropy"]),
            options_of(step.get("options")),
            handshake,
            step.get("address"),
            step.get("port"),
            self.registries.get(name),
            step.get("remote"),
            step.get("vouched"),
        )
        superseded = self.registered.get((name, connection.superseded))
        self.registered[name, connection.connection_id] = on
        self.keep(on, connection, handshake)
        proposed, subprotocols = handshake.proposed_session, handshake.application_subprotocols
        return without({"proposed": proposed, "subprotocols": subprotocols, "superseded": superseded})

    def keep(self, on: str, connection: Connection, request: HandshakeRequest | None = None) -> None:
        self.made += 1
        self.sides[on] = Side(connection, self.made, request)

    def plan_handshake(self, step: Json, side: Side) -> Json:
        plans = side.connection.plan_handshake(context_of(step.get("http")), step.get("current", False))
        return without({"plans": [self.plan(side, plan) for plan in plans]})

    def span_started(self, step: Json, side: Side) -> Json:
        name, context = step["span"], context_of(step["context"])
        assert context is not None
        side.connection.span_started(OWN_SPANS[name] if name in OWN_SPANS else self.numbers[name], context)

    def request(self, step: Json, side: Side) -> Json:
        headers, subprotocol, query = side.connection.request(
            step.get("host", ""),
            step.get("has_subprotocol", False),
            step.get("has_trace_context", False),
            context_of(step.get("context")),
        )
        return without({"headers": headers, "subprotocol": subprotocol, "query": query})

    def response(self, step: Json, side: Side) -> Json:
        assert side.request is not None
        headers, subprotocol = side.connection.response(side.request, step.get("selected"))
        return without({"headers": headers, "subprotocol": subprotocol})

    def open(self, step: Json, side: Side) -> Json:
        if side.connection.role == "server":
            side.connection.open_server(step["at"])
        else:
            side.connection.open_client(pairs_of(step.get("headers", ())), step["at"])

    def fail_handshake(self, step: Json, side: Side) -> Json:
        side.connection.fail_handshake(step["error"])

    # What the application does.

    def methods(self, step: Json, side: Side) -> Json:
        side.connection.set_methods(step["names"])

    def plain_policy(self, step: Json, side: Side) -> Json:
        side.connection.set_plain_policy(step["policy"])

    def call(self, step: Json, side: Side) -> Json:
        current = context_of(step.get("current"))
        return self.begun(side, *side.connection.plan_call(step.get("method"), current, step["at"]))

    def transfer(self, step: Json, side: Side) -> Json:
        current = context_of(step.get("current"))
        return self.begun(side, *side.connection.plan_transfer(step.get("method"), current, step["at"]))

    def send(self, step: Json, side: Side) -> Json:
        body, marks = body_of(step["body"])
        text, frame = side.connection.send(
            self.numbers[step["stream"]],
            body,
            context_of(step.get("context")),
            step["at"],
            step.get("last", False),
            [(name, value) for name, value in step.get("headers", ())],
            marks.get("json", False),
            step.get("baggage"),
        )
        return {"message": show_message(frame, text)}

    def end(self, step: Json, side: Side) -> Json:
        stream, context = self.numbers[step["stream"]], context_of(step.get("context"))
        side.connection.end(stream, context, step["at"], step.get("baggage"))

    def leave(self, step: Json, side: Side) -> Json:
        side.connection.leave(self.numbers[step["stream"]], step["at"])

    def cancel(self, step: Json, side: Side) -> Json:
        side.connection.cancel(self.numbers[step["stream"]], step["at"])

    def fail(self, step: Json, side: Side) -> Json:
        side.connection.fail(self.numbers[step["stream"]], step["error"], step["at"])

    def take(self, step: Json, side: Side) -> Json:
        side.connection.take(self.numbers[step["stream"]], step["bytes"], step["at"])

    # What comes from outside.

    def receive(self, step: Json, side: Side) -> Json:
        message, text = message_of(step["message"])
        return self.received(side, side.connection.receive(message, step["at"], text))

    def on_time(self, step: Json, side: Side) -> Json:
        side.connection.on_time(step["at"])

    def on_close(self, step: Json, side: Side) -> Json:
        side.connection.on_close(step.get("code"), step.get("reason", ""), step["at"])

    def on_superseded(self, step: Json, side: Side) -> Json:
        side.connection.on_superseded(step["at"])

    # What can be asked.

    def deadline(self, step: Json, side: Side) -> Json:
        deadline = side.connection.next_deadline()
        return {} if deadline is None else {"deadline": deadline}

    def state(self, step: Json, side: Side) -> Json:
        at = side.connection
        shown = {"peer": at.peer, "session": at.session_id, "open": at.is_open, "ready": at.is_ready}
        return {**shown, "may_read": at.may_read, **without({"streams": at.open_streams})}

    def counters(self, step: Json, side: Side) -> Json:
        return without({"counters": without(side.connection.counters())})

    def metrics(self, step: Json, side: Side) -> Json:
        metrics = side.connection.metrics(self.numbers[step["stream"]])
        return {} if metrics is None else {"sent": show_summary(metrics[0]), "received": show_summary(metrics[1])}

    # What comes out.

    def received(self, side: Side, received: Received) -> Json:
        data, opened = received.data, received.opened
        stream: str | None = "plain" if data is not None else None
        if received.stream != PLAIN:
            stream = self.name(side, received.stream)
        shown: dict[str, Json] = {"stream": stream}
        if data is not None:
            shown["payload"] = show_message(data, received.text)
        if opened is not None:
            plan = self.plan(side, opened.plan)
            shown["opened"] = without({"kind": opened.kind, "method": opened.method, "registered": opened.registered})
            shown["opened"]["plan"] = plan
        shown["context"] = show_context(received.context)
        shown["link"] = show_context(received.link)
        return without({**shown, "baggage": received.baggage, "headers": received.headers})

    def event(self, side: Side, event: Event) -> Json:
        shown: dict[str, Json] = {"event": event.kind}
        if event.kind == "frame":
            shown["message"] = show_message(event.data or b"", event.text)
        elif event.kind in ("span_update", "span_end"):
            assert event.span is not None
            shown |= {"span": self.span(side, event.span), "attributes": event.attributes()}
            if event.kind == "span_end":
                shown["error"] = event.is_error
                shown["events"] = [without({"name": n, "at": at, "attributes": a}) for n, at, a in event.events()]
        elif event.kind == "read_end":
            assert event.stream is not None
            failed = event.error_kind is not None
            shown |= {"stream": self.name(side, event.stream), "end": "failed" if failed else "complete"}
            shown |= {"kind": event.error_kind, "error_type": event.error_type}
        elif event.kind == "session_changed":
            shown["previous"] = event.previous
        return without(shown)

    def plan(self, side: Side, plan: Plan) -> Json:
        return {"span": self.span(side, plan.span), **show_plan(plan)}

    def begun(self, side: Side, stream: int, plan: Plan) -> Json:
        return {"stream": self.name(side, stream), "plan": self.plan(side, plan)}

    def span(self, side: Side, span: int) -> str:
        own = {number: name for name, number in OWN_SPANS.items()}
        return own[span] if span in own else self.name(side, span)

    def name(self, side: Side, stream: int) -> str:
        key = side.number, stream
        if key not in self.names:
            self.names[key] = f"s{len(self.names) + 1}"
            self.numbers[self.names[key]] = stream
        return self.names[key]
