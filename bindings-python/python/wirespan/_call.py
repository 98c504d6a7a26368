"""Calls and transfers over a connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Generator, Sequence
from contextvars import Token
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from ._context import to_core
from ._core import SpanContext, Summary
from ._errors import InvalidStateError, reader_error
from ._message import Message

if TYPE_CHECKING:
    from ._connection import TracedConnection

Headers = Sequence[tuple[str, str]]

_NOT_STARTED = "the call has not started: use 'async with connection.call(…)' or 'await connection.call(…)'"


@dataclass(frozen=True)
class CallMetrics:
    """The stream metrics of both directions of a call, as far as they are measured."""

    #: Away from this side.
    sent: Summary
    #: To this side.
    received: Summary


class Call:
    """One invocation over a connection, from either side.

    ``async with connection.call("method") as call:`` starts its span, makes it current inside the block, and ends it:
    normally, by ``CancelledError`` as a cancel, by another exception as an error of that exception's type. ``call =
    await connection.call("method")`` starts it without a block; then one of ``leave``, ``cancel`` and ``fail`` ends
    it.
    """

    def __init__(
        self,
        connection: TracedConnection,
        method: str | None,
        kind: Literal["call", "transfer"],
        *,
        key: int | None = None,
        context: Context | None = None,
        registered: bool = False,
    ) -> None:
        #: The connection of the call.
        self.connection = connection
        #: The method, if one was named.
        self.method = method
        #: "call", or "transfer" for one-way data.
        self.kind = kind
        #: Whether the peer made the call.
        self.incoming = key is not None
        #: Whether this side registered the method that the peer named.
        self.registered = registered
        self._key = key
        self._context = context
        self._span = None if context is None else to_core(trace.get_current_span(context).get_span_context())
        self._token: Token[Context] | None = None
        self._chunks: deque[Message] = deque()
        self._read_end: tuple[str | None, str | None] | None = None
        self._raised = False
        self._arrived: asyncio.Future[None] | None = None
        self._metrics: CallMetrics | None = None

    # -- starting and ending

    def _start(self) -> Call:
        if self._key is not None:
            raise InvalidStateError("the call was started before: make a new one for each invocation")
        self._key, self._context, self._span = self.connection._start(self)
        return self

    def __await__(self) -> Generator[Any, None, Call]:
        self._start()
        return self
        yield  # pragma: no cover - makes this a generator, as awaiting asks for

    async def __aenter__(self) -> Call:
        if self._key is None:
            self._start()
        assert self._context is not None
        self._token = otel_context.attach(self._context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None
        self._finish(error)
        self.connection._forget(self)

    def _finish(self, error: BaseException | None) -> None:
        """Ends the call as its block or handler ended."""
        if error is None:
            self.leave()
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            self.cancel()
        else:
            if isinstance(error, Exception) and self._context is not None:
                span = trace.get_current_span(self._context)
                # Where the connection was lost, the span has ended already.
                if span.is_recording():
                    span.record_exception(error)
            self.fail(type(error).__name__)

    def leave(self) -> None:
        """Ends the call normally: my direction ends, what is still to come of the reply is abandoned."""
        self.connection._finish(self, "leave")

    def cancel(self) -> None:
        """Cancels the call: both directions end, and it is no error."""
        self.connection._finish(self, "cancel")

    def fail(self, error_type: str) -> None:
        """Ends the call with an error type, 1 to 128 visible ASCII characters."""
        self.connection._finish(self, "fail", error_type)

    # -- what it is

    @property
    def key(self) -> int:
        """The number of the call within its connection."""
        if self._key is None:
            raise InvalidStateError(_NOT_STARTED)
        return self._key

    @property
    def context(self) -> Context:
        """The context that holds the call's span."""
        if self._context is None:
            raise InvalidStateError(_NOT_STARTED)
        return self._context

    @property
    def span_context(self) -> SpanContext | None:
        """The identity of the call's span, if it has a valid one."""
        return self._span

    @property
    def metrics(self) -> CallMetrics:
        """The stream metrics so far; complete once the call has ended."""
        if self._metrics is None:
            now = self.connection.core.metrics(self.key)
            if now is None:
                raise InvalidStateError("the call has ended and left no metrics")
            return CallMetrics(*now)
        return self._metrics

    # -- sending

    async def send(self, body: Any, *, last: bool = False, headers: Headers | None = None, json: bool = False) -> None:
        """Sends a message: ``str`` as text, a buffer of bytes as binary, anything else serialised as JSON.

        ``last`` ends my direction with it. ``json`` says that a ``str`` or ``bytes`` is JSON, so that it is not
        checked. Raises WirespanError: closed, cancelled, remote, timeout, overflow, invalid_state, invalid_argument,
        limit.
        """
        connection = self.connection
        await connection._send(self.key, body, connection._sender_of(self), last=last, headers=headers, json=json)

    async def end(self) -> None:
        """Ends my direction: nothing more follows."""
        await self.connection._end(self)

    # -- receiving

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        message = await self.recv()
        if message is None:
            raise StopAsyncIteration
        return message

    async def recv(self) -> Message | None:
        """The next message of the other direction; None when it is complete.

        Raises WirespanError: cancelled, remote, timeout, overflow, closed, role, superseded; once, then it returns
        None.
        """
        while True:
            if self._chunks:
                message = self._chunks.popleft()
                self.connection._take(self.key, message)
                return message
            if self._read_end is not None:
                kind, error_type = self._read_end
                if kind is None or self._raised:
                    return None
                self._raised = True
                raise reader_error(kind, error_type)
            if self._arrived is not None:
                raise InvalidStateError("another task is reading this call: one reader at a time")
            self._arrived = asyncio.get_running_loop().create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _deliver(self, message: Message) -> None:
        self._chunks.append(message)
        self._wake()

    def _end_reading(self, kind: str | None, error_type: str | None) -> None:
        if self._read_end is None:
            self._read_end = (kind, error_type)
            self._wake()


class Transfer(Call):
    """One-way data under a PRODUCER span; ``async with connection.transfer("method") as transfer:``."""
