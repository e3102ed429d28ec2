"""The registry's answers with what is there of each Space (state, image, cache); getting and freeing it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from spacedock._wire.retention import DAY_S
from spacedock._wire.rpc import AddOptions, CleanupOptions, Op, Options, Reply, StatusOptions
from spacedock.replies.host import CleanupReply
from spacedock.replies.spaces import EndpointSchema, PullReply, SpaceHere, SpacesData
from spacedock.result import Stage
from spacedock_worker.cleanup.cleaner import Cleaner, CleanupRequest
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.cleanup.report import Report
from spacedock_worker.containers.docker.engine import EngineRefusedError
from spacedock_worker.containers.pool.view import PoolView, SpaceStatus
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.control.registry import RegistryHandler
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.borrowing import check_named
from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.state.image_policy import ImagePolicy


class SpacesHandler:
    """Serves list, show, add, remove, pull and cleanup.

    `entries` knows the registry, the rest what the engine holds; `endpoints` tells what the app of a Space
    can do, by the Space's name.
    """

    def __init__(
        self,
        entries: RegistryHandler,
        inventory: Inventory,
        image_cleanup: ImageCleanup,
        cleaner: Cleaner,
        policy: ImagePolicy,
        pool_view: PoolView[Any],
        endpoints: Callable[[str], list[EndpointSchema]],
        profiles: ProfileStore | None = None,
    ) -> None:
        self._entries, self._inventory, self._image_cleanup = entries, inventory, image_cleanup
        self._cleaner, self._pool_view, self._profiles = cleaner, pool_view, profiles
        self._policy = policy
        self._endpoints = endpoints

    async def look(self, asked: Asked[StatusOptions]) -> Reply:
        """The Space that is named, or all; with what is there of each where `status` is asked for."""
        name = asked.call.name
        reply = await (self._entries.list() if asked.call.op is Op.LIST else self._entries.show(name))
        if asked.options.endpoints and name:
            told: SpacesData = {"endpoints": await asyncio.to_thread(self._endpoints, name)}
            reply = reply.model_copy(update={"data": told})
        return await self._with_status(reply) if asked.options.status else reply

    async def add(self, asked: Asked[AddOptions]) -> Reply:
        """Add or change a Space. Raises BadRequestError, also for an image that another was built as."""
        call = asked.call
        if image := call.entry.get("docker_image"):
            await check_named(self._inventory.engine, str(image), str(call.name))
        reply = await self._entries.add(asked)
        if reply.data["other_code"]:
            await self._cleaner.begin_anew(str(call.name), known=bool(reply.data["replaced"]))
        return reply

    async def remove(self, asked: Asked[Options]) -> CleanupReply:
        """Remove a Space, with its containers, its cache and its profile; reply what that freed."""
        removed = await self._entries.remove(asked.call.name)
        report = Report(dry_run=False)
        await self._cleaner.remove_space(str(asked.call.name), report)
        if self._profiles is not None and removed is not None:
            self._profiles.forget(removed.id)
        return report.told()

    async def clean_up(self, asked: Asked[CleanupOptions]) -> CleanupReply:
        """Clean the host up, and reply what was freed."""
        options = asked.options
        older_than = DAY_S if options.older_than is None else options.older_than
        order = CleanupRequest(older_than, dry_run=options.dry_run, images=options.images)
        report = await self._cleaner.clean(order, asked.redis, asked.on_progress)
        return report.told()

    async def pull(self, asked: Asked[Options]) -> PullReply:
        """Get a Space's image, as a job would. Raises BadRequestError, SpaceNotFoundError, StepError."""
        entry, began = await self._entries.entry(asked.call.name), monotonic()
        image = await self._policy.get(entry, None, Stage.PULL, asked.on_progress)
        return {
            "name": str(asked.call.name),
            "image": image.reference,
            "digest": image.digest,
            "seconds": round(monotonic() - began, 3),
        }

    async def _with_status(self, reply: Reply) -> Reply:
        data: SpacesData = {"shipped": list(self._entries.shipped)}
        if "endpoints" in reply.data:
            data["endpoints"] = reply.data["endpoints"]
        try:
            data["status"] = await self._status(reply.spaces)
        except (EngineRefusedError, StepError) as error:
            return reply.model_copy(update={"data": data, "warnings": (*reply.warnings, str(error))})
        return reply.model_copy(update={"data": data})

    async def _status(self, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, SpaceHere]:
        sizes, caches = await asyncio.gather(self._image_cleanup.sizes(), self._caches())
        known = self._pool_view.status()
        found: dict[str, SpaceHere] = {}
        for name, row in rows.items():
            space = str(row["id"])
            status = known.get(space, SpaceStatus())
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


def state_of(status: SpaceStatus, *, has_image: bool) -> str:
    """The Space's state in a word: that of its warmest container, else how far it is from having one."""
    if status.quarantined_for is not None:
        return "quarantined"
    for state in ("running", "paused", "stopped"):
        if status.containers.get(state):
            return state
    return "image only" if has_image else "not here"
