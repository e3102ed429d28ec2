"""A server that is full takes no new work, and loses none: what runs ends, and what ended can be freed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import Held, succeeded, working

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock._wire.memory import FILES_SHARE
from spacedock._wire.rpc import Call, OnProgress, Reply
from spacedock.client import Client
from spacedock.errors import QueueFullError
from spacedock.files import payload_of, set_apart
from spacedock.request import JobRequest
from spacedock.result import JobResult, Output
from spacedock.states import JobState
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.cleanup.report import Report
from spacedock_worker.jobs.handler import PAST_LIMIT, store_files
from spacedock_worker.queue.patience import through_outages
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.sweep import sweep_files, sweep_records
from spacedockd.valkey import server_binary

MB = 2**20
LIMIT = 48 * MB


@pytest.fixture(params=["valkey", "redis"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server with little memory."""
    found = server_binary() if request.param == "valkey" else shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server on this machine")
    options = ("--maxmemory", str(LIMIT), "--maxmemory-policy", "noeviction", "--appendonly", "no")
    server = Server(found, tmp_path, *options)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def client(small: Server) -> AsyncIterator[Client]:
    async with Client(small.url) as client:
        yield client


@pytest.fixture
async def redis(small: Server) -> AsyncIterator[Redis]:
    async with connect(small.url) as redis:
        yield redis


def some_file(number: int, size: int = 2 * MB):
    return payload_of(f"{number}.bin", number.to_bytes(4, "big") * (size // 4))


async def fill(redis: Redis, upto: float = 1.0) -> None:
    """Take the rest of the memory, as somebody else's keys, or results, may."""
    for size in (MB // 4, 4096, 64):
        with suppress(OutOfMemoryError):
            for number in range(1000):
                await redis.set(f"rubbish:{size}:{number}", b"x" * size)
                if upto < 1 and (await redis.info("memory"))["used_memory"] > LIMIT * upto:
                    return


async def submit_until_full(client: Client) -> tuple[list[str], QueueFullError]:
    ids: list[str] = []
    while True:
        file = some_file(len(ids))
        try:
            ids.append(await client.submit_prepared(JobRequest(prompt="x", files=(file.ref,)), [file]))
        except QueueFullError as error:
            return ids, error


async def painting(redis: Redis, began: asyncio.Event | None = None, go: asyncio.Event | None = None):
    """A handler that answers with 2 MB, like a picture."""

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        if began is not None and go is not None:
            began.set()
            await go.wait()
        files = (payload_of("picture.png", job.id.encode() * (2 * MB // 32)),)
        await store_files(redis, Payloads(redis), AppAnswer(endpoint=None, text=None, data=None, files=files))
        return succeeded(job).model_copy(update={"output": Output(files=tuple(file.ref for file in files))})

    return handle


async def test_a_submission_is_refused_before_the_server_is_full(client: Client, redis: Redis) -> None:
    ids, error = await submit_until_full(client)
    assert 10 < len(ids) < LIMIT * FILES_SHARE / (2 * MB)
    assert await redis.zcard(keys.QUEUE) == len(ids)
    assert error.limit == int(LIMIT * FILES_SHARE)
    assert error.unfinished > len(ids) * 2 * MB
    assert error.ended == 0
    said = str(error)
    assert re.search(r"memory is full \(\d+ MB of 34 MB for jobs\): jobs that wait or run hold \d\d MB", said)
    assert "spacedock cleanup" in said
    assert "queue_memory" in said


async def test_what_was_taken_is_run_to_its_end_in_what_is_left(
    client: Client, redis: Redis, small: Server
) -> None:
    ids, _ = await submit_until_full(client)
    async with working(small.url, await painting(redis), max_jobs=1), asyncio.timeout(60):
        for _ in range(4):
            result = await client.result(ids.pop(0))
            assert result.succeeded
            assert len(await client.fetch(result.output.files[0])) == 2 * MB
        with pytest.raises(QueueFullError) as full:
            await client.submit("one more")
        assert full.value.ended > 4 * 2 * MB
        while ids:
            # Where results have taken the rest, the next jobs wait until somebody makes room.
            for key in [key async for key in redis.scan_iter(keys.payload("*"))]:
                if await redis.ttl(key) >= 0:
                    await redis.delete(key)
            assert (await client.result(ids.pop(0))).succeeded
        assert await client.run("there is room again")


async def test_a_running_jobs_files_are_stored_where_nothing_else_is(
    client: Client, redis: Redis, small: Server
) -> None:
    began, go = asyncio.Event(), asyncio.Event()
    async with working(small.url, await painting(redis, began, go)), asyncio.timeout(60):
        job_id = await client.submit("picture")
        await began.wait()
        await fill(redis)
        with pytest.raises(OutOfMemoryError):
            await redis.set("other", b"x" * MB)
        go.set()
        result = await client.result(job_id)
    assert result.succeeded
    assert len(await client.fetch(result.output.files[0])) == 2 * MB


async def test_results_that_find_no_room_at_all_wait_for_some(
    client: Client, redis: Redis, small: Server
) -> None:
    running, go = asyncio.Semaphore(0), asyncio.Event()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        running.release()
        await go.wait()
        files = (payload_of("picture.png", job.id.encode() * (2 * MB // 32)),)
        answer = AppAnswer(endpoint=None, text=None, data=None, files=files)
        await through_outages(lambda: store_files(redis, Payloads(redis), answer))
        return succeeded(job).model_copy(update={"output": Output(files=tuple(file.ref for file in files))})

    async with working(small.url, handle, max_jobs=12), asyncio.timeout(60):
        ids = await client.submit_many(str(number) for number in range(12))
        for _ in ids:
            await running.acquire()
        await fill(redis)
        go.set()
        states = {(await client.status(job_id)).state for job_id in ids}
        assert states <= {JobState.RUNNING, JobState.SUCCEEDED}
        for key in [key async for key in redis.scan_iter("rubbish:*", count=1000)]:
            await redis.delete(key)
        results = [result async for result in client.results(ids)]
    assert all(result.succeeded for result in results)
    assert {len(await client.fetch(result.output.files[0])) for result in results} == {2 * MB}


async def test_files_of_results_have_a_limit_too(redis: Redis) -> None:
    await fill(redis)

    async def store_many() -> None:
        for number in range(100):
            await store_files(
                redis,
                Payloads(redis),
                AppAnswer(endpoint=None, text=None, data=None, files=(some_file(number),)),
            )

    with pytest.raises(OutOfMemoryError):
        await store_many()
    assert (await redis.info("memory"))["used_memory"] < LIMIT * PAST_LIMIT + 8 * MB


async def test_on_a_full_server_jobs_keep_their_leases_and_can_be_cancelled(
    client: Client, redis: Redis, small: Server
) -> None:
    held = Held()
    async with working(small.url, held, max_jobs=2) as worker, asyncio.timeout(60):
        running, ending = await client.submit_many(["runs", "ends"])
        await held.began.get()
        await held.began.get()
        waiting = await client.submit("waits")
        await fill(redis)
        for lease in (await worker._store.renew([running, ending])).values():
            assert lease == 1
        assert await client.cancel(waiting) is JobState.CANCELLED
        await client.cancel(running)
        assert (await client.result(running)).state is JobState.CANCELLED
        held.go.set()
        assert (await client.result(ending)).succeeded
        assert await client.workers() == 1


async def test_a_full_server_can_be_cleaned(client: Client, redis: Redis, small: Server) -> None:
    calls = []

    async def sweep(call: Call, its: Redis, tell: OnProgress) -> Reply:
        calls.append(call.op)
        swept = await sweep_records(its, 0, dry_run=False)
        report = Report(dry_run=False)
        report.add("results", 0, count=swept.count)
        report.add("files", 0, count=(await sweep_files(its, 0, dry_run=True)).count)
        return Reply(data=report.told())

    async with working(small.url, controls=sweep), asyncio.timeout(60):
        kept = await client.run("kept", privacy=True, keep=True)
        assert (await client.run("ended")).succeeded
        await fill(redis)
        report = await client.cleanup(older_than=0)
        assert report["kinds"]["results"]["count"] == 2
        assert await redis.exists(keys.SCRUB)
        assert await client.forget(kept.id) == 0


async def test_a_job_that_is_there_is_known_also_where_the_server_is_full(
    client: Client, redis: Redis
) -> None:
    request = JobRequest(prompt="once", idempotency_key="key")
    (first,) = await client.submit_many([request])
    await fill(redis)
    assert await client.submit_many([request]) == [first]
    with pytest.raises(QueueFullError) as full:
        await client.submit_many([request, JobRequest(prompt="new")])
    assert full.value.submitted == ()
    assert await redis.zcard(keys.QUEUE) == 1


async def test_it_is_said_which_of_many_jobs_came_through(client: Client, redis: Redis) -> None:
    prompts = [JobRequest(prompt=f"{number}" + "x" * 32_000) for number in range(2000)]
    with pytest.raises(QueueFullError, match=r"\d+ jobs were submitted before, and go on") as full:
        await client.submit_many(prompts)
    assert 250 <= len(full.value.submitted) < 2000
    assert await redis.zcard(keys.QUEUE) == len(full.value.submitted)


async def test_a_user_who_may_not_ask_is_refused_at_the_servers_own_limit(
    small: Server, redis: Redis
) -> None:
    await fill(redis)
    async with Client(small.user("submit", "+@all", "~*", "&*", "-info")) as client:
        with pytest.raises(QueueFullError, match="the queue's memory is full: "):
            await client.submit("prompt")
        with pytest.raises(QueueFullError):
            await client.store([some_file(1)])
    assert await redis.zcard(keys.QUEUE) == 0


async def test_a_key_that_is_no_file_does_not_hide_what_holds_the_memory(
    client: Client, redis: Redis
) -> None:
    await redis.lpush(keys.payload("rubbish"), "1")
    await redis.set(keys.job("rubbish"), "1")
    await fill(redis)
    with pytest.raises(QueueFullError):
        await client.submit("prompt")


async def test_a_batch_writes_what_it_could_hand_over_and_goes_on_later(
    redis: Redis, small: Server, tmp_path: Path
) -> None:
    files = tmp_path / "files"
    files.mkdir()
    for number in range(30):
        (files / f"{number:02d}.bin").write_bytes(some_file(number).data)
    lines = [json.dumps({"prompt": "x", "files": [str(path)]}) for path in sorted(files.iterdir())]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))

    async def batch() -> tuple[int | None, str, list[str]]:
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / "spacedock",
            *("batch", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"), "--redis", small.url),
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, err = await process.communicate()
        return process.returncode, err.decode(), (tmp_path / "out.jsonl").read_text().splitlines()

    async with working(small.url), asyncio.timeout(240):
        code, said, written = await batch()
        assert code == 2
        assert 4 < len(written) < 30
        assert f"{len(written)} of 30 lines have their results; the same command goes on" in said
        assert "the queue's memory is full" in said
        for _ in range(6):
            for key in [key async for key in redis.scan_iter(keys.payload("*"))]:
                await redis.delete(key)
            code, said, written = await batch()
            if code == 0:
                break
    assert (code, len(written), len(set(written))) == (0, 30, 30)


async def test_a_private_file_counts_like_any_other(client: Client, redis: Redis) -> None:
    await fill(redis, FILES_SHARE)
    (file,) = set_apart([some_file(1)], "vault")
    with pytest.raises(QueueFullError):
        await Payloads(redis).upload([file])
    assert not await redis.exists(keys.payload(file.ref.place))
