"""What `--verbose` tells while a job runs: each of its events, with the seconds since it was handed over."""

from __future__ import annotations

import asyncio
from time import monotonic

from spacedock.cli.output.deliver import follow
from spacedock.cli.output.text import attempts_told, say, show_attempts
from spacedock.client import Client
from spacedock.errors import SpacedockError
from spacedock.files import Payload
from spacedock.request import JobRequest
from spacedock.result import JobResult

_LAST_SECONDS = 2.0
"""How long the last events may take to come after the result."""


async def submit_told(client: Client, request: JobRequest, payloads: list[Payload]) -> JobResult:
    """Submit a job and wait for its result; tell all its events, from the first to the last."""
    return await follow_told(client, await client.submit_prepared(request, payloads))


async def follow_told(client: Client, job_id: str) -> JobResult:
    """Wait for the result of a job that was submitted; tell all its events, from the first to the last."""
    telling = asyncio.create_task(_tell(client, job_id))
    try:
        result = await follow(client, job_id, quietly=True)
        await asyncio.wait({telling}, timeout=_LAST_SECONDS)
        return result
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(client: Client, job_id: str) -> None:
    started, last = monotonic(), ""
    try:
        async for event in client.watch(job_id):
            if event.stage is None:
                continue
            line = f"{event.stage.value}: {event.name}: {event.message}"
            # An answer that grows comes in many events with one message.
            if line != last:
                say(f"[{monotonic() - started:7.2f} s] {line}")
            last = line
    except SpacedockError as error:
        say(f"no more events: {error}")


def tell_end(result: JobResult) -> None:
    """The attempts that an answer's own words leave out, and where the time went."""
    if result.succeeded and not attempts_told(result):
        show_attempts(result)
    times = (
        (name, getattr(result.timings, name)) for name in ("queued", "waited", "prepare", "start", "call")
    )
    say("times: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in times))
