"""Traced connections on the asyncio API of the ``websockets`` library.

    async with wirespan.websockets.serve({"greet": greet}, "localhost", 8765):
        ...

    async with wirespan.websockets.connect("ws://localhost:8765") as connection:
        async with connection.call("greet") as call:
            await call.send("Ada", last=True)
            async for message in call:
                print(message)

Options of the connection (``mode``, ``trust``, ``trace_scope``, ``session``, …; SPEC.md, chapter "Options") are keyword
arguments, with time spans in seconds. All other keyword arguments go to ``websockets``.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import Awaitable, Callable, Generator, Sequence
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import websockets.asyncio.client
import websockets.asyncio.connection
import websockets.asyncio.server
from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import TracerProvider
from websockets.asyncio.server import broadcast
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State

from ._connection import HANDLER_GRACE, Handler, Handlers, OnMessage, TracedConnection, _now
from ._context import current_span_context
from ._core import Connection, HandshakeRequest, SessionRegistry
from ._spans import SpanMaker

__all__ = ["Server", "connect", "serve"]

#: Names of the options that are the core's, not the library's.
OPTIONS = frozenset(
    {
        "mode",
        "hello",
        "subprotocol",
        "query",
        "hello_wait",
        "trace_scope",
        "trust",
        "session",
        "baggage_in",
        "baggage_out",
        "hosts",
        "naming",
        "profile",
        "stall_threshold",
        "skip_empty_first",
        "idle_timeout",
        "overflow_wait",
        "max_running",
        "max_streams",
        "max_unread",
        "max_unread_bytes",
        "max_header_bytes",
        "max_nesting",
    }
)
#: Bytes that may wait in the transport of asyncio for a message to be written there at once.
_MAX_BUFFERED_BYTES = 64 * 1024
Vouch = Callable[[str, Request], "bool | Awaitable[bool]"]
OnConnect = Callable[[TracedConnection], Awaitable[Any]]


class _Arrivals(websockets.asyncio.connection.Connection):
    """Hands a message over when it arrives: waking who waits in ``recv`` takes a turn of the event loop."""

    #: What takes a message, or refuses it.
    take: Callable[[str | bytes], bool] | None = None
    #: Messages that ``recv`` has yet to give away, and that later ones must not overtake.
    behind = 0

    def process_event(self, event: Any) -> None:
        if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY):
            if self.behind == 0 and event.fin and self.take is not None and self._hand_over(event, self.take):
                return
            self.behind += 1
        super().process_event(event)

    def _hand_over(self, frame: Frame, take: Callable[[str | bytes], bool]) -> bool:
        data = bytes(frame.data)
        if frame.opcode is Opcode.BINARY:
            return take(data)
        try:
            text = data.decode()
        except UnicodeDecodeError:
            # The library closes the connection because of it.
            return False
        return take(text)


class _ClientConnection(_Arrivals, websockets.asyncio.client.ClientConnection):
    """A connection of a client."""


class _ServerConnection(_Arrivals, websockets.asyncio.server.ServerConnection):
    """A connection of a server."""


# The one function of the library that writes without waiting. Early versions take bytes for binary messages alone.
if "text" in inspect.signature(broadcast).parameters:

    def _write(websocket: websockets.asyncio.connection.Connection, data: bytes, text: bool) -> None:
        broadcast((websocket,), data, text=text)

else:

    def _write(websocket: websockets.asyncio.connection.Connection, data: bytes, text: bool) -> None:
        broadcast((websocket,), data.decode() if text else data)


class _Transport:
    """A ``websockets`` connection as :class:`TracedConnection` uses it."""

    def __init__(
        self, websocket: websockets.asyncio.client.ClientConnection | websockets.asyncio.server.ServerConnection
    ):
        self._websocket = websocket
        self._is_full = False
        self._has_received = False

    def deliver_to(self, take: Callable[[str | bytes], bool]) -> None:
        # An application may have brought a class of connections of its own.
        if isinstance(self._websocket, _Arrivals):
            self._websocket.take = take

    def write(self, data: bytes, text: bool) -> bool:
        if self._is_full or self._websocket.state is not State.OPEN:
            return False
        _write(self._websocket, data, text)
        # Nobody waits for room here. The next message is queued, and waits.
        self._is_full = self._websocket.transport.get_write_buffer_size() > _MAX_BUFFERED_BYTES
        return True

    async def send(self, data: bytes, text: bool) -> None:
        await self._websocket.send(data, text=text)
        self._is_full = False

    async def recv(self) -> str | bytes | None:
        # Who asks for a message is done with the one before.
        if self._has_received and isinstance(self._websocket, _Arrivals):
            self._websocket.behind -= 1
        try:
            message = await self._websocket.recv()
        except ConnectionClosed:
            return None
        self._has_received = True
        return message

    async def close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason)

    def close_status(self) -> tuple[int | None, str]:
        code = self._websocket.close_code
        # 1006 stands for the absence of a close frame (RFC 6455, section 7.1.5).
        return (None if code == 1006 else code), self._websocket.close_reason or ""


def _split(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    options = {name: value for name, value in kwargs.items() if name in OPTIONS}
    return options, {name: value for name, value in kwargs.items() if name not in OPTIONS}


class connect:
    """Connects to a server: ``async with connect(uri) as connection:`` or ``connection = await connect(uri)``.

    ``handlers`` serve calls that the server makes; ``handler_grace`` is as for :class:`serve`. Raises what
    ``websockets.connect`` raises, and ``InvalidArgumentError`` for options out of their bounds.
    """

    def __init__(
        self,
        uri: str,
        *,
        handlers: Handlers | None = None,
        default_handler: Handler | None = None,
        on_message: OnMessage | None = None,
        handler_grace: float = HANDLER_GRACE,
        tracer_provider: TracerProvider | None = None,
        additional_headers: Any = None,
        subprotocols: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        options, self._kwargs = _split(kwargs)
        self._kwargs.setdefault("create_connection", _ClientConnection)
        self._uri = uri
        self._headers = Headers(additional_headers) if additional_headers is not None else Headers()
        self._subprotocols = list(subprotocols or ())
        parts = urlsplit(uri)
        self._host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        core = Connection.client(os.urandom(16), options, self._host, port)
        self._connection = TracedConnection(
            core,
            SpanMaker(tracer_provider),
            handlers=handlers,
            default_handler=default_handler,
            on_message=on_message,
            handler_grace=handler_grace,
        )

    async def _connect(self) -> TracedConnection:
        connection, core = self._connection, self._connection.core
        current = current_span_context()
        connection.start_handshake(None, current)
        headers, subprotocol, query = core.request(
            self._host, bool(self._subprotocols), "traceparent" in self._headers, current
        )
        uri = self._uri
        if query is not None:
            parts = urlsplit(uri)
            uri = urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))
        for name, value in headers:
            self._headers[name] = value
        if subprotocol is not None:
            self._subprotocols.append(subprotocol)
        try:
            websocket = await websockets.asyncio.client.connect(
                uri,
                additional_headers=self._headers,
                subprotocols=self._subprotocols or None,  # type: ignore[arg-type]
                **self._kwargs,
            )
        except BaseException as error:
            connection.fail_handshake(error)
            raise
        response = websocket.response
        core.open_client(list(response.headers.raw_items()) if response is not None else [], _now())
        connection.opened(_Transport(websocket))
        try:
            await connection.ready()
        except BaseException:
            await connection.close()
            raise
        return connection

    def __await__(self) -> Generator[Any, None, TracedConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> TracedConnection:
        return await self._connect()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._connection.close()


class Server:
    """A running server; :class:`serve` makes it."""

    def __init__(self, server: websockets.asyncio.server.Server, connections: dict[int, TracedConnection]) -> None:
        #: The server of the library.
        self.server = server
        self._connections = connections
        address = next(iter(server.sockets)).getsockname()
        #: The port that the server listens on; 0 for a Unix socket.
        self.port: int = address[1] if isinstance(address, tuple) else 0

    @property
    def connections(self) -> list[TracedConnection]:
        """The open connections."""
        return list(self._connections.values())

    def close(self) -> None:
        """Stops to accept and closes the open connections with code 1001."""
        self.server.close()

    async def wait_closed(self) -> None:
        """Waits until all connections are closed and their handlers have ended."""
        connections = self.connections
        await self.server.wait_closed()
        for connection in connections:
            await connection.wait_closed()

    async def serve_forever(self) -> None:
        """Serves until it is cancelled."""
        await self.server.serve_forever()


class serve:
    """Serves traced connections: ``async with serve(handlers, host, port) as server:``.

    ``handlers`` are coroutine functions by the name of the method that they serve; each gets its
    :class:`~wirespan.Call`, inside its SERVER span, and ends it by returning. ``default_handler`` serves all other
    methods. ``on_message`` gets plain messages as ``(connection, message)``, inside the message's context.
    ``on_connect`` is run for each connection. ``vouch`` says whether a client may use the session id that it
    proposes with its request: ``(session_id, request) -> bool``; one named later is not honoured then.

    When a connection closes, every open call of it has failed: its span has ended with an error, ``recv`` and ``send``
    raise ``ClosedError``. A handler that does not end within ``handler_grace`` seconds is cancelled.
    """

    def __init__(
        self,
        handlers: Handlers | None = None,
        host: str | None = None,
        port: int | None = None,
        *,
        default_handler: Handler | None = None,
        on_message: OnMessage | None = None,
        on_connect: OnConnect | None = None,
        vouch: Vouch | None = None,
        registry: SessionRegistry | None = None,
        handler_grace: float = HANDLER_GRACE,
        tracer_provider: TracerProvider | None = None,
        **kwargs: Any,
    ) -> None:
        self._options, kwargs = _split(kwargs)
        kwargs.setdefault("create_connection", _ServerConnection)
        # Wrong options are the program's fault, and are said here and not to the first client.
        Connection.client(bytes(16), self._options)
        self._handlers = handlers
        self._default_handler = default_handler
        self._on_message = on_message
        self._on_connect = on_connect
        self._vouch = vouch
        self._handler_grace = handler_grace
        self._registry = SessionRegistry() if registry is None else registry
        self._spans = SpanMaker(tracer_provider)
        self._by_id: dict[int, TracedConnection] = {}
        self._upgrading: dict[Any, TracedConnection] = {}
        self._losses: dict[Any, asyncio.Task[None]] = {}
        self._app_process_response = kwargs.pop("process_response", None)
        self._serve = websockets.asyncio.server.serve(
            self._accepted, host, port, process_response=self._process_response, **kwargs
        )

    async def _process_response(
        self, websocket: websockets.asyncio.server.ServerConnection, request: Request, response: Response
    ) -> Response | None:
        if self._app_process_response is not None:
            changed = self._app_process_response(websocket, request, response)
            if inspect.isawaitable(changed):
                changed = await changed
            response = changed or response
        if response.status_code == 101:
            token = otel_context.attach(Context())
            try:
                self._upgrading[websocket] = await self._upgrade(websocket, request, response)
                lost = asyncio.create_task(websocket.wait_closed(), name="wirespan-handshake")
                lost.add_done_callback(lambda _: self._lost(websocket))
                self._losses[websocket] = lost
            finally:
                otel_context.detach(token)
        return response

    def _lost(self, websocket: websockets.asyncio.server.ServerConnection) -> None:
        """Ends the spans of a handshake whose client went away before it was complete."""
        self._losses.pop(websocket, None)
        connection = self._upgrading.pop(websocket, None)
        if connection is not None:
            connection.fail_handshake(ConnectionResetError())

    async def _upgrade(
        self, websocket: websockets.asyncio.server.ServerConnection, request: Request, response: Response
    ) -> TracedConnection:
        target = urlsplit(request.path)
        handshake = HandshakeRequest(list(request.headers.raw_items()), target.query)
        vouched = None if self._vouch is None else False
        if self._vouch is not None and handshake.proposed_session is not None:
            answer = self._vouch(handshake.proposed_session, request)
            vouched = await answer if inspect.isawaitable(answer) else answer
        local, remote = websocket.local_address, websocket.remote_address
        core = Connection.server(
            os.urandom(16),
            self._options,
            handshake,
            str(local[0]) if isinstance(local, tuple) else None,
            int(local[1]) if isinstance(local, tuple) else None,
            self._registry,
            str(remote[0]) if isinstance(remote, tuple) else None,
            vouched,
        )
        connection = TracedConnection(
            core,
            self._spans,
            handlers=self._handlers,
            default_handler=self._default_handler,
            on_message=self._on_message,
            handler_grace=self._handler_grace,
        )
        connection.start_handshake(None, None)
        headers, subprotocol = core.response(handshake, response.headers.get("Sec-WebSocket-Protocol"))
        for name, value in headers:
            response.headers[name] = value
        if subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        return connection

    async def _accepted(self, websocket: websockets.asyncio.server.ServerConnection) -> None:
        # The context in which the server was started is nobody's parent here.
        token = otel_context.attach(Context())
        connection = self._upgrading.pop(websocket, None)
        if connection is None:
            otel_context.detach(token)
            return
        self._losses[websocket].cancel()
        core = connection.core
        try:
            core.open_server(_now())
            if core.superseded is not None and (old := self._by_id.get(core.superseded)) is not None:
                old.core.on_superseded(_now())
                old._drain()
            if core.connection_id is not None:
                self._by_id[core.connection_id] = connection
            connection.opened(_Transport(websocket))
            on_connect = asyncio.ensure_future(self._on_connect(connection)) if self._on_connect is not None else None
            try:
                await connection.wait_closed()
            finally:
                if on_connect is not None:
                    on_connect.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await on_connect
        finally:
            if core.connection_id is not None and self._by_id.get(core.connection_id) is connection:
                del self._by_id[core.connection_id]
            otel_context.detach(token)

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def _start(self) -> Server:
        self._server = Server(await self._serve, self._by_id)
        return self._server

    async def __aenter__(self) -> Server:
        return await self._start()

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
