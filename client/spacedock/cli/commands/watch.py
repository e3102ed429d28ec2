"""`spacedock watch`: the events of jobs as they come."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from datetime import datetime
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.output.text import printable, say, write
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.events import Event


def watch(
    name: Annotated[
        str | None, typer.Argument(metavar="[JOB|BATCH]", help="Only this job's or batch's, until it ends.")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option("--after", metavar="N", min=0, help="Also those that came after event N (0: all kept)."),
    ] = None,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Print the events of jobs as they come: of all, or of one job or batch from its beginning to its end."""
    if name is not None and after is not None:
        raise BadRequestError("--after is for the events of all jobs: those of one are all printed anyway")
    asyncio.run(_watch(redis, name, after, json=json))


async def _watch(url: str | None, name: str | None, after: int | None, *, json: bool) -> None:
    async with Client(url) as client:
        events = client.events(after=after) if name is None else client.watch(name)
        async with aclosing(events):
            async for event in events:
                if json:
                    write(event.model_dump_json())
                elif event.missed:
                    say(event.message)
                else:
                    write(_line(event))


def _line(event: Event) -> str:
    """The time, number and job of an event, and what it says."""
    at = datetime.fromtimestamp(event.at).astimezone().strftime("%H:%M:%S")
    said = ": ".join(part for part in (event.name, event.message) if part)
    return printable(f"{at}  {event.id}  {event.job_id}  {said}")
