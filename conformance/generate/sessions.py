"""Session ids: proposed, adopted, replaced, moved, remembered."""

from script import (
    CID, HANDSHAKE, MINE, MS, PEER, SID, THIRD, Script, context, control, ended, ended_own, frame, hello, link, message, read_end, session_changed, span_update,
)  # fmt: skip

SECOND_HANDSHAKE = "00-44444444444444444444444444444444-ccccccccccccccc4-01"


def script(name: str, title: str, rules: str) -> Script:
    return Script(f"sessions/{name}", title, rules)


def accept(s: Script, on: str, entropy: str, proposes: str | None = None, session: str | None = None, superseded: str | None = None, registry: str | None = "r", remote: str | None = None,
           vouched: bool | None = None, options: dict | None = None, **more: object) -> Script:  # fmt: skip
    """A server for a client that announced itself by the header; `session` is the one in force."""
    gives: dict = {}
    if proposes:
        gives["proposed"] = proposes
    if superseded:
        gives["superseded"] = superseded
    value = "1" if proposes is None else f"1;session={proposes}"
    s.step("server", gives, on=on, entropy=entropy, registry=registry, remote=remote, vouched=vouched, options=options, request={"headers": [["wirespan", value]]}, **more)
    return s.step("response", {"headers": [["wirespan", f"1;session={session or entropy}"]]}, on=on)


def count(s: Script, on: str, **counts: int) -> Script:
    return s.step("counters", {"counters": counts} if counts else {}, on=on)


def sessions() -> list[dict]:
    made = []

    s = script("generated", "without a proposal the server generates one", "SE-2")
    made.append(count(accept(s, "c", SID), "c").done())

    s = script("adopted", "a proposal is adopted", "SE-1 SE-3 SE-8")
    made.append(count(accept(s, "c", SID, CID, CID), "c").done())

    s = script("adopted-without-registry", "also where no registry guards it", "SE-3")
    made.append(count(accept(s, "c", SID, CID, CID, registry=None), "c").done())

    s = script("live-is-replaced", "a live id is not given twice", "SE-3")
    accept(s, "a", SID, CID, CID).step("open", on="a", at=0)
    made.append(count(accept(s, "b", THIRD, CID, THIRD), "b", session_replaced=1).done())

    s = script("live-before-open", "an id is live from the request on", "SE-3")
    accept(s, "a", SID, CID, CID)
    made.append(count(accept(s, "b", THIRD, CID, THIRD), "b", session_replaced=1).done())

    s = script("generated-is-guarded", "a generated id is guarded as well", "SE-3")
    accept(s, "a", SID).step("open", on="a", at=0)
    made.append(count(accept(s, "b", THIRD, SID, THIRD), "b", session_replaced=1).done())

    s = script("closed-is-continued", "behind its close an id can be proposed again", "SE-3 SE-1")
    accept(s, "a", SID, CID, CID).step("open", on="a", at=0).step("on_close", on="a", code=1000, at=1)
    made.append(count(accept(s, "b", THIRD, CID, CID), "b").done())

    s = script("failed-handshake-frees", "behind a handshake that failed, too", "SE-3")
    accept(s, "a", SID, CID, CID).step("fail_handshake", on="a", error="timeout")
    made.append(count(accept(s, "b", THIRD, CID, CID), "b").done())

    s = script("other-registry", "another registry knows nothing of it", "SE-3")
    accept(s, "a", SID, CID, CID, registry="one").step("open", on="a", at=0)
    made.append(count(accept(s, "b", THIRD, CID, CID, registry="two"), "b").done())

    for trust in ("link", "ignore"):
        s = script(f"trust-{trust}-replaces", f"under trust {trust} a proposal needs a voucher", "SE-3 TR-1")
        made.append(count(accept(s, "c", SID, CID, SID, options={"trust": trust}), "c", session_replaced=1).done())

        s = script(f"trust-{trust}-vouched", f"under trust {trust} a vouched one is adopted", "SE-3")
        made.append(count(accept(s, "c", SID, CID, CID, options={"trust": trust}, vouched=True), "c").done())

    s = script("not-vouched", "what the callback refuses is replaced", "SE-3")
    made.append(count(accept(s, "c", SID, CID, SID, vouched=False), "c", session_replaced=1).done())

    s = script("vouched-live-moves", "a live id that is vouched for moves; the old calls end superseded", "SE-4")
    accept(s, "a", SID, CID, CID).step("open", on="a", at=0)
    s.session = CID
    s.step("receive", {"stream": "s1", "payload": {"text": "1"}, "opened": s.opened("s1", parent={"remote": context(PEER)}), "context": context(PEER)}, on="a",
           message={"text": message(1, "1", context=PEER, kind="call")}, at=1 * MS)  # fmt: skip
    accept(s, "b", THIRD, CID, CID, superseded="a", vouched=True)
    s.step("on_superseded", events=[frame(control(1, "error", error="superseded")), read_end("s1", "superseded", "superseded"),
                                    ended("s1", "error", "superseded", start=1 * MS, received=[(1, 1 * MS)])], on="a", at=2 * MS)  # fmt: skip
    # The close of the old connection does not free what the new one holds.
    s.step("on_close", on="a", code=1000, at=3 * MS)
    made.append(count(accept(s, "d", SID, CID, SID), "d", session_replaced=1).done())

    s = script("client-takes-the-answer", "the server's id wins; the proposal stays as previous id", "SE-1")
    s.step("client", entropy=CID).step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "CLIENT")]}, current=False)
    s.step("request", {"headers": [["wirespan", f"1;session={CID}"]]}, host="h")
    s.step("open", events=[span_update("handshake", SID, CID), session_changed(CID), ended_own("handshake")], headers=[["wirespan", f"1;session={SID}"]], at=0)
    s.session, s.extra = SID, {"websocket.session.previous_id": CID}
    made.append(s.call("s1", at=1).done())

    s = script("answer-updates-open-calls", "a session named by a hello updates open spans", "SE-1 SE-7 NG-6 SE-9")
    s.step("client", entropy=CID, options={"query": True}).step("request", {"headers": [["wirespan", f"1;session={CID}"]], "query": f"wirespan=1.{CID}"}, host="h")
    s.step("open", headers=[], at=0).call("s1", at=1)
    made.append(s.receive(hello("server", SID), 2, events=[span_update("s1", SID, CID), session_changed(CID), {"event": "ready"}]).done())

    s = script("resume-proposes-the-same-id", "a reconnecting client proposes the id that it had", "SE-1")
    s.step("client", on="a", entropy=CID).step("request", {"headers": [["wirespan", f"1;session={CID}"]]}, on="a", host="h")
    s.step("open", events=[session_changed(CID)], on="a", headers=[["wirespan", f"1;session={SID}"]], at=0).step("on_close", on="a", at=1)
    s.step("client", on="b", entropy=THIRD, resume="a")
    made.append(s.step("request", {"headers": [["wirespan", f"1;session={SID}"]]}, on="b", host="h").done())

    s = script("resume-links-the-old-handshake", "a new handshake span links the old one", "SE-5 SP-4")
    s.step("client", on="a", entropy=CID).step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "CLIENT")]}, on="a", current=False)
    s.step("span_started", on="a", span="handshake", context=HANDSHAKE).step("request", {"headers": [["wirespan", f"1;session={CID}"], ["traceparent", HANDSHAKE]]}, on="a", host="h")
    s.step("open", events=[ended_own("handshake")], on="a", headers=[["wirespan", "1"]], at=0).step("on_close", on="a", at=1)
    s.step("client", on="b", entropy=THIRD, resume="a")
    made.append(s.step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "CLIENT", links=[link(HANDSHAKE)])]}, on="b", current=False).done())

    s = script("resume-links-from-first-call", "where no handshake span is made, the first call links the old one, and only the first", "SE-5")
    s.step("client", on="a", entropy=CID).step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "CLIENT")]}, on="a", current=False)
    s.step("span_started", on="a", span="handshake", context=HANDSHAKE).step("request", {"headers": [["wirespan", f"1;session={CID}"], ["traceparent", HANDSHAKE]]}, on="a", host="h")
    s.step("open", events=[ended_own("handshake")], on="a", headers=[["wirespan", "1"]], at=0).step("on_close", on="a", at=1)
    s.step("client", entropy=THIRD, resume="a").step("request", {"headers": [["wirespan", f"1;session={CID}"]]}, host="h").step("open", headers=[["wirespan", "1"]], at=2)
    made.append(s.call("s1", at=3, links=[link(HANDSHAKE)]).call("s2", at=4).done())

    s = script("server-links-the-old-handshake", "a server that remembers links as well", "SE-5 SP-4")
    s.session = CID
    accept(s, "a", SID, CID, CID).step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "SERVER")]}, on="a", current=False)
    s.step("span_started", on="a", span="handshake", context=HANDSHAKE).step("open", events=[ended_own("handshake")], on="a", at=0).step("on_close", on="a", at=1)
    accept(s, "b", THIRD, CID, CID)
    made.append(s.step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "SERVER", links=[link(HANDSHAKE)])]}, on="b", current=False).done())

    s = script("another-instance-links-nothing", "a side that does not remember links nothing", "SE-5")
    s.session = CID
    accept(s, "b", THIRD, CID, CID)
    made.append(s.step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "SERVER")]}, on="b", current=False).done())

    s = script("reconnect-restarts-ids", "stream ids begin again", "SE-1 ST-1")
    s.client().call("s1").send("s1", "1", message(1, "1", context=MINE, kind="call"), 0, MINE)
    s.step("on_close", events=[read_end("s1", "closed", "closed"), ended("s1", "error", "closed", sent=[(1, 0)])], at=1)
    s.step("client", on="b", entropy=THIRD, resume="c").step("request", {"headers": [["wirespan", f"1;session={CID}"]]}, on="b", host="h")
    s.step("open", on="b", headers=[["wirespan", "1"]], at=2)
    plan = s.plan("s2", "websocket call", "CLIENT")
    s.step("call", {"stream": "s2", "plan": plan}, on="b", at=3)
    made.append(s.step("send", {"message": {"text": message(1, "1", context=MINE, kind="call")}}, on="b", stream="s2", body={"text": "1"}, context=MINE, at=3).done())

    s = script("registry-full", "with nothing to forget a proposal is not honoured", "SE-6")
    accept(s, "a", SID, "s-1", "s-1", max_sessions=1).step("open", on="a", at=0)
    made.append(count(accept(s, "b", THIRD, "s-2", THIRD), "b", session_replaced=1, limit=1).done())

    s = script("registry-full-without-proposal", "a generated id that finds no place is counted, and not guarded", "SE-6")
    accept(s, "a", SID, "s-1", "s-1", max_sessions=1).step("open", on="a", at=0)
    count(accept(s, "b", THIRD), "b", limit=1)
    made.append(count(accept(s, "d", CID, THIRD, CID), "d", session_replaced=1, limit=1).done())

    s = script("registry-full-own-place", "a session that takes the place of this connection's own needs no room", "SE-6 SE-7")
    s.step("server", entropy=SID, registry="r", max_sessions=1, options={"mode": "always"}, request={"headers": []}).step("response").step("open", at=0)
    s.receive(message(1, "1", context=PEER, kind="call", session=CID), 0, "s1", "1", events=[session_changed(SID)], opened=_opened_with(s, CID), context=context(PEER))
    made.append(s.state("always", CID, streams=1).counters().done())

    s = script("registry-refusal-changes-nothing", "a claim that is refused takes nothing from whoever holds the id", "SE-6 SE-3")
    accept(s, "a", SID, "s-1", "s-1", remote="192.0.2.1", max_per_remote=1).step("open", on="a", at=0)
    accept(s, "b", THIRD, "s-2", "s-2", remote="192.0.2.2").step("open", on="b", at=0)
    # The second remote is full with a live session, so it cannot take the first one's, though it is vouched for.
    count(accept(s, "d", CID, "s-1", CID, remote="192.0.2.2", vouched=True), "d", session_replaced=1, limit=1)
    made.append(count(accept(s, "e", "00" * 15 + "01", "s-1", "00" * 15 + "01", remote="192.0.2.3"), "e", session_replaced=1).done())

    s = script("registry-forgets-the-oldest", "the oldest that is not live is forgotten", "SE-6")
    accept(s, "a", SID, "s-1", "s-1", max_sessions=1).step("open", on="a", at=0).step("on_close", on="a", code=1000, at=1)
    made.append(count(accept(s, "b", THIRD, "s-2", "s-2"), "b").done())

    s = script("registry-full-for-a-remote", "a remote has a bound of its own", "SE-6")
    accept(s, "a", SID, "s-1", "s-1", max_per_remote=1, remote="192.0.2.1").step("open", on="a", at=0)
    count(accept(s, "b", THIRD, "s-2", THIRD, remote="192.0.2.1"), "b", session_replaced=1, limit=1)
    made.append(count(accept(s, "d", CID, "s-3", "s-3", remote="192.0.2.2"), "d").done())

    s = script("always-server-names-it", "the first session header of an always peer: a server's wins", "SE-7").client("always")
    s.receive(message(2, "1", context=PEER, kind="call", session=SID), 0, "s1", "1", events=[session_changed(CID)], opened=_opened_with(s, SID, CID), context=context(PEER))
    made.append(s.state("always", SID, streams=1).done())

    s = script("always-server-names-it-in-a-reply", "also in the first reply", "SE-7 TX-2").client("always").call("s1")
    s.send("s1", "1", message(1, "1", context=MINE, kind="call", session=CID), 0, MINE)
    s.receive(message(1, "2", session=SID), 1, "s1", "2", events=[span_update("s1", SID, CID), session_changed(CID)])
    made.append(s.state("always", SID, streams=1).done())

    s = script("always-client-proposes-it", "a client's is a proposal", "SE-7").server("always")
    s.receive(message(1, "1", context=PEER, kind="call", session=CID), 0, "s1", "1", events=[session_changed(SID)], opened=_opened_with(s, CID), context=context(PEER))
    made.append(s.state("always", CID, streams=1).counters().done())

    s = script("always-client-is-not-vouched-for", "a callback decides at the handshake; what is proposed later it did not vouch for", "SE-7")
    s.step("server", entropy=SID, vouched=False, options={"mode": "always"}, request={"headers": []}).step("response").step("open", at=0)
    s.session = SID
    s.receive(message(1, "1", context=PEER, kind="call", session=CID), 0, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER))
    made.append(s.state("always", SID, streams=1).counters(session_replaced=1).done())

    s = script("hello-is-not-vouched-for", "nor what a later hello proposes", "SE-7 NG-7")
    s.step("server", entropy=SID, vouched=False, options={"hello": "expect"}, request={"headers": []}).step("response").step("open", at=0)
    s.session = SID
    s.receive(hello("client", CID), 1, events=[frame(hello("server", SID))])
    made.append(s.state("announced", SID).counters(session_replaced=1).done())

    s = script("hello-proposes", "without a callback a hello's proposal is adopted like that of a request", "SE-7 NG-7")
    s.server("silent", hello="expect")
    s.receive(hello("client", CID), 1, events=[session_changed(SID), frame(hello("server", CID))])
    made.append(s.state("announced", CID).counters().done())

    s = script("always-second-name-does-not-count", "only the first names a session", "SE-7").server("always")
    s.receive(message(1, "1", context=PEER, kind="call", session=CID), 0, "s1", "1", events=[session_changed(SID)], opened=_opened_with(s, CID), context=context(PEER))
    s.session = CID
    s.receive(message(3, "1", context=PEER, kind="call", session=THIRD), 1, "s2", "1", opened=s.opened("s2", parent={"remote": context(PEER)}), context=context(PEER))
    made.append(s.state("always", CID, streams=2).done())

    s = script("announced-session-header-ignored", "of an announced peer a session header names nothing", "SE-7").server()
    s.receive(message(1, "1", context=PEER, kind="call", session=CID), 0, "s1", "1", opened=s.opened("s1", parent={"remote": context(PEER)}), context=context(PEER))
    made.append(s.state("announced", SID, streams=1).counters().done())

    s = script("session-is-on-every-span", "every span has the session id", "SP-11 SE-2")
    s.session, s.extra = CID, {"server.address": "example.com", "server.port": 443}
    s.step("client", entropy=CID, address="example.com", port=443).step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "CLIENT")]}, current=False)
    s.step("request", {"headers": [["wirespan", f"1;session={CID}"]]}, host="example.com").step("open", events=[ended_own("handshake")], headers=[["wirespan", "1"]], at=0)
    made.append(s.call("s1", "m", at=1).transfer("s2", at=2).done())

    for name, given, shown in (("mapped", "::ffff:192.0.2.1", "192.0.2.1"), ("ipv6", "2001:db8::1", "2001:db8::1"), ("mapped-looking-name", "::ffff:192.0.2.1.example", "::ffff:192.0.2.1.example")):
        s = script(f"address-{name}", "how the address of the server is shown", "SP-15")
        s.session, s.extra = SID, {"server.address": shown, "server.port": 80}
        s.step("server", entropy=SID, address=given, port=80, request={"headers": []})
        made.append(s.step("plan_handshake", {"plans": [s.plan("handshake", "websocket.handshake", "SERVER")]}, current=False).done())
    return made


def _opened_with(s: Script, session: str, previous: str | None = None) -> dict:
    """The session that the opening message named is in force already."""
    s.session = session
    s.extra = {"websocket.session.previous_id": previous} if previous else {}
    return s.opened("s1", parent={"remote": context(PEER)})


FILES = {"sessions/sessions": sessions()}
