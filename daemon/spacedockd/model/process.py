"""One model server as a child process: started, followed until it is ready, and stopped within bounds."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress

import structlog
from pydantic import ValidationError

from spacedock.errors import SpacedockError
from spacedockd.model.job import ServerEvent, ServerJob

TERM_SECONDS = 3.0
KILL_SECONDS = 5.0

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
