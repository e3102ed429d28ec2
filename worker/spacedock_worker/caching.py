"""A bounded memory of values by name, some of which grow old."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Generic, TypeVar

_T = TypeVar("_T")
_REMEMBERED = 1024


class TimedCache(Generic[_T]):
    """Keeps the 1,024 values that were put last, each for `seconds` (None: as long as there is room)."""

    def __init__(self, seconds: float | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._kept: OrderedDict[str, tuple[float, _T]] = OrderedDict()

    def get(self, key: str) -> _T | None:
        """Return the value, or None if it is missing or expired."""
        when, value = self._kept.get(key, (0.0, None))
        fresh = self._seconds is None or self._clock() - when < self._seconds
        return value if fresh else None

    def put(self, key: str, value: _T) -> None:
        """Keep the value in place of an earlier one."""
        self._kept[key] = (self._clock(), value)
        self._kept.move_to_end(key)
        while len(self._kept) > _REMEMBERED:
            self._kept.popitem(last=False)


OnProgress = Callable[[str], None]


def unheard(text: str) -> None:
    """An `OnProgress` that nobody listens to."""


class _Work(Generic[_T]):
    """A running task, and who hears of it."""

    def __init__(self, doing: Callable[[OnProgress], Awaitable[_T]]) -> None:
        self.hearers: list[OnProgress] = []
        self.said: str | None = None
        self.task = asyncio.ensure_future(doing(self._say))

    def _say(self, text: str) -> None:
        self.said = text
        for on_progress in tuple(self.hearers):
            on_progress(text)


class Shared(Generic[_T]):
    """Runs the work for a key once, however many ask for it; each hears its progress from then on.

    One who is cancelled leaves the others alone; with the last one the work is cancelled too.
    """

    def __init__(self) -> None:
        self._running: dict[str, _Work[_T]] = {}

    async def run(
        self, key: str, doing: Callable[[OnProgress], Awaitable[_T]], on_progress: OnProgress
    ) -> _T:
        """The outcome of `doing` for `key`, which is begun unless it runs already; raises what it raises."""
        work = self._running.get(key)
        if work is None:
            work = self._running[key] = _Work(doing)
        elif work.said is not None:
            on_progress(work.said)
        work.hearers.append(on_progress)
        try:
            await asyncio.wait({work.task})
        finally:
            work.hearers.remove(on_progress)
            await self._leave(key, work)
        return work.task.result()

    async def _leave(self, key: str, work: _Work[_T]) -> None:
        """Forget work that is over, and end what nobody waits for any more."""
        if not work.task.done() and work.hearers:
            return
        if self._running.get(key) is work:
            # Whoever comes from now on begins anew.
            del self._running[key]
        if not work.task.done():
            work.task.cancel()
            await asyncio.wait({work.task})
        if not work.task.cancelled():
            # Nobody may be left to hear of an error, which asyncio would complain of.
            work.task.exception()
