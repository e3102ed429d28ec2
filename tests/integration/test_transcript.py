"""What the commands say, whole, in data/transcript.txt: a change of words is seen in review.

Queue, client and worker are real; what the worker's host would answer is played, as a Space's answer and
an engine's sizes are other ones each day. `make reference` writes the transcript anew.
"""

from __future__ import annotations

import asyncio
import io
import re
import shlex
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import advancing
from tests.unit import test_cli_finding as finding
from tests.unit import test_cli_planning as planning
from tests.unit import test_cli_tiers as tiers

from spacedock._stores.payloads import Payloads
from spacedock._wire.connection import connect
from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock.cli.app import main
from spacedock.files import payload_of
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
from spacedock_worker.cleanup.report import Report
from spacedock_worker.control.collections.reading import read_collection
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

TRANSCRIPT = Path(__file__).parent / "data/transcript.txt"

MOODS = """\
name: moods
description: What people feel, in one word
inputs:
  letters: files
  language: {type: text, default: English}
steps:
  read:
    space: mood
    for_each: ${{ inputs.letters }}
    files: ${{ item }}
    cache: true
  sum_up:
    category: text_processing
    prompt: "Sum up: ${{ steps.read.text }}"
  translate:
    tier: fast
    when: inputs.language != 'English'
    prompt: "${{ steps.sum_up.text }} in ${{ inputs.language }}, not: ${{ steps.read.text }}"
outputs:
  summary: ${{ steps.translate.text || steps.sum_up.text }}
"""
BROKEN = """\
name: broken
steps:
  first: {space: mood, promt: hello}
  second: {space: mood, prompt: "${{ steps.first.text", timeout: soon}
"""
LOST_SPACE = """\
name: lost
steps:
  first: {space: moody, prompt: hello}
"""

ECHO = """\
name: echo
inputs:
  who: text
steps:
  first: {space: ann/mood, prompt: "${{ inputs.who }}"}
  second:
    space: mood
    for_each: [a, b]
    prompt: "${{ item }}: ${{ steps.first.text }}"
  last:
    tier: fast
    when: steps.first.text contains 'nobody'
    prompt: hello
outputs:
  first: ${{ steps.first.text }}
  seconds: ${{ steps.second.text }}
  files: ${{ steps.first.files }}
"""

ALONE = (
    "run",
    "run hello --redis redis://127.0.0.1:1",
    "run hello --redis localhost",
    "run hello --redis redis+sentinel://h",
    "run hello --space 'a b'",
    "run hello --space ./nowhere",
    "run hello --space https://ann-mood.hf.space",
    "run hello --endpoint predict",
    "run hello --input steps",
    "run hello --file nowhere.png",
    "run hello --file folder",
    "run hello --timeout 0",
    "bacth prompts.txt",
    "hello --tiers",
    "batch nowhere.txt",
    "batch empty.txt",
    "batch broken.jsonl",
    "batch prompts.txt -o notes.txt",
    "spaces add mood",
    "spaces update mood",
    "spaces unbundle spaces.tar",
    "spaces import nowhere.yaml",
    "spaces import broken.jsonl --yes",
    "cleanup --older-than soon",
    "pipeline list",
    "pipeline show moods",
    "pipeline show moods --json",
    "pipeline check broken.yaml",
    "pipeline check broken.yaml --json",
    "pipeline check moods",
    "pipeline check nowhere",
)
"""Commands that are wrong, or find nobody."""

ASKED = (
    "run hello --space mood",
    "run hello --space mood --json",
    "run picture --space mood -d saved",
    "run picture --space mood",
    "run degraded --space mood",
    "run cut --space mood",
    "run fails --space mood",
    "run alike --space mood",
    "run hello --space nobody",
    "run hello --space spaces/mood",
    "run hello --space moody",
    "batch prompts.txt --space mood -o results.jsonl",
    "batch prompts.txt --space mood -o results.jsonl",
    "status nowhere",
    "result nowhere",
    "cancel nowhere",
    "spaces list",
    "spaces list --all",
    "spaces add mood --image mood:1",
    "spaces add mood --description 'Tells the mood'",
    "spaces add other --description 'Tells the mood'",
    "spaces update mood --memory 4GB",
    "spaces update mood --no-network --env STEPS=4",
    "spaces remove mood",
    "spaces remove nobody",
    "spaces lock",
    "spaces lock mood",
    "spaces export shared.yaml mood",
    "spaces export shared.yaml mood",
    "spaces import shared.yaml",
    "spaces import shared.yaml --dry-run",
    "spaces import shared.yaml --yes",
    "spaces import evil.yaml --yes",
    "logs --space mood",
    "cleanup --dry-run",
    "run hello --space clip-analysis --dry-run",
    "tiers",
    "spaces search ears",
    "spaces discover audio_processing",
    "spaces show eve/red --hub",
    "pipeline check moods",
    "pipeline check lost.yaml",
    "pipeline check echo.yaml",
    "pipeline run echo.yaml --input who=you",
    "pipeline run echo.yaml --input who=@notes.txt --json",
    "pipeline run echo.yaml --input who=fails",
    "pipeline run echo.yaml --input who=picture -d saved",
    "pipeline run echo.yaml --input who=you --detach",
    "pipeline run echo.yaml",
    "pipeline run echo.yaml --input whom=you",
    "pipeline run echo.yaml --input who=you --input who=me",
    "pipeline run plain.yaml --from a",
    "pipeline run plain.yaml --from b",
    "pipeline run plain.yaml",
    "pipeline run plain.yaml --from a",
)
"""Commands that a worker answers."""

WALL = "Space 'mood': memory can only be changed in the registry's file on the host (/registry.yaml)"
ROW = {"category": "text_processing", "input_type": "text", "output_type": "text", "description": "Tells"}
SPACES: dict[str, dict[str, Any]] = {"mood": ROW, "translation": ROW | {"description": "Translates"}}
STANDS = {"containers": {}, "quarantined_for": None, "reason": None}
HERE = {
    "mood": {"state": "paused", "image_bytes": 1_274_000_000, "cache_bytes": 0, **STANDS},
    "translation": {"state": "not here", "image_bytes": None, "cache_bytes": None, **STANDS},
}
FREED = {
    "dry_run": True,
    "bytes": 5_000_000,
    "kinds": {
        kind: {"count": int(kind == "images"), "bytes": 5_000_000 * (kind == "images")}
        for kind in ("results", "answers", "files", "containers", "scratch", "caches", "images")
    },
    "items": [{"kind": "images", "name": "mood:1", "bytes": 5_000_000, "why": "nothing uses it"}],
    "left": [],
}
LOCK = {"version": 1, "spaces": {"mood": {"digest": "sha256:0"}}, "notes": [], "failed": {}, "left_out": []}


def attempt(name: str, kind: ErrorKind, message: str, stage: Stage = Stage.BUILD) -> Attempt:
    return Attempt(tier=Tier.HEAVY, name=name, stage=stage, error=AttemptError(kind=kind, message=message))


LOST = (
    "the repository of {} cannot be fetched: Name or service not known. Check that this host reaches the Hub"
)
FAILURES = {
    "fails": (
        attempt("mood", ErrorKind.APP_ERROR, "the app failed: Too young", Stage.CALL),
        attempt(
            "tier 1", ErrorKind.SKIPPED, "no Tier 1 model is configured, and none runs at the usual addresses"
        ),
    ),
    "alike": (
        attempt("mood", ErrorKind.REPOSITORY_UNAVAILABLE, LOST.format("ann/mood")),
        attempt("bob/mood", ErrorKind.REPOSITORY_UNAVAILABLE, LOST.format("bob/mood")),
        attempt("eve/mood", ErrorKind.REPOSITORY_UNAVAILABLE, LOST.format("eve/mood")),
    ),
}


EVIL = "spaces:\n  mood:\n    hub_id: ann/mood\n    gpu: auto\n    env:\n      HF_TOKEN: abc\n    port: 0\n"
COLLECTION = {
    "text": "spaces:\n  mood:\n    hub_id: ann/mood\n",
    "names": ["mood"],
    "notes": ["mood: left out gpu"],
}


def imported(text: str, source: str, *, apply: bool = False, **_: Any) -> dict[str, Any]:
    """What a worker says of a collection whose Spaces are changed, or new, or as they were."""
    told = {"memory": "memory: 2147483648 -> 4294967296", "category": "category: nlp"}
    rows = [
        {"name": "mood", "state": "changed", "fields": [told["memory"]]},
        {"name": "ann/calm", "state": "new", "fields": [told["category"], "hub_id: ann/calm"]},
        {"name": "translation", "state": "same", "fields": []},
    ]
    refused = read_collection(text, source).faults
    note = "mood: its alternates gone are neither in the file nor here"
    found = {"spaces": [] if refused else rows, "refused": refused, "notes": [] if refused else [note]}
    return {**found, "seen": "0", "applied": apply and not refused}


PLAYED: dict[Op, dict[str, Any]] = {
    Op.PLAN: {
        "route": {"tier": "heavy", "reasons": ["it has an image"]},
        "steps": [planning.SPACE, planning.SKIPPED, planning.MODEL],
        "warnings": [],
        "misfits": [],
    },
    Op.TIERS: tiers.FOUND,
    Op.EXPORT: COLLECTION,
    Op.SEARCH: {**finding.FOUND, "spaces": [finding.SPACE | row for row in finding.FOUND["spaces"]]},
    Op.ABOUT: {
        "space": finding.SPACE,
        "image": finding.IMAGE,
        "endpoints": ["/a() -> x"],
        "cached_at": None,
        "note": None,
    },
}


async def answered(job: TakenJob, tell: Emit) -> JobResult:
    """Play the Space, by the prompt."""
    prompt = job.request.prompt
    if prompt in FAILURES:
        return JobResult(
            id=job.id, state=JobState.FAILED, attempts=FAILURES[prompt], labels=job.request.labels
        )
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name="mood", image="mood:1", endpoint="/tell")
    files = (payload_of("mood.txt", b"good").ref,) if prompt == "picture" else ()
    degraded = prompt == "degraded"
    if degraded:
        by = AnsweredBy(tier=Tier.DEFAULT, kind=AnswerKind.MODEL, name="smollm")
    return JobResult(
        id=job.id,
        state=JobState.SUCCEEDED,
        answered_by=by,
        degraded=degraded,
        output=Output(text=f"{prompt}: positive", files=files, truncated=prompt == "cut"),
        attempts=FAILURES["fails"] if degraded else (),
        labels=job.request.labels,
    )


async def controls(call: Call, redis: Redis, tell: OnProgress) -> Reply:
    """Play the host's registry and engine."""
    if call.op in PLAYED:
        return Reply(data=PLAYED[call.op])
    if call.op is Op.IMPORT:
        return Reply(data=imported(**call.options))
    known = call.name is None or call.name in SPACES
    if call.op is Op.LIST:
        return Reply(spaces=SPACES, data={"status": HERE, "shipped": ["translation"]})
    if call.op is Op.ADD and call.entry.get("memory"):
        return Reply(error=WALL)
    if not known:
        return Reply(not_found=True, known=tuple(SPACES))
    if call.op is Op.LOCK:
        lost = {"failed": {"lost": LOST.format("ann/lost")}, "left_out": ["translation"]}
        return Reply(data=LOCK if call.options["names"] else LOCK | lost)
    if call.op is Op.LOGS:
        return Reply(data={"logs": {"mood-1": "* Running on local URL:  http://0.0.0.0:7860"}})
    if call.op is Op.REMOVE:
        report = Report(dry_run=False)
        report.add("caches", 5_000_000, "v")
        return Reply(data=report.told())
    if call.op is Op.CLEANUP:
        return Reply(data=FREED)
    return Reply(spaces={str(call.name): SPACES[str(call.name)]} if call.name else {})


def said(line: str, url: str) -> str:
    """A command, and all that it says: standard output, then standard error, then its exit code."""
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["spacedock", *shlex.split(line)]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
        code: Any = 0
    except SystemExit as ended:
        code = ended.code
    text = f"$ spacedock {line}\n{out.getvalue()}{err.getvalue()}"
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text.replace(url, "URL"))
    text = re.sub(r"\b\d+\.\d+( s\b|/s\))", r"N\1", text)
    text = re.sub(r'("(?:queued|waited|total)": )[\d.e-]+', r"\1N", text)
    return f"{text}exit code {code or 0}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run."""
    (tmp_path / "pipelines").mkdir()
    for name, text in {
        "prompts.txt": "hello\nfails\ndegraded\n",
        "notes.txt": "my notes\n",
        "empty.txt": "",
        "pipelines/moods.yaml": MOODS,
        "broken.yaml": BROKEN,
        "echo.yaml": ECHO,
        "plain.yaml": "name: plain\nsteps: {a: {tier: fast, prompt: hello}}\n",
        "lost.yaml": LOST_SPACE,
        "evil.yaml": EVIL,
        "broken.jsonl": '{"prompt": "fine"}\n{"prompt": \n{"promt": "x"}\n',
    }.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    (tmp_path / "spaces/mood").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys, "argv", sys.argv)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    return tmp_path


async def test_what_the_commands_say_is_what_the_transcript_has(
    folder: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("SPACEDOCK_REDIS_URL", f"unix://{folder}/no.sock")
    parts = [await asyncio.to_thread(said, line, f"unix://{folder}/no.sock") for line in ALONE]
    monkeypatch.setenv("SPACEDOCK_REDIS_URL", redis_url)
    async with advancing(redis_url, answered, controls, max_jobs=1), connect(redis_url) as redis:
        await Payloads(redis).upload([payload_of("mood.txt", b"good")])
        # In turn: each is a process of its own in life.
        parts += [await asyncio.to_thread(said, line, redis_url) for line in ASKED]
    transcript = "\n".join(parts)
    if request.config.getoption("--rewrite"):
        TRANSCRIPT.parent.mkdir(exist_ok=True)
        TRANSCRIPT.write_text(transcript, encoding="utf-8")
    assert transcript == TRANSCRIPT.read_text(encoding="utf-8"), "see what changed, then `make reference`"
