"""Control calls: answered by a worker, refused in time without one, never executed late."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import echo, until, working

from spacedock import control, keys
from spacedock.client import Client
from spacedock.connection import answer
from spacedock.control import Call, Op, Reply
from spacedock.errors import BadRequestError, NoWorkerError, SpaceNotFoundError
from spacedock.states import JobState


class Desk:
    """A control handler that notes the calls."""

    def __init__(self, reply: Reply) -> None:
        self.calls: list[Call] = []
        self._reply = reply

    async def __call__(self, call: Call, redis: Redis) -> Reply:
        self.calls.append(call)
        return self._reply


async def test_a_call_is_answered_by_a_worker(client: Client, redis_url: str) -> None:
    desk = Desk(Reply(spaces={"mood": {"category": "text"}}))
    async with working(redis_url, echo, desk):
        assert (await client.spaces.list()).spaces == {"mood": {"category": "text"}}
        assert await client.spaces.show("mood") == {"category": "text"}
    assert [call.op for call in desk.calls] == [Op.LIST, Op.SHOW]


async def test_what_is_wrong_with_a_call_comes_back(client: Client, redis_url: str) -> None:
    async with working(redis_url, echo, Desk(Reply(not_found=True, known=("mood",)))):
        with pytest.raises(SpaceNotFoundError, match="mood"):
            await client.spaces.show("food")
    async with working(redis_url, echo, Desk(Reply(error="that is no Space"))):
        with pytest.raises(BadRequestError, match="that is no Space"):
            await client.spaces.add("food", {})


async def test_a_call_without_a_worker_fails_and_is_not_executed_later(
    client: Client, redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "CALL_SECONDS", 1)
    given_up = asyncio.create_task(client.spaces.remove("mood"))
    # Others that go on asking keep the list alive: a call in it must not live on with them.
    await until(lambda: keeps(redis, keys.CONTROL))
    with pytest.raises(NoWorkerError):
        await given_up
    desk = Desk(Reply())
    async with working(redis_url, echo, desk):
        await client.spaces.list()
    assert [call.op for call in desk.calls] == [Op.LIST]


async def keeps(redis: Redis, key: str) -> bool:
    """Whether the key was there to be kept for a minute."""
    return bool(await redis.expire(key, 60))


async def test_rubbish_on_the_list_is_dropped_and_the_next_call_is_answered(
    client: Client, redis_url: str, redis: Redis
) -> None:
    await answer(redis.lpush(keys.CONTROL, "no json", '{"v": 99}', b"\xff", '{"v": 1, "op": "explode"}'))
    async with working(redis_url, echo, Desk(Reply())):
        assert await client.spaces.list() == Reply()
        assert (await client.run("prompt", wait=5)).state is JobState.SUCCEEDED


async def test_a_fault_while_answering_a_call_does_not_stop_the_worker(
    client: Client, redis_url: str
) -> None:
    async def broken(call: Call, redis: Redis) -> Reply:
        raise ZeroDivisionError

    async with working(redis_url, echo, broken):
        with pytest.raises(BadRequestError, match="ZeroDivisionError"):
            await client.spaces.list()
        assert (await client.run("prompt", wait=5)).state is JobState.SUCCEEDED


async def test_workers_that_live_are_counted(client: Client, redis_url: str) -> None:
    assert await client.workers() == 0
    async with working(redis_url):
        await client.run("prompt", wait=5)
        assert await client.workers() == 1
    assert await client.workers() == 0
