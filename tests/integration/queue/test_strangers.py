"""Whoever writes rubbish to Redis costs the worker little, and the jobs of others nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, echo, succeeded, until, working

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock._wire.retention import MAX_KEEP_S
from spacedock._wire.rpc import Call, OnProgress, Reply
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError, WireError
from spacedock.files import payload_of
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, JobResult, Stage
from spacedock.states import JobState
from spacedock_worker.queue import worker as queue_worker
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

HUGE = 64 * 2**20
DENSE = b"[" + b"[]," * (wire.MAX_NESTS - 3) + b"1," * 400_000 + b"1]"


async def kind_of_failure(client: Client, job_id: str) -> ErrorKind:
    """Wait for the job's failure and say which it is."""
    result = await client.result(job_id, wait=60)
    assert result.state is JobState.FAILED
    assert result.error is not None
    return result.error.kind


async def test_a_huge_request_is_never_read_and_ends_its_job_alone(
    client: Client, redis_url: str, redis: Redis
) -> None:
    job_id = await client.submit("prompt")
    await redis.hset(keys.job(job_id), "request", b'{"v":1,"prompt":"' + b"x" * HUGE + b'"}')
    async with working(redis_url):
        result = await client.result(job_id, wait=60)
        assert (await client.run("next", wait=60)).state is JobState.SUCCEEDED
    assert result.error is not None
    assert result.error.kind is ErrorKind.BAD_INPUT
    assert result.error.message == "the job's request is over the limit of 1 MB"


async def test_the_largest_request_is_read_whatever_it_holds(
    client: Client, redis_url: str, redis: Redis
) -> None:
    job_id = await client.submit("prompt")
    await redis.hset(keys.job(job_id), "request", b'{"v":1,"prompt":"x","inputs":{"a":' + DENSE + b"}}")
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


async def test_a_request_of_many_small_parts_is_not_read(
    client: Client, redis_url: str, redis: Redis
) -> None:
    with pytest.raises(BadRequestError, match="50,000 lists and objects at most"):
        await client.submit("x", inputs={"a": [[]] * wire.MAX_NESTS})
    job_id = await client.submit("[" * wire.MAX_NESTS + '"')
    await redis.hset(
        keys.job(other := await client.submit("x")),
        "request",
        b'{"v":1,"prompt":"x","inputs":{"a":' + DENSE[:-1] + b",[],[]]}}",
    )
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED
        assert await kind_of_failure(client, other) is ErrorKind.BAD_INPUT


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "x" * HUGE}, {"prompt": "x", "inputs": {"a": "x" * 2**21}}],
    ids=["prompt", "inputs"],
)
async def test_a_client_names_the_limit_of_a_request(client: Client, fields: dict[str, object]) -> None:
    limit = "the prompt and inputs of a job have 1 MB at most: give longer ones as files"
    with pytest.raises(BadRequestError, match=limit):
        await client.submit(**fields)  # type: ignore[arg-type]
    with pytest.raises(BadRequestError, match=limit):
        await client.submit_many([JobRequest(**fields)])  # type: ignore[arg-type]


async def test_a_huge_definition_of_arqs_is_never_read(client: Client, redis_url: str, redis: Redis) -> None:
    job_id = await client.submit("prompt")
    await redis.set(keys.arq_job(job_id), b"[" * HUGE)
    async with working(redis_url):
        assert await kind_of_failure(client, job_id) is ErrorKind.INTERNAL


async def test_huge_names_channels_and_calls_hold_nobody_up(
    client: Client, redis_url: str, redis: Redis
) -> None:
    async with working(redis_url, max_jobs=8):
        await client.run("both sides are subscribed", wait=60)
        job_id = await client.submit("prompt")
        await redis.zadd(keys.QUEUE, {b"x" * 2**22: 1})
        for channel in (keys.WAKE, keys.CANCEL, keys.DONE):
            await redis.publish(channel, b"x" * 2**22)
        await answer(redis.lpush(keys.CONTROL, b'{"v":1,"id":"1","op":"list","options":' + b"[" * 2**22))
        await answer(redis.lpush(keys.CONTROL, b'{"v":1,"id":"' + b"x" * 2**20 + b'","op":"list"}'))
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED
        assert await client.spaces.list() == Reply()
    assert await redis.zcard(keys.QUEUE) == 0


async def _rubbish(redis: Redis, job_id: str) -> None:
    await redis.delete(keys.job(job_id))
    await redis.set(keys.job(job_id), "rubbish")


async def test_an_overwritten_record_is_no_trouble_of_other_jobs(
    client: Client, redis_url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_worker, "RENEW_SECONDS", 0.5)
    held = Held()
    async with working(redis_url, held) as worker:
        victim, other = await client.submit("victim"), await client.submit("other")
        await held.began.get()
        await held.began.get()
        await _rubbish(redis, victim)
        await until(lambda: _is(held.stopped == [victim]))
        await redis.hset(keys.job(other), "cancel", "1")
        assert (await client.result(other, wait=60)).state is JobState.CANCELLED
        await until(lambda: _is(not worker.tasks))


async def test_an_overwritten_record_holds_no_place(client: Client, redis_url: str, redis: Redis) -> None:
    held = Held()
    async with working(redis_url, held, max_jobs=1):
        victim = await client.submit("victim")
        await held.began.get()
        await _rubbish(redis, victim)
        held.go.set()
        assert (await client.run("next", wait=60)).state is JobState.SUCCEEDED


async def _is(true: bool) -> bool:
    return true


async def test_a_lock_without_an_end_is_nobodys_lease(client: Client, redis_url: str, redis: Redis) -> None:
    locked, listed = await client.submit("a"), await client.submit("b")
    await redis.set(keys.arq_in_progress(locked), "rubbish")
    await answer(redis.lpush(keys.arq_in_progress(listed), "rubbish"))
    async with working(redis_url):
        for job_id in (locked, listed):
            assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


async def test_users_of_a_file_in_a_wrong_type_stop_neither_submission_nor_end(
    client: Client, redis_url: str, redis: Redis
) -> None:
    payload = payload_of("a.txt", b"content")
    await client.store([payload])
    place = payload.ref.place
    await redis.set(keys.PAYLOAD_USERS + place, "rubbish")
    [job_id] = await client.submit_many([JobRequest(prompt="x", files=(payload.ref,))])
    await redis.set(keys.PAYLOAD_USERS + place, "rubbish")
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED
    assert await redis.ttl(keys.payload(place)) > 0


async def test_nobody_waits_for_rubbish_in_place_of_a_file(client: Client, redis: Redis) -> None:
    file = payload_of("a.txt", b"a")
    await answer(redis.hset(keys.payload(file.ref.place), "state", "gone"))
    async with asyncio.timeout(60):
        await client.store([file])
    assert await client.fetch(file.ref) == b"a"


@pytest.mark.parametrize("keep", ["86400.5", "1e11", "-inf"])
async def test_rubbish_in_a_batch_stops_no_jobs_end(
    client: Client, redis_url: str, redis: Redis, keep: str
) -> None:
    file = payload_of("a.txt", b"a")
    await client._payloads.upload([file])
    request = JobRequest(prompt="x", batch_id="night", files=(file.ref,))
    cancelled, done = await client.submit_many([request, request])
    await redis.hset(keys.BATCH + "night", "keep", keep)
    assert await client.cancel(cancelled) is JobState.CANCELLED
    async with working(redis_url):
        assert (await client.result(done, wait=60)).state is JobState.SUCCEEDED
    assert await redis.zcard(keys.QUEUE) == 0
    assert not await redis.exists(keys.PAYLOAD_USERS + file.ref.place)
    assert 0 < await redis.ttl(keys.BATCH + "night") <= MAX_KEEP_S


@pytest.mark.parametrize("state", ["rubbish", b"\xff"])
async def test_a_record_that_says_no_state_is_told_as_overwritten(
    client: Client, redis: Redis, state: str | bytes
) -> None:
    job_id = await client.submit("prompt")
    await redis.hset(keys.job(job_id), mapping={"state": state, "submitted": "soon", "message": b"\xff"})
    for asked in (client.status, client.cancel):
        with pytest.raises(WireError, match="overwritten"):
            await asked(job_id)
    await redis.hset(keys.job(job_id), "state", "queued")
    status = await client.status(job_id)
    assert (status.submitted, status.message) == (0.0, "\ufffd")
    await redis.delete(keys.job(job_id))
    with pytest.raises(JobNotFoundError):
        await client.status(job_id)


async def test_rubbish_among_events_is_left_out(client: Client, redis_url: str, redis: Redis) -> None:
    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        for rubbish in (b"\xff", b"[]", b"{}", b'{"v":1}', b"x" * 2**20, b"[" * 5000):
            fields = {"batch": b"\xff", "at": "soon", "event": rubbish}
            await redis.xadd(keys.EVENTS, fields, id="0-*")  # type: ignore[arg-type]
        await redis.xadd(keys.EVENTS, {"event": "odd"}, id="0-*")
        tell(Stage.CALL, "name" * 1000, "said" * 10**6, "partial" * 10**6)
        return succeeded(job)

    async with working(redis_url, handle), asyncio.timeout(60):
        job_id = await client.submit("x")
        heard = [event async for event in client.watch(job_id)]
    assert [(len(event.name), len(event.message), len(event.partial or "")) for event in heard] == [
        (300, 1000, 1000),
        (0, len("succeeded"), 0),
    ]


@pytest.mark.parametrize("rubbish", ["string", "entry"])
async def test_rubbish_in_the_place_of_the_events_goes(
    client: Client, redis_url: str, redis: Redis, rubbish: str
) -> None:
    if rubbish == "string":
        await redis.set(keys.EVENTS, "rubbish")
    else:
        await redis.xadd(keys.EVENTS, {"event": "odd"})
    async with working(redis_url), asyncio.timeout(60):
        result = await client.run("x")
        assert [event.state async for event in client.watch(result.id)] == [JobState.SUCCEEDED]


def group() -> BaseException:
    """What a task group raises where a task was told to stop the whole program."""
    return BaseExceptionGroup("several", [SystemExit(3), ValueError()])


class _OwnError(BaseException):
    pass


RAISED: dict[str, Callable[[], BaseException]] = {
    "SystemExit": SystemExit,
    "KeyboardInterrupt": KeyboardInterrupt,
    "GeneratorExit": GeneratorExit,
    "CancelledError": asyncio.CancelledError,
    "BaseExceptionGroup": group,
    "ExceptionGroup": lambda: ExceptionGroup("several", [ValueError()]),
    "_OwnError": _OwnError,
}


@pytest.mark.parametrize("name", RAISED)
async def test_whatever_a_handler_raises_ends_its_job_alone_and_once(
    client: Client, redis_url: str, name: str
) -> None:
    runs: list[str] = []

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        runs.append(job.request.prompt)
        if job.request.prompt == "raise":
            raise RAISED[name]()
        return await echo(job, tell)

    async with working(redis_url, handle):
        result = await client.run("raise", wait=60)
        assert (await client.run("next", wait=60)).state is JobState.SUCCEEDED
    assert result.error is not None
    assert result.error.kind is ErrorKind.INTERNAL
    assert f"({name})" in result.error.message
    assert runs == ["raise", "next"]


@pytest.mark.parametrize("name", RAISED)
async def test_whatever_a_control_call_raises_is_its_answer(
    client: Client, redis_url: str, name: str
) -> None:
    async def controls(call: Call, redis: Redis, tell: OnProgress) -> Reply:
        raise RAISED[name]()

    async with working(redis_url, controls=controls):
        with pytest.raises(BadRequestError, match=rf"\({name}\)"):
            await client.spaces.list()
        assert (await client.run("next", wait=60)).state is JobState.SUCCEEDED


async def test_a_result_with_half_surrogates_can_be_printed(client: Client, redis: Redis) -> None:
    job_id = await client.submit("prompt")
    text = r'{"text":"a\ud800","data":"\ud83d\ude00"}'
    result = f'{{"v":1,"id":"{job_id}","state":"succeeded","output":{text}}}'
    await redis.hset(keys.job(job_id), mapping={"state": "succeeded", "result": result})
    output = (await client.result(job_id, wait=60)).output
    assert (output.text, output.data) == ("a\ufffd", "\U0001f600")


@pytest.mark.parametrize("submitted", ["nan", "inf", "-1e400", "soon", "1" * 10**6])
async def test_a_time_that_is_none_costs_no_result(
    client: Client, redis_url: str, redis: Redis, submitted: str
) -> None:
    job_id = await client.submit("prompt")
    await redis.hset(keys.job(job_id), "submitted", submitted)
    assert (await client.status(job_id)).submitted == 0.0
    async with working(redis_url):
        assert (await client.result(job_id, wait=60)).state is JobState.SUCCEEDED


ODD = '\x00\x1b[2J\r\n\u2028\ufeff"\\{}%s'


async def test_control_characters_in_labels_and_keys_pass_through(client: Client, redis_url: str) -> None:
    async with working(redis_url):
        result = await client.run("x", labels={ODD: ODD}, idempotency_key=ODD, wait=60)
    assert result.labels == {ODD: ODD}


async def test_a_request_that_is_wrong_in_many_places_is_told_in_a_few_words() -> None:
    bad = {"v": 1, "prompt": "x", "labels": {"k" * 100_000: 5}, "files": [{}] * 900}
    with pytest.raises(WireError) as raised:
        wire.decode(JobRequest, json.dumps(bad))
    assert len(str(raised.value)) < 2000
