"""Tells whether reports have every row: ``check_rows.py E2E SCALE STARTUP``. Speed is not judged."""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

LANGUAGES = ("python", "node", "rust", "c")
MODES = ("untraced", "idiom", "idiom-call", "plain", "stream", "call")
SCALES = ("memory.idle", "memory.busy", "growth.memory", "cpu.10_alone", "cpu.10_of_", "cpu.all_", "growth.10_of_")
STARTS = {"python": ("import", "wheel"), "node": ("import", "addon"), "c": ("shared library",)}

Rows = list[dict[str, Any]]


def check_e2e(rows: Rows) -> None:
    found = {(row["language"], row["size"], row["form"], row["mode"]): row for row in rows}
    wanted = set(product(LANGUAGES, (256, 65536), ("text", "binary"), MODES))
    # C has no tracer to make spans by hand with.
    wanted = {key for key in wanted if (key[0], key[3]) != ("c", "idiom-call")}
    if missing := wanted - found.keys():
        sys.exit(f"no rows for {sorted(missing)}")
    for key, row in found.items():
        low, high = row["interval"]
        if not (row["messages_per_s"] > 0 and row["cpu_us_client"] > 0 and row["cpu_us_server"] > 0 and low <= high):
            sys.exit(f"the figures of {key} cannot be: {row}")


def check_values(rows: Rows, wanted: set[tuple[str, str]], positive: str) -> None:
    """Whether something of each language begins with what is wanted, and what begins with one word is more than 0."""
    for language, what in wanted:
        found = [row for row in rows if row["language"] == language and row["what"].startswith(what)]
        if not found:
            sys.exit(f"no row for {what} of {language}")
        if what.startswith(positive) and not all(row["value"] > 0 for row in found):
            sys.exit(f"these figures cannot be: {found}")


def main() -> None:
    e2e, scale, startup = (json.loads(Path(name).read_text()) for name in sys.argv[1:])
    check_e2e(e2e)
    check_values(scale, set(product(LANGUAGES, SCALES)) | {("rust", "allocations.")}, "cpu.")
    check_values(startup, {(language, what) for language, all_of_it in STARTS.items() for what in all_of_it}, "")


if __name__ == "__main__":
    main()
