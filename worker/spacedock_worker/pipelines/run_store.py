"""The worker's side of a pipeline's run in Redis: each change one atomic script."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from spacedock._wire import jobs, keys, lanes, submission, wire
from spacedock._wire.connection import answer
from spacedock._wire.scripts import registered
from spacedock.events import Event
from spacedock.pipelines.run import Row, StepPlan, job_id_of_step
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock_worker.queue.outcome import on_the_wire

Arg = str | bytes | int
T = TypeVar("T")

_LEASE_SECONDS = 10
_LOOK_SECONDS = 60
"""How soon a run is looked at again that a worker had in hand which died, and one that nothing happens to."""

_FAULT_SECONDS, _MOST_FAULTS = 2, 4
"""How soon a run is looked at again whose look failed, and how many in a row may: 2, 8 and 32 s apart."""

_PAGE, _SCANNED = 100, 1000
_RUN_PAGE = 250
LIGHT = 2**17
"""Messages of more bytes are read in a thread."""


@dataclass(frozen=True, slots=True)
class HeldRun:
    """A run in this worker's hands, as its record was at the time `now` (s); `lease` is when that ends."""

    id: str
    row: Row
    now: float
    lease: str

    def field(self, name: str) -> str:
        """A field of the record; "" where it is not there."""
        return self.row.get(name.encode(), b"").decode(errors="replace")


class RunStore:
    """The runs of a queue. Methods raise redis-py's errors; whoever calls may try again."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._due, self._begin, self._adopt = (self._script(name) for name in ("due", "begin", "adopt"))
        self._conclude, self._let_go = self._script("conclude"), self._script("let_go")
        self._leave, self._fault = self._script("leave"), self._script("fault")

    def _script(self, name: str) -> AsyncScript:
        return registered(self._redis, name, __package__)

    async def due(self, most: int, busy: Collection[str]) -> list[HeldRun]:
        """The runs that something has happened to, or nobody looked at for long; none of those `busy`."""
        now, lease, found = await self._due(args=[most, _LEASE_SECONDS, *busy])
        rows = [(run.decode(), dict(zip(row[::2], row[1::2], strict=True))) for run, row in found]
        return [HeldRun(run_id, row, float(now), lease.decode()) for run_id, row in rows]

    async def row(self, run_id: str) -> Row:
        """The run's record as it is now."""
        return await answer(self._redis.hgetall(keys.job(run_id)))

    async def begin(self, run: HeldRun, name: str, number: int, plan: StepPlan) -> bool:
        """Note how a step is made up, unless that is noted already. False where the run does not go on."""
        calls = plan.total - len(plan.skipped)
        many = f"{calls:,} jobs" if calls != 1 else "1 job"
        told = "failed" if plan.why else many if calls or plan.fanned else "skipped"
        event = Event(job_id=run.id, name=name, message=told)
        args: list[Arg] = [number, wire.encode(plan), calls, f"{name}: {told}", wire.encode(event)]
        return bool(await self._begin(keys=[keys.job(run.id)], args=args))

    async def submit(self, run: HeldRun, number: int, calls: Mapping[int, JobRequest]) -> None:
        """Submit a step's jobs, as far as they are not there. Raises BadRequestError, QueueFullError."""
        lane, some = lanes.of_steps(run.field("lane")), list(calls.items())
        for page in batched(some, _RUN_PAGE):
            rows = [submission.row_of(job_id_of_step(run.id, number, n), call, lane) for n, call in page]
            await submission.submit_rows(self._redis, rows)

    async def adopt(
        self, run: HeldRun, number: int, calls: Mapping[int, JobRequest], earlier: tuple[str, int]
    ) -> int:
        """Take over results of the step `earlier` (a run and its number); returns how many jobs are left."""
        left, step = len(calls), f"{run.id}-{number}"
        old = f"{earlier[0]}-{earlier[1]}"
        for page in batched(list(calls.items()), _RUN_PAGE):
            words = [word for n, call in page for word in (n, _digest(call))]
            left = await self._adopt(keys=[keys.job(run.id)], args=[step, old, number, *words])
        return left

    async def names_of(self, run_id: str) -> list[str]:
        """The names of an earlier run's steps, in order; none where that is not known (any more)."""
        raw = await answer(self._redis.hget(keys.job(run_id), "request"))
        try:
            return [*json.loads(raw or b"{}")["pipeline"]["steps"]]
        except (ValueError, KeyError, TypeError):
            return []

    async def size_of(self, job_ids: Sequence[str]) -> int:
        """How many bytes the results of those jobs have together."""
        total = 0
        for page in batched(job_ids, _SCANNED):
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in page:
                    pipe.hstrlen(keys.job(job_id), "result")
                total += sum(await pipe.execute())
        return total

    async def results(self, job_ids: Sequence[str]) -> list[JobResult | None]:
        """The results of those jobs, in order; None of one that is not there."""
        found = list[JobResult | None]()
        for page in batched(job_ids, _PAGE):
            async with self._redis.pipeline(transaction=False) as pipe:
                for job_id in page:
                    pipe.hget(keys.job(job_id), "result")
                rows = await pipe.execute()
            # Large ones take long to read.
            reading = partial(_read, rows)
            found += (
                reading() if sum(map(len, filter(None, rows))) < LIGHT else await asyncio.to_thread(reading)
            )
        return found

    async def stop(self, job_ids: Sequence[str]) -> None:
        """Cancel those jobs that are there and have not ended."""
        await jobs.cancel(self._redis, job_ids, missing_ok=True)

    async def conclude(self, run: HeldRun, result: JobResult) -> None:
        """Write the run's result, unless it has one, and announce it."""
        result, raw = on_the_wire(result)
        places = " ".join(ref.place for ref in result.output.files)
        event = wire.encode_repaired(jobs.end_of(result))
        args: list[Arg] = [run.id, result.state.value, raw, places, int(result.degraded), event]
        await self._conclude(keys=[keys.job(run.id)], args=args)

    async def let_go(self, run: HeldRun, job_ids: Sequence[str]) -> None:
        """Keep the jobs of a run that has ended no longer than the run."""
        for page in batched(job_ids, _RUN_PAGE):
            await self._let_go(keys=[keys.job(run.id)], args=[run.id, *page])

    async def fault(self, run: HeldRun) -> bool:
        """Note that a look at the run failed; True where it is not to be looked at again."""
        args: list[Arg] = [run.id, run.lease, _FAULT_SECONDS, _MOST_FAULTS]
        return int(await self._fault(keys=[keys.job(run.id)], args=args)) >= _MOST_FAULTS

    async def job_ids(self, run_id: str) -> list[str]:
        """All jobs that steps of the run have, whatever its record says; this looks at all keys."""
        found = [key async for key in self._redis.scan_iter(match=keys.job(f"{run_id}-*"), count=_SCANNED)]
        return [key.decode().removeprefix(keys.job("")) for key in found]

    async def leave(self, run: HeldRun, sent: Sequence[int] = (), *, over: bool = False) -> None:
        """Give the run out of hand; `sent` are steps whose jobs were all submitted. `over`: for good."""
        args: list[Arg] = [run.id, run.lease, 0 if over else _LOOK_SECONDS, *sent]
        await self._leave(keys=[keys.job(run.id)], args=args)


def batched(some: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The sequence in pieces: a script holds up the server while it runs."""
    return (some[start : start + size] for start in range(0, len(some), size))


def _read(rows: Iterable[bytes | None]) -> list[JobResult | None]:
    return [None if raw is None else wire.decode(JobResult, wire.repaired(raw)) for raw in rows]


def _digest(call: JobRequest) -> str:
    """What tells a request from others; what a run of a pipeline takes over makes no difference."""
    return hashlib.sha1(submission.encoded(call.model_copy(update={"restart": None}))).hexdigest()
