"""`spacedock run`: one prompt, its progress, its answer."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.batching.batch_options import Guard
from spacedock.cli import options, preflight
from spacedock.cli.exit_codes import DEGRADED, FAILED, STOPPED, USAGE
from spacedock.cli.output.deliver import Delivery, follow, follow_told, tell_end
from spacedock.cli.output.plan import say_plan, show_plan
from spacedock.cli.output.text import heading, say, say_degraded, say_host_fault, say_how_to_go_on, write
from spacedock.client import Client
from spacedock.errors import JobNotFoundError
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
        results = preflight.asked(redis, lambda client: _run_each(client, each, way))
        if each.guard.stopped:
            raise typer.Exit(STOPPED)
    else:
        prepared = prepare(prompt, files, space, fields)
        results = preflight.asked(redis, lambda client: _run(client, *prepared, way))
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


async def _run(client: Client, request: JobRequest, payloads: list[Payload], way: Way) -> list[JobResult]:
    names = {request.space} if request.space else set()
    if way.dry_run:
        preflight.say_directories(names)
        await show_plan(client, request, payloads, json=way.handing.json)
        say(_NOTHING)
        return []
    await preflight.check(client, names, wait=not way.detach)
    if way.verbose:
        await say_plan(client, request, payloads)
    job_id = await client.submit_prepared(request, payloads)
    if way.detach:
        write(job_id)
        return []
    result = await (follow_told if way.verbose else follow)(client, job_id)
    await way.handing.hand(client, result)
    if way.verbose:
        tell_end(result)
    return [result]


async def _run_each(client: Client, each: Each, way: Way) -> list[JobResult]:
    if way.dry_run:
        await each.show_plans(client, json=way.handing.json)
        say(_NOTHING)
        return []
    job_ids = await each.submit(client, verbose=way.verbose, wait=not way.detach)
    if way.detach:
        write("\n".join(job_ids))
        return []
    return await each.hand(client, job_ids, way.handing, verbose=way.verbose)


@dataclass(frozen=True, slots=True)
class Each:
    """One prompt for each of several files; `guard` stops them on a host that starts no Space."""

    prompt: str
    files: tuple[Path, ...]
    space: str | None
    fields: dict[str, Any]
    guard: Guard

    def check(self) -> None:
        """Read every file once before any is submitted. Raises BadRequestError and its kinds."""
        for path in self.files:
            self.prepared(path)

    def prepared(self, path: Path) -> tuple[JobRequest, list[Payload]]:
        """The job of one file."""
        return prepare(self.prompt, (path,), self.space, self.fields)

    async def show_plans(self, client: Client, *, json: bool) -> None:
        """Print what would be done with each file."""
        for path in self.files:
            if not json:
                write(heading(path))
            await show_plan(client, *self.prepared(path), json=json)

    async def submit(self, client: Client, *, verbose: bool, wait: bool) -> list[str]:
        """Submit the jobs, one file in memory at a time; returns their ids."""
        job_ids: list[str] = []
        for path in self.files:
            request, payloads = self.prepared(path)
            if not job_ids:
                await preflight.check(client, {request.space} if request.space else set(), wait=wait)
            if verbose:
                say(heading(path))
                await say_plan(client, request, payloads)
            job_ids.append(await client.submit_prepared(request, payloads))
        return job_ids

    async def hand(
        self, client: Client, job_ids: Sequence[str], handing: Delivery, *, verbose: bool
    ) -> list[JobResult]:
        """Wait for the answers and hand them over in the order of the files.

        What the guard withholds is not among them; the first one that it does withhold cancels the rest.
        """
        results: list[JobResult] = []
        for number, (path, job_id) in enumerate(zip(self.files, job_ids, strict=True), 1):
            if verbose:
                say(heading(path))
            try:
                result = await (follow_told if verbose else follow)(client, job_id)
            except typer.Exit:
                if others := job_ids[number:]:
                    say(f"so do those of the next files: {', '.join(others)}")
                raise
            was_stopped = self.guard.stopped
            if self.guard.withholds(result):
                if not was_stopped:
                    # The last first: those that run end when none is left to take their place.
                    for rest in reversed(job_ids[number:]):
                        with suppress(JobNotFoundError):
                            await client.cancel(rest)
                continue
            await handing.hand(client, result, path)
            results.append(result)
        if self.guard.stopped:
            left = len(job_ids) - len(results)
            say_how_to_go_on(f"{left} file{' has' if left == 1 else 's have'}", "asks for all files again")
        return results
