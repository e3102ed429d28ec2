"""A job's story: who submitted it, what it has told so far, and how it ended; a private job has none."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

from spacedock._wire import jobs, keys, stream
from spacedock._wire.connection import answer
from spacedock._wire.view import listing
from spacedock.errors import BadRequestError, JobNotFoundError
from spacedock.events import Event, JobSummary
from spacedock.result import JobResult


class JobStory(BaseModel):
    """What is known of a job now. `events` are those that are kept; `result` is None until it has ended."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job: JobSummary
    events: tuple[Event, ...] = ()
    result: JobResult | None = None


async def story_of(redis: Redis, job_id: str) -> JobStory:
    """The story of a job so far. Raises JobNotFoundError, and BadRequestError for a private job."""
    found = await listing.summaries(redis, [job_id])
    if not found:
        raise JobNotFoundError(job_id)
    if await answer(redis.hexists(keys.job(job_id), "private")) or found[0].message == jobs.DELETED:
        raise BadRequestError(f"no log is kept of job {job_id}: it runs in privacy mode")
    events: list[Event] = []
    last = await stream.before(redis, found[0].submitted)
    while page := await stream.past(redis, last):
        last = page[-1].id
        events += [event for event in page if event.job_id == job_id]
    result = next(iter(await jobs.results(redis, [job_id])), None)
    return JobStory(job=found[0], events=tuple(events), result=result)
