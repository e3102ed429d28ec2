"""One container from its creation to its removal."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.diagnosis import Listener, listeners
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError, stopped_by_engine
from spacedock_worker.containers.docker.log_tail import last_words
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_T = TypeVar("_T")

START_SECONDS = 60.0
REMOVE_SECONDS = 30.0

_LOG_LINES = 10
_LOG_PAUSE_SECONDS = 0.2
_WRITING_SECONDS = 2.0
"""How long a log is waited for that is still written to."""

_ONCE = " If it is a program that runs once for each job, its entry needs `adapter: command`."
_LOOK_SECONDS = 2.0
_AWAY_SECONDS = 10.0
KILLED = 137
_TERMINATED = 143
"""The exit code of a process that was killed by force, for want of memory too."""

_CONFLICT = 409


class RunningContainer:
    """A container of ours, known by the name that we gave it; whoever calls `create` also calls `remove`.

    `peak_memory` are the most bytes that it was seen to use; None: nobody has looked.
    """

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self.name = name
        self.peak_memory: int | None = None
        self._pending: asyncio.Task[Any] | None = None
        self._removed = False
        self._outages = engine.outages
        self._notified = asyncio.Event()
        self._verdict: tuple[ErrorKind, str] | None = None

    def mark_failed(self, kind: ErrorKind, message: str) -> None:
        """This is why the container dies, whatever the engine will say of it; the caller ends it."""
        self._verdict = (kind, message)
        self.notify()

    def verdict(self, stage: Stage) -> StepError | None:
        """Why the container was condemned; None where it was not."""
        return StepError(stage, *self._verdict) if self._verdict is not None else None

    def notify(self) -> None:
        """Have whoever waits for the container's death look at once: something may have happened to it."""
        self._notified.set()

    async def create(self, body: dict[str, Any]) -> None:
        """Create the container from Docker's create body.

        Raises RefusedError, or StepError `docker_unavailable`. After an error or a cancellation, `remove`
        leaves nothing behind.
        """
        await self._to_its_end(self._create(body))

    async def start(self) -> None:
        """Start the container; raises as `create` does."""
        await self._to_its_end(self._start())

    async def pause(self) -> None:
        """Freeze its processes; raises as `create` does."""
        await self._to_its_end(self._tell("pause"))

    async def unpause(self) -> None:
        """Let its processes go on; raises as `create` does."""
        await self._to_its_end(self._tell("unpause"))

    async def stop(self) -> None:
        """End its processes at once, and keep its root; raises as `create` does."""
        await self._to_its_end(self._stop())

    async def state(self) -> str:
        """Docker's word for it, such as "running", "paused" or "exited"; "gone" where there is none.

        Raises StepError `docker_unavailable`.
        """
        found = await self._inspect(Stage.START)
        return str(((found or {}).get("State") or {}).get("Status") or "gone")

    async def gpus(self) -> tuple[str, ...]:
        """The ids of the GPUs that it was made with; none where the engine cannot be asked."""
        try:
            found = await self._inspect(Stage.START)
        except StepError:
            return ()
        requests = ((found or {}).get("HostConfig") or {}).get("DeviceRequests") or ()
        return tuple(str(gpu) for request in requests for gpu in request.get("DeviceIDs") or ())

    async def listeners(self) -> tuple[Listener, ...] | None:
        """What listens in it; None where that cannot be found out."""
        return await listeners(self._engine, self.name)

    async def words(self, since: float | None = None, count: int = _LOG_LINES) -> str:
        """What it said last, made safe to show; empty where it said nothing, or cannot be asked.

        `since` (seconds of the epoch) leaves out what it said before.
        """
        more: dict[str, Any] = {} if since is None else {"since": f"{since:.3f}"}
        said: list[str] = []
        with suppress(EngineRefusedError, StepError, TimeoutError):
            async with self._engine.stream(Stage.CALL, seconds=10) as docker:
                container = docker.containers.container(self.name)
                said = await container.log(stdout=True, stderr=True, tail=count * 5, **more)
        return last_words(said, count)

    async def with_log(self, error: StepError, since: float | None = None) -> StepError:
        """The error with the last lines of the log, as `words` gives them once it writes no more of them."""
        said, before = await self.words(since), None
        end = monotonic() + _WRITING_SECONDS
        while said != before and monotonic() < end:
            # An app answers with its error, and then writes where it came from.
            await asyncio.sleep(_LOG_PAUSE_SECONDS)
            said, before = await self.words(since), said
        return error.copy(f"{error}. Its log says:\n{said}" if said else f"{error}, and its log says nothing")

    async def address(self, network: str, port: int) -> str:
        """The base URL of the app's port as this host reaches it, such as `http://172.18.0.2:7860`.

        Raises StepError at stage `ready` where the container is gone or has ended.
        """
        found = await self._inspect(Stage.READY)
        settings = (found or {}).get("NetworkSettings") or {}
        if published := (settings.get("Ports") or {}).get(f"{port}/tcp"):
            return f"http://127.0.0.1:{published[0]['HostPort']}"
        if ip := ((settings.get("Networks") or {}).get(network) or {}).get("IPAddress"):
            return f"http://{ip}:{port}"
        if (death := await self.death(Stage.READY)) is not None:
            raise death
        raise StepError(Stage.START, ErrorKind.START_FAILED, f"the container got no address on {network}.")

    async def death(self, stage: Stage) -> StepError | None:
        """`out_of_memory` or `crashed`, with the last words, where the container does not run; else None.

        `docker_unavailable` where the engine stopped meanwhile: it stops all containers first.
        """
        if (verdict := self.verdict(stage)) is not None:
            return verdict
        found = await self._inspect(stage)
        state = (found or {}).get("State") or {}
        if state.get("Running"):
            self._outages = self._engine.outages
            return None
        if found is None:
            return StepError(stage, ErrorKind.CRASHED, "the container is gone: somebody removed it.")
        went = self._outages != self._engine.outages and not state.get("OOMKilled")
        if went or (ended_from_outside(state) and await self._engine.leaving(self._outages)):
            return stopped_by_engine(stage)
        words = await self.words()
        said = f" Its last words:\n{words}" if words else " It said nothing."
        if state.get("OOMKilled") or state.get("ExitCode") == KILLED:
            # It had all of that, and died of wanting more.
            self.peak_memory = found["HostConfig"]["Memory"]
            limit = found["HostConfig"]["Memory"] // 2**20
            # The engine does not see every kill for want of memory, and nobody else kills what is ours.
            sure = "" if state.get("OOMKilled") else "was killed, most likely because it "
            message = f"the app {sure}needed more than its {limit} MB of memory."
            message += f" Raise `memory` for this Space.{said}"
            return StepError(stage, ErrorKind.OUT_OF_MEMORY, message)
        once = _ONCE if stage is Stage.READY and state.get("ExitCode") == 0 else ""
        message = f"the app ended with exit code {state.get('ExitCode')}.{once}{said}"
        return StepError(stage, ErrorKind.CRASHED, message)

    async def wait_dead(self, stage: Stage) -> StepError:
        """Return when the container has died, with the reason as `death` gives it.

        Looks when it is stirred, and every 2 s besides: events can be lost, and the engine's own `wait` uses
        its connections up. Returns `docker_unavailable` where the engine stays away for 10 s: containers may
        outlive its restart.
        """
        now = asyncio.get_running_loop().time
        seen = now()
        while True:
            self._notified.clear()
            try:
                if (death := await self.death(stage)) is not None:
                    return death
                seen = now()
            except StepError as unavailable:
                if now() - seen > _AWAY_SECONDS:
                    return unavailable
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._notified.wait()

    async def remove(self) -> bool:
        """Kill and remove the container; True once it is gone. Idempotent, bounded, never raises.

        A creation that was cancelled half-way runs to its end first, so that there is something to remove.
        """
        self._removed = True
        if self._pending is not None:
            await asyncio.wait({self._pending}, timeout=START_SECONDS)
        try:
            async with self._engine.call(Stage.START, REMOVE_SECONDS) as docker:
                await docker.containers.container(self.name).delete(force=True, v=True)
        except EngineRefusedError as error:
            if error.status == _CONFLICT:
                # "Removal is already in progress": by whom does not matter.
                return True
            if not error.not_found:
                log.warning("container.left", container=self.name, reason=error.message)
            return error.not_found
        except StepError as error:
            log.warning("container.left", container=self.name, reason=str(error))
            return False
        return True

    async def _create(self, body: dict[str, Any]) -> None:
        async with self._engine.call(Stage.START, START_SECONDS) as docker:
            await docker.containers.create(body, name=self.name)

    async def _start(self) -> None:
        async with self._engine.call(Stage.START, START_SECONDS) as docker:
            await docker.containers.container(self.name).start()

    async def _stop(self) -> None:
        if await self.state() == "paused":
            # The engine kills no frozen processes.
            await self._tell("unpause")
        await self._tell("kill")
        async with self._engine.call(Stage.START) as docker:
            await docker.containers.container(self.name).wait()

    async def _tell(self, word: str) -> None:
        async with (
            self._engine.call(Stage.START) as docker,
            docker._query(f"containers/{self.name}/{word}", method="POST") as response,
        ):
            await response.read()

    async def _to_its_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Await work that a cancellation must not cut off: the engine would go on with it behind our back."""
        if self._removed:
            work.close()
            raise StepError(Stage.START, ErrorKind.CANCELLED, "the container was removed while it started.")
        self._pending = asyncio.create_task(work)
        # Nobody may be left to ask for the error of work whose caller was cancelled.
        self._pending.add_done_callback(lambda task: task.cancelled() or task.exception())
        return await asyncio.shield(self._pending)

    async def _inspect(self, stage: Stage) -> dict[str, Any] | None:
        try:
            async with self._engine.call(stage) as docker:
                return await docker.containers.container(self.name).show()
        except EngineRefusedError as error:
            if error.not_found:
                return None
            raise StepError(stage, ErrorKind.DOCKER_UNAVAILABLE, f"{error}. Try `docker info`.") from error


def ended_from_outside(state: Mapping[str, Any]) -> bool:
    """Whether the container may have been stopped, as an engine does that stops itself."""
    return state.get("ExitCode") in (KILLED, _TERMINATED) and not state.get("OOMKilled")
