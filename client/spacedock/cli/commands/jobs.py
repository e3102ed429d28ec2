"""`spacedock jobs|status|result|wait|cancel|retry`: what becomes of jobs that were submitted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import time
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.commands.spaces.lock import STDOUT, write_whole
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output import table
from spacedock.cli.output.deliver import Delivery, follow
from spacedock.cli.output.text import printable, say, write, write_json
from spacedock.cli.output.units import ago
from spacedock.cli.output.units import counted as some
from spacedock.cli.preflight import asked
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError, ResultDeletedError
from spacedock.events import BatchStatus, JobStatus, JobSummary
from spacedock.result import JobResult
from spacedock.states import JobState

Name = Annotated[str, typer.Argument(metavar="JOB|BATCH", help="The id of a job, or of a batch.")]

Job = Annotated[
    str, typer.Argument(metavar="JOB", help="The job's id, as `spacedock run --detach` prints it.")
]

Names = Annotated[
    list[str], typer.Argument(metavar="JOB|BATCH", help="Ids of jobs, or of batches (`spacedock jobs`).")
]
_TITLES = ("job", "state", "submitted", "batch or user", "Space", "message")
_BATCH_TITLES = ("batch", "submitted", "by", "priority", "label", "jobs")
_BATCH_CHARS = 12


def status(name: Name, json: options.Json = False, redis: options.Redis = None) -> None:
    """Say where a job stands, or how many jobs of a batch do."""
    found = asked(redis, lambda client: _status(client, name))
    if json:
        write(found.model_dump_json())
    elif isinstance(found, BatchStatus):
        write(told(found))
    else:
        state, more = found.state.value, found.waits_for or found.message
        write(f"{state}: {more}" if more not in ("", state) else state)
        for one in getattr(found, "steps", ()):
            write(printable(f"  {one.name}: {one.state.value}  {one.told}".rstrip()))


async def _status(client: Client, name: str) -> JobStatus | BatchStatus:
    try:
        found = await client.status(name)
        return found if found.pipeline is None else await client.pipeline_run(name)
    except JobNotFoundError:
        return await client.batch_status(name)


def result(
    job: Job,
    json: options.Json = False,
    output_dir: options.OutputDir = None,
    keep: options.Keep = False,
    provenance: Annotated[
        str | None,
        typer.Option(
            "--provenance",
            metavar="FILE",
            help="Also write what was asked, who answered with what, and when, as JSON; - writes only that.",
        ),
    ] = None,
    redis: options.Redis = None,
) -> None:
    """Wait for a job's answer and print it."""
    if provenance not in (None, STDOUT) and Path(provenance).exists():
        raise BadRequestError(f"{provenance} exists: choose another name, or remove it")
    handing = Delivery(json, output_dir, keep)
    found = asked(redis, lambda client: _result(client, job, handing, provenance))
    if not found.succeeded:
        raise typer.Exit(FAILED)


async def _result(client: Client, job_id: str, handing: Delivery, provenance: str | None) -> JobResult:
    result = await follow(client, job_id)
    if provenance is not None:
        # Before the answer is handed over: a private job is deleted with that.
        text = (await client.provenance(job_id)).model_dump_json(indent=2)
        if provenance == STDOUT:
            write(text)
            return result
        write_whole(Path(provenance), f"{text}\n")
        say(f"wrote {provenance}")
    await handing.hand(client, result)
    return result


def cancel(names: Names, redis: options.Redis = None) -> None:
    """Cancel jobs, or all of a batch: they end without an answer, and what computes them is stopped."""
    states = [state for name in names for state in asyncio.run(_cancel(redis, name)).values()]
    if not any(state in (JobState.CANCELLED, JobState.RUNNING) for state in states):
        raise typer.Exit(FAILED)


async def _cancel(url: str | None, name: str) -> dict[str, JobState]:
    async with Client(url) as client:
        try:
            states = {name: await client.cancel(name)}
        except JobNotFoundError:
            states = await client.cancel_batch(name)
    say(_stopped(name, states))
    return states


def _stopped(name: str, states: dict[str, JobState]) -> str:
    """What cancelling a job or a batch came to."""
    if name in states:
        if states[name] is JobState.CANCELLED:
            return f"job {name} is cancelled"
        if states[name] is JobState.RUNNING:
            return f"job {name} is running; its worker was told to stop it"
        return f"job {name} had ended before ({states[name].value})"
    count = Counter(states.values())
    cancelled, running = count[JobState.CANCELLED], count[JobState.RUNNING]
    before = len(states) - cancelled - running
    stopping = f"; {running:,} still running, which the workers were told to stop" if running else ""
    ended = f"; {before:,} had ended before" if before else ""
    return f"batch {name}: {cancelled:,} of {len(states):,} jobs are cancelled{stopping}{ended}"


def wait(names: Names, redis: options.Redis = None) -> None:
    """Wait for jobs, or all of a batch, and say how each ended; exit code 1 where one has no answer."""
    if not asyncio.run(_wait(redis, names)):
        raise typer.Exit(FAILED)


async def _wait(url: str | None, names: list[str]) -> bool:
    async with Client(url) as client:
        ids = [job_id for name in names for job_id in await client.job_ids(name)]
        states: set[JobState] = set()
        try:
            async for result in client.results(ids, keep=True):
                write(f"{result.id}  {result.state.value}")
                states.add(result.state)
        except ResultDeletedError as error:
            for job_id in error.job_ids:
                state = (await client.status(job_id)).state
                write(f"{job_id}  {state.value}")
                states.add(state)
        return states <= {JobState.SUCCEEDED}


def retry(names: Names, redis: options.Redis = None) -> None:
    """Submit jobs once more that failed or were cancelled, or all such of a batch; print the new ids."""
    again = asked(redis, lambda client: client.retry(*names))
    for job_id in again:
        write(job_id)
    if not again:
        say("nothing to retry: no job of these failed or was cancelled")


def list_jobs(
    state: Annotated[JobState | None, typer.Option("--state", help="Only those in this state.")] = None,
    space: Annotated[
        str | None, typer.Option("--space", "-s", metavar="NAME", help="Only for this Space.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="ID", help="Only those of this batch.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME=VALUE", help="Only those with this label; repeatable."),
    ] = None,
    run: Annotated[
        str | None,
        typer.Option("--run", metavar="ID", help="The jobs of the steps of this pipeline's run."),
    ] = None,
    steps: Annotated[
        bool, typer.Option("--steps", help="Also the jobs of the steps of pipelines' runs.")
    ] = False,
    batches: Annotated[bool, typer.Option("--batches", help="List batches instead of jobs.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most, the newest first.")] = 20,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print the ids alone.")] = False,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """List the newest jobs: those that wait or run, and those that ended within a day.

    A pipeline's run is one of them, whatever its steps have to do.
    """
    labels = options.pairs_of("--label", label)
    chosen = state or space or batch or labels or run
    if batches and (chosen or steps):
        raise BadRequestError("--batches goes with --limit, --quiet and --json only: the others choose jobs")
    choice = partial(Client.jobs, state=state, space=space, batch=batch, labels=labels, run=run)
    found: Sequence[JobSummary | BatchStatus]
    if batches:
        found = asked(redis, lambda client: client.batches(limit=limit))
    else:
        found = asked(redis, partial(choice, steps=steps, limit=limit))
    if json:
        write_json([one.model_dump(mode="json") for one in found])
    elif quiet:
        write("\n".join(one.id for one in found))
    elif not found:
        say(f"there is no {'batch' if batches else 'such job' if chosen else 'job'} at this queue")
        if chosen and not run and not steps and asked(redis, partial(choice, steps=True, limit=1)):
            say("some jobs of pipelines' steps are such: --steps lists them")
    else:
        rows = [_row(one, ago(max(0.0, time() - one.submitted))) for one in found]
        table.show(_BATCH_TITLES if batches else _TITLES, rows)


def _row(one: JobSummary | BatchStatus, since: str) -> tuple[str, ...]:
    if isinstance(one, BatchStatus):
        return one.id, since, one.client or "-", one.priority, one.label or "-", counted(one)
    whose = one.batch[:_BATCH_CHARS] if one.batch else one.client or "-"
    return one.id, one.state.value, since, whose, one.space or "-", one.message


def told(batch: BatchStatus) -> str:
    """A batch in one line."""
    label = f" ({batch.label})" if batch.label else ""
    return printable(f"batch {batch.id}{label}: {counted(batch)}")


def counted(batch: BatchStatus) -> str:
    """How its jobs stand: "10 jobs: 2 queued, 1 running, 7 succeeded (1 degraded)"."""
    parts = [f"{count:,} {state.value}" for state, count in batch.counts.items() if count]
    if batch.degraded:
        parts = [f"{part} ({batch.degraded:,} degraded)" if "succeeded" in part else part for part in parts]
    return f"{some(sum(batch.counts.values()), 'job')}: {', '.join(parts)}"
