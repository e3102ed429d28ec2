"""The arq worker: woken at once, short leases that are renewed, and outages of Redis survived."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import uuid
from contextlib import suppress
from functools import partial
from time import time
from typing import Any

import structlog
from arq.connections import ArqRedis
from arq.worker import Worker, func
from redis.asyncio import ConnectionPool

from spacedock import keys
from spacedock.connection import CALL_SECONDS, CONNECT_SECONDS, OUTAGES
from spacedock_worker.queue.control import ControlHandler, serve_controls
from spacedock_worker.queue.job import Handler, JobRunner
from spacedock_worker.queue.ledger import RENEW_SECONDS, Lease, Ledger, job_serializer

log = structlog.get_logger()

POLL_SECONDS = 0.5
"""How often the queue is looked at without being woken: for leases that ran out, and lost notifications."""

READ_LIMIT = 1000
_PAUSE_SECONDS = 0.5
_DAY_SECONDS = 24 * 3600


class QueueWorker(Worker):
    """Takes jobs from Redis and runs each with `handler`, at most `max_jobs` at a time.

    What differs from arq's own worker: it claims in one script and never leaks a slot when Redis goes away
    meanwhile; it is woken by a notification and by each job that ends; its locks last 9 s and are renewed
    every 3 s; results are written by our ledger; nothing is pickled.
    """

    def __init__(self, url: str, handler: Handler, controls: ControlHandler, max_jobs: int = 32) -> None:
        # arq logs the arguments and results of jobs at INFO: they are not for any log.
        logging.getLogger("arq").setLevel(logging.ERROR)
        redis = ArqRedis(
            ConnectionPool.from_url(
                url,
                socket_connect_timeout=CONNECT_SECONDS,
                socket_timeout=CALL_SECONDS,
                health_check_interval=30,
            ),
            job_serializer=job_serializer,
            job_deserializer=json.loads,
        )
        super().__init__(
            functions=[func(self._run_one, name=keys.FUNCTION, max_tries=2**31)],
            redis_pool=redis,
            handle_signals=False,
            max_jobs=max_jobs,
            # Each stage of a job has its own deadline; this one only closes the sum.
            job_timeout=_DAY_SECONDS,
            keep_result=0,
            poll_delay=POLL_SECONDS,
            queue_read_limit=READ_LIMIT,
            job_serializer=job_serializer,
            job_deserializer=json.loads,
            log_results=False,
        )
        self.worker_id = f"{os.uname().nodename}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._ledger = Ledger(redis, self.worker_id)
        self._runner = JobRunner(self._ledger, handler)
        self._controls = controls
        self._wake = asyncio.Event()

    async def main(self) -> None:
        """Take and run jobs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forever("queue", self._take))
            tasks.create_task(self._forever("leases", self._renew))
            tasks.create_task(self._forever("notifications", self._listen))
            tasks.create_task(self._forever("control", self._serve))

    async def drain(self, seconds: float) -> None:
        """Take no more jobs, let those that run end within `seconds`, and give the rest back to the queue."""
        self.allow_pick_jobs = False
        running = list(self.tasks.values())
        log.info("worker.draining", jobs=len(running), seconds=seconds)
        if running:
            _, late = await asyncio.wait(running, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=seconds)

    async def close(self) -> None:
        """Leave Redis; stop the tasks of `main` first. Twice is safe."""
        if self._pool is not None:
            with suppress(*OUTAGES):
                await self._ledger.leave()
            await self.pool.aclose(close_connection_pool=True)
            self._pool = None

    async def _forever(self, what: str, work: Any) -> None:
        """Run one of the worker's loops again whenever Redis comes back."""
        away = False
        while True:
            try:
                await work()
            except OUTAGES as error:
                if not away:
                    log.warning("redis.away", loop=what, error=str(error) or type(error).__name__)
                away = True
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                if away:
                    log.info("redis.back", loop=what)
                away = False

    async def _take(self) -> None:
        self._wake.clear()
        free = self.max_jobs - self.job_counter
        if self.allow_pick_jobs and free > 0:
            claimed = await self._ledger.claim(int(time() * 1000), self.queue_read_limit, free)
            self._start(claimed)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.poll_delay_s):
                await self._wake.wait()

    def _start(self, job_ids: list[str]) -> None:
        for job_id in job_ids:
            self.job_counter += 1
            task = self.loop.create_task(self.run_job(job_id, int(time() * 1000)), name=f"job {job_id}")
            self.tasks[job_id] = task
            task.add_done_callback(partial(self._ended, job_id))

    def _ended(self, job_id: str, task: asyncio.Task[None]) -> None:
        self.tasks.pop(job_id, None)
        self.job_counter -= 1
        self._wake.set()
        if not task.cancelled() and (error := task.exception()):
            # Its lease runs out by itself, and somebody takes the job up again.
            log.warning("job.lost_hold", job_id=job_id, error=type(error).__name__)

    async def finish_job(self, job_id: str, finish: bool, *_: Any) -> None:
        """Close a job in arq's books (overrides arq's, which would drop whosoever's lock)."""
        await self._ledger.close(job_id, finish)

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        """Close a job that arq found without a definition: it was cancelled between claim and start."""
        await self._ledger.close(job_id, True)

    async def _run_one(self, ctx: dict[str, Any]) -> None:
        await self._runner.run(ctx["job_id"], ctx["job_try"])

    async def _renew(self) -> None:
        leases = await self._ledger.renew(list(self.tasks))
        for job_id, lease in leases.items():
            if lease is Lease.CANCEL_ASKED:
                self._runner.cancel(job_id)
            elif lease is Lease.LOST:
                self._runner.abandon(job_id)
        await asyncio.sleep(RENEW_SECONDS)

    async def _listen(self) -> None:
        async with self.pool.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(keys.WAKE, keys.CANCEL)
            self._wake.set()
            while True:
                message = await pubsub.get_message(timeout=POLL_SECONDS * 10)
                if message is None:
                    await pubsub.ping()
                elif message["channel"] == keys.CANCEL.encode():
                    self._runner.cancel(message["data"].decode())
                else:
                    self._wake.set()

    async def _serve(self) -> None:
        await serve_controls(self.pool, self._controls)
