"""`spacedock spaces bench`: the same job on several Spaces, again and again, side by side."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.cli import options, preflight
from spacedock.cli.exit_codes import FAILED, INTERRUPTED
from spacedock.cli.output.comparison import Contestant, measured_as, show_contest
from spacedock.cli.output.progress import ProgressLines
from spacedock.cli.output.text import printable, say, write_json
from spacedock.cli.output.units import age
from spacedock.client import Client
from spacedock.errors import SpacedockError
from spacedock.files import Payload
from spacedock.prepare import prepare
from spacedock.request import JobRequest, Tier
from spacedock.result import JobResult

_HOPELESS = 3
"""Failures in a row, before any success, after which a Space gets no more jobs."""

_PEAK_SECONDS = 2.0
"""How long a peak is waited for: the worker asks for it beside the calls, at the first within a second."""


@dataclass(frozen=True, slots=True)
class BenchRequest:
    """What every Space is asked, how often, and under which label."""

    prompt: str
    files: tuple[Path, ...]
    fields: dict[str, Any]
    count: int
    label: str = field(default_factory=lambda: uuid.uuid4().hex[:8])

    def prepared(self, space: str, number: int) -> tuple[JobRequest, list[Payload]]:
        """The Space's job of that number. Raises BadRequestError and its kinds."""
        labels = {"bench": self.label, "run": str(number)}
        return prepare(self.prompt, self.files, space, {**self.fields, "labels": labels})


def bench(
    names: Annotated[list[str], typer.Argument(metavar="NAME…", help="Registry names, Hub ids or ./dirs.")],
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="What to ask each of them.")] = "",
    file: options.FilesOption = None,
    inputs: options.Inputs = None,
    endpoint: options.EndpointOption = None,
    count: Annotated[int, typer.Option("-n", min=1, max=10_000, help="Jobs for each Space.")] = 20,
    timeout: options.Timeout = 300.0,
    privacy: options.Privacy = False,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Compare Spaces: each is asked the same, in turns, one job at a time, and nobody stands in for it."""
    asked = options.RequestOptions(
        inputs=inputs, endpoint=endpoint, timeout=timeout, no_fallback=True, tier=Tier.HEAVY, privacy=privacy
    )
    order = BenchRequest(prompt, tuple(file or ()), asked.fields(), count)
    spaces = list(dict.fromkeys(names))
    # What is wrong with the order shows here, before anything runs.
    contest = [Contestant(space, measured_as(order.prepared(space, 0)[0])) for space in spaces]
    asyncio.run(_bench(redis, contest, order))
    if json:
        rows = {one.name: one.row() for one in contest}
        write_json({"label": order.label, "jobs": count, "spaces": rows})
    else:
        show_contest(contest, count)
    if any(one.failed for one in contest):
        raise typer.Exit(FAILED)


async def _bench(url: str | None, contest: list[Contestant], order: BenchRequest) -> None:
    async with Client(url) as client:
        await preflight.check(client, {one.name for one in contest})
        with _meter(len(contest) * order.count) as next_one:
            for number in range(1, order.count + 1):
                for one in contest:
                    next_one(one.name)
                    if one.succeeded or one.failed < _HOPELESS:
                        one.add(await _asked(client, one.name, number, order))
        for one in contest:
            one.peak_memory = await _peak(client, one) if one.succeeded else None


async def _asked(client: Client, space: str, number: int, order: BenchRequest) -> JobResult:
    """One job's result. Ctrl-C cancels the job."""
    request, payloads = await asyncio.to_thread(order.prepared, space, number)
    job_id = await client.submit_prepared(request, payloads)
    try:
        return await client.result(job_id)
    except asyncio.CancelledError:
        with suppress(SpacedockError):
            await asyncio.shield(client.cancel(job_id))
        say("stopped: the job under way was cancelled, the others were not begun")
        raise typer.Exit(INTERRUPTED) from None


async def _peak(client: Client, one: Contestant) -> int | None:
    """The most memory that the image which answered was seen to use; None where nobody looked in time."""
    try:
        async with asyncio.timeout(_PEAK_SECONDS):
            while True:
                for image in (await client.spaces.profile(one.measured_as))["images"]:
                    if image["digest"] == one.digest and image["peak_memory"] is not None:
                        return int(image["peak_memory"])
                await asyncio.sleep(_PEAK_SECONDS / 8)
    except (TimeoutError, SpacedockError):
        return None


@contextmanager
def _meter(total: int) -> Iterator[Callable[[str], None]]:
    """Shows how far it is: what is given is told whose turn it is, at each turn."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    if not console.is_terminal:
        with _lines(total) as next_one:
            yield next_one
        return
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=total)
        done = itertools.count()
        yield lambda text: progress.update(task, description=printable(text), completed=next(done))


@contextmanager
def _lines(total: int) -> Iterator[Callable[[str], None]]:
    """The same where no bar can move: a line now and then."""
    asked: list[str] = []
    lines = ProgressLines(lambda: say(f"job {len(asked)} of {total}: {asked[-1]}, after {age(lines.passed)}"))
    lines.start()
    try:
        yield asked.append
    finally:
        lines.stop()
