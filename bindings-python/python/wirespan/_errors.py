"""The one exception of this package, with a class for each kind that programs tell apart."""

from __future__ import annotations

import builtins
from typing import ClassVar


class Error(Exception):
    """An error with its kind, the field it concerns and, for refused bytes, the reason and the byte offset.

    ``kind`` is one of ``invalid_argument``, ``invalid_state``, ``malformed``, ``limit``, ``busy``, ``closed``,
    ``cancelled``, ``remote``, ``timeout``, ``overflow``, ``role``, ``superseded``, ``io``, ``panic`` (SPEC.md,
    chapter "Errors").
    """

    kind: str
    field: str | None
    reason: str | None
    offset: int | None

    _kinds: ClassVar[dict[str, type[Error]]] = {}

    def __init__(
        self,
        message: str,
        *,
        kind: str = "",
        field: str | None = None,
        reason: str | None = None,
        offset: int | None = None,
        error_type: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.field = field
        self.reason = reason
        self.offset = offset
        #: The type of the error that the peer sent, where it sent one.
        self.error_type = error_type

    @classmethod
    def _of(cls, message: str, kind: str, field: str | None, reason: str | None, offset: int | None) -> Error:
        made = cls._kinds.get(kind, cls)
        return made(message, kind=kind, field=field, reason=reason, offset=offset)


class InvalidArgumentError(Error, ValueError):
    """The program passed something that no run can accept."""


class ClosedError(Error, ConnectionError):
    """The connection is closed."""


class CancelledError(Error):
    """The call was cancelled by either side."""


class RemoteError(Error):
    """The peer ended the call with an error; ``error_type`` names it."""


class TimeoutError(Error, builtins.TimeoutError):
    """A deadline passed."""


class OverflowError(Error):
    """A reader did not take its chunks in time."""


class LimitError(Error):
    """A bound was reached."""


Error._kinds.update(
    invalid_argument=InvalidArgumentError,
    closed=ClosedError,
    cancelled=CancelledError,
    remote=RemoteError,
    timeout=TimeoutError,
    overflow=OverflowError,
    limit=LimitError,
)


def reader_error(kind: str, error_type: str | None) -> Error:
    """Makes what a reader raises when its stream did not end well."""
    message = f"the call ended with the error {error_type}" if error_type else f"the call ended: {kind}"
    error = Error._kinds.get(kind, Error)(message, kind=kind, error_type=error_type)
    return error
