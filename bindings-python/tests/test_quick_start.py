"""The quick start of the README runs as it stands and makes one trace of two ends."""

import pathlib
import subprocess
import sys

EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "quick_start.py"


def test_the_quick_start_prints_connected_spans() -> None:
    done = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, timeout=60, check=True)
    lines = done.stdout.splitlines()
    assert lines[0] == "heard 3840 bytes"
    spans = {tuple(line.split()[:2]): line.split()[2:] for line in lines[1:]}
    assert len(spans) == 4
    for name in ("websocket.handshake", "transcribe"):
        client, server = spans[name, "CLIENT"], spans[name, "SERVER"]
        assert client[2] == "none"
        assert server[2] == client[0].rstrip(",")
