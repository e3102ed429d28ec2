"""`spacedock run`: one prompt, its progress, its answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from spacedock.cli import options, preflight
from spacedock.cli.exits import FAILED, INTERRUPTED, USAGE
from spacedock.cli.printing import save, say, show, write
from spacedock.cli.progress import progress_shown
from spacedock.client import Client, prepare
from spacedock.files import Payload
from spacedock.request import JobRequest, Tier
from spacedock.result import ErrorKind, JobResult


def run(
    prompt: Annotated[str, typer.Argument(help="What to ask; may be empty when there is a file.")] = "",
    space: options.Space = None,
    category: options.Category = None,
    file: options.Files = None,
    inputs: options.Inputs = None,
    endpoint: options.Endpoint = None,
    timeout: options.Timeout = 300.0,
    no_fallback: options.NoFallback = False,
    tier: options.TierOption = Tier.AUTO,
    privacy: options.Privacy = False,
    json: options.Json = False,
    output_dir: options.OutputDir = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the job's id and do not wait.")] = False,
    redis: options.Redis = None,
) -> None:
    """Run one prompt and print its answer."""
    fields = options.request_fields(
        category=category,
        inputs=inputs,
        endpoint=endpoint,
        timeout=timeout,
        no_fallback=no_fallback,
        tier=tier,
        privacy=privacy,
    )
    request, payloads = prepare(prompt, file or (), space, fields)
    result = asyncio.run(_run(redis, request, payloads, detach, output_dir))
    if result is None:
        return
    if json:
        write(result.model_dump_json(indent=2))
    else:
        show(result)
        if result.output.files and output_dir is None:
            names = ", ".join(ref.name for ref in result.output.files)
            say(f"the answer has files ({names}): save them with `spacedock result {result.id} -d DIR`")
    if not result.succeeded:
        raise typer.Exit(exit_code(result))


def exit_code(result: JobResult) -> int:
    """The exit code of a job that failed: a name that is not in the registry is wrong usage."""
    error = result.error
    return USAGE if error and error.kind is ErrorKind.SPACE_NOT_FOUND else FAILED


async def _run(
    url: str | None, request: JobRequest, payloads: list[Payload], detach: bool, output_dir: Path | None
) -> JobResult | None:
    async with Client(url) as client:
        await preflight.check(client, {request.space} if request.space else set())
        job_id = await client.submit_prepared(request, payloads)
        if detach:
            write(job_id)
            return None
        result = await follow(client, job_id)
        if output_dir is not None:
            for path in await save(client, result.output.files, output_dir):
                say(f"saved {path}")
        return result


async def follow(client: Client, job_id: str) -> JobResult:
    """Wait for a result, with the job's progress on a terminal. Ctrl-C leaves the job running."""
    try:
        async with progress_shown(client, job_id):
            return await client.result(job_id)
    except asyncio.CancelledError:
        say(
            f"the job goes on: `spacedock result {job_id}` waits for it, `spacedock cancel {job_id}` stops it"
        )
        raise typer.Exit(INTERRUPTED) from None
