"""A traced connection on asyncio: the host of the core's state machine, for any transport of messages."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json as _json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, Literal, Protocol

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context

from ._call import Call, CallMetrics, Headers, Transfer
from ._context import current_span_context, to_core
from ._core import CONNECTION_SPAN, HANDSHAKE_SPAN, PLAIN, Connection, Event, Plan, Received, SpanContext
from ._errors import InvalidArgumentError, InvalidStateError, WirespanError
from ._message import Message
from ._spans import SpanMaker

Handler = Callable[[Call], Awaitable[Any]]
Handlers = Mapping[str, Handler]
OnMessage = Callable[["TracedConnection", Message], Any]

_logger = logging.getLogger("wirespan")
#: Bytes that wait for the transport before ``send`` waits too.
_HIGH_WATER_BYTES = 1024 * 1024
#: Seconds that handlers have to end by themselves after their connection has closed.
HANDLER_GRACE = 5.0
_now = time.monotonic_ns
#: What is sent as it is; anything else becomes JSON.
_BODIES = (str, bytes, bytearray, memoryview)
#: The context that a message is sent with.
Sender = SpanContext | Context | Literal["current"] | None


class Transport(Protocol):
    """What a WebSocket library has to offer."""

    def write(self, data: bytes, text: bool) -> bool:
        """Writes one message if that can be done without waiting, and says whether it was."""

    async def send(self, data: bytes, text: bool) -> None:
        """Sends one message; returns when the library can take the next."""

    def deliver_to(self, take: Callable[[str | bytes], bool]) -> None:
        """Names what may be given a message as it arrives, if ``recv`` has no earlier one; else it is for ``recv``."""

    async def recv(self) -> str | bytes | None:
        """The next message; None when the connection has closed."""

    async def close(self, code: int, reason: str) -> None:
        """Closes the connection and waits until it is closed."""

    def close_status(self) -> tuple[int | None, str]:
        """Code and reason with which the connection closed; None without a close frame."""


class TracedConnection:
    """A connection whose messages carry trace context."""

    def __init__(
        self,
        core: Connection,
        spans: SpanMaker,
        *,
        handlers: Handlers | None = None,
        default_handler: Handler | None = None,
        on_message: OnMessage | None = None,
        handler_grace: float = HANDLER_GRACE,
    ) -> None:
        #: The sans-IO connection.
        self.core = core
        self._sends_baggage = core.sends_baggage
        self._spans = spans
        self._transport: Transport | None = None
        self._handlers = dict(handlers or {})
        self._default_handler = default_handler
        self._on_message = on_message
        self._handler_grace = handler_grace
        self._serving = bool(self._handlers) or default_handler is not None
        self._iterating = False
        self._open_spans: dict[int, Context] = {}
        self._calls: dict[int, Call] = {}
        self._plain: deque[Message] = deque()
        self._incoming: deque[Call] = deque()
        self._out: deque[tuple[bytes, bool]] = deque()
        self._out_bytes = 0
        self._to_write = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._ready = asyncio.Event()
        self._changed: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: int | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._running = 0
        self._waiting: deque[Call] = deque()
        self._arrivals = contextvars.Context()
        self._reader: asyncio.Task[None] | None = None
        self._writer: asyncio.Task[None] | None = None
        self._closed = asyncio.Event()
        self._close_status: tuple[int | None, str] = (None, "")
        if self._serving:
            core.set_methods(list(self._handlers))
        if on_message is not None:
            core.set_plain_policy("deliver")
        elif self._serving:
            core.set_plain_policy("discard")
        else:
            core.set_plain_policy("queue")

    # -- for integrations

    def start_handshake(self, http_span: SpanContext | None, current: SpanContext | None) -> None:
        """Starts the spans of the handshake."""
        for plan in self.core.plan_handshake(http_span, current is not None):
            self._start_span(plan)

    def fail_handshake(self, error: BaseException) -> None:
        """Ends the spans of the handshake with an error."""
        self.core.fail_handshake(type(error).__name__)
        self._drain()

    def opened(self, transport: Transport) -> None:
        """Starts to read and write, once the core was opened."""
        self._transport = transport
        self._drain()
        if self.core.is_ready:
            self._ready.set()
        # The tasks of a connection outlive whoever made it, and must not carry its context on.
        token = otel_context.attach(Context())
        try:
            self._arrivals = contextvars.copy_context()
            self._reader = asyncio.create_task(self._read(transport), name="wirespan-read")
            self._writer = asyncio.create_task(self._write(transport), name="wirespan-write")
        finally:
            otel_context.detach(token)
        transport.deliver_to(self._take_arrival)

    async def ready(self) -> None:
        """Waits until the peer is known, or will not become known by waiting."""
        await self._ready.wait()

    # -- what the application uses

    def call(self, method: str | None = None) -> Call:
        """A call of the peer: ``async with connection.call("method") as call:``.

        Starting it raises WirespanError: closed, busy, limit, role, invalid_argument.
        """
        return Call(self, method, "call")

    def transfer(self, method: str | None = None) -> Transfer:
        """One-way data to the peer: ``async with connection.transfer("method") as transfer:``."""
        return Transfer(self, method, "transfer")

    async def calls(self) -> AsyncIterator[Call]:
        """The calls and transfers of the peer, for those who schedule them themselves; ends when the connection closes.

        Each is to be used as ``async with call:``. Until this is called first, or the connection has handlers, calls
        of the peer are answered ``unknown_method``.
        """
        if self._serving:
            raise InvalidStateError("this connection has handlers: calls go to them")
        self._iterating = True
        while True:
            if self._incoming:
                yield self._incoming.popleft()
            elif self._closed.is_set():
                return
            else:
                await self._change()

    async def send(self, body: Any, *, headers: Headers | None = None, json: bool = False) -> None:
        """Sends a message outside every call, with the context of the current span. Bodies are as for ``Call.send``.

        Raises WirespanError: closed, invalid_argument, limit.
        """
        await self._send(PLAIN, body, "current", headers=headers, json=json)

    async def recv(self) -> Message | None:
        """The next message outside every call; None when the connection has closed."""
        if self._on_message is not None:
            raise InvalidStateError("this connection has on_message: messages go to it")
        if self._serving:
            self.core.set_plain_policy("queue")
        while True:
            if self._plain:
                message = self._plain.popleft()
                self.core.take(PLAIN, message.size)
                self._drain()
                return message
            if self._closed.is_set():
                return None
            await self._change()

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    async def __anext__(self) -> Message:
        message = await self.recv()
        if message is None:
            raise StopAsyncIteration
        return message

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Sends what is queued, closes the connection, and waits until it is closed."""
        if self._transport is not None and not self._closed.is_set():
            while self._out and not self._closed.is_set():
                self._room.clear()
                await self._room.wait()
            await self._transport.close(code, reason)
        await self._closed.wait()
        await self._join()

    async def wait_closed(self) -> None:
        """Waits until the connection has closed and its handlers have ended."""
        await self._closed.wait()
        await self._join()

    async def __aenter__(self) -> TracedConnection:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def session_id(self) -> str:
        """The session id in force."""
        return self.core.session_id

    @property
    def peer(self) -> str:
        """What is known of the peer: "unknown", "announced" or "always"."""
        return self.core.peer

    @property
    def counters(self) -> dict[str, int]:
        """How often something was dropped, ignored or out of order."""
        return self.core.counters()

    @property
    def resumption(self) -> tuple[str, SpanContext | None]:
        """What a later connection needs, as its option ``session``, to continue this one's session."""
        return self.core.resumption

    @property
    def close_status(self) -> tuple[int | None, str]:
        """Code and reason with which the connection closed; code None while it is open, or without a close frame."""
        return self._close_status

    # -- spans and events

    def _start_span(self, plan: Plan, baggage: Mapping[str, str] | None = None) -> Context:
        context = self._spans.start(plan, self._open_spans.get(CONNECTION_SPAN), baggage)
        self._open_spans[plan.span] = context
        if plan.span in (CONNECTION_SPAN, HANDSHAKE_SPAN):
            span = to_core(trace.get_current_span(context).get_span_context())
            if span is not None:
                self.core.span_started(plan.span, span)
        return context

    def _drain(self) -> None:
        """Acts on everything that the core has to say."""
        poll = self.core.poll_event
        while (event := poll()) is not None:
            self._act(event)
        deadline = self.core.next_deadline()
        if deadline != self._timer_at:
            self._schedule(deadline)

    def _act(self, event: Event) -> None:
        match event.kind:
            case "frame":
                assert event.data is not None
                self._enqueue(event.data, event.text)
            case "span_end":
                assert event.span is not None
                context = self._open_spans.pop(event.span, None)
                if context is not None:
                    self._spans.end(context, event)
                call = self._calls.get(event.span)
                if call is not None and event.sent is not None:
                    assert event.received is not None
                    call._metrics = CallMetrics(event.sent, event.received)
            case "span_update":
                assert event.span is not None
                context = self._open_spans.get(event.span)
                if context is not None:
                    self._spans.update(context, event)
            case "read_end":
                assert event.stream is not None
                call = self._calls.get(event.stream)
                if call is not None:
                    call._end_reading(event.error_kind, event.error_type)
            case "pause_reading":
                self._may_read.clear()
            case "resume_reading":
                self._may_read.set()
            case "ready":
                self._ready.set()

    def _schedule(self, deadline: int | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = deadline
        if deadline is not None and not self._closed.is_set():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, (deadline - _now()) / 1e9), self._on_time)

    def _on_time(self) -> None:
        self._timer = self._timer_at = None
        self.core.on_time(_now())
        self._drain()

    # -- calls

    def _start(self, call: Call) -> tuple[int, Context, SpanContext | None]:
        current = current_span_context()
        plan_stream = self.core.plan_call if call.kind == "call" else self.core.plan_transfer
        key, plan = plan_stream(call.method, current, _now())
        context = self._start_span(plan)
        self._calls[key] = call
        self._drain()
        return key, context, to_core(trace.get_current_span(context).get_span_context())

    def _finish(self, call: Call, how: str, error_type: str = "") -> None:
        if call._key is None:
            return
        if how == "leave":
            self.core.leave(call._key, _now())
        elif how == "cancel":
            self.core.cancel(call._key, _now())
        else:
            self.core.fail(call._key, error_type, _now())
        self._drain()

    def _forget(self, call: Call) -> None:
        if call._key is not None:
            self._calls.pop(call._key, None)

    def _take(self, key: int, message: Message) -> None:
        self.core.take(key, message.size)
        self._drain()

    async def _end(self, call: Call) -> None:
        self.core.end(call.key, self._sender_of(call))
        self._drain()
        await self._wait_for_room()

    # -- sending

    def _sender_of(self, call: Call) -> Sender:
        """What a call's messages are sent with: its span alone, or its context where baggage may go along."""
        return call._context if self._sends_baggage else call._span

    async def _send(
        self,
        key: int,
        body: Any,
        sender: Sender,
        *,
        last: bool = False,
        headers: Headers | None = None,
        json: bool = False,
    ) -> None:
        if not isinstance(body, _BODIES):
            if body is None:
                raise InvalidArgumentError(
                    "invalid_argument: body: must be given; send JSON null as 'null'", field="body"
                )
            body, json = _json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(), True
        own = list(headers) if headers else None
        # Making the message and queueing it are one step: nothing is awaited between them.
        text, data = self.core.send(key, body, sender, None, last, own, json)
        self._enqueue(data, text)
        self._drain()
        if not self._room.is_set():
            await self._wait_for_room()

    async def _wait_for_room(self) -> None:
        while not self._room.is_set() and not self._closed.is_set():
            await self._room.wait()

    def _enqueue(self, data: bytes, text: bool) -> None:
        # Most messages find none before them and room in the transport: they need no other task to be written.
        if not self._out and self._transport is not None and self._transport.write(data, text):
            return
        self._out.append((data, text))
        self._out_bytes += len(data)
        if self._out_bytes >= _HIGH_WATER_BYTES:
            self._room.clear()
        self._to_write.set()

    async def _write(self, transport: Transport) -> None:
        while True:
            await self._to_write.wait()
            while self._out:
                data, text = self._out.popleft()
                self._out_bytes -= len(data)
                try:
                    await transport.send(data, text)
                except Exception:
                    # The reader learns of the same end, and says so to every call.
                    self._out.clear()
                    self._out_bytes = 0
                    self._room.set()
                    return
                if (
                    self._out_bytes < _HIGH_WATER_BYTES
                    and not self._room.is_set()
                    and (not self._out or self._out_bytes)
                ):
                    self._room.set()
            self._room.set()
            self._to_write.clear()

    # -- receiving

    async def _read(self, transport: Transport) -> None:
        try:
            while True:
                message = await transport.recv()
                if message is None:
                    break
                if not self._may_read.is_set():
                    await self._may_read.wait()
                self._arrive(message)
        except asyncio.CancelledError:
            raise
        except Exception:
            _logger.debug("the transport failed", exc_info=True)
        finally:
            self._on_closed(transport)

    def _take_arrival(self, message: str | bytes) -> bool:
        """Takes a message when it arrives: no task has to be woken for it but that of its reader."""
        if not self._may_read.is_set():
            return False
        # What the transport calls runs in the context of whoever connected.
        self._arrivals.run(self._arrive, message)
        return True

    def _arrive(self, message: str | bytes) -> None:
        try:
            self._receive(message)
        except Exception:
            # A defect here must not cost the application its connection.
            _logger.exception("a message could not be handled")

    def _receive(self, message: str | bytes) -> None:
        received = self.core.receive(message)
        opened = received.opened
        call: Call | None = None
        if opened is not None:
            context = self._start_span(opened.plan, received.baggage)
            kind = Transfer if opened.kind == "transfer" else Call
            call = kind(
                self,
                opened.method,
                "transfer" if opened.kind == "transfer" else "call",
                key=received.stream,
                context=context,
                registered=opened.registered,
            )
            self._calls[received.stream] = call
        if received.size is not None:
            of = call or self._calls.get(received.stream)
            self._deliver(received, Message(received, None if of is None else of.context))
        self._drain()
        if call is not None:
            self._dispatch(call)

    def _deliver(self, received: Received, message: Message) -> None:
        if received.stream != PLAIN:
            call = self._calls.get(received.stream)
            if call is not None:
                call._deliver(message)
        elif self._on_message is not None:
            self._run_on_message(self._on_message, message)
        else:
            self._plain.append(message)
            self._notify()

    def _run_on_message(self, on_message: OnMessage, message: Message) -> None:
        with message:
            try:
                result = on_message(self, message)
            except Exception:
                _logger.exception("on_message failed")
                return
            if inspect.isawaitable(result):
                self._spawn(_logged(result, "on_message failed"))

    def _dispatch(self, call: Call) -> None:
        if self._serving:
            handler = self._handler_of(call)
            if handler is None:
                call.fail("unknown_method")
                self._forget(call)
            elif self._running >= self.core.max_running:
                self._waiting.append(call)
            else:
                self._run(call, handler)
        elif self._iterating:
            self._incoming.append(call)
            self._notify()
        else:
            call.fail("unknown_method")
            self._forget(call)

    def _handler_of(self, call: Call) -> Handler | None:
        if call.method is not None and call.method in self._handlers:
            return self._handlers[call.method]
        return self._default_handler

    def _run(self, call: Call, handler: Handler) -> None:
        self._running += 1
        token = otel_context.attach(call.context)
        try:
            # A task copies the current context when it is made.
            self._spawn(self._handle(call, handler))
        finally:
            otel_context.detach(token)

    async def _handle(self, call: Call, handler: Handler) -> None:
        try:
            await handler(call)
        except Exception as error:
            call._finish(error)
            if not isinstance(error, WirespanError):
                _logger.error("the handler of %r failed", call.method, exc_info=error)
        except BaseException as error:
            call._finish(error)
            raise
        else:
            call._finish(None)
        finally:
            self._forget(call)
            self._running -= 1
            self._run_waiting()

    def _run_waiting(self) -> None:
        while self._waiting and self._running < self.core.max_running and not self._closed.is_set():
            call = self._waiting.popleft()
            handler = self._handler_of(call)
            if handler is not None:
                self._run(call, handler)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- closing

    def _on_closed(self, transport: Transport) -> None:
        code, reason = transport.close_status()
        self._close_status = (code, reason)
        self._closed.set()
        self.core.on_close(code, reason, _now())
        self._drain()
        self._schedule(None)
        self._ready.set()
        self._room.set()
        self._waiting.clear()
        if self._writer is not None:
            self._writer.cancel()
        self._notify()
        # Whoever reads or sends learns of it there. Who waits for something else must not wait for ever.
        if self._tasks:
            asyncio.get_running_loop().call_later(self._handler_grace, self._cancel_handlers)

    def _cancel_handlers(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _join(self) -> None:
        """Waits for the connection's own tasks; a handler that closes its own connection does not wait for itself."""
        own = asyncio.current_task()
        tasks = [task for task in (self._reader, self._writer, *self._tasks) if task is not None and task is not own]
        if own not in self._tasks and tasks:
            await asyncio.gather(*tasks, return_exceptions=True)

    def _notify(self) -> None:
        for future in self._changed:
            if not future.done():
                future.set_result(None)

    async def _change(self) -> None:
        future = asyncio.get_running_loop().create_future()
        self._changed.add(future)
        try:
            await future
        finally:
            self._changed.discard(future)


async def _logged(awaitable: Awaitable[Any], message: str) -> None:
    try:
        await awaitable
    except Exception:
        _logger.exception(message)
