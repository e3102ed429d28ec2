"""Private jobs in Redis: gone once they are read, never half, and without taking anything from others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.integration.queue.dumping import dump
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import Held, echo, working

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock._wire.jobs import DELETED
from spacedock._wire.retention import HOUR_S
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError, ResultDeletedError
from spacedock.files import payload_of, set_apart
from spacedock.prepare import prepare
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, JobResult, Output
from spacedock.states import JobState
from spacedock_worker.queue.job_store import MAX_TRIES
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

MARKER = "tell-nobody"
SECRET = MARKER.encode()


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    path = tmp_path / f"{MARKER}.txt"
    path.write_text(f"{MARKER}, says the file")
    return path


@pytest.fixture
async def worker(redis_url: str, redis: Redis) -> AsyncIterator[None]:
    """A worker whose answers quote the prompt and have a file that does."""

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        files = set_apart([payload_of(f"{MARKER}.out", job.request.prompt.encode())], job.id)
        await Payloads(redis).upload(files)
        output = Output(text=job.request.prompt, files=tuple(file.ref for file in files))
        return (await echo(job, tell)).model_copy(update={"output": output})

    async with working(redis_url, handle):
        yield


@pytest.mark.usefixtures("worker")
async def test_a_result_is_deleted_once_it_is_read_and_its_files_are_at_hand(
    client: Client, redis: Redis, diary: Path
) -> None:
    result = await client.run(MARKER, files=[diary], privacy=True, wait=60)
    assert (result.output.text, result.privacy) == (MARKER, True)
    assert await client.fetch(result.output.files[0]) == SECRET
    assert await client.fetch(result.output.files[0].sha256) == SECRET
    assert SECRET not in await dump(redis)
    status = await client.status(result.id)
    assert (status.state, status.message) == (JobState.SUCCEEDED, DELETED)
    with pytest.raises(ResultDeletedError, match="deleted after it was read"):
        await client.result(result.id, wait=60)


@pytest.mark.usefixtures("worker")
async def test_a_result_that_is_kept_can_be_read_again_and_be_deleted_later(
    client: Client, redis: Redis
) -> None:
    result = await client.run(MARKER, privacy=True, keep=True, wait=60)
    assert (await client.result(result.id, keep=True)).output.text == MARKER
    assert await client.fetch(result.output.files[0]) == SECRET
    assert await client.forget(result.id) == 1
    assert await client.forget(result.id) == 0
    assert SECRET not in await dump(redis)


@pytest.mark.usefixtures("worker")
async def test_the_prompt_and_the_inputs_go_with_the_jobs_end_though_nobody_reads(
    client: Client, redis: Redis, diary: Path
) -> None:
    result = await client.run(MARKER, files=[diary], privacy=True, keep=True, wait=60)
    assert await redis.hget(keys.job(result.id), "request") is None
    assert b"says the file" not in await dump(redis)
    for key in (keys.job(result.id), keys.payload(result.output.files[0].place)):
        assert 0 < await redis.ttl(key) <= HOUR_S


@pytest.mark.usefixtures("worker")
async def test_the_same_file_of_another_job_stays(client: Client, redis: Redis, diary: Path) -> None:
    shared = payload_of(diary.name, f"{MARKER}, says the file".encode())
    await client.store([shared])
    await client.run(MARKER, files=[diary], privacy=True, wait=60)
    assert await client.fetch(shared.ref.sha256) == shared.data


async def test_a_private_job_cannot_share_a_file(client: Client, redis: Redis) -> None:
    shared = payload_of("a.txt", b"a")
    await client.store([shared])
    with pytest.raises(BadRequestError, match="would be shared"):
        await client.submit_many([JobRequest(prompt="p", files=(shared.ref,), privacy=True)])


@pytest.mark.usefixtures("worker")
async def test_results_are_deleted_one_by_one_as_the_next_is_asked_for(client: Client, redis: Redis) -> None:
    ids = [await client.submit(f"{MARKER} {n}", privacy=True) for n in range(3)]
    left: list[int] = []
    async for result in client.results(ids):
        assert await client.fetch(result.output.files[0])
        left.append(sum([await redis.hget(keys.job(i), "deleted") is None for i in ids]))
    assert left == [3, 2, 1]
    assert SECRET not in await dump(redis)


@pytest.mark.usefixtures("worker")
async def test_what_somebody_else_read_is_told_after_all_other_results(client: Client) -> None:
    ids = [await client.submit(f"{MARKER} {n}", privacy=True) for n in range(3)]
    await client.result(ids[1])
    results = client.results(ids)
    assert {(await anext(results)).id, (await anext(results)).id} == {ids[0], ids[2]}
    with pytest.raises(ResultDeletedError) as caught:
        await anext(results)
    assert caught.value.job_ids == (ids[1],)


@pytest.mark.usefixtures("worker")
async def test_two_readers_at_once_get_all_or_hear_that_it_is_gone(client: Client, redis_url: str) -> None:
    async def read(job_id: str) -> bytes | None:
        async with Client(redis_url) as mine:
            try:
                result = await mine.result(job_id, wait=60)
                return await mine.fetch(result.output.files[0])
            except ResultDeletedError:
                return None

    for _ in range(10):
        job_id = await client.submit(MARKER, privacy=True)
        found = await asyncio.gather(*(read(job_id) for _ in range(4)))
        assert SECRET in found
        assert set(found) <= {SECRET, None}


async def test_the_same_key_does_not_run_twice_after_the_deletion(
    client: Client, redis_url: str, redis: Redis, diary: Path
) -> None:
    held = Held()
    held.go.set()
    request, payloads = prepare(MARKER, [diary], None, {"privacy": True, "idempotency_key": "once"})
    async with working(redis_url, held):
        job_id = await client.submit_prepared(request, payloads)
        await client.result(job_id, wait=60)
        again, payloads = prepare(MARKER, [diary], None, {"privacy": True, "idempotency_key": "once"})
        assert await client.submit_prepared(again, payloads) == job_id
        with pytest.raises(ResultDeletedError):
            await client.result(job_id, wait=60)
    assert held.runs == [job_id]
    assert SECRET not in await dump(redis)


async def test_a_cancelled_private_job_leaves_nothing_to_see(
    client: Client, redis: Redis, diary: Path
) -> None:
    job_id = await client.submit(MARKER, files=[diary], privacy=True)
    await client.cancel(job_id)
    assert SECRET not in await dump(redis)
    assert (await client.result(job_id, wait=60)).state is JobState.CANCELLED
    assert (await client.status(job_id)).message == DELETED


async def test_a_dead_private_job_leaves_nothing_to_see(
    client: Client, redis_url: str, redis: Redis, diary: Path
) -> None:
    job_id = await client.submit(MARKER, files=[diary], privacy=True)
    await redis.hset(keys.job(job_id), "deaths", "worker " * MAX_TRIES)
    async with working(redis_url):
        result = await client.result(job_id, wait=60)
    assert result.error is not None
    assert (result.state, result.error.kind) == (JobState.DEAD, ErrorKind.WORKER_LOST)
    assert SECRET not in await dump(redis)


@pytest.mark.usefixtures("redis_url")
async def test_a_job_that_has_not_ended_cannot_be_deleted(client: Client) -> None:
    job_id = await client.submit(MARKER, privacy=True)
    assert await client.forget(job_id) == 0
    assert (await client.status(job_id)).state is JobState.QUEUED


async def test_an_outage_at_the_deletion_takes_no_result_away(own_server: Server) -> None:
    async with Client(own_server.url) as client:
        async with working(own_server.url):
            job_id = await client.submit(MARKER, privacy=True)
            results = client.results([job_id, await client.submit("another", privacy=True)])
            first = await anext(results)
        own_server.stop()
        looking = asyncio.create_task(anext(results))
        # The deletion of the first has failed by the time that the second is looked for.
        await asyncio.sleep(0)
        await asyncio.to_thread(own_server.start)
        second = await looking
        await results.aclose()
    async with connect(own_server.url) as redis:
        assert await redis.hget(keys.job(first.id), "deleted") == b"1"
        assert await redis.hget(keys.job(second.id), "deleted") is None


@pytest.mark.usefixtures("worker")
async def test_nothing_is_left_after_a_day(client: Client, redis: Redis) -> None:
    result = await client.run(MARKER, privacy=True, wait=60)
    assert await redis.persist(keys.job(result.id)), "what is left has an end"
    await redis.delete(keys.job(result.id))
    with pytest.raises(JobNotFoundError):
        await client.status(result.id)
