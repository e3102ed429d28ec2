"""One task in a container of its own: given its input, run to its end, and its output collected."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.background import cancel_all
from spacedock_worker.containers.docker.archive import collect, pack
from spacedock_worker.containers.docker.container import (
    KILLED,
    START_SECONDS,
    RunningContainer,
    ended_from_outside,
)
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError, stopped_by_engine
from spacedock_worker.containers.docker.log_tail import last_words
from spacedock_worker.containers.docker.task import (
    INPUT_FOLDER,
    OUTPUT_FOLDER,
    OUTPUT_TEXT,
    WORKSPACE,
    Completed,
    Streams,
    Task,
    TaskLimits,
    attached,
)
from spacedock_worker.errors import StepError

log = structlog.get_logger()

_PUT_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_FIRST_PAUSE = 0.01
_LAST_OUTPUT_SECONDS = 5.0
_LAST_LINES = 10
_GOING = ("removing", "dead")

Start = Callable[[], Awaitable[None]]
OnProgress = Callable[[str], None]


class TaskRun:
    """Runs a task in a container that does not exist yet; removing that is the caller's, in any case."""

    def __init__(self, engine: Engine, container: RunningContainer, task: Task, limits: TaskLimits) -> None:
        self._engine = engine
        self._container = container
        self._task = task
        self._limits = limits

    async def run(self, body: dict[str, Any], start: Start, on_progress: OnProgress) -> Completed:
        """What the program left when it ended, whatever its exit code; `start` starts the container.

        Raises RefusedError until the start, StepError after it: at stage `call` (`timeout`, `out_of_memory`,
        `crashed` where the container is gone, `bad_output` where it never stops writing, `out_of_disk`)
        or `output`, and `docker_unavailable`.
        """
        try:
            completed = await self._run(body, start, on_progress)
        except StepError as error:
            # Of a container that we killed, what was seen of it first is not why.
            if (verdict := self._container.verdict(error.stage)) is not None:
                raise verdict from error
            raise
        # Podman lets a program that is removed end by itself first.
        if (verdict := self._container.verdict(Stage.CALL)) is not None:
            raise verdict
        return completed

    async def _run(self, body: dict[str, Any], start: Start, on_progress: OnProgress) -> Completed:
        now = asyncio.get_running_loop().time
        if self._task.begin is not None:
            await self._task.begin()
        began, outages = now(), self._engine.outages
        await self._container.create(body)
        await self._put()
        async with self._attached() as streams, _drained(streams) as draining:
            await start()
            started = now()
            on_progress("running")
            state = await self._ended(draining)
            if ended_from_outside(state) and await self._engine.leaving(outages):
                raise stopped_by_engine(Stage.CALL)
            seconds = now() - started
            await _read_to_the_end(draining)
            completed = self._completed(state, streams, broken=not draining.done())
        completed = replace(completed, start_seconds=started - began, seconds=seconds)
        log.info("task.ended", container=self._container.name, code=completed.exit_code)
        if completed.exit_code != 0:
            return completed
        text, files = await collect(self._engine, self._container.name, self._limits)
        return replace(completed, text=text, files=files)

    async def _put(self) -> None:
        # The workspace itself stays root's, as volumes are: the program can write to what is there already.
        files = pack({OUTPUT_TEXT: b"", **self._task.files}, (INPUT_FOLDER, OUTPUT_FOLDER))
        path, params = f"containers/{self._container.name}/archive", {"path": WORKSPACE}
        async with (
            self._engine.call(Stage.START, _PUT_SECONDS) as docker,
            docker._query(path, method="PUT", params=params, data=files) as response,
        ):
            await response.read()

    @asynccontextmanager
    async def _attached(self) -> AsyncIterator[Streams]:
        # More than the parts have together: each of them has its own deadline and tells what it was.
        seconds = self._task.timeout + 3 * START_SECONDS
        try:
            async with (
                self._engine.stream(Stage.CALL, seconds) as docker,
                attached(docker, self._container.name, self._task.stdin, self._limits) as streams,
            ):
                yield streams
        except TimeoutError as error:
            message = "the Docker Engine did not attach to the program in time. Try `docker info`."
            raise StepError(Stage.START, ErrorKind.DOCKER_UNAVAILABLE, message) from error

    def _completed(self, state: dict[str, Any], streams: Streams, *, broken: bool) -> Completed:
        out, err = streams.stdout(broken=broken), streams.stderr(broken=broken)
        # A kill that nobody asked for is the kernel's: whoever else would kill removes the container as well.
        if state["ExitCode"] == KILLED or (state.get("OOMKilled") and state["ExitCode"] != 0):
            raise _out_of_memory(state, err.data)
        return Completed(state["ExitCode"], out, err)

    async def _ended(self, draining: asyncio.Task[None]) -> dict[str, Any]:
        """The container's state once its program has ended, which mostly closes the streams."""
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(self._task.timeout):
                while (state := await self._state()).get("Running"):
                    if draining.done():
                        draining.result()
                        await asyncio.sleep(pause)
                        pause = min(2 * pause, _LOOK_SECONDS)
                    else:
                        await asyncio.wait({draining}, timeout=_LOOK_SECONDS)
                return state
        except TimeoutError as error:
            message = (
                f"the program did not end within {self._task.timeout:g} s and was stopped. "
                "Give it a longer `timeout`."
            )
            raise StepError(Stage.CALL, ErrorKind.TIMEOUT, message) from error

    async def _state(self) -> dict[str, Any]:
        """Docker's state of the container, and its `memory` limit.

        An engine that is away is not waited for: the program's streams went through it.
        """
        try:
            async with self._engine.call(Stage.CALL) as docker:
                found = await docker.containers.container(self._container.name).show()
        except EngineRefusedError as error:
            if error.not_found:
                raise _gone() from error
            message = f"{error}. Try `docker info`."
            raise StepError(Stage.CALL, ErrorKind.DOCKER_UNAVAILABLE, message) from error
        if found["State"].get("Status") in _GOING:
            raise _gone()
        return {**found["State"], "memory": found["HostConfig"]["Memory"]}


@asynccontextmanager
async def _drained(streams: Streams) -> AsyncIterator[asyncio.Task[None]]:
    """The reading of the streams, from before the start until the end of the block."""
    draining = asyncio.create_task(streams.drain())
    try:
        yield draining
    finally:
        await cancel_all(draining)


async def _read_to_the_end(draining: asyncio.Task[None]) -> None:
    """Give what an ended program wrote last a little time to arrive; raises what the reading raised."""
    await asyncio.wait({draining}, timeout=_LAST_OUTPUT_SECONDS)
    if draining.done():
        draining.result()


def _gone() -> StepError:
    return StepError(Stage.CALL, ErrorKind.CRASHED, "the container is gone: somebody removed it.")


def _out_of_memory(state: dict[str, Any], stderr: bytes) -> StepError:
    said = last_words([stderr.decode("utf-8", "replace")], _LAST_LINES)
    # Engines lose the kernel's word of it where the container is gone before they have read it.
    sure = "" if state.get("OOMKilled") else "was killed (exit code 137), most likely because it "
    message = f"the program {sure}needed more than its {state['memory'] // 2**20} MB of memory."
    message += " Raise `memory` for this Space." + (f" Its last words:\n{said}" if said else "")
    return StepError(Stage.CALL, ErrorKind.OUT_OF_MEMORY, message)
