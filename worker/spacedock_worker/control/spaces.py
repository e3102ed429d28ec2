"""The registry's answers with what is there of each Space: its state, its image, its cache."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis

from spacedock._wire.rpc import Call, OnProgress, Op, Reply
from spacedock_worker.cleanup.cleaner import Cleaner
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.cleanup.report import Report
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.containers.pool.view import PoolView, SpaceStatus
from spacedock_worker.control.registry import RegistryHandler
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.borrowing import check_named

_STATES = {"running": "running", "paused": "paused", "exited": "stopped"}


class SpacesHandler:
    """Serves list, show, add and remove; `desk` knows the registry, the rest what the engine holds."""

    def __init__(
        self,
        desk: RegistryHandler,
        inventory: Inventory,
        image_cleanup: ImageCleanup,
        cleaner: Cleaner,
        pool_view: PoolView | None,
    ) -> None:
        self._desk, self._inventory, self._image_cleanup = desk, inventory, image_cleanup
        self._cleaner, self._pool_view = cleaner, pool_view

    async def answer(self, call: Call, redis: Redis, tell: OnProgress) -> Reply:
        """Do what the call asks. Raises BadRequestError for an image that another Space was built as."""
        if call.op is Op.ADD and (image := call.entry.get("docker_image")):
            await check_named(self._inventory.engine, str(image), str(call.name))
        reply = await self._desk.answer(call, redis)
        if reply.error is not None or reply.not_found:
            return reply
        if call.op is Op.REMOVE and call.name:
            report = Report(dry_run=False)
            await self._cleaner.remove_space(call.name, report)
            return reply.model_copy(update={"data": report.told()})
        if call.op is Op.ADD and call.name and reply.data.get("other_code"):
            await self._cleaner.begin_anew(call.name, known=bool(reply.data.get("replaced")))
        if call.op in (Op.LIST, Op.SHOW) and call.options.get("status") is True:
            return await self._with_status(reply)
        return reply

    async def _with_status(self, reply: Reply) -> Reply:
        data: dict[str, Any] = {"shipped": list(self._desk.shipped)}
        try:
            data["status"] = await self._status(reply.spaces)
        except (EngineRefusedError, StepError) as error:
            return reply.model_copy(update={"data": data, "warnings": (*reply.warnings, str(error))})
        return reply.model_copy(update={"data": data})

    async def _status(self, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
        sizes, caches, known = await asyncio.gather(
            self._image_cleanup.sizes(), self._caches(), self._known()
        )
        found = {}
        for name, row in rows.items():
            space = str(row["id"])
            status = known.get(space, SpaceStatus(space))
            found[name] = {
                "state": state_of(status, has_image=space in sizes),
                "containers": dict(status.containers),
                "quarantined_for": status.quarantined_for,
                "reason": status.reason,
                "image_bytes": sizes.get(space),
                "cache_bytes": caches.get(space),
            }
        return found

    async def _caches(self) -> Mapping[str, int]:
        sizes: Counter[str] = Counter()
        for cache in await self._inventory.caches():
            sizes[cache.space] += cache.size
        return sizes

    async def _known(self) -> Mapping[str, SpaceStatus]:
        """What the pool knows; without one, what the labels of containers tell."""
        if self._pool_view is not None:
            return self._pool_view.status()
        found: dict[str, Counter[str]] = {}
        for one in await self._inventory.containers():
            if one.owner == self._inventory.owner and one.space and one.state in _STATES:
                found.setdefault(one.space, Counter())[_STATES[one.state]] += 1
        return {space: SpaceStatus(space, counts) for space, counts in found.items()}


def state_of(status: SpaceStatus, *, has_image: bool) -> str:
    """The Space's state in a word: that of its warmest container, else how far it is from having one."""
    if status.quarantined_for is not None:
        return "quarantined"
    for state in ("running", "paused", "stopped"):
        if status.containers.get(state):
            return state
    return "image only" if has_image else "not here"
