"""What the package costs before it is used: its import over that of the OpenTelemetry API, and its size."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution

from measuring import Measured, Row, Where, row

#: Bound of what the import adds, in nanoseconds.
IMPORT_NS = 5_000_000
#: Fresh processes of each kind.
PROCESSES = 21

TIMED = "import time; start = time.process_time_ns(); import {}; print(time.process_time_ns() - start)"


def seconds_of(modules: str) -> int:
    """CPU time of an import in a fresh process, in nanoseconds."""
    done = subprocess.run([sys.executable, "-c", TIMED.format(modules)], capture_output=True, text=True, check=True)
    return int(done.stdout)


def added(modules: str) -> Measured:
    """What modules add to the import of the API."""
    api = "opentelemetry.trace, opentelemetry.context, opentelemetry.baggage"
    # Once before, so that both find their compiled files.
    seconds_of(f"{api}, {modules}")
    pairs = [(seconds_of(api), seconds_of(f"{api}, {modules}")) for _ in range(PROCESSES)]
    return Measured.of([float(with_it - without) for without, with_it in pairs])


def rows() -> list[Row]:
    """The rows of the import; and one whose size is what the package takes on disk, compiled files left out."""
    limit = Measured(IMPORT_NS)
    made = [row(Where("import"), added("wirespan"), "limit of 5 ms over the API", limit, target=1.0)]
    files = distribution("wirespan").files or []
    size = sum(file.size or 0 for file in files)
    nothing = dict.fromkeys(made[0])
    made.append({**nothing, "language": "python", "operation": "installed size", "size": size})
    return made
