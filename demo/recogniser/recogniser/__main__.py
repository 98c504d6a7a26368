"""``python -m recogniser``: serves the call ``transcribe``, or recognises one file.

It prints ``ready PORT`` when it listens. On SIGTERM or Ctrl-C it closes, exports its spans, and ends with 0.
"""

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Any

import wirespan.websockets

from . import telemetry, wav
from .engine import recognise
from .errors import AudioError
from .service import WORKERS, Recogniser


def main() -> int:
    """Runs what the command line asks for; returns the exit code."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter("recogniser: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    arguments = _arguments()
    try:
        if arguments.wav is not None:
            print(recognise(wav.chunks(wav.read(arguments.wav)), lambda text: print(f"… {text}")))
        else:
            flush = telemetry.start()
            try:
                asyncio.run(_serve(arguments.host, arguments.port))
            finally:
                flush()
    except (AudioError, OSError) as error:
        print(f"recogniser: {error}", file=sys.stderr)
        return 1
    return 0


class _Formatter(logging.Formatter):
    """Says what is wrong with somebody's audio in a line; a defect keeps its traceback."""

    def formatException(self, ei: Any) -> str:
        error = ei[1]
        if isinstance(error, AudioError):
            return f"{type(error).__name__}: {error}"
        return super().formatException(ei)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="recogniser", description="Recognises spoken orders.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1)")
    parser.add_argument("--port", type=_port, default=0, help="port to listen at (default: a free one)")
    parser.add_argument("--wav", type=Path, help="recognise this file and end")
    return parser.parse_args()


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port")
    return int(text)


async def _serve(host: str, port: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    recogniser = Recogniser()
    handlers = {"transcribe": recogniser.transcribe}
    try:
        async with wirespan.websockets.serve(handlers, host, port, max_running=WORKERS) as server:
            print(f"ready {server.port}", flush=True)
            await stop.wait()
    except OSError as error:
        raise OSError(f"cannot listen at {host}:{port}: {error.strerror or error}") from None
    finally:
        recogniser.close()


if __name__ == "__main__":
    sys.exit(main())
