"""The queue at one look, towards a real Valkey and a worker with a small handler."""

from __future__ import annotations

from redis.asyncio import Redis
from tests.integration.queue.workers import Held, succeeded, working

from spacedock.client import Client
from spacedock.request import JobRequest, Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Stage
from spacedock.states import JobState
from spacedock.sync import SyncClient
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob


async def out_of_memory(job: TakenJob, tell: Emit) -> JobResult:
    """Fail as a Space without room does, unless the prompt is good."""
    if job.request.prompt == "good":
        return succeeded(job)
    error = AttemptError(kind=ErrorKind.OUT_OF_MEMORY, message="too small")
    attempt = Attempt(tier=Tier.HEAVY, name="big", stage=Stage.CALL, error=error)
    return JobResult(id=job.id, state=JobState.FAILED, attempts=(attempt,))


async def test_an_empty_queue_is_nothing_to_see(redis_url: str) -> None:
    async with Client(redis_url) as client:
        board = await client.board.look()
    assert (board.lanes, board.running, board.recent, board.batches, board.failures) == ([], [], [], [], [])
    assert (board.event, board.waiting_lanes, board.running_jobs) == (0, 0, 0)


async def test_lanes_say_who_waits_for_whom(redis_url: str) -> None:
    async with Client(redis_url, name="ada") as client:
        await client.submit("a", space="mood")
        await client.submit("b", space="mood")
        await client.submit("c", space="speech")
        await client.submit_many([JobRequest(prompt=str(n), space="mood") for n in range(5)], label="reviews")
        board = await client.board.look()
    alone, batch = sorted(board.lanes, key=lambda lane: lane.batch is not None)
    assert (alone.client, alone.waiting, alone.targets) == ("ada", 3, {"mood": 2, "speech": 1})
    assert (batch.priority, batch.waiting, batch.client) == ("normal", 5, None)
    assert [(one.label, one.left) for one in board.batches] == [("reviews", 5)]


async def test_running_jobs_are_told_with_their_step(redis_url: str) -> None:
    held = Held()

    async def stepping(job: TakenJob, tell: Emit) -> JobResult:
        tell(Stage.CALL, "mood", "step 3 of 4", None)
        return await held(job, tell)

    async with working(redis_url, stepping), Client(redis_url) as client:
        job_id = await client.submit("x", space="mood")
        await held.began.get()
        board = await client.board.look()
        while not board.running[0].stage:
            board = await client.board.look()
        (job,) = board.running
        assert (job.id, job.space, job.stage, job.name) == (job_id, "mood", Stage.CALL, "mood")
        assert 0 < job.submitted <= job.since <= board.now
        assert job.host
        held.go.set()
        await client.result(job_id)
        ended = await client.board.look()
    assert (ended.running, [one.id for one in ended.recent]) == ([], [job_id])
    assert ended.recent[0].text == "x"


def test_scripts_without_asyncio_look_at_it_too(shared_server: object, redis_url: str) -> None:
    with SyncClient(redis_url) as client:
        client.cancel(client.submit("x"))
        assert [one.state for one in client.board.look().recent] == [JobState.CANCELLED]


async def test_failures_are_grouped_until_they_are_retried(redis_url: str) -> None:
    async with working(redis_url, out_of_memory), Client(redis_url) as client:
        ids = await client.submit_many([JobRequest(prompt=str(n), space="big") for n in range(6)])
        alone = await client.submit("y", space="big")
        async for _ in client.results([*ids, alone]):
            pass
        board = await client.board.look()
        assert sorted(len(one.jobs) for one in board.failures) == [1, 6]
        assert {one.error.kind for one in board.failures} == {ErrorKind.OUT_OF_MEMORY}
        # Of one batch only the newest are shown.
        assert len(board.recent) == 4
        (again,) = await client.retry(alone)
        await client.result(again)
        (group, other) = sorted((await client.board.look()).failures, key=lambda one: -len(one.jobs))
    assert (len(group.jobs), other.jobs) == (6, [again])


async def test_a_private_job_only_ended(redis_url: str) -> None:
    async with working(redis_url), Client(redis_url) as client:
        job_id = await client.submit("my secret", privacy=True)
        await client.result(job_id, keep=True)
        board = await client.board.look()
    assert (board.recent[0].id, board.recent[0].private, board.recent[0].text) == (job_id, True, None)
    assert "my secret" not in board.model_dump_json()


async def test_a_queue_that_was_emptied_is_looked_at_anew(redis_url: str) -> None:
    async with working(redis_url), Client(redis_url) as client:
        await client.result(await client.submit("good"))
        assert (await client.board.look()).recent
        async with Redis.from_url(redis_url) as redis:
            await redis.flushall()
        board = await client.board.look()
    assert (board.recent, board.minutes) == ([], [])
