"""Finding jobs without their ids: which there are, of which batch, and running failed ones again."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Sequence

from redis.asyncio import Redis

from spacedock._wire import jobs, keys, lanes, wire
from spacedock.errors import BadRequestError, JobNotFoundError, WireError
from spacedock.events import JobSummary
from spacedock.request import JobRequest
from spacedock.states import JobState

_PAGE = 500
_FIELDS = ("state", "submitted", "message", "deleted", "lane", "target", "private")
RETRIED = frozenset({JobState.FAILED, JobState.DEAD, JobState.CANCELLED})


async def find(
    redis: Redis,
    *,
    state: JobState | None = None,
    space: str | None = None,
    batch: str | None = None,
    limit: int = 100,
) -> list[JobSummary]:
    """The newest jobs, at most `limit`: those that have not ended, and those that ended within a day.

    `state`, `space` (as the jobs name it) and `batch` (the beginning of its id) choose. All records are
    looked at, a page at a time: 100,000 jobs take some seconds.
    """
    newest: list[tuple[float, str, JobSummary]] = []
    async for found in _records(redis):
        if state not in (None, found.state) or space not in (None, found.space):
            continue
        if batch is not None and not (found.batch or "").startswith(lanes.written(batch)):
            continue
        row = found.submitted, found.id, found
        if len(newest) < limit:
            heapq.heappush(newest, row)
        else:
            heapq.heappushpop(newest, row)
    return [found for _, _, found in sorted(newest, key=lambda row: row[:2], reverse=True)]


async def _records(redis: Redis) -> AsyncIterator[JobSummary]:
    page: list[str] = []
    async for key in redis.scan_iter(match=keys.job("*"), count=_PAGE, _type="hash"):
        page.append(key.decode(errors="replace").removeprefix(keys.JOB))
        if len(page) >= _PAGE:
            for found in await _summaries(redis, page):
                yield found
            page = []
    for found in await _summaries(redis, page):
        yield found


async def _summaries(redis: Redis, job_ids: Sequence[str]) -> list[JobSummary]:
    async with redis.pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.hmget(keys.job(job_id), [*_FIELDS])
        rows = await pipe.execute(raise_on_error=False)
    found = [_summary(job_id, row) for job_id, row in zip(job_ids, rows, strict=True)]
    return [summary for summary in found if summary is not None]


def _summary(job_id: str, row: object) -> JobSummary | None:
    """The summary of a job's record, or None if it is no job's. Hides the Space of a private job."""
    if not isinstance(row, list) or row[0] is None:
        return None
    try:
        status = jobs.status_of(job_id, *row[:4])
    except WireError:
        return None
    lane, target, private = (value.decode(errors="replace") if value else "" for value in row[4:])
    return JobSummary(
        **status.model_dump(),
        batch=lanes.batch_of(lane),
        space="" if private or target.startswith("tier:") else target,
    )


async def requests_of(redis: Redis, job_ids: Sequence[str]) -> list[JobRequest]:
    """The requests of jobs that failed, were cancelled or are dead, as they can be submitted once more.

    Raises JobNotFoundError, BadRequestError for a job that has not ended so, or whose request is not kept.
    """
    requests = []
    for job_id in job_ids:
        status = await jobs.status(redis, job_id)
        if status.state not in RETRIED:
            raise BadRequestError(
                f"job {job_id} is {status.state.value}: only what failed or was cancelled is retried"
            )
        raw = await redis.hget(keys.job(job_id), "request")  # type: ignore[misc]
        if raw is None:
            raise BadRequestError(f"job {job_id} was private: its request is not kept, submit it again")
        request = wire.decode_bounded(JobRequest, raw, wire.MAX_REQUEST_BYTES)
        requests.append(request.model_copy(update={"idempotency_key": None}))
    return requests


async def ids_of(redis: Redis, name: str, *, ended: bool | None = None) -> list[str]:
    """The jobs of that name: a job's id, or (the beginning of) a batch's; with `ended` only those that have
    ended, or not. Raises JobNotFoundError, BadRequestError for the beginning of several batches' ids."""
    if await redis.exists(keys.job(name)):
        return [name]
    found = await find(redis, batch=name, limit=10**9) if len(name) >= 4 else []
    if not found:
        raise JobNotFoundError(name)
    batches = sorted({one.batch or "" for one in found})
    if (whole := lanes.written(name)) in batches:
        found = [one for one in found if one.batch == whole]
    elif len(batches) > 1:
        some = ", ".join(batches[:5])
        raise BadRequestError(
            f"'{name}' is the beginning of {len(batches)} batches ({some}): give more of it"
        )
    return [one.id for one in reversed(found) if ended in (None, one.state.terminal)]
