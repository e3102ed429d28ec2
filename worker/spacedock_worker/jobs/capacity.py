"""What this host can start now, as the queue asks for it: who claims no more leaves the rest to others."""

from __future__ import annotations

from spacedock_worker.adapters.base import Adapter
from spacedock_worker.containers.pool.view import LivePoolView
from spacedock_worker.queue.choose import Offer, Supply
from spacedock_worker.registry.file import Registry


class HostCapacity:
    """Tells the queue of the pool's containers, and which Space a job's target is on this host."""

    def __init__(self, registry: Registry, pool: LivePoolView[Adapter]) -> None:
        self._registry, self._pool = registry, pool

    def offer(self) -> Offer:
        """What is free now; looks at memory only."""
        supplies = {
            space: Supply(up.containers, up.calls, up.call_seconds, up.start_seconds)
            for space, up in self._pool.up().items()
        }
        return Offer(self._pool.limit.containers, supplies, self._pool.short, self._space_of)

    def _space_of(self, target: str) -> str | None:
        if target == "" or target.startswith("tier:"):
            return None
        known = self._registry.snapshot().spaces.get(target)
        return target if known is None else known.id
