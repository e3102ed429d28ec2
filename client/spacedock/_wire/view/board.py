"""The whole queue at one look, for a page that shows it: who waits, what runs, what ended and how."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

from spacedock import hosts
from spacedock._wire import keys, lanes, stream, wire
from spacedock._wire.connection import answer, told_as_ours
from spacedock._wire.view import batches, listing
from spacedock._wire.view.depth import lanes_now
from spacedock._wire.view.tally import MinuteRow, QueueTally
from spacedock.errors import JobNotFoundError, WireError
from spacedock.events import BatchStatus, Event, JobSummary
from spacedock.files import FileRef
from spacedock.hosts import Host
from spacedock.result import AnsweredBy, AttemptError, JobResult, Stage
from spacedock.states import JobState

_LANES, _TARGETS, _RUNNING, _RECENT, _BATCHES = 50, 20, 100, 30, 20
_OF_ONE_BATCH = 3
_RUNS = 20
"""Of pipelines, which no host has in hand: they stand among the running jobs."""
_TEXT_CHARS, _FILES = 600, 6
_MOST_RESULT_BYTES = 2**18
_FAILED = (JobState.FAILED, JobState.DEAD)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class LaneStanding(_Row):
    """How many jobs of a batch, or of one client, wait; `targets` counts them by the Space that they name.

    The first of them may run since `since` (seconds since 1970).
    """

    priority: str
    batch: str | None
    client: str | None
    waiting: int
    since: float
    targets: dict[str, int]


class RunningJob(JobSummary):
    """A job that runs: on which `host`, `since` when, and at which `stage` of whom (`name`) it is."""

    host: str = ""
    since: float = 0.0
    stage: Stage | None = None
    name: str = ""


class EndedJob(JobSummary):
    """A job that ended, when, and the beginning of its answer; of a private job only that it ended."""

    ended: float
    private: bool = False
    answered_by: AnsweredBy | None = None
    degraded: bool = False
    seconds: float | None = None
    text: str | None = None
    files: tuple[FileRef, ...] = ()
    error: AttemptError | None = None


class FailureGroup(_Row):
    """Jobs that failed alike and were not retried since, the newest first; `error` is the newest one's."""

    batch: str | None
    space: str
    error: AttemptError
    last: float
    jobs: list[str]


class BoardReply(_Row):
    """The queue as it stands `now` (seconds since 1970 by Redis), as of the event with that number.

    `lanes` and `running` are the first of `waiting_lanes` and `running_jobs`; `recent` has the newest first.
    """

    now: float
    event: int
    waiting_lanes: int
    running_jobs: int
    lanes: list[LaneStanding]
    running: list[RunningJob]
    recent: list[EndedJob]
    failures: list[FailureGroup]
    batches: list[BatchStatus]
    hosts: list[Host]
    minutes: list[MinuteRow]


class Board:
    """Looks at the queue; it reads each event once, and each result once, however often it looks."""

    def __init__(self, redis: Redis, url: str) -> None:
        self._redis, self._url = redis, url
        self._tally, self._ended = QueueTally(), dict[str, EndedJob]()
        self._looking = asyncio.Lock()

    async def look(self) -> BoardReply:
        """How the queue stands now; the first look reads all events that are kept."""
        async with self._looking:
            with told_as_ours(self._url):
                await self._catch_up()
                return await self._reply()

    async def _catch_up(self) -> None:
        if await stream.newest(self._redis) < self._tally.last:
            # Redis was emptied.
            self._tally, self._ended = QueueTally(), {}
        while page := await stream.past(self._redis, self._tally.last):
            for event in page:
                self._tally.fold(event)

    async def _reply(self) -> BoardReply:
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.time()
            pipe.zcard(keys.LANES)
            pipe.zcard(keys.HELD)
            pipe.zrange(keys.LANES, 0, _LANES - 1)
            pipe.zrange(keys.HELD, 0, _RUNNING - 1)
            pipe.zrange(keys.RUNS, 0, _RUNS - 1)
            now, lanes_there, held, names, running, runs = await pipe.execute()
        standing = await self._lanes(_texts(names))
        recent, failed = await self._look_up()
        return BoardReply(
            now=now[0] + now[1] / 1e6,
            event=self._tally.last,
            waiting_lanes=lanes_there,
            running_jobs=held,
            lanes=standing,
            running=await self._running(_texts([*runs, *running])),
            recent=recent,
            failures=self._failures(failed),
            batches=await self._batches([one.batch for one in standing if one.batch]),
            hosts=await hosts.hosts(self._redis),
            minutes=list(self._tally.rows()),
        )

    async def _lanes(self, names: Sequence[str]) -> list[LaneStanding]:
        found = [
            LaneStanding(
                priority=name.partition(":")[0],
                batch=lanes.batch_of(name),
                client=lanes.client_of(name),
                waiting=sum(waiting.values()),
                since=since,
                targets=waiting,
            )
            async for name, waiting, since in lanes_now(self._redis, names, _TARGETS)
        ]
        return sorted(found, key=lambda one: one.since)

    async def _running(self, ids: Sequence[str]) -> list[RunningJob]:
        """The running jobs, the least advanced first."""
        jobs = [one for one in await listing.summaries(self._redis, ids) if one.state is JobState.RUNNING]
        async with self._redis.pipeline(transaction=False) as pipe:
            for job in jobs:
                pipe.hget(keys.job(job.id), "worker")
            workers = _texts(one or b"" for one in await pipe.execute())
        found = []
        for job, worker in zip(jobs, workers, strict=True):
            step = self._tally.steps.get(job.id)
            more: dict[str, Any] = {"stage": step.stage, "name": step.name} if step else {}
            since = self._tally.begun.get(job.id, job.submitted)
            # A worker's id is its host's name, its process's number, and letters that nobody else has.
            host = worker.rsplit("-", 2)[0]
            found.append(RunningJob.model_validate({**dict(job), **more, "since": since, "host": host}))
        order = list(Stage)
        return sorted(found, key=lambda one: (order.index(one.stage or Stage.PLAN), one.since))

    async def _look_up(self) -> tuple[list[EndedJob], list[EndedJob]]:
        """The jobs to be shown of those that ended last, and those that failed; the newest first."""
        ends = list(reversed(self._tally.ended.values()))
        shown = _some_of_each_batch(ends)[:_RECENT]
        wanted = [*shown, *(one for one in ends if one.state in _FAILED)]
        new = [one.job_id for one in wanted if one.job_id not in self._ended]
        for job in await listing.summaries(self._redis, new):
            self._ended[job.id] = await self._ended_job(job)
        kept = sorted({one.job_id: one for one in wanted}.values(), key=lambda one: -one.id)
        self._ended = {one.job_id: self._ended[one.job_id] for one in kept if one.job_id in self._ended}
        known = self._ended
        recent = [known[one.job_id] for one in shown if one.job_id in known]
        return recent, [one for one in known.values() if one.state in _FAILED]

    async def _ended_job(self, job: JobSummary) -> EndedJob:
        found = EndedJob(**dict(job), ended=self._tally.ended[job.id].at)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hexists(keys.job(job.id), "private")
            pipe.hstrlen(keys.job(job.id), "result")
            private, size = await pipe.execute()
        if private or not 0 < size <= _MOST_RESULT_BYTES:
            return found.model_copy(update={"private": bool(private)})
        (raw,) = await answer(self._redis.hmget(keys.job(job.id), ["result"]))
        try:
            result = wire.decode(JobResult, wire.repaired(raw or b""))
        except WireError:
            return found
        told = {
            "answered_by": result.answered_by,
            "degraded": result.degraded,
            "seconds": result.timings.total,
            "text": result.output.text and result.output.text[:_TEXT_CHARS],
            "files": result.output.files[:_FILES],
            "error": result.error,
        }
        return found.model_copy(update=told)

    def _failures(self, jobs: Iterable[EndedJob]) -> list[FailureGroup]:
        alike: dict[tuple[str | None, str, str], list[EndedJob]] = defaultdict(list)
        for job in jobs:
            if job.error and listing.retry_id_of(job.id) not in self._tally.seen:
                alike[job.batch, job.space, job.error.kind].append(job)
        return [
            FailureGroup(
                batch=batch, space=space, error=some[0].error, last=some[0].ended, jobs=[j.id for j in some]
            )
            for (batch, space, _), some in alike.items()
            if some[0].error
        ]

    async def _batches(self, waiting: Sequence[str]) -> list[BatchStatus]:
        """The batches that somebody waits for or that told something last, the least advanced first."""
        names = dict.fromkeys([*waiting, *reversed(self._tally.batches)])
        found = []
        for name in list(names)[:_BATCHES]:
            try:
                found.append(await batches.find(self._redis, name))
            except JobNotFoundError:
                continue
        return sorted(found, key=lambda one: (not one.left, -one.submitted))


def _some_of_each_batch(ends: Iterable[Event]) -> list[Event]:
    """Without the bulk of a batch, which would leave no room for others."""
    shown: Counter[str] = Counter()
    some = []
    for one in ends:
        shown[one.batch or one.job_id] += 1
        if shown[one.batch or one.job_id] <= _OF_ONE_BATCH:
            some.append(one)
    return some


def _texts(raw: Iterable[bytes]) -> list[str]:
    return [one.decode(errors="replace") for one in raw]
