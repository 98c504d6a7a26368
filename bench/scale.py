"""Many connections in one process, in every language; bench/README.md explains the rows.

``scale.py --program LANGUAGE=COMMAND … --out FILE [--runs N] [--connections N]``
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
from pathlib import Path
from typing import Any

FEW, MANY, STREAMS, RUNS = 10, 10_000, 10, 3
KIB = 1024
#: What a connection with 10 streams may need in the core, in bytes. 2 KiB and 1 KiB a stream fell easily, so these are
#: less; with chunks both ways a stream has two histograms.
IDLE_BYTES = (1.25 + STREAMS * 0.75) * KIB
BUSY_BYTES = (1.25 + STREAMS * 6) * KIB
#: How much more a connection may need, and a message cost, among many connections.
GROWTH = 1.2
#: Allocations that a message may make, by what a program counts.
ALLOCATIONS = {"encode_allocations": ("allocations.encode", 1), "decode_allocations": ("allocations.decode", 0)}


def row(language: str, what: str, value: float, unit: str, target: float | None) -> dict[str, Any]:
    met = None if target is None else value <= target
    return {"language": language, "what": what, "value": round(value, 2), "unit": unit, "target": target, "met": met}


def measure(language: str, command: str, runs: int, many: int) -> list[dict[str, Any]]:
    # Where memory is the growth of a process it says nothing about 10 connections, so more are compared with.
    some = many // 10
    found: dict[int, list[dict[str, float]]] = {FEW: [], some: [], many: []}
    for connections in (some, *(FEW, many) * runs):
        done = subprocess.run([*shlex.split(command), str(connections)], check=True, capture_output=True, text=True)
        found[connections].append(json.loads(done.stdout))

    def median(connections: int, field: str) -> float:
        return statistics.median(result[field] for result in found[connections])

    # Only Rust counts what the core allocates; elsewhere a process holds the language's own objects too.
    counted = language == "rust"
    few_ns, base = median(FEW, "few_ns"), FEW if counted else some
    memory_growth = median(many, "busy_bytes") / median(base, "busy_bytes")
    allocations = [
        row(language, what, median(FEW, field), "1/message", limit)
        for field, (what, limit) in ALLOCATIONS.items()
        if field in found[FEW][0]
    ]
    return [
        row(language, "memory.idle", median(many, "idle_bytes"), "B/connection", IDLE_BYTES if counted else None),
        row(language, "memory.busy", median(many, "busy_bytes"), "B/connection", BUSY_BYTES if counted else None),
        row(language, "growth.memory", memory_growth, "ratio", GROWTH),
        *allocations,
        row(language, "cpu.10_alone", few_ns, "ns/message", None),
        row(language, f"cpu.10_of_{many}", median(many, "few_ns"), "ns/message", None),
        row(language, f"cpu.all_{many}", median(many, "all_ns"), "ns/message", None),
        row(language, f"growth.10_of_{many}", median(many, "few_ns") / few_ns, "ratio", GROWTH),
        row(language, f"growth.all_{many}", median(many, "all_ns") / few_ns, "ratio", GROWTH),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures many connections in one process.")
    parser.add_argument("--program", action="append", required=True, metavar="LANGUAGE=COMMAND")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--connections", type=int, default=MANY)
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for program in settings.program:
        language, _, command = program.partition("=")
        rows += measure(language, command, settings.runs, settings.connections)
    settings.out.write_text(json.dumps(rows, indent=1) + "\n")
    for found in rows:
        met = {None: "", True: "met", False: "NOT MET"}[found["met"]]
        print(f"{found['language']:7} {found['what']:20} {found['value']:10.2f} {found['unit']:13} {met}")


if __name__ == "__main__":
    main()
