"""What this host can start now, as the queue asks for it: who claims no more leaves the rest to others."""

from __future__ import annotations

from importlib.metadata import version
from socket import gethostname

from spacedock._wire.lanes import is_named
from spacedock.hosts import Host
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.view import PoolView
from spacedock_worker.queue.choose import HostOffer, Supply
from spacedock_worker.queue.presence import Presence
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry
from spacedock_worker.registry.snapshot import Snapshot

_MOST_NAMES = 100


class HostCapacity:
    """Tells the queue of the pool's containers, and which Spaces this host can run.

    `host_id` is the instance's; `gpu` says whether the host has a GPU, None where that is not known.
    """

    def __init__(
        self,
        host_id: str,
        registry: Registry,
        pool: PoolView[Adapter],
        engine: Engine,
        gpu: bool | None = None,
    ) -> None:
        self._registry, self._pool, self._engine, self._gpu = registry, pool, engine, gpu
        self._host = Host(id=host_id, name=gethostname(), version=version("hf-spacedock"), gpus=bool(gpu))
        self._known: tuple[Snapshot, frozenset[str]] | None = None

    def offer(self) -> HostOffer:
        """What is free now; looks at memory only."""
        supplies = {
            space: Supply(up.containers, up.calls, up.call_seconds, up.start_seconds)
            for space, up in self._pool.up().items()
        }
        limit = self._pool.limit.containers
        return HostOffer(limit, supplies, self._pool.short, self._space_of, self._serves)

    def presence(self, jobs: int) -> Presence:
        """What others may know of this host."""
        now = {
            "engine": self._engine.version,
            "containers": self._pool.limit.containers,
            "warm": {space: up.containers for space, up in self._pool.up().items()},
            "jobs": jobs,
        }
        names = self._names()
        lacking = [name for name in self._registry.last.spaces if name not in names]
        now["lacks_gpu_for"] = tuple(sorted(lacking)[:_MOST_NAMES])
        return Presence(self._host.model_copy(update=now), names)

    def _space_of(self, target: str) -> str | None:
        if target == "" or target.startswith("tier:"):
            return None
        known = self._registry.last.spaces.get(target)
        return target if known is None else known.id

    def _serves(self, target: str) -> bool:
        """Whether the host can run the target: models, directories and Spaces of the Hub anybody can."""
        if target in self._names():
            return True
        return not is_named(target) and target not in self._registry.last.spaces

    def _has_gpus_for(self, entry: SpaceEntry) -> bool:
        return entry.gpu in ("none", "auto") or self._gpu is not False

    def _names(self) -> frozenset[str]:
        """The Spaces of the registry that this host can run; the same object until they change."""
        snapshot = self._registry.last
        if self._known is None or self._known[0] is not snapshot:
            fit = (name for name, entry in snapshot.spaces.items() if self._has_gpus_for(entry))
            self._known = snapshot, frozenset(fit)
        return self._known[1]
