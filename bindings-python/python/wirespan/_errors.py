"""The exceptions of this package: one base class, and a subclass for each kind of error.

The class of a kind is the kind in CamelCase with ``Error`` behind it: ``invalid_state`` raises ``InvalidStateError``.
Where Python has a class that programs already catch for the same thing, the subclass derives from it too.
"""

from __future__ import annotations

import builtins
from typing import ClassVar


class WirespanError(Exception):
    """The base of every error that this package raises.

    ``kind`` is one of :data:`wirespan.names.ERROR_KINDS` (SPEC.md, chapter "Errors"). ``field`` is the argument, option
    or header that it concerns. For bytes that were refused, ``reason`` is one of :data:`wirespan.names.REFUSALS` and
    ``offset`` the place of the first byte that is wrong. ``error_type`` is what the peer, or the end of a call, named.
    """

    kind: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        field: str | None = None,
        reason: str | None = None,
        offset: int | None = None,
        error_type: str | None = None,
    ) -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason
        self.offset = offset
        self.error_type = error_type


class InvalidArgumentError(WirespanError, ValueError):
    """The program passed something that no run can accept."""

    kind = "invalid_argument"


class InvalidStateError(WirespanError, RuntimeError):
    """The operation does not fit the state of its object."""

    kind = "invalid_state"


class MalformedError(WirespanError, ValueError):
    """Bytes do not follow their grammar; ``reason`` says how, ``offset`` where."""

    kind = "malformed"


class LimitError(WirespanError):
    """A bound was reached."""

    kind = "limit"


class BusyError(WirespanError):
    """A peer that is not known to speak Wirespan can serve one call at a time."""

    kind = "busy"


class ClosedError(WirespanError, ConnectionError):
    """The connection is closed."""

    kind = "closed"


class CancelledError(WirespanError):
    """The call was cancelled by either side."""

    kind = "cancelled"


class RemoteError(WirespanError):
    """The peer ended the call with an error; ``error_type`` names it."""

    kind = "remote"


class TimeoutError(WirespanError, builtins.TimeoutError):
    """A deadline passed."""

    kind = "timeout"


class OverflowError(WirespanError):
    """A reader did not take its chunks in time."""

    kind = "overflow"


class RoleError(WirespanError):
    """The peer has the role of this side: an echo, or a hub that relays."""

    kind = "role"


class SupersededError(WirespanError, ConnectionError):
    """Another connection took the session over."""

    kind = "superseded"


class IoError(WirespanError, OSError):
    """The transport failed."""

    kind = "io"


class PanicError(WirespanError, RuntimeError):
    """A defect of the library, caught where it was called."""

    kind = "panic"


#: The class of each kind.
BY_KIND: dict[str, type[WirespanError]] = {error.kind: error for error in WirespanError.__subclasses__()}


def from_core(message: str, kind: str, field: str | None, reason: str | None, offset: int | None) -> WirespanError:
    """The exception of an error of the core."""
    return BY_KIND.get(kind, WirespanError)(message, field=field, reason=reason, offset=offset)


def reader_error(kind: str, error_type: str | None) -> WirespanError:
    """Makes what a reader raises when its stream did not end well."""
    message = f"the call ended with the error {error_type}" if error_type else f"the call ended: {kind}"
    return BY_KIND.get(kind, WirespanError)(message, error_type=error_type)
