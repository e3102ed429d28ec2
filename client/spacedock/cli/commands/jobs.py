"""`spacedock status|result|cancel`: what becomes of a job that was submitted."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.deliver import Delivery
from spacedock.cli.output.text import say, write
from spacedock.client import Client
from spacedock.events import JobStatus
from spacedock.result import JobResult
from spacedock.states import JobState

Job = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id, as `spacedock run --detach` prints it.")
]


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


def cancel(job: Job, redis: options.Redis = None) -> None:
    """Cancel a job: it ends without an answer, and what computes it is stopped."""
    state = asyncio.run(_cancel(redis, job))
    if state is JobState.CANCELLED:
        say(f"job {job} is cancelled")
    elif state is JobState.RUNNING:
        say(f"job {job} is running; its worker was told to stop it")
    else:
        say(f"job {job} had ended before ({state.value})")
        raise typer.Exit(FAILED)


async def _cancel(url: str | None, job_id: str) -> JobState:
    async with Client(url) as client:
        return await client.cancel(job_id)
