"""The end-to-end benchmark: echoes over loopback, with and without Wirespan; bench/README.md explains it.

``e2e.py --peer LANGUAGE=COMMAND … --out FILE [--pairs N] [--seconds S] [--window N] …``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import comb
from pathlib import Path
from typing import Any

MODES = ("untraced", "idiom", "idiom-call", "plain", "stream", "call")
#: There is no tracer for C to make spans by hand with.
LACKS = {"c": {"idiom-call"}}
#: What a mode must not fall below: the same thing by hand.
IDIOMS = {"plain": "idiom", "stream": "idiom", "call": "idiom-call"}
SIZES = (256, 65536)
FORMS = ("text", "binary")
#: Least share of the untraced messages/s without spans per message, at 256 B.
TARGETS = {"python": 0.90}
TARGET = 0.92
#: Seconds for a process to end by itself.
PATIENCE = 2.0


class Sink(BaseHTTPRequestHandler):
    """Takes spans of OTLP/HTTP and lets them go, for the tracer of C, which knows no other exporter."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Peer:
    """A process of a peer, spoken to in lines."""

    def __init__(self, command: list[str], *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")

    def hear(self, word: str) -> list[str]:
        """The rest of the next line, which begins with this word."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().split()
        if not line or line[0] != word:
            raise SystemExit(f"{shlex.join(self.process.args)}: said {' '.join(line) or 'nothing'} and not {word}")  # type: ignore[arg-type]
        return line[1:]

    def cpu_ns(self) -> int:
        """CPU time of all threads so far, of those that have ended too."""
        # The clock of another process: clock_getcpuclockid(3) makes its number so.
        return time.clock_gettime_ns(~self.process.pid << 3 | 2)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        for end in (self.process.terminate, self.process.kill):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(PATIENCE)
                return
            end()
        self.process.wait()


class Pair:
    """Client and server of one mode, connected over the whole measurement."""

    def __init__(self, command: list[str], mode: str) -> None:
        self.server = Peer(command, "server", mode)
        (port,) = self.server.hear("port")
        self.client = Peer(command, "client", mode, port)
        self.client.hear("ready")

    def run(self, size: int, form: str, seconds: float, window: int) -> dict[str, float]:
        before = self.client.cpu_ns(), self.server.cpu_ns()
        self.client.say(f"{size} {form} {seconds} {window}")
        round_trips, elapsed_ns = map(int, self.client.hear("done"))
        after = self.client.cpu_ns(), self.server.cpu_ns()
        return {
            "messages_per_s": round_trips / (elapsed_ns / 1e9),
            "cpu_us_client": (after[0] - before[0]) / 1e3 / round_trips,
            "cpu_us_server": (after[1] - before[1]) / 1e3 / round_trips,
        }

    def stop(self) -> None:
        self.client.stop()
        self.server.stop()


def interval(values: list[float]) -> list[float]:
    """A 95 % confidence interval of the median, by order statistics; the extremes where there are too few values."""
    ordered, n = sorted(values), len(values)
    tail, below = 0.0, 0
    while below < n // 2 and (tail := tail + comb(n, below) / 2**n) <= 0.025:
        below += 1
    at = max(below - 1, 0)
    return [round(ordered[at], 3), round(ordered[n - 1 - at], 3)]


def compare(pairs: dict[str, Pair], size: int, form: str, settings: argparse.Namespace) -> list[dict[str, Any]]:
    """Each mode against the untraced one, by turns."""
    for mode in pairs:
        pairs[mode].run(size, form, settings.warm_up, settings.window)
    samples: dict[str, list[dict[str, float]]] = {mode: [] for mode in pairs}
    beside: dict[str, list[float]] = {mode: [] for mode in pairs}
    for turn in range(settings.pairs):
        for at, mode in enumerate(pairs):
            # Untraced against itself shows what the machine does to a ratio.
            order = [(mode, mode), ("untraced", None)]
            if (turn + at) % 2:
                order.reverse()
            for name, own in order:
                sample = pairs[name].run(size, form, settings.seconds, settings.window)
                if own is None:
                    beside[mode].append(sample["messages_per_s"])
                else:
                    samples[mode].append(sample)
    ratios = {
        mode: [sample["messages_per_s"] / other for sample, other in zip(found, beside[mode], strict=True)]
        for mode, found in samples.items()
    }
    rows = []
    for mode, found in samples.items():
        medians = {field: round(statistics.median(sample[field] for sample in found), 2) for field in found[0]}
        rows.append(
            {
                "mode": mode,
                **medians,
                "ratio_to_untraced": round(statistics.median(ratios[mode]), 3),
                "interval": interval(ratios[mode]),
                "pairs": len(found),
            }
        )
    return rows


def reached(bounds: list[tuple[float | None, float | None]]) -> bool | None:
    """Whether values are at least their bounds; None where nothing is asked for."""
    asked = [value >= bound for value, bound in bounds if value is not None and bound is not None]
    return all(asked) if asked else None


def judge(language: str, size: int, rows: list[dict[str, Any]]) -> None:
    """Adds target and whether it is met: the share of untraced messages/s, and never less than by hand."""
    ratios = {row["mode"]: row["ratio_to_untraced"] for row in rows}
    cpu_us = {row["mode"]: row["cpu_us_client"] + row["cpu_us_server"] for row in rows}
    for row in rows:
        row["cpu_ratio"] = round(cpu_us["untraced"] / cpu_us[row["mode"]], 3)
        idiom = IDIOMS.get(row["mode"])
        if idiom is None:
            row["target"] = row["met"] = row["met_by_cpu"] = row["ratio_to_idiom"] = None
            continue
        by_hand = ratios.get(idiom)
        row["ratio_to_idiom"] = None if by_hand is None else round(row["ratio_to_untraced"] / by_hand, 3)
        row["target"] = TARGETS.get(language, TARGET) if size == 256 and row["mode"] != "call" else None
        bounds = [(row["ratio_to_idiom"], 1.0), (row["ratio_to_untraced"], row["target"])]
        row["met"] = reached(bounds)
        by_hand_cpu_us = cpu_us.get(idiom)
        by_hand_cpu = None if by_hand_cpu_us is None else round(by_hand_cpu_us / cpu_us[row["mode"]], 3)
        row["met_by_cpu"] = reached([(by_hand_cpu, 1.0), (row["cpu_ratio"], row["target"])])


def show(language: str, size: int, form: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        low, high = row["interval"]
        words = {None: "", True: "met", False: "NOT MET"}
        met = f"{words[row['met']]:8} {words[row['met_by_cpu']]}"
        print(
            f"{language:7}{size:6} {form:7}{row['mode']:11}{row['messages_per_s']:9.0f}/s "
            f"{row['ratio_to_untraced']:6.3f} [{low:.3f}, {high:.3f}]  "
            f"cpu {row['cpu_us_client']:7.1f} + {row['cpu_us_server']:7.1f} us {row['cpu_ratio']:6.3f}  {met}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures echoes over loopback.")
    parser.add_argument("--peer", action="append", required=True, metavar="LANGUAGE=COMMAND")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.3)
    parser.add_argument("--warm-up", type=float, default=0.7, help="seconds, once for each mode, size and form")
    parser.add_argument("--window", type=int, default=1)
    parser.add_argument("--modes", default=",".join(MODES), help="untraced is always measured")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--forms", default=",".join(FORMS))
    settings = parser.parse_args()
    modes = [mode for mode in MODES if mode == "untraced" or mode in settings.modes.split(",")]
    report: list[dict[str, Any]] = []
    sink = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=sink.serve_forever, daemon=True).start()
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{sink.server_port}"
    for peer in settings.peer:
        language, _, command = peer.partition("=")
        pairs = {mode: Pair(shlex.split(command), mode) for mode in modes if mode not in LACKS.get(language, ())}
        try:
            for size in map(int, settings.sizes.split(",")):
                for form in settings.forms.split(","):
                    rows = compare(pairs, size, form, settings)
                    judge(language, size, rows)
                    show(language, size, form, rows)
                    report += [
                        {"language": language, "size": size, "form": form, "window": settings.window, **row}
                        for row in rows
                    ]
        finally:
            for pair in pairs.values():
                pair.stop()
    settings.out.parent.mkdir(parents=True, exist_ok=True)
    settings.out.write_text(json.dumps(report, indent=1) + "\n")
    print(f"rows are in {settings.out}", file=sys.stderr)


if __name__ == "__main__":
    main()
