"""Asking the image registry before a pull: what is missing, refused or too large is known in kilobytes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import TimedCache
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.log_tail import plain
from spacedock_worker.containers.machine.capacity import free_bytes
from spacedock_worker.errors import HOST, HostBusyError, StepError
from spacedock_worker.images.oci.client import (
    NotAllowedError,
    NotAskedError,
    NotThereError,
    RegistryClient,
    asking,
)
from spacedock_worker.images.oci.credentials import Credentials
from spacedock_worker.images.oci.manifest import ImageManifest, Platform, platform_of
from spacedock_worker.images.oci.reference import DOCKER_HUB, Reference
from spacedock_worker.images.settings import ImageSettings

UNPACKED = 2
"""What an image takes at least, as a multiple of its download: that itself, and what is unpacked."""


def check_room(reference: str, download: int, info: Mapping[str, Any], free: int | None) -> None:
    """Raise HostBusyError `out_of_disk` where `download` bytes do not fit in `free` (None: not known).

    `info` is the engine's answer to `GET /info`.
    """
    needed = download * UNPACKED
    if free is None or needed <= free:
        return
    message = (
        f"image {reference} needs about {in_words(needed)} ({needed:,} bytes, for its download and what is "
        f"unpacked), and {info.get('DockerRootDir')} on host {HOST} has {in_words(free)} free "
        f"({free:,} bytes). Make room, for example by `spacedock cleanup --images`."
    )
    raise HostBusyError(Stage.PULL, ErrorKind.OUT_OF_DISK, message)


def in_words(size: int) -> str:
    """Bytes for people: "1.2 GB", in powers of ten as Docker has them."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


log = structlog.get_logger()

_ASK_SECONDS = 8.0
_ASK_AGAIN_SECONDS = 600.0
_SHOWN_TAGS = 5

_T = TypeVar("_T")


class Preflight:
    """Asks image registries; one that cannot be asked is left alone for 10 minutes."""

    def __init__(self, engine: Engine, settings: ImageSettings) -> None:
        self._engine, self._settings = engine, settings
        self._silent: TimedCache[str] = TimedCache(_ASK_AGAIN_SECONDS)

    async def check(
        self, reference: Reference, own: Credentials | None, platform: Platform | None = None
    ) -> ImageManifest | None:
        """The manifest of the image that the engine would pull; None where only the pull can tell.

        `platform` is that of the image to pull (None: the engine's own).

        Raises StepError at stage `pull`: `pull_failed` where the image registry has no such image or refuses
        it, `out_of_disk` where there is no room for it.
        """
        info, local = await self._info()
        if reference.registry == DOCKER_HUB and (info.get("RegistryConfig") or {}).get("Mirrors"):
            # The engine asks its mirrors first, and those may have what Docker Hub has not.
            return None
        wanted = platform or platform_of(info)
        try:
            found = await self._ask(reference, own, lambda asks: asks.manifest(reference.wanted, wanted))
        except NotAskedError:
            return None
        except NotThereError as error:
            raise _missing(reference, await self.tags(reference, own)) from error
        except NotAllowedError as error:
            raise _refused(reference, own, self._settings) from error
        if found is not None and local:
            free = await asyncio.to_thread(free_bytes, info)
            check_room(str(reference), found.size, info, free)
        return found

    async def offered(self, reference: Reference, own: Credentials | None) -> bool | None:
        """Whether there is such an image, for any platform; None where the image registry cannot be asked.

        Raises StepError `pull_failed` where it refuses to say.
        """
        try:
            await self._ask(reference, own, lambda asks: asks.manifest(reference.wanted, Platform()))
        except NotAskedError:
            return None
        except NotThereError:
            return False
        except NotAllowedError as error:
            raise _refused(reference, own, self._settings) from error
        return True

    async def tags(self, reference: Reference, own: Credentials | None) -> tuple[str, ...]:
        """The tags that the image registry tells of; some tell of none."""
        try:
            return await self._ask(reference, own, lambda asks: asks.tags())
        except (NotAskedError, NotThereError, NotAllowedError):
            return ()

    async def _ask(
        self, reference: Reference, own: Credentials | None, ask: Callable[[RegistryClient], Awaitable[_T]]
    ) -> _T:
        if (why := self._silent.get(reference.registry)) is not None:
            raise NotAskedError(why)
        try:
            async with asking(reference, own, self._settings.ca_bundle, _ASK_SECONDS) as asks:
                return await ask(asks)
        except NotAskedError as error:
            self._silent.put(reference.registry, str(error))
            log.info("image.not_asked", registry=reference.registry, reason=str(error))
            raise

    async def _info(self) -> tuple[Mapping[str, Any], bool]:
        """What the engine says of itself, and whether it may be on this host: else its paths mean nothing."""
        try:
            async with self._engine.call(Stage.PULL) as docker:
                local = docker.docker_host.startswith("unix:")
                return await docker.system.info(), local
        except EngineRefusedError as error:
            log.info("image.engine_silent", reason=str(error))
            return {}, False


_BUILD_IT = "give the Space a `repository` or `hub_id` to build from."


def _missing(reference: Reference, tags: Sequence[str]) -> StepError:
    shown = ", ".join(plain(tag) for tag in tags[-_SHOWN_TAGS:])
    advice = f"It has the tags {shown}: name one of them, or" if tags else "Check its name and tag, or"
    return _failed(reference, f"its image registry does not have it. {advice} {_BUILD_IT}")


def _refused(reference: Reference, own: Credentials | None, settings: ImageSettings) -> StepError:
    hub = reference.registry == settings.hub_registry
    again = f"`docker login {reference.registry}`"
    if hub:
        again = "give a token (HF_TOKEN) that may read the Space"
    why = "refuses the login that this host has for it" if own else "gives it only with a login"
    return _failed(reference, f"its image registry {why}. Check the name, {again}, or {_BUILD_IT}")


def _failed(reference: Reference, why: str) -> StepError:
    return StepError(Stage.PULL, ErrorKind.PULL_FAILED, f"image {reference} cannot be pulled: {why}")
