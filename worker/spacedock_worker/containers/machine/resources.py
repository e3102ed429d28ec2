"""What a container is given of this host: a network, a cache, GPUs, its limits, a root to write."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.atomic_write import write_whole
from spacedock_worker.containers.docker.create_body import HOST_NAMES, ContainerLimits, Site
from spacedock_worker.containers.docker.diagnosis import other_user
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.containers.docker.volumes import Caches
from spacedock_worker.containers.machine.capacity import (
    Machine,
    Room,
    available_memory,
    budget,
    look,
    memory_of,
    reserve,
    room_of,
)
from spacedock_worker.containers.machine.gpu import GpuTable, devices
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError, tells_full_disk


class HostResources:
    """One daemon's networks and caches, and the machine that they are on.

    `names` are the containers that are in use, by which no clean-up takes them for left.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ContainerSettings,
        names: set[str],
        available: Callable[[], int | None] = available_memory,
    ) -> None:
        self._engine, self._settings, self._available = engine, settings, available
        name = settings.network_name
        self._open, self._sealed = Network(engine, name), Network(engine, f"{name}-sealed", sealed=True)
        self._own: dict[str, Network] = {}
        self._looking = asyncio.Lock()
        self._machine: Machine | None = None
        self.caches = Caches(engine, settings.instance_id, names)
        self.roots = Roots(settings.state)
        self.gpus = GpuTable()

    @property
    def limit(self) -> Room:
        """What all containers may take together; nothing but containers until the engine has been asked."""
        machine = self._machine
        memory = budget(machine, self._settings) if machine is not None else 0
        return Room(self._settings.max_containers, memory, machine.gpus if machine is not None else 0)

    @property
    def spare_memory(self) -> int | None:
        """The bytes that this host can really spare now; None where its engine's memory is not known."""
        machine = self._machine
        if machine is None or not machine.reachable or (available := self._available()) is None:
            return None
        return available - reserve(machine, self._settings)

    async def room_for(self, spec: ContainerSpec) -> Room:
        """What the Space's container takes. Raises StepError where this host never has so much."""
        return room_of(spec, await self._look(), self._settings)

    async def network(self, spec: ContainerSpec, name: str) -> Network:
        """The network that the Space's container `name` is on: with Podman its own, which has its name.

        Raises StepError `docker_unavailable`.
        """
        if (await self._engine.dialect(Stage.START)).podman:
            return self._own_network(name, sealed=spec.sealed)
        return self._sealed if spec.sealed else self._open

    def as_started(self, spec: ContainerSpec) -> ContainerSpec:
        """The container as it is made here: with a root that it can write where it was found to need one."""
        closed = spec.read_only and (spec.fixed_root or self.roots.read_only(spec.app))
        return replace(spec, read_only=closed)

    async def remedy(self, spec: ContainerSpec, error: StepError) -> str:
        """What to do for an app that failed, by its words; empty where they do not tell.

        Never raises.
        """
        said = str(error)
        if error.stage is Stage.START:
            # The engine's words: the app has said nothing yet.
            return await other_user(self._engine, spec.reference, said)
        if spec.read_only and spec.fixed_root and tells_refused_write(said):
            return "\nIts root is read-only, as its entry says: take `writable_root: false` out of it."
        if _NO_MORE_PROCESSES.search(said):
            return f"\nIt may have {self._settings.pids} processes and threads at once (`containers.pids`)."
        if spec.read_only and tells_full_disk(said):
            most = f"{self._settings.tmp_size // 2**20} MB to /tmp (`containers.tmp_size`)"
            return f"\nIt may write {most}, and 64 MB each to /var/tmp and /dev/shm."
        return await other_user(self._engine, spec.reference, said)

    def has_gpu(self, spec: ContainerSpec | None) -> bool:
        """Whether the container may have a GPU; one of an earlier worker (None) may, where there are any."""
        present = self._machine is not None and self._machine.gpus > 0
        return present and (spec is None or spec.gpu != "none")

    async def limits(self, spec: ContainerSpec) -> ContainerLimits:
        """What the container may use. Raises StepError."""
        return ContainerLimits(
            memory=memory_of(spec, await self._look(), self._settings),
            pids=self._settings.pids,
            tmp_size=self._settings.tmp_size,
            cpus=spec.cpus or self._settings.cpus,
        )

    async def site(self, spec: ContainerSpec, name: str) -> Site:
        """Where the container `name` stands: its network and its cache are there when this returns.

        Its GPUs are its own until `gpus` hears that it is stopped or removed. Raises StepError where they
        cannot be, or where its GPUs are not free; RefusedError.
        """
        network, publish = await self.network(spec, name), await self._publishes()
        if publish and spec.sealed:
            message = (
                f"{spec.space} cannot be sealed here: this engine's containers are reached by published "
                "ports only, and a sealed network has none. Run it on a host with an engine of its own."
            )
            raise StepError(Stage.START, ErrorKind.UNSUPPORTED, message)
        await network.ensure()
        cache = await self.caches.ensure(spec)
        podman = (await self._engine.dialect(Stage.START)).podman
        present = await asyncio.to_thread(devices) if spec.gpu != "none" and not podman else ()
        if podman and (runtime := spec.runtime or self._settings.runtime):
            # It would run with the usual one, without a word.
            message = (
                f"{spec.space} cannot have the runtime {runtime} here: Podman takes none by its Docker API. "
                "Remove `runtime`, and make it Podman's own in containers.conf."
            )
            raise StepError(Stage.START, ErrorKind.UNSUPPORTED, message, ours=True)
        return Site(
            owner=self._settings.instance_id,
            network=network.name,
            publish=publish,
            cache=cache,
            gpus=self.gpus.give(name, spec.gpu, present, self._settings.gpu_free),
            runtime=self._settings.runtime,
            hidden=HOST_NAMES if podman else (),
        )

    async def release(self, name: str) -> bool:
        """Take back what the container `name`, now removed, was given; whether it has left no network behind.

        Never raises for the engine.
        """
        self.gpus.removed(name)
        try:
            podman = (await self._engine.dialect(Stage.START)).podman
        except StepError:
            return False
        if not podman:
            return True
        gone = await self._own_network(name).remove()
        self._own.pop(name, None)
        return gone

    async def leave(self) -> None:
        """Remove the networks, if nobody is left on them; never fails for the engine."""
        for network in (self._open, self._sealed, *self._own.values()):
            await network.remove()

    def _own_network(self, name: str, *, sealed: bool = False) -> Network:
        if name not in self._own:
            self._own[name] = Network(self._engine, name, sealed=sealed, owner=self._settings.instance_id)
        return self._own[name]

    async def _publishes(self) -> bool:
        machine, wanted = await self._look(), self._settings.publish_ports
        return not machine.reachable if wanted is None else wanted

    async def _look(self) -> Machine:
        # One at a time, in the order of asking: who came first is to be first in line.
        async with self._looking:
            if self._machine is None:
                self._machine = await look(self._engine)
        return self._machine


log = structlog.get_logger()

_VERSION = 1
_REMEMBERED = 1024
# C's words are Python's, Go's, Rust's, Java's, PHP's and .NET's too; Node says EROFS first.
_REFUSED_WRITES = re.compile(
    r"read-only file ?system"
    r"|\bEROFS\b"
    r"|\berrno[ =:]+30\b"
    r"|\bos error 30\b"
    r"|ReadOnlyFileSystemException"
    r"|attempt to write a readonly database"
    r"|\bnot (?:a )?writ(?:e)?able\b",
    re.IGNORECASE,
)


# What Python, shells, glibc's and OpenMP's threads say.
_NO_MORE_PROCESSES = re.compile(
    r"can't start new thread|cannot fork|fork: |BlockingIOError: \[Errno 11\]|pthread_create"
    r"|Thread creation failed",
    re.IGNORECASE,
)


def tells_refused_write(text: str) -> bool:
    """Whether a program says that it could not write to a read-only root (pure).

    A Space that only says so gains a writable root: one wall of many, and its disk stays bounded.
    """
    return _REFUSED_WRITES.search(text) is not None


class Roots:
    """Remembers the Spaces' programs that need a writable root, in a file of `state` (None: only meanwhile).

    `app` is what `ContainerSpec.app` gives: a Space that shares its image with others opens its own root
    alone. Never raises: what cannot be read or written costs one more failed start, no more.
    """

    def __init__(self, state: Path | None) -> None:
        self._file = state / "writable-roots.json" if state is not None else None
        self._writable = dict.fromkeys(_read(self._file)) if self._file is not None else {}

    def read_only(self, app: str) -> bool:
        """Whether the program's root is to be read-only."""
        return app not in self._writable

    def remember_writable(self, app: str) -> None:
        """The program needs its root; of too many, those told first are forgotten."""
        if app in self._writable:
            return
        self._writable[app] = None
        while len(self._writable) > _REMEMBERED:
            del self._writable[next(iter(self._writable))]
        if self._file is not None:
            _write(self._file, list(self._writable))


def _read(file: Path) -> list[str]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if found["version"] != _VERSION:
            return []
        return [digest for digest in found["digests"] if isinstance(digest, str)][-_REMEMBERED:]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning("roots.not_read", reason=str(error))
        return []


def _write(file: Path, digests: list[str]) -> None:
    try:
        write_whole(file, json.dumps({"version": _VERSION, "digests": digests}).encode())
    except OSError as error:
        log.warning("roots.not_written", reason=str(error))
