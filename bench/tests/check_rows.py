"""Tells whether an end-to-end report has every row: ``check_rows.py FILE``. Speed is not judged."""

import json
import sys
from itertools import product
from pathlib import Path

LANGUAGES = ("python", "node", "rust", "c")
MODES = ("untraced", "idiom", "idiom-call", "plain", "stream", "call")


def main() -> None:
    rows = json.loads(Path(sys.argv[1]).read_text())
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


if __name__ == "__main__":
    main()
