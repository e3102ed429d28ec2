"""What happens beside every use of a Space's image: it is checked against the lock, and noted."""

from __future__ import annotations

from dataclasses import replace

from spacedock.result import Stage
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.endpoint import signature
from spacedock_worker.containers.pool.readiness import Connect
from spacedock_worker.images.source import Image, SpaceSource
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.endpoints import EndpointStore
from spacedock_worker.state.image_usage import ImageUsage
from spacedock_worker.state.space_lock import LockFile, check_digest, check_endpoints


class ImagePolicy:
    """Keeps the notes on images, and the lock; without these, it lets everything pass.

    Only Spaces of the registry are locked: a job that brings its own repository may call it as it likes.
    """

    def __init__(
        self,
        notes: ImageUsage | None = None,
        lock: LockFile | None = None,
        endpoints: EndpointStore | None = None,
    ) -> None:
        self._notes, self._lock, self._endpoints = notes, lock, endpoints

    def source(self, source: SpaceSource) -> SpaceSource:
        """Where the image comes from, by the lock. Raises StepError where that cannot be read."""
        locked = self._lock.get(source.name) if self._lock is not None else None
        if locked is None:
            return source
        here = self._notes.bundled().get(locked.digest) if self._notes is not None else None
        return replace(source, revision=locked.commit, digest=here or locked.digest)

    async def used(self, image: Image, space: str, stage: Stage, *, listed: bool) -> None:
        """A job uses the image now; the Space is not `listed` if it came with its job.

        Raises StepError where the lock asks for another image.
        """
        if listed and self._lock is not None and (locked := self._lock.get(space)) is not None:
            same = self._notes.bundled() if self._notes is not None else {}
            check_digest(space, locked, image.digest, same, stage)
        if self._notes is not None:
            await self._notes.used(image.reference, image.digest, space)

    def watched(self, connect: Connect[Adapter], image: Image, entry: SpaceEntry) -> Connect[Adapter]:
        """`connect`, which besides notes what the app can do.

        It raises StepError where the lock says that the app can do something else.
        """

        async def watching(base_url: str) -> Adapter | None:
            adapter = await connect(base_url)
            if adapter is not None:
                try:
                    await self._ran(image, entry, adapter)
                except BaseException:
                    await adapter.aclose()
                    raise
            return adapter

        return watching

    async def _ran(self, image: Image, entry: SpaceEntry, adapter: Adapter) -> None:
        if self._endpoints is not None:
            await self._endpoints.put(entry.app(image.digest), tuple(adapter.endpoints))
        locked = self._lock.get(entry.id) if self._lock is not None and not entry.own else None
        known = self._notes.endpoints(image.digest) if self._notes is not None else None
        if known is not None and (locked is None or locked.endpoints is None):
            return
        functions = signature(adapter.endpoints)
        if self._notes is not None and entry.is_plain and functions != known:
            await self._notes.ran(image.reference, image.digest, functions)
        if locked is not None:
            check_endpoints(entry.id, locked, functions)
