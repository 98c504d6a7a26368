"""Scripts of sans-IO connections: a list of steps with what each gives. What is expected is said here step by step; see chapters "Negotiation" to "Span plans" of SPEC.md."""

from build import base64_of, binary_of, case, text_envelope
from metrics import ERROR, Series, bounds, nearest_rank

S, MS = 1_000_000_000, 1_000_000

# SE-2: a generated id is the 128 random bits in hexadecimal.
CID = "c11e470123456789abcdef0123456789"
SID = "5e47e40123456789abcdef0123456789"
THIRD = "74114d0123456789abcdef0123456789"

TRACE = "0af7651916cd43dd8448eb211c80319c"
# Spans of this side and of the peer, where they must be told apart.
MINE = f"00-{TRACE}-aaaaaaaaaaaaaaa1-01"
CURRENT = f"00-{TRACE}-aaaaaaaaaaaaaaa2-01"
PEER = f"00-{TRACE}-bbbbbbbbbbbbbbb1-01"
HANDSHAKE = "00-11111111111111111111111111111111-ccccccccccccccc1-01"
CONNECTION = "00-22222222222222222222222222222222-ccccccccccccccc2-01"
HTTP = "00-33333333333333333333333333333333-ccccccccccccccc3-01"


def context(traceparent: str, tracestate: str = "") -> dict:
    return {"traceparent": traceparent, "tracestate": tracestate} if tracestate else {"traceparent": traceparent}


def link(traceparent: str, remote: bool = False) -> dict:
    return {"traceparent": traceparent, **({"remote": True} if remote else {})}


def hello(role: str, session: str | None) -> str:
    session_header = [] if session is None else [("session", session)]
    return text_envelope([("wirespan", "1"), ("role", role), *session_header, ("content", "none")], "null")


# Events.


def frame(text: object) -> dict:
    return {"event": "frame", "message": {"text": text} if isinstance(text, (str, dict)) else {"binary": base64_of(text)}}


def read_end(stream: str, kind: str | None = None, error_type: str | None = None) -> dict:
    made = {"event": "read_end", "stream": stream, "end": "failed" if kind else "complete"}
    if kind:
        made["kind"] = kind
    if error_type:
        made["error_type"] = error_type
    return made


def ended(span: str, outcome: str = "complete", error: str | None = None, start: int = 0, sent: list = (), received: list = (), threshold: int = S) -> dict:
    """The end of a stream's span. `sent` and `received` are the chunks of each direction, (bytes, time) each."""
    attributes: dict = {}
    if error:
        attributes["error.type"] = error
    attributes["websocket.stream.outcome"] = outcome
    stalls = []
    for direction, chunks in (("sent", sent), ("received", received)):
        if not chunks:
            continue  # SP-12: a direction without a chunk has no metrics.
        series = Series(threshold, skip_empty_first=False)
        series.step(["start", start])
        for size, at in chunks:
            series.step(["chunk", size, at])
        attributes |= {f"websocket.stream.{direction}.{name}": value for name, value in measured(series).items()}
        stalls += [
            {"name": "websocket.stream.stall", "at": series.times[chunk],
             "attributes": {"websocket.stream.direction": direction, "websocket.stream.interval": interval / S, "websocket.stream.chunk": chunk}}
            for chunk, interval in series.stalls[:32]
        ]  # fmt: skip
    made: dict = {"event": "span_end", "span": span, "attributes": attributes}
    if error:
        made["error"] = True
    if stalls:
        made["events"] = sorted(stalls, key=lambda stall: stall["at"])
    return made


def measured(series: Series) -> dict:
    times, start = series.times, series.start or 0
    made: dict = {"chunks": len(times), "bytes": series.bytes, "time_to_first_chunk": (times[0] - start) / S, "time_to_last_chunk": (times[-1] - start) / S}
    if times[-1] > times[0]:
        made["rate"] = (len(times) - 1) / ((times[-1] - times[0]) / S)
    if series.intervals:
        low, high = min(series.intervals), max(series.intervals)
        made |= {"interval.avg": sum(series.intervals) / len(series.intervals) / S, "interval.min": low / S, "interval.max": high / S}
        for percent in (50, 90, 95, 99):
            made[f"interval.p{percent}"] = bounds(nearest_rank(series.intervals, percent), ERROR, low, high)
    return made | {"stalls": len(series.stalls), "stall_time": sum(interval for _, interval in series.stalls) / S}


def ended_own(span: str, error: str | None = None, **attributes: object) -> dict:
    """The end of the span of a handshake or connection."""
    made: dict = {"event": "span_end", "span": span}
    if error:
        attributes["error.type"] = error
        made["error"] = True
    if attributes:
        made["attributes"] = attributes
    return made


PAUSE, RESUME, READY = {"event": "pause_reading"}, {"event": "resume_reading"}, {"event": "ready"}


def session_changed(previous: str) -> dict:
    return {"event": "session_changed", "previous": previous}


def span_update(span: str, session: str, previous: str | None = None) -> dict:
    attributes = {"websocket.session.id": session}
    if previous:
        attributes["websocket.session.previous_id"] = previous
    return {"event": "span_update", "span": span, "attributes": attributes}


class Script:
    """Collects steps. `session` is the id that the plans of this side's spans carry."""

    def __init__(self, id_: str, title: str, rules: str, note: str = "") -> None:
        self.id, self.title, self.rules, self.note = id_, title, rules, note
        self.steps: list[dict] = []
        self.session = CID
        self.extra: dict = {}

    def done(self) -> dict:
        return case(self.id, self.title, self.rules, "calls", "connection", "connection", {"steps": self.steps}, None, self.note)

    def step(self, do: str, expect: dict | None = None, events: list | None = None, **fields: object) -> "Script":
        made = {"do": do, **{name: value for name, value in fields.items() if value is not None}}
        full = dict(expect or {})
        if events:
            full["events"] = events
        if full:
            made["expect"] = full
        self.steps.append(made)
        return self

    # The two sides, up to an open connection.

    def client(self, peer: str = "announced", at: int = 0, answer: str = "1", **options: object) -> "Script":
        """A client whose server answered with the header (`announced`), or with none."""
        if peer == "always":
            options["mode"] = "always"
        self.session = CID
        self.step("client", entropy=CID, options=options or None)
        self.step("request", {"headers": [["wirespan", f"1;session={CID}"]]}, host="example.com")
        return self.step("open", headers=[["wirespan", answer]] if peer == "announced" else [], at=at)

    def server(self, peer: str = "announced", at: int = 0, headers: list = (), remote_context: bool = False, **options: object) -> "Script":
        """A server whose client announced itself by the header (`announced`), or not at all."""
        if peer == "always":
            options["mode"] = "always"
        self.session = SID
        asked = [["wirespan", "1"]] if peer == "announced" else []
        self.step("server", entropy=SID, options=options or None, request={"headers": [*asked, *headers]})
        self.step("response", {"headers": [["wirespan", f"1;session={SID}"]]} if peer == "announced" else {})
        return self.step("open", at=at)

    # What the application does.

    def plan(self, span: str, name: str, kind: str, parent: object = "root", links: list = (), method: str | None = None) -> dict:
        made: dict = {"span": span, "name": name, "kind": kind, "parent": parent}
        if links:
            made["links"] = list(links)
        attributes = {"websocket.session.id": self.session, "network.protocol.name": "websocket", **self.extra}
        if method:
            attributes["rpc.method"] = method
        return {**made, "attributes": attributes}

    def call(self, stream: str, method: str | None = None, at: int = 0, current: object = None, parent: str | None = None, links: list = ()) -> "Script":
        parent = parent or ("current" if current else "root")
        plan = self.plan(stream, method or "websocket call", "CLIENT", parent, links, method)
        return self.step("call", {"stream": stream, "plan": plan}, method=method, current=current, at=at)

    def transfer(self, stream: str, method: str | None = None, at: int = 0, current: object = None, parent: str | None = None) -> "Script":
        parent = parent or ("current" if current else "root")
        plan = self.plan(stream, f"send {method}" if method else "websocket send", "PRODUCER", parent)
        return self.step("transfer", {"stream": stream, "plan": plan}, method=method, current=current, at=at)

    def send(self, stream: str, text: str, out: str, at: int = 0, span: object = None, events: list | None = None, last: bool = False, **more: object) -> "Script":
        return self.step("send", {"message": {"text": out}}, events, stream=stream, body={"text": text}, context=span, last=last or None, at=at, **more)

    def receive(self, text: object, at: int = 0, stream: str | None = None, payload: object = None, events: list | None = None, **result: object) -> "Script":
        """A text message comes in; `payload` is what is delivered, to `stream` or else outside of every stream."""
        expect: dict = dict(result)
        if stream or payload is not None:
            expect["stream"] = stream or "plain"
        if payload is not None:
            expect["payload"] = {"text": payload}
        return self.step("receive", expect, events, message={"text": text}, at=at)

    def opened(self, stream: str, kind: str = "call", method: str | None = None, registered: bool = False, parent: object = "root", links: list = ()) -> dict:
        """What an opening message says of the stream that it opens."""
        call = kind == "call"
        name = (method if call else f"process {method}") if registered else f"websocket {'call' if call else 'process'}"
        plan = self.plan(stream, name, "SERVER" if call else "CONSUMER", parent, links, method if registered and call else None)
        made: dict = {"kind": kind, "plan": plan}
        if method:
            made["method"] = method
        if registered:
            made["registered"] = True
        return made

    def counters(self, **counts: int) -> "Script":
        return self.step("counters", {"counters": counts} if counts else {})

    def state(self, peer: str = "announced", session: str | None = None, streams: int = 0, open: bool = True, ready: bool = True, may_read: bool = True) -> "Script":
        expect = {"peer": peer, "session": session or self.session, "open": open, "ready": ready, "may_read": may_read}
        if streams:
            expect["streams"] = streams
        return self.step("state", expect)


def message(stream: int, body: str = "1", seq: int = 0, end: str | None = None, error: str | None = None, context: str | None = None, kind: str | None = None,
            method: str | None = None, session: str | None = None, content: str | None = None, own: list = (), tracestate: str | None = None, baggage: str | None = None) -> str:  # fmt: skip
    """A text envelope of a stream in canonical order."""
    headers = [
        ("traceparent", context), ("tracestate", tracestate), ("baggage", baggage), ("session", session), ("kind", kind), ("method", method), ("stream", str(stream) if stream else None),
        ("seq", str(seq) if seq else None), ("end", end), ("error", error), ("content", content), *own,
    ]  # fmt: skip
    return text_envelope([(name, value) for name, value in headers if value is not None], body)


def control(stream: int, end: str, seq: int = 0, error: str | None = None, session: str | None = None) -> str:
    """A message without a body that ends a direction or a stream."""
    return message(stream, "null", seq, end, error, session=session, content="none")


def binary_message_of(stream: int, payload: bytes, seq: int = 0, **headers: str | None) -> bytes:
    order = ["traceparent", "session", "kind", "method"]
    made = [(name, headers[name]) for name in order if headers.get(name)]
    made.append(("stream", str(stream)))
    if seq:
        made.append(("seq", str(seq)))
    made += [(name, headers[name]) for name in ("end", "error", "content") if headers.get(name)]
    return binary_of(made) + payload
