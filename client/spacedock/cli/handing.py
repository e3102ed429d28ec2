"""Handing an answer over: awaited, printed, its files saved; a private one is deleted after that."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import typer

from spacedock.cli.exits import INTERRUPTED
from spacedock.cli.printing import save, say, show, write
from spacedock.cli.progress import progress_shown
from spacedock.client import Client
from spacedock.errors import NotConnectedError
from spacedock.result import JobResult


@dataclass(frozen=True, slots=True)
class Handing:
    """How an answer is wanted: as JSON or in words, its files in a folder, and whether it shall stay."""

    json: bool
    output_dir: Path | None
    keep: bool

    async def over(self, client: Client, job_id: str) -> JobResult:
        """Wait for a job's answer and hand it over; only then is a private one deleted.

        What cannot be printed or saved can be read again.
        """
        result = await follow(client, job_id)
        saved = await save(client, result.output.files, self.output_dir) if self.output_dir else []
        if self.json:
            write(result.model_dump_json(indent=2))
        else:
            show(result)
        for path in saved:
            say(f"saved {path}")
        left = self.output_dir is None and result.output.files
        if left:
            say_files_left(result)
        if result.privacy and not self.keep and not left:
            await forget(client, job_id)
        return result


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
    except NotConnectedError as error:
        say(f"the result could not be deleted, and goes after an hour: {error}")


async def follow(client: Client, job_id: str) -> JobResult:
    """Wait for a result, with the job's progress on a terminal. Ctrl-C leaves the job running."""
    try:
        async with progress_shown(client, job_id):
            return await client.result(job_id, keep=True)
    except asyncio.CancelledError:
        say(
            f"the job goes on: `spacedock result {job_id}` waits for it, `spacedock cancel {job_id}` stops it"
        )
        raise typer.Exit(INTERRUPTED) from None
