"""`spacedock results`: what a batch came to, fetched from any machine."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.batching.results.results_file import ResultsFile, held
from spacedock.batching.results.saving import save_apart
from spacedock.batching.sending import LINE_LABEL
from spacedock.batching.sources.line import ROW_ID
from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.text import say
from spacedock.cli.preflight import asked
from spacedock.client import Client
from spacedock.errors import BadRequestError, JobNotFoundError, ResultDeletedError
from spacedock.result import JobResult

_AT_ONCE = 500
_MOST_DIGITS = 16
"""Of a line's number in a label, which anybody may have set."""


def results(
    batch: Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id, or its beginning.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where results go: .jsonl or .csv.")
    ],
    output_dir: options.OutputDir = None,
    redis: options.Redis = None,
) -> None:
    """Fetch the results of a batch in the order of its lines; what has not ended is waited for."""
    if output.exists():
        raise BadRequestError(f"{output} exists: choose another -o, or remove it")
    if not asked(redis, lambda client: _fetch(client, batch, output, output_dir)):
        raise typer.Exit(FAILED)


async def _fetch(client: Client, batch: str, output: Path, output_dir: Path | None) -> bool:
    """Write the results; returns whether all jobs have an answer."""
    found = await client.batch_status(batch)
    job_ids = await client.job_ids(found.id)
    total, written, failed = sum(found.counts.values()), 0, 0
    with held(output) as file:
        file.begin()
        for start in range(0, len(job_ids), _AT_ONCE):
            for result in await _in_order(client, job_ids[start : start + _AT_ONCE]):
                written, failed = written + 1, failed + (not result.succeeded)
                await _write(client, file, result, written, output_dir)
        file.sync()
        # A job that was retried has another after it, which counts in its place.
        file.settle()
    say(f"results: {output} has {written:,} of {total:,} jobs, {failed:,} of them without an answer")
    if written < total:
        say("the others are kept no longer, or were deleted as they were read")
    return not failed and written == total


async def _in_order(client: Client, job_ids: list[str]) -> list[JobResult]:
    found: dict[str, JobResult] = {}
    try:
        async with aclosing(client.results(job_ids, keep=True)) as results:
            async for result in results:
                found[result.id] = result
    except (ResultDeletedError, JobNotFoundError):
        # Said at the end, by the counts.
        pass
    return [found[job_id] for job_id in job_ids if job_id in found]


async def _write(
    client: Client, file: ResultsFile, result: JobResult, place: int, output_dir: Path | None
) -> None:
    labels = dict(result.labels)
    row_id = labels.get(ROW_ID)
    told = labels.pop(LINE_LABEL, "")
    number = int(told) if told.isdecimal() and len(told) < _MOST_DIGITS else place
    saved = []
    if output_dir is not None:
        saved = await save_apart(client, result.output.files, output_dir, row_id or f"{number:05d}")
    # What asked it is not in the queue any more, so this is no file to go on with.
    row: dict[str, Any] = {"line": number, "asked": f"line {number}", "batch": "-", "prompt": "", "run": ""}
    row |= {"row_id": row_id} if row_id else {}
    row |= result.model_dump(mode="json") | {"labels": labels}
    row |= {"saved": [str(path) for path in saved]} if saved else {}
    file.write(row)
