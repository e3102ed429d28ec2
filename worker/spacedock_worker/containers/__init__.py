"""Running Spaces: the engine, hardened containers, readiness, the warm pool and reaping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spacedock.lazy import lazily

if TYPE_CHECKING:
    from spacedock_worker.containers.docker.engine import Engine
    from spacedock_worker.containers.docker.task import Captured, Completed, Task, TaskLimits
    from spacedock_worker.containers.pool.lease import Lease
    from spacedock_worker.containers.pool.pool import Pool
    from spacedock_worker.containers.pool.slots import WAITING_FOR_CALLS, WAITING_FOR_ROOM
    from spacedock_worker.containers.settings import ContainerSettings
    from spacedock_worker.containers.spec import ContainerSpec

__all__ = [
    "WAITING_FOR_CALLS",
    "WAITING_FOR_ROOM",
    "Captured",
    "Completed",
    "ContainerSettings",
    "ContainerSpec",
    "Engine",
    "Lease",
    "Pool",
    "Task",
    "TaskLimits",
]

# The daemon needs the settings alone.
__getattr__ = lazily(
    __name__,
    {
        "docker.engine": ("Engine",),
        "pool.lease": ("Lease",),
        "pool.slots": (
            "WAITING_FOR_CALLS",
            "WAITING_FOR_ROOM",
        ),
        "pool.pool": ("Pool",),
        "settings": ("ContainerSettings",),
        "spec": ("ContainerSpec",),
        "docker.task": (
            "Captured",
            "Completed",
            "Task",
            "TaskLimits",
        ),
    },
)
