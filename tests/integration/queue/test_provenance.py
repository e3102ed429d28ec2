"""The provenance of jobs: what was asked, who answered with what, and when; enough to ask it again."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from tests.integration.queue.test_pipeline_runs import FAN
from tests.integration.queue.workers import Held, advancing, working

from spacedock._wire.view.provenance import command_of
from spacedock.cli.app import main
from spacedock.client import Client
from spacedock.errors import JobNotFoundError
from spacedock.files import payload_of
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import (
    AnsweredBy,
    AnswerKind,
    Attempt,
    AttemptError,
    ErrorKind,
    JobResult,
    Origin,
    Output,
    Stage,
)
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

IMAGE, FAILED_IMAGE = "sha256:" + "1" * 64, "sha256:" + "2" * 64
BY = AnsweredBy(
    tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="mood", image="mood:1", image_digest=IMAGE, endpoint="/tell"
)
FILE = payload_of("voice.wav", b"RIFF")


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


async def answered(job: TakenJob, tell: Emit) -> JobResult:
    """What a host writes of a job whose first Space failed."""
    error = AttemptError(kind=ErrorKind.CRASHED, message="it ended")
    asked = job.request.digests if job.request.privacy else {}
    return JobResult(
        id=job.id,
        state=JobState.FAILED if job.request.prompt == "fails" else JobState.SUCCEEDED,
        answered_by=BY,
        output=Output(text="positive", data={"b": 1, "a": [2]}, files=(FILE.ref,)),
        attempts=(
            Attempt(tier=Tier.HEAVY, name="calm", stage=Stage.CALL, error=error, image_digest=FAILED_IMAGE),
            Attempt(tier=Tier.HEAVY, name="mood", stage=Stage.OUTPUT, image_digest=IMAGE),
        ),
        origin=Origin(host="one", spacedock="0.1.0", engine="20.10.24", asked=asked),
    )


async def test_all_that_asks_a_job_again_is_told(client: Client, redis_url: str, tmp_path: Path) -> None:
    path = tmp_path / "voice.wav"
    path.write_bytes(b"RIFF")
    async with working(redis_url, answered):
        job = await client.submit(
            "I love it", space="mood", files=[path], inputs={"n": 2}, endpoint="/tell", timeout=60.0
        )
        await client.result(job, wait=60)
    found = (await client.provenance(job)).model_dump(mode="json")
    assert found.pop("submitted") <= found.pop("ended")
    assert found["result"].pop("timings")["total"] > 0
    file = {"name": "voice.wav", "sha256": sha256("RIFF"), "size": 4, "media_type": "audio/wav"}
    attempt = {"tier": "heavy", "seconds": 0.0}
    assert found == {
        "version": 1,
        "client": "0.1.0",
        "request": {
            "prompt": "I love it",
            "files": [file],
            "space": "mood",
            "endpoint": "/tell",
            "inputs": {"n": 2},
            "timeout": 60.0,
        },
        "asked": {"prompt": sha256("I love it"), "inputs.n": sha256("2"), "files.1": sha256("RIFF")},
        "result": {
            "id": job,
            "state": "succeeded",
            "answered_by": BY.model_dump(mode="json"),
            "degraded": False,
            "privacy": False,
            "output": {
                "text": None,
                "data": None,
                "files": [FILE.ref.model_dump(mode="json")],
                "truncated": False,
            },
            "attempts": [
                attempt
                | {
                    "name": "calm",
                    "stage": "call",
                    "error": {"kind": "crashed", "message": "it ended", "host": False},
                    "image_digest": FAILED_IMAGE,
                },
                attempt | {"name": "mood", "stage": "output", "error": None, "image_digest": IMAGE},
            ],
            "labels": {},
            "origin": {"host": "one", "spacedock": "0.1.0", "engine": "20.10.24", "asked": {}},
            "error": None,
        },
        "output": {"text": sha256("positive"), "data": sha256('{"a": [2], "b": 1}')},
        "again": "spacedock run 'I love it' --space mood --endpoint /tell --timeout 60 --input n=2 "
        "--file voice.wav",
        "steps": {},
    }


async def test_of_a_private_job_only_digests_are_told(client: Client, redis_url: str) -> None:
    async with working(redis_url, answered):
        job = await client.submit("my secret", space="mood", inputs={"to": "Ann"}, privacy=True)
        await client.result(job, wait=60, keep=True)
        found = await client.provenance(job)
        text = found.model_dump_json()
        assert found.asked == {"prompt": sha256("my secret"), "inputs.to": sha256("Ann")}
        assert (found.request, found.again) == (None, None)
        assert "my secret" not in text
        assert "Ann" not in text
        await client.forget(job)
        with pytest.raises(JobNotFoundError):
            await client.provenance("nowhere")


async def test_of_a_private_job_that_runs_nothing_else_is_told(client: Client, redis_url: str) -> None:
    held = Held()
    async with working(redis_url, held):
        job = await client.submit("my secret", space="mood", privacy=True)
        await held.began.get()
        found = await client.provenance(job)
        assert (found.result.state, found.request, found.ended) == (JobState.RUNNING, None, None)
        assert "my secret" not in found.model_dump_json()
        held.go.set()
        await client.result(job, wait=60)


async def test_a_run_has_the_provenance_of_each_job_of_its_steps(client: Client, redis_url: str) -> None:
    async with advancing(redis_url, answered):
        result = await client.run_pipeline(FAN, {"words": ["a", "b"]}, wait=60)
    found = await client.provenance(result.id)
    assert found.request is not None
    assert found.request["pipeline"]["name"] == "a-test"
    assert found.again == """spacedock pipeline run a-test --input text=hello --input 'words=["a", "b"]'"""
    jobs = {
        name: [one.request and one.request["prompt"] for one in some] for name, some in found.steps.items()
    }
    assert jobs == {"each": ["<a>", "<b>"], "all": ["positive\npositive"]}
    assert {
        by.image_digest for some in found.steps.values() for one in some if (by := one.result.answered_by)
    } == {IMAGE}


COMMANDS: dict[str, dict[str, Any]] = {
    "spacedock run hi": {"prompt": "hi"},
    "spacedock run 'it'\"'\"'s' --category nlp --tier heavy --no-fallback": {
        "prompt": "it's",
        "category": "nlp",
        "tier": Tier.HEAVY,
        "fallback": Fallback.NONE,
    },
    "spacedock run --space ./mood --file voice.wav --performance-first": {
        "repository": payload_of("mood.tar", b"x").ref,
        "files": (FILE.ref,),
        "performance_first": True,
    },
    "spacedock pipeline run photos --input pages=a.png --input pages=b.png --input to=fr --input n=3": {
        "pipeline": {"name": "photos"},
        "files": (FILE.ref,),
        "inputs": {"pages": [{"name": n, "sha256": "0"} for n in ("a.png", "b.png")], "to": "fr", "n": 3},
    },
    "spacedock run hi --optional-input seed=1 --optional-input style=bold --optional-input 'size=\"2\"'": {
        "prompt": "hi",
        "optional_inputs": {"seed": 1, "style": "bold", "size": "2"},
    },
    "spacedock run hi --input 'rows=[[1, \"a\"]]' --input 'to=A B'": {
        "prompt": "hi",
        "inputs": {"rows": [[1, "a"]], "to": "A B"},
    },
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_that_asks_the_same_is_told(command: str) -> None:
    assert command_of(JobRequest(**COMMANDS[command])) == command


def test_no_command_is_told_that_would_ask_something_else() -> None:
    assert command_of(JobRequest(prompt="hi", explain=True)) is None


def said(line: str, url: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", shlex.split(f"spacedock {line} --redis {url}"))
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


async def test_result_writes_it_beside_the_answer_or_in_its_place(
    client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def result(job: str, provenance: str) -> tuple[int, str, str]:
        line = f"result {job} --provenance {provenance}"
        return await asyncio.to_thread(said, line, redis_url, monkeypatch)

    path = tmp_path / "p.json"
    async with working(redis_url, answered):
        job, failed = [await client.submit(prompt, space="mood") for prompt in ("hi", "fails")]
        await asyncio.gather(client.result(job, wait=60), client.result(failed, wait=60))
    code, out, err = await result(job, str(path))
    assert (code, out) == (0, "positive\n")
    assert f"wrote {path}" in err
    written = json.loads(await asyncio.to_thread(path.read_text))
    assert written["again"] == "spacedock run hi --space mood"
    code, out, _ = await result(job, "-")
    assert (code, json.loads(out)) == (0, written)
    code, _, err = await result(job, str(path))
    assert (code, err) == (2, f"spacedock: {path} exists: choose another name, or remove it\n")
    code, out, _ = await result(failed, "-")
    assert (code, json.loads(out)["result"]["state"]) == (1, "failed")


async def test_a_private_answer_is_handed_over_after_its_provenance_is_written(
    client: Client, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "p.json"
    async with working(redis_url, answered):
        job = await client.submit("my secret", space="mood", privacy=True)
        await client.result(job, wait=60, keep=True)
    line = f"result {job} --provenance {path}"
    code, out, _ = await asyncio.to_thread(said, line, redis_url, monkeypatch)
    assert (code, out) == (0, "positive\n")
    assert json.loads(await asyncio.to_thread(path.read_text))["asked"] == {"prompt": sha256("my secret")}
