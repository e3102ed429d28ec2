"""Keeping a child alive: it is started again whenever it ends, with growing pauses."""

from __future__ import annotations

import asyncio
import signal
from collections import deque

import pytest

from spacedock.errors import SpacedockError
from spacedockd.supervisor import FIRST_PAUSE, LONGEST_PAUSE, STEADY_SECONDS, keep_alive


class Scripted:
    """A child whose lives last as long as told, on a clock of its own; after the last it lives on."""

    def __init__(self, *lives: float, failures: tuple[Exception, ...] = (), code: int = 1) -> None:
        self._lives, self._failures, self._code = deque(lives), deque(failures), code
        self.now = 0.0
        self.pauses: list[float] = []
        self.starts = 0
        self.living = asyncio.Event()

    async def start(self) -> None:
        self.starts += 1
        if self._failures:
            raise self._failures.popleft()

    async def ended(self) -> int:
        if not self._lives:
            self.living.set()
            await asyncio.Event().wait()
        self.now += self._lives.popleft()
        return self._code

    async def stop(self) -> None:
        raise AssertionError("stopping is not the watcher's task")

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def clock(self) -> float:
        return self.now


async def watched(child: Scripted) -> Scripted:
    watching = asyncio.create_task(keep_alive("child", child, child.sleep, child.clock))
    alive = asyncio.create_task(child.living.wait())
    await asyncio.wait({watching, alive}, return_when=asyncio.FIRST_COMPLETED)
    alive.cancel()
    if watching.done():
        await watching
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    return child


async def test_a_child_that_lives_is_left_alone() -> None:
    assert (await watched(Scripted())).starts == 0


async def test_a_child_that_ends_is_started_again_soon() -> None:
    child = await watched(Scripted(5.0))
    assert (child.starts, child.pauses) == (1, [FIRST_PAUSE])


async def test_the_pauses_grow_to_their_bound() -> None:
    child = await watched(Scripted(*[1.0] * 10))
    assert child.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 5.0])
    assert child.pauses[-1] == LONGEST_PAUSE


async def test_a_child_that_somebody_kills_again_and_again_is_started_again_soon() -> None:
    child = await watched(Scripted(*[1.0] * 5, code=-signal.SIGKILL))
    assert child.pauses == [FIRST_PAUSE] * 5


async def test_a_child_that_lived_long_has_earned_a_quick_restart() -> None:
    child = await watched(Scripted(1.0, 1.0, STEADY_SECONDS + 1, 1.0))
    assert child.pauses == pytest.approx([0.1, 0.2, 0.1, 0.2])


@pytest.mark.parametrize("error", [SpacedockError("no"), OSError(12, "Cannot allocate memory")])
async def test_a_start_that_fails_is_tried_again_after_a_longer_pause(error: Exception) -> None:
    child = await watched(Scripted(1.0, failures=(error, error)))
    assert (child.starts, child.pauses) == (3, pytest.approx([0.1, 0.2, 0.4]))


async def test_a_fault_of_our_own_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        await watched(Scripted(1.0, failures=(ZeroDivisionError(),)))
