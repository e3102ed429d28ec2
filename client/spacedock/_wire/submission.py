"""Handing jobs over to Redis: each job whole or not at all, many in one round trip."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from spacedock._wire import keys, lanes, memory, wire
from spacedock._wire.connection import answer
from spacedock._wire.retention import UPLOAD_GRACE_S
from spacedock._wire.scripts import registered
from spacedock._wire.view.webhooks import JOB
from spacedock.errors import BadRequestError
from spacedock.request import JobRequest, job_id_of

_CHUNK = 250
"""Jobs per script: enough to make the round trip cheap, few enough not to hold up the server."""

_LABEL_CHARS = 200

Row = tuple[str, str, list[str], bool, str, str, str, float, bool]
"""A job as the script takes it: its id, request, files, privacy, lane, target, labels, keep, and whether it
is a pipeline's run."""

_ARQ_JOB = json.dumps({"t": None, "f": keys.FUNCTION, "a": [], "k": {}, "et": 0}).replace(
    '"et": 0', '"et": %.0f'
)


async def submit(
    redis: Redis,
    requests: Sequence[JobRequest],
    client: str = "",
    batch: str | None = None,
    label: str = "",
) -> list[str]:
    """Make one job of each request, in order, and return their ids. The files must be uploaded.

    Those that name no batch of their own are of `batch`, without one they wait in the lane of `client`. Their
    batches are known by that `label`.
    Raises BadRequestError where a request is no JSON or shares what is private (none is submitted then), or
    where a file is not there (the other jobs are submitted); QueueFullError, which names those submitted.
    """
    rows = [_row(job_id_of(request), request, client, batch) for request in requests]
    asked = zip(rows, requests, strict=True)
    if callbacks := {JOB + row[0]: request.callback for row, request in asked if request.callback}:
        # Before the jobs: a callback of a job that is refused then finds no job, and is forgotten.
        await answer(redis.hset(keys.CALLBACKS, mapping=callbacks))
    await submit_rows(redis, rows, client, label)
    return [job_id for job_id, *_ in rows]


async def submit_rows(redis: Redis, rows: Sequence[Row], client: str = "", label: str = "") -> None:
    """Make one job of each row, as far as it is not there. Raises BadRequestError, QueueFullError."""
    script, lacking = registered(redis, "submit", UPLOAD_GRACE_S=UPLOAD_GRACE_S), 0
    # A batch is called after its file, whose name may be no text.
    whose = [text.encode(errors="replace").decode() for text in (client, label[:_LABEL_CHARS])]
    for start in range(0, len(rows), _CHUNK):
        try:
            answers = await script(args=[json.dumps(rows[start : start + _CHUNK]), _ARQ_JOB, *whose])
        except OutOfMemoryError:
            answers = b"full"
        if answers == b"full":
            raise await memory.full_error(redis, tuple(job_id for job_id, *_ in rows[:start]))
        lacking += answers.count(b"missing")
    if lacking:
        raise BadRequestError(
            f"{lacking} of {len(rows)} jobs: a file is not stored (any more); submit them again with it"
        )


def _row(job_id: str, request: JobRequest, client: str, batch: str | None) -> Row:
    if request.privacy and not request.set_apart:
        raise BadRequestError("a file of a private job would be shared: see spacedock.files.set_apart")
    return row_of(job_id, request, lanes.lane(request.priority, request.batch_id or batch, client))


def row_of(job_id: str, request: JobRequest, lane: str) -> Row:
    """A job in that lane as the script takes it. Raises BadRequestError where the request is no JSON."""
    raw = encoded(request).decode()
    places = list(dict.fromkeys(ref.place for ref in request.payloads))
    labels = json.dumps(request.labels) if request.labels and not request.privacy else ""
    keep, is_run = request.keep_for or 0, request.pipeline is not None
    return job_id, raw, places, request.privacy, lane, request.target, labels, keep, is_run


_HALF = re.compile("[\ud800-\udfff]")


def _unwritable(request: JobRequest) -> str:
    """What keeps a request from being written as JSON in UTF-8."""
    for name, value in (("prompt", request.prompt), *request.inputs.items()):
        try:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=repr)
        except (ValueError, RecursionError):
            break
        if half := _HALF.search(text):
            return (
                f"'{name}' holds half a character (\\u{ord(half[0]):04x}): write both halves, such as "
                "\\ud83d\\ude00, or the character itself"
            )
    return "the prompt or an input cannot be written as JSON in UTF-8"


def encoded(request: JobRequest) -> bytes:
    """The request on the wire. Raises BadRequestError where it is no JSON in UTF-8, or too large."""
    try:
        raw = b"" if len(request.prompt) > wire.MAX_REQUEST_BYTES else wire.encode(request)
    except (ValueError, RecursionError) as error:
        raise BadRequestError(_unwritable(request)) from error
    if not raw or len(raw) > wire.MAX_REQUEST_BYTES:
        limit = wire.MAX_REQUEST_BYTES // 2**20
        raise BadRequestError(
            f"the prompt and inputs of a job have {limit} MB at most: give longer ones as files"
        )
    if wire.too_complex(raw):
        raise BadRequestError(f"the inputs of a job hold {wire.MAX_NESTS:,} lists and objects at most")
    return raw
