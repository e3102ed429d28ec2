"""One piece of work for all who want it at the same time; it lives as long as somebody waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Hear = Callable[[str], None]

_T = TypeVar("_T")


class _Work(Generic[_T]):
    """A running task, and who hears of it."""

    def __init__(self, doing: Callable[[Hear], Awaitable[_T]]) -> None:
        self.hearers: list[Hear] = []
        self.said: str | None = None
        self.task = asyncio.ensure_future(doing(self._say))

    def _say(self, text: str) -> None:
        self.said = text
        for hear in tuple(self.hearers):
            hear(text)


class Shared(Generic[_T]):
    """Runs the work for a key once, however many ask for it; each hears its progress from then on.

    One who is cancelled leaves the others alone; with the last one the work is cancelled too.
    """

    def __init__(self) -> None:
        self._running: dict[str, _Work[_T]] = {}

    async def run(self, key: str, doing: Callable[[Hear], Awaitable[_T]], hear: Hear) -> _T:
        """The outcome of `doing` for `key`, which is begun unless it runs already; raises what it raises."""
        work = self._running.get(key)
        if work is None:
            work = self._running[key] = _Work(doing)
        elif work.said is not None:
            hear(work.said)
        work.hearers.append(hear)
        try:
            await asyncio.wait({work.task})
        finally:
            work.hearers.remove(hear)
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
