"""Calls that share a round trip: each has its own answer, and none waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError
from tests.integration.queue.servers import Server

from spacedock._wire.connection import OUTAGES, connect
from spacedock_worker.queue.group_commit import GroupCommit

_ADD = """
local answers = {}
for n, key in ipairs(KEYS) do answers[n] = redis.pcall('INCRBY', key, ARGV[n]) end
return answers
"""


@pytest.fixture
def add(redis: Redis) -> GroupCommit:
    return GroupCommit(redis.register_script(_ADD))


async def test_calls_are_answered_in_their_order(add: GroupCommit) -> None:
    assert await asyncio.gather(*(add(["n"], [1]) for _ in range(50))) == list(range(1, 51))


async def test_an_error_is_that_of_its_own_call_alone(add: GroupCommit) -> None:
    answers = await asyncio.gather(*(add(["n"], [n]) for n in (1, "x", 2)), return_exceptions=True)
    assert (answers[0], answers[2]) == (1, 3)
    assert isinstance(answers[1], ResponseError)


async def test_a_server_that_forgot_the_script_is_told_it_again(add: GroupCommit, redis: Redis) -> None:
    await add(["n"], [1])
    await redis.script_flush()
    assert sorted(await asyncio.gather(*(add(["n"], [1]) for _ in range(5)))) == [2, 3, 4, 5, 6]


async def test_large_calls_go_in_parts_and_all_are_answered(add: GroupCommit) -> None:
    assert len(await asyncio.gather(*(add(["n"], [1], size=2**20) for _ in range(5)))) == 5


async def test_a_call_that_is_stopped_while_it_waits_holds_up_no_other(
    add: GroupCommit, redis: Redis
) -> None:
    first = asyncio.create_task(add(["n"], [1], size=2**20))
    second = asyncio.create_task(add(["n"], [10], size=2**20))
    await asyncio.sleep(0)
    second.cancel()
    assert await first == 1
    assert await add(["n"], [100]) == 101


async def test_whoever_shares_the_round_trip_of_a_call_that_is_stopped_has_his_answer(
    add: GroupCommit,
) -> None:
    calls = [asyncio.create_task(add(["n"], [1])) for _ in range(3)]
    await asyncio.sleep(0)
    calls[0].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert all(isinstance(answer, int) for answer in answers[1:])


async def test_all_that_wait_hear_of_an_outage_and_the_next_call_goes_on(
    own_server: Server,
) -> None:
    redis = connect(own_server.url)
    add = GroupCommit(redis.register_script(_ADD))
    await add(["n"], [1])
    own_server.stop()
    answers = await asyncio.gather(*(add(["n"], [1]) for _ in range(3)), return_exceptions=True)
    assert all(isinstance(answer, OUTAGES) for answer in answers)
    own_server.start()
    assert await add(["n"], [1]) == 2
    await redis.aclose()
