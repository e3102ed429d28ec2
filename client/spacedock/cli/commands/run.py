"""`spacedock run`: one prompt, its progress, its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

import typer

from spacedock.batching.batch_options import Guard
from spacedock.cli import options, preflight
from spacedock.cli.batching.per_file import Each
from spacedock.cli.exit_codes import DEGRADED, FAILED, STOPPED, USAGE
from spacedock.cli.host_faults import say_host_fault
from spacedock.cli.output.deliver import Delivery
from spacedock.cli.output.plan import say_plan, show_plan
from spacedock.cli.output.text import say, say_degraded, write
from spacedock.cli.output.verbose import submit_told, tell_end
from spacedock.client import Client
from spacedock.files import Payload
from spacedock.prepare import prepare
from spacedock.request import JobRequest
from spacedock.result import ErrorKind, JobResult

_NOTHING = "nothing was run: without --dry-run it would be"


@options.spread
def run(
    prompt: Annotated[str, typer.Argument(help="What to ask; may be empty when there is a file.")] = "",
    space: options.Space = None,
    file: options.FilesOption = None,
    asked: options.RequestOptions = options.USUAL,
    batch_mode: Annotated[
        bool,
        typer.Option(
            "--batch-mode", help="Prefer Spaces over models; each of several files is a job of its own."
        ),
    ] = False,
    allow_degraded: options.AllowDegraded = False,
    json: options.Json = False,
    output_dir: options.OutputDir = None,
    keep: options.Keep = False,
    callback: options.CallbackOption = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the job's id and do not wait.")] = False,
    dry_run: options.DryRun = False,
    verbose: options.Verbose = False,
    redis: options.Redis = None,
) -> None:
    """Run one prompt and print its answer."""
    fields = asked.fields() | {"batch": batch_mode, "callback": callback}
    way = Way(Delivery(json, output_dir, keep), detach=detach, dry_run=dry_run, verbose=verbose)
    files = tuple(file or ())
    several = batch_mode and len(files) > 1
    if several:
        each = Each(prompt, files, space, fields, Guard(allowed=allow_degraded, told=say_host_fault))
        each.check()
        results = asyncio.run(_run_each(redis, each, way))
        if each.guard.stopped:
            raise typer.Exit(STOPPED)
    else:
        results = asyncio.run(_run(redis, *prepare(prompt, files, space, fields), way))
    failed = [exit_code(result) for result in results if not result.succeeded]
    if failed:
        raise typer.Exit(max(failed))
    if several and not allow_degraded and any(result.degraded for result in results):
        say_degraded()
        raise typer.Exit(DEGRADED)


@dataclass(frozen=True, slots=True)
class Way:
    """How a prompt is run: how its answer is handed over, or whether it is only planned or handed in."""

    handing: Delivery
    detach: bool
    dry_run: bool
    verbose: bool


def exit_code(result: JobResult) -> int:
    """The exit code of a job that failed: a name that is not in the registry is wrong usage."""
    error = result.error
    return USAGE if error and error.kind is ErrorKind.SPACE_NOT_FOUND else FAILED


async def _run(url: str | None, request: JobRequest, payloads: list[Payload], way: Way) -> list[JobResult]:
    async with Client(url) as client:
        names = {request.space} if request.space else set()
        if way.dry_run:
            preflight.say_directories(names)
            await show_plan(client, request, payloads, json=way.handing.json)
            say(_NOTHING)
            return []
        await preflight.check(client, names, wait=not way.detach)
        if way.verbose:
            await say_plan(client, request, payloads)
        if way.verbose and not way.detach:
            result = await submit_told(client, request, payloads)
            await way.handing.hand(client, result)
            tell_end(result)
            return [result]
        job_id = await client.submit_prepared(request, payloads)
        if way.detach:
            write(job_id)
            return []
        return [await way.handing.over(client, job_id)]


async def _run_each(url: str | None, each: Each, way: Way) -> list[JobResult]:
    async with Client(url) as client:
        if way.dry_run:
            await each.show_plans(client, json=way.handing.json)
            say(_NOTHING)
            return []
        job_ids = await each.submit(client, verbose=way.verbose, wait=not way.detach)
        if way.detach:
            write("\n".join(job_ids))
            return []
        return await each.hand(client, job_ids, way.handing, verbose=way.verbose)
