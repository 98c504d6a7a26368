"""Messages as the application receives them."""

from __future__ import annotations

import json as _json
from collections.abc import Callable, Sequence
from contextvars import Token
from typing import Any, ParamSpec, TypeVar

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import Link

from ._context import remote_context, to_otel
from ._core import Received

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Message:
    """A received message: its content as the sender wrote it, the sender's own headers, and the context it came with.

    ``str(message)`` is its text. ``with message:`` and ``message.run(function)`` make its context current.
    """

    __slots__ = ("_context", "_received", "_token")

    def __init__(self, received: Received, context: Context | None = None) -> None:
        self._received = received
        self._context = context
        self._token: Token[Context] | None = None

    @property
    def data(self) -> str | bytes:
        """The content: ``str`` of a text message (``bytes`` if it is not UTF-8), ``bytes`` of a binary one."""
        data = self._received.data
        assert data is not None
        return data

    @property
    def view(self) -> memoryview:
        """The content without a copy, text in UTF-8; what ``orjson.loads`` and files take as well as ``bytes``."""
        view = self._received.view
        assert view is not None
        return view

    @property
    def size(self) -> int:
        """The length of the content in bytes, text in UTF-8."""
        return self._received.size or 0

    @property
    def text(self) -> str:
        """The content as text; binary content is decoded as UTF-8, with U+FFFD for what is none."""
        data = self.data
        return data if isinstance(data, str) else data.decode(errors="replace")

    @property
    def bytes(self) -> bytes:
        """The content in bytes, text in UTF-8."""
        data = self.data
        return data.encode() if isinstance(data, str) else data

    def json(self) -> Any:
        """Reads the content as JSON; raises what ``json.loads`` raises."""
        return _json.loads(self.data)

    @property
    def headers(self) -> Sequence[tuple[str, str]]:
        """The sender's own headers, in the order sent."""
        return self._received.headers

    @property
    def context(self) -> Context:
        """The context to work in: that of the call for its chunks, that of the sender's span for plain messages.

        It holds no span where the sender's is not known or not trusted.
        """
        if self._context is None:
            received = self._received
            self._context = received.otel_context() or remote_context(received.context, received.baggage)
        return self._context

    @property
    def links(self) -> Sequence[Link]:
        """The sender's span where trust is "link": to be linked, not continued."""
        link = self._received.link
        return [] if link is None else [Link(to_otel(link))]

    def run(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Calls a function inside the message's context."""
        with self:
            return function(*args, **kwargs)

    def __enter__(self) -> Message:
        self._token = otel_context.attach(self.context)
        return self

    def __exit__(self, *_: object) -> None:
        if self._token is not None:
            otel_context.detach(self._token)
            self._token = None

    def __str__(self) -> str:
        return self.text

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return (
            f"Message({self.data!r})"
            if len(self.data) <= 80
            else f"Message({len(self.data)} {type(self.data).__name__})"
        )
