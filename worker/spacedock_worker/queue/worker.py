"""The arq worker: woken at once, short leases that are renewed, and outages of Redis survived."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import uuid
from collections.abc import Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.jobs import deserialize_job_raw
from arq.worker import Worker, func

from spacedock._wire import keys
from spacedock._wire.connection import messages
from spacedock._wire.deadlines import pool_of
from spacedock_worker.background import forever, left_after
from spacedock_worker.errors import GiveBackError
from spacedock_worker.queue.choose import HostOffer, choose
from spacedock_worker.queue.claims import LANES_SEEN, NOTHING, Claimed, View
from spacedock_worker.queue.give_back import Leaving
from spacedock_worker.queue.job_store import LEASE_MS, RENEW_SECONDS, JobStore, LeaseState, job_serializer
from spacedock_worker.queue.patience import TROUBLE, passes
from spacedock_worker.queue.presence import Announcer, Capacity, Unbounded
from spacedock_worker.queue.rpc import ControlHandler, Controls
from spacedock_worker.queue.runner import Handler, JobRunner

log = structlog.get_logger()

POLL_SECONDS = 0.5
"""How often the queue is looked at without being woken: for leases that ran out, and lost notifications."""

_ROUNDS = 3
"""How often one turn chooses again: what it has claimed may leave more to do."""

_REPAIR_SECONDS = 5.0
_LONGEST_REPAIR_SECONDS = 300.0
_BAD_DEFINITION = "arq's definition of this job is missing or unreadable; submit the job again"
_GIVE_BACK_SECONDS, _MOST_PASSED = 10.0, 1000


class QueueWorker(Worker):
    """Takes jobs from Redis and runs each with `handler`, at most `max_jobs` at a time.

    `capacity` tells what the host has free, so that it takes what it can start; without, whatever comes.
    `on_run` is called when there may be a pipeline's run to look at; `announced` is set once the other hosts
    have heard of this one. What differs from arq's own worker: it serves lanes in turn (`choose`), claims
    many jobs in one script, leaks no slot when Redis goes away; it is woken by a notification and by each job
    that ends; its locks last 9 s and are renewed every 3 s; our job store writes results and keeps arq's
    books; nothing is pickled.
    """

    def __init__(
        self,
        url: str,
        handler: Handler,
        controls: ControlHandler,
        max_jobs: int = 32,
        capacity: Capacity | None = None,
        on_run: Callable[[], None] = lambda: None,
    ) -> None:
        # arq logs the arguments and results of jobs at INFO: they are not for any log.
        logging.getLogger("arq").setLevel(logging.ERROR)
        redis = ArqRedis(pool_of(url), job_serializer=job_serializer, job_deserializer=json.loads)
        super().__init__(
            functions=[func(self._run_one, name=keys.FUNCTION, max_tries=2**31)],
            redis_pool=redis,
            handle_signals=False,
            max_jobs=max_jobs,
            # Each stage of a job has its own deadline; this one only closes the sum.
            job_timeout=24 * 3600,
            keep_result=0,
            poll_delay=POLL_SECONDS,
            job_serializer=job_serializer,
            job_deserializer=json.loads,
            log_results=False,
        )
        self.worker_id = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._store = JobStore(redis, self.worker_id)
        self._wake, self._claiming, self.announced = asyncio.Event(), asyncio.Lock(), asyncio.Event()
        self._runner = JobRunner(self._store, handler, self._wake.set)
        self._controls, self._capacity, self._on_run = controls, capacity or Unbounded(), on_run
        self._announcer, self._host_id, self._hosts = Announcer(redis), "", 1
        self._leaving = Leaving(lambda targets: self._announcer.others(self._host_id, targets))
        self._seen, self._news, self._look_at = NOTHING, 0, 0.0
        self._passed, self._repair_at, self._repair_pause = set[str](), 0.0, _REPAIR_SECONDS

    async def main(self) -> None:
        """Take and run jobs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            controls = Controls(self.pool, self._controls, tasks.create_task)
            loops = {
                "queue": self._take,
                "leases": self._renew,
                "notifications": self._listen,
                "control": controls.take,
            }
            for name, turn in loops.items():
                tasks.create_task(forever(name, turn, trouble=TROUBLE))

    async def drain(self, seconds: float, hurry: asyncio.Event | None = None) -> None:
        """Take no more jobs, let calls that run end within `seconds`, and give all others back to the queue.

        They are given back at once when `hurry` is set. Nothing is written after it: what the jobs need may
        be closed now.
        """
        async with self._claiming:
            # Not in the middle of a claim: what it brings must be among those that we wait for.
            self.allow_pick_jobs = False
        running = list(self.tasks.values())
        for job_id in filter(self._runner.waits, list(self.tasks)):
            # Another host can start it now.
            self.tasks[job_id].cancel()
        log.info("worker.draining", jobs=len(running), spaces=self._runner.spaces, at_most_seconds=seconds)
        if late := await left_after(running, seconds, hurry or asyncio.Event()):
            log.info("worker.gives_back", jobs=len(late))
            for task in late:
                task.cancel()
            await asyncio.wait(late, timeout=_GIVE_BACK_SECONDS)
        self._runner.close()
        with suppress(TimeoutError, *TROUBLE):
            async with asyncio.timeout(RENEW_SECONDS):
                # Those that do not heed their cancellation.
                await asyncio.gather(*(self._store.release(job_id) for job_id in list(self.tasks)))

    async def close(self) -> None:
        """Leave Redis; stop the tasks of `main` first. Twice is safe."""
        if self._pool is not None:
            with suppress(*TROUBLE):
                await self._store.leave()
                await self._announcer.leave(self._host_id)
            await self.pool.aclose(close_connection_pool=True)
            self._pool = None

    async def _take(self) -> None:
        self._wake.clear()
        async with self._claiming:
            for _ in range(_ROUNDS):
                if not await self._claimed_some():
                    break
        with suppress(TimeoutError):
            async with asyncio.timeout(self.poll_delay_s):
                await self._wake.wait()

    async def _claimed_some(self) -> bool:
        """Take what can be started now, chosen by what the last look told; False where that is nothing.

        After news, and each POLL_SECONDS, the queue is asked in any case: what it tells is there for the next
        choice.
        """
        free = self.max_jobs - self.job_counter
        if not self.allow_pick_jobs or free <= 0:
            return False
        offer, seen, mine, news = self._offered(), self._seen, set(self.tasks), self._news
        async with asyncio.timeout(RENEW_SECONDS):
            self._passed = await self._elsewhere(seen, offer)
            lanes = () if seen.paused else seen.without(self._passed)
            in_hand, seconds = self._runner.in_hand, self._runner.seconds
            left = self._leaving.targets(self.loop.time())
            picks = choose(lanes, seen.virtual, free, offer, in_hand, seconds, self._hosts, left)
            if not picks and self.loop.time() < self._look_at:
                return False
            suspects = self._runner.suspects
            claims, self._seen = await self._store.take(picks, suspects, self._host_id, self._passed)
            self._look_at = self.loop.time() + self.poll_delay_s if news == self._news else 0.0
        # Of those that we had, and whose lease ran out while Redis was away, it is only renewed.
        self._start([claimed for claimed in claims if claimed.id not in mine], offer)
        if self._seen.lacking:
            await self._repair()
        return True

    def _offered(self) -> HostOffer | None:
        """What the host offers; where that cannot be said, whatever comes is taken: nobody's job may wait."""
        try:
            return self._capacity.offer()
        except Exception:
            log.exception("worker.fault", loop="offer")
            return None

    async def _elsewhere(self, seen: View, offer: HostOffer | None) -> set[str]:
        """The targets that this host cannot run, and another one can."""
        known = sorted(seen.targets | self._passed)[:_MOST_PASSED]
        lacking = [target for target in known if offer is not None and not offer.serves(target)]
        return await self._announcer.elsewhere(self._host_id, lacking) if lacking else set()

    async def _repair(self) -> None:
        """Put stray jobs of the queue into lanes; less and less often where that mends nothing."""
        now = self.loop.time()
        if now >= self._repair_at:
            mended = await self._store.repair()
            pause = _REPAIR_SECONDS if mended else min(2 * self._repair_pause, _LONGEST_REPAIR_SECONDS)
            self._repair_at, self._repair_pause = now + pause, pause
            if mended:
                self._hear("")

    def _start(self, claims: list[Claimed], offer: HostOffer | None) -> None:
        for claimed in claims:
            self.job_counter += 1
            self._runner.hold(claimed, offer.space_of(claimed.target) if offer else None)
            task = self.loop.create_task(self._run(claimed), name=f"job {claimed.id}")
            self.tasks[claimed.id] = task
            task.add_done_callback(partial(self._ended, claimed.id))

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        del self.tasks[job_id]
        self._runner.drop(job_id)
        self.job_counter -= 1
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            # Its lease runs out by itself, and somebody takes the job up again.
            log.warning("job.lost_hold", job_id=job_id, error=type(error).__name__)

    async def _run(self, claimed: Claimed) -> None:
        """Run a claimed job to its result; give it back where it is stopped, or meets trouble of ours.

        In place of arq's `run_job`: the claim has kept arq's books, which costs no round trip more.
        """
        job_id = claimed.id
        try:
            await self._call(claimed)
        except asyncio.CancelledError:
            await asyncio.shield(self._store.release(job_id))
            raise
        except GiveBackError as error:
            log.warning("job.given_back", job_id=job_id, reason=str(error))
            await self._store.release(job_id, error.rest)
        except Exception as error:
            if not passes(error):
                log.exception("job.fault", job_id=job_id)
                await self._runner.fail(job_id, f"{_BAD_DEFINITION} ({type(error).__name__})")
                return
            # Where only a connection broke, somebody can go on at once; else when our lease has run out.
            with suppress(*TROUBLE):
                await self._store.release(job_id)
            raise

    async def _call(self, claimed: Claimed) -> None:
        """Call the function that arq's definition of the job names, within its time."""
        try:
            async with asyncio.timeout(self.job_timeout_s):
                raw = claimed.definition or b""
                name, args, kwargs, *_ = deserialize_job_raw(raw, deserializer=json.loads)
                await self.functions[name].coroutine({"job_id": claimed.id}, *args, **kwargs)
        except TimeoutError:
            await self._runner.settle(claimed.id)

    async def _run_one(self, ctx: dict[str, Any], *_: Any, **__: Any) -> None:
        await self._runner.run(ctx["job_id"])

    async def _renew(self) -> None:
        async with asyncio.timeout(RENEW_SECONDS):
            leases = await self._store.renew(list(self.tasks))
            if (presence := self._capacity.presence(self.job_counter)) is not None:
                self._host_id = presence.host.id
                await self._announcer.announce(presence, LEASE_MS)
                self._hosts = await self._announcer.count()
        self.announced.set()
        for job_id, lease in leases.items():
            if lease is LeaseState.CANCEL_ASKED:
                self._runner.cancel(job_id)
            elif lease is LeaseState.LOST:
                self._runner.abandon(job_id)
        if self._hosts > 1 and (offer := self._offered()) is not None:
            await self._leave_to_others(offer)
        await asyncio.sleep(RENEW_SECONDS)

    async def _leave_to_others(self, offer: HostOffer) -> None:
        """Give back jobs that another host can start sooner; while more of the same wait, it takes those."""
        more, in_hand = self._seen.targets, self._runner.in_hand
        waiting = [job for job in self._runner.waiting if job.target not in more]
        async with asyncio.timeout(RENEW_SECONDS):
            left = await self._leaving.chosen(waiting, offer, in_hand, self.loop.time())
        for job_id in left:
            if job_id in self.tasks and self._runner.waits(job_id):
                log.info("job.left_to_others", job_id=job_id)
                self.tasks[job_id].cancel()

    async def _listen(self) -> None:
        async with aclosing(messages(self.pool, keys.WAKE, keys.CANCEL)) as heard:
            async for message in heard:
                if message is not None and message.channel == keys.CANCEL:
                    self._runner.cancel(message.text)
                else:
                    self._hear(message.text if message is not None else "")

    def _hear(self, submitted: str) -> None:
        """Note that there is news in the queue, and of which lane and target."""
        lane, bar, target = submitted.partition("|")
        if not bar:
            self._on_run()
        elif len(self._seen.lanes) < LANES_SEEN:
            self._seen = self._seen.heard_of(lane, target)
        self._news, self._look_at = self._news + 1, 0.0
        self._wake.set()
