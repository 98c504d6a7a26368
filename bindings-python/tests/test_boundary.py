"""The native module by itself: arguments, memory, threads, processes, types, names."""

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wirespan
from opentelemetry.trace import SpanKind
from wirespan import Connection, HandshakeRequest, SpanContext, StreamMetrics, envelope, names

ROOT = Path(__file__).parents[2]


def pair(**options: Any) -> tuple[Connection, Connection]:
    """Two ends that know each other."""
    client = Connection.client(bytes(16), options)
    headers, _, _ = client.request("localhost")
    request = HandshakeRequest(headers)
    server = Connection.server(b"\1" * 16, options, request)
    answer, _ = server.response(request)
    client.open_client(answer, 0)
    server.open_server(0)
    return client, server


def message(data: tuple[bool, bytes]) -> str | bytes:
    text, content = data
    return content.decode() if text else content


def test_two_ends_speak_without_a_transport() -> None:
    client, server = pair()
    server.set_methods(["m"])
    assert (client.peer, server.peer) == ("announced", "announced")
    assert client.session_id == server.session_id == "0" * 32
    key, plan = client.plan_call("m", None, 1)
    assert (plan.name, plan.kind, plan.parent) == ("m", "CLIENT", "root")
    span = SpanContext(1, 2, 1, "a=b")
    received = server.receive(message(client.send(key, "hello", span, 2, last=True)), 3)
    assert received.data == "hello"
    assert received.opened is not None
    assert (received.opened.kind, received.opened.method, received.opened.registered) == ("call", "m", True)
    assert received.opened.plan.parent == span
    assert getattr(SpanKind, received.opened.plan.kind) is SpanKind.SERVER
    reply = message(server.send(received.stream, b"\0\1", None, 4, last=True))
    assert client.receive(reply, 5).data == b"\0\1"
    ends = []
    while (event := client.poll_event()) is not None:
        ends.append(event)
    (end,) = [event for event in ends if event.kind == "span_end" and event.span == key]
    assert end.attributes()["websocket.stream.outcome"] == "complete"
    assert end.received is not None
    assert end.received.bytes == 2
    assert client.open_streams == 0
    assert set(client.counters().values()) == {0}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"mode": "sometimes"}, "mode"),
        ({"modus": "auto"}, "modus"),
        ({"idle_timeout": -1}, "idle_timeout"),
        ({"idle_timeout": float("nan")}, "idle_timeout"),
        ({"max_streams": -1}, "max_streams"),
        ({"max_header_bytes": 100}, "max_header_bytes"),
        ({"session": "a b"}, "session"),
        ({"trust": {}}, "trust"),
        ({"query": 3}, "query"),
    ],
)
def test_wrong_options_name_themselves(options: dict[str, Any], field: str) -> None:
    with pytest.raises(wirespan.InvalidArgumentError) as raised:
        Connection.client(bytes(16), options)
    assert (raised.value.kind, raised.value.field) == ("invalid_argument", field)
    assert field in str(raised.value)
    assert isinstance(raised.value, wirespan.WirespanError)


def test_wrong_arguments_say_what_they_must_be() -> None:
    client, _ = pair()
    with pytest.raises(wirespan.WirespanError, match="entropy: must be 16 random bytes"):
        Connection.client(b"short", {})
    with pytest.raises(wirespan.WirespanError, match="body: must be str, bytes"):
        client.send(0, 3, None, 0)  # type: ignore[arg-type]
    with pytest.raises(wirespan.WirespanError) as closed:
        Connection.client(bytes(16), {}).send(0, "x", None, 0)
    assert closed.value.kind == "invalid_state"
    for headers in ([("Stream", "1")], [("a", "1"), ("a", "2")], [("a", "x\r\ny")], [("", "x")]):
        with pytest.raises(wirespan.InvalidArgumentError):
            client.send(0, "x", None, 0, headers=headers)
    with pytest.raises(wirespan.WirespanError) as refused:
        SpanContext(0, 1)
    assert (refused.value.kind, refused.value.reason) == ("malformed", "zero_id")
    with pytest.raises(OverflowError):
        SpanContext(2**128, 1)


def test_a_lone_surrogate_raises_and_changes_nothing() -> None:
    client, server = pair()
    with pytest.raises(UnicodeEncodeError):
        client.send(0, "\ud800", None, 0)
    assert server.receive(message(client.send(0, "fine", None, 0)), 0).data == "fine"


def test_views_may_be_released_or_changed_afterwards() -> None:
    client, server = pair()
    source = bytearray(b"\xff\x57 data")
    view = memoryview(source)
    sent = message(client.send(0, view, None, 0))
    view.release()
    source.clear()
    source.extend(b"x" * 100_000)
    assert server.receive(sent, 0).data == b"\xff\x57 data"
    with pytest.raises(wirespan.WirespanError, match="body"):
        client.send(0, view, None, 0)


@pytest.mark.parametrize(
    "garbage",
    [
        "",
        "\0",
        '{"headers":{',
        '{"headers":{"traceparent":"x"},"body":}',
        '{"headers":{},"body":1}}',
        b"\xff\x57",
        b"\xff\x57\x01\x01\xff\xff",
        b"\xff\x57\x02\x00\x00\x00x",
        "[" * 100_000,
        '{"headers":{"stream":"99","end":"1"},"body":1}',
    ],
)
def test_nothing_that_a_peer_sends_raises(garbage: str | bytes) -> None:
    _, server = pair()
    received = server.receive(garbage, 0)
    assert received.opened is None
    if received.data is not None and not (isinstance(garbage, str) and "body" in garbage):
        assert received.data == garbage


def test_many_threads_share_a_connection() -> None:
    client, server = pair()
    errors: list[BaseException] = []
    keys: list[int] = []

    def work() -> None:
        try:
            for n in range(50):
                key, _ = client.plan_call("m", None, n)
                keys.append(key)
                client.send(key, "x" * 300, SpanContext(1, n + 1), n)
                server.receive("plain", n)
                client.counters()
                client.leave(key, n)
                while client.poll_event() is not None:
                    pass
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert errors == []
    assert len(set(keys)) == 64 * 50
    assert client.open_streams == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_goes_on() -> None:
    client, server = pair()
    client.send(0, "before", None, 0)
    child = os.fork()
    if child == 0:
        delivered = server.receive(message(client.send(0, "after", SpanContext(1, 2), 1)), 2)
        os._exit(0 if delivered.data == "after" else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert server.receive(message(client.send(0, "parent", None, 1)), 2).data == "parent"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


def test_the_interpreter_ends_with_connections_open() -> None:
    ended = run(
        """
import asyncio, wirespan.websockets as w
async def main():
    server = await w.serve({}, "127.0.0.1", 0)
    global kept
    kept = await w.connect(f"ws://127.0.0.1:{server.port}")
    kept.held = await kept.call("m")
asyncio.run(main())
"""
    )
    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr


def test_a_buffer_may_be_resized_by_other_threads_while_it_is_sent() -> None:
    client, server = pair()
    source = bytearray(b"a" * 70_000)
    stop = threading.Event()

    def resize() -> None:
        while not stop.is_set():
            # Refused while the buffer is being copied.
            with contextlib.suppress(BufferError):
                source.clear()
                source.extend(b"a" * 70_000)

    threads = [threading.Thread(target=resize) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for n in range(300):
            data = server.receive(message(client.send(0, source, None, n)), n).data
            assert isinstance(data, bytes)
            assert data == b"a" * len(data)
            view = memoryview(bytearray(b"b" * 1000))
            sent = client.send(0, view, SpanContext(1, 2), n)
            view.release()
            assert server.receive(message(sent), n).data == b"b" * 1000
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def test_the_interpreter_ends_while_threads_use_a_connection() -> None:
    ended = run(
        """
import threading, wirespan
client = wirespan.Connection.client(bytes(16), {"mode": "always"})
client.open_client([], 0)
server_side = wirespan.Connection.client(bytes(16), {"mode": "always"})
server_side.open_client([], 0)
busy = threading.Barrier(9)
def work():
    busy.wait()
    while True:
        text, data = client.send(0, "x" * 500, wirespan.SpanContext(1, 2), 1)
        server_side.receive(data.decode(), 1)
        try: client.send(0, "x", None, 1, headers=[("stream", "1")])
        except wirespan.InvalidArgumentError: pass
for _ in range(8): threading.Thread(target=work, daemon=True).start()
busy.wait()
"""
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_forks_while_threads_use_a_connection_goes_on() -> None:
    ended = run(
        """
import os, threading, time, warnings, wirespan
warnings.simplefilter("ignore")
def pair():
    client = wirespan.Connection.client(bytes(16), {})
    request = wirespan.HandshakeRequest(client.request("h")[0])
    server = wirespan.Connection.server(bytes(16), {}, request)
    client.open_client(server.response(request)[0], 0)
    server.open_server(0)
    return client, server
client, server = pair()
stop = False
def work():
    while not stop: client.send(0, "x" * 500, wirespan.SpanContext(1, 2), 1)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for _ in range(20):
    child = os.fork()
    if child == 0:
        # The lock is never held where Python can be forked, so neither the old nor a new connection hangs.
        client.send(0, "old", None, 1)
        mine, theirs = pair()
        got = theirs.receive(mine.send(0, "new", wirespan.SpanContext(1, 2), 1)[1].decode(), 1).data
        os._exit(0 if got == "new" else 1)
    deadline = time.monotonic() + 10
    while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline: os.kill(child, 9)
        time.sleep(0.001)
    assert done[1] == 0, done
stop = True
for thread in threads: thread.join()
"""
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_it_works_without_an_sdk() -> None:
    ended = run(
        """
import asyncio, sys
import wirespan.websockets as w
async def echo(call):
    async for message in call: await call.send(message.data)
async def main():
    async with w.serve({"echo": echo}, "127.0.0.1", 0) as server:
        async with w.connect(f"ws://127.0.0.1:{server.port}") as connection:
            async with connection.call("echo") as call:
                await call.send("x", last=True)
                print([str(message) async for message in call], "opentelemetry.sdk" in sys.modules)
asyncio.run(main())
"""
    )
    assert (ended.returncode, ended.stdout) == (0, "['x'] False\n"), ended.stderr


def test_what_is_heavy_is_imported_when_it_is_asked_for() -> None:
    ended = run(
        """
import sys, wirespan
assert "asyncio" not in sys.modules
assert set(wirespan.__all__) <= set(dir(wirespan))
for name in wirespan.__all__: getattr(wirespan, name)
assert wirespan.Carry is wirespan.carry.Carry and wirespan.names.COUNTERS and wirespan.envelope.wrap
try: wirespan.nothing
except AttributeError as error: print(error)
"""
    )
    assert (ended.returncode, ended.stdout) == (0, "module 'wirespan' has no attribute 'nothing'\n"), ended.stderr


def test_the_stubs_are_those_of_the_module() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "wirespan._core", "--ignore-disjoint-bases"],
        capture_output=True,
        text=True,
        cwd=ROOT / "target",
        timeout=120,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_version_is_that_of_the_workspace() -> None:
    line = next(line for line in (ROOT / "Cargo.toml").read_text().splitlines() if line.startswith("version = "))
    assert line == f'version = "{wirespan.__version__}"'
    assert version("wirespan") == wirespan.__version__


def test_stream_metrics_stand_alone() -> None:
    metrics = StreamMetrics(stall_threshold=0.001)
    metrics.start(0)
    stalls = [metrics.record_chunk(10, now) for now in (1_000_000, 2_000_000, 3_000_000, 30_000_000, 29_000_000)]
    metrics.finish("complete", 31_000_000)
    summary = metrics.summary()
    assert [stall is not None for stall in stalls] == [False, False, False, True, False]
    assert (summary.chunks, summary.bytes, summary.stalls, summary.clock_back) == (5, 50, 1, 1)
    assert summary.time_to_first_chunk == pytest.approx(0.001)
    assert summary.stall_time == pytest.approx(0.027)
    assert summary.attributes("received")["websocket.stream.received.chunks"] == 5
    other = StreamMetrics()
    other.merge(metrics)
    assert other.summary().chunks == 5
    with pytest.raises(wirespan.WirespanError, match="outcome"):
        metrics.finish("well")


def test_the_envelope_stands_alone() -> None:
    wrapped = wirespan.wrap('{"a":1}', span=SpanContext(1, 2, 1), kind="call", stream=1, method="m")
    assert isinstance(wrapped.message, str)
    read, reason = wirespan.unwrap(wrapped.message)
    assert reason is None
    assert read is not None
    assert (read.body, read.kind, read.stream, read.method) == ('{"a":1}', "call", 1, "m")
    assert read.span == SpanContext(1, 2, 1)
    assert wirespan.unwrap("plain") == (None, "ordinary")
    head = wirespan.convert_head(wrapped.message)
    assert isinstance(head, bytes)
    assert head.startswith(b"\xff\x57\x01\x01")
    assert wirespan.convert_head(head) == wrapped.message.removesuffix('{"a":1}}')


def test_an_envelope_says_what_was_left_out() -> None:
    own = [(f"x-{n}", "y" * 300) for n in range(63)]
    wrapped = wirespan.wrap(b"", baggage="b=" + "v" * 2000, span=SpanContext(1, 2), headers=own, max_header_bytes=4096)
    assert (wrapped.baggage_dropped, wrapped.tracestate_cut) == (True, False)
    assert isinstance(wrapped.message, bytes)
    assert 0 < wrapped.own_dropped < 63
    read, _ = wirespan.unwrap(wrapped.message)
    assert read is not None
    assert read.headers == own[: 63 - wrapped.own_dropped]
    none = wirespan.wrap(None, text=False, session="s").message
    assert isinstance(none, bytes)
    hello, _ = wirespan.unwrap(wirespan.wrap(None, hello=("1", "server"), session="s").message)
    assert hello is not None
    assert (hello.versions, hello.role, hello.content, hello.body) == ("1", "server", "none", None)
    dropped, _ = wirespan.unwrap('{"headers":{"traceparent":"00","kind":"x","content":"text"},"body":1}')
    assert dropped is not None
    drops = dropped.drops
    assert (drops.context_invalid, drops.header_invalid, drops.header_repeated) == (True, 1, False)
    assert drops.content_mismatch
    with pytest.raises(wirespan.InvalidArgumentError) as raised:
        wirespan.wrap("x", session="a b")
    assert raised.value.field == "session"


def test_the_words_of_the_envelope_can_be_checked_alone() -> None:
    assert envelope.is_json("[1, 2]")
    assert not envelope.is_json("[[1]]", max_nesting=1)
    assert not envelope.is_json("word")
    assert envelope.is_look_alike(b"\xff\x57")
    assert not envelope.is_look_alike('{"body":1,"headers":{}}')
    assert envelope.is_look_alike('{"body":1,"headers":{}}', "any")
    assert (envelope.is_session_id("a~b"), envelope.is_session_id("a b")) == (True, False)
    assert (envelope.is_method("a.b"), envelope.is_method("")) == (True, False)
    assert (envelope.is_error_type("KeyError"), envelope.is_error_type("\u00e9")) == (True, False)


def test_refused_headers_say_why_and_where() -> None:
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    parsed = wirespan.parse_traceparent([good])
    assert parsed is not None
    assert parsed.traceparent == good
    assert wirespan.parse_traceparent([]) is None
    refused: list[tuple[list[str | bytes], str]] = [
        ([good[:-1]], "length"),
        (["ff" + good[2:]], "version"),
        ([good, good.encode()], "duplicate"),
        ([good.upper()], "character"),
    ]
    for values, reason in refused:
        with pytest.raises(wirespan.MalformedError) as raised:
            wirespan.parse_traceparent(values)
        assert (raised.value.field, raised.value.reason) == ("traceparent", reason)
        assert raised.value.offset is not None
    assert wirespan.parse_tracestate(["a=1", " , b=2"]) == "a=1,b=2"
    with pytest.raises(wirespan.MalformedError) as raised:
        wirespan.parse_tracestate(["a=1,B=2"])
    assert (raised.value.reason, raised.value.field) == ("member", "tracestate")
    members, dropped = wirespan.parse_baggage(["a=%20b;p=1,="])
    assert (members, dropped) == ([("a", " b", "p=1")], 1)
    assert wirespan.format_baggage(members) == ("a=%20b;p=1", 0)


def test_every_kind_of_error_has_its_class() -> None:
    classes = {error.kind: error for error in wirespan.WirespanError.__subclasses__()}
    assert set(classes) == set(names.ERROR_KINDS)
    for kind, error in classes.items():
        assert error.__name__ == kind.title().replace("_", "") + "Error"
        assert getattr(wirespan, error.__name__) is error
        assert error.__name__ in wirespan.__all__
        made = pickle.loads(pickle.dumps(error("why", field="f", offset=3)))
        assert (type(made), str(made), made.kind, made.field, made.offset) == (error, "why", kind, "f", 3)


def test_the_shared_words_are_those_of_the_core() -> None:
    client, _ = pair()
    assert set(client.counters()) == set(names.COUNTERS)
    for outcome in names.OUTCOMES:
        StreamMetrics().finish(outcome)
    for name in names.RESERVED_HEADERS:
        with pytest.raises(wirespan.InvalidArgumentError):
            client.send(0, "x", None, 0, headers=[(name, "1")])


def test_text_may_be_given_in_bytes() -> None:
    client, server = pair()
    text, data = client.send(0, "caf\u00e9", SpanContext(1, 2), 0)
    received = server.receive(data, 0, text=text)
    assert (received.text, received.data, received.context) == (True, "caf\u00e9", SpanContext(1, 2))
    received = server.receive(b"\xff\xfe", 0, text=True)
    assert (received.text, received.data) == (True, b"\xff\xfe")
    received = server.receive(bytearray(b"\1"), 0)
    assert (received.text, received.data) == (False, b"\1")


def test_errors_in_many_threads_leave_no_lock_behind() -> None:
    # Two locks that wait for each other would stop the whole process, so it is another one.
    ended = run(
        """
import sys, threading, wirespan
client = wirespan.Connection.client(bytes(16), {})
client.open_client([], 0)
done = []
def work():
    for _ in range(200):
        try: client.send(0, "x", None, 0, headers=[("stream", "1")])
        except wirespan.InvalidArgumentError: done.append(1)
        client.counters()
# Threads change places in the middle of whatever Python runs.
sys.setswitchinterval(1e-6)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(done))
"""
    )
    assert (ended.returncode, ended.stdout) == (0, "1600\n"), ended.stderr
