"""One piece of work for many who want it."""

from __future__ import annotations

import asyncio

import pytest

from spacedock_worker.caching import OnProgress, Shared, TimedCache


class Work:
    """Work that goes on when it is told to, and counts what became of it."""

    def __init__(self) -> None:
        self.begun, self.cancelled = 0, 0
        self.started, self.go_on = asyncio.Event(), asyncio.Event()

    async def __call__(self, on_progress: OnProgress) -> str:
        self.begun += 1
        on_progress("begun")
        self.started.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            # What is cut off needs its time to tidy up.
            await asyncio.sleep(0)
            self.cancelled += 1
            raise
        on_progress("going on")
        return "done"


async def test_all_who_wait_hear_the_progress_and_get_the_outcome() -> None:
    shared: Shared[str] = Shared()
    work, first, second = Work(), [], []
    one = asyncio.create_task(shared.run("key", work, first.append))
    await work.started.wait()
    two = asyncio.create_task(shared.run("key", work, second.append))
    await asyncio.sleep(0)
    work.go_on.set()
    assert (await one, await two) == ("done", "done")
    assert first == second == ["begun", "going on"]
    assert work.begun == 1


async def test_one_who_is_cancelled_leaves_the_work_to_the_others() -> None:
    shared: Shared[str] = Shared()
    work = Work()
    one, two = (asyncio.create_task(shared.run("key", work, lambda _: None)) for _ in range(2))
    await work.started.wait()
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    work.go_on.set()
    assert await two == "done"


async def test_the_last_one_who_is_cancelled_ends_the_work_and_waits_for_its_end() -> None:
    shared: Shared[str] = Shared()
    work = Work()
    waiters = [asyncio.create_task(shared.run("key", work, lambda _: None)) for _ in range(3)]
    await work.started.wait()
    for waiter in waiters:
        waiter.cancel()
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
    assert work.cancelled == 1


async def test_who_comes_while_the_work_is_being_ended_begins_anew() -> None:
    shared: Shared[str] = Shared()
    first, second = Work(), Work()
    one = asyncio.create_task(shared.run("key", first, lambda _: None))
    await first.started.wait()
    one.cancel()
    second.go_on.set()
    two = asyncio.create_task(shared.run("key", second, lambda _: None))
    assert await two == "done"
    with pytest.raises(asyncio.CancelledError):
        await one


async def test_all_who_wait_get_the_error_and_the_next_one_tries_again() -> None:
    shared: Shared[str] = Shared()
    tries: list[int] = []

    async def fail(on_progress: OnProgress) -> str:
        tries.append(1)
        await asyncio.sleep(0)
        raise ValueError("no")

    waiting = [shared.run("key", fail, lambda _: None) for _ in range(3)]
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["no"] * 3
    with pytest.raises(ValueError, match="no"):
        await shared.run("key", fail, lambda _: None)
    assert len(tries) == 2


def test_a_memory_forgets_what_is_old_and_what_is_too_much() -> None:
    now = [0.0]
    memory: TimedCache[int] = TimedCache(10.0, lambda: now[0])
    memory.put("old", 1)
    now[0] = 5.0
    memory.put("new", 2)
    assert (memory.get("old"), memory.get("new"), memory.get("none")) == (1, 2, None)
    now[0] = 10.0
    assert (memory.get("old"), memory.get("new")) == (None, 2)
    for number in range(1024):
        memory.put(str(number), number)
    assert memory.get("new") is None
