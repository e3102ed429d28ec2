"""Runs of pipelines: each step's jobs are submitted once, from whatever worker, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import Held, advancing, succeeded, until

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.files import payload_of
from spacedock.pipelines.model import Pipeline
from spacedock.pipelines.run import StepState
from spacedock.request import JobRequest, Tier
from spacedock.result import Attempt, AttemptError, ErrorKind, JobResult, Output, Stage
from spacedock.states import JobState
from spacedock_worker.pipelines import run_in_hand
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob


def pipeline_of(**steps: Any) -> Pipeline:
    """A pipeline of these steps, each of a Space of its name; inputs are a `text` and `words`."""
    inputs = {"text": {"type": "text", "default": "hello"}, "words": {"type": "list", "default": []}}
    made = {name: step if "pipeline" in step else {"space": name, **step} for name, step in steps.items()}
    return Pipeline.model_validate({"name": "a-test", "inputs": inputs, "steps": made})


CHAIN = pipeline_of(
    one={"prompt": "${{ inputs.text }} one"},
    two={"prompt": "${{ steps.one.text }} two"},
    three={"prompt": "${{ steps.two.text }} three"},
)
FAN = pipeline_of(
    each={"for_each": "${{ inputs.words }}", "prompt": "<${{ item }}>"},
    all={"prompt": "${{ steps.each.text }}"},
)


class Space:
    """A handler that answers with its prompt, and notes what it was asked; `fails` are prompts that fail."""

    def __init__(self, *fails: str, kind: ErrorKind = ErrorKind.APP_ERROR) -> None:
        self.asked: list[str] = []
        self.fails, self.kind = set(fails), kind

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        self.asked.append(job.request.prompt)
        if job.request.prompt not in self.fails:
            return succeeded(job)
        error = AttemptError(kind=self.kind, message="the Space said no")
        attempt = Attempt(tier=Tier.HEAVY, name="it", stage=Stage.CALL, error=error)
        return JobResult(id=job.id, state=JobState.FAILED, attempts=(attempt,), labels=job.request.labels)


async def test_each_step_gets_what_the_one_before_gave(client: Client, redis_url: str, redis: Redis) -> None:
    async with advancing(redis_url):
        result = await client.run_pipeline(CHAIN, {"text": "hi"}, wait=60)
    assert result.succeeded
    assert result.output.text == "hi one two three"
    assert result.output.data == {"three": "hi one two three"}
    assert result.answered_by is not None
    assert result.answered_by.name == "a-test"
    run = await client.pipeline_run(result.id)
    assert [(step.name, step.state, step.total, step.ended) for step in run.steps] == [
        (name, StepState.SUCCEEDED, 1, 1) for name in ("one", "two", "three")
    ]
    assert await redis.zcard(keys.RUNS) == 0
    # What a run keeps goes with it.
    assert await redis.ttl(keys.job(f"{result.id}-0-0")) > 0


async def test_a_list_is_worked_at_at_once_and_brought_together(client: Client, redis_url: str) -> None:
    space = Space()
    async with advancing(redis_url, space):
        result = await client.run_pipeline(FAN, {"words": ["a", "b", "c"]}, wait=60)
    assert result.output.text == "<a>\n<b>\n<c>"
    assert sorted(space.asked) == ["<a>", "<a>\n<b>\n<c>", "<b>", "<c>"]


async def test_an_empty_list_gives_an_empty_list(client: Client, redis_url: str) -> None:
    pipeline = pipeline_of(each={"for_each": "${{ inputs.words }}", "prompt": "${{ item }}"})
    async with advancing(redis_url):
        result = await client.run_pipeline(pipeline, wait=60)
    assert result.succeeded
    assert result.output.data == {"each": []}


async def test_what_a_step_takes_from_is_not_deleted_before_its_run_has_ended(
    client: Client, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    made = payload_of("made.txt", b"made by a step")

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        if job.request.space == "maker":
            await Payloads(redis).upload([made])
            return succeeded(job).model_copy(update={"output": Output(files=(made.ref,))})
        held.began.put_nowait(job.id)
        await held.go.wait()
        return succeeded(job).model_copy(update={"output": Output(files=job.request.files)})

    held = Held()
    pipeline = Pipeline.model_validate(
        {
            "name": "files",
            "inputs": {"photo": "file"},
            "steps": {
                "make": {"space": "maker", "files": "${{ inputs.photo }}"},
                "use": {"space": "user", "files": ["${{ steps.make.files }}", "${{ inputs.photo }}"]},
            },
        }
    )
    (tmp_path / "photo.png").write_bytes(b"a photo")
    async with advancing(redis_url, handle):
        run = await client.submit_pipeline(pipeline, {"photo": tmp_path / "photo.png"})
        await held.began.get()
        assert await redis.ttl(keys.payload(made.ref.place)) == -1
        assert await redis.ttl(keys.job(f"{run}-0-0")) == -1
        held.go.set()
        result = await client.result(run, wait=60)
        assert [await client.fetch(file) for file in result.output.files] == [b"made by a step", b"a photo"]
        await until(lambda: _is_kept(redis, made.ref.place))
        assert not await redis.exists(keys.PAYLOAD_USERS + made.ref.place)


async def _is_kept(redis: Redis, place: str) -> bool:
    return await redis.ttl(keys.payload(place)) > 0


async def test_a_failed_step_fails_the_run_and_others_end(client: Client, redis_url: str) -> None:
    pipeline = pipeline_of(
        bad={"prompt": "bad"},
        after={"prompt": "${{ steps.bad.text }}"},
        good={"prompt": "good"},
        also={"prompt": "${{ steps.good.text }} too"},
    )
    space = Space("bad")
    async with advancing(redis_url, space):
        result = await client.run_pipeline(pipeline, wait=60)
        assert sorted(space.asked) == ["bad", "good", "good too"]
        assert result.state is JobState.FAILED
        assert result.failure.startswith(f"step 'bad' failed: (job {result.id}-0-0) the Space said no")
        assert f"`spacedock retry {result.id}`" in result.failure
        states = {step.name: step.state.value for step in (await client.pipeline_run(result.id)).steps}
        assert states == {"bad": "failed", "after": "blocked", "good": "succeeded", "also": "succeeded"}
        # Again, once it is mended: what is there counts.
        space.fails.clear()
        (again,) = await client.retry(result.id)
        assert (await client.result(again, wait=60)).output.data == {"after": "bad", "also": "good too"}
    assert sorted(space.asked) == ["bad", "bad", "bad", "good", "good too"]


async def test_a_run_goes_on_without_what_may_fail(client: Client, redis_url: str) -> None:
    pipeline = pipeline_of(
        each={"for_each": "${{ inputs.words }}", "prompt": "${{ item }}", "continue_on_error": True},
        all={"prompt": "${{ steps.each.text }}"},
    )
    async with advancing(redis_url, Space("b")):
        result = await client.run_pipeline(pipeline, {"words": ["a", "b", "c"]}, wait=60)
    assert result.output.text == "a\nc"


async def test_a_step_whose_value_is_missing_fails_without_a_job(client: Client, redis_url: str) -> None:
    pipeline = pipeline_of(one={"prompt": "x"}, two={"prompt": "${{ steps.one.data#/nowhere }}"})
    async with advancing(redis_url):
        result = await client.run_pipeline(pipeline, wait=60)
    assert result.failure.startswith("step 'two' cannot run: the pointer #/nowhere leads nowhere")


async def test_a_step_whose_condition_does_not_hold_is_skipped(client: Client, redis_url: str) -> None:
    pipeline = pipeline_of(
        no={"prompt": "no", "when": "inputs.text == 'other'"},
        after={"prompt": "${{ steps.no.text }}"},
        yes={"prompt": "yes", "when": "inputs.text == 'hello'"},
    )
    space = Space()
    async with advancing(redis_url, space):
        result = await client.run_pipeline(pipeline, wait=60)
    assert space.asked == ["yes"]
    assert result.output.data == {"after": None, "yes": "yes"}
    states = [step.state.value for step in (await client.pipeline_run(result.id)).steps]
    assert states == ["skipped", "skipped", "succeeded"]


async def test_a_pipeline_can_be_a_step(client: Client, redis_url: str) -> None:
    inner = CHAIN.model_dump(mode="json", exclude_unset=True)
    pipeline = pipeline_of(
        each={"pipeline": inner, "for_each": "${{ inputs.words }}", "inputs": {"text": "${{ item }}"}},
        all={"prompt": "${{ steps.each.text }}"},
    )
    async with advancing(redis_url):
        result = await client.run_pipeline(pipeline, {"words": ["a", "b"]}, wait=60)
        assert result.output.text == "a one two three\nb one two three"
        inside = await client.pipeline_run(f"{result.id}-0-1")
    assert [step.state.value for step in inside.steps] == ["succeeded"] * 3


async def test_cancelling_stops_what_runs_and_starts_nothing_more(
    client: Client, redis_url: str, redis: Redis
) -> None:
    held = Held()
    async with advancing(redis_url, held, max_jobs=2):
        run = await client.submit_pipeline(FAN, {"words": ["a", "b", "c", "d"]})
        await held.began.get()
        await held.began.get()
        await client.cancel(run)
        assert (await client.result(run, wait=60)).state is JobState.CANCELLED
        jobs = [f"{run}-0-{index}" for index in range(4)]
        ended = [(await client.result(job, wait=60)).state for job in jobs]
        await until(lambda: _is_settled(redis))
        steps = (await client.pipeline_run(run)).steps
    assert ended == [JobState.CANCELLED] * 4
    assert len(held.runs) == 2
    assert [(one.state, one.ended, one.failed, one.cancelled) for one in steps] == [
        (StepState.CANCELLED, 4, 0, 4),
        (StepState.CANCELLED, 0, 0, 0),
    ]
    assert steps[0].told == "4 of 4, 4 cancelled"
    with pytest.raises(JobNotFoundError):
        await client.status(f"{run}-1-0")


async def test_a_step_that_failed_is_told_apart_from_one_that_was_cancelled(
    client: Client, redis_url: str
) -> None:
    async with advancing(redis_url, Space("<a>")):
        result = await client.run_pipeline(FAN, {"words": ["a", "b"]}, wait=5)
        failed = (await client.pipeline_run(result.id)).steps
    assert [(one.state, one.failed, one.cancelled) for one in failed] == [
        (StepState.FAILED, 1, 0),
        (StepState.BLOCKED, 0, 0),
    ]
    held = Held()
    async with advancing(redis_url, held):
        run = await client.submit_pipeline(FAN, {"words": ["c", "d"]})
        await held.began.get()
        await client.cancel(f"{run}-0-1")
        held.go.set()
        assert (await client.result(run, wait=5)).state is JobState.FAILED
        each, after = (await client.pipeline_run(run)).steps
        failure = (await client.result(run, wait=5)).failure
    assert failure == (
        f"step 'each' failed: 1 of its 2 jobs cancelled; `spacedock retry {run}` goes on from there"
    )
    assert (each.state, each.ended, each.cancelled) == (StepState.CANCELLED, 2, 1)
    assert after.state is StepState.BLOCKED


async def test_a_step_that_is_out_of_time_names_what_its_author_can_change(
    client: Client, redis_url: str
) -> None:
    async with advancing(redis_url, Space("hello one", kind=ErrorKind.TIMEOUT)):
        result = await client.run_pipeline(CHAIN, wait=5)
    assert "give step 'one' a longer `timeout` in the pipeline's file" in result.failure
    assert f"`spacedock pipeline run FILE --again {result.id}` goes on from there" in result.failure
    assert "--timeout" not in result.failure


async def test_a_run_is_one_job_of_a_list_and_its_steps_are_there_when_asked_for(
    client: Client, redis_url: str
) -> None:
    words = [str(n) for n in range(30)]
    async with advancing(redis_url, Space("<3>")):
        alone = [await client.submit(f"alone {n}", space="each") for n in range(3)]
        async for _ in client.results(alone):
            pass
        run = await client.run_pipeline(FAN, {"words": words}, wait=5)
        batch = [JobRequest(pipeline=CHAIN.model_dump(exclude_unset=True), batch_id="a-batch")]
        (of_batch,) = await client.submit_many(batch)
        await client.result(of_batch, wait=5)
        board = await client.board.look()
        steps = {f"{run.id}-0-{n}" for n in range(30)}
        assert {one.id for one in await client.jobs(limit=20)} == {*alone, run.id, of_batch}
        assert {one.id for one in await client.jobs(run=run.id)} == steps
        assert {one.id for one in await client.jobs(space="each", steps=True)} == {*alone, *steps}
        assert [one.id for one in await client.jobs(run=run.id, state=JobState.FAILED)] == [f"{run.id}-0-3"]
        assert [one.id for one in await client.jobs(state=JobState.FAILED)] == [run.id]
        assert [one.id for one in await client.jobs(batch="a-batch")] == [of_batch]
        assert len(await client.jobs(batch="a-batch", steps=True)) == 4
        assert len(await client.jobs(steps=True, limit=20)) == 20
        with pytest.raises(JobNotFoundError):
            await client.jobs(run="nothing")
    assert {one.id for one in board.recent} == {*alone, run.id, of_batch}
    assert [group.jobs for group in board.failures] == [[run.id]]


async def _is_settled(redis: Redis) -> bool:
    return await redis.zcard(keys.RUNS) == 0


async def test_a_run_that_nobody_has_begun_is_cancelled_at_once(client: Client, redis_url: str) -> None:
    run = await client.submit_pipeline(CHAIN)
    assert await client.cancel(run) is JobState.CANCELLED
    space = Space()
    async with advancing(redis_url, space) as worker:
        await client.run("after it", wait=60)
        assert not worker.tasks
    assert space.asked == ["after it"]


async def test_two_workers_and_repeated_looks_submit_nothing_twice(
    client: Client, redis_url: str, redis: Redis
) -> None:
    space = Space()
    async with advancing(redis_url, space), advancing(redis_url, space):
        words = [f"w{number}" for number in range(300)]
        run = await client.submit_pipeline(FAN, {"words": words})
        while not (await client.status(run)).state.terminal:
            # Whoever has it in hand died, as far as the others know.
            await redis.zadd(keys.RUNS, {run: 0}, xx=True)
            await redis.publish(keys.WAKE, keys.RUNS_DUE)
            await asyncio.sleep(0.001)
        result = await client.result(run)
    assert result.output.text == "\n".join(f"<{word}>" for word in words)
    assert len(space.asked) == len(set(space.asked)) == 301


async def test_a_run_goes_on_where_its_worker_died_in_the_middle_of_submitting(
    client: Client, redis_url: str, redis: Redis
) -> None:
    run = await client.submit_pipeline(FAN, {"words": ["a", "b", "c"]})
    # As a worker leaves it that dies before it has submitted the last job of the step.
    plan = json.dumps({"v": 1, "total": 3, "fanned": True})
    await redis.hset(keys.job(run), mapping={"state": "running", "step 0": plan, "left 0": 3})
    async with advancing(redis_url):
        assert (await client.result(run, wait=60)).output.text == "<a>\n<b>\n<c>"


async def test_a_run_goes_on_from_a_step_with_the_earlier_results(client: Client, redis_url: str) -> None:
    space = Space()
    async with advancing(redis_url, space):
        first = await client.run_pipeline(CHAIN, wait=60)
        second = await client.run_pipeline(CHAIN, restart=first.id, from_step="two", wait=60)
        assert second.output == first.output
        assert space.asked[3:] == ["hello one two", "hello one two three"]
        # Another input: nothing of it was asked before.
        await client.run_pipeline(CHAIN, {"text": "bye"}, restart=first.id, wait=60)
        assert space.asked[5:] == ["bye one", "bye one two", "bye one two three"]
        with pytest.raises(BadRequestError, match="has no step 'four'"):
            await client.submit_pipeline(CHAIN, restart=first.id, from_step="four")


async def test_the_events_of_a_run_are_those_of_its_steps(client: Client, redis_url: str) -> None:
    async with advancing(redis_url):
        run = await client.submit_pipeline(CHAIN)
        async with asyncio.timeout(60):
            told = [
                (event.job_id.removeprefix(run), event.name, event.message)
                async for event in client.watch(run)
            ]
    assert ("", "two", "1 job") in told
    assert ("-1-0", "", "succeeded") in told
    assert told[-1] == ("", "a-test", "succeeded")


async def test_a_private_run_leaves_nothing_once_it_is_read(
    client: Client, redis_url: str, redis: Redis, tmp_path: Path
) -> None:
    pipeline = Pipeline.model_validate(
        {
            "name": "secret",
            "inputs": {"diary": "file"},
            "steps": {
                "read": {"space": "reader", "files": "${{ inputs.diary }}", "privacy": True},
                "say": {
                    "space": "sayer",
                    "prompt": "${{ steps.read.text }} said",
                    "files": "${{ inputs.diary }}",
                },
            },
        }
    )

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        return succeeded(job).model_copy(update={"output": Output(text=f"tell-nobody {job.request.prompt}")})

    (tmp_path / "diary.txt").write_text("tell-nobody")
    async with advancing(redis_url, handle):
        result = await client.run_pipeline(pipeline, {"diary": tmp_path / "diary.txt"}, wait=60)
        assert result.output.text == "tell-nobody tell-nobody  said"
        await until(lambda: _is_settled(redis))
    # A note says that there was a run.
    assert [key async for key in redis.scan_iter(match="spacedock:job:*")] == [keys.job(result.id).encode()]
    assert [key async for key in redis.scan_iter(match="spacedock:file*")] == []


async def test_what_is_no_pipeline_is_told_as_such(client: Client, redis_url: str, redis: Redis) -> None:
    with pytest.raises(BadRequestError, match="has no input 'other'"):
        await client.submit_pipeline(CHAIN, {"other": 1})
    run = await client.submit_pipeline(CHAIN)
    await redis.hset(keys.job(run), "request", json.dumps({"v": 1, "pipeline": {"name": "x"}}))
    async with advancing(redis_url):
        assert "the pipeline cannot be read" in (await client.result(run, wait=60)).failure
        job = await client.run("a prompt", wait=60)
    with pytest.raises(BadRequestError, match="is no run of a pipeline"):
        await client.pipeline_run(job.id)


async def test_each_line_of_a_batch_is_a_run(client: Client, redis_url: str, tmp_path: Path) -> None:
    space, results = Space("b one"), tmp_path / "results.jsonl"
    async with advancing(redis_url, space):
        lines = [line async for line in client.batch(["a", "b", "c"], pipeline=CHAIN, output=results)]
        assert {line.name.number: line.result.output.text for line in lines} == {
            1: "a one two three",
            2: None,
            3: "c one two three",
        }
        (batch,) = await client.batches()
        # Its runs count, and not the jobs of their steps.
        assert (batch.counts[JobState.SUCCEEDED], batch.counts[JobState.FAILED]) == (2, 1)
        space.fails.clear()
        again = client.batch(["a", "b", "c"], pipeline=CHAIN, output=results, retry="failed")
        assert [line.result.output.text async for line in again] == ["b one two three"]
    assert len(results.read_text().splitlines()) == 3


@pytest.mark.parametrize("depth", [200, 400, 900])
async def test_data_of_any_depth_lets_a_run_end(client: Client, redis_url: str, depth: int) -> None:
    data: Any = "bottom"
    for _ in range(depth):
        data = [data]

    async def deep(job: TakenJob, tell: Emit) -> JobResult:
        return succeeded(job).model_copy(update={"output": Output(text="t", data=data)})

    steps = pipeline_of(a={"prompt": "x"}, b={"inputs": {"deep": "${{ steps.a.data }}"}, "prompt": "y"})
    asked = steps.model_copy(update={"outputs": {"o": "${{ steps.b.data }}"}})
    async with advancing(redis_url, deep):
        result = await client.run_pipeline(asked, wait=60)
    assert result.state in (JobState.SUCCEEDED, JobState.FAILED)


async def test_a_run_whose_file_is_lost_fails_and_leaves_nothing_running(
    client: Client, redis_url: str, redis: Redis
) -> None:
    inputs = {"photos": "files", "lost": "file"}
    steps = {
        "some": {"space": "a", "for_each": "${{ inputs.photos }}", "files": "${{ item }}"},
        "other": {"space": "b", "files": "${{ inputs.lost }}"},
    }
    pipeline = Pipeline.model_validate({"name": "lossy", "inputs": inputs, "steps": steps})
    photos, lost = [payload_of(f"{n}.png", bytes([n])) for n in range(3)], payload_of("lost.png", b"lost")
    run = await client.submit_pipeline(pipeline, {"photos": photos, "lost": lost})
    await redis.delete(keys.payload(lost.ref.place))
    async with advancing(redis_url, Held()):
        result = await client.result(run, wait=60)
        assert result.state is JobState.FAILED
        assert "a file is not stored (any more)" in result.failure
        for index in range(3):
            assert (await client.result(f"{run}-0-{index}", wait=60)).state is JobState.CANCELLED
        await until(lambda: _is_settled(redis))


async def test_a_step_that_fans_out_over_thousands_holds_up_nobody(client: Client, redis_url: str) -> None:
    pipeline = pipeline_of(each={"for_each": "${{ inputs.words }}", "prompt": "${{ item }}"})
    async with advancing(redis_url, max_jobs=64):
        run = await client.submit_pipeline(pipeline, {"words": [str(n) for n in range(3000)]})
        assert (await client.run("in between", wait=60)).succeeded
        result = await client.result(run, wait=60)
    assert result.output.data == {"each": [str(n) for n in range(3000)]}


@pytest.mark.parametrize(
    "steps",
    [
        {
            "a": {"space": "s", "prompt": "${{ steps.b.text }}"},
            "b": {"space": "s", "prompt": "${{ steps.a.text }}"},
        },
        {"a": {"space": "s", "prompt": "${{ steps.none.text }}"}},
        {"a": {"space": "s", "prompt": "${{ inputs.none }}"}},
        {"a": {"space": "s", "prompt": "x", "when": "item == 1"}},
    ],
    ids=["cycle", "no step", "no input", "no item"],
)
async def test_a_pipeline_that_nobody_checked_ends_too(
    client: Client, redis_url: str, steps: dict[str, Any]
) -> None:
    request = JobRequest(pipeline={"name": "p", "steps": steps})
    async with advancing(redis_url):
        result = await client.result(await client.submit_prepared(request), wait=60)
    assert result.state in (JobState.FAILED, JobState.SUCCEEDED)


async def test_a_run_that_no_worker_can_read_on_ends_as_failed(
    client: Client, redis_url: str, redis: Redis
) -> None:
    held = Held()
    async with advancing(redis_url, held):
        run = await client.submit_pipeline(FAN, {"words": ["a", "b"]})
        await held.began.get()
        await held.began.get()
        # A step that the pipeline does not have.
        await redis.hset(keys.job(run), "step 7", json.dumps({"v": 1, "total": 1}))
        while not (await client.status(run)).state.terminal:
            # The pauses between the tries are over.
            await redis.zadd(keys.RUNS, {run: 0}, xx=True)
            await redis.publish(keys.WAKE, keys.RUNS_DUE)
            await asyncio.sleep(0.01)
        result = await client.result(run, wait=60)
        assert result.state is JobState.FAILED
        assert "a fault in Spacedock (IndexError) keeps the run from going on" in result.failure
        assert (await client.result(f"{run}-0-0", wait=60)).state is JobState.CANCELLED
        await until(lambda: _is_settled(redis))


async def test_a_fan_out_that_failed_in_the_middle_goes_on_from_a_step(
    client: Client, redis_url: str
) -> None:
    pipeline = pipeline_of(
        each={"for_each": "${{ inputs.words }}", "prompt": "${{ item }}"},
        again={"for_each": "${{ steps.each.text }}", "prompt": "<${{ item }}>"},
        all={"prompt": "${{ steps.again.text }}"},
    )
    space, words = Space("<b>"), {"words": ["a", "b", "c"]}
    async with advancing(redis_url, space):
        first = await client.run_pipeline(pipeline, words, wait=60)
        assert first.state is JobState.FAILED
        assert "step 'again' failed: 1 of its 3 jobs failed, the first" in first.failure
        space.fails.clear()
        del space.asked[:]
        # All of the step runs again, also what had succeeded; nothing before it does.
        second = await client.run_pipeline(pipeline, words, restart=first.id, from_step="again", wait=60)
        assert sorted(space.asked) == ["<a>", "<a>\n<b>\n<c>", "<b>", "<c>"]
        assert second.output.text == "<a>\n<b>\n<c>"
        del space.asked[:]
        # Without a step only what failed does.
        third = await client.run_pipeline(pipeline, words, restart=first.id, wait=60)
        assert sorted(space.asked) == ["<a>\n<b>\n<c>", "<b>"]
        assert third.output == second.output


async def test_a_run_with_thousands_of_problems_holds_up_no_worker(client: Client, redis_url: str) -> None:
    inputs = {f"a_long_name_of_an_input_that_is_like_others_{n:03}": "text" for n in range(100)}
    prompt = "${{inputs.a_long_name_of_an_input_that_is_like_others_abc}}" * 80
    steps = {f"s{n}": {"space": "s", "prompt": f"{prompt} {n}"} for n in range(99)}
    request = JobRequest(pipeline={"name": "p", "inputs": inputs, "steps": steps})
    loop = asyncio.get_running_loop()
    async with advancing(redis_url):
        run, longest, before = await client.submit_prepared(request), 0.0, loop.time()
        ended = asyncio.create_task(client.result(run, wait=60))
        while not ended.done():
            await asyncio.sleep(0.005)
            longest, before = max(longest, loop.time() - before), loop.time()
    assert "over 20 problems" in (await ended).failure
    assert longest < 1, f"the loop was held up for {longest:.2f} s"


async def wordy(job: TakenJob, tell: Emit) -> JobResult:
    """A handler that answers a word with a long text."""
    return succeeded(job).model_copy(update={"output": Output(text="x" * 300_000)})


async def test_more_than_a_worker_can_hold_fails_the_step_that_takes_it(
    client: Client, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_in_hand, "_MOST_BYTES", 2**20)
    async with advancing(redis_url, wordy):
        assert (await client.run_pipeline(FAN, {"words": ["a", "b"]}, wait=60)).succeeded
        result = await client.run_pipeline(FAN, {"words": ["a", "b", "c", "d"]}, wait=60)
    assert result.failure.startswith("step 'all' cannot run: what step 'each' gave is too much to hand on")


async def test_a_prompt_that_is_too_long_is_told_with_its_step(client: Client, redis_url: str) -> None:
    async with advancing(redis_url, wordy):
        result = await client.run_pipeline(FAN, {"words": ["a", "b", "c", "d"]}, wait=60)
    assert result.failure.startswith(
        "step 'all' cannot run: the prompt and inputs of a job have 1 MB at most"
    )
