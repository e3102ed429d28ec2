"""Carrying a batch out: lines are handed over, results written as they come, and none is asked twice."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import typer

from spacedock.cli import preflight
from spacedock.cli.batching import checkpoint
from spacedock.cli.batching.checking import check_lines
from spacedock.cli.batching.progress import BatchProgress
from spacedock.cli.batching.results_file import LineName, ResultRow, held, sync, tidy, write_line
from spacedock.cli.exit_codes import INTERRUPTED
from spacedock.cli.host_faults import Guard, call_off
from spacedock.cli.output.deliver import forget, say_files_left
from spacedock.cli.output.text import save_apart, say
from spacedock.client import Client
from spacedock.errors import JobNotFoundError, QueueFullError, ResultDeletedError, SpacedockError
from spacedock.files import Payload, set_apart
from spacedock.prepare import prepare
from spacedock.request import JobRequest, job_id_of
from spacedock.result import JobResult
from spacedock.states import JobState

_STATES = {JobState.QUEUED: "in the queue", JobState.RUNNING: "running"}
_CHUNK = 250
_CHUNK_BYTES = 2**24


@dataclass(slots=True)
class Batch:
    """A batch on its way: its requests and what they are known by, by line, and where its results go."""

    source: str
    requests: dict[int, JobRequest]
    names: dict[int, LineName]
    repository: Payload | None
    output: Path | None = None
    output_dir: Path | None = None
    keep: bool = False
    guard: Guard = field(default_factory=lambda: Guard(allowed=False))
    numbers: dict[str, int] = field(default_factory=dict)

    def known(self, rows: Mapping[str, ResultRow]) -> dict[int, ResultRow]:
        """What a results file holds of its lines."""
        return {number: rows[name.identity] for number, name in self.names.items() if name.identity in rows}

    def left(self, rows: Mapping[int, ResultRow]) -> dict[int, JobRequest]:
        """The lines that nobody has answered yet."""
        return {n: request for n, request in self.requests.items() if n not in rows or not rows[n].succeeded}


async def run_batch(url: str | None, made: Batch, identity: str) -> BatchProgress:
    """Ask the lines that nobody has answered yet, and write what they come to."""
    # Before anything is submitted: a place that takes no results is told while it is cheap.
    with held(made.output) as (file, there):
        rows = made.known(there)
        left = made.left(rows)
        with BatchProgress(len(made.requests), rows.values()) as meter:
            if left:
                await _ask(url, made, identity, left, rows, meter, file)
        _tidy(made)
    return meter


async def _ask(
    url: str | None,
    made: Batch,
    identity: str,
    left: dict[int, JobRequest],
    rows: Mapping[int, ResultRow],
    meter: BatchProgress,
    file: TextIO,
) -> None:
    async with Client(url) as client:
        await preflight.check(client, {request.space for request in left.values() if request.space})
        await check_lines(client, made.source, left, made.repository)
        book = checkpoint.Checkpoint(checkpoint.state_dir(os.environ), identity)
        await _forget_written(client, made, rows, book)
        await _carry_out(client, made, left, rows, book, meter, file)
        book.finish()


def _tidy(made: Batch) -> None:
    if made.output is None:
        return
    try:
        tidy(made.output, made.names)
    except OSError as error:
        say(f"{made.output} keeps what earlier tries came to: {error.strerror or error}")


async def _carry_out(
    client: Client,
    made: Batch,
    left: dict[int, JobRequest],
    rows: Mapping[int, ResultRow],
    book: checkpoint.Checkpoint,
    meter: BatchProgress,
    file: TextIO,
) -> None:
    try:
        full = await _submit(client, made, left, rows, book, meter)
        async with _told_of_the_first(client, made, meter):
            await _collect(client, made, book, meter, file)
    except asyncio.CancelledError:
        meter.close()
        say(f"stopped watching; {len(left) - meter.came} jobs go on. The same command picks them up.")
        raise typer.Exit(INTERRUPTED) from None
    if full is not None:
        raise full


@asynccontextmanager
async def _told_of_the_first(client: Client, made: Batch, meter: BatchProgress) -> AsyncIterator[None]:
    """Let the progress tell what is done for the first line: its Space may have to be built first."""

    async def watch() -> None:
        for first in list(made.numbers)[:1]:
            with suppress(SpacedockError):
                status = await client.status(first)
                meter.doing(status.message or status.waits_for or _STATES.get(status.state, ""))
                async for event in client.watch(first):
                    if event.stage is not None:
                        meter.doing(f"{event.name}: {event.message}")

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait({watching})


async def _submit(
    client: Client,
    made: Batch,
    left: dict[int, JobRequest],
    rows: Mapping[int, ResultRow],
    book: checkpoint.Checkpoint,
    meter: BatchProgress,
) -> QueueFullError | None:
    """Hand over the lines in order, as far as the queue has room; files go just before their jobs."""
    for chunk in _chunks(left):
        keys = [book.key(made.names[n].identity, rows[n].job_id if n in rows else "") for n in chunk]
        requests = [
            left[n].model_copy(update={"idempotency_key": key, "batch_id": left[n].batch_id or book.id})
            for n, key in zip(chunk, keys, strict=True)
        ]
        try:
            if made.repository is not None:
                await client.store([made.repository])
            for number in chunk:
                if files := made.names[number].files:
                    await client.store(_payloads(files, left[number]))
            untold = made.source == "-" or any(request.privacy for request in requests)
            ids = await client.submit_many(requests, label="" if untold else made.source)
        except QueueFullError as error:
            made.numbers.update(await _handed_over_before(client, dict(zip(chunk, requests, strict=True))))
            say(f"{len(made.numbers)} of {len(left)} lines are handed over; then there was no room for more")
            return error
        made.numbers.update(zip(ids, chunk, strict=True))
        meter.submitted(len(chunk))
    return None


def _chunks(left: dict[int, JobRequest]) -> Iterator[list[int]]:
    """The lines' numbers, few enough at once that their files, which go ahead of their jobs, are not much."""
    chunk: list[int] = []
    size = 0
    for number, request in left.items():
        chunk.append(number)
        size += sum(ref.size for ref in request.files)
        if len(chunk) == _CHUNK or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


async def _handed_over_before(client: Client, requests: dict[int, JobRequest]) -> dict[str, int]:
    """Those of the lines whose jobs an earlier run submitted."""
    found = {}
    for number, request in requests.items():
        with suppress(JobNotFoundError):
            found[(await client.status(job_id_of(request))).id] = number
    return found


def _payloads(files: tuple[str, ...], request: JobRequest) -> Sequence[Payload]:
    """A line's files as its request names them."""
    _, payloads = prepare("", files, None, {})
    vault = request.files[0].vault
    return set_apart(payloads, vault) if vault else payloads


async def _forget_written(
    client: Client, made: Batch, rows: Mapping[int, ResultRow], book: checkpoint.Checkpoint
) -> None:
    """Delete the private jobs whose lines an earlier run wrote, but had no time to delete."""
    written = [row.job_id for n, row in rows.items() if row.succeeded and made.requests[n].privacy]
    if not book.resumed or made.keep:
        return
    for start in range(0, len(written), _CHUNK):
        await client.forget(*written[start : start + _CHUNK])


async def _collect(
    client: Client, made: Batch, book: checkpoint.Checkpoint, meter: BatchProgress, file: TextIO
) -> None:
    try:
        async for result in client.results(list(made.numbers), keep=True):
            number = made.numbers[result.id]
            if await _withheld(client, made, book, result):
                continue
            name, saved = made.names[number], []
            if made.output_dir is not None:
                saved = await save_apart(client, result.output.files, made.output_dir, name.folder)
            write_line(file, name, made.requests[number], result, saved)
            meter.add(name, result)
            if result.privacy and not made.keep:
                await _let_go(client, made, file, result)
    except ResultDeletedError as error:
        lost = ", ".join(str(number) for number in sorted(made.numbers[job_id] for job_id in error.job_ids))
        say(f"lines {lost}: somebody else read and so deleted their results. The same command asks again.")
        meter.lose(len(error.job_ids))
    sync(file)


async def _withheld(client: Client, made: Batch, book: checkpoint.Checkpoint, result: JobResult) -> bool:
    """Whether the result stays out, because its host starts no Space; the first one calls the batch off."""
    was_stopped = made.guard.stopped
    withheld = made.guard.withholds(result)
    if withheld and not was_stopped:
        # Before anything is cancelled: the next run asks by new jobs, whatever becomes of this one.
        book.finish()
        await call_off(client, list(made.numbers))
    return withheld


async def _let_go(client: Client, made: Batch, file: TextIO, result: JobResult) -> None:
    """Delete a private job whose line is written, unless its files are still only with us."""
    if result.output.files and made.output_dir is None:
        say_files_left(result)
        return
    # What is deleted here cannot be had again.
    sync(file)
    await forget(client, result.id)
