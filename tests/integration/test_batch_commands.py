"""Batches and several files, by the commands: their exit codes, and what a results file holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.queue.workers import echo, working
from tests.integration.test_privacy_commands import Shell

from spacedock.request import Tier
from spacedock.result import AnsweredBy, AnswerKind, Attempt, AttemptError, ErrorKind, JobResult, Stage
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

BATCH = ("batch", "prompts.txt", "-o", "out.jsonl")


async def app(job: TakenJob, tell: Emit) -> JobResult:
    """Fails at what says "broken", and gives a model's words to what says "drawn"."""
    prompt = job.request.prompt + "".join(ref.name for ref in job.request.files)
    if "broken" in prompt:
        error = AttemptError(kind=ErrorKind.APP_ERROR, message="cannot read it")
        attempt = Attempt(tier=Tier.HEAVY, name="mood", stage=Stage.CALL, error=error)
        return JobResult(id=job.id, state=JobState.FAILED, attempts=(attempt,))
    by = AnsweredBy(tier=Tier.DEFAULT, kind=AnswerKind.MODEL, name="smollm")
    return (await echo(job, tell)).model_copy(update={"answered_by": by, "degraded": "drawn" in prompt})


@pytest.fixture
def shell(redis_url: str, tmp_path: Path) -> Shell:
    return Shell(redis_url, tmp_path)


def prompts(shell: Shell, *lines: str) -> None:
    (shell.folder / "prompts.txt").write_text("".join(f"{line}\n" for line in lines))


def rows(shell: Shell) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (shell.folder / "out.jsonl").read_text().splitlines()]


async def test_a_batch_with_failures_ends_with_1_however_often_it_is_run(
    shell: Shell, redis_url: str
) -> None:
    prompts(shell, "fine", "broken", "drawn")
    async with working(redis_url, app):
        for _ in range(3):
            code, _, err = await shell.run(*BATCH)
            assert code == 1, err
            assert "1 failed: mood: app_error: cannot read it\n    line 2\n" in err
        assert "2 of 3 lines were answered before, 1 of them degraded" in err
        assert sorted(row["line"] for row in rows(shell)) == [1, 2, 3]
        (failed,) = [row for row in rows(shell) if row["state"] == "failed"]
        assert failed["error"] == {"kind": "app_error", "message": "cannot read it", "host": False}
        prompts(shell, "fine", "mended", "drawn")
        code, _, err = await shell.run(*BATCH, "--allow-degraded")
    assert code == 0, err
    assert sorted((row["line"], row["state"]) for row in rows(shell)) == [
        (1, "succeeded"),
        (2, "succeeded"),
        (3, "succeeded"),
    ]


async def test_results_go_to_standard_output_and_a_label_that_no_line_has_is_told(
    shell: Shell, redis_url: str
) -> None:
    (shell.folder / "p.csv").write_text("prompt,note\nfine,n\n")
    async with working(redis_url, app):
        code, out, err = await shell.run("batch", "p.csv", "--label", "note", "--label", "nota", "-o", "-")
    assert (code, json.loads(out)["labels"]) == (0, {"note": "n"}), err
    assert "--label nota: no line has that column or key\n" in err
    assert "--label note:" not in err


async def test_degraded_answers_alone_end_a_batch_with_3_until_they_are_allowed(
    shell: Shell, redis_url: str
) -> None:
    prompts(shell, "fine", "drawn")
    async with working(redis_url, app):
        codes = [(await shell.run(*BATCH, *more))[0] for more in ((), (), ("--allow-degraded",))]
    assert codes == [3, 3, 0]


@pytest.mark.parametrize(
    ("names", "more", "expected"),
    [
        (["a", "b"], [], 0),
        (["a", "drawn"], [], 3),
        (["a", "drawn"], ["--allow-degraded"], 0),
        (["drawn", "broken"], [], 1),
        (["drawn"], [], 0),
    ],
)
async def test_several_files_end_as_a_batch_of_them_does(
    shell: Shell, redis_url: str, names: list[str], more: list[str], expected: int
) -> None:
    for name in names:
        (shell.folder / name).write_text(name)
    files = [word for name in names for word in ("--file", name)]
    async with working(redis_url, app):
        code, _, err = await shell.run("run", "look", "--batch-mode", *files, *more)
    assert code == expected, err
    assert ("exit code 3" in err) is (expected == 3)
