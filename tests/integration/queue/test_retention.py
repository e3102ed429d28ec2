"""How long what is kept: as the queue's settings say, as the job asks, and nothing without an end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from unittest.mock import ANY

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs
from tests.integration.queue.workers import Held, succeeded, take, working

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock._wire.retention import DAY_S, HOUR_S, MAX_KEEP_S
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.files import payload_of
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.notify import Notifier
from spacedockd.publishing import publish
from spacedockd.settings import DaemonSettings, load

FILE = payload_of("in.txt", b"what several jobs need")
OF_THE_QUEUE = {keys.SETTINGS, keys.VIRTUAL, keys.HOSTS, keys.SCRUB}
"""Keys of the queue itself, one of each, that hold nothing of a job."""


async def ends_in(redis: Redis, key: str, seconds: float) -> bool:
    return seconds - 30 < await redis.ttl(key) <= seconds


async def test_a_result_lives_as_long_as_the_queue_says(client: Client, redis_url: str, redis: Redis) -> None:
    await answer(redis.hset(keys.SETTINGS, mapping={"results": 7200, "private": 120}))
    async with working(redis_url):
        plain = await client.run("plain")
        private = await client.run("private", privacy=True, keep=True)
    cancelled = await client.submit("never")
    await client.cancel(cancelled)
    assert await ends_in(redis, keys.job(plain.id), 7200)
    assert await ends_in(redis, keys.job(private.id), 120)
    assert await ends_in(redis, keys.job(cancelled), 7200)


async def test_a_dead_job_lives_longer(client: Client, redis: Redis) -> None:
    store = JobStore(redis, "worker")
    job_id = await client.submit("deadly")
    await take(store)
    result = JobResult(id=job_id, state=JobState.DEAD)
    assert await store.finish(result, wire.encode(result))
    assert await ends_in(redis, keys.job(job_id), 7 * DAY_S)


@pytest.mark.parametrize("said", [b"rubbish", b"nan", b"-5", b"1e300", b""])
async def test_settings_that_are_no_seconds_do_not_count(
    client: Client, redis_url: str, redis: Redis, said: bytes
) -> None:
    await answer(redis.hset(keys.SETTINGS, "results", said))
    async with working(redis_url):
        result = await client.run("plain")
    assert await ends_in(redis, keys.job(result.id), DAY_S)


@pytest.mark.parametrize(("asked", "seconds"), [("7d", 7 * DAY_S), (90, 90), ("30d", MAX_KEEP_S)])
async def test_a_job_may_ask_for_its_own_time(
    client: Client, redis_url: str, redis: Redis, asked: str | int, seconds: float
) -> None:
    async with working(redis_url):
        await client.store([FILE])
        result = await client.run("kept", keep_for=asked, files=())
        (job_id,) = await client.submit_many([JobRequest(prompt="x", files=(FILE.ref,), keep_for=asked)])
        await client.result(job_id)
    assert await ends_in(redis, keys.job(result.id), seconds)
    assert await ends_in(redis, keys.payload(FILE.ref.place), seconds)


@pytest.mark.parametrize("asked", ["soon", "31d", 0, "0s", float("nan"), float("inf")])
async def test_a_time_that_is_none_is_refused(client: Client, asked: str | float) -> None:
    with pytest.raises(BadRequestError, match="keep_for"):
        await client.submit("x", keep_for=asked)


@pytest.mark.parametrize("first", ["long", "short"])
async def test_a_file_lives_as_long_as_the_longest_result_that_needs_it(
    client: Client, redis_url: str, redis: Redis, first: str
) -> None:
    held = Held()
    times = {"long": "7d", "short": "1h"}
    await client.store([FILE])
    requests = {name: JobRequest(prompt=name, files=(FILE.ref,), keep_for=times[name]) for name in times}
    async with working(redis_url, held):
        held.go.set()
        ids = await client.submit_many(requests.values())
        for job_id in ids if first == "long" else reversed(ids):
            await client.result(job_id)
        assert await ends_in(redis, keys.payload(FILE.ref.place), 7 * DAY_S)
        # Once more, after both have ended: what was promised still counts.
        (again,) = await client.submit_many([requests["short"]])
        await client.result(again)
    assert await ends_in(redis, keys.payload(FILE.ref.place), 7 * DAY_S)


async def test_a_results_file_that_a_waiting_job_needs_lives_as_long_as_the_result(
    client: Client, redis_url: str, redis: Redis
) -> None:
    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        await Payloads(redis).keep([FILE])
        return succeeded(job).model_copy(update={"output": Output(files=(FILE.ref,))})

    await client.store([FILE])
    store = JobStore(redis, "worker")
    (waits,) = await client.submit_many([JobRequest(prompt="waits", files=(FILE.ref,), keep_for="1h")])
    await take(store)
    async with working(redis_url, handle):
        await client.run("makes it", keep_for="7d")
    result = JobResult(id=waits, state=JobState.SUCCEEDED)
    assert await store.finish(result, wire.encode(result))
    assert await ends_in(redis, keys.payload(FILE.ref.place), 7 * DAY_S)


async def test_nothing_of_jobs_that_have_ended_is_without_an_end(
    client: Client, redis_url: str, redis: Redis
) -> None:
    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        if job.request.prompt == "fault":
            raise RuntimeError("a fault of ours")
        made = payload_of("out.txt", job.request.prompt.encode())
        await Payloads(redis).keep([made])
        return succeeded(job).model_copy(update={"output": Output(files=(made.ref,))})

    async with working(redis_url, handle):
        await client.store([FILE, payload_of("left.txt", b"whose job never came")])
        await client.run("plain")
        await client.run("private", privacy=True, keep=True)
        await client.run("read", privacy=True)
        await client.run("fault")
        batch = [JobRequest(prompt=str(n), files=(FILE.ref,), keep_for=60 + n) for n in range(20)]
        ids = await client.submit_many(batch)
        assert len([result async for result in client.results(ids)]) == 20
    await client.cancel(await client.submit("never"))
    endless = [key.decode() for key in await redis.keys("*") if await redis.ttl(key) == -1]
    assert set(endless) <= OF_THE_QUEUE


async def test_a_job_that_never_ends_is_the_only_owner(client: Client, redis: Redis) -> None:
    await client.store([FILE])
    (job_id,) = await client.submit_many([JobRequest(prompt="x", files=(FILE.ref,))])
    assert await redis.ttl(keys.payload(FILE.ref.place)) == -1
    await client.cancel(job_id)
    endless = [key.decode() for key in await redis.keys("*") if await redis.ttl(key) == -1]
    assert set(endless) <= OF_THE_QUEUE
    assert HOUR_S < await redis.ttl(keys.payload(FILE.ref.place)) <= DAY_S


async def test_a_daemon_says_it_for_all_hosts(redis_url: str, redis: Redis, tmp_path: Path) -> None:
    def settings(results: str) -> DaemonSettings:
        folder = {"state_dir": tmp_path / "state", "runtime_dir": tmp_path / "run"}
        return load(None, {**folder, "retention": {"results": results}}, {"HOME": str(tmp_path)}, 1000)

    with capture_logs() as said:
        await publish(redis_url, settings("2h"), Notifier({}, 1), asyncio.sleep)
        assert not said
        await publish(redis_url, settings("3h"), Notifier({}, 1), asyncio.sleep)
    assert said == [
        {"event": "settings.changed", "log_level": "warning", "before": {"results": "7200"}, "now": ANY}
    ]
    assert await answer(redis.hget(keys.SETTINGS, "results")) == b"10800"
