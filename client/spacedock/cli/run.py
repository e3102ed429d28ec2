"""`spacedock run`: one prompt, its progress, its answer."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from spacedock.cli import options, preflight
from spacedock.cli.exits import FAILED, USAGE
from spacedock.cli.handing import Handing
from spacedock.cli.printing import write
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
    keep: options.Keep = False,
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
    handing = None if detach else Handing(json, output_dir, keep)
    result = asyncio.run(_run(redis, request, payloads, handing))
    if result is not None and not result.succeeded:
        raise typer.Exit(exit_code(result))


def exit_code(result: JobResult) -> int:
    """The exit code of a job that failed: a name that is not in the registry is wrong usage."""
    error = result.error
    return USAGE if error and error.kind is ErrorKind.SPACE_NOT_FOUND else FAILED


async def _run(
    url: str | None, request: JobRequest, payloads: list[Payload], handing: Handing | None
) -> JobResult | None:
    async with Client(url) as client:
        await preflight.check(client, {request.space} if request.space else set())
        job_id = await client.submit_prepared(request, payloads)
        if handing is None:
            write(job_id)
            return None
        return await handing.over(client, job_id)
