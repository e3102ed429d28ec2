"""What `--verbose` tells while a job runs: each of its events, with the seconds since it was handed over."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from spacedock.cli.output.deliver import follow
from spacedock.cli.output.text import attempts_told, say, show_attempts
from spacedock.client import Client
from spacedock.errors import SpacedockError
from spacedock.files import Payload
from spacedock.request import JobRequest, job_id_of
from spacedock.result import JobResult

_LAST_SECONDS = 2.0
"""How long the last events may take to come after the result."""


async def submit_told(client: Client, request: JobRequest, payloads: list[Payload]) -> JobResult:
    """Submit a job and wait for its result; tell all its events, from the first to the last."""
    if request.idempotency_key is None:
        # It makes the job's id known before there is the job.
        request = request.model_copy(update={"idempotency_key": uuid.uuid4().hex})
    job_id = job_id_of(request)
    opened = asyncio.Event()
    async with _told(client, job_id, opened) as telling:
        opening = asyncio.create_task(opened.wait())
        await asyncio.wait({telling, opening}, return_when=asyncio.FIRST_COMPLETED)
        opening.cancel()
        await client.submit_prepared(request, payloads)
        return await follow(client, job_id, quietly=True)


async def follow_told(client: Client, job_id: str) -> JobResult:
    """Wait for the result of a job that was submitted; tell its events from now on."""
    async with _told(client, job_id, None):
        return await follow(client, job_id, quietly=True)


@asynccontextmanager
async def _told(
    client: Client, job_id: str, opened: asyncio.Event | None
) -> AsyncIterator[asyncio.Task[None]]:
    """Tell events while the block runs, and the last of them after it."""
    telling = asyncio.create_task(_tell(client, job_id, opened))
    try:
        yield telling
        await asyncio.wait({telling}, timeout=_LAST_SECONDS)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(client: Client, job_id: str, opened: asyncio.Event | None) -> None:
    started, last = monotonic(), ""
    try:
        async for event in client.watch(job_id, opened=opened):
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
