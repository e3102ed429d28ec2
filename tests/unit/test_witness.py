"""The job that holds the loop can be read from outside, even while nothing else runs in the process."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from spacedock_worker import witness
from spacedock_worker.witness import Note, Witness

HOLDING = """
import asyncio, sys
from pathlib import Path
from spacedock_worker.witness import Witness

def hold():
    print("held", flush=True)
    # The interpreter's lock is kept all the while: no thread could tell.
    import re
    re.match("(a|a)*b", "a" * 60)

async def child():
    hold()

async def job():
    await asyncio.create_task(child())

async def main():
    with Witness(Path(sys.argv[1])) as seen:
        seen.worker_is("worker-1")
        await asyncio.gather(seen.seen("job-1", asyncio.sleep(1000)), seen.seen("job-2", job()))

asyncio.run(main())
"""


def noted(path: Path) -> tuple[str, str]:
    """The worker and the job that are noted."""
    note = witness.read(path)
    assert note is not None
    return note.worker_id, note.job_id


@pytest.mark.parametrize(
    ("before", "now", "starved"),
    [
        ("a 1", "a 1", False),
        ("a 1", "a 2", True),
        ("a 1", "b 0", False),
        ("", "a 1", True),
        ("a 1", "", True),
    ],
)
def test_the_note_tells_whether_the_kernel_has_lacked_memory_since(
    monkeypatch: pytest.MonkeyPatch, before: str, now: str, starved: bool
) -> None:
    monkeypatch.setattr(witness, "kernel_kills", lambda: now)
    assert Note("worker-1", "", before).starved is starved


def test_the_job_that_holds_the_loop_is_named(tmp_path: Path) -> None:
    note = tmp_path / "loop"
    command = [sys.executable, "-c", HOLDING, str(note)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"held\n"
            assert noted(note) == ("worker-1", "job-2")
        finally:
            process.kill()


async def test_nobody_is_named_while_the_loop_is_free(tmp_path: Path) -> None:
    note = tmp_path / "loop"
    with Witness(note) as seen:
        seen.worker_is("worker-1")
        job = asyncio.create_task(seen.seen("job-1", asyncio.sleep(1000)))
        await asyncio.sleep(0)
        assert noted(note) == ("worker-1", "")
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        assert noted(note) == ("worker-1", "")
    assert witness.read(note) is None


async def test_a_job_gives_and_raises_what_it_would_unseen(tmp_path: Path) -> None:
    async def gives() -> int:
        await asyncio.sleep(0)
        return await asyncio.create_task(asyncio.sleep(0, result=3))

    async def raises() -> None:
        async with asyncio.timeout_at(0):
            await asyncio.sleep(1000)

    with Witness(tmp_path / "loop") as seen:
        assert await seen.seen("job-1", gives()) == 3
        results = await asyncio.gather(seen.seen("job-2", raises()), return_exceptions=True)
        assert isinstance(results[0], TimeoutError)
