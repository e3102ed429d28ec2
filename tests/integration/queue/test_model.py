"""Whatever dies in between, in any order: each job is in one place, and ends once, with one result."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import lapse, take

from spacedock._wire import jobs, keys, submission, wire
from spacedock._wire.connection import connect
from spacedock._wire.lanes import Priority, batch_of
from spacedock._wire.view import batches
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue.claims import Claimed
from spacedock_worker.queue.job_store import JobStore, LeaseState

RUNS, MANY_RUNS = 40, 2000
STEPS = 30
WORKERS = 3

_T = TypeVar("_T")

# Which of the jobs in hand. How many there are depends on leases, which end by the clock: what hypothesis
# draws must not.
_PICK = st.integers(0, 63)


class QueueMachine(RuleBasedStateMachine):
    """Clients and workers at one queue. Workers claim, begin, freeze, die, give back and finish jobs."""

    server: Server
    jobs = Bundle("jobs")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.redis: Redis
        self.submitted: set[str] = set()
        self.holds: list[tuple[int, str]] = []
        self.ended: dict[str, JobState] = {}
        self.degraded: set[str] = set()

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """What the coroutine returns."""
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 60))

    @initialize()
    def begin(self) -> None:
        """An empty queue."""
        self.server.renew()
        self.redis = connect(self.server.url)

    def teardown(self) -> None:
        """Run what is left to its end: nothing may be lost."""
        if hasattr(self, "redis"):
            self.run(self._drain())
            self.run(self.redis.aclose())
        self.loop.close()

    async def _drain(self) -> None:
        store = JobStore(self.redis, "last")
        for held in await self.redis.zrange(keys.HELD, 0, -1):
            await lapse(self.redis, held.decode())
        for _ in range(200):
            await self._all_due()
            for claimed in await take(store):
                await self._finish(store, claimed.id)
            if not await self.redis.zcard(keys.QUEUE):
                break
        assert await self.redis.zcard(keys.QUEUE) == 0
        states = {job_id: (await jobs.status(self.redis, job_id)).state for job_id in self.submitted}
        assert states == self.ended
        results = await jobs.results(self.redis, sorted(self.submitted))
        assert {result.id: result.state for result in results} == self.ended
        assert not await self.redis.exists(keys.LANES, keys.HELD)

    async def _all_due(self) -> None:
        """Let the rest that some jobs have been given be over."""
        pages = [key async for key in self.redis.scan_iter(f"{keys.WAITING}*")]
        pages += [key async for key in self.redis.scan_iter(f"{keys.LANE}*")]
        for key in [keys.QUEUE, *pages]:
            if members := await self.redis.zrange(key, 0, -1):
                await self.redis.zadd(key, dict.fromkeys(members, 1))

    async def _finish(self, store: JobStore, job_id: str, degraded: bool = False) -> None:
        result = JobResult(id=job_id, state=JobState.SUCCEEDED, degraded=degraded)
        if await store.finish(result, wire.encode(result), 0.5):
            assert job_id not in self.ended, "ended twice"
            self.ended[job_id] = JobState.SUCCEEDED
            self.degraded |= {job_id} if degraded else set()

    @rule(
        target=jobs,
        count=st.integers(1, 4),
        batch=st.sampled_from([None, "a", "b"]),
        priority=st.sampled_from(Priority),
        space=st.sampled_from([None, "x", "y"]),
        key=st.sampled_from([None, "once"]),
    )
    def submit(
        self, count: int, batch: str | None, priority: Priority, space: str | None, key: str | None
    ) -> Any:
        """Hand over some jobs; those of a key only once."""
        fields = {"batch_id": batch, "priority": priority, "space": space, "idempotency_key": key}
        requests = [JobRequest(prompt=str(n), **fields) for n in range(count)]  # type: ignore[arg-type]
        ids = self.run(submission.submit(self.redis, requests, "me"))
        self.submitted |= set(ids)
        return multiple(*dict.fromkeys(ids))

    def held(self, pick: int, *, last: bool = False) -> tuple[JobStore, str] | None:
        """One of the jobs in hand, by its worker's store; it is let go where this is the `last` use of it."""
        if not self.holds:
            return None
        at = pick % len(self.holds)
        number, job_id = self.holds.pop(at) if last else self.holds[at]
        return JobStore(self.redis, f"worker-{number}"), job_id

    @rule(number=st.integers(0, WORKERS - 1), free=st.integers(1, 5))
    def claim(self, number: int, free: int) -> None:
        """A worker takes jobs."""
        store = JobStore(self.redis, f"worker-{number}")
        claims: list[Claimed] = self.run(take(store, free))
        for claimed in claims:
            assert claimed.id not in self.ended
        self.holds += [(number, claimed.id) for claimed in claims]

    @rule(pick=_PICK, executed=st.booleans())
    def work(self, pick: int, executed: bool) -> None:
        """The worker begins a job, or lets it wait."""
        if hold := self.held(pick):
            self.run(hold[0].at_work(hold[1], executed))

    @rule(pick=_PICK, degraded=st.booleans())
    def finish(self, pick: int, degraded: bool) -> None:
        """A worker writes a result, also where it was out of reach and somebody else has the job."""
        if hold := self.held(pick, last=True):
            self.run(self._finish(*hold, degraded))

    @rule(first=_PICK, second=_PICK)
    def finish_together(self, first: int, second: int) -> None:
        """A worker writes two results at once, of which one may not be its own."""
        if (hold := self.held(first, last=True)) and (other := self.held(second, last=True)):
            self.run(self._finish_all(hold[0], {hold[1], other[1]}))

    async def _finish_all(self, store: JobStore, job_ids: set[str]) -> None:
        await asyncio.gather(*(self._finish(store, job_id) for job_id in job_ids))

    @rule(pick=_PICK, rest=st.sampled_from([0.0, 2.0]))
    def give_back(self, pick: int, rest: float) -> None:
        """A worker gives a job back."""
        if hold := self.held(pick):
            self.run(hold[0].release(hold[1], rest))

    @rule(pick=_PICK)
    def die(self, pick: int) -> None:
        """A worker is out of reach for longer than its lease lasts."""
        if hold := self.held(pick):
            self.run(lapse(self.redis, hold[1]))

    @rule(pick=_PICK)
    def renew(self, pick: int) -> None:
        """A worker renews its lease; it is told where it has lost the job."""
        if hold := self.held(pick):
            store, job_id = hold
            state = self.run(store.renew([job_id]))[job_id]
            holder = self.run(self.redis.hget(keys.job(job_id), "worker"))  # type: ignore[arg-type]
            assert (state is not LeaseState.LOST) == (holder == store.worker_id.encode())

    @rule(job_id=jobs)
    def cancel(self, job_id: str) -> None:
        """Somebody cancels a job; one that waits ends at once."""
        state = self.run(jobs.cancel(self.redis, [job_id]))[job_id]
        if state is JobState.CANCELLED and job_id not in self.ended:
            self.ended[job_id] = state

    @rule()
    def time_passes(self) -> None:
        """Jobs that rest are due."""
        self.run(self._all_due())

    @rule()
    def repair(self) -> None:
        """A worker puts stray jobs into lanes."""
        self.run(JobStore(self.redis, "worker-0").repair())

    @rule()
    def restart(self) -> None:
        """The server stops, and starts with what it has on disk."""
        self.server.stop()
        self.server.start()
        # What is written to a connection that is no more is lost, and whoever writes hears of it.
        self.run(self.redis.connection_pool.disconnect())

    @invariant()
    def each_job_is_in_one_place(self) -> None:
        """A job that has not ended waits in one lane or is held; the books of both agree with the queue."""
        if hasattr(self, "redis"):
            self.run(self._check())

    async def _check(self) -> None:
        queue = set(await self.redis.zrange(keys.QUEUE, 0, -1))
        held = set(await self.redis.zrange(keys.HELD, 0, -1))
        waiting: list[bytes] = []
        lanes: dict[bytes, set[bytes]] = {}
        async for key in self.redis.scan_iter(f"{keys.WAITING}*"):
            waiting += await self.redis.zrange(key, 0, -1)
            lane, _, target = key.removeprefix(keys.WAITING.encode()).partition(b"|")
            lanes.setdefault(lane, set()).add(target)
        assert sorted([*waiting, *held]) == sorted(queue)
        assert {job_id.decode() for job_id in queue} == self.submitted - self.ended.keys()
        assert set(await self.redis.zrange(keys.LANES, 0, -1)) == lanes.keys()
        for lane, targets in lanes.items():
            assert set(await self.redis.zrange(keys.LANE.encode() + lane, 0, -1)) == targets
        await self._check_batches()

    async def _check_batches(self) -> None:
        """The counters of each batch are what a recount of its jobs says."""
        counted: dict[str, Counter[JobState]] = {}
        async with self.redis.pipeline(transaction=False) as pipe:
            for job_id in self.submitted:
                pipe.hmget(keys.job(job_id), ["lane", "state"])
            rows = await pipe.execute()
        for lane, state in rows:
            if (batch := batch_of(lane.decode())) is not None:
                counted.setdefault(batch, Counter())[JobState(state.decode())] += 1
        for name, counts in counted.items():
            batch_status = await batches.find(self.redis, name)
            assert {state: count for state, count in batch_status.counts.items() if count} == counts
            ids = await batches.job_ids(self.redis, name)
            assert len(ids) == len(set(ids)) == counts.total()
            assert batch_status.degraded == len(self.degraded & set(ids))
            kept = [await self.redis.ttl(key + name) for key in (keys.BATCH, keys.BATCH_JOBS)]
            assert all((seconds > 0) == (batch_status.left == 0) for seconds in kept)


@pytest.mark.timeout(3600)
def test_each_job_ends_once_whatever_happens(own_server: Server, pytestconfig: pytest.Config) -> None:
    runs = MANY_RUNS if pytestconfig.getoption("--all-versions") else RUNS
    machine = type("Machine", (QueueMachine,), {"server": own_server})
    wanted = settings(
        max_examples=runs, stateful_step_count=STEPS, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(machine, settings=wanted)
