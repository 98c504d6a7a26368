"""Context that travels with an item across a broker."""

from build import OTHER, PARENT, bytes_value, case, concat, repeat

S = 1_000_000_000
NOW = 1_700_000_000_000_000_000


def to_headers(id_: str, title: str, rules: str, input_: dict, headers: list) -> dict:
    return case(f"carry/{id_}", title, rules, "carry", "carry", "carry.to_headers", input_, {"headers": [list(pair) for pair in headers]} if headers else {})


def from_headers(id_: str, title: str, rules: str, headers: list, expect: dict, baggage_in: list | None = None) -> dict:
    input_: dict = {"headers": [pair if isinstance(pair, dict) else list(pair) for pair in headers]}
    if baggage_in is not None:
        input_["baggage_in"] = baggage_in
    return case(f"carry/{id_}", title, rules, "carry", "carry", "carry.from_headers", input_, expect)


CONTEXT = {"traceparent": PARENT}
STATE = {"traceparent": PARENT, "tracestate": "a=1,b=2"}
INVALID = {"counts": {"context_invalid": 1}}

HEADERS = [
    to_headers("to-everything", "all headers, in this order", "CA-2 CA-6", {"context": STATE, "baggage": {"k": "v w"}, "baggage_out": ["k"], "session": "s-1", "sent": str(NOW)},
               [("traceparent", PARENT), ("tracestate", "a=1,b=2"), ("baggage", "k=v%20w"), ("session", "s-1"), ("sent", str(NOW))]),
    to_headers("to-context-alone", "a context alone", "CA-2", {"context": CONTEXT}, [("traceparent", PARENT)]),
    to_headers("to-nothing", "nothing to carry", "CA-2", {}, []),
    to_headers("to-sent-alone", "the time alone", "CA-2", {"sent": "0"}, [("sent", "0")]),
    to_headers("to-baggage-denied", "baggage is let out by the allow-list alone", "CA-2 TR-2", {"context": CONTEXT, "baggage": {"k": "v"}}, [("traceparent", PARENT)]),
    to_headers("to-baggage-some", "only the names allowed", "CA-2 TR-2", {"baggage": {"k": "v", "secret": "x"}, "baggage_out": ["k"]}, [("baggage", "k=v")]),
    to_headers("to-baggage-all", "* allows all", "CA-2 TR-2", {"baggage": {"k": "v"}, "baggage_out": ["*"]}, [("baggage", "k=v")]),
    to_headers("to-unsampled", "an unsampled context", "CA-2", {"context": PARENT[:-1] + "0"}, [("traceparent", PARENT[:-1] + "0")]),
    to_headers("to-random-flag", "the random flag", "CA-2 TC-10", {"context": PARENT[:-1] + "3"}, [("traceparent", PARENT[:-1] + "3")]),
    from_headers("from-everything", "all headers", "CA-2", [("traceparent", PARENT), ("tracestate", "a=1,b=2"), ("baggage", "k=v%20w"), ("session", "s-1"), ("sent", str(NOW))],
                 {"context": STATE, "baggage": {"k": "v w"}, "session": "s-1", "sent": str(NOW)}, ["k"]),
    from_headers("from-any-case", "names in any case", "CA-2", [("Traceparent", PARENT), ("SENT", "5"), ("Session", "s")], {"context": CONTEXT, "session": "s", "sent": "5"}),
    from_headers("from-others-ignored", "other headers are not looked at", "CA-2", [("x", "1"), ("traceparent", PARENT), ("content-type", "json")], {"context": CONTEXT}),
    from_headers("from-nothing", "no headers", "CA-5", [], {}),
    from_headers("from-traceparent-invalid", "an invalid traceparent", "CA-5", [("traceparent", PARENT + "-"), ("tracestate", "a=1"), ("sent", "5")], {"sent": "5", **INVALID}),
    from_headers("from-traceparent-twice", "a repeated traceparent is invalid", "CA-5 TC-8", [("traceparent", PARENT), ("traceparent", OTHER)], INVALID),
    from_headers("from-traceparent-twice-case", "also in another case", "CA-5 TC-8", [("traceparent", PARENT), ("TRACEPARENT", PARENT)], INVALID),
    from_headers("from-tracestate-malformed", "a malformed tracestate", "CA-2 TS-5", [("traceparent", PARENT), ("tracestate", "A=1")], {"context": CONTEXT}),
    from_headers("from-tracestate-alone", "a tracestate alone", "CA-2 TC-6", [("tracestate", "a=1")], {}),
    from_headers("from-baggage-denied", "baggage is let in by the allow-list alone", "CA-2 TR-2", [("baggage", "k=v")], {}),
    from_headers("from-baggage-some", "only the names allowed", "CA-2 TR-2", [("baggage", "k=v,secret=x")], {"baggage": {"k": "v"}}, ["k"]),
    from_headers("from-baggage-all", "* allows all", "CA-2 TR-2", [("baggage", "k=v,l=w")], {"baggage": {"k": "v", "l": "w"}}, ["*"]),
    from_headers("from-session-invalid", "an invalid session is absent", "CA-5", [("session", "a b"), ("sent", "5")], {"sent": "5"}),
    from_headers("from-session-twice", "a repeated session is invalid", "CA-5", [("session", "a"), ("session", "a")], {}),
    from_headers("from-sent-twice", "a repeated time is invalid", "CA-5", [("sent", "5"), ("sent", "6")], {}),
    *[from_headers(f"from-sent-{words}", f"sent {value!r} is invalid", "CA-5", [("sent", value)], {})
      for words, value in [("negative", "-1"), ("leading-zero", "05"), ("fraction", "1.5"), ("empty", ""), ("too-large", "18446744073709551616"), ("sign", "+5"), ("text", "now")]],
    from_headers("from-sent-largest", "the largest time", "CA-2", [("sent", "18446744073709551615")], {"sent": "18446744073709551615"}),
    from_headers("from-not-utf-8", "values that are no text", "CA-5", [("traceparent", bytes_value(b"\xff")), ("session", bytes_value(b"\xff")), ("sent", bytes_value(b"\xff"))], INVALID),
    from_headers("from-mebibyte", "values of a mebibyte", "CA-5 TC-14", [("traceparent", repeat("0", 1048576)), ("tracestate", repeat(",", 1048576)), ("session", repeat("s", 1048576))], INVALID),
    from_headers("from-1000-fields", "a thousand baggage fields", "CA-5 BG-6", [{"$list": ["baggage", concat("k{n}=", repeat("x", 100))], "times": 1000}],
                 {"baggage": {f"k{n}": "x" * 100 for n in range(64)}}, ["*"]),
]  # fmt: skip


def plan_send(id_: str, title: str, rules: str, input_: dict, name: str, attributes: dict) -> dict:
    plan: dict = {"name": name, "kind": "PRODUCER", "parent": "current"}
    if attributes:
        plan["attributes"] = attributes
    return case(f"carry/{id_}", title, rules, "carry", "carry", "carry.plan_send", input_, {"plan": plan})


def plan_process(id_: str, title: str, rules: str, items: list, name: str, parent: object, links: list, attributes: dict, destination: str | None = "orders", continue_: bool = False) -> dict:
    plan: dict = {"name": name, "kind": "CONSUMER", "parent": parent}
    if links:
        plan["links"] = [{**link, "remote": True} for link in links]
    if attributes:
        plan["attributes"] = attributes
    input_: dict = {"items": items, "continue": continue_, "now": str(NOW)}
    if destination is not None:
        input_["destination"] = destination
    return case(f"carry/{id_}", title, rules, "carry", "carry", "carry.plan_process", input_, {"plan": plan})


WAITED = str(NOW - 1_500_000_000)
WAIT = {"websocket.queue.wait": 1.5}

PLANS = [
    plan_send("plan-send", "sending to a broker", "CA-3", {"destination": "orders", "session": "s"}, "send orders", {"websocket.session.id": "s"}),
    plan_send("plan-send-without-destination", "without a destination", "CA-7", {}, "websocket send", {}),
    plan_process("plan-process-without-destination", "processing without a destination", "CA-7", [{"context": PARENT}], "websocket process", "root", [CONTEXT], {}, None),
    plan_send("plan-send-without-session", "without a session", "CA-3", {"destination": "orders"}, "send orders", {}),
    plan_process("plan-process-one", "one item is linked", "CA-3", [{"context": PARENT, "session": "s", "sent": WAITED}], "process orders", "root", [CONTEXT], {"websocket.session.id": "s", **WAIT}),
    plan_process("plan-process-one-continued", "its span is the parent if asked for, and still linked", "CA-3", [{"context": STATE, "sent": WAITED}], "process orders", {"remote": STATE}, [STATE], WAIT, continue_=True),
    plan_process("plan-process-no-context", "an item without context", "CA-5 CA-3", [{"sent": WAITED}], "process orders", "root", [], WAIT, continue_=True),
    plan_process("plan-process-no-time", "an item without time", "CA-2 CA-3", [{"context": PARENT}], "process orders", "root", [CONTEXT], {}),
    plan_process("plan-process-clock-behind", "a wait is never below 0", "CA-2", [{"context": PARENT, "sent": str(NOW + S)}], "process orders", "root", [CONTEXT], {"websocket.queue.wait": 0}),
    plan_process("plan-process-batch", "a batch has a link for each item and a count", "CA-4", [{"context": PARENT, "sent": WAITED}, {"context": OTHER}], "process orders", "root",
                 [CONTEXT, {"traceparent": OTHER}], {"messaging.batch.message_count": 2}),
    plan_process("plan-process-batch-no-parent", "also where the trace would be continued", "CA-4", [{"context": PARENT}, {"context": OTHER}], "process orders", "root",
                 [CONTEXT, {"traceparent": OTHER}], {"messaging.batch.message_count": 2}, continue_=True),
    plan_process("plan-process-batch-some-contexts", "items without context are counted", "CA-4 CA-5", [{"context": PARENT}, {}, {"sent": "5"}], "process orders", "root", [CONTEXT],
                 {"messaging.batch.message_count": 3}),
    plan_process("plan-process-batch-same-context", "each item has its link, also the same one twice", "CA-4", [{"context": PARENT}, {"context": PARENT}], "process orders", "root", [CONTEXT, CONTEXT],
                 {"messaging.batch.message_count": 2}),
    plan_process("plan-process-empty-batch", "a batch of none", "CA-4", [], "process orders", "root", [], {"messaging.batch.message_count": 0}),
]  # fmt: skip

FILES = {"carry/headers": HEADERS, "carry/plans": PLANS}
