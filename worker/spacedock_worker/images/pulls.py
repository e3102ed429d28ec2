"""Images by their names: present on this host, or pulled from their image registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import OnProgress, Shared, TimedCache
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.described import digest_of
from spacedock_worker.images.oci.credentials import Keyring
from spacedock_worker.images.oci.manifest import Platform, is_of
from spacedock_worker.images.oci.preflight import Preflight
from spacedock_worker.images.oci.reference import BUILT_PREFIX, Reference, familiar, parse_reference
from spacedock_worker.images.pull import Pull, inspect
from spacedock_worker.images.settings import ImageSettings

log = structlog.get_logger()

Pulled = Callable[[str, str], Awaitable[None]]
"""Hears the reference and the digest of an image that was pulled for a Space."""

_PULL_AGAIN_SECONDS = 600.0


class Pulls:
    """Pulls each image once at a time; a pull that failed is not tried again for 10 minutes."""

    def __init__(self, engine: Engine, settings: ImageSettings, pulled: Pulled | None = None) -> None:
        self._engine, self._settings, self._pulled = engine, settings, pulled
        self._keyring = Keyring(settings)
        self._preflight = Preflight(engine, settings)
        self._shared: Shared[dict[str, Any]] = Shared()
        self._failed: TimedCache[StepError] = TimedCache(_PULL_AGAIN_SECONDS)

    async def get(
        self, name: str, on_progress: OnProgress, platform: Platform | None = None
    ) -> dict[str, Any]:
        """What the engine knows of the image `name` for that platform, which is there when this returns.

        Raises StepError at stage `pull`: `pull_failed`, `out_of_disk` or `docker_unavailable`.
        """
        return await self._get(name, on_progress, self._pulled, platform)

    async def base(self, name: str, on_progress: OnProgress) -> dict[str, Any]:
        """The same of an image that others are built on: of its pull nobody is told."""
        return await self._get(name, on_progress, None)

    async def _get(
        self, name: str, on_progress: OnProgress, pulled: Pulled | None, platform: Platform | None = None
    ) -> dict[str, Any]:
        found = await inspect(self._engine, name, Stage.PULL)
        if found is not None and is_of(found, platform):
            return found
        reference = parse_reference(name)
        if familiar(str(reference)).startswith(BUILT_PREFIX):
            raise _never_pulled(name)
        key = f"{reference} {platform or ''}"
        if (failure := self._failed.get(key)) is not None:
            raise failure.with_traceback(None)
        found = await self._shared.run(
            key, lambda tell: self._pull(reference, platform, key, tell), on_progress
        )
        if pulled is not None:
            await pulled(name, digest_of(name, found))
        return found

    async def offered(self, name: str) -> bool | None:
        """Whether the image's registry has it; None where it cannot be asked.

        Raises StepError `pull_failed` where it refuses to say.
        """
        reference = parse_reference(name)
        return await self._preflight.offered(reference, await self._keyring.find(reference.registry))

    async def tags(self, name: str) -> tuple[str, ...]:
        """The tags of the image that its registry tells of."""
        reference = parse_reference(name)
        return await self._preflight.tags(reference, await self._keyring.find(reference.registry))

    async def _pull(
        self, reference: Reference, platform: Platform | None, key: str, on_progress: OnProgress
    ) -> dict[str, Any]:
        try:
            own = await self._keyring.find(reference.registry)
            manifest = await self._preflight.check(reference, own, platform)
            pull = Pull(self._engine, reference, manifest, own, on_progress, platform=platform)
            return await pull.run(self._settings.pull_timeout)
        except StepError as error:
            if error.kind is ErrorKind.PULL_FAILED:
                self._failed.put(key, error)
            raise


def _never_pulled(name: str) -> StepError:
    message = (
        f"image {name} is not on this host, and images called {BUILT_PREFIX}… are built here, never pulled. "
        "Give the Space a `hub_id` or `repository`, or its image another name."
    )
    return StepError(Stage.PULL, ErrorKind.PULL_FAILED, message)
