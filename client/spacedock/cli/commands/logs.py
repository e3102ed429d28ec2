"""`spacedock logs|watch`: a job's story, what a Space has written to its log, and events as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from spacedock._wire.view.provenance import JobStory
from spacedock.cli import options
from spacedock.cli.output.text import heading, printable, say, write, write_json
from spacedock.cli.preflight import asked
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.events import Event
from spacedock.prepare import hub_id_of
from spacedock.result import Attempt, ErrorKind, JobResult

_MOST_LINES = 1000
_LOOK_SECONDS = 1.0


def logs(
    job: Annotated[str | None, typer.Argument(metavar="[JOB]", help="The id of a job.")] = None,
    space: Annotated[
        str | None,
        typer.Option("--space", "-s", help="A registry name, a Hub id (user/space) or ./directory."),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes: of a job, until it ends.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=1, max=_MOST_LINES, help="How many lines.")
    ] = 100,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Show a job's story, or the last lines that a Space's containers have written, with secrets masked.

    A container that failed is gone: what it said last is in the story of its job. Jobs in privacy mode leave
    no log.
    """
    if (job is None) == (space is None):
        raise BadRequestError("name a job, or a Space by --space")
    if json and follow:
        raise BadRequestError("--json is for what is there now: leave out --follow, or use `spacedock watch`")
    if job is not None:
        asked(redis, lambda client: _job(client, job, lines, follow=follow, json=json))
        return
    own = str(space).startswith((".", "/"))
    name = f"./{Path(str(space)).resolve().name}" if own else hub_id_of(str(space))
    asked(redis, lambda client: _space(client, name, lines, follow=follow, json=json))


async def _job(client: Client, job_id: str, lines: int, *, follow: bool, json: bool) -> None:
    story = await client.story(job_id)
    if json:
        write(story.model_dump_json())
        return
    for line in [*_beginning(story), *map(_event, story.events)][-lines:]:
        write(line)
    if follow and story.result is None:
        told = story.events[-1].id if story.events else 0
        async with aclosing(client.watch(job_id)) as events:
            async for event in events:
                if event.id > told:
                    write(_event(event))
        story = await client.story(job_id)
    for line in _ending(story.result) if story.result else ():
        write(line)


def _beginning(story: JobStory) -> Iterator[str]:
    job = story.job
    by = f"of batch {job.batch}" if job.batch else f"by {job.client}" if job.client else ""
    yield _line(job.submitted, " ".join(filter(None, ("submitted", by, job.space and f"for {job.space}"))))
    if not story.events and story.result is not None:
        yield "          its events are no longer kept"
    elif not story.events:
        yield f"          {job.state.value}: {job.waits_for or job.message or 'nothing is told yet'}"


def _event(event: Event) -> str:
    parts = (event.name, event.state.value if event.state else event.stage, event.message)
    return _line(event.at, ": ".join(dict.fromkeys(str(part) for part in parts if part)))


def _ending(result: JobResult) -> Iterator[str]:
    """What was tried, what each step came to, and how long it took."""
    for attempt in result.attempts:
        yield from f"          {_attempt(attempt)}".splitlines()
    times = result.timings
    yield f"          {result.state.value}: {times.queued:.1f} s in the queue, {times.total:.1f} s in all"


def _attempt(attempt: Attempt) -> str:
    took = f"{attempt.name} ({attempt.tier.value})"
    if attempt.error is None:
        return f"{took} answered after {attempt.seconds:.1f} s"
    said = printable(attempt.error.message).replace("\n", "\n            ")
    if attempt.error.kind is ErrorKind.SKIPPED:
        return f"{took} was skipped: {said}"
    return f"{took} failed at {attempt.stage.value} after {attempt.seconds:.1f} s: {said}"


def _line(at: float, said: str) -> str:
    return printable(f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}  {said}")


async def _space(client: Client, space: str, lines: int, *, follow: bool, json: bool) -> None:
    found = await client.spaces.logs(space, _MOST_LINES if follow else lines)
    if json:
        write_json(found)
        return
    _show({name: "\n".join(text.splitlines()[-lines:]) for name, text in found.items()})
    while follow:
        await asyncio.sleep(_LOOK_SECONDS)
        now = await client.spaces.logs(space, _MOST_LINES)
        for name, text in now.items():
            if new := fresh(found.get(name, "").splitlines(), text.splitlines()):
                _show({name: "\n".join(new)}, several=len(now) > 1)
        found = now


def fresh(before: Sequence[str], now: Sequence[str]) -> Sequence[str]:
    """The lines that came to a log since its end was `before`."""
    # A progress bar draws over the last line again and again.
    for known in (before, before[:-1]):
        for start in range(len(known)):
            if known[start:] == now[: len(known) - start]:
                return now[len(known) - start :]
    return now


def _show(found: dict[str, str], *, several: bool = False) -> None:
    for name, text in found.items():
        if several or len(found) > 1:
            write(heading(Path(name)))
        if text:
            write(printable(text))
        else:
            say(f"{name} has written nothing")


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
    asked(redis, lambda client: _watched(client, name, after, json=json))


async def _watched(client: Client, name: str | None, after: int | None, *, json: bool) -> None:
    events = client.events(after=after) if name is None else client.watch(name)
    async with aclosing(events):
        async for event in events:
            if json:
                write(event.model_dump_json())
            elif event.missed:
                say(event.message)
            else:
                said = ": ".join(part for part in (event.name, event.message) if part)
                write(_line(event.at, f"{event.id}  {event.job_id}  {said}"))
