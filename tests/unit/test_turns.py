"""Who waits for the same thing is served in turn: one of each owner, whatever the others have waiting."""

from __future__ import annotations

import asyncio
from typing import Any

from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool.slots import Waiter, WaitQueue
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.turns import Turns, Turnstile


def served(waiting: list[str]) -> str:
    """The names of those who wait (the first letter is the owner) as they are served one after the other."""
    turns, order = Turns(), []
    while waiting:
        one = turns.in_order(waiting, lambda name: name[0])[0]
        turns.served(one[0])
        waiting.remove(one)
        order.append(one)
    return " ".join(order)


def test_each_owner_is_served_in_turn() -> None:
    assert served(["a1", "a2", "a3", "b1", "b2", "c1"]) == "a1 b1 c1 a2 b2 a3"


def test_who_comes_while_others_are_served_goes_first() -> None:
    turns = Turns()
    turns.served("a")
    assert turns.in_order(["a2", "a3", "b1"], lambda name: name[0]) == ["b1", "a2", "a3"]


async def test_a_turnstile_lets_so_many_in_at_once_and_each_owner_in_turn() -> None:
    turnstile, inside, go, order = Turnstile(1), asyncio.Event(), asyncio.Event(), list[str]()

    async def enter(owner: str) -> None:
        async with turnstile.passed(owner):
            order.append(owner)
            inside.set()
            await go.wait()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(3):
            tasks.create_task(enter("a"))
        await inside.wait()
        tasks.create_task(enter("b"))
        await asyncio.sleep(0)
        go.set()
    assert order == ["a", "b", "a", "a"]


async def test_who_is_cancelled_at_a_turnstile_keeps_nobody_out() -> None:
    turnstile = Turnstile(1)

    async def enter() -> None:
        async with turnstile.passed("a"):
            await asyncio.Event().wait()

    first, waiting = asyncio.create_task(enter()), asyncio.create_task(enter())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    # Cancelled just when its turn comes.
    next_one = asyncio.create_task(enter())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    next_one.cancel()
    await asyncio.gather(next_one, return_exceptions=True)
    async with asyncio.timeout(60), turnstile.passed("b"):
        pass


def call(number: int, key: str, owner: str, since: float = 0.0) -> Waiter[Any]:
    """A call that waits."""
    spec = ContainerSpec(key, "image", "digest")
    return Waiter(number, key, spec, Room(), None, lambda text: None, since, owner=owner)


def test_within_a_key_owners_take_turns_and_keys_keep_theirs() -> None:
    queue: WaitQueue[Any] = WaitQueue()
    calls = [call(1, "x", "a"), call(2, "x", "a"), call(3, "y", "a"), call(4, "x", "b", 5.0)]
    for one in calls:
        queue.join(one)
    queue.served(calls[0])
    assert [one.id for one in queue.in_turn(0.0)] == [4, 1, 3, 2]
    # The newest is as urgent as the oldest of its key: it takes that one's place.
    assert [one.urgent for one in calls] == [True] * 4
    for one in calls:
        queue.leave(one)
    assert queue.in_turn(0.0) == []
