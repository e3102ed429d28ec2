"""What a person's terminal gets of hostile answers, errors, progress and names: no escapes of theirs."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.integration.queue.workers import working

from spacedock._wire.rpc import Call, OnProgress, Reply
from spacedock.client import Client
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
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob

HOSTILE = "evil\x1b]0;owned\x07\x1b[2J\x9b31m\x08\x7f\r\x1b[8mhidden"
THEIRS = ("\x1b]0;owned", "\x07", "\x9b", "\x08", "\x7f", "\x1b[8m")
COMMAND = Path(sys.executable).parent / "spacedock"


async def on_a_terminal(url: str, folder: Path, *arguments: str) -> str:
    """What a command writes to a terminal that is its standard output and error."""
    ours, theirs = os.openpty()
    clean = {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")}
    env = {**clean, "SPACEDOCK_REDIS_URL": url, "XDG_STATE_HOME": str(folder), "TERM": "xterm-256color"}
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, cwd=folder, env=env, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    reading = asyncio.create_task(asyncio.to_thread(_read, ours))
    await process.wait()
    return (await reading).decode()


def _read(terminal: int) -> bytes:
    """All until the other end is closed, which Linux tells as an error."""
    said = b""
    with suppress(OSError):
        while data := os.read(terminal, 65_536):
            said += data
    os.close(terminal)
    return said


async def hostile_app(job: TakenJob, tell: Emit) -> JobResult:
    tell(Stage.CALL, HOSTILE, HOSTILE, HOSTILE)
    # Time for a terminal that draws ten times a second.
    await asyncio.sleep(0.3)
    error = AttemptError(kind=ErrorKind.APP_ERROR, message=HOSTILE)
    failed = Attempt(tier=Tier.HEAVY, name=HOSTILE, stage=Stage.CALL, error=error)
    if "fail" in job.request.prompt:
        return JobResult(id=job.id, state=JobState.FAILED, attempts=(failed,))
    by = AnsweredBy(tier=Tier.HEAVY, kind=AnswerKind.SPACE, name=HOSTILE, endpoint=HOSTILE)
    output = Output(text=HOSTILE, data=[HOSTILE], files=(payload_of("evil\x1b]0;owned\x07", b"x").ref,))
    return JobResult(
        id=job.id, state=JobState.SUCCEEDED, answered_by=by, degraded=True, output=output, attempts=(failed,)
    )


async def hostile_registry(call: Call, redis: Redis, tell: OnProgress) -> Reply:
    kinds = {"category": HOSTILE, "input_type": HOSTILE, "output_type": HOSTILE, "description": HOSTILE}
    return Reply(spaces={HOSTILE: kinds, "s": kinds}, warnings=(HOSTILE,))


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "hello", "-d", "saved"],
        ["run", "hello"],
        ["run", "--json", "hello"],
        ["run", "fail"],
        ["batch", "prompts.txt"],
        ["spaces", "list"],
        ["spaces", "list", "--json"],
        ["spaces", "show", "s"],
    ],
    ids=" ".join,
)
async def test_no_escape_of_a_stranger_reaches_the_terminal(
    redis_url: str, tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "prompts.txt").write_text("hello\nfail\n")
    async with Client(redis_url) as client, working(redis_url, hostile_app, hostile_registry):
        await client.store([payload_of("x", b"x")])
        shown = await on_a_terminal(redis_url, tmp_path, *arguments)
    assert "evil" in shown
    # A terminal's own line ends have a carriage return.
    assert [bad for bad in THEIRS if bad in shown] == []
