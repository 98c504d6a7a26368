"""What a program pays before its first message: import time, and the size of what is installed; bench/README.md.

``startup.py --python PYTHON --node DIRECTORY --file LANGUAGE:WHAT=FILE … --out FILE [--runs N]``
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path
from typing import Any

RUNS = 15
#: CPU time: what else the machine does touches it least, and files are in the cache after the first process.
PYTHON = """
import time
import opentelemetry.baggage, opentelemetry.context, opentelemetry.trace
{library}
started = time.process_time_ns()
import {package}
print((time.process_time_ns() - started) / 1e6)
"""
NODE = """
require('@opentelemetry/api');
{library}
const started = process.cpuUsage();
require('{package}');
const {{ user, system }} = process.cpuUsage(started);
console.log((user + system) / 1e3);
"""
#: Language, package, what else has been imported, and how many milliseconds it may take over the OpenTelemetry API
#: alone. 15 fell easily in Python.
IMPORTS = (
    ("python", "wirespan", "", 5.0),
    ("python", "wirespan.websockets", "import websockets.asyncio.client, websockets.asyncio.server", 10.0),
    ("node", "wirespan", "", 15.0),
    ("node", "wirespan/ws", "require('ws');", 15.0),
)


def import_ms(command: list[str], folder: Path | None, runs: int) -> float:
    """CPU time of the import, in milliseconds: median over fresh processes."""
    times = [
        float(subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout)
        for _ in range(runs)
    ]
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures import times and sizes.")
    parser.add_argument("--python", required=True)
    parser.add_argument("--node", type=Path, required=True, help="where the package and a folder node_modules are")
    parser.add_argument("--file", action="append", default=[], metavar="LANGUAGE:WHAT=FILE")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--out", type=Path, required=True)
    settings = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for language, package, library, target in IMPORTS:
        if language == "python":
            command, folder = [settings.python, "-c", PYTHON.format(library=library, package=package)], None
        else:
            command, folder = ["node", "-e", NODE.format(library=library, package=package)], settings.node
        value = round(import_ms(command, folder, settings.runs), 2)
        met = value <= target
        rows.append(
            {
                "language": language,
                "what": f"import {package}",
                "value": value,
                "unit": "ms",
                "target": target,
                "met": met,
            }
        )
    for given in settings.file:
        name, _, path = given.partition("=")
        language, _, what = name.partition(":")
        size = round(Path(path).stat().st_size / 1024, 1)
        rows.append({"language": language, "what": what, "value": size, "unit": "KiB", "target": None, "met": None})
    settings.out.write_text(json.dumps(rows, indent=1) + "\n")
    for row in rows:
        met = {None: "", True: "met", False: "NOT MET"}[row["met"]]
        print(f"{row['language']:7} {row['what']:28} {row['value']:10.2f} {row['unit']:4} {met}")


if __name__ == "__main__":
    main()
