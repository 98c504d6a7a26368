"""The call ``transcribe``: speech in, text out while it is spoken.

The caller sends binary messages and ends its direction: 16 kHz, one channel, signed 16-bit little-endian samples, 40 ms
a message (any length will do). It receives JSON objects: ``{"text": "two large", "final": false}`` each time the text
changes, and at last one with ``"final": true``.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from opentelemetry import trace
from wirespan import Call
from wirespan.carry import QUEUE_WAIT, Carried, ContextExecutor, Queue

from .engine import Recognition
from .errors import AudioError, BadAudio

#: How many orders are recognised at once.
WORKERS = 8
#: How many chunks may wait for a worker; then the caller is slowed down.
QUEUED_CHUNKS = 64

#: The attribute that finds the spans of one connection.
SESSION_ID = "websocket.session.id"

_tracer = trace.get_tracer("recogniser")


class _Stop:
    """In place of a chunk: nothing follows."""

    def __init__(self, *, complete: bool) -> None:
        #: Whether the order was spoken to its end, so that a final text is wanted.
        self.complete = complete


class Recogniser:
    """Recognises orders in worker threads. Each order has a queue of chunks between its call and its worker."""

    def __init__(self) -> None:
        # The worker runs in the context of the handler that started it, so its span is a child of the call's.
        self._workers = ContextExecutor(ThreadPoolExecutor(WORKERS, thread_name_prefix="recogniser"))

    def close(self) -> None:
        """Waits for the workers."""
        self._workers.shutdown()

    async def transcribe(self, call: Call) -> None:
        """Handles a call."""
        loop = asyncio.get_running_loop()
        chunks: Queue[bytes | _Stop] = Queue(QUEUED_CHUNKS)
        texts: asyncio.Queue[str | None] = asyncio.Queue()
        listening = asyncio.create_task(_listen(call, chunks))
        worker = loop.run_in_executor(self._workers, _work, loop, chunks, texts, call.connection.session_id)
        try:
            while (text := await texts.get()) is not None:
                await call.send({"text": text, "final": False})
            final = await worker
            if final is None:
                # The caller broke off: its error ends this handler, too.
                await listening
            else:
                await call.send({"text": final, "final": True}, last=True)
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            # Whatever happened, the worker must not wait for chunks that nobody sends.
            _replace(chunks, _Stop(complete=False))
            # What these two raised is what has led here, or follows from it.
            await asyncio.gather(listening, worker, return_exceptions=True)


async def _listen(call: Call, chunks: "Queue[bytes | _Stop]") -> None:
    """Takes the chunks of the call into the queue."""
    try:
        async for message in call:
            if isinstance(message.data, str):
                raise BadAudio("speech comes in binary messages")
            await chunks.put(message.data)
        await chunks.put(_Stop(complete=True))
    except Exception:
        _replace(chunks, _Stop(complete=False))
        raise


def _replace(chunks: "Queue[bytes | _Stop]", stop: _Stop) -> None:
    """Puts a stop in the place of everything that waits."""
    while not chunks.empty():
        chunks.get_nowait()
    chunks.put_nowait(stop)


def _work(
    loop: asyncio.AbstractEventLoop,
    chunks: "Queue[bytes | _Stop]",
    texts: "asyncio.Queue[str | None]",
    session_id: str,
) -> str | None:
    """Recognises one order, in a thread of its own; None if the caller broke off."""

    def say(text: str | None) -> None:
        loop.call_soon_threadsafe(texts.put_nowait, text)

    def take() -> Carried[Any]:
        return asyncio.run_coroutine_threadsafe(chunks.get(), loop).result()

    try:
        with _tracer.start_as_current_span("recognise", attributes={SESSION_ID: session_id}) as span:
            try:
                recognition = Recognition()
                longest_wait = 0.0
                while not isinstance(chunk := (carried := take()).item, _Stop):
                    longest_wait = max(longest_wait, carried.wait or 0.0)
                    if recognition.feed(chunk):
                        say(recognition.text)
                span.set_attribute(QUEUE_WAIT, longest_wait)
                span.set_attribute("speech.seconds", recognition.seconds)
                return recognition.finish() if chunk.complete else None
            except AudioError as error:
                span.set_attribute("error.type", type(error).__name__)
                raise
    finally:
        say(None)
