"""The envelope by itself: a message with headers around it, for programs with a connection of their own.

A ``str`` is a text message, ``bytes`` are a binary one. ``recognition`` is "canonical" for a peer that announced
itself, and "any" for one that is configured ``always`` (SPEC.md, chapter "Recognition").
"""

from ._core import (
    Drops,
    Envelope,
    Wrapped,
    convert_head,
    is_error_type,
    is_json,
    is_look_alike,
    is_method,
    is_session_id,
    unwrap,
    wrap,
)

__all__ = [
    "Drops",
    "Envelope",
    "Wrapped",
    "convert_head",
    "is_error_type",
    "is_json",
    "is_look_alike",
    "is_method",
    "is_session_id",
    "unwrap",
    "wrap",
]
