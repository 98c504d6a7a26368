"""OpenTelemetry trace context inside WebSocket messages and queues, with stream metrics.

``wirespan.websockets`` traces connections of the ``websockets`` library. The parts stand alone: ``Connection`` (the
sans-IO state machine), ``wrap`` and ``unwrap`` (the envelope), ``Propagator``, ``Carry``, ``StreamMetrics``.
"""

from ._call import Call, CallMetrics, Transfer
from ._connection import TracedConnection, Transport
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
    unwrap,
    wrap,
)
from ._errors import (
    CancelledError,
    ClosedError,
    Error,
    InvalidArgumentError,
    LimitError,
    OverflowError,
    RemoteError,
    TimeoutError,
)
from ._message import Message
from ._spans import SpanMaker
from .carry import Carry
from .propagator import Propagator

__all__ = [
    "CONNECTION_SPAN",
    "HANDSHAKE_SPAN",
    "PLAIN",
    "Call",
    "CallMetrics",
    "CancelledError",
    "Carry",
    "ClosedError",
    "Connection",
    "Envelope",
    "Error",
    "Event",
    "HandshakeRequest",
    "IncomingStream",
    "InvalidArgumentError",
    "LimitError",
    "Message",
    "OverflowError",
    "Plan",
    "Propagator",
    "Received",
    "RemoteError",
    "SessionRegistry",
    "SpanContext",
    "SpanMaker",
    "StreamMetrics",
    "Summary",
    "TimeoutError",
    "TracedConnection",
    "Transfer",
    "Transport",
    "__version__",
    "convert_head",
    "unwrap",
    "wrap",
]
