"""Starting one Space's container until its app answers, and removing it."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.create_body import create_body, task_body
from spacedock_worker.containers.docker.diagnosis import host_fault
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.run_once import TaskRun
from spacedock_worker.containers.docker.task import Completed, Task, TaskLimits
from spacedock_worker.containers.machine.resources import HostResources
from spacedock_worker.containers.machine.writable_roots import tells_refused_write
from spacedock_worker.containers.pool.adoption import IdleNote, IdleNotes
from spacedock_worker.containers.pool.readiness import (
    App,
    Connect,
    StartHistory,
    StartLimits,
    Unmeasured,
    wait_ready,
)
from spacedock_worker.containers.removal import listed, reap
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError, UnexplainedError, full_disk, tells_full_disk

log = structlog.get_logger()

OnProgress = Callable[[str], None]

_NOT_FOUND = 404
_CONFLICT = 409
_NAME_LENGTH = 40


@dataclass(frozen=True, slots=True)
class Survivor:
    """An idle container that an earlier worker left: `stopped`, or running (paused or not)."""

    container: RunningContainer
    note: IdleNote
    stopped: bool


class Starter:
    """Starts and removes containers by the settings; `token` gives what makes a container's name unique.

    `host_fault` says why the host can start no container; None while it can, or nobody has tried.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ContainerSettings,
        measures: StartHistory | None = None,
        token: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._token = token
        self._names: set[str] = set()
        self.resources = HostResources(engine, settings, self._names)
        self._limits = StartLimits(settings, measures or Unmeasured())
        self._clean = False
        self.config = config_of(settings)
        self.host_fault: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """The containers that are ours, whether they exist yet, still, or not."""
        return frozenset(self._names)

    async def survivors(self, notes: IdleNotes) -> list[Survivor]:
        """The idle containers that a worker of the same configuration left; all else of ours goes.

        Raises StepError `docker_unavailable` where the engine does not tell: then nothing has gone.
        """
        noted = {name: note for name, note in notes.read().items() if note.config == self.config}
        try:
            found = await listed(self._engine, self._settings.instance_id)
        except EngineRefusedError as error:
            message = f"{error}. Try `docker info`."
            raise StepError(Stage.START, ErrorKind.DOCKER_UNAVAILABLE, message, host=True) from error
        left = [
            Survivor(self._known(name), note, stopped=found[name] == "exited")
            for name, note in noted.items()
            if found.get(name) in ("running", "paused", "exited")
        ]
        for one in left:
            if one.note.gpus and (gpus := await one.container.gpus()):
                self.resources.gpus.adopt(one.container.name, gpus, stopped=one.stopped)
        await self.clean()
        return left

    async def clean(self) -> None:
        """Remove what is ours and unknown here: from an earlier life, or where a removal failed."""
        if not self._clean:
            self._clean = await reap(self._engine, self._settings.instance_id, self._names)

    async def close(self, keep: Collection[str]) -> None:
        """Remove all that is ours but the containers to `keep`, and the network if nobody is left on it.

        Never raises for the engine.
        """
        self._names.intersection_update(keep)
        self._clean = False
        await self.clean()
        await self.resources.leave()

    def new(self, spec: ContainerSpec) -> RunningContainer:
        """A container that does not exist yet, with a name of its own; `remove` it in the end."""
        slug = re.sub(r"[^a-z0-9]+", "-", spec.space.lower()).strip("-")[:_NAME_LENGTH]
        return self._known(f"spacedock-{slug or 'space'}-{self._token()}")

    async def run(
        self, container: RunningContainer, spec: ContainerSpec, connect: Connect[App], on_progress: OnProgress
    ) -> App:
        """Start the container and return the connection to its app once that answers.

        Raises StepError at stage `start` (`start_failed`, `docker_unavailable`) or `ready` (`crashed`,
        `out_of_memory`, `start_timeout`).
        """
        await self.clean()
        on_progress("starting its container")
        async with self._explained(spec):
            await self._start(container, spec)
        on_progress("waiting until it answers")
        return await self._connected(container, spec, connect)

    async def revive(
        self, container: RunningContainer, spec: ContainerSpec, connect: Connect[App], app: App | None
    ) -> App:
        """Have a paused, stopped or adopted container answer again; `app` is the connection, if it was kept.

        Raises StepError where it does not, as `run` does.
        """
        async with self._explained(spec):
            state = await container.state()
            if app is not None and state not in ("running", "paused"):
                raise StepError(Stage.READY, ErrorKind.CRASHED, "the app ended while nobody used it.")
            if state == "paused":
                await container.unpause()
            elif state == "exited":
                self.resources.gpus.restart(container.name)
                await self._go(container, spec)
        if app is not None:
            return app
        return await self._connected(container, spec, connect)

    async def complete(
        self,
        container: RunningContainer,
        spec: ContainerSpec,
        task: Task,
        limits: TaskLimits,
        on_progress: OnProgress,
    ) -> Completed:
        """Run a program once, from the creation of its container to its collected output.

        Raises StepError at stage `start` as `run` does, and at stage `call` or `output` as `TaskRun.run`.
        """
        await self.clean()
        on_progress("starting its container")
        completion = TaskRun(self._engine, container, task, limits)
        async with self._explained(spec):
            site = await self.resources.site(spec, container.name)
            body = task_body(spec, await self.resources.limits(spec), site, task.env)
            completed = await completion.run(body, lambda: self._go(container, spec), on_progress)
        return replace(completed, peak_memory=container.peak_memory)

    def blames_root(self, spec: ContainerSpec, said: str) -> bool:
        """Whether an app that said that failed to write its root; if so, it can from the next start on."""
        if not spec.read_only or not tells_refused_write(said):
            return False
        self.resources.roots.remember_writable(spec.app)
        log.info("container.root_writable", space=spec.space, image=spec.digest)
        return True

    async def stop(self, container: RunningContainer) -> None:
        """End the container's processes, and keep its root. Raises as `RunningContainer.stop` does."""
        await container.stop()
        self.resources.gpus.stopped(container.name)

    async def remove(self, container: RunningContainer) -> None:
        """Remove the container; where that fails, the next start tries again. Bounded, never raises."""
        gone = await container.remove()
        released = await self.resources.release(container.name)
        self._names.discard(container.name)
        self._clean = self._clean and gone and released

    async def _start(self, container: RunningContainer, spec: ContainerSpec) -> None:
        site = await self.resources.site(spec, container.name)
        await container.create(create_body(spec, await self.resources.limits(spec), site))
        await self._go(container, spec)

    async def _connected(
        self, container: RunningContainer, spec: ContainerSpec, connect: Connect[App]
    ) -> App:
        network = await self.resources.network(spec, container.name)
        url = await container.address(network.name, spec.port)
        limit = self._limits.of(spec)
        try:
            connection = await wait_ready(container, lambda: connect(url + spec.base_path), limit)
        except UnexplainedError as error:
            raise await container.with_log(error) from error
        except StepError as error:
            if error.kind is not ErrorKind.START_TIMEOUT:
                raise
            self._limits.overran(spec)
            found = await container.listening(spec.port)
            words = await container.words()
            said = f"\nIts last words:\n{words}" if words else " It said nothing."
            raise error.copy(f"{error}{found}{said}") from error
        self._limits.answered(spec)
        log.info("container.ready", space=spec.space, container=container.name)
        return connection

    async def _go(self, container: RunningContainer, spec: ContainerSpec) -> None:
        try:
            await container.start()
        except EngineRefusedError as error:
            if error.status != _NOT_FOUND or "network" not in error.message:
                raise
            # Somebody pruned unused networks between our look and our start.
            await (await self.resources.network(spec, container.name)).ensure()
            await container.start()

    @asynccontextmanager
    async def _explained(self, spec: ContainerSpec) -> AsyncIterator[None]:
        """Says of what the engine refuses whether that is the host's fault or the Space's."""
        try:
            try:
                yield
            except EngineRefusedError as error:
                raise await self._refused(spec, error) from error
        except StepError as error:
            if error.host and error.kind is ErrorKind.START_FAILED:
                log.warning("host.starts_nothing", reason=str(error))
                self.host_fault = str(error)
            raise
        self.host_fault = None

    async def _refused(self, spec: ContainerSpec, error: EngineRefusedError) -> StepError:
        if tells_full_disk(error.message):
            return full_disk(Stage.START, f"the container of {spec.space} cannot be started")
        said = None
        if error.status not in (_NOT_FOUND, _CONFLICT):
            said = await self._refusal_of_any(spec)
        if said is not None:
            return host_fault(said)
        message = f"the container of {spec.space} cannot be started: {error.message}. See `docker info`."
        return StepError(Stage.START, ErrorKind.START_FAILED, message)

    async def _refusal_of_any(self, spec: ContainerSpec) -> str | None:
        """What the engine has against a container of that image that does nothing; None if it starts."""
        idle = ContainerSpec(spec.space, spec.reference, spec.digest, ("true",), sealed=spec.sealed)
        probe = self.new(idle)
        try:
            site = await self.resources.site(idle, probe.name)
            body = create_body(idle, await self.resources.limits(idle), site)
            await probe.create(body | {"WorkingDir": "/"})
            await probe.start()
        except EngineRefusedError as error:
            return error.message
        finally:
            await asyncio.shield(self.remove(probe))
        return None

    def _known(self, name: str) -> RunningContainer:
        self._names.add(name)
        return RunningContainer(self._engine, name)


def config_of(settings: ContainerSettings) -> str:
    """The same for settings, and releases of ours, by which the same containers are made."""
    made_by = f"{version('hf-spacedock')} {settings.model_dump_json(exclude={'state', 'docker_host'})}"
    return hashlib.sha256(made_by.encode()).hexdigest()
