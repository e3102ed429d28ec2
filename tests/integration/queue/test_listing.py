"""Jobs are found without their ids, cancelled and retried by the batch, as clients and the command do it."""

from __future__ import annotations

import asyncio
import json

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, succeeded, take, working

from spacedock._wire import keys
from spacedock.cli.commands.jobs import _cancel, _wait, list_jobs, status
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

BATCH = "0123456789abcdef"


async def batch_of(client: Client, count: int, **fields: object) -> list[str]:
    """The ids of a new batch."""
    requests = [JobRequest(prompt=str(n), batch_id=BATCH, **fields) for n in range(count)]  # type: ignore[arg-type]
    return await client.submit_many(requests)


async def odd_ones_fail(job: TakenJob, tell: Emit) -> JobResult:
    """A handler that fails jobs with an odd number."""
    result = succeeded(job)
    odd = job.request.prompt in ("1", "3", "5")
    return result.model_copy(update={"state": JobState.FAILED}) if odd else result


async def test_the_newest_jobs_are_listed_first_and_can_be_chosen(client: Client, redis: Redis) -> None:
    single = await client.submit("first", space="x")
    ids = await batch_of(client, 3, space="y")
    (running,) = await take(JobStore(redis, "worker"), 1)
    *newest, oldest = [job.id for job in await client.jobs()]
    assert (set(newest), oldest) == (set(ids), single)
    assert {job.id for job in await client.jobs(limit=2)} < set(ids)
    assert [job.id for job in await client.jobs(space="x")] == [single]
    assert {job.id for job in await client.jobs(batch="0123")} == set(ids)
    assert [job.id for job in await client.jobs(state=JobState.RUNNING)] == [running.id]
    found = {job.id: job for job in await client.jobs()}
    assert (found[single].batch, found[single].space) == (None, "x")
    assert found[single].client == client._name
    assert (found[ids[0]].batch, found[ids[0]].space) == (BATCH, "y")


async def test_a_private_job_is_listed_without_its_space_and_rubbish_is_not_listed(
    client: Client, redis: Redis
) -> None:
    private = await client.submit("secret", space="x", privacy=True)
    await redis.set(keys.job("odd"), "rubbish")
    await redis.hset(keys.job("half"), mapping={"state": "unheard of"})  # type: ignore[misc]
    assert [(job.id, job.space) for job in await client.jobs()] == [(private, "")]


async def test_a_batch_is_waited_for_and_its_failures_run_again(client: Client, redis_url: str) -> None:
    ids = await batch_of(client, 6)
    async with working(redis_url, odd_ones_fail):
        assert not await _wait(redis_url, [BATCH[:6]])
        again = await client.retry(BATCH)
        assert len(again) == 3
        assert not set(again) & set(ids)
        async with asyncio.timeout(60):
            prompts = {result.output.text async for result in client.results(again)}
    assert prompts == {"1", "3", "5"}
    assert (await client.batch_status(BATCH)).counts[JobState.FAILED] == 6
    with pytest.raises(BadRequestError, match="its state is 'succeeded'"):
        await client.retry(ids[0])
    with pytest.raises(JobNotFoundError):
        await client.retry("unknown")


async def test_what_was_retried_is_not_retried_twice(client: Client, redis_url: str) -> None:
    ids = await batch_of(client, 2)
    async with working(redis_url, odd_ones_fail):
        await _wait(redis_url, ids)
        (second,) = await client.retry(BATCH)
        await _wait(redis_url, [second])
        (third,) = await client.retry(ids[1])
        assert len({*ids, second, third}) == 4
    (running,) = await take(JobStore(client._redis, "worker"), 1)
    assert running.id == third
    assert await client.retry(BATCH) == []
    with pytest.raises(BadRequestError, match="its state is 'running'"):
        await client.retry(ids[1])


async def test_all_that_waits_and_runs_of_a_batch_is_cancelled(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held, max_jobs=1):
        ids = await batch_of(client, 4)
        await held.began.get()
        states = await _cancel(redis_url, BATCH[:8])
        assert list(states) == ids
        async with asyncio.timeout(60):
            ends = {result.state async for result in client.results(ids)}
    assert ends == {JobState.CANCELLED}
    assert len(held.runs) == 1
    assert (await client.batch_status(BATCH)).counts == dict.fromkeys(JobState, 0) | {JobState.CANCELLED: 4}


async def test_a_batch_is_called_after_a_file_whose_name_is_no_text(client: Client) -> None:
    await client.submit_many(["x"], label="b\udcff.txt")
    (batch,) = await client.batches()
    assert batch.label == "b?.txt"


async def test_a_batch_is_known_by_its_counters_to_other_clients(client: Client, redis_url: str) -> None:
    requests = [JobRequest(prompt=str(n), priority="low") for n in range(3)]  # type: ignore[arg-type]
    ids = await client.submit_many(requests, label="reviews.csv")
    await client.submit("single")
    await take(JobStore(client._redis, "worker"), 2)
    async with Client(redis_url, name="another") as other:
        (batch,) = await other.batches()
        assert (batch.label, batch.priority, batch.left) == ("reviews.csv", "low", 3)
        assert batch.client == client._name
        assert (batch.counts[JobState.QUEUED], batch.counts[JobState.RUNNING]) == (2, 1)
        assert await other.job_ids(batch.id) == ids
        assert await other.batch_status(batch.id[:4]) == batch
        with pytest.raises(JobNotFoundError):
            await other.batch_status(batch.id[:3])


async def test_a_private_batch_is_waited_for_also_when_it_was_read_and_deleted(
    client: Client, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = await batch_of(client, 2, privacy=True)
    async with working(redis_url):
        async with asyncio.timeout(60):
            assert len([result async for result in client.results(ids)]) == 2
        assert await _wait(redis_url, [BATCH])
    assert sorted(capsys.readouterr().out.split()[-4:]) == sorted([*ids, "succeeded", "succeeded"])


async def test_degraded_answers_are_counted_among_the_succeeded(client: Client, redis_url: str) -> None:
    async def degraded(job: TakenJob, tell: Emit) -> JobResult:
        return succeeded(job).model_copy(update={"degraded": job.request.prompt == "1"})

    await batch_of(client, 3)
    async with working(redis_url, degraded):
        assert await _wait(redis_url, [BATCH])
    batch = await client.batch_status(BATCH)
    assert (batch.counts[JobState.SUCCEEDED], batch.degraded, batch.left) == (3, 1, 0)


async def test_a_batch_whose_first_jobs_are_gone_lists_the_others(client: Client, redis: Redis) -> None:
    gone, *_ = await batch_of(client, 2)
    await redis.delete(keys.job(gone))
    await batch_of(client, 1)
    assert await redis.llen(keys.BATCH_JOBS + BATCH) == 2  # type: ignore[misc]
    assert gone not in await client.job_ids(BATCH)


async def test_rubbish_in_a_batchs_place_stops_no_job(client: Client, redis: Redis, redis_url: str) -> None:
    async with working(redis_url):
        for rubbish in ("job", "list", "counter"):
            if rubbish == "counter":
                await redis.hset(keys.BATCH + BATCH, "queued", "many")  # type: ignore[misc]
            elif rubbish == "list":
                await redis.set(keys.BATCH_JOBS + BATCH, "rubbish")
            else:
                await redis.set(keys.BATCH + BATCH, "rubbish")
            ids = await batch_of(client, 2)
            async with asyncio.timeout(60):
                assert [result.succeeded async for result in client.results(ids)] == [True, True]
    await client.batches()


async def test_jobs_are_chosen_by_their_labels(client: Client) -> None:
    ids = [await client.submit("x", labels={"team": team, "row": "1"}) for team in ("red", "blue")]
    assert [job.id for job in await client.jobs(labels={"team": "blue"})] == ids[1:]
    assert [job.labels["team"] for job in await client.jobs(labels={"row": "1"})] == ["blue", "red"]
    await client.submit("secret", labels={"team": "red"}, privacy=True)
    assert len(await client.jobs(labels={"team": "red"})) == 1


async def test_a_private_job_cannot_be_retried_as_its_prompt_is_gone(client: Client, redis_url: str) -> None:
    async def fails(job: TakenJob, tell: Emit) -> JobResult:
        return succeeded(job).model_copy(update={"state": JobState.FAILED})

    async with working(redis_url, fails):
        result = await client.run("secret", privacy=True, keep=True, wait=60)
    with pytest.raises(BadRequestError, match="was private"):
        await client.retry(result.id)


def test_the_command_lists_jobs(
    shared_server: object, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def submit() -> str:
        async with Client(redis_url) as client:
            return await client.submit("prompt", space="x")

    job_id = asyncio.run(submit())
    list_jobs(redis=redis_url)
    titles, _, row = capsys.readouterr().out.splitlines()
    assert titles.split()[:3] == ["job", "state", "submitted"]
    assert row.split()[:2] == [job_id, "queued"]
    list_jobs(quiet=True, redis=redis_url)
    assert capsys.readouterr().out == f"{job_id}\n"
    list_jobs(json=True, redis=redis_url)
    assert json.loads(capsys.readouterr().out)[0]["space"] == "x"
    list_jobs(state=JobState.DEAD, redis=redis_url)
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "there is no such job at this queue\n")


def test_an_empty_queue_has_no_job(
    shared_server: object, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    list_jobs(redis=redis_url)
    assert capsys.readouterr().err == "there is no job at this queue\n"


def test_the_command_lists_batches_and_says_how_one_stands(
    shared_server: object, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def submit() -> None:
        async with Client(redis_url, name="me@here") as client:
            await client.submit_many([JobRequest(prompt="x", batch_id=BATCH)] * 3, label="reviews.csv")

    asyncio.run(submit())
    list_jobs(batches=True, redis=redis_url)
    titles, _, row = capsys.readouterr().out.splitlines()
    assert titles.split() == ["batch", "submitted", "by", "priority", "label", "jobs"]
    assert " ".join(row.split()) == f"{BATCH} just now me@here normal reviews.csv 3 jobs: 3 queued"
    status(BATCH[:6], redis=redis_url)
    assert capsys.readouterr().out == f"batch {BATCH} (reviews.csv): 3 jobs: 3 queued\n"
    status(BATCH, json=True, redis=redis_url)
    assert json.loads(capsys.readouterr().out)["counts"]["queued"] == 3
    with pytest.raises(BadRequestError, match="--batches goes with"):
        list_jobs(batches=True, space="x", redis=redis_url)


async def test_a_batch_is_told_from_those_that_begin_like_it(client: Client) -> None:
    ids = await client.submit_many(
        JobRequest(prompt="x", batch_id=name) for name in ("night-1", "night-10", "my batch")
    )
    assert await client.job_ids("night-1") == ids[:1]
    assert await client.job_ids("my batch") == ids[2:]
    with pytest.raises(BadRequestError, match=r"'night' is the beginning of 2 batches \(night-1, night-10\)"):
        await client.job_ids("night")
