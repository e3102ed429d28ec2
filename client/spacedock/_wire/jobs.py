"""Reading what Redis holds of jobs: where they stand and how they ended; and asking them to stop."""

from __future__ import annotations

from collections.abc import Sequence

from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock._wire.retention import DEFAULTS
from spacedock._wire.scripts import registered
from spacedock.errors import JobNotFoundError, WireError
from spacedock.events import Event, JobStatus
from spacedock.request import PIPELINE_PREFIX
from spacedock.result import JobResult
from spacedock.states import JobState

PAGE = 100
PAGE_BYTES = 2**23
"""So many results, and so many bytes of them, are read at once; a larger result is read alone."""


DELETED = "deleted after it was read"


async def status(redis: Redis, job_id: str) -> JobStatus:
    """Where the job stands. Raises JobNotFoundError."""
    fields = ["state", "submitted", "message", "deleted", "target", "private"]
    state, *more, target, private = await answer(redis.hmget(keys.job(job_id), fields))
    if state is None:
        raise JobNotFoundError(job_id)
    told = status_of(job_id, state, *more)
    return told if private else told.model_copy(update={"pipeline": pipeline_in(target)})


def status_of(
    job_id: str, state: bytes, submitted: bytes | None, message: bytes | None, deleted: bytes | None
) -> JobStatus:
    """Where a job with these fields in its record stands. Raises WireError where they are somebody else's."""
    return JobStatus(
        id=job_id,
        state=_state(state),
        submitted=wire.number_in(submitted),
        message=DELETED if deleted else message.decode(errors="replace") if message else "",
    )


def pipeline_in(target: bytes | None) -> str | None:
    """The name of the pipeline that a job with that target is a run of."""
    text = (target or b"").decode(errors="replace")
    return text.removeprefix(PIPELINE_PREFIX) if text.startswith(PIPELINE_PREFIX) else None


async def check_may_wait(redis: Redis) -> None:
    """See that this user may wait for a result and read it. Raises redis-py's NoPermissionError."""
    await registered(redis, "wait")()


async def ended(redis: Redis, job_ids: Sequence[str]) -> tuple[list[list[str]], list[str]]:
    """Those of the jobs that have ended, in pages to be read one at a time; and those that were deleted.

    Both in the given order. Raises JobNotFoundError for the first job that does not exist.
    """
    async with redis.pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            pipe.hmget(keys.job(job_id), ["state", "deleted"])
            pipe.hstrlen(keys.job(job_id), "result")
        rows = iter(await pipe.execute())
    pages: list[list[str]] = []
    gone, room = [], 0
    for job_id, (state, deleted), size in zip(job_ids, rows, rows, strict=True):
        if state is None:
            raise JobNotFoundError(job_id)
        if deleted is not None:
            gone.append(job_id)
        elif size:
            if size > room or len(pages[-1]) == PAGE:
                pages.append([])
                room = PAGE_BYTES
            pages[-1].append(job_id)
            room -= size
    return pages, gone


async def results(redis: Redis, job_ids: Sequence[str]) -> list[JobResult]:
    """The results of jobs that have ended; one that was deleted since is left out.

    Raises WireError where a result cannot be read.
    """
    if len(job_ids) == 1:
        rows = [await answer(redis.hmget(keys.job(job_ids[0]), ["result", "private"]))]
    else:
        async with redis.pipeline(transaction=False) as pipe:
            for job_id in job_ids:
                pipe.hmget(keys.job(job_id), ["result", "private"])
            rows = await pipe.execute()
    # The record knows of every job whether it is private, also where nobody ever read its request.
    return [
        wire.decode(JobResult, wire.repaired(raw)).model_copy(update={"privacy": private is not None})
        for raw, private in rows
        if raw is not None
    ]


async def forget(redis: Redis, job_ids: Sequence[str], *, note: bool = True) -> int:
    """Delete jobs that have ended: their records, results and private files. Returns how many were there.

    What is left as a `note` says for a day that there was a job, how it ended, and that it is deleted: a job
    that is submitted again under the same idempotency key in that time does not run twice. A job that has not
    ended stays as it is.
    """
    script = registered(redis, "forget")
    async with redis.pipeline(transaction=False) as pipe:
        for job_id in job_ids:
            await script(keys=[keys.job(job_id)], args=[DEFAULTS.results if note else 0], client=pipe)
        return sum(await pipe.execute())


async def ask_to_scrub(redis: Redis) -> None:
    """Note that the server's file on disk has a prompt that is deleted; also where the server is full."""
    await registered(redis, "scrub")(keys=[keys.SCRUB])


async def cancel(redis: Redis, job_ids: Sequence[str], *, missing_ok: bool = False) -> dict[str, JobState]:
    """Cancel jobs: at once where they wait; where they run, their worker is told. Returns their states then.

    A job that has ended stays as it is. The last ones go first: a job that waits must not start when one
    before it is stopped. Raises JobNotFoundError, unless `missing_ok`.
    """
    script, last_first = registered(redis, "cancel"), list(reversed(job_ids))
    states: dict[str, bytes | None] = {}
    for start in range(0, len(last_first), PAGE):
        page = last_first[start : start + PAGE]
        async with redis.pipeline(transaction=False) as pipe:
            for job_id in page:
                books = [keys.job(job_id), keys.arq_job(job_id), keys.arq_retry(job_id)]
                await script(keys=books, args=_cancelled(job_id), client=pipe)
            states |= dict(zip(page, await pipe.execute(), strict=True))
    found = {job_id: state for job_id in job_ids if (state := states[job_id]) is not None}
    if not missing_ok and (missing := states.keys() - found.keys()):
        raise JobNotFoundError(min(missing))
    return {job_id: _state(state) for job_id, state in found.items()}


def _cancelled(job_id: str) -> list[str | bytes]:
    never_ran = JobResult(id=job_id, state=JobState.CANCELLED)
    raw, event = wire.encode(never_ran), wire.encode(end_of(never_ran))
    return [job_id, raw, keys.QUEUE, keys.DONE, keys.CANCEL, event]


def end_of(result: JobResult) -> Event:
    """The event that tells of a job's end: who answered, never what."""
    name = result.answered_by.name if result.answered_by else ""
    message = "succeeded (degraded)" if result.succeeded and result.degraded else result.state.value
    return Event(job_id=result.id, name=name, message=message, state=result.state)


def _state(raw: bytes) -> JobState:
    try:
        return JobState(raw.decode())
    except ValueError:
        raise WireError("the job's record was overwritten in Redis: submit the job again") from None
