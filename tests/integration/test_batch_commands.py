"""Batches and several files, by the commands: their exit codes, and what a results file holds."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from tests.integration.queue.workers import Held, advancing, echo, working
from tests.integration.test_privacy_commands import Shell
from tests.receiver import receiving

from spacedock.client import Client
from spacedock.pipelines.model import Pipeline
from spacedock.request import Tier
from spacedock.result import AnsweredBy, AnswerKind, Attempt, AttemptError, ErrorKind, JobResult, Stage
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.http.settings import WebhookSettings
from spacedockd.webhooks.deliverer import Deliverer

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
            assert "1 failed: app_error: mood: cannot read it\n    line 2\n" in err
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


async def test_a_batch_is_followed_from_another_machine_after_its_client_was_killed(
    shell: Shell, redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    another, held = Shell(redis_url, tmp_path / "elsewhere"), Held()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        tell(Stage.CALL, "mood", "asking", None)
        await held(job, tell)
        return await app(job, tell)

    prompts(shell, "fine", "broken", "drawn", "good")
    async with working(redis_url, handle, max_jobs=1), asyncio.timeout(60):
        client = await shell.start(*BATCH, "--allow-degraded")
        await held.began.get()
        client.kill()
        await client.communicate()
        _, batch_id, _ = await another.run("jobs", "--batches", "-q")
        batch_id = batch_id.strip()
        _, said, _ = await another.run("status", batch_id[:6])
        assert said == f"batch {batch_id} (prompts.txt): 4 jobs: 3 queued, 1 running\n"
        waiting = await another.start("wait", batch_id)
        held.go.set()
        out, _ = await waiting.communicate()
        assert (waiting.returncode, len(out.splitlines())) == (1, 4)
        _, said, _ = await another.run("status", batch_id)
        assert said.endswith(": 4 jobs: 3 succeeded (1 degraded), 1 failed\n")
        code, said, _ = await another.run("watch", batch_id)
        assert (code, said.count("mood: asking"), said.count("succeeded")) == (0, 4, 3)
        _, again, _ = await another.run("retry", batch_id)
        assert (await another.run("wait", again.strip()))[0] == 1
        _, said, _ = await another.run("status", batch_id)
        assert said.endswith(": 5 jobs: 3 succeeded (1 degraded), 2 failed\n")
        _, said, err = await another.run("cancel", batch_id)
        assert err == f"batch {batch_id}: 0 of 5 jobs are cancelled; 5 had ended before\n"


async def test_a_batch_without_failures_has_nothing_to_retry(shell: Shell, redis_url: str) -> None:
    prompts(shell, "fine")
    async with working(redis_url, app):
        await shell.run(*BATCH)
        _, batch_id, _ = await shell.run("jobs", "--batches", "-q")
        said = await shell.run("retry", batch_id.strip())
    assert said == (0, "", "nothing to retry: no job of these failed or was cancelled\n")


async def test_the_examples_of_the_page_run_as_written(shell: Shell, redis_url: str) -> None:
    page = (Path(__file__).parents[2] / "docs/batch.md").read_text()
    (shell.folder / "pictures").mkdir()
    for name in "ab":
        (shell.folder / f"pictures/{name}.png").write_bytes(name.encode())
    for name, content in re.findall(r"^`([\w.]+)`:\n\n```\n(.*?)```", page, re.MULTILINE | re.DOTALL):
        (shell.folder / name).write_text(content)
    commands = re.findall(r"^spacedock (batch .*)", page, re.MULTILINE)
    async with working(redis_url, app):
        for command in commands:
            code, _, err = await shell.run(*shlex.split(command, comments=True))
            assert code == 0, (command, err)
    written = {path.stem: path.read_text() for path in shell.folder.glob("*.jsonl")}
    assert "Is this review kind? It broke, after a day." in written["kind"]
    assert "Describe b.png" in written["pictures"]
    assert 'Explain tax to a lawyer, as {\\"answer\\": \\"…\\"}.' in written["answers"]
    assert json.loads(written["visits"])["row_id"] == "7"


async def test_a_webhook_tells_of_a_batch_when_its_last_line_has_ended(shell: Shell, redis_url: str) -> None:
    prompts(shell, "fine", "broken", "drawn")
    allowed = WebhookSettings(allow=(ip_network("127.0.0.0/8"),))
    async with receiving() as receiver, working(redis_url, app), Client(redis_url) as client:
        sending = asyncio.create_task(Deliverer(redis_url, allowed).run())
        asked, secret = ("--callback", receiver.url), await client.webhooks.secret()
        await shell.run(*BATCH, "--in-flight", "1", *asked)
        told = [await receiver.next(secret)]
        (shell.folder / "others.txt").write_text("broken\n")
        _, batch, _ = await shell.run("batch", "others.txt", "--detach", *asked)
        told.append(await receiver.next(secret))
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert [one["type"] for one in told] == ["batch.completed", "batch.failed"]
    assert told[0]["data"]["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert told[1]["data"]["id"] == batch.strip()
    code, _, err = await shell.run(*BATCH, "--callback", "nowhere")
    assert (code, "callback: 'nowhere' is not an address" in err) == (2, True)


async def test_a_pipeline_runs_for_each_line_and_failed_ones_again(shell: Shell, redis_url: str) -> None:
    step = {"space": "mood", "prompt": "${{ inputs.word }} ${{ inputs.style }}"}
    pipeline = {"name": "tell", "inputs": {"word": "text", "style": "text"}, "steps": {"tell": step}}
    (shell.folder / "tell.yaml").write_text(json.dumps(pipeline))
    (shell.folder / "words.csv").write_text("prompt,style\nfine,bold\nbroken,thin\n")
    words = ("batch", "words.csv", "--pipeline", "tell.yaml", "-o", "out.jsonl")
    async with advancing(redis_url, app):
        code, _, err = await shell.run(*words)
        assert code == 1, err
        assert "1 failed: app_error: tell: step 'tell' failed: " in err
        assert {row["line"]: row["output"]["text"] for row in rows(shell)} == {2: "fine bold", 3: None}
        (shell.folder / "words.csv").write_text("prompt,style\nfine,bold\nmended,thin\n")
        code, _, err = await shell.run(*words, "--retry", "failed")
        assert code == 0, err
        assert {row["line"]: row["output"]["text"] for row in rows(shell)} == {
            2: "fine bold",
            3: "mended thin",
        }
        # What is wrong with the pipeline is told before a line is sent.
        (shell.folder / "tell.yaml").write_text(json.dumps(pipeline).replace("inputs.word", "inputs.wird"))
        code, _, err = await shell.run(*words)
    assert code == 2, err
    assert "there is no input 'wird': did you mean 'word'?" in err


async def test_the_status_of_a_run_shows_its_steps(shell: Shell, redis_url: str) -> None:
    each = {"space": "mood", "for_each": ["fine", "broken", "good"], "prompt": "${{ item }}"}
    last = {"space": "mood", "prompt": "${{ steps.each.text }}"}
    pipeline = Pipeline.model_validate({"name": "tell", "steps": {"each": each, "last": last}})
    async with advancing(redis_url, app), Client(redis_url) as client:
        run = (await client.run_pipeline(pipeline, wait=60)).id
        code, out, err = await shell.run("status", run)
    assert (code, out) == (0, "failed\n  each: failed  3 of 3, 1 failed\n  last: blocked\n"), err
