"""The images of Spaces as the lock says: got or found here, checked, and noted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from spacedock.result import Stage
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.endpoint import Endpoint, signature
from spacedock_worker.caching import OnProgress
from spacedock_worker.containers.pool.readiness import Connect
from spacedock_worker.images.images import Images
from spacedock_worker.images.source import Image, SpaceSource
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_usage import EndpointStore, ImageUsage
from spacedock_worker.state.space_lock import LockedSpace, LockFile, check_digest, check_endpoints


class ImagePolicy:
    """Gets the images of Spaces as the lock says, and keeps the notes on them; either may be left out.

    Only Spaces of the registry are locked: a job that brings its own repository may call it as it likes.
    """

    def __init__(
        self,
        images: Images,
        notes: ImageUsage | None = None,
        lock: LockFile | None = None,
        endpoints: EndpointStore | None = None,
    ) -> None:
        self._images, self._notes, self._lock, self._endpoints = images, notes, lock, endpoints

    async def get(
        self, entry: SpaceEntry, repository: bytes | None, stage: Stage, on_progress: OnProgress
    ) -> Image:
        """The Space's image, present on this host, and noted as used now; `repository` came with the job.

        Raises StepError, also where the lock cannot be read or asks for another image.
        """
        image = await self._images.get(self._source(entry, repository), on_progress)
        if not entry.own and (locked := self._locked(entry.id)) is not None:
            check_digest(entry.id, locked, image.digest, self._bundled(), stage)
        if self._notes is not None:
            await self._notes.used(image.reference, image.digest, entry.id)
        return image

    async def here(self, entry: SpaceEntry, repository: bytes | None = None) -> Image | None:
        """The image as `get` would find it on this host, or None. Raises StepError, EngineRefusedError."""
        return await self._images.here(self._source(entry, repository))

    def known_endpoints(self, entry: SpaceEntry, digest: str) -> tuple[Endpoint, ...] | None:
        """What the app of this image said that it can do when it ran here, or None."""
        return self._endpoints.get(entry.app(digest)) if self._endpoints is not None else None

    def last_endpoints(self) -> Callable[[SpaceEntry], tuple[Endpoint, ...] | None]:
        """The same of the image that a Space used last, as far as is known now; asks no engine."""
        newest = self._notes.newest() if self._notes is not None else {}
        return lambda entry: self.known_endpoints(entry, newest[entry.id]) if entry.id in newest else None

    def _source(self, entry: SpaceEntry, repository: bytes | None) -> SpaceSource:
        source = source_of(entry, repository)
        locked = None if entry.own else self._locked(entry.id)
        if locked is None:
            return source
        return replace(
            source, revision=locked.commit, digest=self._bundled().get(locked.digest) or locked.digest
        )

    def _locked(self, space: str) -> LockedSpace | None:
        return self._lock.get(space) if self._lock is not None else None

    def _bundled(self) -> Mapping[str, str]:
        return self._notes.bundled() if self._notes is not None else {}

    def watched(self, connect: Connect[Adapter], image: Image, entry: SpaceEntry) -> Connect[Adapter]:
        """`connect`, which also notes what the app can do.

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
        locked = None if entry.own else self._locked(entry.id)
        known = self._notes.endpoints(image.digest) if self._notes is not None else None
        if known is not None and (locked is None or locked.endpoints is None):
            return
        functions = signature(adapter.endpoints)
        if self._notes is not None and entry.is_plain and functions != known:
            await self._notes.ran(image.reference, image.digest, functions)
        if locked is not None:
            check_endpoints(entry.id, locked, functions)


def source_of(entry: SpaceEntry, repository: bytes | None) -> SpaceSource:
    """Where the Space's image comes from; `repository` is the tar that the job brought."""
    kept = None if entry.repository is None else Path(entry.repository)
    return SpaceSource(
        name=entry.id,
        docker_image=entry.docker_image,
        repository=kept if repository is None else repository,
        hub_id=entry.hub_id,
        command=entry.command,
        port=entry.port if "port" in entry.model_fields_set else None,
        revision=entry.revision,
        subdomain=entry.subdomain,
        platform=entry.platform,
        flavour=entry.flavour,
        # Builds have a way out: what is given to one is given to whom its Dockerfile likes.
        secrets=frozenset(entry.secrets) if entry.network else frozenset(),
    )
