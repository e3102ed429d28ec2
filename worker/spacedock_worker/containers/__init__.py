"""Running Spaces: the engine, hardened containers, readiness, the warm pool and reaping."""

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
