"""Moves the runs of pipelines on: looks at those to which something has happened."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

import structlog
from redis.asyncio import Redis

from spacedock.errors import QueueFullError
from spacedock_worker.background import forever
from spacedock_worker.errors import kind_of
from spacedock_worker.pipelines.run_in_hand import RunInHand
from spacedock_worker.pipelines.run_store import HeldRun, RunStore
from spacedock_worker.queue.patience import TROUBLE, passes

log = structlog.get_logger()

_LOOK_SECONDS = 1.0
"""How often runs are looked for without being woken: a notification may be lost."""

_MOST = 16
"""So many runs are looked at at once."""


class Advancer:
    """Begins the steps of all runs of a queue, together with the other workers of it.

    Whatever it does may be done twice, or by two workers at once: each job of a step has an id of its own,
    and each script looks at what is there. So a worker that dies leaves a run to the next one as it is.
    """

    def __init__(self, redis: Redis) -> None:
        self._store = RunStore(redis)
        self._woken = asyncio.Event()
        self._busy: set[str] = set()

    def wake(self) -> None:
        """Say that there may be a run to look at."""
        self._woken.set()

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            await forever("pipelines", partial(self._turn, tasks), trouble=TROUBLE)

    async def _turn(self, tasks: asyncio.TaskGroup) -> None:
        self._woken.clear()
        free = _MOST - len(self._busy)
        found = await self._store.due(free, self._busy) if free else []
        for run in found:
            self._busy.add(run.id)
            tasks.create_task(self._contained(run))
        if not found:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._woken.wait()

    async def _contained(self, run: HeldRun) -> None:
        """Look at one run. Its boundary: trouble leaves it to whoever looks when its lease is over."""
        in_hand = RunInHand(self._store, run)
        try:
            await self._looked(in_hand, run)
        except (*TROUBLE, QueueFullError) as error:
            log.warning("run.troubled", run=run.id, error=f"{type(error).__name__}: {error}")
        finally:
            self._busy.discard(run.id)
            self.wake()

    async def _looked(self, in_hand: RunInHand, run: HeldRun) -> None:
        """Look at the run; after some looks in a row that met a fault of ours it ends. Raises TROUBLE."""
        try:
            await in_hand.look()
        except Exception as error:
            if passes(error) or isinstance(error, QueueFullError):
                raise
            log.exception("run.fault", run=run.id)
            if await self._store.fault(run):
                await in_hand.give_up(kind_of(error))
