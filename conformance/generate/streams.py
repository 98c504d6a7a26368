"""Calls, transfers and plain messages of one connection: how they open, end, and what is late, repeated or lost."""

from build import binary_message, binary_of, text_envelope
from script import (
    CURRENT, MINE, MS, PEER, S, Script, binary_message_of, context, control, ended, frame, message, read_end,
)  # fmt: skip


def script(name: str, title: str, rules: str, note: str = "") -> Script:
    return Script(f"streams/{name}", title, rules, note)


def opening(script_: Script, wire: int, at: int, body: str = "1", stream: str = "s1", kind: str = "call", method: str | None = None, registered: bool = False,
            **headers: object) -> Script:  # fmt: skip
    """A message of the peer that opens a stream, with its context."""
    parent = {"remote": context(PEER)} if kind == "call" else "root"
    links = [] if kind == "call" else [{"traceparent": PEER, "remote": True}]
    return script_.receive(message(wire, body, context=PEER, kind=kind, method=method, **headers), at, stream, body,
                           opened=script_.opened(stream, kind, method, registered, parent, links), context=context(PEER))  # fmt: skip


def calls_of_this_side() -> list[dict]:
    made = []

    s = script("call-and-reply", "a call with one message each way", "ST-1 ST-2 ST-6 SP-5 SP-13").client()
    s.call("s1", "order", 1 * MS)
    s.send("s1", '{"n":1}', message(1, '{"n":1}', context=MINE, kind="call", method="order"), 2 * MS, MINE)
    s.step("end", events=[frame(control(1, "1", 1))], stream="s1", at=3 * MS)
    s.receive(message(1, '"ok"'), 10 * MS, "s1", '"ok"')
    s.receive(control(1, "1", 1), 12 * MS, "s1", events=[read_end("s1"), ended("s1", start=2 * MS, sent=[(7, 2 * MS)], received=[(4, 10 * MS)])])
    made.append(s.counters().state().done())

    s = script("last-message-ends", "the end rides on the last chunk", "ST-6").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True)
    s.receive(message(1, "2", end="1"), 5 * MS, "s1", "2", events=[read_end("s1"), ended("s1", sent=[(1, 0)], received=[(1, 5 * MS)])])
    made.append(s.state().done())

    s = script("end-behind-the-reply", "the call is over when the later direction ends", "ST-6").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    s.receive(message(1, "2", end="1"), 5 * MS, "s1", "2", events=[read_end("s1")])
    s.send("s1", "3", message(1, "3", 1), 6 * MS)
    made.append(s.step("end", events=[frame(control(1, "1", 2)), ended("s1", sent=[(1, 0), (1, 6 * MS)], received=[(1, 5 * MS)])], stream="s1", at=7 * MS).done())

    s = script("context-on-first-message-only", "context, kind and method stand on the first message only; seq counts", "ST-2 ST-5 TX-2 TC-15").client().call("s1", "m")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call", method="m", tracestate="a=1"), 0, context(MINE, "a=1"))
    s.send("s1", "2", message(1, "2", 1), 1, context(MINE, "a=1"))
    made.append(s.send("s1", "3", message(1, "3", 2), 2, context(MINE, "a=1")).done())

    s = script("without-a-span", "without a valid span context no traceparent is written", "SP-14").client().call("s1")
    made.append(s.send("s1", "1", message(1, "1", kind="call")).done())

    s = script("unsampled", "an unsampled context travels with the bit 0", "SP-14").client().call("s1")
    made.append(s.send("s1", "1", message(1, "1", context=MINE[:-1] + "0", kind="call"), span=MINE[:-1] + "0").done())

    s = script("ids-increase", "ids of the client side are odd and increase", "ST-1").client()
    for n in (1, 2, 3):
        s.call(f"s{n}").send(f"s{n}", "1", message(2 * n - 1, "1", context=MINE, kind="call"), span=MINE)
    made.append(s.state(streams=3).done())

    s = script("ids-of-the-server", "ids of the server side are even", "ST-1").server()
    s.call("s1", "ask").send("s1", "1", message(2, "1", context=MINE, kind="call", method="ask"), span=MINE)
    made.append(s.call("s2").send("s2", "1", message(4, "1", context=MINE, kind="call"), span=MINE).done())

    s = script("id-taken-by-first-message", "an id is taken by the first message, not by the call", "ST-1").client().call("s1").call("s2")
    s.send("s2", "1", message(1, "1", context=MINE, kind="call"), span=MINE)
    made.append(s.send("s1", "1", message(3, "1", context=MINE, kind="call"), span=MINE).done())

    s = script("interleaved", "two calls interleave", "ST-5").client().call("s1").call("s2")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).send("s2", "1", message(3, "1", context=CURRENT, kind="call"), 0, CURRENT)
    s.receive(message(3, "30"), 1 * MS, "s2", "30").receive(message(1, "10"), 2 * MS, "s1", "10")
    s.receive(message(3, "31", 1, end="1"), 3 * MS, "s2", "31", events=[read_end("s2")])
    made.append(s.receive(message(1, "11", 1, end="1"), 4 * MS, "s1", "11", events=[read_end("s1")]).counters().state(streams=2).done())

    s = script("text-and-binary-alternate", "each message in the form of its body", "ST-6 BN-3").client().call("s1")
    s.step("send", {"message": binary_message(binary_of([("traceparent", MINE), ("kind", "call"), ("stream", "1")]) + b"\x00\x01")}, stream="s1", body=binary_message(b"\x00\x01"), context=MINE, at=0)
    s.send("s1", "x", message(1, '"x"', 1, content="text"), 1)
    s.step("send", {"message": binary_message(binary_message_of(1, b"", 2))}, stream="s1", body=binary_message(b""), at=2)
    made.append(s.step("end", events=[frame(binary_message_of(1, b"", 3, end="1", content="none"))], stream="s1", at=3).done())

    s = script("end-in-text-where-nothing-was-sent", "an end in a direction that sent nothing is text", "ST-6").server()
    s.step("receive", {"stream": "s1", "payload": binary_message(b"x"), "opened": s.opened("s1", parent={"remote": context(PEER)}), "context": context(PEER)},
           message=binary_message(binary_of([("traceparent", PEER), ("kind", "call"), ("stream", "1")]) + b"x"), at=0)  # fmt: skip
    made.append(s.step("end", events=[frame(control(1, "1"))], stream="s1", at=1).done())

    s = script("own-headers", "own headers travel with any message of a stream", "TX-2").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call", own=[("x", "1")]), 0, MINE, headers=[["x", "1"]])
    made.append(s.send("s1", "2", message(1, "2", 1, own=[("y", "2")]), 1, headers=[["y", "2"]]).done())

    s = script("own-headers-invalid", "an own header that is wrong raises, and nothing has changed", "TX-5 ST-25").client().call("s1")
    s.step("send", {"raises": "invalid_argument"}, stream="s1", body={"text": "1"}, context=MINE, headers=[["Stream", "9"]], at=0)
    made.append(s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).done())

    s = script("method-invalid", "a method outside its grammar raises", "TX-2").client()
    s.step("call", {"raises": "invalid_argument"}, method="a b", at=0)
    s.step("call", {"raises": "invalid_argument"}, method="m" * 129, at=0)
    made.append(s.state().done())

    s = script("send-behind-own-end", "nothing can follow one's own end", "ST-6 ST-8").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True)
    made.append(s.step("send", {"raises": "invalid_state"}, stream="s1", body={"text": "2"}, at=1).step("end", stream="s1", at=2).done())

    s = script("end-without-message", "a call that ended its direction itself opens with it", "ST-10").client().call("s1", "m")
    s.step("end", events=[frame(message(1, "null", end="1", context=MINE, kind="call", method="m", content="none"))], stream="s1", context=MINE, at=5 * MS)
    made.append(s.receive(message(1, "1", end="1"), 8 * MS, "s1", "1", events=[read_end("s1"), ended("s1", start=5 * MS, received=[(1, 8 * MS)])]).done())

    s = script("leave-without-message", "a caller that sent nothing writes nothing", "ST-10").client().call("s1")
    made.append(s.step("leave", events=[read_end("s1", "cancelled"), ended("s1", "abandoned")], stream="s1", at=1).state().done())

    s = script("leave-abandons-reply", "leaving sends the end; what is still to come is discarded", "ST-10 ST-12 ST-23").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    s.step("leave", events=[frame(control(1, "1", 1)), read_end("s1", "cancelled"), ended("s1", "abandoned", sent=[(1, 0)])], stream="s1", at=1 * MS)
    s.state(streams=0).receive(message(1, "2"), 2 * MS).receive(message(1, "3", 1, end="1"), 3 * MS)
    made.append(s.counters(discarded=2).done())

    s = script("leave-when-all-is-over", "leaving behind both ends does nothing", "ST-10").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True)
    s.receive(message(1, "2", end="1"), 1 * MS, "s1", "2", events=[read_end("s1"), ended("s1", sent=[(1, 0)], received=[(1, 1 * MS)])])
    made.append(s.step("leave", stream="s1", at=2 * MS).done())

    s = script("leave-behind-the-reply", "leaving behind the reply's end completes the call", "ST-10 ST-6").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).receive(message(1, "2", end="1"), 1 * MS, "s1", "2", events=[read_end("s1")])
    made.append(s.step("leave", events=[frame(control(1, "1", 1)), ended("s1", sent=[(1, 0)], received=[(1, 1 * MS)])], stream="s1", at=2 * MS).done())

    s = script("cancel", "a cancel ends both directions, and is no error", "ST-7 ST-10").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    s.step("cancel", events=[frame(control(1, "cancel", 1)), read_end("s1", "cancelled"), ended("s1", "cancelled", sent=[(1, 0)])], stream="s1", at=1 * MS)
    made.append(s.receive(message(1, "2"), 2 * MS).counters(discarded=1).done())

    s = script("cancel-without-message", "a call that sent nothing cancels without a word", "ST-10").client().call("s1")
    made.append(s.step("cancel", events=[read_end("s1", "cancelled"), ended("s1", "cancelled")], stream="s1", at=1).done())

    s = script("cancel-behind-own-end", "after its end a side may still cancel", "ST-8").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True)
    made.append(s.step("cancel", events=[frame(control(1, "cancel", 1)), read_end("s1", "cancelled"), ended("s1", "cancelled", sent=[(1, 0)])], stream="s1", at=1).done())

    s = script("fail", "another exception sends its type", "ST-10 SP-12").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    made.append(s.step("fail", events=[frame(control(1, "error", 1, "ValueError")), read_end("s1", "cancelled", "ValueError"), ended("s1", "error", "ValueError", sent=[(1, 0)])],
                       stream="s1", error="ValueError", at=1).done())  # fmt: skip

    s = script("fail-with-a-bad-name", "a type that does not fit the wire becomes handler", "ST-10").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    made.append(s.step("fail", events=[frame(control(1, "error", 1, "handler")), read_end("s1", "cancelled", "handler"), ended("s1", "error", "handler", sent=[(1, 0)])],
                       stream="s1", error="not a name", at=1).done())  # fmt: skip

    s = script("send-behind-cancel", "an operation on a call that was cancelled raises why", "ST-7").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    s.receive(control(1, "cancel"), 1, "s1", events=[read_end("s1", "cancelled"), ended("s1", "cancelled", sent=[(1, 0)])])
    made.append(s.step("send", {"raises": "cancelled"}, stream="s1", body={"text": "2"}, at=2).done())

    s = script("peer-cancels", "a cancel by the peer: the reader raises cancelled, the status stays Unset", "ST-7").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).receive(message(1, "2"), 1 * MS, "s1", "2")
    made.append(s.receive(control(1, "cancel", 1), 2 * MS, "s1", events=[read_end("s1", "cancelled"), ended("s1", "cancelled", sent=[(1, 0)], received=[(1, 1 * MS)])]).done())

    s = script("peer-fails", "an error by the peer", "ST-7 SP-12").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    made.append(s.receive(control(1, "error", error="Boom"), 2 * MS, "s1", events=[read_end("s1", "remote", "Boom"), ended("s1", "error", "Boom", sent=[(1, 0)])])
                .step("send", {"raises": "remote"}, stream="s1", body={"text": "2"}, at=3 * MS).done())  # fmt: skip

    for words, error in [("none", None), ("invalid", "a b"), ("empty", "")]:
        s = script(f"peer-fails-type-{words}", "an error without a valid type has the type remote", "ST-7").client().call("s1")
        s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
        s.receive(control(1, "error", error=error), 2 * MS, "s1", events=[read_end("s1", "remote", "remote"), ended("s1", "error", "remote", sent=[(1, 0)])])
        made.append(s.counters(**({} if error is None else {"header_invalid": 1})).done())

    s = script("error-with-a-body", "a body on a message that ends its direction is delivered first", "ST-9").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    made.append(s.receive(message(1, '{"why":1}', end="error", error="Boom"), 2 * MS, "s1", '{"why":1}',
                          events=[read_end("s1", "remote", "Boom"), ended("s1", "error", "Boom", sent=[(1, 0)], received=[(9, 2 * MS)])]).done())  # fmt: skip

    s = script("peer-cancels-behind-its-end", "after its end the peer may still cancel", "ST-8").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).receive(message(1, "2", end="1"), 1 * MS, "s1", "2", events=[read_end("s1")])
    made.append(s.receive(control(1, "cancel", 1), 2 * MS, events=[ended("s1", "cancelled", sent=[(1, 0)], received=[(1, 1 * MS)])]).counters().done())

    s = script("chunk-behind-its-end", "another message in a closed direction is late", "ST-8 ST-21").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).receive(message(1, "2", end="1"), 1 * MS, "s1", "2", events=[read_end("s1")])
    made.append(s.receive(message(1, "3", 1), 2 * MS, payload="3").counters(late=1).state(streams=1).done())

    s = script("chunk-behind-a-complete-call", "after a normal end it is plain, without context, counted", "ST-12 ST-20").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True)
    s.receive(message(1, "2", end="1"), 1 * MS, "s1", "2", events=[read_end("s1"), ended("s1", sent=[(1, 0)], received=[(1, 1 * MS)])])
    made.append(s.receive(message(1, "3", 1), 2 * MS, payload="3").counters(late=1).done())

    s = script("reply-before-request", "a reply to a stream that never opened is plain and counted", "ST-3").client()
    made.append(s.receive(message(1, "2"), payload="2").counters(unmatched=1).done())

    s = script("reply-of-another-stream", "a message of a stream that is not open", "ST-3").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    made.append(s.receive(message(3, "2"), payload="2").receive(message(2, "2", 4), payload="2").counters(unmatched=2).done())

    s = script("close-ends-every-call", "loss of the connection is an error on every open call", "ST-19 SP-10").client().call("s1").call("s2")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    s.step("on_close", events=[read_end("s1", "closed", "closed"), ended("s1", "error", "closed", sent=[(1, 0)]), read_end("s2", "closed", "closed"), ended("s2", "error", "closed")],
           code=1000, reason="bye", at=1 * S)  # fmt: skip
    s.step("send", {"raises": "closed"}, stream="s1", body={"text": "2"}, at=2 * S).step("call", {"raises": "closed"}, at=2 * S)
    made.append(s.state(open=False, ready=False).done())

    s = script("close-behind-one-end", "a call that waits for its reply has lost something", "ST-19").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True)
    made.append(s.step("on_close", events=[read_end("s1", "closed", "closed"), ended("s1", "error", "closed", sent=[(1, 0)])], code=1000, at=1 * MS).done())
    return made


def calls_of_the_peer() -> list[dict]:
    made = []

    s = script("serve-and-return", "a call of the peer: its handler replies and returns", "SP-6 ST-11").server().step("methods", names=["order"])
    opening(s, 1, 10 * MS, '{"n":1}', method="order", registered=True)
    s.receive(control(1, "1", 1), 11 * MS, "s1", events=[read_end("s1")])
    s.send("s1", '"ok"', message(1, '"ok"'), 20 * MS)
    made.append(s.step("leave", events=[frame(control(1, "1", 1)), ended("s1", start=10 * MS, sent=[(4, 20 * MS)], received=[(7, 10 * MS)])], stream="s1", at=21 * MS).state().done())

    s = script("method-not-registered", "a peer never names a span", "SP-6 TR-3").server().step("methods", names=["order"])
    made.append(opening(s, 1, 0, method="evil").done())

    s = script("return-without-reply", "a handler's return ends its direction, also when it sent nothing", "ST-11").server()
    opening(s, 1, 0)
    s.receive(control(1, "1", 1), 1, "s1", events=[read_end("s1")])
    made.append(s.step("leave", events=[frame(control(1, "1")), ended("s1", received=[(1, 0)])], stream="s1", at=2).done())

    s = script("return-before-the-end-of-the-request", "request chunks behind a return are discarded", "ST-11 ST-12").server()
    opening(s, 1, 0)
    s.step("leave", events=[frame(control(1, "1")), read_end("s1", "cancelled"), ended("s1", received=[(1, 0)])], stream="s1", at=1)
    made.append(s.receive(message(1, "2", 1), 2).receive(control(1, "1", 2), 3).counters(discarded=2).done())

    s = script("without-context", "without a context a callee starts a new root", "SP-6").server()
    made.append(s.receive(message(1, "1", kind="call"), 0, "s1", "1", opened=s.opened("s1")).done())

    s = script("with-invalid-context", "with an invalid one as well", "SP-6 TX-7").server()
    made.append(s.receive(message(1, "1", context="00-x", kind="call"), 0, "s1", "1", opened=s.opened("s1")).counters(context_invalid=1).done())

    s = script("serves-the-client", "a call of the server is served by the client", "SP-6 ST-1").client().step("methods", names=["ask"])
    opening(s, 2, 0, '"sure?"', method="ask", registered=True)
    s.receive(control(2, "1", 1), 1, "s1", events=[read_end("s1")])
    s.send("s1", "true", message(2, "true"), 2)
    made.append(s.step("leave", events=[frame(control(2, "1", 1)), ended("s1", sent=[(4, 2)], received=[(7, 0)])], stream="s1", at=3).done())

    s = script("both-directions-at-once", "calls of both sides interleave", "ST-1").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    opening(s, 2, 1, "2", "s2")
    s.send("s2", "3", message(2, "3"), 2).receive(message(1, "4"), 3, "s1", "4")
    made.append(s.state(streams=2).counters().done())

    s = script("repeat-of-the-first-message", "a repeated first message opens nothing", "SP-13 ST-5").server()
    opening(s, 1, 0)
    s.receive(message(1, "1", context=PEER, kind="call"), 1, "s1", "1")
    made.append(s.counters(repeat=1).state(streams=1).done())

    s = script("kind-on-a-later-message", "a kind on a later message is ignored", "ST-2").server()
    opening(s, 1, 0)
    made.append(s.receive(message(1, "2", 1, kind="transfer", context=PEER), 1, "s1", "2").counters().state(streams=1).done())

    s = script("opening-with-seq", "with a seq nothing opens, not even with 0", "ST-2 ST-3").server()
    s.receive(message(1, "1", 1, kind="call", context=PEER), 0, payload="1")
    s.receive(text_envelope([("kind", "call"), ("stream", "1"), ("seq", "0")], "1"), 1, payload="1")
    made.append(s.counters(unmatched=2).state().done())

    s = script("opening-without-kind", "without a kind nothing opens", "ST-2 ST-3").server()
    made.append(s.receive(message(1, "1", context=PEER), 0, payload="1").counters(unmatched=1).state().done())

    s = script("opening-below-an-earlier-id", "an id below an earlier one opens nothing", "ST-2 ST-3").server()
    opening(s, 5, 0)
    made.append(s.receive(message(3, "1", kind="call", context=PEER), 1, payload="1").counters(unmatched=1).state(streams=1).done())

    s = script("opening-may-skip-ids", "ids may be left out", "ST-1 ST-2").server()
    opening(s, 3, 0)
    made.append(opening(s, 4294967295, 1, stream="s2").state(streams=2).done())

    s = script("opening-that-ends", "an opening message may also end", "ST-9 ST-6").server()
    s.receive(message(1, "1", end="1", context=PEER, kind="call"), 0, "s1", "1", events=[read_end("s1")], opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER))
    made.append(s.state(streams=1).done())

    s = script("close-behind-both-ends", "a call that is complete both ways has ended well, though its handler has not returned", "ST-19 SP-10").server()
    s.receive(message(1, "1", end="1", context=PEER, kind="call"), 0, "s1", "1", events=[read_end("s1")], opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER))
    s.send("s1", "2", message(1, "2", end="1"), 1 * MS, last=True)
    s.step("on_close", events=[ended("s1", sent=[(1, 1 * MS)], received=[(1, 0)])], code=1000, at=2 * MS)
    made.append(s.step("leave", stream="s1", at=3 * MS).state(open=False, ready=False).done())

    s = script("opening-that-ends-without-body", "also without a body", "ST-9 ST-10").server()
    s.receive(message(1, "null", end="1", context=PEER, kind="call", content="none"), 0, "s1", events=[read_end("s1")], opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER))
    made.append(s.step("leave", events=[frame(control(1, "1")), ended("s1")], stream="s1", at=1).done())

    s = script("opening-that-cancels", "an opening message may also cancel: plans are made", "ST-9 ST-7").server()
    s.receive(message(1, "1", end="cancel", context=PEER, kind="call"), 0, "s1", "1", events=[read_end("s1", "cancelled"), ended("s1", "cancelled", received=[(1, 0)])],
              opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER))  # fmt: skip
    made.append(s.state().done())

    s = script("opening-that-fails", "or fail", "ST-9 ST-7").server()
    s.receive(message(1, "1", end="error", error="Boom", context=PEER, kind="call"), 0, "s1", "1",
              events=[read_end("s1", "remote", "Boom"), ended("s1", "error", "Boom", received=[(1, 0)])], opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER))  # fmt: skip
    made.append(s.state().done())

    s = script("id-again-behind-cancel", "an id used again after a cancel is discarded", "ST-12").server()
    opening(s, 1, 0)
    s.receive(control(1, "cancel", 1), 1, "s1", events=[read_end("s1", "cancelled"), ended("s1", "cancelled", received=[(1, 0)])])
    made.append(s.receive(message(1, "1", context=PEER, kind="call"), 2).counters(discarded=1).state().done())

    s = script("id-again-behind-a-normal-end", "after a normal end it is plain", "ST-12").server()
    opening(s, 1, 0)
    s.receive(control(1, "1", 1), 1, "s1", events=[read_end("s1")])
    s.step("leave", events=[frame(control(1, "1")), ended("s1", received=[(1, 0)])], stream="s1", at=2)
    made.append(s.receive(message(1, "1", context=PEER, kind="call"), 3, payload="1").counters(late=1).state().done())

    s = script("handler-fails", "a handler that fails", "ST-10 SP-12").server()
    opening(s, 1, 0)
    made.append(s.step("fail", events=[frame(control(1, "error", error="KeyError")), read_end("s1", "cancelled", "KeyError"), ended("s1", "error", "KeyError", received=[(1, 0)])],
                       stream="s1", error="KeyError", at=1).done())  # fmt: skip

    s = script("unknown-method", "a method that nobody serves", "ST-17").server()
    opening(s, 1, 0, method="nope")
    made.append(s.step("fail", events=[frame(control(1, "error", error="unknown_method")), read_end("s1", "cancelled", "unknown_method"), ended("s1", "error", "unknown_method", received=[(1, 0)])],
                       stream="s1", error="unknown_method", at=1).done())  # fmt: skip

    s = script("echo-of-an-opening", "my parity with a kind: a peer of my own role", "ST-4").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    s.receive(message(1, "1", context=MINE, kind="call"), 1 * MS, payload="1", context=context(MINE),
              events=[frame(control(1, "error", 1, "role")), read_end("s1", "role", "role"), ended("s1", "error", "role", sent=[(1, 0)])])  # fmt: skip
    s.step("call", {"raises": "role"}, at=2 * MS).receive(message(2, "1", context=PEER, kind="call"), 3 * MS, payload="1")
    made.append(s.counters(role=1, unmatched=1).state().done())

    s = script("relay-of-one-role", "from a hub that relays to its own kind", "ST-4").client()
    made.append(s.receive(message(7, "1", context=PEER, kind="call", method="m"), 0, payload="1", context=context(PEER)).counters(role=1).done())
    return made


def numbers() -> list[dict]:
    made = []

    def received(name: str, title: str, seqs: list[int | None], counts: dict, rules: str = "ST-5") -> None:
        s = script(f"seq-{name}", title, rules).client().call("s1")
        s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
        for n, seq in enumerate(seqs):
            s.receive(message(1, str(n), seq or 0), n * MS, "s1", str(n))
        made.append(s.counters(**counts).done())

    received("in-order", "numbers in order count nothing", [None, 1, 2, 3], {})
    received("gap", "the missing are counted once", [None, 3, 4], {"gap": 2})
    received("gap-at-start", "the first message is lost", [1, 2], {"gap": 1})
    received("gap-largest", "the largest number", [None, 4294967295], {"gap": 4294967294}, "ST-5 ER-1")
    received("reordered", "one that was missing comes later", [None, 2, 1], {"gap": 1, "reorder": 1})
    received("reordered-twice", "and again: a repeat", [None, 2, 1, 1], {"gap": 1, "reorder": 1, "repeat": 1})
    received("repeat", "a number that was seen", [None, 1, 1], {"repeat": 1})
    received("repeat-without-number", "a second message without a number is a repeat", [None, None], {"repeat": 1})
    received("zero-always-seen", "0 is always seen", [3, None], {"gap": 3, "repeat": 1})
    received("window-of-64", "63 below the highest is remembered", [None, 1, 64, 1], {"gap": 62, "repeat": 1})
    received("beyond-the-window", "64 below it is not", [None, 1, 65, 1], {"gap": 63, "reorder": 1})
    received("beyond-the-window-twice", "nothing is remembered there", [None, 200, 100, 100], {"gap": 199, "reorder": 2})

    s = script("seq-zero-written", "seq 0 written out is the first number", "ST-5 TX-2").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    made.append(s.receive(text_envelope([("stream", "1"), ("seq", "0")], "2"), 1, "s1", "2").receive(message(1, "3", 1), 2, "s1", "3").counters().done())

    s = script("seq-of-control-counts", "a message without a body has its number", "ST-5 ST-6").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).receive(message(1, "2"), 1, "s1", "2")
    made.append(s.receive(control(1, "1", 2), 2, "s1", events=[read_end("s1")]).counters(gap=1).done())

    s = script("repeat-is-a-chunk", "a repeat is delivered, and a chunk for the metrics; its end holds", "ST-5 SM-16").client().call("s1")
    s.send("s1", "1", message(1, "1", end="1", context=MINE, kind="call"), 0, MINE, last=True).receive(message(1, "2"), 1 * MS, "s1", "2")
    s.receive(message(1, "2", end="1"), 3 * MS, "s1", "2", events=[read_end("s1"), ended("s1", sent=[(1, 0)], received=[(1, 1 * MS), (1, 3 * MS)])])
    made.append(s.counters(repeat=1).done())

    s = script("directions-count-apart", "each direction has its own numbers", "ST-5").client().call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE).send("s1", "2", message(1, "2", 1), 1).receive(message(1, "3"), 2, "s1", "3")
    made.append(s.receive(message(1, "4", 1), 3, "s1", "4").send("s1", "5", message(1, "5", 2), 4).counters().done())
    return made


def transfers() -> list[dict]:
    made = []

    s = script("transfer-sent", "a transfer of two messages", "SP-7 ST-13").client().transfer("s1", "log", 0)
    s.send("s1", "1", message(1, "1", context=MINE, kind="transfer", method="log"), 0, MINE)
    made.append(s.send("s1", "2", message(1, "2", 1, end="1"), 1 * MS, last=True, events=[ended("s1", sent=[(1, 0), (1, 1 * MS)])]).state().done())

    s = script("transfer-left", "leaving a transfer ends it", "ST-13 ST-10").client().transfer("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="transfer"), 0, MINE)
    made.append(s.step("leave", events=[frame(control(1, "1", 1)), ended("s1", sent=[(1, 0)])], stream="s1", at=1).state().done())

    s = script("transfer-received", "a transfer that comes in: the sender is linked", "SP-8").server().step("methods", names=["log"])
    opening(s, 1, 0, kind="transfer", method="log", registered=True)
    s.receive(message(1, "2", 1, end="1"), 1 * MS, "s1", "2", events=[read_end("s1")])
    made.append(s.step("leave", events=[ended("s1", received=[(1, 0), (1, 1 * MS)])], stream="s1", at=2 * MS).state().done())

    s = script("transfer-not-registered", "a method that is not registered names no span", "SP-8 TR-3").server()
    made.append(opening(s, 1, 0, kind="transfer", method="x").done())

    s = script("transfer-has-no-replies", "sending on it raises", "ST-13").server()
    opening(s, 1, 0, kind="transfer")
    made.append(s.step("send", {"raises": "invalid_state"}, stream="s1", body={"text": "1"}, at=1).done())

    s = script("transfer-receiver-cancels", "its receiver may cancel", "ST-13").server()
    opening(s, 1, 0, kind="transfer")
    s.step("cancel", events=[frame(control(1, "cancel")), read_end("s1", "cancelled"), ended("s1", "cancelled", received=[(1, 0)])], stream="s1", at=1)
    made.append(s.receive(message(1, "2", 1), 2).counters(discarded=1).done())

    s = script("transfer-receiver-fails", "or fail", "ST-13").server()
    opening(s, 1, 0, kind="transfer")
    made.append(s.step("fail", events=[frame(control(1, "error", error="Full")), read_end("s1", "cancelled", "Full"), ended("s1", "error", "Full", received=[(1, 0)])],
                       stream="s1", error="Full", at=1).done())  # fmt: skip

    s = script("transfer-cancelled-by-receiver", "the sender learns of a cancel", "ST-13").client().transfer("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="transfer"), 0, MINE)
    s.receive(control(1, "cancel"), 1, events=[ended("s1", "cancelled", sent=[(1, 0)])])
    made.append(s.step("send", {"raises": "cancelled"}, stream="s1", body={"text": "2"}, at=2).counters().done())

    s = script("transfer-answered", "anything else that its receiver sends is plain and late", "ST-13").client().transfer("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="transfer"), 0, MINE)
    made.append(s.receive(message(1, "2"), 1, payload="2").counters(late=1).state(streams=1).done())

    s = script("transfer-return-early", "a handler that returns early writes nothing; what follows is discarded", "ST-13 ST-11").server()
    opening(s, 1, 0, kind="transfer")
    s.step("leave", events=[read_end("s1", "cancelled"), ended("s1", received=[(1, 0)])], stream="s1", at=1)
    made.append(s.receive(message(1, "2", 1), 2).counters(discarded=1).done())
    return made


def unknown_peers() -> list[dict]:
    made = []

    s = script("unknown-call", "toward an unknown peer a call sends bare messages and receives every message", "ST-18").client("unknown").call("s1", "m")
    s.send("s1", "hi", "hi", 1 * MS, MINE).receive("one", 2 * MS, "s1", "one").receive(text_envelope([("stream", "9")], "1"), 3 * MS, "s1", text_envelope([("stream", "9")], "1"))
    s.step("leave", events=[read_end("s1", "cancelled"), ended("s1", start=1 * MS, sent=[(2, 1 * MS)], received=[(3, 2 * MS), (35, 3 * MS)])], stream="s1", at=4 * MS)
    made.append(s.receive("later", 5 * MS, payload="later").counters().done())

    s = script("unknown-second-call", "a second call raises busy", "ST-18").client("unknown").call("s1")
    s.step("call", {"raises": "busy"}, at=0).step("leave", events=[read_end("s1", "cancelled"), ended("s1")], stream="s1", at=1)
    made.append(s.call("s2", at=2).done())

    s = script("unknown-before-first-message", "before its first message it receives nothing", "ST-18").client("unknown").call("s1")
    made.append(s.receive("early", 0, payload="early").send("s1", "hi", "hi", 1, MINE).receive("reply", 2, "s1", "reply").done())

    s = script("unknown-end", "end writes nothing and closes this side's direction only", "ST-18").client("unknown").call("s1")
    s.send("s1", "hi", "hi", 0, MINE).step("end", stream="s1", at=1)
    s.step("send", {"raises": "invalid_state"}, stream="s1", body={"text": "2"}, at=2)
    made.append(s.receive("reply", 3, "s1", "reply").state("unknown", streams=1).done())

    s = script("unknown-cancel", "cancel writes nothing", "ST-18").client("unknown").call("s1").send("s1", "hi", "hi", 0, MINE)
    made.append(s.step("cancel", events=[read_end("s1", "cancelled"), ended("s1", "cancelled", sent=[(2, 0)])], stream="s1", at=1).done())

    s = script("unknown-fail", "neither does an error", "ST-18").client("unknown").call("s1").send("s1", "hi", "hi", 0, MINE)
    made.append(s.step("fail", events=[read_end("s1", "cancelled", "Boom"), ended("s1", "error", "Boom", sent=[(2, 0)])], stream="s1", error="Boom", at=1).done())

    s = script("unknown-timeout", "a time-out ends it with an error and writes nothing", "ST-18 ST-16").client("unknown", idle_timeout=10 * S).call("s1").send("s1", "hi", "hi", 0, MINE)
    made.append(s.step("on_time", events=[read_end("s1", "timeout", "timeout"), ended("s1", "error", "timeout", sent=[(2, 0)])], at=10 * S).counters(timeout=1).done())

    s = script("unknown-close", "close ends it with an error", "ST-18 ST-19").client("unknown").call("s1").send("s1", "hi", "hi", 0, MINE)
    made.append(s.step("on_close", events=[read_end("s1", "closed", "closed"), ended("s1", "error", "closed", sent=[(2, 0)])], code=1000, at=1).done())

    s = script("unknown-own-headers", "own headers are left out and counted", "ST-18").client("unknown").call("s1")
    made.append(s.send("s1", "hi", "hi", 0, MINE, headers=[["x", "1"]]).counters(dropped_header=1).done())

    s = script("unknown-binary", "binary messages go bare, too", "ST-18").client("unknown").call("s1")
    s.step("send", {"message": binary_message(b"\xff\x57")}, stream="s1", body=binary_message(b"\xff\x57"), context=MINE, at=0)
    made.append(s.step("receive", {"stream": "s1", "payload": binary_message(b"\x00")}, message=binary_message(b"\x00"), at=1).done())

    s = script("unknown-transfer", "a transfer sends bare messages and receives none", "ST-18").client("unknown").transfer("s1")
    s.send("s1", "hi", "hi", 0, MINE).receive("x", 1, payload="x")
    made.append(s.step("leave", events=[ended("s1", sent=[(2, 0)])], stream="s1", at=2).done())

    s = script("unknown-empty-message", "an empty message is a message", "ST-18").client("unknown").call("s1")
    made.append(s.send("s1", "", "", 0, MINE).receive("", 1, "s1", "").done())
    return made


def always_peers() -> list[dict]:
    made = []

    s = script("always-session-on-first-message", "toward an always peer the first message of a stream names the session", "TX-2").client("always").call("s1", "m")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call", method="m", session=s.session), 0, MINE)
    made.append(s.send("s1", "2", message(1, "2", 1), 1).done())

    s = script("always-session-on-first-reply", "also the first reply", "TX-2").server("always")
    opening(s, 1, 0)
    made.append(s.send("s1", "2", message(1, "2", session=s.session), 1).send("s1", "3", message(1, "3", 1), 2).done())

    s = script("always-session-on-first-control", "and a message without a body that is the first", "TX-2 ST-11 ST-22").server("always")
    opening(s, 1, 0)
    made.append(s.step("leave", events=[frame(control(1, "1", session=s.session)), read_end("s1", "cancelled"), ended("s1", received=[(1, 0)])], stream="s1", at=1).done())

    s = script("always-session-on-first-error", "also an error", "TX-2 ST-10").server("always")
    opening(s, 1, 0)
    made.append(s.step("fail", events=[frame(control(1, "error", error="E", session=s.session)), read_end("s1", "cancelled", "E"), ended("s1", "error", "E", received=[(1, 0)])],
                       stream="s1", error="E", at=1).done())  # fmt: skip
    return made


def plain_messages() -> list[dict]:
    made = []
    s = script("plain-policy-discard", "plain messages that nobody wants are discarded and counted", "FL-4").client().step("plain_policy", policy="discard")
    made.append(s.receive("x", 0).receive(message(0, "1", own=[("x", "1")]), 1).counters(discarded=2).done())

    s = script("plain-with-context", "a plain message carries a context and makes no span", "ST-14").server()
    made.append(s.receive(message(0, "1", context=PEER, tracestate="a=1"), 0, payload="1", context=context(PEER, "a=1")).state().done())

    s = script("plain-without-body", "a plain message without a body delivers nothing", "NG-9").server()
    made.append(s.receive(text_envelope([("content", "none")], "null"), 0).counters().done())

    s = script("plain-needs-a-body", "a plain message cannot go without a body", "ST-14 ER-5").client()
    made.append(s.step("send", {"raises": "invalid_argument"}, stream="plain", body={"none": "text"}, at=0).done())

    s = script("plain-repeated-name", "with a repeated name: plain, without context, own headers in order", "TX-6").server()
    text = text_envelope([("traceparent", PEER), ("x", "1"), ("kind", "call"), ("stream", "1"), ("stream", "1"), ("y", "2")], "7")
    made.append(s.receive(text, 0, payload="7", headers=[["x", "1"], ["y", "2"]]).counters(header_repeated=1).state().done())

    s = script("plain-not-open", "before the handshake is done nothing can be sent", "SP-10 ER-5")
    s.step("client", entropy="00112233445566778899aabbccddeeff").step("send", {"raises": "invalid_state"}, stream="plain", body={"text": "x"}, at=0)
    made.append(s.step("call", {"raises": "invalid_state"}, at=0).done())

    s = script("plain-closed", "behind the close nothing can be sent", "ER-5").client().step("on_close", code=1000, at=1)
    s.step("send", {"raises": "closed"}, stream="plain", body={"text": "x"}, at=2)
    made.append(s.step("call", {"raises": "closed"}, at=2).step("transfer", {"raises": "closed"}, at=2).done())
    return made


FILES = {
    "streams/own-calls": calls_of_this_side(),
    "streams/peer-calls": calls_of_the_peer(),
    "streams/numbers": numbers(),
    "streams/transfers": transfers(),
    "streams/unknown-peers": unknown_peers(),
    "streams/always-peers": always_peers(),
    "streams/plain": plain_messages(),
}
