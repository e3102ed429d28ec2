"""A bounded memory of values by name, some of which grow old."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Generic, TypeVar

_T = TypeVar("_T")
_REMEMBERED = 1024


class Memory(Generic[_T]):
    """Keeps the 1,024 values that were put last, each for `seconds` (None: as long as there is room)."""

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._kept: OrderedDict[str, tuple[float, _T]] = OrderedDict()

    def get(self, key: str) -> _T | None:
        """The value; None where there is none, or it has grown too old."""
        when, value = self._kept.get(key, (0.0, None))
        fresh = self._seconds is None or self._clock() - when < self._seconds
        return value if fresh else None

    def put(self, key: str, value: _T) -> None:
        """Keep the value in place of an earlier one."""
        self._kept[key] = (self._clock(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)
