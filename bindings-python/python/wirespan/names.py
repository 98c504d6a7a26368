"""The words that are shared with the core, and so with every other language."""

from typing import Final

from ._core import COUNTERS as _COUNTERS
from ._core import ERROR_KINDS as _ERROR_KINDS
from ._core import OUTCOMES as _OUTCOMES
from ._core import REFUSALS as _REFUSALS
from ._core import RESERVED_HEADERS as _RESERVED_HEADERS
from ._core import TIME_SPANS as _TIME_SPANS

__all__ = ["COUNTERS", "ERROR_KINDS", "OUTCOMES", "REFUSALS", "RESERVED_HEADERS", "TIME_SPANS"]

#: What a connection counts.
COUNTERS: Final = tuple(_COUNTERS)
#: Kinds of errors.
ERROR_KINDS: Final = tuple(_ERROR_KINDS)
#: How a stream can end.
OUTCOMES: Final = tuple(_OUTCOMES)
#: Why bytes are refused.
REFUSALS: Final = tuple(_REFUSALS)
#: Headers that an application cannot send as its own.
RESERVED_HEADERS: Final = tuple(_RESERVED_HEADERS)
#: Options that are spans of time, given in seconds.
TIME_SPANS: Final = tuple(_TIME_SPANS)
