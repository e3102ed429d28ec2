"""One suite for two clients: the real one with a worker, and the one that `spacedock.testing` offers."""

from __future__ import annotations

import asyncio
import inspect
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.integration.queue.workers import working

from spacedock._stores.payloads import Payloads
from spacedock._wire.connection import connect
from spacedock.batching.sources.line import BadLinesError
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError, ResultDeletedError, ResultTimeoutError
from spacedock.files import FileRef, payload_of
from spacedock.request import JobRequest, Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Output,
    Stage,
)
from spacedock.states import JobState
from spacedock.testing import InMemoryClient
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

DRAWN = payload_of("drawn.png", b"a picture")


async def app(request: JobRequest) -> Output:
    """Fails at "broken", never ends at "hang", draws at "draw", and repeats all else."""
    if request.prompt == "broken":
        raise ValueError("cannot read it")
    if request.prompt == "hang":
        await asyncio.Event().wait()
    return Output(text=request.prompt, files=(DRAWN.ref,) if request.prompt == "draw" else ())


async def handle(job: TakenJob, tell: Emit) -> JobResult:
    """The same as a worker's handler."""
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name=job.request.space or "memory")
    labels = job.request.labels
    try:
        output = await app(job.request)
    except ValueError as error:
        failure = AttemptError(kind=ErrorKind.APP_ERROR, message=str(error))
        attempt = Attempt(tier=Tier.HEAVY, name=by.name, stage=Stage.CALL, error=failure)
        return JobResult(id=job.id, state=JobState.FAILED, attempts=(attempt,), labels=labels)
    return JobResult(id=job.id, state=JobState.SUCCEEDED, answered_by=by, output=output, labels=labels)


@pytest.fixture(params=["real", "memory"])
async def client(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Client | InMemoryClient]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    if request.param == "memory":
        async with InMemoryClient(app) as memory:
            assert memory.file("drawn.png", DRAWN.data) == DRAWN.ref
            yield memory
        return
    async with Client(redis_url) as client, working(redis_url, handle), connect(redis_url) as redis:
        await Payloads(redis).upload([DRAWN])
        yield client


Either = Client | InMemoryClient


async def test_a_prompt_is_answered(client: Either) -> None:
    result = await client.run("hello", space="mood", labels={"row": "7"})
    assert (result.succeeded, result.output.text, result.labels) == (True, "hello", {"row": "7"})
    assert result.answered_by is not None
    assert result.answered_by.name == "mood"


async def test_a_failure_is_a_result(client: Either) -> None:
    result = await client.run("broken")
    assert (result.state, result.error) == (
        JobState.FAILED,
        AttemptError(kind=ErrorKind.APP_ERROR, message="cannot read it"),
    )


async def test_an_empty_prompt_is_refused(client: Either) -> None:
    with pytest.raises(BadRequestError, match="the prompt is empty"):
        await client.submit(" ")


async def test_a_job_that_never_was_is_not_found(client: Either) -> None:
    for asked in (client.result("nobody"), client.status("nobody"), client.cancel("nobody")):
        with pytest.raises(JobNotFoundError):
            await asked
    with pytest.raises(JobNotFoundError):
        await client.batch_status("nobody")


async def test_the_same_key_is_the_same_job(client: Either) -> None:
    first = await client.submit("a", idempotency_key="k")
    assert await client.submit("a", idempotency_key="k") == first
    assert await client.submit("a", idempotency_key="other") != first


async def test_a_wait_has_an_end_and_the_job_goes_on_until_it_is_cancelled(client: Either) -> None:
    job = await client.submit("hang")
    with pytest.raises(ResultTimeoutError):
        await client.result(job, wait=0.5)
    assert (await client.status(job)).state is JobState.RUNNING
    await client.cancel(job)
    assert (await client.result(job)).state is JobState.CANCELLED
    assert (await client.status(job)).state is JobState.CANCELLED
    assert await client.cancel(job) is JobState.CANCELLED


async def test_many_jobs_are_one_batch_whose_results_come_as_they_end(client: Either) -> None:
    ids = await client.submit_many(["a", JobRequest(prompt="broken"), "b"], label="mine")
    found = {result.id: result.state for result in [one async for one in client.results(ids)]}
    assert [found[job_id].value for job_id in ids] == ["succeeded", "failed", "succeeded"]
    (batch,) = await client.batches()
    assert (batch.label, batch.left, batch.unanswered) == ("mine", 0, 1)
    assert await client.job_ids(batch.id[:6]) == ids
    assert [job.id for job in await client.jobs(batch=batch.id, state=JobState.FAILED)] == [ids[1]]
    events = [event async for event in client.watch(batch.id) if event.state is not None]
    assert {event.job_id for event in events} == set(ids)


async def test_jobs_are_found_by_their_labels(client: Either) -> None:
    job = await client.submit("a", labels={"row": "7"})
    await client.submit("b", labels={"row": "8"})
    assert [found.id for found in await client.jobs(labels={"row": "7"})] == [job]


async def test_files_travel_both_ways(client: Either, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("words")
    result = await client.run("draw", files=[tmp_path / "in.txt"])
    (drawn,) = result.output.files
    assert await client.fetch(drawn) == b"a picture"


async def test_a_file_that_is_not_stored_is_refused(client: Either) -> None:
    ref = FileRef(name="a", sha256="0" * 64, size=1)
    with pytest.raises(BadRequestError, match="not stored"):
        await client.submit_prepared(JobRequest(prompt="x", files=(ref,)))


async def test_a_private_result_is_read_once(client: Either) -> None:
    job = await client.submit("secret", privacy=True)
    assert (await client.result(job, keep=True)).output.text == "secret"
    assert (await client.result(job)).output.text == "secret"
    with pytest.raises(ResultDeletedError):
        await client.result(job)


async def test_what_is_forgotten_is_gone(client: Either) -> None:
    first, second = await client.submit_many(["a", "b"])
    assert len([one async for one in client.results([first, second])]) == 2
    assert await client.forget(first, note=False) == 1
    with pytest.raises(JobNotFoundError):
        await client.status(first)
    assert await client.forget(second) == 1
    with pytest.raises(ResultDeletedError):
        await client.result(second)


async def test_a_batch_yields_its_lines_and_is_picked_up(client: Either, tmp_path: Path) -> None:
    given = [{"prompt": text, "id": text} for text in ("a", "broken", "c")]
    out = tmp_path / "out.jsonl"
    found = {line.name.row_id: line.result.succeeded async for line in client.batch(given, output=out)}
    assert found == {"a": True, "broken": False, "c": True}
    again = [line.name.number async for line in client.batch(given, output=out)]
    retried = [line.name.number async for line in client.batch(given, output=out, retry="failed")]
    assert (again, retried) == ([], [2])
    assert sorted(json.loads(line)["line"] for line in out.read_text().splitlines()) == [1, 2, 3]


async def test_a_batch_with_a_bad_line_sends_nothing(client: Either) -> None:
    with pytest.raises(BadLinesError, match="line 2"):
        async with aclosing(client.batch(["fine", {"promt": "x"}])) as lines:
            await anext(lines)
    assert await client.jobs() == []


def test_what_asks_hosts_is_said_not_to_be_there() -> None:
    for name in ("tiers", "spaces", "cleanup", "board"):
        with pytest.raises(AttributeError, match=f"has no '{name}': it knows jobs and batches"):
            getattr(InMemoryClient(), name)
    with pytest.raises(AttributeError, match="has no attribute 'titers'"):
        _ = InMemoryClient().titers


def test_its_methods_are_those_of_the_client() -> None:
    for name, method in vars(InMemoryClient).items():
        if not name.startswith("_") and name != "file":
            assert inspect.signature(method) == inspect.signature(getattr(Client, name)), name
