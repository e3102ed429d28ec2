"""What the engine and its host have now, for whoever judges or shows it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.machine.capacity import Machine, budget, look
from spacedock_worker.containers.machine.gpu import Device, devices
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.errors import StepError


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
        machine = await look(engine)
        async with engine.call(Stage.START) as docker:
            info = await docker.system.info()
    except (StepError, EngineRefusedError) as error:
        return EngineInfo(trouble=str(error), gpus=gpus)
    free = await asyncio.to_thread(_free, str(info.get("DockerRootDir") or ""))
    return EngineInfo(
        version=str(info.get("ServerVersion") or ""),
        info=info,
        machine=machine,
        budget=budget(machine, settings),
        disk_free=free,
        gpus=gpus,
    )


def _free(folder: str) -> int | None:
    """What users may still write there; None where that is not on this host."""
    try:
        if not folder or not Path(folder).is_dir():
            return None
        status = os.statvfs(folder)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize
