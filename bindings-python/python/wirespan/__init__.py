"""OpenTelemetry trace context inside WebSocket messages and queues, with stream metrics.

``wirespan.websockets`` traces connections of the ``websockets`` library. The parts stand alone: ``Connection`` (the
sans-IO state machine), ``wrap`` and ``unwrap`` (the envelope), ``Propagator``, ``parse_traceparent`` and its like,
``Carry``, ``StreamMetrics``.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from ._core import (
    CONNECTION_SPAN,
    HANDSHAKE_SPAN,
    PLAIN,
    Connection,
    Envelope,
    Event,
    HandshakeRequest,
    IncomingStream,
    Plan,
    Received,
    SessionRegistry,
    SpanContext,
    StreamMetrics,
    Summary,
    __version__,
    convert_head,
    format_baggage,
    parse_baggage,
    parse_traceparent,
    parse_tracestate,
    unwrap,
    wrap,
)
from ._errors import (
    BusyError,
    CancelledError,
    ClosedError,
    InvalidArgumentError,
    InvalidStateError,
    IoError,
    LimitError,
    MalformedError,
    OverflowError,
    PanicError,
    RemoteError,
    RoleError,
    SupersededError,
    TimeoutError,
    WirespanError,
)

if TYPE_CHECKING:
    from ._call import Call, CallMetrics, Transfer
    from ._connection import TracedConnection, Transport
    from ._message import Message
    from ._spans import SpanMaker
    from .carry import Carry
    from .propagator import Propagator

__all__ = [
    "CONNECTION_SPAN",
    "HANDSHAKE_SPAN",
    "PLAIN",
    "BusyError",
    "Call",
    "CallMetrics",
    "CancelledError",
    "Carry",
    "ClosedError",
    "Connection",
    "Envelope",
    "Event",
    "HandshakeRequest",
    "IncomingStream",
    "InvalidArgumentError",
    "InvalidStateError",
    "IoError",
    "LimitError",
    "MalformedError",
    "Message",
    "OverflowError",
    "PanicError",
    "Plan",
    "Propagator",
    "Received",
    "RemoteError",
    "RoleError",
    "SessionRegistry",
    "SpanContext",
    "SpanMaker",
    "StreamMetrics",
    "Summary",
    "SupersededError",
    "TimeoutError",
    "TracedConnection",
    "Transfer",
    "Transport",
    "WirespanError",
    "__version__",
    "convert_head",
    "format_baggage",
    "parse_baggage",
    "parse_traceparent",
    "parse_tracestate",
    "unwrap",
    "wrap",
]

#: What is imported when it is first asked for, and where from: asyncio alone takes longer to import than all the rest.
_LATER = {
    "Call": "_call",
    "CallMetrics": "_call",
    "Carry": "carry",
    "Message": "_message",
    "Propagator": "propagator",
    "SpanMaker": "_spans",
    "TracedConnection": "_connection",
    "Transfer": "_call",
    "Transport": "_connection",
}
#: Modules that can be reached as attributes without an import of their own.
_MODULES = frozenset({"carry", "envelope", "names", "propagator"})


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return _import_module(f"{__name__}.{name}")
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_import_module(f"{__name__}.{_LATER[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})
