"""`spacedock spaces show NAME --endpoints`: which endpoint a call would go to, and why."""

from __future__ import annotations

import asyncio
import json as json_module
from pathlib import Path

import typer

from spacedock.cli import options, preflight
from spacedock.cli.exits import FAILED
from spacedock.cli.handing import follow
from spacedock.cli.printing import say, show_failure, write
from spacedock.client import Client, prepare
from spacedock.files import Payload
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import JobResult

SAMPLE_PROMPT = "Hello"


def show_endpoints(
    space: str,
    prompt: str,
    files: list[Path] | None,
    inputs: list[str] | None,
    *,
    json: bool,
    redis: str | None,
) -> None:
    """Have the Space started and print its endpoints, the one that would be called first."""
    if not (prompt or files or inputs):
        prompt = SAMPLE_PROMPT
        say("for a prompt alone: give --prompt, --file or --input to ask about another call")
    fields = {
        "explain": True,
        "tier": Tier.HEAVY,
        "fallback": Fallback.NONE,
        "inputs": options.inputs_of(inputs),
    }
    request, payloads = prepare(prompt, files or (), space, fields)
    result = asyncio.run(_explained(redis, request, payloads))
    if not result.succeeded:
        show_failure(result)
        raise typer.Exit(FAILED)
    write(json_module.dumps(result.output.data, indent=2) if json else result.output.text or "")


async def _explained(url: str | None, request: JobRequest, payloads: list[Payload]) -> JobResult:
    async with Client(url) as client:
        await preflight.check(client, {request.space} if request.space else set())
        return await follow(client, await client.submit_prepared(request, payloads))
