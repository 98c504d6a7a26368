"""Every service in every way, asked as the harness of W3C's suite asks, without the suite."""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest
from services import COMMANDS, WAYS, running
from suite import passed

TRACE = "12345678901234567890123456789012"
SPAN = "1234567890123456"
PARENT = f"00-{TRACE}-{SPAN}-01"
OTHER = f"00-{TRACE[:-1]}1-{SPAN}-01"
FORMAT = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-(0[0-3])")

CONTEXT = ("traceparent", "tracestate", "baggage")

Fields = list[tuple[str, str]]


class Service(NamedTuple):
    url: str
    way: str


class Callback(ThreadingHTTPServer):
    """Takes the calls of a service, and keeps their headers and bodies."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.calls: list[tuple[Fields, object]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/callback"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # a response in one packet

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Callback)
        self.server.calls.append(([(name.lower(), value) for name, value in self.headers.items()], json.loads(body)))
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"null")

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the tests look at what was called."""


@pytest.fixture(scope="module")
def callback() -> Iterator[Callback]:
    with Callback() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=[f"{language}-{way}" for language in COMMANDS for way in WAYS])
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    language, way = request.param.split("-")
    with running(language, way) as url:
        yield Service(url, way)


def post(service: Service, body: bytes, fields: Fields) -> int:
    """Posts a body with header fields as they are, repeated ones too."""
    at = urlsplit(service.url)
    connection = http.client.HTTPConnection(at.netloc, timeout=10)
    try:
        connection.putrequest("POST", at.path)
        for name, value in [*fields, ("Content-Type", "application/json"), ("Content-Length", str(len(body)))]:
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def ask(service: Service, callback: Callback, fields: Fields, count: int = 1) -> list[dict[str, str]]:
    """Asks for so many calls. Returns of each the headers that carry context, none of which may be repeated."""
    callback.calls.clear()
    calls = [{"url": f"{callback.url}/{number}", "arguments": [{"number": number}]} for number in range(count)]
    assert post(service, json.dumps(calls).encode(), fields) == 200
    assert [arguments for _, arguments in callback.calls] == [call["arguments"] for call in calls]
    sent = [[field for field in all_fields if field[0] in CONTEXT] for all_fields, _ in callback.calls]
    assert all(len(dict(fields)) == len(fields) for fields in sent), sent
    return [dict(fields) for fields in sent]


def parsed(headers: dict[str, str]) -> tuple[str, str, str]:
    match = FORMAT.fullmatch(headers["traceparent"])
    assert match is not None, headers
    return match[1], match[2], match[3]


@pytest.mark.parametrize("flags", ["00", "01", "02", "03"])
def test_a_trace_goes_on_with_its_flags_and_vendor_data(service: Service, callback: Callback, flags: str) -> None:
    fields = [("TraceParent", f"{PARENT[:-2]}{flags}"), ("tracestate", "a@b@c=1"), ("Tracestate", " 2=x y ,z=3")]
    (sent,) = ask(service, callback, fields)
    trace_id, span_id, sent_flags = parsed(sent)
    assert (trace_id, sent_flags) == (TRACE, flags)
    assert span_id != SPAN
    assert sent["tracestate"] == "a@b@c=1,2=x y,z=3"


def test_a_long_tracestate_and_baggage_pass_whole(service: Service, callback: Callback) -> None:
    state = ",".join(f"key{number}={'v' * 100}" for number in range(32))
    baggage = "a=1;p=q,b=%22+%25,c=d=e"
    (sent,) = ask(service, callback, [("traceparent", PARENT), ("tracestate", state), ("baggage", baggage)])
    assert sent["tracestate"] == state
    assert sent["baggage"] == baggage


def test_an_envelope_is_on_the_way_where_it_should_be(service: Service, callback: Callback) -> None:
    # What tells: at their limits the two do not fit into the head of an envelope, which leaves baggage out.
    state = ",".join(f"key{number:02}={'v' * 249}" for number in range(32))
    baggage = ",".join(f"key{number:02}={'v' * 121}" for number in range(64))
    (sent,) = ask(service, callback, [("traceparent", PARENT), ("tracestate", state), ("baggage", baggage)])
    assert sent["tracestate"] == state
    assert sent.get("baggage") == (baggage if service.way == "direct" else None)


def test_every_call_has_a_span_of_its_own(service: Service, callback: Callback) -> None:
    sent = [parsed(headers) for headers in ask(service, callback, [("traceparent", PARENT)], 3)]
    assert {trace_id for trace_id, _, _ in sent} == {TRACE}
    assert len({span_id for _, span_id, _ in sent} - {SPAN}) == 3


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [("traceparent", PARENT.upper().replace("1", "A"))],
        [("traceparent", f"{PARENT}-extra")],
        [("traceparent", f"00-{'0' * 32}-{SPAN}-01")],
        [("trace-parent", PARENT)],
        [("traceparent", PARENT), ("traceparent", PARENT)],
        [("traceparent", OTHER), ("Traceparent", PARENT)],
    ],
    ids=["none", "upper-case", "trailing", "zero-id", "other-name", "repeated", "two"],
)
def test_without_one_valid_traceparent_a_new_trace_starts(service: Service, callback: Callback, fields: Fields) -> None:
    (sent,) = ask(service, callback, [*fields, ("tracestate", "a=1")])
    assert parsed(sent)[0] not in (TRACE, OTHER[3:35])
    assert "tracestate" not in sent


@pytest.mark.parametrize("state", ["a=1,B=2", "a=1,b=", "a=1,b=2=3", ",".join(f"k{n}=1" for n in range(33))])
def test_a_malformed_tracestate_is_discarded_whole(service: Service, callback: Callback, state: str) -> None:
    (sent,) = ask(service, callback, [("traceparent", PARENT), ("tracestate", state)])
    assert parsed(sent)[0] == TRACE
    assert "tracestate" not in sent


@pytest.mark.parametrize("body", [b"{", b'{"url":1}', b"[1]", b'[{"url":"http://127.0.0.1:1/"}]'])
def test_what_is_no_list_of_calls_is_refused(service: Service, callback: Callback, body: bytes) -> None:
    callback.calls.clear()
    assert post(service, body, []) == 400
    assert callback.calls == []


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ("Ran 41 tests in 0.4s\n\nOK\n", 41),
        ("Ran 41 tests in 0.4s\n\nOK (skipped=2)\n", 39),
        ("Ran 41 tests in 0.4s\n\nFAILED (failures=2, errors=1, skipped=1)\n", 37),
        ("Ran 41 tests in 0.4s\n", 0),
        ("Traceback (most recent call last):\n", 0),
    ],
)
def test_the_suite_is_counted_by_what_has_passed(output: str, count: int) -> None:
    assert passed(output) == count
