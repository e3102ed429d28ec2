"""Who waits for a job that he has just submitted hears of its end, whatever was announced in between."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import take, until, working

from spacedock._wire import keys, submission, waiting, wire
from spacedock._wire.waiting import WaitHub
from spacedock.client import Client
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore

PATIENCE_SECONDS = 60.0


@pytest.fixture(autouse=True)
def announced_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks for what was not announced: a waiter that misses the announcement hears nothing at all."""
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 3600.0)


async def submitted(redis: Redis) -> str:
    return (await submission.submit(redis, [JobRequest(prompt="x")], "me"))[0]


async def finished(redis: Redis) -> None:
    """The jobs that wait are done."""
    store = JobStore(redis, "worker")
    for claimed in await take(store):
        result = JobResult(id=claimed.id, state=JobState.SUCCEEDED)
        assert await store.finish(result, wire.encode(result))


async def first_of(hub: WaitHub, job_id: str, heard: int | None) -> JobResult:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await anext(hub.results([job_id], heard))


async def listening(redis: Redis, hub: WaitHub) -> None:
    """The hub has heard of an end."""
    job_id = await submitted(redis)
    await finished(redis)
    await first_of(hub, job_id, None)


@pytest.mark.parametrize("others", [0, 2, 20], ids=["none", "some", "more-than-are-remembered"])
async def test_an_end_between_submission_and_waiting_is_not_missed(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    monkeypatch.setattr(waiting, "_REMEMBERED", 5)
    hub = WaitHub(redis)
    try:
        await listening(redis, hub)
        heard = hub.heard
        assert heard is not None
        job_id = await submitted(redis)
        await finished(redis)
        for number in range(others):
            await redis.publish(keys.DONE, f"another-{number}")

        async def all_heard() -> bool:
            return (hub.heard or 0) > heard + others

        await until(all_heard)
        assert (await first_of(hub, job_id, heard)).id == job_id
    finally:
        await hub.aclose()


async def test_an_end_while_nobody_listened_is_not_missed(redis: Redis) -> None:
    hub = WaitHub(redis)
    try:
        await listening(redis, hub)
        heard = hub.heard
        await redis.client_kill_filter(_type="pubsub")
        job_id = await submitted(redis)
        await finished(redis)
        assert (await first_of(hub, job_id, heard)).id == job_id
    finally:
        await hub.aclose()


async def test_a_job_of_a_known_key_that_has_ended_is_answered_at_once(
    client: Client, redis_url: str
) -> None:
    async with working(redis_url):
        results = [await client.run("x", idempotency_key="one", wait=PATIENCE_SECONDS) for _ in range(3)]
    assert len({result.id for result in results}) == 1
