"""`spacedock jobs|status|result|wait|cancel|retry`: what becomes of jobs that were submitted."""

from __future__ import annotations

import asyncio
import json as json_module
import shutil
import sys
from time import time
from typing import Annotated

import typer

from spacedock._wire.listing import RETRIED
from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output import table
from spacedock.cli.output.deliver import Delivery
from spacedock.cli.output.text import printable, say, write
from spacedock.cli.output.units import age
from spacedock.client import Client
from spacedock.events import JobStatus, JobSummary
from spacedock.result import JobResult
from spacedock.states import JobState

Job = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id, as `spacedock run --detach` prints it.")
]

Jobs = Annotated[
    list[str], typer.Argument(metavar="JOB|BATCH", help="Ids of jobs, or of batches (`spacedock jobs`).")
]
_TITLES = ("job", "state", "submitted", "batch", "Space", "message")
_BATCH_CHARS = 12


def status(job: Job, json: options.Json = False, redis: options.Redis = None) -> None:
    """Say where a job stands."""
    found = asyncio.run(_status(redis, job))
    if json:
        write(found.model_dump_json())
    else:
        write(f"{found.state.value}" + (f": {found.message}" if found.message else ""))


async def _status(url: str | None, job_id: str) -> JobStatus:
    async with Client(url) as client:
        return await client.status(job_id)


def result(
    job: Job,
    json: options.Json = False,
    output_dir: options.OutputDir = None,
    keep: options.Keep = False,
    redis: options.Redis = None,
) -> None:
    """Wait for a job's answer and print it."""
    found = asyncio.run(_result(redis, job, Delivery(json, output_dir, keep)))
    if not found.succeeded:
        raise typer.Exit(FAILED)


async def _result(url: str | None, job_id: str, handing: Delivery) -> JobResult:
    async with Client(url) as client:
        return await handing.over(client, job_id)


def cancel(jobs: Jobs, redis: options.Redis = None) -> None:
    """Cancel jobs, or all of a batch: they end without an answer, and what computes them is stopped."""
    states = asyncio.run(_cancel(redis, jobs))
    for job_id, state in states.items():
        if state is JobState.CANCELLED:
            say(f"job {job_id} is cancelled")
        elif state is JobState.RUNNING:
            say(f"job {job_id} is running; its worker was told to stop it")
        else:
            say(f"job {job_id} had ended before ({state.value})")
    if not any(state in (JobState.CANCELLED, JobState.RUNNING) for state in states.values()):
        raise typer.Exit(FAILED)


async def _cancel(url: str | None, names: list[str]) -> dict[str, JobState]:
    async with Client(url) as client:
        # Cancel the last ones first: a job that waits must not start when one before it is stopped.
        ids = [job_id for name in names for job_id in reversed(await client.job_ids(name))]
        return {job_id: await client.cancel(job_id) for job_id in ids}


def wait(jobs: Jobs, redis: options.Redis = None) -> None:
    """Wait for jobs, or all of a batch, and say how each ended; exit code 1 where one has no answer."""
    if not asyncio.run(_wait(redis, jobs)):
        raise typer.Exit(FAILED)


async def _wait(url: str | None, names: list[str]) -> bool:
    async with Client(url) as client:
        ids = [job_id for name in names for job_id in await client.job_ids(name)]
        well = True
        async for result in client.results(ids, keep=True):
            write(f"{result.id}  {result.state.value}")
            well = well and result.succeeded
        return well


def retry(jobs: Jobs, redis: options.Redis = None) -> None:
    """Submit jobs once more that failed or were cancelled, or all such of a batch; print the new ids."""
    for job_id in asyncio.run(_retry(redis, jobs)):
        write(job_id)


async def _retry(url: str | None, names: list[str]) -> list[str]:
    async with Client(url) as client:
        ids: list[str] = []
        for name in names:
            of_batch = await client.job_ids(name)
            if of_batch != [name]:
                states = [(await client.status(job_id)).state for job_id in of_batch]
                of_batch = [one for one, state in zip(of_batch, states, strict=True) if state in RETRIED]
            ids += of_batch
        return await client.retry(*ids)


def list_jobs(
    state: Annotated[JobState | None, typer.Option("--state", help="Only those in this state.")] = None,
    space: Annotated[
        str | None, typer.Option("--space", "-s", metavar="NAME", help="Only for this Space.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="ID", help="Only those of this batch.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most, the newest first.")] = 20,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the ids alone.")] = False,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """List the newest jobs: those that wait or run, and those that ended within a day."""
    found = asyncio.run(_list(redis, state, space, batch, limit))
    if json:
        write(json_module.dumps([one.model_dump(mode="json") for one in found], indent=2))
    elif quiet:
        write("\n".join(one.id for one in found))
    elif not found:
        say("there is no such job")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        write("\n".join(table.lines(_TITLES, [_row(one, time()) for one in found], width)))


async def _list(
    url: str | None, state: JobState | None, space: str | None, batch: str | None, limit: int
) -> list[JobSummary]:
    async with Client(url) as client:
        return await client.jobs(state=state, space=space, batch=batch, limit=limit)


def _row(one: JobSummary, now: float) -> tuple[str, ...]:
    since = age(max(0.0, now - one.submitted))
    batch = (one.batch or "-")[:_BATCH_CHARS]
    cells = one.id, one.state.value, f"{since} ago", batch, one.space or "-", one.message
    return tuple(printable(cell) for cell in cells)
