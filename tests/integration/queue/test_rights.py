"""A user of Redis that lacks a right is refused as a whole: nothing is half done when it is told."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import Held, echo, succeeded, take, working

from spacedock._wire import keys, wire
from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.errors import RefusedError
from spacedock.files import payload_of
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore, check_rights

ALL = ("+@all", "~*", "&*")
LACKS = [
    ("resetchannels",),
    ("-publish",),
    ("-zadd",),
    ("-hset",),
    ("-sadd",),
    ("-persist",),
    ("-set",),
    ("-exists",),
    ("-del",),
    ("-evalsha",),
    ("-@scripting",),
    ("resetkeys", "~spacedock:*"),
    ("resetkeys", "~arq:*"),
    ("resetkeys", "~spacedock:*", "%R~arq:*"),
]


def _names(rules: tuple[str, ...]) -> str:
    return " ".join(rules)


@pytest.mark.parametrize("rules", LACKS, ids=_names)
async def test_a_submission_that_is_refused_has_left_no_job(
    shared_server: Server, redis: Redis, rules: tuple[str, ...]
) -> None:
    file = payload_of("a.txt", b"a")
    await redis.set(keys.payload(file.ref.place), file.data)
    request = JobRequest(prompt="once", files=(file.ref,), idempotency_key="key")
    async with Client(shared_server.user("lacking", *ALL, *rules)) as client:
        with pytest.raises(RefusedError, match="lacks a right"):
            await client.submit_prepared(request, [])
    assert await redis.keys("*") == [keys.payload(file.ref.place).encode()]
    async with Client(shared_server.user("lacking", *ALL)) as client:
        job_id = await client.submit_prepared(request, [])
    assert await redis.zrange(keys.QUEUE, 0, -1) == [job_id.encode()]


@pytest.mark.parametrize("rules", [("-subscribe",), ("-hmget",), ("-hstrlen",)], ids=_names)
async def test_who_may_not_read_the_result_does_not_submit_and_wait(
    shared_server: Server, redis: Redis, rules: tuple[str, ...]
) -> None:
    url = shared_server.user("lacking", *ALL, *rules)
    async with Client(url) as client:
        with pytest.raises(RefusedError, match="lacks a right"):
            await client.run("prompt")
    assert await redis.keys("*") == []
    process = await asyncio.create_subprocess_exec(
        *(Path(sys.executable).parent / "spacedock", "run", "prompt", "--redis", url),
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await process.communicate()
    assert (process.returncode, b"lacks a right" in err) == (2, True)
    assert await redis.keys("*") == []


async def test_the_default_of_a_new_user_has_no_channels_and_runs_nothing_twice(
    shared_server: Server, redis: Redis
) -> None:
    runs = []

    async def count(job, tell) -> JobResult:
        runs.append(job.request.prompt)
        return succeeded(job)

    url = shared_server.user("plain", "+@all", "~*", "resetchannels")
    async with working(shared_server.url, count), Client(url) as client:
        for _ in range(2):
            with pytest.raises(RefusedError, match=f"publish {keys.WAKE}"):
                await client.submit("once")
        async with Client(shared_server.url) as allowed:
            await allowed.run("after", wait=60)
    assert runs == ["after"]


@pytest.mark.parametrize("rules", [("resetchannels",), ("-zrem",), ("-hset",), ("-srem",)], ids=_names)
async def test_a_cancellation_that_is_refused_has_cancelled_nothing(
    shared_server: Server, redis: Redis, client: Client, rules: tuple[str, ...]
) -> None:
    waiting = await client.submit("waits")
    before = await redis.hgetall(keys.job(waiting))
    async with Client(shared_server.user("lacking", *ALL, *rules)) as other:
        with pytest.raises(RefusedError):
            await other.cancel(waiting)
    assert await redis.hgetall(keys.job(waiting)) == before
    assert await redis.zcard(keys.QUEUE) == 1


async def test_a_running_job_is_not_half_cancelled(
    shared_server: Server, redis: Redis, client: Client
) -> None:
    held = Held()
    async with working(shared_server.url, held):
        running = await client.submit("runs")
        await held.began.get()
        async with Client(shared_server.user("lacking", *ALL, "resetchannels")) as other:
            with pytest.raises(RefusedError):
                await other.cancel(running)
        assert await redis.hget(keys.job(running), "cancel") is None
        held.go.set()
        assert (await client.result(running, wait=60)).succeeded


@pytest.mark.parametrize(
    "rules",
    [("-brpop",), ("-lrem",), ("-expire",), ("resetkeys", "~spacedock:control", "~spacedock:worker:*")],
    ids=_names,
)
async def test_a_call_whose_answer_could_not_be_read_is_not_made(
    shared_server: Server, redis: Redis, rules: tuple[str, ...]
) -> None:
    async with Client(shared_server.user("lacking", *ALL, *rules)) as client:
        with pytest.raises(RefusedError):
            await client.spaces.remove("precious")
    assert not await redis.exists(keys.CONTROL)


@pytest.mark.parametrize("rules", [("resetchannels",), ("-zrem",), ("-hdel",), ("-srem",)], ids=_names)
async def test_a_worker_writes_a_result_whole_or_not_at_all(
    shared_server: Server, redis: Redis, client: Client, rules: tuple[str, ...]
) -> None:
    job_id = await client.submit("prompt")
    result = JobResult(id=job_id, state=JobState.SUCCEEDED)
    async with connect(shared_server.user("worker", *ALL)) as its:
        store = JobStore(its, "me")
        await take(store, 1)
        before = await redis.hgetall(keys.job(job_id))
        shared_server.user("worker", *ALL, *rules)
        with pytest.raises(NoPermissionError):
            await store.finish(result, wire.encode(result))
        assert await redis.hgetall(keys.job(job_id)) == before
        assert await redis.zcard(keys.QUEUE) == 1
        shared_server.user("worker", *ALL)
        assert await store.finish(result, wire.encode(result))
    assert (await client.result(job_id, wait=60)).succeeded


@pytest.mark.parametrize("rules", [("resetchannels",), ("-zadd",), ("-hdel",), ("-del",)], ids=_names)
async def test_a_worker_gives_a_job_back_whole_or_not_at_all(
    shared_server: Server, redis: Redis, client: Client, rules: tuple[str, ...]
) -> None:
    job_id = await client.submit("prompt")
    async with connect(shared_server.user("worker", *ALL)) as its:
        store = JobStore(its, "me")
        await take(store, 1)
        before = await redis.hgetall(keys.job(job_id))
        shared_server.user("worker", *ALL, *rules)
        with pytest.raises(NoPermissionError):
            await store.release(job_id)
    assert await redis.hgetall(keys.job(job_id)) == before
    assert await redis.exists(keys.arq_in_progress(job_id))


@pytest.mark.parametrize("rules", [("-hset",), ("-hdel",), ("-zrem",), ("-zadd",)], ids=_names)
async def test_a_claim_that_is_refused_holds_no_job(
    shared_server: Server, redis: Redis, client: Client, rules: tuple[str, ...]
) -> None:
    job_id = await client.submit("prompt")
    async with connect(shared_server.user("worker", *ALL, *rules)) as its:
        with pytest.raises(NoPermissionError):
            await take(JobStore(its, "me"), 1)
    assert not await redis.exists(keys.arq_in_progress(job_id))


@pytest.mark.parametrize(
    "rules",
    [
        ("resetchannels",),
        ("resetkeys", "~spacedock:*"),
        ("resetkeys", "~arq:*"),
        ("-@scripting",),
        ("-publish",),
        ("-hset",),
        ("-subscribe",),
        ("-brpop",),
        ("-lpush",),
        ("-incr",),
        ("-hdel",),
        ("resetchannels", "&spacedock:wake", "&spacedock:cancel"),
    ],
    ids=_names,
)
async def test_what_a_worker_lacks_is_found_before_the_first_job(
    shared_server: Server, redis: Redis, rules: tuple[str, ...]
) -> None:
    async with connect(shared_server.user("worker", *ALL, *rules)) as its:
        with pytest.raises(NoPermissionError):
            await check_rights(its)
    assert await redis.keys("*") == []


async def test_the_look_at_a_workers_rights_changes_nothing(
    shared_server: Server, redis: Redis, client: Client
) -> None:
    await client.submit("prompt")
    before = sorted(await redis.keys("*"))
    async with connect(shared_server.user("worker", *ALL)) as its:
        await check_rights(its)
    assert sorted(await redis.keys("*")) == before
    async with working(shared_server.url, echo), asyncio.timeout(60):
        assert (await client.run("next")).succeeded
