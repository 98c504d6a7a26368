"""Plans of spans, trust, and how connections and streams end: chapters "Span plans", "Trust" and "Flow" of SPEC.md."""

from script import (
    CID, CONNECTION, CURRENT, HANDSHAKE, HTTP, MINE, MS, PAUSE, PEER, RESUME, S, SID, Script, context, control, ended, ended_own, frame, link, message, read_end,
)  # fmt: skip

CLIENT_HEADERS = {"headers": [["wirespan", f"1;session={CID}"]]}
SERVER_HEADERS = {"headers": [["wirespan", f"1;session={SID}"]]}
ANSWER = [["wirespan", "1"]]


def script(chapter: str, name: str, title: str, rules: str) -> Script:
    return Script(f"{chapter}/{name}", title, rules)


def client(s: Script, plans: list, http: str | None = None, current: bool = False, started: dict | None = None, options: dict | None = None) -> Script:
    """A client up to the open connection, with the spans of its handshake."""
    s.session = CID
    s.step("client", entropy=CID, options=options).step("plan_handshake", {"plans": plans} if plans else {}, http=http, current=current)
    for span, started_context in (started or {}).items():
        s.step("span_started", span=span, context=started_context)
    own = (started or {}).get("handshake") or (started or {}).get("connection")
    s.step("request", {"headers": [*CLIENT_HEADERS["headers"], *([["traceparent", own]] if own else [])]}, host="h")
    return s.step("open", events=[ended_own("handshake")] if any(plan["span"] == "handshake" for plan in plans) else None, headers=ANSWER, at=0)


def server(s: Script, plans: list, remote: str | None = None, http: str | None = None, current: bool = False, started: dict | None = None, options: dict | None = None) -> Script:
    s.session = SID
    headers = [["wirespan", "1"], *([["traceparent", remote]] if remote else [])]
    s.step("server", entropy=SID, options=options, request={"headers": headers}).step("plan_handshake", {"plans": plans} if plans else {}, http=http, current=current)
    for span, started_context in (started or {}).items():
        s.step("span_started", span=span, context=started_context)
    s.step("response", SERVER_HEADERS)
    return s.step("open", events=[ended_own("handshake")] if any(plan["span"] == "handshake" for plan in plans) else None, at=0)


def handshake(s: Script, kind: str, parent: object = "root", links: list = ()) -> list:
    s.session = CID if kind == "CLIENT" else SID
    return [s.plan("handshake", "websocket.handshake", kind, parent, links)]


def connection(s: Script, kind: str, parent: object = "root", links: list = (), side: str = "CLIENT") -> list:
    s.session = CID if side == "CLIENT" else SID
    return [s.plan("connection", "websocket.connection", kind, parent, links), s.plan("handshake", "websocket.handshake", "INTERNAL", "connection")]


LONG = {"trace_scope": "connection"}


def plans() -> list[dict]:
    made = []

    s = script("spans", "handshake-of-a-client", "a handshake span that ends with the upgrade; calls link it", "SP-4 SP-5 SP-10 SP-1 SP-15 SP-16")
    client(s, handshake(s, "CLIENT"), started={"handshake": HANDSHAKE})
    made.append(s.call("s1", "m", links=[link(HANDSHAKE)]).call("s2", current=CURRENT, links=[link(HANDSHAKE)]).done())

    s = script("spans", "handshake-under-a-current-span", "under a current span", "SP-4")
    made.append(client(s, handshake(s, "CLIENT", "current"), current=True).done())

    s = script("spans", "handshake-of-a-server", "its parent is the context of the handshake", "SP-4 SP-17")
    server(s, handshake(s, "SERVER", {"remote": context(PEER)}), remote=PEER, started={"handshake": HANDSHAKE})
    s.receive(message(1, "1", context=PEER, kind="call"), 1, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER)}, links=[link(HANDSHAKE)]), context=context(PEER))
    made.append(s.call("s2", links=[link(HANDSHAKE)]).done())

    s = script("spans", "handshake-of-a-server-without-context", "without one it is a root", "SP-4")
    made.append(server(s, handshake(s, "SERVER")).done())

    s = script("spans", "handshake-context-invalid", "with an invalid one as well", "SP-4 TC-1 NG-16")
    s.session = SID
    s.step("server", entropy=SID, request={"headers": [["wirespan", "1"], ["traceparent", "00-x"]]})
    s.step("plan_handshake", {"plans": handshake(s, "SERVER")}, current=False)
    made.append(s.counters(context_invalid=1).done())

    s = script("spans", "handshake-context-twice", "two traceparents in a handshake", "SP-4 TC-8")
    s.step("server", entropy=SID, request={"headers": [["traceparent", PEER], ["traceparent", PEER]]})
    s.step("plan_handshake", {"plans": handshake(s, "SERVER")}, current=False)
    made.append(s.counters(context_invalid=1).done())

    s = script("spans", "handshake-tracestate", "the tracestate of a handshake", "SP-4 TS-3")
    s.step("server", entropy=SID, request={"headers": [["TraceParent", PEER], ["tracestate", "a=1"], ["tracestate", "b=2"]]})
    made.append(s.step("plan_handshake", {"plans": handshake(s, "SERVER", {"remote": context(PEER, "a=1,b=2")})}, current=False).done())

    s = script("spans", "handshake-of-an-unknown-client", "the context of a client that does not speak this is used, too", "SP-4 NG-12")
    s.step("server", entropy=SID, request={"headers": [["traceparent", PEER]]})
    made.append(s.step("plan_handshake", {"plans": handshake(s, "SERVER", {"remote": context(PEER)})}, current=False).step("response").done())

    s = script("spans", "http-span-of-a-client", "under an HTTP span of an instrumentation no handshake span is made; it is linked", "SP-9 SP-5")
    client(s, [], http=HTTP, current=True)
    made.append(s.call("s1", links=[link(HTTP)]).done())

    s = script("spans", "http-span-of-a-server", "and at the server it does not count as current", "SP-9 SP-6")
    server(s, [], http=HTTP, current=True, remote=PEER)
    s.receive(message(1, "1", context=PEER, kind="call"), 1, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER)}, links=[link(HTTP)]), context=context(PEER))
    s.call("s2", current=HTTP, parent="root", links=[link(HTTP)])
    made.append(s.call("s3", current=CURRENT, links=[link(HTTP)]).done())

    s = script("spans", "http-span-counts-as-current-at-the-client", "at the client it is a span like others", "SP-9 SP-5")
    client(s, [], http=HTTP, current=True)
    made.append(s.call("s1", current=HTTP, links=[link(HTTP)]).done())

    s = script("spans", "connection-of-a-client", "scope connection: a span as long as the connection, and one for its start", "SP-2 SP-3 SP-10")
    client(s, connection(s, "CLIENT"), started={"connection": CONNECTION, "handshake": HANDSHAKE}, options=LONG)
    s.call("s1", parent="connection").call("s2", current=CURRENT, links=[link(CONNECTION)]).transfer("s3", parent="connection")
    made.append(s.done())

    s = script("spans", "connection-of-a-server", "scope connection at the server", "SP-2 SP-3 SP-6 SP-8")
    server(s, connection(s, "SERVER", {"remote": context(PEER)}, side="SERVER"), remote=PEER, started={"connection": CONNECTION, "handshake": HANDSHAKE}, options=LONG)
    s.receive(message(1, "1", context=PEER, kind="call"), 1, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER)}, links=[link(CONNECTION)]), context=context(PEER))
    s.receive(message(3, "1", context=PEER, kind="transfer"), 2, "s2", "1", opened=s.opened("s2", "transfer", parent="connection", links=[link(PEER, remote=True)]), context=context(PEER))
    made.append(s.receive(message(5, "1", kind="call"), 3, "s3", "1", opened=s.opened("s3", links=[link(CONNECTION)])).done())

    s = script("spans", "connection-under-an-http-span", "under an HTTP span it is INTERNAL", "SP-2")
    made.append(client(s, connection(s, "INTERNAL", "current"), http=HTTP, current=True, options=LONG).done())

    s = script("spans", "connection-of-a-server-under-an-http-span", "also at the server", "SP-2")
    made.append(server(s, connection(s, "INTERNAL", "current", side="SERVER"), http=HTTP, current=True, remote=PEER, options=LONG).done())

    for code, error in [(1000, None), (1001, None), (1005, None), (1002, "1002"), (1006, "1006"), (1011, "1011"), (4000, "4000"), (None, "1006")]:
        s = script("spans", f"close-{code or 'without-a-frame'}", "1000, 1001 and 1005 are no errors; without a close frame the code is 1006", "SP-10")
        client(s, connection(s, "CLIENT"), options=LONG)
        attributes: dict = {"websocket.close.code": code or 1006, **({"websocket.close.reason": "bye"} if code == 1000 else {})}
        s.step("on_close", events=[ended_own("connection", error, **attributes)], code=code, reason="bye" if code == 1000 else None, at=1 * S)
        made.append(s.step("on_close", code=1000, at=2 * S).done())

    s = script("spans", "close-reason-escaped", "control characters of a close reason are escaped", "TR-3 SP-10")
    client(s, connection(s, "CLIENT"), options=LONG)
    made.append(s.step("on_close", events=[ended_own("connection", **{"websocket.close.code": 1000, "websocket.close.reason": "a\\nb\\u{1b}c"})], code=1000, reason="a\nb\x1bc", at=1).done())

    s = script("spans", "close-ends-calls-first", "open calls end before the connection", "SP-10 ST-19")
    client(s, connection(s, "CLIENT"), options=LONG)
    s.call("s1", parent="connection")
    made.append(s.step("on_close", events=[read_end("s1", "closed", "closed"), ended("s1", "error", "closed"), ended_own("connection", **{"websocket.close.code": 1000})], code=1000, at=1).done())

    s = script("spans", "handshake-fails", "a handshake that fails", "SP-10")
    s.session = CID
    s.step("client", entropy=CID).step("plan_handshake", {"plans": handshake(s, "CLIENT")}, current=False)
    s.step("fail_handshake", events=[ended_own("handshake", "timeout")], error="timeout")
    made.append(s.step("call", {"raises": "closed"}, at=0).done())

    s = script("spans", "handshake-fails-with-connection", "with scope connection both end", "SP-10")
    s.session = CID
    s.step("client", entropy=CID, options=LONG).step("plan_handshake", {"plans": connection(s, "CLIENT")}, current=False)
    made.append(s.step("fail_handshake", events=[ended_own("handshake", "503"), ended_own("connection", "503")], error="503").done())

    s = script("spans", "parent-of-a-call", "a call is the child of the current span", "SP-5").client()
    made.append(s.call("s1", "m", current=CURRENT).transfer("s2", "t", current=CURRENT).done())

    s = script("spans", "no-chunk-no-metrics", "a direction without a chunk has no metrics", "SP-12").client().call("s1")
    s.step("end", events=[frame(message(1, "null", end="1", context=MINE, kind="call", content="none"))], stream="s1", context=MINE, at=0)
    made.append(s.receive(control(1, "1"), 1, "s1", events=[read_end("s1"), ended("s1")]).done())

    s = script("spans", "stall-is-an-event", "a stall is an event with its time", "SP-12 SM-5").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True)
    times = [100 * MS, 120 * MS, 140 * MS, 2140 * MS, 2160 * MS]
    for n, at in enumerate(times):
        s.receive(message(1, "1", n), at, "s1", "1")
    made.append(s.receive(control(1, "1", 5), 2200 * MS, "s1", events=[read_end("s1"), ended("s1", sent=[(1, 0)], received=[(1, at) for at in times])]).done())

    s = script("spans", "stall-threshold-option", "a lower threshold", "SP-12 SM-5").client(stall_threshold=50 * MS).call("s1")
    for n, at in enumerate([0, 10 * MS, 20 * MS, 100 * MS]):
        s.send("s1", "1", message(1, "1", n, context=None if n else MINE, kind=None if n else "call"), at, MINE)
    chunks = [(1, at) for at in (0, 10 * MS, 20 * MS, 100 * MS)]
    made.append(s.step("cancel", events=[frame(control(1, "cancel", 4)), read_end("s1", "cancelled"), ended("s1", "cancelled", sent=chunks, threshold=50 * MS)], stream="s1", at=200 * MS).done())

    s = script("spans", "stalls-at-most-32", "the first 32 stalls of a direction are events", "SP-12").client(stall_threshold=1 * MS).call("s1")
    # Every second interval is a stall: more than five times the average of all before it.
    at, chunks = 0, []
    for n in range(81):
        s.send("s1", "1", message(1, "1", n, context=None if n else MINE, kind=None if n else "call"), at, MINE)
        chunks.append((1, at))
        at += 3 * MS if n % 2 == 0 else 20 * S + n * S * 20
    made.append(s.step("cancel", events=[frame(control(1, "cancel", 81)), read_end("s1", "cancelled"), ended("s1", "cancelled", sent=chunks, threshold=1 * MS)], stream="s1", at=at).done())

    s = script("spans", "clock-back-is-counted", "a clock that steps back", "SM-4 SP-12").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 100 * MS, MINE, last=True).receive(message(1, "2"), 200 * MS, "s1", "2").receive(message(1, "3", 1), 150 * MS, "s1", "3")
    s.receive(message(1, "4", 2, end="1"), 300 * MS, "s1", "4", events=[read_end("s1"), ended("s1", start=100 * MS, sent=[(1, 100 * MS)], received=[(1, 200 * MS), (1, 150 * MS), (1, 300 * MS)])])
    made.append(s.counters(clock_back=1).done())
    return made


def trust() -> list[dict]:
    made = []
    link_trust, ignore = {"trust": "link"}, {"trust": "ignore"}

    s = script("trust", "continue", "continue uses the peer's contexts as parents", "TR-1").server()
    made.append(s.receive(message(1, "1", context=PEER, kind="call", tracestate="a=1"), 0, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER, "a=1")}), context=context(PEER, "a=1")).done())

    s = script("trust", "link-call", "link starts a new trace that links the peer's span, without its tracestate", "TR-1 SP-6").server(**link_trust)
    made.append(s.receive(message(1, "1", context=PEER, kind="call", tracestate="a=1"), 0, "s1", "1", opened=s.opened("s1", links=[link(PEER, remote=True)]), link=context(PEER)).done())

    s = script("trust", "link-plain", "a plain message has a link, and no parent", "TR-1 ST-14").server(**link_trust)
    made.append(s.receive(message(0, "1", context=PEER), 0, payload="1", link=context(PEER)).done())

    s = script("trust", "link-transfer", "a transfer links the sender as ever", "TR-1 SP-8").server(**link_trust)
    made.append(s.receive(message(1, "1", context=PEER, kind="transfer"), 0, "s1", "1", opened=s.opened("s1", "transfer", links=[link(PEER, remote=True)]), link=context(PEER)).done())

    s = script("trust", "ignore-call", "ignore reads nothing", "TR-1").server(**ignore)
    made.append(s.receive(message(1, "1", context=PEER, kind="call"), 0, "s1", "1", opened=s.opened("s1")).done())

    s = script("trust", "ignore-plain", "also of a plain message", "TR-1").server(**ignore)
    made.append(s.receive(message(0, "1", context=PEER, baggage="k=v"), 0, payload="1").done())

    s = script("trust", "ignore-transfer", "and of a transfer", "TR-1 SP-8").server(**ignore)
    made.append(s.receive(message(1, "1", context=PEER, kind="transfer"), 0, "s1", "1", opened=s.opened("s1", "transfer")).done())

    s = script("trust", "link-handshake", "link: the handshake span links the client's", "TR-1 SP-4")
    made.append(server(s, handshake(s, "SERVER", "root", [link(PEER, remote=True)]), remote=PEER, options=link_trust).done())

    s = script("trust", "ignore-handshake", "ignore: it does not", "TR-1 SP-4")
    made.append(server(s, handshake(s, "SERVER"), remote=PEER, options=ignore).done())

    s = script("trust", "client-always-continues", "the connecting side always continues", "TR-1").client(trust="ignore")
    made.append(s.receive(message(2, "1", context=PEER, kind="call"), 0, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER)).done())

    s = script("trust", "link-and-own-span", "the caller's span first, then the own one", "TR-1 SP-6")
    server(s, handshake(s, "SERVER"), started={"handshake": HANDSHAKE}, options=link_trust)
    made.append(s.receive(message(1, "1", context=PEER, kind="call"), 0, "s1", "1", opened=s.opened("s1", links=[link(PEER, remote=True), link(HANDSHAKE)]), link=context(PEER)).done())

    s = script("trust", "baggage-in-denied", "no baggage is let in by default", "TR-2").server()
    made.append(s.receive(message(0, "1", baggage="k=v"), 0, payload="1").done())

    s = script("trust", "baggage-in-some", "only the names allowed", "TR-2").server(baggage_in=["k"])
    made.append(s.receive(message(0, "1", baggage="k=v%20w,secret=x"), 0, payload="1", baggage={"k": "v w"}).done())

    s = script("trust", "baggage-in-all", "* lets all in", "TR-2").server(baggage_in=["*"])
    made.append(s.receive(message(1, "1", context=PEER, baggage="k=v,l=w", kind="call"), 0, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER),
                          baggage={"k": "v", "l": "w"}).done())  # fmt: skip

    s = script("trust", "baggage-in-under-ignore", "under ignore none is read", "TR-2 TR-1").server(baggage_in=["*"], **ignore)
    made.append(s.receive(message(0, "1", baggage="k=v"), 0, payload="1").done())

    s = script("trust", "baggage-in-malformed-member", "malformed members are dropped and counted", "TR-2 BG-1").server(baggage_in=["*"])
    made.append(s.receive(message(0, "1", baggage="k=v,bad"), 0, payload="1", baggage={"k": "v"}).counters(dropped_baggage=1).done())

    s = script("trust", "baggage-out-denied", "no baggage is let out by default", "TR-2").client()
    made.append(s.send("plain", "1", "1", baggage={"secret": "x"}).done())

    s = script("trust", "baggage-out-some", "only the names allowed, on the first message only", "TR-2 TX-2").client(baggage_out=["k"]).call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call", baggage="k=v%20w"), 0, MINE, baggage={"k": "v w", "secret": "x"})
    made.append(s.send("s1", "2", message(1, "2", 1), 1, MINE, baggage={"k": "v w"}).done())

    s = script("trust", "baggage-out-plain", "a plain message carries it, too", "TR-2 ST-14").client(baggage_out=["*"])
    made.append(s.send("plain", "1", message(0, "1", baggage="k=v"), baggage={"k": "v"}).done())
    return made


def flow() -> list[dict]:
    made = []

    def incoming(s: Script, wire: int, at: int, body: str = "1", stream: str = "s1", events: list | None = None) -> Script:
        return s.receive(message(wire, body, kind="call"), at, stream, body, events, opened=s.opened(stream))

    s = script("flow", "unread-chunks-pause", "at the bound reading pauses; a chunk taken resumes it", "FL-1 FL-2").server(max_unread=2)
    incoming(s, 1, 0).receive(message(1, "2", 1), 1 * MS, "s1", "2", events=[PAUSE]).state(streams=1, may_read=False).step("deadline", {"deadline": 1 * MS + 5 * S})
    made.append(s.step("take", events=[RESUME], stream="s1", bytes=1, at=2 * MS).state(streams=1).done())

    s = script("flow", "unread-bytes-pause", "bytes are bounded as well", "FL-1 FL-2").server(max_unread_bytes=10)
    incoming(s, 1, 0, '"12345"').receive(message(1, '"a"', 1), 1 * MS, "s1", '"a"', events=[PAUSE])
    made.append(s.step("take", events=[RESUME], stream="s1", bytes=7, at=2 * MS).done())

    s = script("flow", "large-chunk-is-accepted", "a chunk of any size is accepted while nothing is unread", "FL-1").server(max_unread_bytes=10)
    incoming(s, 1, 0, '"' + "x" * 100 + '"', events=[PAUSE])
    made.append(s.step("take", events=[RESUME], stream="s1", bytes=102, at=1).counters().done())

    s = script("flow", "overflow-ends-the-call", "a reader that takes nothing for 5 s loses its call; reading goes on", "FL-2").server(max_unread=2)
    incoming(s, 1, 0).receive(message(1, "2", 1), 1 * MS, "s1", "2", events=[PAUSE]).step("on_time", at=5 * S)
    s.step("on_time", events=[frame(control(1, "error", error="overflow")), read_end("s1", "overflow", "overflow"), ended("s1", "error", "overflow", received=[(1, 0), (1, 1 * MS)]), RESUME],
           at=5 * S + 1 * MS)  # fmt: skip
    made.append(s.state().counters(overflow=1).done())

    s = script("flow", "overflow-wait-option", "the wait is an option", "FL-2").server(max_unread=1, overflow_wait=1 * S)
    incoming(s, 1, 0, events=[PAUSE])
    made.append(s.step("on_time", events=[frame(control(1, "error", error="overflow")), read_end("s1", "overflow", "overflow"), ended("s1", "error", "overflow", received=[(1, 0)]), RESUME],
                       at=1 * S).done())  # fmt: skip

    s = script("flow", "slow-reader-keeps-its-call", "each chunk taken gives it the wait again", "FL-2").server(max_unread=2)
    incoming(s, 1, 0).receive(message(1, "2", 1), 0, "s1", "2", events=[PAUSE]).receive(message(1, "3", 2), 0, "s1", "3")
    s.step("take", stream="s1", bytes=1, at=4 * S).step("on_time", at=6 * S).step("deadline", {"deadline": 9 * S})
    made.append(s.step("take", events=[RESUME], stream="s1", bytes=1, at=8 * S).state(streams=1).done())

    s = script("flow", "two-full-readers", "reading resumes when the last full reader has room", "FL-2").server(max_unread=1)
    incoming(s, 1, 0, events=[PAUSE])
    incoming(s, 3, 0, stream="s2")
    made.append(s.step("take", stream="s1", bytes=1, at=1).step("take", events=[RESUME], stream="s2", bytes=1, at=2).done())

    s = script("flow", "leaving-frees-the-reader", "a call that ends lets reading go on", "FL-2").server(max_unread=1)
    incoming(s, 1, 0, events=[PAUSE])
    made.append(s.step("leave", events=[frame(control(1, "1")), read_end("s1", "cancelled"), ended("s1", received=[(1, 0)]), RESUME], stream="s1", at=1).state().done())

    s = script("flow", "complete-request-holds-nothing-up", "a direction that is complete brings no more, so its reader holds nothing up", "FL-2").server(max_unread=1)
    incoming(s, 1, 0, events=[PAUSE])
    s.receive(control(1, "1", 1), 1, "s1", events=[read_end("s1"), RESUME]).step("on_time", at=10 * S)
    made.append(s.step("leave", events=[frame(control(1, "1")), ended("s1", received=[(1, 0)])], stream="s1", at=11 * S).counters().done())

    s = script("flow", "plain-queue-overflows", "plain messages are bounded alike: after the wait they are discarded until somebody takes one", "FL-3").client(max_unread=1).step("plain_policy", policy="queue")
    s.receive("a", 0, payload="a", events=[PAUSE]).step("on_time", events=[RESUME], at=5 * S).receive("b", 6 * S)
    s.step("take", stream="plain", bytes=1, at=7 * S).receive("c", 8 * S, payload="c", events=[PAUSE])
    made.append(s.counters(overflow=1, discarded=1).done())

    s = script("flow", "plain-delivered-is-not-bounded", "what the host takes at once is not bounded", "FL-3").client(max_unread=1)
    made.append(s.receive("a", 0, payload="a").receive("b", 1, payload="b").state().done())

    s = script("flow", "max-streams-incoming", "a stream over the limit is answered with error limit; its messages are discarded", "ST-15 ER-2").server(max_streams=1)
    incoming(s, 1, 0)
    s.receive(message(3, "1", kind="call"), 1, events=[frame(control(3, "error", error="limit"))]).receive(message(3, "2", 1), 2).receive(message(1, "2", 1), 3, "s1", "2")
    made.append(s.counters(limit=2, discarded=2).state(streams=1).done())

    s = script("flow", "max-streams-transfer", "transfers are answered alike", "ST-15").server(max_streams=1)
    incoming(s, 1, 0)
    made.append(s.receive(message(3, "1", kind="transfer"), 1, events=[frame(control(3, "error", error="limit"))]).counters(limit=1, discarded=1).done())

    s = script("flow", "max-streams-own", "an own one raises limit", "ST-15").client(max_streams=2).call("s1").call("s2")
    made.append(s.step("call", {"raises": "limit"}, at=0).step("transfer", {"raises": "limit"}, at=0).step("leave", events=[read_end("s1", "cancelled"), ended("s1", "abandoned")], stream="s1", at=1)
                .call("s3", at=2).done())  # fmt: skip

    s = script("flow", "max-streams-of-both-sides", "open streams of both sides count together, own calls from the moment they are made", "ST-15").client(max_streams=2).call("s1")
    s.receive(message(2, "1", kind="call"), 0, "s2", "1", opened=s.opened("s2"))
    s.step("call", {"raises": "limit"}, at=1)
    made.append(s.receive(message(4, "1", kind="call"), 2, events=[frame(control(4, "error", error="limit"))]).done())

    s = script("flow", "refused-id-stays-used", "the id of a refused stream is used", "ST-15 ST-2").server(max_streams=1)
    incoming(s, 1, 0)
    s.receive(message(5, "1", kind="call"), 1, events=[frame(control(5, "error", error="limit"))])
    made.append(s.receive(message(3, "1", kind="call"), 2, payload="1").counters(limit=1, discarded=1, unmatched=1).done())

    s = script("flow", "idle-timeout", "a silent stream is ended with error timeout", "ST-16").server()
    incoming(s, 1, 1 * S)
    s.step("deadline", {"deadline": 301 * S}).step("on_time", at=300 * S)
    s.step("on_time", events=[frame(control(1, "error", error="timeout")), read_end("s1", "timeout", "timeout"), ended("s1", "error", "timeout", start=1 * S, received=[(1, 1 * S)])], at=301 * S)
    made.append(s.counters(timeout=1).state().done())

    s = script("flow", "idle-timer-restarts", "a message either way restarts the time", "ST-16 ST-24").client(idle_timeout=10 * S).call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 5 * S, MINE).step("on_time", at=10 * S).receive(message(1, "2"), 14 * S, "s1", "2").step("on_time", at=23 * S)
    s.step("on_time", events=[frame(control(1, "error", 1, "timeout")), read_end("s1", "timeout", "timeout"), ended("s1", "error", "timeout", start=5 * S, sent=[(1, 5 * S)], received=[(1, 14 * S)])],
           at=24 * S)  # fmt: skip
    made.append(s.step("send", {"raises": "timeout"}, stream="s1", body={"text": "2"}, at=25 * S).done())

    s = script("flow", "idle-streams-in-order", "several that are due end in the order in which they opened", "ST-16").server(idle_timeout=10 * S)
    incoming(s, 1, 0)
    incoming(s, 3, 0, stream="s2")
    events = []
    for stream, wire in (("s1", 1), ("s2", 3)):
        events += [frame(control(wire, "error", error="timeout")), read_end(stream, "timeout", "timeout"), ended(stream, "error", "timeout", received=[(1, 0)])]
    made.append(s.step("on_time", events=events, at=10 * S).counters(timeout=2).done())

    s = script("flow", "remembered-ends", "the last 1024 ends are remembered", "ST-12").server()
    # Streams 11, 21, 31, … open and cancel with one message each.
    cancelled = [read_end("s{n}", "cancelled"), ended("s{n}", "cancelled", received=[(1, 0)])]
    s.receive("", 0, "s{n}", "1", cancelled, opened=s.opened("s{n}"))
    step = s.steps.pop() | {"message": {"text": message(0, "1", own=[("kind", "call"), ("stream", "{n}1"), ("end", "cancel")])}}
    s.steps.append({"$list": step, "times": 1025, "from": 1})
    s.receive(message(21, "2", 1), 1).receive(message(11, "2", 1), 1, payload="2")
    made.append(s.counters(discarded=1, unmatched=1).done())
    return made


FILES = {"spans/plans": plans(), "trust/trust": trust(), "flow/flow": flow()}
