"""The one model server of this host: started when asked for, stopped when told, healed after its death."""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import structlog

from spacedockd.model.job import ServerJob, SmolLMSettings
from spacedockd.model.process import ModelProcess, ModelStartError

_FIRST_PAUSE_SECONDS = 1.0
_LAST_PAUSE_SECONDS = 60.0

log = structlog.get_logger()


class ModelSupervisor:
    """Keeps at most one model server, in `runtime` (a directory for its socket).

    After a failed start the next ones wait, twice as long each time, so that a model that cannot load does
    not load for ever. `clock` gives monotonic seconds.
    """

    def __init__(
        self, runtime: Path, smollm: SmolLMSettings, folders: Sequence[Path], clock: Callable[[], float]
    ) -> None:
        self._runtime, self._smollm, self._folders = runtime, smollm, tuple(folders)
        self._clock = clock
        self._numbers = count(1)
        self.child: ModelProcess | None = None
        """The model server, or None while none is ready."""
        self._starting: Task[None] | None = None
        self._behind: set[Task[None]] = set()
        self.failure: ModelStartError | None = None
        """Why the last start failed; None where it did not, or there was none."""
        self._pause = _FIRST_PAUSE_SECONDS
        self._not_before = 0.0

    @property
    def starting(self) -> bool:
        """Whether a model server is being started."""
        return self._starting is not None

    async def running(self) -> ModelProcess:
        """The model server; started first where there is none, once however many ask.

        Raises ModelStartError where the last start failed, or where it takes longer than `load_seconds`; it
        goes on then, for those who ask later.
        """
        if self.child is not None:
            return self.child
        if self._starting is None:
            if self.failure and self._clock() < self._not_before:
                raise ModelStartError(str(self.failure), final=self.failure.final)
            self._starting = asyncio.create_task(self._start())
        await asyncio.wait([self._starting], timeout=self._smollm.load_seconds)
        if self.child is not None:
            return self.child
        if self.failure:
            raise ModelStartError(str(self.failure), final=self.failure.final)
        raise ModelStartError("the model is still being fetched or loaded; try again in a minute")

    def rest(self) -> None:
        """Stop the model server, in the background; the next who asks starts another."""
        if self.child is not None:
            child, self.child = self.child, None
            log.info("model.stopping", model=child.model, pid=child.pid)
            self._later(child.stop())

    def lost(self, child: ModelProcess) -> None:
        """Be told that this model server takes no connections: it is stopped, if it still is the one."""
        if self.child is child:
            self.rest()

    async def stop(self) -> None:
        """Stop whatever runs or starts, and wait for its end. Safe at any time, and twice."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait([self._starting])
        self.rest()
        while self._behind:
            await asyncio.wait(self._behind)

    async def _start(self) -> None:
        self.failure = None
        socket = self._runtime / f"llama-{next(self._numbers)}.sock"
        child = ModelProcess(ServerJob(smollm=self._smollm, folders=self._folders, socket=socket))
        try:
            await child.start()
            self.child, self._pause = child, _FIRST_PAUSE_SECONDS
            self._later(self._watch(child))
        except ModelStartError as error:
            self._failed(error)
        finally:
            self._starting = None
            if self.child is not child:
                await child.stop()

    def _failed(self, error: ModelStartError) -> None:
        self.failure = error
        self._not_before = self._clock() + self._pause
        log.warning("model.start_failed", why=str(error), again_in=self._pause)
        self._pause = min(self._pause * 2, _LAST_PAUSE_SECONDS)

    async def _watch(self, child: ModelProcess) -> None:
        code = await child.wait()
        if self.child is child:
            log.warning("model.died", model=child.model, pid=child.pid, code=code)
            self.child = None
            await child.stop()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)
