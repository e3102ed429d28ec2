"""Control calls: answered by a worker, refused in time without one, never executed late."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import echo, until, working

from spacedock._wire import keys, wire
from spacedock._wire import rpc as control
from spacedock._wire.connection import answer
from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock.client import Client
from spacedock.errors import BadRequestError, NoWorkerError, SpaceNotFoundError
from spacedock.request import JobRequest
from spacedock.states import JobState
from spacedock_worker.cleanup.report import Report
from spacedock_worker.queue import rpc as queue_control

CLEANED = Report(dry_run=False).told()
FOUND = {"here": [], "spaces": [], "cached_at": None, "note": None}


class Answers:
    """A control handler that notes the calls."""

    def __init__(self, reply: Reply) -> None:
        self.calls: list[Call] = []
        self._reply = reply

    async def __call__(self, call: Call, redis: Redis, tell: OnProgress) -> Reply:
        self.calls.append(call)
        return self._reply


async def test_a_call_is_answered_by_a_worker(client: Client, redis_url: str) -> None:
    answers = Answers(Reply(spaces={"mood": {"category": "text"}}))
    async with working(redis_url, echo, answers):
        assert (await client.spaces.list()).spaces == {"mood": {"category": "text"}}
        assert await client.spaces.show("mood") == {"category": "text"}
    assert [call.op for call in answers.calls] == [Op.LIST, Op.SHOW]


async def test_what_is_wrong_with_a_call_comes_back(client: Client, redis_url: str) -> None:
    async with working(redis_url, echo, Answers(Reply(not_found=True, known=("mood",)))):
        with pytest.raises(SpaceNotFoundError, match="mood"):
            await client.spaces.show("food")
    async with working(redis_url, echo, Answers(Reply(error="that is no Space"))):
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
    answers = Answers(Reply())
    async with working(redis_url, echo, answers):
        await client.spaces.list()
    assert [call.op for call in answers.calls] == [Op.LIST]


async def keeps(redis: Redis, key: str) -> bool:
    """Whether the key was there to be kept for a minute."""
    return bool(await redis.expire(key, 60))


async def test_a_call_that_is_given_up_is_taken_back(client: Client, redis: Redis) -> None:
    given_up = asyncio.create_task(client.plan(JobRequest(prompt="secret", privacy=True)))
    await until(lambda: keeps(redis, keys.ASK))
    given_up.cancel()
    await asyncio.gather(given_up, return_exceptions=True)
    assert not await keeps(redis, keys.ASK)


async def test_rubbish_on_the_list_is_dropped_and_the_next_call_is_answered(
    client: Client, redis_url: str, redis: Redis
) -> None:
    await answer(redis.lpush(keys.CONTROL, "no json", '{"v": 99}', b"\xff", '{"v": 1, "op": "explode"}'))
    async with working(redis_url, echo, Answers(Reply())):
        assert await client.spaces.list() == Reply()
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("fault", [ZeroDivisionError, PermissionError, TimeoutError])
async def test_a_fault_while_answering_a_call_does_not_stop_the_worker(
    client: Client, redis_url: str, fault: type[Exception]
) -> None:
    async def broken(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        raise fault

    async with working(redis_url, echo, broken):
        with pytest.raises(BadRequestError, match=fault.__name__):
            await client.spaces.list()
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED


async def test_workers_that_live_are_counted(client: Client, redis_url: str) -> None:
    assert await client.workers() == 0
    async with working(redis_url):
        await client.run("prompt", wait=60)
        assert await client.workers() == 1
    assert await client.workers() == 0


async def test_a_long_call_is_waited_for_as_long_as_its_worker_is_heard(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "CALL_SECONDS", 1)
    monkeypatch.setattr(control, "SILENCE_SECONDS", 1)
    monkeypatch.setattr(queue_control, "WORKING_SECONDS", 0.1)
    heard: asyncio.Queue[str] = asyncio.Queue()
    go = asyncio.Event()

    async def long(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        tell("bundling 1 of 2")
        await go.wait()
        return Reply(data=CLEANED)

    async with working(redis_url, echo, long):
        asking = asyncio.create_task(client.cleanup(on_progress=heard.put_nowait))
        assert await heard.get() == "bundling 1 of 2"
        await asyncio.wait({asking}, timeout=1.5)
        assert not asking.done()
        go.set()
        assert await asking == CLEANED


async def test_a_worker_that_falls_silent_is_given_up(
    client: Client, redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "SILENCE_SECONDS", 1)
    asking = asyncio.create_task(client.cleanup())
    _, raw = await answer(redis.brpop([keys.CONTROL], timeout=60))
    call = wire.decode(Call, raw)
    await answer(redis.lpush(keys.reply(call.id), wire.encode(Reply(working="at it"))))
    with pytest.raises(NoWorkerError, match="within 1 s"):
        await asking


async def test_a_long_call_does_not_hold_up_a_short_one(client: Client, redis_url: str) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def handle(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        if call.op is Op.CLEANUP:
            began.set()
            await go.wait()
            return Reply(data=CLEANED)
        return Reply()

    async with working(redis_url, echo, handle):
        asking = asyncio.create_task(client.cleanup())
        await began.wait()
        assert await client.spaces.list() == Reply()
        go.set()
        await asking


async def test_long_calls_however_many_leave_short_ones_their_room(client: Client, redis_url: str) -> None:
    began: asyncio.Queue[Op] = asyncio.Queue()
    go = asyncio.Event()

    async def handle(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        began.put_nowait(call.op)
        if call.op in (Op.CLEANUP, Op.SEARCH):
            await go.wait()
        return Reply(data={Op.CLEANUP: CLEANED, Op.SEARCH: FOUND}.get(call.op, {}))

    async with working(redis_url, echo, handle):
        cleaning = [asyncio.create_task(client.cleanup()) for _ in range(30)]
        searching = [asyncio.create_task(client.spaces.search("x")) for _ in range(30)]
        for _ in range(4 + 8):
            await began.get()
        assert await client.spaces.list() == Reply()
        go.set()
        ended = await asyncio.gather(*cleaning, *searching, return_exceptions=True)
    refused = [error for error in ended if isinstance(error, Exception)]
    # Those that found no room to wait are told so at once, and may come again.
    assert len(refused) == 30 - 12
    assert all(isinstance(error, BadRequestError) and "try again" in str(error) for error in refused)


async def test_a_call_that_hangs_is_stopped(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_control, "SHORT_SECONDS", 0.1)

    async def hang(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        await asyncio.Event().wait()
        return Reply()

    async with working(redis_url, echo, hang):
        with pytest.raises(BadRequestError, match="did not end within"):
            await client.spaces.list()


async def test_a_reply_with_half_surrogates_is_an_answer(client: Client, redis_url: str) -> None:
    async def handle(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        tell("\ud800")
        return Reply(spaces={"mood": {"inputs": {"text": "good \ud800 day"}}})

    async with working(redis_url, echo, handle):
        assert await client.spaces.show("mood") == {"inputs": {"text": "good � day"}}


async def test_a_reply_that_is_no_json_is_an_error(client: Client, redis_url: str) -> None:
    async with working(redis_url, echo, Answers(Reply(data={"a": object()}))):
        with pytest.raises(BadRequestError, match="fault in Spacedock"):
            await client.spaces.list()
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED


@pytest.mark.parametrize(
    "call",
    [
        '{"v": 1, "id": "\\ud800", "op": "list"}',
        '{"v": 1, "id": "a", "op": "list", "name": "\\ud800"}',
        '{"v": 1, "id": "a", "op": "plan", "options": {"request": {"prompt": "\\ud800"}}}',
        '{"v": 1, "id": "a", "op": "list", "options": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"v": 1e999, "id": "a", "op": "list"}',
    ],
    ids=["id", "name", "options", "deep", "infinite"],
)
async def test_a_call_that_was_not_written_by_a_client_ends_nothing(
    client: Client, redis_url: str, redis: Redis, call: str
) -> None:
    async def quote(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        return Reply(error=call.name, data=call.options)

    await answer(redis.lpush(keys.CONTROL, call))
    async with working(redis_url, echo, quote):
        assert (await client.spaces.list()).error is None
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED


async def test_an_option_that_no_worker_would_take_is_refused_before_it_is_sent(
    client: Client, redis: Redis
) -> None:
    with pytest.raises(BadRequestError, match=r"^search: limit: "):
        await client.spaces.search("mood", limit=1000)
    assert await redis.keys("*") == []
