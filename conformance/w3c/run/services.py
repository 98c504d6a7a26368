"""The services under test: how each is started, and stopped again."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
TARGET = HERE.parents[1] / "target"

# Tracestate and baggage at their limits need more than the 16 KiB that Node.js allows for all headers.
NODE = ["node", "--max-http-header-size=65536"]
WAYS = ("direct", "text", "binary")
COMMANDS: dict[str, list[str | Path]] = {
    "rust": [TARGET / "debug/wirespan-w3c"],
    "python": [TARGET / "venv/bin/python", HERE / "python/service.py"],
    "node": [*NODE, HERE / "node/service.mjs"],
    "browser": [*NODE, HERE / "node/browser.mjs"],
    "c": [TARGET / "w3c/service"],
}
# The JVM's where there is one, and its package was built.
if (TARGET / "uniffi/classpath").exists():
    COMMANDS["kotlin"] = [HERE / "kotlin/run"]
# Spans are made, and go nowhere: the SDKs have no exporter here, the tracer of the C library has one only without this.
ENVIRONMENT = {"c": {"OTEL_SDK_DISABLED": "true"}}
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10


@contextlib.contextmanager
def running(language: str, way: str) -> Iterator[str]:
    """Runs a service, and gives the URL at which it listens. A service ends with its standard input."""
    command = [*map(str, COMMANDS[language]), "--through", way]
    environment = {**os.environ, **ENVIRONMENT.get(language, {})}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        late = threading.Timer(START_TIMEOUT_S, process.kill)
        late.daemon = True
        late.start()
        line = process.stdout.readline()
        late.cancel()
        word, _, port = line.strip().rpartition(" ")
        if word != "listening on":
            raise RuntimeError(f"{language} did not start: {line!r}")
        yield f"http://127.0.0.1:{port}/test"
        process.stdin.close()
        if process.wait(STOP_TIMEOUT_S) != 0:
            raise RuntimeError(f"{language} ended with {process.returncode}")
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
