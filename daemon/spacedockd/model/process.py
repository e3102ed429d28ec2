"""The one model server of this host, a child: started when asked for, stopped within bounds, healed."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio import Task
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from spacedock.errors import SpacedockError
from spacedockd.model.job import ServerEvent, ServerJob, SmolLMSettings

TERM_SECONDS = 3.0
KILL_SECONDS = 5.0
_FIRST_PAUSE_SECONDS = 1.0
_LAST_PAUSE_SECONDS = 60.0

log = structlog.get_logger()


class ModelStartError(SpacedockError):
    """The model server did not get ready. `final` where another start does not heal that."""

    def __init__(self, message: str, *, final: bool = False) -> None:
        self.final = final
        super().__init__(message)


class ModelProcess:
    """A model server of one start.

    Once it is ready, `model` is what its model calls itself, and `digest` that of the model's file.
    """

    def __init__(self, job: ServerJob) -> None:
        self.job = job
        self.model: str | None = None
        self.digest: str | None = None
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """The child's process id; None before it is started."""
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        """Whether the process is known to run; a death is known shortly after it."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process and wait until it serves. Raises ModelStartError; the caller stops it then."""
        settings = self.job.smollm
        try:
            await self._spawn()
            await self._tell()
            async with asyncio.timeout(settings.fetch_seconds):
                await self._until("loading")
            async with asyncio.timeout(settings.load_seconds):
                ready = await self._until("ready")
                self.model, self.digest = ready.model, ready.digest
        except TimeoutError as error:
            message = f"the model was not fetched within {settings.fetch_seconds:g} s, or not loaded within "
            raise ModelStartError(f"{message}{settings.load_seconds:g} s; raise these limits") from error
        except OSError as error:
            raise ModelStartError(f"the model server cannot be started: {error.strerror}") from error

    async def wait(self) -> int:
        """Wait for the end of the process, however long that takes; its exit code, negative for a signal."""
        assert self._process is not None
        return await self._process.wait()

    async def stop(self) -> None:
        """End the process and all that it started: politely, then by force. Safe at any time, and twice."""
        if self._process is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), TERM_SECONDS)
        except TimeoutError:
            log.warning("model.killed", pid=self.pid)
        # The group outlives its leader where the child had started others.
        self._signal(signal.SIGKILL)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), KILL_SECONDS)
        self.job.socket.unlink(missing_ok=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    async def _spawn(self) -> None:
        # A daemon that was killed left its server's socket behind, and llama.cpp binds none that exists.
        self.job.socket.unlink(missing_ok=True)
        # A session of its own: what it starts in turn (pip, to fetch a model) is stopped with it.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "spacedockd.model.server", stdin=PIPE, stdout=PIPE, start_new_session=True
        )

    async def _tell(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # Its stdin stays open: the end of it is how the child learns that the daemon is gone.
        self._process.stdin.write(self.job.model_dump_json().encode() + b"\n")
        with suppress(ConnectionError):
            await self._process.stdin.drain()

    async def _until(self, wanted: str) -> ServerEvent:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            with suppress(ValidationError):
                event = ServerEvent.model_validate_json(line)
                if event.event == "failed":
                    raise ModelStartError(event.message, final=event.final)
                log.info("model.reported", what=event.event, model=event.model, pid=self.pid)
                if event.event == wanted:
                    return event
        code = await self._process.wait()
        raise ModelStartError(f"the model server ended while it started (exit code {code})")


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
        """The model server. If none runs, it is started: once, even if many ask at the same time.

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
