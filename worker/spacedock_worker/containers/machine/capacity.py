"""What the engine and its machine have, and how much of it containers may take together."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.machine.gpu import Device, devices
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError


@dataclass(frozen=True, slots=True)
class Room:
    """What containers take, or may take together: containers, bytes of memory, GPUs."""

    containers: int = 1
    memory: int = 0
    gpus: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.containers + other.containers, self.memory + other.memory, self.gpus + other.gpus)

    def __sub__(self, other: Room) -> Room:
        return Room(self.containers - other.containers, self.memory - other.memory, self.gpus - other.gpus)

    def holds(self, other: Room) -> bool:
        """Whether there is at least as much of everything here as in `other`."""
        return self.containers >= other.containers and self.memory >= other.memory and self.gpus >= other.gpus


_AVAILABLE = re.compile(rb"^MemAvailable:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Machine:
    """The engine's machine: bytes of memory, GPUs, and whether this host reaches containers' addresses.

    It does not where the engine is Docker Desktop's, rootless, or not behind a local socket.
    """

    memory: int
    reachable: bool
    gpus: int = 0


async def look(engine: Engine) -> Machine:
    """Ask the engine. Raises StepError `docker_unavailable`."""
    return (await _asked(engine))[0]


async def _asked(engine: Engine) -> tuple[Machine, Mapping[str, Any]]:
    """The machine, and the engine's answer to `GET /info`."""
    async with engine.call(Stage.START) as docker:
        information = await docker.system.info()
        local = docker.docker_host.startswith("unix://")
    rootless = any("rootless" in option for option in information.get("SecurityOptions") or ())
    desktop = "Docker Desktop" in str(information.get("OperatingSystem"))
    reachable = local and not rootless and not desktop and sys.platform.startswith("linux")
    # Podman starts a container that asks for GPUs by Docker's API without them.
    gives = local and not (await engine.dialect(Stage.START)).podman
    present = await asyncio.to_thread(devices) if gives else ()
    return Machine(int(information["MemTotal"]), reachable, len(present)), information


def budget(machine: Machine, settings: ContainerSettings) -> int:
    """The bytes that all containers' limits may add up to."""
    if settings.memory_budget is not None:
        return settings.memory_budget
    # A small machine still runs one small Space.
    return max(machine.memory - settings.memory_reserve, machine.memory // 2)


def available_memory() -> int | None:
    """The bytes that programs of this host could have now (Linux's MemAvailable); None elsewhere."""
    try:
        with open("/proc/meminfo", "rb") as file:
            found = _AVAILABLE.search(file.read(4096))
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def reserve(machine: Machine, settings: ContainerSettings) -> int:
    """The bytes of really free memory that no start of a container shall touch, while others are idle."""
    return min(settings.memory_reserve, machine.memory // 16)


def memory_of(spec: ContainerSpec, machine: Machine, settings: ContainerSettings) -> int:
    """The container's limit in bytes: the Space's own, else the usual one, or all that there is to give."""
    return spec.memory or min(settings.memory, budget(machine, settings))


def room_of(spec: ContainerSpec, machine: Machine, settings: ContainerSettings) -> Room:
    """What the container takes. Raises StepError where that is more than this host ever gives."""
    memory, given = memory_of(spec, machine, settings), budget(machine, settings)
    if memory > given:
        message = (
            f"{spec.space} needs {_gigabytes(memory)} of memory, but this host gives its containers "
            f"{_gigabytes(given)} in all. Lower `memory` for this Space, or raise `memory_budget`."
        )
        raise StepError(Stage.START, ErrorKind.START_FAILED, message)
    return Room(1, memory, _gpus(spec, machine))


def _gpus(spec: ContainerSpec, machine: Machine) -> int:
    """The GPUs that nobody else gets meanwhile; "auto" shares what there is."""
    if spec.gpu in ("auto", "none"):
        return 0
    wanted = spec.gpu if isinstance(spec.gpu, int) else len(spec.gpu)
    if wanted > machine.gpus:
        message = (
            f"{spec.space} needs {wanted} GPU{'s' if wanted > 1 else ''}, but this host has "
            f"{machine.gpus or 'none'}. Set `gpu: none` for it, or run it on another host."
        )
        raise StepError(Stage.START, ErrorKind.START_FAILED, message)
    return wanted


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GB"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """One look at the engine: its `version`, `info` (its answer to `GET /info`), the bytes that containers
    may take together and that are free on its disk (None: not known from here), and this host's GPUs.

    `trouble` says why the engine cannot be asked; then nothing else is known of it.
    """

    trouble: str | None = None
    version: str = ""
    info: Mapping[str, Any] = field(default_factory=dict)
    machine: Machine | None = None
    budget: int | None = None
    disk_free: int | None = None
    gpus: tuple[Device, ...] = ()

    @property
    def disk(self) -> str:
        """The folder that the engine keeps everything in."""
        return str(self.info.get("DockerRootDir") or "")


async def engine_info(engine: Engine, settings: ContainerSettings) -> EngineInfo:
    """Look now; never raises for the engine, whose calls have their own deadlines."""
    gpus = await asyncio.to_thread(devices)
    try:
        machine, info = await _asked(engine)
    except (StepError, EngineRefusedError) as error:
        return EngineInfo(trouble=str(error), gpus=gpus)
    free = await asyncio.to_thread(free_bytes, info)
    return EngineInfo(
        version=str(info.get("ServerVersion") or ""),
        info=info,
        machine=machine,
        budget=budget(machine, settings),
        disk_free=free,
        gpus=gpus,
    )


def free_bytes(info: Mapping[str, Any]) -> int | None:
    """What users may still write where the engine keeps its images; None where that is not on this host."""
    root = info.get("DockerRootDir")
    try:
        if not isinstance(root, str) or not Path(root).is_dir():
            return None
        status = os.statvfs(root)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize
