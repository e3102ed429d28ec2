"""What a batch came to as OpenAI's and Anthropic's lines: results in one file, errors in a second."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from pathlib import Path
from time import time
from typing import Any

from spacedock.batching.batch_client import BatchClient
from spacedock.batching.results.results_file import written
from spacedock.batching.results.row_forms import RowPlaces, form_of
from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.errors import WireError
from spacedock.openai.bodies import (
    NO_FILES,
    WrongAnswerError,
    anthropic_error,
    envelope,
    failure_of,
    own_of,
    response_body,
    wants_files,
)
from spacedock.openai.translation import OWN, TranslatedRequest
from spacedock.result import JobResult
from spacedock.states import JobState

_MOST_UNREADABLE = 20
"""So many lines are looked at for one that tells whose file it is."""


def rows_beside(output: Path) -> Path:
    """Where the results are kept from which the lines in `output` are written."""
    return output.with_name(f"{output.stem}.rows.jsonl")


async def write_openai_lines(
    client: BatchClient,
    lines: Iterator[BatchLine | BadLine],
    rows: Path,
    output: Path,
    errors: Path,
    lost: tuple[str, str] | None = None,
) -> Counter[bool]:
    """Write the results of a batch's lines anew, in their order; returns how many are in which file.

    Of a line that has no result `lost` says why, as a code and in words; without it the line is left out.
    Raises BadRequestError where they cannot be written.
    """
    counts = Counter[bool]()
    drafts = [path.with_name(f".{path.name}.draft") for path in (output, errors)]
    head, anthropic = await asyncio.to_thread(_shape, lines)
    ended = _ended_lines(chain(head, lines), rows)
    with (
        written(output),
        drafts[0].open("w", encoding="utf-8") as out,
        drafts[1].open("w", encoding="utf-8") as err,
    ):
        while (item := await asyncio.to_thread(next, ended, None)) is not None:
            if (found := await _line(client, *item, lost, anthropic=anthropic)) is not None:
                row, is_result = found
                counts[is_result] += 1
                (out if is_result else err).write(json.dumps(row) + "\n")
    await asyncio.to_thread(_put, drafts[0], output)
    await asyncio.to_thread(_put, drafts[1], errors, needed=False)
    return counts


def _shape(lines: Iterator[BatchLine | BadLine]) -> tuple[list[BatchLine | BadLine], bool]:
    """The first lines, up to one that tells whose file it is, and whether it is Anthropic's."""
    head: list[BatchLine | BadLine] = []
    for line in islice(lines, _MOST_UNREADABLE):
        head.append(line)
        if isinstance(line, BatchLine) and line.asked is not None:
            return head, line.asked.anthropic
        if isinstance(line, BadLine) and (given := _object(line)):
            return head, "params" in given
    return head, False


def _ended_lines(
    lines: Iterable[BatchLine | BadLine], rows: Path
) -> Iterator[tuple[BatchLine | BadLine, JobResult | None]]:
    """Each line of a source with its last result in the results file (None: it has none), in its order."""
    if not rows.is_file():
        yield from ((line, None) for line in lines)
        return
    places = RowPlaces(rows, form_of(rows.suffix))
    with rows.open("rb") as file:
        for line in lines:
            raw = places.row(file, line.number)
            yield line, JobResult.model_validate(json.loads(raw)) if raw else None


def _put(draft: Path, path: Path, *, needed: bool = True) -> None:
    """Put a file in its place; an empty one that is not needed goes, and so does what was there."""
    if needed or draft.stat().st_size:
        draft.replace(path)
        return
    draft.unlink()
    path.unlink(missing_ok=True)


async def _line(
    client: BatchClient,
    line: BatchLine | BadLine,
    result: JobResult | None,
    lost: tuple[str, str] | None,
    *,
    anthropic: bool,
) -> tuple[dict[str, Any], bool] | None:
    if isinstance(line, BadLine):
        return _refused(line, anthropic), False
    if line.asked is None or result is None:
        return None if lost is None else (error_line(line.id, *lost, anthropic=anthropic), False)
    return result_line(line.asked, result, int(time()), await _contents(client, line.asked, result))


def _refused(line: BadLine, anthropic: bool) -> dict[str, Any]:
    """The error of a line that is no request; its id is the caller's as far as it can be read."""
    row_id = _object(line).get("custom_id")
    problem = f"line {line.number}: {line.problem}"
    known = row_id if isinstance(row_id, str) else None
    return error_line(known, "invalid_request", problem, anthropic=anthropic)


def _object(line: BadLine) -> dict[str, Any]:
    """The JSON object of a line; an empty one where the line is not a JSON object."""
    with suppress(ValueError, RecursionError):
        if isinstance(row := json.loads(line.text), dict):
            return row
    return {}


async def _contents(client: BatchClient, asked: TranslatedRequest, result: JobResult) -> Mapping[str, bytes]:
    """The bytes of the files that the line holds; none where one is gone."""
    if result.succeeded and wants_files(asked):
        with suppress(WireError):
            return {ref.sha256: await client.fetch(ref) for ref in result.output.files}
    return {}


def result_line(
    request: TranslatedRequest, result: JobResult, created: int, files: Mapping[str, bytes] = NO_FILES
) -> tuple[dict[str, Any], bool]:
    """The line for a job that has ended, and whether it is one of the results file.

    False: it is one of the errors file. The arguments are those of `response_body`.
    """
    if not result.succeeded:
        status, body = failure_of(result)
    else:
        try:
            return _row_line(request, result, 200, response_body(request, result, created, files)), True
        except WrongAnswerError as error:
            status, body = 502, envelope(502, "wrong_answer", str(error))
    return _row_line(request, result, status, body | {OWN: own_of(request, result)}), False


def error_line(custom_id: str | None, code: str, message: str, *, anthropic: bool = False) -> dict[str, Any]:
    """The line of the errors file for a request that never was a job, such as one that cannot be read.

    `code` is a word for programs, such as `invalid_request` or `batch_expired`.
    """
    if anthropic:
        kind = {"batch_expired": "expired", "batch_cancelled": "canceled"}.get(code)
        outcome = {"type": kind} if kind else {"type": "errored", "error": anthropic_error(400, message)}
        return {"custom_id": custom_id, "result": outcome}
    error = {"code": code, "message": message}
    return {"id": f"batch_req_{custom_id}", "custom_id": custom_id, "response": None, "error": error}


def _row_line(
    request: TranslatedRequest, result: JobResult, status: int, body: dict[str, Any]
) -> dict[str, Any]:
    if request.anthropic:
        return {"custom_id": request.id, "result": _outcome(result, status, body)}
    response = {"status_code": status, "request_id": result.id, "body": body}
    return {"id": f"batch_req_{result.id}", "custom_id": request.id, "response": response, "error": None}


def _outcome(result: JobResult, status: int, body: dict[str, Any]) -> dict[str, Any]:
    if status == 200:
        return {"type": "succeeded", "message": body}
    if result.state is JobState.CANCELLED:
        return {"type": "canceled", OWN: body[OWN]}
    return {"type": "errored", "error": anthropic_error(status, body["error"]["message"]), OWN: body[OWN]}
