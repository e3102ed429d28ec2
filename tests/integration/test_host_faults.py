"""The commands where the host starts no Space: it is said, and a batch takes nobody's word for a Space's."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import echo, until, working
from tests.integration.test_privacy_commands import Shell

from spacedock._wire import keys
from spacedock.request import Tier
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
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

REASON = "no gateway can be set on an internal bridge network. Try `docker info`."
SAID = f"this host starts no Space: {REASON}\n"


class Host:
    """Answers prompts by a Space while it is well; else with a model's words, or not at all.

    While it is ill it never ends a prompt that says so, or with `holds` any but the first: those have to be
    cancelled.
    """

    def __init__(self, *, model: bool = True) -> None:
        self.well, self.holds, self._model = True, False, model
        self.asked: list[str] = []

    async def __call__(self, job: TakenJob, tell: Emit) -> JobResult:
        prompt = job.request.prompt
        self.asked.append(prompt)
        by, attempts = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="mood"), []
        if prompt.startswith("ill") and not self.well:
            error = AttemptError(kind=ErrorKind.START_FAILED, message=REASON, host=True)
            attempts = [Attempt(tier=Tier.HEAVY, name="mood", stage=Stage.START, error=error)]
            by = AnsweredBy(tier=Tier.DEFAULT, kind=AnswerKind.MODEL, name="smollm")
            if prompt.endswith("for ever") or (self.holds and len(self.asked) > 1):
                await asyncio.Event().wait()
            if not self._model:
                return JobResult(id=job.id, state=JobState.FAILED, attempts=tuple(attempts))
        return (await echo(job, tell)).model_copy(
            update={"answered_by": by, "attempts": tuple(attempts), "output": Output(text=by.name)}
        )


@pytest.fixture
def shell(redis_url: str, tmp_path: Path) -> Shell:
    return Shell(redis_url, tmp_path)


def prompts(shell: Shell, *lines: str) -> None:
    (shell.folder / "prompts.txt").write_text("".join(f"{line}\n" for line in lines))


def rows(shell: Shell) -> dict[int, dict[str, Any]]:
    lines = (shell.folder / "out.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert len({row["line"] for row in found}) == len(found)
    return {row["line"]: row for row in found}


BATCH = ("batch", "prompts.txt", "-o", "out.jsonl")


@pytest.mark.parametrize("as_json", [(), ("--json",)])
async def test_a_prompt_says_why_no_space_answered(
    shell: Shell, redis_url: str, as_json: tuple[str, ...]
) -> None:
    host = Host()
    host.well = False
    async with working(redis_url, host):
        code, out, err = await shell.run("run", "ill", *as_json)
    assert code == 0
    assert err.startswith(SAID)
    assert "smollm" in out


@pytest.mark.parametrize("model", [True, False])
async def test_a_batch_stops_and_is_picked_up_on_a_host_that_is_well_again(
    shell: Shell, redis_url: str, model: bool
) -> None:
    host = Host(model=model)
    host.well = False
    prompts(shell, "fine", "ill", *(f"ill {n} for ever" for n in range(60)))
    async with working(redis_url, host, max_jobs=1):
        code, out, err = await shell.run(*BATCH)
        assert (code, out) == (4, "")
        assert err.count(SAID) == 1
        assert "61 lines have no answer of a Space" in err
        assert "--allow-degraded" in err
        assert rows(shell).keys() == {1}
        assert len(host.asked) <= 3
        host.well = True
        code, _, err = await shell.run(*BATCH)
        assert code == 0, err
    assert "1 of 62 lines were answered before" in err
    assert rows(shell).keys() == set(range(1, 63))
    assert {row["answered_by"]["name"] for row in rows(shell).values()} == {"mood"}
    assert host.asked.count("fine") == 1


async def test_a_stopped_batch_goes_on_with_models_where_that_is_allowed(
    shell: Shell, redis_url: str
) -> None:
    host = Host()
    host.well = False
    prompts(shell, "fine", "ill 1", "ill 2")
    async with working(redis_url, host):
        assert (await shell.run(*BATCH))[0] == 4
        code, _, err = await shell.run(*BATCH, "--allow-degraded")
    assert (code, err.count(SAID)) == (0, 1)
    assert [rows(shell)[n]["answered_by"]["name"] for n in (1, 2, 3)] == ["mood", "smollm", "smollm"]


def files(shell: Shell, count: int) -> list[str]:
    names = [f"{number}.txt" for number in range(count)]
    for name in names:
        (shell.folder / name).write_text(name)
    return [word for name in names for word in ("--file", name)]


@pytest.mark.parametrize("model", [True, False])
async def test_several_files_stop_as_a_batch_does(shell: Shell, redis_url: str, model: bool) -> None:
    host = Host(model=model)
    host.well, host.holds = False, True
    many = ("run", "ill", "--batch-mode", *files(shell, 20))
    async with working(redis_url, host, max_jobs=1):
        code, out, err = await shell.run(*many, "--json")
        assert (code, out) == (4, "")
        assert err.count(SAID) == 1
        assert "20 files have no answer of a Space" in err
        assert "--allow-degraded" in err
        assert len(host.asked) <= 3
        host.holds = False
        if model:
            code, out, err = await shell.run(*many, "--json", "--allow-degraded")
            assert (code, len(out.splitlines())) == (0, 20)
        host.well = True
        code, out, err = await shell.run(*many, "--json")
    assert (code, SAID in err) == (0, False)
    assert {json.loads(line)["answered_by"]["name"] for line in out.splitlines()} == {"mood"}


async def test_a_batch_on_standard_output_prints_no_models_answer(shell: Shell, redis_url: str) -> None:
    host = Host()
    host.well = False
    prompts(shell, "fine", "ill")
    async with working(redis_url, host, max_jobs=1):
        code, out, err = await shell.run("batch", "prompts.txt")
    assert code == 4
    assert [json.loads(line)["line"] for line in out.splitlines()] == [1]
    assert "there is no -o" in err


async def test_a_batch_that_was_left_on_an_ill_host_stops_when_it_is_picked_up(
    shell: Shell, redis_url: str
) -> None:
    host = Host()
    host.well = False
    prompts(shell, "ill 1", "ill 2")
    async with Redis.from_url(redis_url) as redis:
        # One that has died since: the batch is handed over without waiting for a worker.
        await redis.set(keys.worker("gone"), "1", ex=60)
    watching = await shell.start(*BATCH)

    async def submitted() -> bool:
        async with Redis.from_url(redis_url) as redis:
            return bool(await redis.zcard(keys.QUEUE) == 2)

    await until(submitted)
    watching.send_signal(signal.SIGINT)
    await watching.communicate()
    async with working(redis_url, host):
        assert (await shell.run(*BATCH))[0] == 4
        host.well = True
        assert (await shell.run(*BATCH))[0] == 0
    assert {row["output"]["text"] for row in rows(shell).values()} == {"mood"}
