"""Events over HTTP, as server-sent events that a client takes up again by their numbers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from aiohttp import web
from pydantic import BaseModel, Field

from spacedock.errors import JobNotFoundError
from spacedock.events import BatchStatus, JobStatus
from spacedockd.http.context import DoorContext
from spacedockd.http.errors import HttpError
from spacedockd.http.events import EVENTS, QUIET, EventStream, Heard, told
from spacedockd.http.native.operation import ApiOperation


class EventsQuery(BaseModel):
    """The event after which to begin (0: with all that are kept), as `Last-Event-ID` says it too."""

    after: int | None = Field(default=None, ge=0, le=2**53)


async def _all(context: DoorContext, request: web.Request, query: EventsQuery) -> web.StreamResponse:
    """Follow the events of all jobs, without end."""
    after = _after(request, query)
    if after is None:
        after = await context.client.last_event()
    return await _sent(request, after, context.events.follow(after))


async def _of_job(context: DoorContext, request: web.Request, query: EventsQuery) -> web.StreamResponse:
    """Follow the events of a job, from its beginning to its end."""
    found = await context.client.status(request.match_info["job_id"])
    return await _followed(context, request, query, found)


async def _of_batch(context: DoorContext, request: web.Request, query: EventsQuery) -> web.StreamResponse:
    """Follow the events of a batch, from its beginning to its end."""
    found = await context.client.batch_status(request.match_info["batch_id"])
    return await _followed(context, request, query, found)


async def _followed(
    context: DoorContext, request: web.Request, query: EventsQuery, found: JobStatus | BatchStatus
) -> web.StreamResponse:
    after = max(_after(request, query) or 0, await context.client.last_event(found.submitted))
    return await _sent(request, after, _until_end(context, found, after))


async def _until_end(
    context: DoorContext, found: JobStatus | BatchStatus, after: int
) -> AsyncGenerator[Heard | None]:
    """The events of a job or a batch after that number; ends when it has ended."""
    if await _has_ended(context, found):
        async with aclosing(context.client.watch(found.id)) as events:
            async for event in events:
                if event.id > after:
                    yield told(event)
        return
    async with aclosing(context.events.follow(after)) as rows:
        async for row in rows:
            if row is None or row.event.missed or found.id in (row.event.job_id, row.event.batch):
                yield row
                if (row is None or row.event.state or row.event.missed) and await _has_ended(context, found):
                    return


async def _has_ended(context: DoorContext, found: JobStatus | BatchStatus) -> bool:
    try:
        if isinstance(found, BatchStatus):
            return (await context.client.batch_status(found.id)).left == 0
        return (await context.client.status(found.id)).state.terminal
    except JobNotFoundError:
        return True


async def _sent(request: web.Request, after: int, rows: AsyncGenerator[Heard | None]) -> web.StreamResponse:
    """Send events as they come. The first line tells the number after which they begin, to resume by."""
    stream = await EventStream.begun(request)
    if request.method == "HEAD":
        return stream.response
    await stream.write(f"id: {after}\n\n".encode())
    async with aclosing(rows):
        async for row in rows:
            await stream.write(row.frame if row else QUIET)
    return stream.response


def _after(request: web.Request, query: EventsQuery) -> int | None:
    last = request.headers.get("Last-Event-ID", "").strip()
    if not last:
        return query.after
    if not last.isascii() or not last.isdigit() or len(last) > 15:
        raise HttpError(400, "bad_request", "Last-Event-ID is the number of an event")
    return int(last)


_HEADERS = ("Last-Event-ID",)
OPERATIONS = (
    ApiOperation("GET", "/events", _all, {200: EVENTS}, query=EventsQuery, headers=_HEADERS),
    ApiOperation("GET", "/jobs/{job_id}/events", _of_job, {200: EVENTS}, query=EventsQuery, headers=_HEADERS),
    ApiOperation(
        "GET", "/batches/{batch_id}/events", _of_batch, {200: EVENTS}, query=EventsQuery, headers=_HEADERS
    ),
)
