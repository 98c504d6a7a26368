"""Carry: context that travels with an item through a queue, an executor or a broker.

In one process an item takes along the whole OpenTelemetry context, and the time it left:

    queue = wirespan.carry.Queue()              # an asyncio.Queue
    await queue.put(order)                      # takes the current context along
    carried = await queue.get()
    carried.run(work, carried.item)             # work runs in that context; carried.wait is in seconds

Across a broker the context is headers beside the payload:

    headers = Carry.capture().to_headers()
    with Carry.from_headers(headers):
        ...

``send`` and ``process`` make the PRODUCER and CONSUMER spans of a broker. ``to_headers``, ``from_headers``,
``plan_send`` and ``plan_process`` are the same without OpenTelemetry: they take and give span contexts and plans.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue as _queue
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from contextvars import Token
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, Status, StatusCode, TracerProvider

from ._context import current_baggage, current_span_context, remote_context, to_otel
from ._core import Carried, CarryHeaders, SpanContext, carried, plan_process, plan_send
from ._core import carry_from_headers as from_headers
from ._core import carry_to_headers as to_headers
from ._spans import SpanMaker

_P = ParamSpec("_P")
_T = TypeVar("_T")

__all__ = [
    "Carried",
    "Carry",
    "CarryHeaders",
    "ContextExecutor",
    "Queue",
    "ThreadQueue",
    "from_headers",
    "links_of",
    "plan_process",
    "plan_send",
    "process",
    "send",
    "to_headers",
]

_copy_context = contextvars.copy_context
_monotonic_ns = time.monotonic_ns

#: Attribute of a wait in a queue, in seconds.
QUEUE_WAIT = "websocket.queue.wait"


class _HandedOver:
    """A span that whoever restores its carry has to end. Dropped unread, it must not stay open."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span: Span | None = span

    def end(self) -> None:
        span, self._span = self._span, None
        if span is not None:
            span.end()

    __del__ = end


class Carry:
    """The context of an item on its way, and when it left."""

    # What each captured carry has stands in slots, all else in a dictionary that is made only where it is needed.
    __slots__ = ("__dict__", "_captured_ns", "_restored_ns", "_variables")

    _context: Context | None = None
    _handed_over: _HandedOver | None = None
    _token: Token[Context] | None = None
    #: The session in which the item was sent, across a broker.
    session_id: str | None = None
    #: When the item was sent, across a broker; Unix nanoseconds.
    sent_unix_ns: int | None = None
    #: Whether the headers beside the payload held a context that is invalid.
    context_invalid: bool = False

    def __init__(self, variables: contextvars.Context | None = None, captured_ns: int | None = None) -> None:
        self._variables = variables
        self._captured_ns = captured_ns
        self._restored_ns: int | None = None

    @classmethod
    def capture(cls, *, span: Span | None = None) -> Carry:
        """Captures the current context: all of it, other context variables included.

        A ``span`` given here is handed over: it is made current, and whoever restores the carry ends it, with
        ``end_span``.
        """
        carry = cls(_copy_context(), _monotonic_ns())
        if span is not None:
            carry._context = trace.set_span_in_context(span)
            carry._handed_over = _HandedOver(span)
        return carry

    @property
    def wait(self) -> float | None:
        """How long the item waited, in seconds; None until it is restored, and where that is not known."""
        left = self.sent_unix_ns if self._captured_ns is None else self._captured_ns
        if left is None or self._restored_ns is None:
            return None
        # Clocks of two machines differ.
        return max(0, self._restored_ns - left) / 1e9

    @property
    def context(self) -> Context:
        """The OpenTelemetry context that is carried."""
        if self._context is None:
            variables = self._variables
            self._context = Context() if variables is None else variables.copy().run(otel_context.get_current)
        return self._context

    @property
    def links(self) -> Sequence[Link]:
        """A link to the carried span, if it is valid; for spans that process batches."""
        span = trace.get_current_span(self.context).get_span_context()
        return [Link(span)] if span.is_valid else []

    def restore(self) -> Carry:
        """Notes that the item arrived: measures its wait. ``with carry:`` and ``run`` do so by themselves."""
        if self._restored_ns is None:
            self._restored_ns = time.time_ns() if self._captured_ns is None else _monotonic_ns()
        return self

    def run(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Calls a function inside the carried context, with all context variables that were captured with it."""
        variables = self._variables
        if variables is not None and self._handed_over is None:
            if self._restored_ns is None:
                self._restored_ns = _monotonic_ns()
            # A copy, since one context of variables cannot be entered by two threads at once.
            return variables.copy().run(function, *args, **kwargs)
        with self:
            return function(*args, **kwargs)

    def __enter__(self) -> Carry:
        self.restore()
        self._token = otel_context.attach(self.context)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None

    def end_span(self) -> None:
        """Ends the span that was handed over, once."""
        if self._handed_over is not None:
            self._handed_over.end()

    def to_headers(
        self, *, session_id: str | None = None, baggage_out: Iterable[str] = (), sent_unix_ns: int | None = None
    ) -> dict[str, str]:
        """The headers to put beside the payload: ``traceparent``, ``tracestate``, ``baggage``, ``session``, ``sent``.

        Baggage passes the allow-list ``baggage_out`` (``["*"]`` for all).
        """
        names = list(baggage_out)
        return dict(
            to_headers(
                current_span_context(self.context),
                current_baggage(self.context) if names else None,
                session_id or self.session_id,
                time.time_ns() if sent_unix_ns is None else sent_unix_ns,
                names,
            )
        )

    @classmethod
    def from_headers(
        cls, headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]], *, baggage_in: Iterable[str] = ()
    ) -> Carry:
        """Reads the headers beside a payload, ``str`` or ``bytes``, in any case.

        Never raises because of their values: what is invalid or repeated counts as absent, and the carry then holds the
        context that is current here.
        """
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        read = from_headers(pairs, list(baggage_in))
        carry = cls()
        carry._context = remote_context(read.span, read.baggage, otel_context.get_current())
        carry.session_id = read.session_id
        carry.sent_unix_ns = read.sent_unix_ns
        carry.context_invalid = read.context_invalid
        return carry

    def _item(self) -> tuple[SpanContext | None, str | None, int | None]:
        return current_span_context(self.context), self.session_id, self.sent_unix_ns


class Queue(asyncio.Queue[Any], Generic[_T]):
    """An ``asyncio.Queue`` whose items bring the context of ``put`` along: ``get`` returns :class:`Carried`."""

    if TYPE_CHECKING:  # what goes in is not what comes out, which asyncio.Queue's own types cannot say

        async def put(self, item: _T) -> None: ...
        def put_nowait(self, item: _T) -> None: ...
        async def get(self) -> Carried[_T]: ...
        def get_nowait(self) -> Carried[_T]: ...

    # These are what asyncio.Queue lets subclasses change; every way in and out goes through them.

    def _init(self, maxsize: int) -> None:
        self._queue: deque[Carried[_T]] = deque()

    def _put(self, item: _T) -> None:
        self._queue.append(carried(item))

    def _get(self) -> Carried[_T]:
        return self._queue.popleft().restore()


class ThreadQueue(_queue.Queue[Any], Generic[_T]):
    """A ``queue.Queue`` whose items bring the context of ``put`` along: ``get`` returns :class:`Carried`."""

    if TYPE_CHECKING:  # as for Queue

        def put(self, item: _T, block: bool = True, timeout: float | None = None) -> None: ...
        def put_nowait(self, item: _T) -> None: ...
        def get(self, block: bool = True, timeout: float | None = None) -> Carried[_T]: ...
        def get_nowait(self) -> Carried[_T]: ...

    def _put(self, item: _T) -> None:
        self.queue.append(carried(item))

    def _get(self) -> Carried[_T]:
        arrived: Carried[_T] = self.queue.popleft().restore()
        return arrived


class ContextExecutor(Executor):
    """An executor whose functions run in the context of ``submit``: ``ContextExecutor(ThreadPoolExecutor())``.

    It can be given to ``loop.run_in_executor``. Shutting it down shuts the wrapped one down.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def submit(self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        return self._executor.submit(Carry.capture().run, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._executor.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def send(
    destination: str | None = None,
    *,
    session_id: str | None = None,
    baggage_out: Iterable[str] = (),
    tracer_provider: TracerProvider | None = None,
) -> Generator[dict[str, str], None, None]:
    """Runs its block inside the PRODUCER span of sending an item to a broker, and ends it; gives the item's headers.

    Baggage passes the allow-list ``baggage_out`` (``["*"]`` for all).
    """
    context = SpanMaker(tracer_provider).start(plan_send(destination, session_id))
    with _ending(trace.get_current_span(context)):
        yield Carry.capture().to_headers(session_id=session_id, baggage_out=baggage_out)


@contextmanager
def process(
    items: Sequence[Carry],
    destination: str | None = None,
    *,
    continue_trace: bool = False,
    tracer_provider: TracerProvider | None = None,
) -> Generator[Span, None, None]:
    """Runs its block inside the CONSUMER span of processing what came out of a broker, and ends it.

    One item is linked and, with ``continue_trace``, also the parent; of a batch each item is linked.
    """
    for item in items:
        item.restore()
    plan = plan_process(destination, [item._item() for item in items], continue_trace, time.time_ns())
    span = trace.get_current_span(SpanMaker(tracer_provider).start(plan))
    with _ending(span):
        yield span


@contextmanager
def _ending(span: Span) -> Generator[None, None, None]:
    """Makes a span current, and ends it as its block ends."""
    with trace.use_span(span, end_on_exit=True, record_exception=True, set_status_on_exception=False):
        try:
            yield
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(Status(StatusCode.ERROR))
            raise


def links_of(carries: Iterable[Carry]) -> list[Link]:
    """One link for each carried span that is valid."""
    return [Link(to_otel(span)) for carry in carries if (span := current_span_context(carry.context)) is not None]
