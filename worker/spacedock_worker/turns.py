"""Turns: of those who wait for the same thing, each owner is served in turn with the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

_Waiting = TypeVar("_Waiting")

_REMEMBERED = 1000


class Turns:
    """Remembers when owners were served last: who has waited longest for a turn comes first."""

    def __init__(self) -> None:
        self._last: dict[str, int] = {}
        self._count = 0

    def in_order(self, waiting: Iterable[_Waiting], owner: Callable[[_Waiting], str]) -> list[_Waiting]:
        """Those who wait, in the order of being served: one of each owner, then the second of each, and on.

        Of one owner they stay in their order; so do owners that were never served.
        """
        rounds: Counter[str] = Counter()

        def turn(one: _Waiting) -> tuple[int, int]:
            name = owner(one)
            rounds[name] += 1
            return rounds[name], self._last.get(name, 0)

        return sorted(waiting, key=turn)

    def served(self, owner: str) -> None:
        """Note that the owner was served just now."""
        self._count += 1
        self._last.pop(owner, None)
        self._last[owner] = self._count
        if len(self._last) > _REMEMBERED:
            del self._last[next(iter(self._last))]


class Turnstile:
    """Lets so many in at once; those who wait come in by their turns."""

    def __init__(self, most: int) -> None:
        self._free, self._turns = most, Turns()
        self._waiting: dict[asyncio.Future[None], str] = {}

    @asynccontextmanager
    async def passed(self, owner: str) -> AsyncIterator[None]:
        """Be inside for this block, once it is the owner's turn."""
        await self._enter(owner)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, owner: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = owner
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.pop(turn, None)
            else:
                # Its turn came just then.
                self._leave()
            raise

    def _leave(self) -> None:
        self._free += 1
        self._admit()

    def _admit(self) -> None:
        """Let in whoever can come in."""
        waiting = [turn for turn in self._waiting if not turn.done()]
        for turn in self._turns.in_order(waiting, self._waiting.__getitem__)[: self._free]:
            self._free -= 1
            self._turns.served(self._waiting.pop(turn))
            turn.set_result(None)
