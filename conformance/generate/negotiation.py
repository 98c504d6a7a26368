"""Who announces itself how, and what each side makes of it."""

from build import text_envelope
from script import CID, HANDSHAKE, MINE, MS, PEER, READY, S, SID, THIRD, Script, context, frame, hello, session_changed


def request(id_: str, title: str, rules: str, options: dict | None, gives: dict, **fields: object) -> dict:
    script = Script(f"negotiation/request-{id_}", title, rules)
    fields.setdefault("host", "example.com")
    return script.step("client", entropy=CID, options=options).step("request", gives, **fields).done()


HEADER = ["wirespan", f"1;session={CID}"]

REQUESTS = [
    request("header", "a client announces itself by the header", "NG-2 NG-3", None, {"headers": [HEADER]}),
    request("trace-context", "the context goes into the handshake", "NG-12", None, {"headers": [HEADER, ["traceparent", MINE]]}, context=MINE),
    request("tracestate", "with its tracestate", "NG-12", None, {"headers": [HEADER, ["traceparent", MINE], ["tracestate", "a=1"]]}, context=context(MINE, "a=1")),
    request("instrumented", "never beside that of an HTTP instrumentation", "NG-12", None, {"headers": [HEADER]}, context=MINE, has_trace_context=True),
    request("never", "mode never writes nothing", "NG-1 NG-12", {"mode": "never"}, {}, context=MINE),
    request("always", "mode always announces as well", "NG-1 NG-2", {"mode": "always"}, {"headers": [HEADER]}),
    request("host-denied", "a host that is denied gets no context", "NG-12", {"hosts": ["!example.com"]}, {"headers": [HEADER]}, context=MINE),
    request("host-not-denied", "another one does", "NG-12", {"hosts": ["!example.com"]}, {"headers": [HEADER, ["traceparent", MINE]]}, context=MINE, host="example.org"),
    request("host-allowed", "a host that is allowed does", "NG-12", {"hosts": ["example.com"]}, {"headers": [HEADER, ["traceparent", MINE]]}, context=MINE),
    request("host-not-allowed", "another one does not", "NG-12", {"hosts": ["example.com"]}, {"headers": [HEADER]}, context=MINE, host="example.org"),
    request("host-wildcard", "*. matches a subdomain", "NG-12 OP-2", {"hosts": ["*.example.com"]}, {"headers": [HEADER, ["traceparent", MINE]]}, context=MINE, host="a.example.com"),
    request("host-wildcard-other", "and nothing that only ends alike", "NG-12", {"hosts": ["*.example.com"]}, {"headers": [HEADER]}, context=MINE, host="badexample.com"),
    request("host-case", "host names compare without case", "NG-12", {"hosts": ["example.com"]}, {"headers": [HEADER, ["traceparent", MINE]]}, context=MINE, host="EXAMPLE.com"),
    request("subprotocol-beside", "beside a subprotocol of the application", "NG-4", {"subprotocol": "beside"}, {"headers": [HEADER], "subprotocol": f"wirespan.v1.{CID}"}, has_subprotocol=True),
    request("subprotocol-beside-nothing", "not where the application offers none", "NG-4", {"subprotocol": "beside"}, {"headers": [HEADER]}),
    request("subprotocol-alone", "alone by configuration", "NG-4", {"subprotocol": "alone"}, {"headers": [HEADER], "subprotocol": f"wirespan.v1.{CID}"}),
    request("query", "by the query", "NG-5", {"query": True}, {"headers": [HEADER], "query": f"wirespan=1.{CID}"}),
    *[
        Script(f"negotiation/option-{name.replace('_', '-')}-{value}", "an option outside of its bounds is the programmer's mistake", "OP-1").step(
            "client", {"raises": "invalid_argument"}, entropy=CID, options={name: value}
        ).done()
        for name, value in [("max_streams", 0), ("max_streams", 1025), ("max_unread", 0), ("max_unread", 257), ("max_header_bytes", 2047), ("max_header_bytes", 16385), ("max_nesting", 513)]
    ],
    request("never-subprotocol", "mode never announces in no way", "NG-1", {"mode": "never", "subprotocol": "alone", "query": True}, {}),
]  # fmt: skip


def request_of_own_span(id_: str, title: str, span: str | None, options: dict | None, gives: str | None, **fields: object) -> dict:
    """A client that made spans for its handshake, of which one was started, where the host has a current span as well."""
    script = Script(f"negotiation/request-{id_}", title, "NG-12")
    script.session = CID
    kind, parent = "CLIENT", "current"
    plans = []
    if options:
        plans.append(script.plan("connection", "websocket.connection", kind, parent))
        kind, parent = "INTERNAL", "connection"
    plans.append(script.plan("handshake", "websocket.handshake", kind, parent))
    script.step("client", entropy=CID, options=options).step("plan_handshake", {"plans": plans}, current=True)
    if span:
        script.step("span_started", span=span, context=HANDSHAKE)
    return script.step("request", {"headers": [HEADER, *([["traceparent", gives]] if gives else [])]}, host="example.com", context=MINE, **fields).done()


OWN_SPANS = [
    request_of_own_span("handshake-span", "the handshake's own span goes into the request, not the current one", "handshake", None, HANDSHAKE),
    request_of_own_span("connection-span", "else the connection's own", "connection", {"trace_scope": "connection"}, HANDSHAKE),
    request_of_own_span("span-not-started", "where the host started none the current one goes", None, None, MINE),
    request_of_own_span("own-span-instrumented", "an own span changes nothing about an HTTP instrumentation's header", "handshake", None, None, has_trace_context=True),
]


def answer(id_: str, title: str, rules: str, headers: list, peer: str, session: str = CID) -> dict:
    script = Script(f"negotiation/answer-{id_}", title, rules)
    script.step("client", entropy=CID).step("request", {"headers": [HEADER]}, host="example.com")
    script.step("open", events=[session_changed(CID)] if session != CID else None, headers=headers, at=0)
    return script.state(peer, session).done()


ANSWERS = [
    answer("none", "no answer: unknown, and the proposal stands", "NG-3 SE-1", [], "unknown"),
    answer("other-headers", "other headers are not looked at", "NG-3", [["server", "x"], ["sec-websocket-accept", "1"]], "unknown"),
    answer("version-1", "version 1", "NG-3", [["wirespan", "1"]], "announced"),
    answer("same-session", "the session adopted", "NG-3 SE-1", [["wirespan", f"1;session={CID}"]], "announced"),
    answer("other-session", "another session wins", "NG-3 SE-1", [["wirespan", f"1;session={SID}"]], "announced", SID),
    answer("any-case", "the name of the header in any case", "NG-2", [["Wirespan", "1"]], "announced"),
    answer("white-space", "white space around every part", "NG-2", [["wirespan", f" 1 ; session = {SID} "]], "announced", SID),
    answer("tab", "tabs are white space, too", "NG-2", [["wirespan", f"\t1\t;\tsession=\t{SID}"]], "announced", SID),
    answer("unknown-parameter", "unknown parameters are ignored", "NG-2", [["wirespan", f"1;x=y;session={SID};z=1"]], "announced", SID),
    answer("session-invalid", "an invalid id is ignored, the version counts", "NG-2", [["wirespan", "1;session=a b"]], "announced"),
    answer("session-empty", "an empty id, too", "NG-2", [["wirespan", "1;session="]], "announced"),
    answer("session-control", "an id with a control character", "NG-2 TR-3", [["wirespan", "1;session=a\x1bb"]], "announced"),
    answer("version-2", "a version that the client does not speak", "NG-3", [["wirespan", "2"]], "unknown"),
    answer("version-list", "a list that has it", "NG-2 NG-3", [["wirespan", "2,1"]], "announced"),
    answer("leading-zero", "a leading zero is unparsable", "NG-2 NG-3", [["wirespan", "01"]], "unknown"),
    answer("sign", "a sign is unparsable", "NG-2 NG-3", [["wirespan", "+1"]], "unknown"),
    answer("empty", "an empty value", "NG-3", [["wirespan", ""]], "unknown"),
    answer("text", "a word", "NG-3", [["wirespan", "yes"]], "unknown"),
    answer("trailing-comma", "a comma without a number", "NG-3", [["wirespan", "1,"]], "unknown"),
    answer("fraction", "a fraction", "NG-3", [["wirespan", "1.0"]], "unknown"),
    answer("two-fields", "two header fields", "NG-3", [["wirespan", "1"], ["wirespan", "1"]], "unknown"),
    answer("too-long", "a value over 8192 bytes", "NG-13", [["wirespan", {"$concat": ["1;x=", {"$repeat": "y", "times": 8192}]}]], "unknown"),
    answer("33-values", "a 33rd value", "NG-13 NG-3", [{"$list": ["wirespan", "1"], "times": 33}], "unknown"),
]  # fmt: skip


def asked(id_: str, title: str, rules: str, headers: list, peer: str, answered: dict | None, session: str = SID, proposed: str | None = None, query: str | None = None,
          events: list | None = None, selected: str | None = None, options: dict | None = None, subprotocols: list | None = None) -> dict:  # fmt: skip
    script = Script(f"negotiation/asked-{id_}", title, rules)
    gives: dict = {}
    if proposed:
        gives["proposed"] = proposed
    if subprotocols:
        gives["subprotocols"] = subprotocols
    request_ = {"headers": headers, **({"query": query} if query else {})}
    script.step("server", gives, entropy=SID, request=request_, options=options).step("response", answered, selected=selected)
    return script.step("open", events=events, at=0).state(peer, session).done()


def wirespan(session: str = SID) -> dict:
    return {"headers": [["wirespan", f"1;session={session}"]]}


PROTOCOL = "sec-websocket-protocol"
SERVER_HELLO = [frame(hello("server", SID))]

ASKED = [
    asked("nothing", "a client that says nothing", "NG-3", [], "unknown", None),
    asked("version-1", "a client without a proposal", "NG-3 SE-2", [["wirespan", "1"]], "announced", wirespan()),
    asked("proposal", "a proposal is adopted", "NG-3 SE-1 SE-3", [["wirespan", f"1;session={CID}"]], "announced", wirespan(CID), CID, CID),
    asked("highest-common", "the highest common version is answered", "NG-3", [["wirespan", "3,2,1"]], "announced", wirespan()),
    asked("none-common", "none in common", "NG-3", [["wirespan", "3,2"]], "unknown", None),
    asked("unparsable", "unparsable", "NG-3", [["wirespan", "one"]], "unknown", None),
    asked("two-fields", "two fields", "NG-3", [["wirespan", "1"], ["Wirespan", "1"]], "unknown", None),
    asked("proposal-invalid", "an invalid id: the version counts", "NG-2", [["wirespan", "1;session=a/b"]], "announced", wirespan()),
    asked("proposal-of-128", "an id of 128 characters", "NG-2 TX-2", [["wirespan", f"1;session={'s' * 128}"]], "announced", wirespan("s" * 128), "s" * 128, "s" * 128),
    asked("proposal-of-129", "an id of 129 characters", "NG-2 TX-2", [["wirespan", f"1;session={'s' * 129}"]], "announced", wirespan()),
    asked("never", "mode never reads nothing and writes nothing", "NG-1", [["wirespan", "1"]], "unknown", None, options={"mode": "never"}),
    asked("always-and-header", "a peer that announces itself counts more than always", "NG-11", [["wirespan", "1"]], "announced", wirespan(), options={"mode": "always"}),
    asked("always", "mode always takes a silent client for version 1", "NG-1 NG-11", [], "always", None, options={"mode": "always"}),
    asked("subprotocol", "by subprotocol: a hello is the first message", "NG-4 NG-6", [[PROTOCOL, "chat, wirespan.v1"]], "announced", None, events=SERVER_HELLO, selected="chat",
          subprotocols=["chat"]),
    asked("subprotocol-proposal", "with a proposal", "NG-4 NG-6 SE-1", [[PROTOCOL, f"chat, wirespan.v1.{CID}"]], "announced", None, CID, CID, events=[frame(hello("server", CID))],
          selected="chat", subprotocols=["chat"]),
    asked("subprotocol-alone", "alone it is echoed", "NG-4", [[PROTOCOL, "wirespan.v1"]], "announced", {"subprotocol": "wirespan.v1"}, events=SERVER_HELLO),
    asked("subprotocol-alone-with-proposal", "as it was offered", "NG-4", [[PROTOCOL, f"wirespan.v1.{CID}"]], "announced", {"subprotocol": f"wirespan.v1.{CID}"}, CID, CID,
          events=[frame(hello("server", CID))]),
    asked("subprotocol-beside-unselected", "beside another one it is not echoed", "NG-4", [[PROTOCOL, "chat, wirespan.v1"]], "announced", None, events=SERVER_HELLO, subprotocols=["chat"]),
    asked("subprotocol-two-fields", "several fields are one list", "NG-4", [[PROTOCOL, "chat"], [PROTOCOL, "wirespan.v1"]], "announced", None, events=SERVER_HELLO, selected="chat",
          subprotocols=["chat"]),
    asked("subprotocol-invalid-id", "an invalid id makes it another subprotocol", "NG-4", [[PROTOCOL, "wirespan.v1.a/b"]], "unknown", None, subprotocols=["wirespan.v1.a/b"]),
    asked("subprotocol-v2", "another version is another subprotocol", "NG-4", [[PROTOCOL, "wirespan.v2"]], "unknown", None, subprotocols=["wirespan.v2"]),
    asked("subprotocol-case", "names of subprotocols compare exactly", "NG-4", [[PROTOCOL, "Wirespan.v1"]], "unknown", None, subprotocols=["Wirespan.v1"]),
    asked("query", "by query", "NG-5 NG-6", [], "announced", None, query="a=b&wirespan=1", events=SERVER_HELLO),
    asked("query-proposal", "with a proposal", "NG-5 NG-6", [], "announced", None, CID, CID, query=f"wirespan=1.{CID}", events=[frame(hello("server", CID))]),
    asked("query-invalid-id", "an invalid id: the version counts", "NG-5", [], "announced", None, query="wirespan=1.a/b", events=SERVER_HELLO),
    asked("query-version-2", "another version", "NG-5", [], "unknown", None, query="wirespan=2"),
    asked("query-repeated", "repeated", "NG-5 NG-3", [], "unknown", None, query="wirespan=1&wirespan=1"),
    asked("header-before-subprotocol", "the header counts first", "NG-5", [["wirespan", f"1;session={CID}"], [PROTOCOL, f"chat, wirespan.v1.{THIRD}"]], "announced", wirespan(CID), CID, CID,
          selected="chat", subprotocols=["chat"]),
    asked("bad-header-before-query", "also an unparsable one", "NG-5 NG-3", [["wirespan", "x"]], "unknown", None, query="wirespan=1"),
    asked("header-too-long", "a value over 8192 bytes", "NG-13", [["wirespan", {"$concat": ["1;x=", {"$repeat": "y", "times": 8192}]}]], "unknown", None),
    asked("ten-thousand-headers", "ten thousand other headers", "NG-13", [{"$list": ["x-{n}", "1"], "times": 10000}, ["wirespan", "1"]], "announced", wirespan()),
]  # fmt: skip


def waiting(script: Script, **options: object) -> Script:
    """A client that announced itself by subprotocol and got no header back: it waits for a hello."""
    script.step("client", entropy=CID, options={"subprotocol": "alone", **options})
    script.step("request", {"headers": [HEADER], "subprotocol": f"wirespan.v1.{CID}"}, host="example.com")
    return script.step("open", headers=[], at=0)


def hellos() -> list[dict]:
    made = []

    s = waiting(Script("negotiation/hello-accepted", "the server's hello makes it known", "NG-6 NG-7 NG-10"))
    s.step("deadline", {"deadline": 250 * MS}).state("unknown", ready=False)
    s.receive(hello("server", CID), 10 * MS, events=[READY]).state("announced").step("deadline")
    made.append(s.counters().done())

    s = waiting(Script("negotiation/hello-names-session", "its session is in force", "NG-6 SE-1"))
    made.append(s.receive(hello("server", SID), 10 * MS, events=[session_changed(CID), READY]).state("announced", SID).done())

    s = waiting(Script("negotiation/hello-without-session", "without a session the proposal stands", "NG-7"))
    made.append(s.receive(hello("server", None), 10 * MS, events=[READY]).state("announced").done())

    s = waiting(Script("negotiation/hello-wait-is-over", "connect waits 250 ms", "NG-10 NG-15"))
    s.step("on_time", at=249 * MS).state("unknown", ready=False).step("on_time", events=[READY], at=250 * MS)
    made.append(s.state("unknown").step("deadline").done())

    s = waiting(Script("negotiation/hello-wait-option", "or as long as the option says", "NG-10"), hello_wait=2 * S)
    made.append(s.step("deadline", {"deadline": 2 * S}).done())

    s = waiting(Script("negotiation/hello-however-late", "a hello that is the first message is accepted however late", "NG-7"))
    s.step("on_time", events=[READY], at=250 * MS)
    made.append(s.receive(hello("server", CID), 60 * S).state("announced").done())

    s = waiting(Script("negotiation/hello-second-message", "a hello that is the second message is an ordinary one", "NG-7 NG-9"))
    s.receive("first", 10 * MS, payload="first", events=[READY])
    made.append(s.receive(hello("server", CID), 20 * MS, payload=hello("server", CID)).state("unknown").done())

    s = waiting(Script("negotiation/hello-first-message-ends-wait", "any first message ends the wait", "NG-10"))
    made.append(s.receive("hi", 10 * MS, payload="hi", events=[READY]).state("unknown").step("deadline").done())

    s = waiting(Script("negotiation/hello-own-role-is-echo", "a hello of one's own role is an echo", "NG-8 ER-3"))
    s.receive(hello("client", CID), 10 * MS, events=[READY]).state("unknown")
    made.append(s.counters(role=1).done())

    for words, text in [
        ("without-role", text_envelope([("wirespan", "1"), ("content", "none")], "null")), ("without-content", text_envelope([("wirespan", "1"), ("role", "server")], "null")),
        ("without-version", text_envelope([("role", "server"), ("content", "none")], "null")), ("version-2", text_envelope([("wirespan", "2"), ("role", "server"), ("content", "none")], "null")),
        ("role-repeated", text_envelope([("wirespan", "1"), ("role", "server"), ("role", "server"), ("content", "none")], "null")),
        ("version-invalid", text_envelope([("wirespan", "01"), ("role", "server"), ("content", "none")], "null")),
        ("white-space", hello("server", CID).replace(",\"role\"", ", \"role\"")), ("body-not-null", text_envelope([("wirespan", "1"), ("role", "server"), ("content", "none")], "1")),
    ]:  # fmt: skip
        s = waiting(Script(f"negotiation/hello-refused-{words}", "not a hello: delivered as it came", "NG-7 NG-9"))
        made.append(s.receive(text, 10 * MS, payload=text, events=[READY]).state("unknown").done())

    s = Script("negotiation/hello-not-asked-for", "a client that never announced itself takes no hello", "NG-7")
    s.step("client", entropy=CID, options={"mode": "never"}).step("request", host="example.com").step("open", headers=[], at=0)
    made.append(s.receive(hello("server", CID), payload=hello("server", CID)).state("unknown").done())

    s = Script("negotiation/hello-unasked-server", "a server that announced nothing takes no hello", "NG-7 NG-9").server("unknown")
    made.append(s.receive(hello("client", CID), payload=hello("client", CID)).state("unknown").done())

    s = Script("negotiation/hello-expected", "a server that expects one takes it, and answers with its own", "NG-7 NG-8").server("unknown", hello="expect")
    s.receive(hello("client", CID), 10 * MS, events=[session_changed(SID), frame(hello("server", CID))])
    made.append(s.state("announced", CID).done())

    s = Script("negotiation/hello-first", "a client sends one first, by configuration", "NG-6 NG-14")
    s.step("client", entropy=CID, options={"hello": "first"}).step("request", {"headers": [HEADER]}, host="example.com")
    made.append(s.step("open", events=[frame(hello("client", CID))], headers=[], at=0).state("unknown").done())

    s = Script("negotiation/hello-first-server", "a server as well", "NG-6")
    s.step("server", entropy=SID, options={"hello": "first"}, request={"headers": []}).step("response")
    made.append(s.step("open", events=[frame(hello("server", SID))], at=0).done())

    s = Script("negotiation/hello-answered-once", "who has announced itself does not answer", "NG-8")
    s.step("client", entropy=CID, options={"hello": "first"}).step("request", {"headers": [HEADER]}, host="example.com")
    s.step("open", events=[frame(hello("client", CID))], headers=[], at=0)
    made.append(s.receive(hello("server", CID), 10 * MS).state("announced").done())

    s = Script("negotiation/hello-from-known-delivers-nothing", "from a known peer it is an ordinary message without a body", "NG-9").client()
    made.append(s.receive(hello("server", CID)).state("announced").counters().done())

    s = waiting(Script("negotiation/header-answer-needs-no-hello", "a header in the answer ends the matter", "NG-10"))
    s.steps.pop()
    made.append(s.step("open", headers=[["wirespan", "1"]], at=0).state("announced").step("deadline").done())

    s = waiting(Script("negotiation/plain-before-hello", "before the hello the client sends plain", "NG-10 RC-1"))
    s.send("plain", "hi", "hi", 1 * MS, MINE)
    s.receive(hello("server", CID), 10 * MS, events=[READY])
    made.append(s.send("plain", "hi", text_envelope([("traceparent", MINE), ("content", "text")], '"hi"'), 20 * MS, MINE).done())
    return made


def recognised() -> list[dict]:
    """What goes to, and is taken from, the three kinds of peers."""
    made = []
    envelope = text_envelope([("traceparent", PEER), ("x", "1")], '{"n":1.0}')

    s = Script("recognition/unknown-unwraps-nothing", "from an unknown peer nothing is unwrapped", "RC-1 RC-8").client("unknown")
    made.append(s.receive(envelope, payload=envelope).state("unknown").counters().done())

    s = Script("recognition/unknown-sends-bare", "to an unknown peer a message goes as it is", "RC-1").client("unknown")
    s.send("plain", '{"n":1.0}', '{"n":1.0}', span=MINE)
    made.append(s.send("plain", text_envelope([], "1"), text_envelope([], "1")).counters().done())

    s = Script("recognition/unknown-drops-own-headers", "own headers cannot travel, and are counted", "RC-1 ST-18").client("unknown")
    made.append(s.send("plain", "hi", "hi", headers=[["x", "1"], ["y", "2"]]).counters(dropped_header=2).done())

    s = Script("recognition/never-is-unknown", "mode never unwraps nothing and sends bare", "NG-1 RC-1")
    s.step("client", entropy=CID, options={"mode": "never"}).step("request", host="example.com").step("open", headers=[["wirespan", "1"]], at=0)
    made.append(s.receive(envelope, payload=envelope).send("plain", "hi", "hi", span=MINE).state("unknown").done())

    s = Script("recognition/announced-unwraps", "from an announced peer it is unwrapped", "RC-2 ST-14 SP-18").client()
    made.append(s.receive(envelope, payload='{"n":1.0}', context=context(PEER), headers=[["x", "1"]]).counters().done())

    s = Script("recognition/announced-white-space-is-plain", "what is not canonical is plain", "RC-2 RC-4").client()
    spaced = '{"headers": {"traceparent":"' + PEER + '"},"body":1}'
    made.append(s.receive(spaced, payload=spaced).counters().done())

    s = Script("recognition/always-unwraps-any-spacing", "from an always peer any spacing is unwrapped", "RC-3").client("always")
    made.append(s.receive('{ "body": [1] ,"headers": {"traceparent": "' + PEER + '"} }', payload=" [1] ", context=context(PEER)).state("always").done())

    s = Script("recognition/bare-when-nothing-to-carry", "with nothing to carry a message goes bare", "RC-6").client()
    made.append(s.send("plain", "hi", "hi").send("plain", '{"a":1}', '{"a":1}').done())

    s = Script("recognition/carries-current-context", "the context of the current span travels", "ST-14 SP-14").client()
    s.send("plain", '{"a":1}', text_envelope([("traceparent", MINE)], '{"a":1}'), span=MINE)
    made.append(s.send("plain", "hi", text_envelope([("traceparent", MINE[:-1] + "0"), ("tracestate", "a=1"), ("content", "text")], '"hi"'), span=context(MINE[:-1] + "0", "a=1")).done())

    s = Script("recognition/own-headers-travel", "own headers travel in order", "TX-2").client()
    made.append(s.send("plain", "1", text_envelope([("b", "1"), ("a", "2")], "1"), headers=[["b", "1"], ["a", "2"]]).done())

    for words, text, out in [
        ("canonical", text_envelope([("x", "1")], "1"), text_envelope([], text_envelope([("x", "1")], "1"))),
        ("twelve-bytes", '{"headers":{', text_envelope([("content", "text")], '"{\\"headers\\":{"')),
        ("eleven-bytes", '{"headers":', '{"headers":'), ("spaced", '{"headers": {},"body":1}', '{"headers": {},"body":1}'),
    ]:  # fmt: skip
        s = Script(f"recognition/escape-announced-{words}", "toward an announced peer what starts with the 12 bytes is wrapped", "RC-5 RC-6").client()
        made.append(s.send("plain", text, out).done())

    for words, text, wrapped in [
        ("canonical", text_envelope([("x", "1")], "1"), True), ("spaced", ' { "headers" : {} , "body" : 1 } ', True), ("body-first", '{"body":1,"headers":{}}', True),
        ("third-member", '{"body":1,"headers":{},"x":1}', False), ("other-object", '{"a":1}', False),
    ]:  # fmt: skip
        s = Script(f"recognition/escape-always-{words}", "toward an always peer what it could match is wrapped", "RC-5 RC-6").client("always")
        made.append(s.send("plain", text, text_envelope([], text) if wrapped else text).done())

    s = Script("recognition/escape-always-twelve-bytes", "and what starts with the 12 bytes", "RC-5").client("always")
    made.append(s.send("plain", '{"headers":{', text_envelope([("content", "text")], '"{\\"headers\\":{"')).done())

    s = Script("recognition/head-too-long-is-counted", "a head over its limit is plain and counted", "LI-4").client()
    long = text_envelope([(f"h{n}", "") for n in range(65)], "1")
    made.append(s.receive(long, payload=long).counters(head_too_long=1).done())

    s = Script("recognition/limits-can-be-lower", "a lower limit of the head", "LI-1 LI-4").client(max_header_bytes=2048)
    long = text_envelope([("x", "v" * 2100)], "1")
    made.append(s.receive(long, payload=long).counters(head_too_long=1).done())

    s = Script("recognition/faults-are-counted", "what is ignored in a head is counted", "W-2 TX-7").client()
    s.receive(text_envelope([("traceparent", "x"), ("tracestate", "a=1")], "1"), payload="1")
    s.receive(text_envelope([("traceparent", PEER), ("traceparent", PEER)], "2"), payload="2")
    s.receive(text_envelope([("session", ""), ("content", "none")], "3"), payload="3")
    made.append(s.counters(context_invalid=1, dropped_tracestate=1, header_repeated=1, header_invalid=1, content_mismatch=1).done())
    return made


FILES = {
    "negotiation/requests": [*REQUESTS, *OWN_SPANS],
    "negotiation/answers": ANSWERS,
    "negotiation/asked": ASKED,
    "negotiation/hellos": hellos(),
    "recognition/peers": recognised(),
}
