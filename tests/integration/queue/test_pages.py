"""Results are read in pages of a bounded size, however many jobs end at once."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import succeeded, working

from spacedock._wire import jobs as records
from spacedock._wire import keys
from spacedock.client import Client
from spacedock.errors import JobNotFoundError
from spacedock.result import JobResult, Output
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

MB = 2**20


async def verbose(job: TakenJob, tell: Emit) -> JobResult:
    """Answers with as many megabytes as the prompt says."""
    output = Output(text="x" * int(float(job.request.prompt) * MB))
    return succeeded(job).model_copy(update={"output": output})


async def ended(client: Client, url: str, prompts: list[str]) -> list[str]:
    """Jobs whose results are all there before anybody asks."""
    ids = await client.submit_many(prompts)
    async with working(url, verbose), asyncio.timeout(60):
        for job_id in ids:
            await client.result(job_id)
    return ids


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The count and the bytes of each page of results that is read."""
    read, seen = records.results, []

    async def recorder(redis: Redis, job_ids: list[str]) -> list[JobResult]:
        found = await read(redis, job_ids)
        seen.append((len(found), sum(len(result.output.text or "") for result in found)))
        return found

    monkeypatch.setattr(records, "results", recorder)
    return seen


async def test_a_page_has_a_bound_of_bytes(
    client: Client, redis_url: str, pages: list[tuple[int, int]]
) -> None:
    ids = await ended(client, redis_url, ["1"] * 30 + ["12"] + ["1"])
    pages.clear()
    async with Client(redis_url) as other, asyncio.timeout(60):
        assert [result.id async for result in other.results(ids)] == ids
    assert [count for count, _ in pages] == [7, 7, 7, 7, 2, 1, 1]
    assert sorted(size for _, size in pages)[-2:] == [7 * MB, 12 * MB]


async def test_a_page_has_a_bound_of_results(
    client: Client, redis_url: str, pages: list[tuple[int, int]]
) -> None:
    ids = await ended(client, redis_url, ["0"] * 250)
    pages.clear()
    async with Client(redis_url) as other, asyncio.timeout(60):
        assert [result.id async for result in other.results(ids)] == ids
    assert [count for count, _ in pages] == [100, 100, 50]


async def test_the_next_page_is_read_when_it_is_asked_for(
    client: Client, redis_url: str, pages: list[tuple[int, int]]
) -> None:
    ids = await ended(client, redis_url, ["3"] * 6)
    pages.clear()
    async with Client(redis_url) as other, asyncio.timeout(60):
        results = other.results(ids)
        await anext(results)
        await asyncio.sleep(0)
        assert len(pages) == 1
        assert [result.id async for result in results] == ids[1:]
    assert len(pages) == 3


async def test_one_result_costs_one_round_trip(client: Client, redis_url: str, redis: Redis) -> None:
    (job_id,) = await ended(client, redis_url, ["0"])
    await redis.config_resetstat()
    assert (await client.result(job_id, wait=60)).succeeded
    calls = await redis.info("commandstats")
    assert calls["cmdstat_hmget"]["calls"] == 1
    assert "cmdstat_hstrlen" not in calls


async def test_a_job_that_was_deleted_between_is_told_as_deleted(client: Client, redis: Redis) -> None:
    await redis.hset(keys.job("gone"), mapping={"state": "succeeded", "submitted": "1", "deleted": "1"})
    assert await records.results(redis, ["gone"]) == []
    assert await records.ended(redis, ["gone"]) == ([], ["gone"])
    with pytest.raises(JobNotFoundError):
        await records.ended(redis, ["gone", "never"])
