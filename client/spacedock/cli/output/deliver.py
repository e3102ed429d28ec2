"""Handing an answer over: awaited, printed, its files saved; a private one is deleted after that."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import typer

from spacedock.batching.results.saving import save
from spacedock.cli.exit_codes import INTERRUPTED
from spacedock.cli.output.progress import progress_shown
from spacedock.cli.output.text import attempts_told, heading, say, say_host_fault, show, show_attempts, write
from spacedock.client import Client
from spacedock.errors import NotConnectedError, RefusedError, SpacedockError
from spacedock.result import JobResult


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer is wanted: as JSON or in words, its files in a folder, and whether it shall stay."""

    json: bool
    output_dir: Path | None
    keep: bool

    async def hand(self, client: Client, result: JobResult, file: Path | None = None) -> None:
        """Print an answer and save its files; only then is a private one deleted.

        `file` is what it is the answer to, where there are several. What cannot be printed or saved can be
        read again.
        """
        prefix = f"{file.stem}-" if file else ""
        saved = await save(client, result.output.files, self.output_dir, prefix) if self.output_dir else []
        say_host_fault(result)
        if self.json:
            write(_json(result, file))
        else:
            if file:
                write(heading(file))
            show(result)
        for path in saved:
            say(f"saved {path}")
        left = self.output_dir is None and result.output.files
        if left:
            say_files_left(result)
        if result.privacy and not self.keep and not left:
            await _forget(client, result.id)


def _json(result: JobResult, file: Path | None) -> str:
    """The result, over many lines where it is the only one."""
    told = result.model_dump(mode="json")
    if file is None:
        return json.dumps(told, indent=2, ensure_ascii=False)
    return json.dumps({"file": str(file), **told})


def say_files_left(result: JobResult) -> None:
    """Say how to get an answer's files; a private job that has some waits for it."""
    names = ", ".join(ref.name for ref in result.output.files)
    say(f"the answer has files ({names}): save them with `spacedock result {result.id} -d DIR`")
    if result.privacy:
        say("in privacy mode they are deleted then, or after an hour")


async def _forget(client: Client, job_id: str) -> None:
    """Delete a private job that was handed over; where Redis is away just then, it goes in an hour."""
    try:
        await client.forget(job_id)
    except (NotConnectedError, RefusedError) as error:
        say(f"the result could not be deleted, and goes after an hour: {error}")


async def follow(client: Client, job_id: str, *, quietly: bool = False) -> JobResult:
    """Wait for a result, with the job's progress on a terminal. Ctrl-C leaves the job running."""
    try:
        async with nullcontext() if quietly else progress_shown(client, job_id):
            return await client.result(job_id, keep=True)
    except asyncio.CancelledError:
        say(
            f"the job goes on: `spacedock result {job_id}` waits for it, `spacedock cancel {job_id}` stops it"
        )
        raise typer.Exit(INTERRUPTED) from None


_LAST_SECONDS = 2.0
"""How long the last events may take to come after the result."""


async def follow_told(client: Client, job_id: str) -> JobResult:
    """Wait for the result of a job that was submitted; tell all its events, from the first to the last."""
    telling = asyncio.create_task(_tell_events(client, job_id))
    try:
        result = await follow(client, job_id, quietly=True)
        await asyncio.wait({telling}, timeout=_LAST_SECONDS)
        return result
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell_events(client: Client, job_id: str) -> None:
    started, last = monotonic(), ""
    try:
        async for event in client.watch(job_id):
            if event.stage is None:
                continue
            line = f"{event.stage.value}: {event.name}: {event.message}"
            # An answer that grows comes in many events with one message.
            if line != last:
                say(f"[{monotonic() - started:7.2f} s] {line}")
            last = line
    except SpacedockError as error:
        say(f"no more events: {error}")


def tell_end(result: JobResult) -> None:
    """The attempts that an answer's own words leave out, and where the time went."""
    if result.succeeded and not attempts_told(result):
        show_attempts(result)
    times = (
        (name, getattr(result.timings, name)) for name in ("queued", "waited", "prepare", "start", "call")
    )
    say("times: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times))
