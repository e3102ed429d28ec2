"""`spacedock batch`: many prompts, their results as they come, and picking up where it was left."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from spacedock.cli import options, preflight
from spacedock.cli.batching import checkpoint as checkpoint
from spacedock.cli.batching.input import BadLinesError, BatchLine, read_lines
from spacedock.cli.batching.plan import rehearse
from spacedock.cli.batching.progress import BatchProgress
from spacedock.cli.exit_codes import FAILED, INTERRUPTED, STOPPED
from spacedock.cli.host_faults import Guard, call_off
from spacedock.cli.output.deliver import forget, say_files_left
from spacedock.cli.output.text import save, say
from spacedock.client import Client, prepare
from spacedock.errors import BadRequestError, JobNotFoundError, QueueFullError, ResultDeletedError
from spacedock.files import Payload, set_apart
from spacedock.request import JobRequest, Tier
from spacedock.result import JobResult
from spacedock.submission import job_id_of

_CHUNK = 250
_CHUNK_BYTES = 2**24


@dataclass(slots=True)
class Batch:
    """A batch on its way: its requests by line number, and where its results go."""

    requests: dict[int, JobRequest]
    files: dict[int, tuple[str, ...]]
    repository: Payload | None
    output: Path | None
    output_dir: Path | None
    keep: bool = False
    guard: Guard = field(default_factory=lambda: Guard(allowed=False))
    numbers: dict[str, int] = field(default_factory=dict)


def batch(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PROMPTS", help="A .jsonl, .json, .csv, .tsv or .txt file, a directory, or -."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where results go, one JSON line each."),
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", help="The prompt of lines that have none.")] = "",
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="NAME", help="A column or key to keep, not to send; repeatable."),
    ] = None,
    space: options.Space = None,
    category: options.Category = None,
    inputs: options.Inputs = None,
    endpoint: options.EndpointOption = None,
    timeout: options.Timeout = 300.0,
    no_fallback: options.NoFallback = False,
    allow_degraded: options.AllowDegraded = False,
    tier: options.TierOption = Tier.AUTO,
    privacy: options.Privacy = False,
    performance_first: options.PerformanceFirst = False,
    output_dir: options.OutputDir = None,
    keep: options.Keep = False,
    dry_run: options.DryRun = False,
    json: Annotated[bool, typer.Option("--json", help="With --dry-run: print JSON lines.")] = False,
    redis: options.Redis = None,
) -> None:
    """Run many prompts. Ctrl-C stops watching only: run the same command again to pick up."""
    defaults = {"prompt": prompt, "space": space, "batch": True}
    defaults |= options.request_fields(
        category=category,
        inputs=inputs,
        endpoint=endpoint,
        timeout=timeout,
        no_fallback=no_fallback,
        tier=tier,
        privacy=privacy,
        performance_first=performance_first,
    )
    lines = read_lines(source, sys.stdin.buffer.read, label or ())
    made = make(source, lines, defaults)
    made.output, made.output_dir, made.keep = output, output_dir, keep
    made.guard = Guard(allowed=allow_degraded)
    if dry_run:
        asyncio.run(_rehearse(redis, made, json=json))
        return
    identity = _identity(source, lines, defaults, output)
    meter = asyncio.run(_batch(redis, made, identity))
    meter.summarise(output)
    if made.guard.stopped:
        left = f"{meter.left} line{' has' if meter.left == 1 else 's have'}"
        again = "asks them again" if output else "asks all lines again, since there is no -o"
        made.guard.say_how_to_go_on(left, again)
        raise typer.Exit(STOPPED)
    if meter.failed:
        raise typer.Exit(FAILED)


def make(source: str, lines: list[BatchLine], defaults: dict[str, Any]) -> Batch:
    """Check every line before any is submitted. Raises BadLinesError with the numbers of the bad ones."""
    requests: dict[int, JobRequest] = {}
    problems = []
    repository: Payload | None = None
    for line in lines:
        fields = {**defaults, **line.fields}
        fields["inputs"] = {**defaults["inputs"], **line.fields.get("inputs", {})}
        try:
            request, payloads = prepare(fields.pop("prompt"), line.files, fields.pop("space"), fields)
        except BadRequestError as error:
            problems.append(f"line {line.number}: {error}")
            continue
        if not (request.asks or request.endpoint):
            problems.append(f"line {line.number}: the prompt is empty and there is no file or input")
            continue
        requests[line.number] = request
        repository = next((p for p in payloads if p.ref == request.repository), repository)
    if problems:
        raise BadLinesError(source, problems)
    return Batch(requests, {line.number: line.files for line in lines}, repository, None, None)


def _identity(source: str, lines: list[BatchLine], defaults: dict[str, Any], output: Path | None) -> str:
    """What makes it the same batch: its source, its options, and where its results go."""
    place = repr(lines) if source == "-" else str(Path(source).resolve())
    return "\n".join([place, str(output.resolve()) if output else "-", repr(sorted(defaults.items()))])


def _left(made: Batch) -> dict[int, JobRequest]:
    """The lines whose results are not written yet."""
    done = checkpoint.answered(made.output) if made.output else {}
    return {
        number: request
        for number, request in made.requests.items()
        if done.get(number) != checkpoint.fingerprint(request)
    }


async def _rehearse(url: str | None, made: Batch, *, json: bool) -> None:
    async with Client(url) as client:
        await rehearse(client, _left(made), made.repository, json=json)


async def _batch(url: str | None, made: Batch, identity: str) -> BatchProgress:
    left = _left(made)
    with BatchProgress(len(made.requests), already=len(made.requests) - len(left)) as meter:
        if not left:
            return meter
        async with Client(url) as client:
            await preflight.check(client, {request.space for request in left.values() if request.space})
            book = checkpoint.Checkpoint(checkpoint.state_dir(os.environ), identity)
            await _forget_written(client, made, left, book)
            # Opened before anything is submitted: a place that takes no results is told while it is cheap.
            with _opened(made.output) as file:
                await _carry_out(client, made, left, book, meter, file)
            book.finish()
        return meter


async def _carry_out(
    client: Client,
    made: Batch,
    left: dict[int, JobRequest],
    book: checkpoint.Checkpoint,
    meter: BatchProgress,
    file: TextIO,
) -> None:
    try:
        full = await _submit(client, made, left, book, meter)
        await _collect(client, made, book, meter, file)
    except asyncio.CancelledError:
        meter.close()
        say(f"stopped watching; {len(left) - meter.came} jobs go on. The same command picks them up.")
        raise typer.Exit(INTERRUPTED) from None
    if full is not None:
        raise full


async def _submit(
    client: Client,
    made: Batch,
    left: dict[int, JobRequest],
    book: checkpoint.Checkpoint,
    meter: BatchProgress,
) -> QueueFullError | None:
    """Hand over the lines in order, as far as the queue has room; files go just before their jobs."""
    for chunk in _chunks(left):
        requests = [
            left[number].model_copy(update={"idempotency_key": book.key(number, left[number])})
            for number in chunk
        ]
        try:
            if made.repository is not None:
                await client.store([made.repository])
            for number in chunk:
                if made.files[number]:
                    await client.store(_payloads(made.files[number], left[number]))
            ids = await client.submit_many(requests)
        except QueueFullError as error:
            made.numbers.update(await _handed_over_before(client, dict(zip(chunk, requests, strict=True))))
            say(f"{len(made.numbers)} of {len(left)} lines are handed over; then the queue's memory was full")
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
    client: Client, made: Batch, left: dict[int, JobRequest], book: checkpoint.Checkpoint
) -> None:
    """Delete the private jobs whose lines an earlier run wrote, but had no time to delete."""
    written = [number for number, request in made.requests.items() if number not in left and request.privacy]
    if not book.resumed or made.keep:
        return
    for start in range(0, len(written), _CHUNK):
        chunk = written[start : start + _CHUNK]
        await client.forget(*(book.job_id(number, made.requests[number]) for number in chunk))


async def _collect(
    client: Client, made: Batch, book: checkpoint.Checkpoint, meter: BatchProgress, file: TextIO
) -> None:
    try:
        async for result in client.results(list(made.numbers), keep=True):
            number = made.numbers[result.id]
            if await _withheld(client, made, book, result):
                continue
            if made.output_dir is not None:
                await save(client, result.output.files, made.output_dir / f"{number:05d}")
            checkpoint.write_line(file, number, made.requests[number], result)
            meter.add(result)
            if result.privacy and not made.keep:
                await _let_go(client, made, file, result)
    except ResultDeletedError as error:
        lost = ", ".join(str(number) for number in sorted(made.numbers[job_id] for job_id in error.job_ids))
        say(f"lines {lost}: somebody else read and so deleted their results. The same command asks again.")
        meter.lose(len(error.job_ids))
    checkpoint.sync(file)


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
    checkpoint.sync(file)
    await forget(client, result.id)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    if output is None:
        yield sys.stdout
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        opened = output.open("a", encoding="utf-8")
    except OSError as error:
        raise BadRequestError(
            f"{output} cannot take results: {error.strerror}. Choose another -o."
        ) from error
    with opened as file:
        yield file
