"""The recogniser as a process: what it prints, what it exports, how it ends."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import wirespan.websockets
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from orders import ORDERS, path

from recogniser.wav import chunks, read

FOLDER = Path(__file__).parents[1]
Start = Callable[..., "Process"]


class Process:
    def __init__(self, *arguments: str, **environment: str) -> None:
        own = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "recogniser", *arguments],
            cwd=FOLDER,
            env={**own, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def port(self) -> int:
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        ready = re.fullmatch(r"ready (\d+)\n", line)
        assert ready is not None, line
        return int(ready[1])

    def end(self, number: int | None = None) -> tuple[int, str, str]:
        if number is not None:
            self.popen.send_signal(number)
        out, err = self.popen.communicate(timeout=20)
        return self.popen.returncode, out, err


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[Process] = []

    def start(*arguments: str, **environment: str) -> Process:
        started.append(Process(*arguments, **environment))
        return started[-1]

    yield start
    for process in started:
        process.popen.kill()
        process.popen.wait()


class Collector(ThreadingHTTPServer):
    """A server of OTLP/HTTP that keeps what it is sent."""

    def __init__(self) -> None:
        received = self.received = list[ExportTraceServiceRequest]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                assert self.path == "/v1/traces"
                assert self.headers["content-type"] == "application/x-protobuf"
                received.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def spans(self) -> list[tuple[str, str]]:
        """Service and name of each span."""
        found = []
        for resource in (item for request in self.received for item in request.resource_spans):
            names = [item.value.string_value for item in resource.resource.attributes if item.key == "service.name"]
            found += [(names[0], span.name) for scope in resource.scope_spans for span in scope.spans]
        return sorted(found)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        yield server
        server.shutdown()


async def order(port: int, name: str = "salad") -> str:
    async with wirespan.websockets.connect(f"ws://127.0.0.1:{port}") as connection:
        async with connection.call("transcribe") as call:
            for chunk in chunks(read(path(name))):
                await call.send(chunk)
            await call.end()
            texts = [message.json() async for message in call]
    assert texts[-1]["final"] is True
    text = texts[-1]["text"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(("environment", "service"), [({}, "recogniser"), ({"OTEL_SERVICE_NAME": "ears"}, "ears")])
def test_spans_are_exported_when_it_is_told_to_end(
    start: Start, collector: Collector, environment: dict[str, str], service: str
) -> None:
    process = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, **environment)
    assert asyncio.run(order(process.port())) == ORDERS["salad"]
    assert process.end(signal.SIGTERM) == (0, "", "")
    assert collector.spans() == [(service, name) for name in ("recognise", "transcribe", "websocket.handshake")]


def test_the_sampler_of_the_environment_is_honoured(start: Start, collector: Collector) -> None:
    process = start(OTEL_EXPORTER_OTLP_ENDPOINT=collector.endpoint, OTEL_TRACES_SAMPLER="always_off")
    assert asyncio.run(order(process.port())) == ORDERS["salad"]
    assert process.end(signal.SIGTERM)[0] == 0
    assert collector.received == []


def test_it_works_without_an_endpoint_and_ends_on_ctrl_c(start: Start) -> None:
    process = start()
    assert asyncio.run(order(process.port())) == ORDERS["salad"]
    code, _, errors = process.end(signal.SIGINT)
    assert (code, errors) == (
        0,
        "recogniser: OTEL_EXPORTER_OTLP_ENDPOINT is not set, so spans are not exported\n",
    )


def test_it_works_without_a_collector_and_ends_soon(start: Start) -> None:
    process = start(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert asyncio.run(order(process.port())) == ORDERS["salad"]
    begin = time.monotonic()
    assert process.end(signal.SIGTERM)[0] == 0
    assert time.monotonic() - begin < 7


def test_no_speech_is_said_in_one_line(start: Start) -> None:
    process = start()
    port = process.port()

    async def say_nothing() -> None:
        async with wirespan.websockets.connect(f"ws://127.0.0.1:{port}") as connection:
            with pytest.raises(wirespan.RemoteError):
                async with connection.call("transcribe") as call:
                    await call.send(bytes(1280), last=True)
                    await call.recv()

    asyncio.run(say_nothing())
    _, _, errors = process.end(signal.SIGTERM)
    assert "Traceback" not in errors
    assert "NoSpeech: no order was recognised in 0.0 s of audio" in errors


def test_it_ends_while_an_order_is_spoken(start: Start) -> None:
    process = start()
    port = process.port()

    async def speak_for_ever() -> None:
        async with wirespan.websockets.connect(f"ws://127.0.0.1:{port}") as connection:
            with pytest.raises(wirespan.WirespanError):
                async with connection.call("transcribe") as call:
                    await call.send(bytes(1280))
                    await asyncio.sleep(0.3)
                    process.popen.send_signal(signal.SIGTERM)
                    await call.recv()

    asyncio.run(speak_for_ever())
    code, _, errors = process.end()
    assert code == 0, errors
    assert "Traceback" not in errors


def test_a_port_in_use_is_said(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, errors = start("--port", str(port)).end()
    assert (code, out) == (1, "")
    assert re.search(rf"^recogniser: cannot listen at 127\.0\.0\.1:{port}: .*in use", errors, re.MULTILINE)


def test_a_port_that_is_none_is_refused(start: Start) -> None:
    code, _, errors = start("--port", "65536").end()
    assert code == 2
    assert "'65536' is no port" in errors


def test_a_file_is_recognised(start: Start) -> None:
    code, out, _ = start("--wav", str(path("coffee"))).end()
    assert code == 0
    assert out.splitlines()[-1] == ORDERS["coffee"]
    assert out.splitlines()[0].startswith("… ")


def test_a_file_in_another_format_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "order.wav").write_bytes(b"no sound")
    code, out, errors = start("--wav", str(tmp_path / "order.wav")).end()
    assert (code, out) == (1, "")
    assert re.search(r"^recogniser: .*order\.wav: no WAV file", errors)
