"""Running Spaces: the engine, hardened containers, readiness, the warm pool and reaping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spacedock.lazy import lazily

if TYPE_CHECKING:
    from spacedock_worker.containers.engine import Engine
    from spacedock_worker.containers.lease import Lease
    from spacedock_worker.containers.place import WAITING_FOR_CALLS, WAITING_FOR_ROOM
    from spacedock_worker.containers.pool import Pool
    from spacedock_worker.containers.settings import ContainerSettings
    from spacedock_worker.containers.spec import ContainerSpec
    from spacedock_worker.containers.task import Captured, Completed, Task, TaskLimits

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
        "engine": ("Engine",),
        "lease": ("Lease",),
        "place": (
            "WAITING_FOR_CALLS",
            "WAITING_FOR_ROOM",
        ),
        "pool": ("Pool",),
        "settings": ("ContainerSettings",),
        "spec": ("ContainerSpec",),
        "task": (
            "Captured",
            "Completed",
            "Task",
            "TaskLimits",
        ),
    },
)
