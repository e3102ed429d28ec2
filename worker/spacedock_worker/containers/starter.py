"""Starting one Space's container until its app answers, and removing it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.body import Limits, create_body, task_body
from spacedock_worker.containers.completion import Completion
from spacedock_worker.containers.container import RunningContainer
from spacedock_worker.containers.engine import Engine, RefusedError
from spacedock_worker.containers.network import Network, must_publish
from spacedock_worker.containers.ready import App, Connect, wait_ready
from spacedock_worker.containers.reap import reap
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.containers.task import Completed, Task, TaskLimits
from spacedock_worker.errors import StepError

log = structlog.get_logger()

OnProgress = Callable[[str], None]

_NOT_FOUND = 404
_NAME_LENGTH = 40


class Starter:
    """Starts and removes containers by the settings; `token` gives what makes a container's name unique."""

    def __init__(
        self,
        engine: Engine,
        settings: ContainerSettings,
        token: Callable[[], str] = lambda: secrets.token_hex(4),
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._token = token
        self._network = Network(engine, settings.network or f"spacedock-{settings.instance_id}")
        self._names: set[str] = set()
        self._publish = settings.publish_ports
        self._clean = False

    async def clean(self) -> None:
        """Remove what is ours and unknown here: from an earlier life, or where a removal failed."""
        if not self._clean:
            self._clean = await reap(self._engine, self._settings.instance_id, self._names)

    async def close(self) -> None:
        """Remove all that is ours, and the network if nobody else is on it; never raises for the engine."""
        self._names.clear()
        self._clean = False
        await self.clean()
        await self._network.remove()

    def new(self, spec: ContainerSpec) -> RunningContainer:
        """A container that does not exist yet, with a name of its own; `remove` it in the end."""
        slug = re.sub(r"[^a-z0-9]+", "-", spec.space.lower()).strip("-")[:_NAME_LENGTH]
        container = RunningContainer(self._engine, f"spacedock-{slug or 'space'}-{self._token()}")
        self._names.add(container.name)
        return container

    async def run(
        self, container: RunningContainer, spec: ContainerSpec, connect: Connect[App], on_progress: OnProgress
    ) -> App:
        """Start the container and return the connection to its app once that answers.

        Raises StepError at stage `start` (`start_failed`, `docker_unavailable`) or `ready` (`crashed`,
        `out_of_memory`, `start_timeout`).
        """
        await self.clean()
        on_progress("starting its container")
        with _explained(spec):
            await self._start(container, spec)
        url = await container.address(self._network.name, spec.port)
        on_progress("waiting until it answers")
        seconds = spec.start_timeout or self._settings.start_timeout
        connection = await wait_ready(container, lambda: connect(url + spec.base_path), seconds)
        log.info("container.ready", space=spec.space, container=container.name)
        return connection

    async def complete(
        self,
        container: RunningContainer,
        spec: ContainerSpec,
        task: Task,
        limits: TaskLimits,
        on_progress: OnProgress,
    ) -> Completed:
        """Run a program once, from the creation of its container to its collected output.

        Raises StepError at stage `start` as `run` does, and at stage `call` or `output` as `Completion.run`.
        """
        await self.clean()
        on_progress("starting its container")
        body = task_body(
            spec,
            self._limits(spec),
            network=self._network.name,
            owner=self._settings.instance_id,
            env=task.env,
        )
        completion = Completion(self._engine, container, task, limits)
        with _explained(spec):
            await self._network.ensure()
            return await completion.run(body, lambda: self._go(container), on_progress)

    async def remove(self, container: RunningContainer) -> None:
        """Remove the container; where that fails, the next start tries again. Bounded, never raises."""
        gone = await container.remove()
        self._names.discard(container.name)
        self._clean = self._clean and gone

    async def _start(self, container: RunningContainer, spec: ContainerSpec) -> None:
        if self._publish is None:
            self._publish = await must_publish(self._engine)
        await self._network.ensure()
        body = create_body(
            spec,
            self._limits(spec),
            network=self._network.name,
            owner=self._settings.instance_id,
            publish=self._publish,
        )
        await container.create(body)
        await self._go(container)

    async def _go(self, container: RunningContainer) -> None:
        try:
            await container.start()
        except RefusedError as error:
            if error.status != _NOT_FOUND or "network" not in error.message:
                raise
            # Somebody pruned unused networks between our look and our start.
            await self._network.ensure()
            await container.start()

    def _limits(self, spec: ContainerSpec) -> Limits:
        return Limits(
            memory=spec.memory or self._settings.memory,
            pids=self._settings.pids,
            tmp_size=self._settings.tmp_size,
            cpus=spec.cpus or self._settings.cpus,
        )


@contextmanager
def _explained(spec: ContainerSpec) -> Iterator[None]:
    """Says of what the engine refuses that it kept the Space from starting."""
    try:
        yield
    except RefusedError as error:
        message = f"the container of {spec.space} cannot be started: {error.message}. See `docker info`."
        raise StepError(Stage.START, ErrorKind.START_FAILED, message) from error
