"""Handing an answer over: awaited, printed, its files saved; a private one is deleted after that."""

from __future__ import annotations

import asyncio
import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import typer

from spacedock.batching.results.saving import save
from spacedock.cli.exit_codes import INTERRUPTED
from spacedock.cli.host_faults import say_host_fault
from spacedock.cli.output.progress import progress_shown
from spacedock.cli.output.text import heading, say, show, write
from spacedock.client import Client
from spacedock.errors import NotConnectedError, RefusedError
from spacedock.result import JobResult


@dataclass(frozen=True, slots=True)
class Delivery:
    """How an answer is wanted: as JSON or in words, its files in a folder, and whether it shall stay."""

    json: bool
    output_dir: Path | None
    keep: bool

    async def over(self, client: Client, job_id: str) -> JobResult:
        """Wait for a job's answer and hand it over."""
        result = await follow(client, job_id)
        await self.hand(client, result)
        return result

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
            await forget(client, result.id)


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


async def forget(client: Client, *job_ids: str) -> None:
    """Delete private jobs that were handed over; where Redis is away just then, they go in an hour."""
    try:
        await client.forget(*job_ids)
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
