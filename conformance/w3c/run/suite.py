"""Runs W3C's trace-context suite against every service in every way, and shows how many of its tests each passes."""

import argparse
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from services import COMMANDS, TARGET, WAYS, running

TESTS = 41
REPOSITORY = "https://github.com/w3c/trace-context"
COMMIT = "acab820be9db7b3433668baa5cdd43f57f4c4be0"
SUITE_TIMEOUT_S = 300


def clone() -> Path:
    """Gets the suite as it was when the figures of README.md were taken."""
    folder = TARGET / "w3c/trace-context"
    if not (folder / ".git").exists():
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, folder], check=True)
    subprocess.run(["git", "-C", folder, "-c", "advice.detachedHead=false", "checkout", "--quiet", COMMIT], check=True)
    return folder / "test"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def passed(output: str) -> int:
    """The number of tests that unittest says have run and did not fail, or were not skipped."""
    ran = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    result = re.search(r"^(?:OK|FAILED)(?: \((.*)\))?$", output, re.MULTILINE)
    if ran is None or result is None:
        return 0
    return int(ran[1]) - sum(int(number) for number in re.findall(r"=(\d+)", result[1] or ""))


def run_suite(suite: Path, language: str, way: str) -> int:
    """Runs the suite at level 2, strict 2; what it prints is kept in target/w3c. Returns how many tests have passed."""
    levels = {"SPEC_LEVEL": "2", "STRICT_LEVEL": "2", "HARNESS_PORT": str(free_port())}
    with running(language, way) as url:
        done = subprocess.run(
            [sys.executable, "test.py", url],
            cwd=suite,
            env={**os.environ, **levels, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SUITE_TIMEOUT_S,
        )
    (TARGET / "w3c" / f"{language}-{way}.log").write_text(done.stdout)
    return passed(done.stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", nargs="?", type=Path, help="folder test of w3c/trace-context (default: a clone)")
    given = parser.parse_args().suite
    (TARGET / "w3c").mkdir(parents=True, exist_ok=True)
    suite = given.resolve() if given else clone()
    print(f"{'':8}" + "".join(f"{way:>10}" for way in WAYS), flush=True)
    failed = 0
    for language in COMMANDS:
        print(f"{language:8}", end="", flush=True)
        for way in WAYS:
            count = run_suite(suite, language, way)
            failed += count != TESTS
            print(f"{f'{count}/{TESTS}':>10}", end="", flush=True)
        print()
    if failed:
        print(f"{failed} runs have failed; what the suite printed is in target/w3c", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
