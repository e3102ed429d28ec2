"""Finding jobs without their ids: which there are, of which batch, and running failed ones again."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator, Mapping, Sequence

from redis.asyncio import Redis

from spacedock._wire import jobs, keys, lanes, wire
from spacedock._wire.connection import answer
from spacedock._wire.view import batches
from spacedock.errors import BadRequestError, WireError
from spacedock.events import JobSummary
from spacedock.request import JobRequest, Restart, job_id_of_key
from spacedock.states import JobState

_PAGE = 500
_FIELDS = ("state", "submitted", "message", "deleted", "lane", "target", "private", "labels")
RETRIED = frozenset({JobState.FAILED, JobState.DEAD, JobState.CANCELLED})


async def find(
    redis: Redis,
    *,
    state: JobState | None = None,
    space: str | None = None,
    batch: str | None = None,
    labels: Mapping[str, str] | None = None,
    run: str | None = None,
    steps: bool = False,
    limit: int = 100,
) -> list[JobSummary]:
    """The newest jobs, at most `limit`: those that have not ended, and those that ended within a day.

    `state`, `space` (as the jobs name it), `batch` (the beginning of its id) and `labels` (each of these)
    choose. A run of a pipeline is one job; with `steps` those of all its steps are there too, and with `run`
    (its id) they alone. Without a batch all records are looked at, a page at a time: 100,000 jobs take some
    seconds. Raises JobNotFoundError where there is no such batch, or no such run.
    """
    newest: list[tuple[float, str, JobSummary]] = []
    whole = None if batch is None else (await batches.find(redis, batch)).id
    if run is not None:
        await jobs.status(redis, run)
        ids = _all_ids(redis, f"{run}-*")
    elif whole is None or steps:
        ids = _all_ids(redis, steps=steps)
    else:
        ids = _ids_of(redis, whole)
    async for found in _records(redis, ids):
        if state not in (None, found.state) or space not in (None, found.space):
            continue
        if whole not in (None, found.batch):
            continue
        if not (labels or {}).items() <= found.labels.items():
            continue
        row = found.submitted, found.id, found
        if len(newest) < limit:
            heapq.heappush(newest, row)
        else:
            heapq.heappushpop(newest, row)
    return [found for _, _, found in sorted(newest, key=lambda row: row[:2], reverse=True)]


async def _all_ids(redis: Redis, pattern: str = "*", *, steps: bool = True) -> AsyncIterator[str]:
    async for key in redis.scan_iter(match=keys.job(pattern), count=_PAGE, _type="hash"):
        job_id = key.decode(errors="replace").removeprefix(keys.JOB)
        if steps or keys.run_of(job_id) is None:
            yield job_id


async def _ids_of(redis: Redis, batch: str) -> AsyncIterator[str]:
    for job_id in await batches.job_ids(redis, (await batches.find(redis, batch)).id):
        yield job_id


async def _records(redis: Redis, ids: AsyncIterator[str]) -> AsyncIterator[JobSummary]:
    page: list[str] = []
    async for job_id in ids:
        page.append(job_id)
        if len(page) >= _PAGE:
            for found in await summaries(redis, page):
                yield found
            page = []
    for found in await summaries(redis, page):
        yield found


async def summaries(redis: Redis, job_ids: Sequence[str]) -> list[JobSummary]:
    """The jobs of these ids, in order; those that are kept no longer are left out."""
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
    lane, target, private = (value.decode(errors="replace") if value else "" for value in row[4:7])
    return JobSummary(
        **status.model_dump(exclude={"pipeline"}),
        pipeline=None if private else jobs.pipeline_in(row[5]),
        batch=lanes.batch_of(lane),
        client=lanes.client_of(lane),
        space="" if private or target.startswith("tier:") else target,
        labels=wire.labels_in(row[7]),
    )


async def retries_of(redis: Redis, names: Sequence[str]) -> list[JobRequest]:
    """The requests of jobs that failed, were cancelled or are dead, as they can be submitted once more.

    `names` are jobs, or batches: then all such of them. Of a job that was retried before, its last retry
    counts. Each gets the idempotency key of its retry, so that no job is retried twice, and its old batch.
    Raises JobNotFoundError, BadRequestError for a job that has not ended so, or whose request is not kept.
    """
    chosen: dict[str, None] = {}
    for name in names:
        if await redis.exists(keys.job(name)):
            chosen[await _last_retry(redis, name)] = None
            continue
        async for job in _records(redis, _ids_of(redis, name)):
            if job.state in RETRIED:
                last = await _last_retry(redis, job.id)
                if (await jobs.status(redis, last)).state in RETRIED:
                    chosen[last] = None
    return [await _again(redis, job_id) for job_id in chosen]


async def _again(redis: Redis, job_id: str) -> JobRequest:
    state = (await jobs.status(redis, job_id)).state
    if state not in RETRIED:
        raise BadRequestError(
            f"job {job_id} is not retried: its state is '{state.value}', not failed, cancelled or dead"
        )
    raw, lane = await answer(redis.hmget(keys.job(job_id), ["request", "lane"]))
    if raw is None:
        raise BadRequestError(f"job {job_id} was private: its request is not kept, submit it again")
    request = wire.decode_bounded(JobRequest, raw, wire.MAX_REQUEST_BYTES)
    batch = lanes.batch_of((lane or b"").decode(errors="replace"))
    fields = {"idempotency_key": _retry_key(job_id), "batch_id": request.batch_id or batch}
    # What the steps of a pipeline gave is not asked for again.
    restart = Restart(run=job_id) if request.pipeline is not None else None
    return request.model_copy(update={**fields, "restart": restart})


async def _last_retry(redis: Redis, job_id: str) -> str:
    while await redis.exists(keys.job(again := retry_id_of(job_id))):
        job_id = again
    return job_id


def retry_id_of(job_id: str) -> str:
    """The id of the job that is this one's retry, whether there is one or not."""
    return job_id_of_key(_retry_key(job_id))


def _retry_key(job_id: str) -> str:
    return f"retry:{job_id}"


async def ids_of(redis: Redis, name: str) -> list[str]:
    """The jobs of that name: a job's id, or those of (the beginning of) a batch's that are kept, in the order
    of their submission. Raises JobNotFoundError, BadRequestError for the beginning of several batches' ids.
    """
    if await redis.exists(keys.job(name)):
        return [name]
    return [one.id async for one in _records(redis, _ids_of(redis, name))]
