"""Starting a slot's container until its app answers, and removing it."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Generic

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.create_body import create_body, task_body
from spacedock_worker.containers.docker.diagnosis import host_fault, where
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.run_once import TaskRun
from spacedock_worker.containers.docker.task import Completed, Task, TaskLimits
from spacedock_worker.containers.machine.resources import HostResources, tells_refused_write
from spacedock_worker.containers.pool.adoption import Survivor
from spacedock_worker.containers.pool.readiness import (
    WAITING_FOR_ANSWER,
    App,
    Connect,
    StartLimits,
    wait_ready,
)
from spacedock_worker.containers.pool.slots import OnProgress, Slot, Waiter
from spacedock_worker.containers.removal import reap
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import ImageGoneError, StepError, UnexplainedError, full_disk, tells_full_disk
from spacedock_worker.profiling.profiles import ProfileStore

log = structlog.get_logger()

_CONFLICT = 409
_NAME_LENGTH = 40
_NO_IMAGE = ("no such image", "image not known")
"""What Docker and Podman say."""


class Starter(Generic[App]):
    """Starts and removes containers by the settings; `token` gives what makes a container's name unique.

    `host_fault` says why the host can start no container; None while it can, or nobody has tried.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ContainerSettings,
        measures: ProfileStore,
        token: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._token = token
        self._names: set[str] = set()
        self.resources = HostResources(engine, settings, self._names)
        self._limits = StartLimits(settings, measures)
        self._clean = False
        self.host_fault: str | None = None

    @property
    def names(self) -> frozenset[str]:
        """The containers that are ours, whether they exist yet, still, or not."""
        return frozenset(self._names)

    async def adopt(self, survivor: Survivor) -> RunningContainer:
        """The container that an earlier worker left is ours from now on, and keeps its GPUs."""
        container = self._known(survivor.name)
        if survivor.note.gpus and (gpus := await container.gpus()):
            self.resources.gpus.adopt(container.name, gpus, stopped=survivor.stopped)
        return container

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
        """A container that does not exist yet, with a name of its own; `empty` its slot in the end."""
        slug = re.sub(r"[^a-z0-9]+", "-", spec.space.lower()).strip("-")[:_NAME_LENGTH]
        return self._known(f"spacedock-{slug or 'space'}-{self._token()}")

    async def bring_up(self, slot: Slot[App], waiter: Waiter[App], tell: OnProgress) -> float:
        """Have the slot's container run and its app answer: woken, started again, or made.

        Returns the seconds that a start took, 0.0 where the container was only woken. Raises StepError at
        stage `start` (`start_failed`, `docker_unavailable`) or `ready` (`crashed`, `out_of_memory`,
        `start_timeout`).
        """
        now = asyncio.get_running_loop().time
        began = now()
        woken = slot.container is not None and await self._woken(slot, waiter, tell)
        if slot.app is None:
            try:
                await self._start_new(slot, waiter, tell)
            except StepError as error:
                said = str(error)
                if slot.spec is None or not self.blames_root(slot.spec, said):
                    raise error.copy(said + await self.resources.remedy(waiter.spec, error)) from error
                tell("starting it again with a root that it can write")
                await self.empty(slot)
                await self._start_new(slot, waiter, tell)
        return 0.0 if woken else now() - began

    async def complete(
        self,
        container: RunningContainer,
        spec: ContainerSpec,
        task: Task,
        limits: TaskLimits,
        on_progress: OnProgress,
    ) -> Completed:
        """Run a program once, from the creation of its container to its collected output.

        Raises StepError at stage `start` as `bring_up` does, at `call` or `output` as `TaskRun.run`.
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
        if not spec.read_only or spec.fixed_root or not tells_refused_write(said):
            return False
        self.resources.roots.remember_writable(spec.app)
        log.info("container.root_writable", space=spec.space, image=spec.digest)
        return True

    async def stop(self, slot: Slot[App]) -> None:
        """End the processes of the slot's container, and keep its root. Raises as `RunningContainer.stop`."""
        assert slot.container is not None
        await self._disconnect(slot)
        await slot.container.stop()
        self.resources.gpus.stopped(slot.container.name)

    async def empty(self, slot: Slot[App]) -> None:
        """Remove the slot's container; where that fails, the next start tries again. Never raises."""
        await self._disconnect(slot)
        if slot.container is not None:
            await self._remove(slot.container)
            # Not before: a start that is cut off in here leaves the rest to the next call.
            slot.container = None

    async def _remove(self, container: RunningContainer) -> None:
        gone = await container.remove()
        released = await self.resources.release(container.name)
        self._names.discard(container.name)
        self._clean = self._clean and gone and released

    async def _disconnect(self, slot: Slot[App]) -> None:
        app, slot.app = slot.app, None
        if app is not None:
            await app.aclose()

    async def _start_new(self, slot: Slot[App], waiter: Waiter[App], tell: OnProgress) -> None:
        assert waiter.connect is not None
        spec = slot.spec = self.resources.as_started(waiter.spec)
        container = slot.container = self.new(spec)
        await self.clean()
        tell("starting its container")
        async with self._explained(spec):
            await container.create(await self._body(spec, container.name))
            await self._go(container, spec)
        slot.app = await self._connected(container, spec, waiter.connect, tell)

    async def _woken(self, slot: Slot[App], waiter: Waiter[App], tell: OnProgress) -> bool:
        """Whether a paused or adopted container answers again without a start.

        One that was stopped is started again; one that cannot answer any more is removed.
        """
        assert slot.container is not None
        assert waiter.connect is not None
        # One of ours keeps the root that it was made with, whatever was learned meanwhile.
        slot.spec = slot.spec or self.resources.as_started(waiter.spec)
        try:
            async with self._explained(waiter.spec):
                state = await slot.container.state()
                if slot.app is not None and state not in ("running", "paused"):
                    raise StepError(Stage.READY, ErrorKind.CRASHED, "the app ended while nobody used it.")
                if state == "paused":
                    await slot.container.unpause()
                elif state == "exited":
                    self.resources.gpus.restart(slot.container.name)
                    await self._go(slot.container, waiter.spec)
            if slot.app is None:
                slot.app = await self._connected(slot.container, waiter.spec, waiter.connect, tell)
        except StepError as error:
            log.info("container.not_revived", space=slot.space, reason=error.kind)
            await self.empty(slot)
            return False
        return state != "exited"

    async def _connected(
        self, container: RunningContainer, spec: ContainerSpec, connect: Connect[App], tell: OnProgress
    ) -> App:
        tell(WAITING_FOR_ANSWER)
        network = await self.resources.network(spec, container.name)
        url = await container.address(network.name, spec.port)
        limit = self._limits.of(spec)
        try:
            connection = await wait_ready(
                container, lambda: connect(url + spec.base_path), limit, spec.port, tell
            )
        except UnexplainedError as error:
            raise await container.with_log(error) from error
        except StepError as error:
            if error.kind is not ErrorKind.START_TIMEOUT:
                raise
            self._limits.overran(spec)
            found = where(await container.listeners(), spec.port)
            words = await container.words()
            said = f"\nIts last words:\n{words}" if words else " It said nothing."
            raise error.copy(f"{error}{found}{said}") from error
        self._limits.answered(spec)
        log.info("container.ready", space=spec.space, container=container.name)
        return connection

    async def _body(self, spec: ContainerSpec, name: str) -> dict[str, Any]:
        site = await self.resources.site(spec, name)
        return create_body(spec, await self.resources.limits(spec), site)

    async def _go(self, container: RunningContainer, spec: ContainerSpec) -> None:
        try:
            await container.start()
        except EngineRefusedError as error:
            if not error.not_found or "network" not in error.message:
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
        if not error.not_found and error.status != _CONFLICT:
            said = await self._refusal_of_any(spec)
        if said is not None:
            return host_fault(said)
        message = f"the container of {spec.space} cannot be started: {error.message}. See `docker info`."
        gone = error.not_found and any(words in error.message.lower() for words in _NO_IMAGE)
        return (ImageGoneError if gone else StepError)(Stage.START, ErrorKind.START_FAILED, message)

    async def _refusal_of_any(self, spec: ContainerSpec) -> str | None:
        """What the engine has against a container of that image that does nothing; None if it starts."""
        idle = ContainerSpec(spec.space, spec.reference, spec.digest, ("true",), sealed=spec.sealed)
        probe = self.new(idle)
        try:
            await probe.create(await self._body(idle, probe.name) | {"WorkingDir": "/"})
            await probe.start()
        except EngineRefusedError as error:
            return error.message
        finally:
            await asyncio.shield(self._remove(probe))
        return None

    def _known(self, name: str) -> RunningContainer:
        self._names.add(name)
        return RunningContainer(self._engine, name)
