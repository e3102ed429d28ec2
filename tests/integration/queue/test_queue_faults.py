"""Faults and rubbish: each job ends with one result, the worker lives on, the queue is empty afterwards."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, echo, lapse, succeeded, take, until, worker_process, working

from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock.client import Client
from spacedock.request import Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.queue.job_store import JobStore
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker


async def kind_of_failure(client: Client, job_id: str) -> ErrorKind:
    """Wait for the job's failure and say which it is."""
    result = await client.result(job_id, wait=60)
    assert result.state is JobState.FAILED
    assert result.error is not None
    return result.error.kind


async def test_a_handler_that_raises_fails_its_job_and_nothing_else(client: Client, redis_url: str) -> None:
    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        if job.request.prompt == "raise":
            raise ZeroDivisionError
        return await echo(job, tell)

    async with working(redis_url, handle):
        job_id = await client.submit("raise")
        assert await kind_of_failure(client, job_id) is ErrorKind.INTERNAL
        assert (await client.run("next", wait=60)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("data", [object(), "\ud800", b"\xff"], ids=["object", "surrogate", "bytes"])
async def test_an_answer_that_is_no_json_fails_its_job(client: Client, redis_url: str, data: object) -> None:
    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        return succeeded(job).model_copy(update={"output": Output(data=data)})

    async with working(redis_url, handle):
        job_id = await client.submit("prompt")
        assert await kind_of_failure(client, job_id) is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize(
    "request_field",
    ["", "no json", '{"v": 99, "prompt": "x"}', '{"v": 1, "prompt": 5}', b"\xff\xfe", '{"v": 1, "files": 5}'],
    ids=["empty", "no-json", "unknown-version", "wrong-type", "no-text", "wrong-files"],
)
async def test_a_request_that_cannot_be_read_is_its_jobs_failure(
    client: Client, redis_url: str, redis: Redis, request_field: str | bytes
) -> None:
    job_id = await client.submit("prompt")
    await redis.hset(keys.job(job_id), "request", request_field)
    async with working(redis_url):
        assert await kind_of_failure(client, job_id) is ErrorKind.BAD_INPUT
    assert await redis.zcard(keys.QUEUE) == 0


@pytest.mark.parametrize(
    "definition",
    [
        None,
        "no json",
        "[]",
        json.dumps({"t": None, "f": keys.FUNCTION, "a": [], "k": {"ctx": 1}, "et": 0}),
        json.dumps({"t": None, "f": keys.FUNCTION, "a": 5, "k": {}, "et": 0}),
        json.dumps({"t": None, "f": keys.FUNCTION, "a": [], "k": [1], "et": 0}),
        json.dumps({"t": None, "f": "\ud800", "a": [], "k": {}, "et": 0}),
    ],
    ids=[
        "missing",
        "no-json",
        "a-list",
        "wrong-argument",
        "wrong-arguments",
        "wrong-names",
        "half-surrogate",
    ],
)
async def test_a_definition_that_arq_cannot_read_is_its_jobs_failure(
    client: Client, redis_url: str, redis: Redis, definition: str | None
) -> None:
    job_id = await client.submit("prompt")
    await redis.delete(keys.arq_job(job_id))
    if definition is not None:
        await redis.set(keys.arq_job(job_id), definition)
    async with working(redis_url):
        assert await kind_of_failure(client, job_id) is ErrorKind.INTERNAL
    assert await redis.zcard(keys.QUEUE) == 0


async def test_arqs_books_in_a_wrong_type_stop_no_other_job(
    client: Client, redis_url: str, redis: Redis
) -> None:
    undefined, miscounted = await client.submit("undefined"), await client.submit("miscounted")
    await redis.delete(keys.arq_job(undefined))
    for key in (keys.arq_job(undefined), keys.arq_retry(miscounted)):
        await answer(redis.lpush(key, "rubbish"))
    async with working(redis_url):
        assert await kind_of_failure(client, undefined) is ErrorKind.INTERNAL
        assert (await client.result(miscounted, wait=60)).state is JobState.SUCCEEDED
    assert await redis.zcard(keys.QUEUE) == 0


async def test_a_job_whose_time_is_up_ends_once_as_a_timeout(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held) as worker:
        worker.job_timeout_s = 0.2
        job_id = await client.submit("prompt", labels={"line": "7"})
        assert await kind_of_failure(client, job_id) is ErrorKind.TIMEOUT
        assert (await client.result(job_id)).labels == {"line": "7"}
    assert held.runs == [job_id]


async def test_a_result_that_waits_for_redis_when_its_time_is_up_is_written_all_the_same(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, away = JobStore.finish, [True]

    async def blinking(self: JobStore, result: JobResult, raw: bytes, spent: float) -> bool:
        if away[0]:
            raise ConnectionError("Redis is away")
        return await finish(self, result, raw, spent)

    monkeypatch.setattr(JobStore, "finish", blinking)
    async with working(redis_url) as worker:
        worker.job_timeout_s = 0.3
        job_id = await client.submit("prompt")
        asyncio.get_running_loop().call_later(0.6, away.__setitem__, 0, False)
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("said", ["\ud800", "\udc00\ud800 x", "\ud83d\ude00"])
async def test_half_surrogates_in_what_a_job_tells_do_not_end_it(
    client: Client, redis_url: str, said: str
) -> None:
    runs: list[str] = []

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        runs.append(job.id)
        tell(Stage.CALL, said, said, said)
        failure = AttemptError(kind=ErrorKind.APP_ERROR, message=said)
        attempt = Attempt(tier=Tier.HEAVY, name=said, stage=Stage.CALL, error=failure)
        return succeeded(job).model_copy(update={"attempts": (attempt,), "labels": {"a": said}})

    async with working(redis_url, handle):
        result = await client.run("prompt", wait=60)
    assert (result.state, result.output.text) == (JobState.SUCCEEDED, "prompt")
    assert result.attempts[0].error is not None
    result.model_dump_json()
    assert len(runs) == 1


async def test_half_surrogates_in_a_request_end_in_one_result(
    client: Client, redis_url: str, redis: Redis
) -> None:
    job_id = await client.submit("prompt")
    request = {"v": 1, "prompt": "x", "inputs": {"b": "\ud800"}}
    await redis.hset(keys.job(job_id), "request", json.dumps(request))

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        return succeeded(job).model_copy(update={"output": Output(data=job.request.inputs)})

    async with working(redis_url, handle):
        assert await kind_of_failure(client, job_id) is ErrorKind.BAD_OUTPUT


@pytest.mark.parametrize("loop", ["_take", "_renew", "_listen"])
async def test_a_fault_in_one_turn_of_a_loop_does_not_end_the_worker(
    client: Client, redis_url: str, loop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, faults = getattr(QueueWorker, loop), asyncio.Queue[None]()

    async def at_first_wrong(self: QueueWorker) -> None:
        if faults.empty():
            faults.put_nowait(None)
            raise ZeroDivisionError
        await turn(self)

    monkeypatch.setattr(QueueWorker, loop, at_first_wrong)
    async with working(redis_url):
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED
        await faults.get()


async def test_arguments_in_a_definition_are_ignored(client: Client, redis_url: str, redis: Redis) -> None:
    job_id = await client.submit("prompt")
    odd = {"t": None, "f": keys.FUNCTION, "a": [1, 2], "k": {"x": 3}, "et": 0}
    await redis.set(keys.arq_job(job_id), json.dumps(odd))
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


async def test_what_is_no_job_is_removed_from_the_queue(client: Client, redis_url: str, redis: Redis) -> None:
    await redis.zadd(keys.QUEUE, {"no-hash": 1, b"\xff\xfe": 2, "wrong-type": 3, "ended": 4, "half": 5})
    await redis.set(keys.job("wrong-type"), "a string")
    await redis.hset(keys.job("ended"), mapping={"state": "succeeded"})
    await redis.hset(keys.job("half"), mapping={"request": "{}"})
    async with working(redis_url):
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED
    assert await redis.zcard(keys.QUEUE) == 0
    assert [key async for key in redis.scan_iter("arq:*")] == []


async def test_rubbish_on_the_channels_is_overheard(client: Client, redis_url: str, redis: Redis) -> None:
    async with working(redis_url):
        await client.run("both sides are subscribed")
        for channel in (keys.WAKE, keys.CANCEL, keys.DONE):
            await redis.publish(channel, b"\xff\xfe")
        assert (await client.run("prompt", wait=60)).state is JobState.SUCCEEDED


async def test_a_job_that_its_worker_dropped_is_still_in_the_queue(
    client: Client, redis_url: str, redis: Redis
) -> None:
    job_id = await client.submit("prompt")
    await take(JobStore(redis, "gone"), 1)
    await lapse(redis, job_id)
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


@pytest.mark.parametrize("shared_server", ["valkey"], indirect=True)
async def test_no_prompt_stands_in_the_log(
    client: Client, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with worker_process(redis_url, log):
        await client.run("xyzzy is what I said", wait=60)
        job_id = await client.submit("xyzzy again")
        await redis.hset(keys.job(job_id), "request", '{"v": 1, "prompt": "xyzzy", "timeout": "xyzzy"}')
        await client.result(job_id, wait=60)

        async def logged() -> bool:
            return log.read_text().count("job.ended") >= 2

        await until(logged)
    assert "xyzzy" not in log.read_text()
