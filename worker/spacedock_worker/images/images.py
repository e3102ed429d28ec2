"""From a Space to its image: the one that is locked or named, the Hub's own, or one that is built."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import OnProgress, Shared, TimedCache
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.builds import Builds
from spacedock_worker.images.build.image_builder import ImageBuilder, no_secrets
from spacedock_worker.images.hub_images import HubImages
from spacedock_worker.images.oci.manifest import check_platform, emulators, is_of
from spacedock_worker.images.oci.reference import BUILT_PREFIX, familiar, parse_reference
from spacedock_worker.images.pulls import Pulled, Pulls, inspect
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SecretsOf, SpaceSource, described, digest_of

log = structlog.get_logger()


class Images:
    """The images of Spaces on this host; one get per image at a time, however many wait for it.

    `pulled` hears of every image that is pulled for a Space; `network` is the one that builds run on (None:
    the engine's default bridge); `known` gives the ids of Spaces of the Hub that this host knows, `secrets`
    the values of a Space's secrets; the containers of builds are `owner`'s. `tallies` count pulls and builds.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ImageSettings,
        pulled: Pulled | None = None,
        network: Network | None = None,
        known: Callable[[], Iterable[str]] = tuple,
        owner: str | None = None,
        secrets: SecretsOf = no_secrets,
    ) -> None:
        self._engine = engine
        self._pulls = Pulls(engine, settings, pulled)
        builder = ImageBuilder(engine, settings, self._pulls, network, owner, secrets)
        self._builds = Builds(engine, settings, builder)
        self.tallies = {"pulls": self._pulls.tally, "builds": builder.tally}
        self._hub = HubImages(engine, settings, self._pulls, known)
        self._shared: Shared[Image] = Shared()
        self._names: TimedCache[str] = TimedCache()

    async def get(self, source: SpaceSource, on_progress: OnProgress) -> Image:
        """The Space's image, present on this host when this returns; `on_progress` hears what is done.

        Raises StepError at stage `pull` or `build`: `pull_failed`, `repository_unavailable`, `build_failed`,
        `unsupported`, `bad_input` (a repository that cannot be used), `out_of_disk` or `docker_unavailable`.
        """
        key = await asyncio.to_thread(_key, source)
        image = await self._shared.run(key, lambda on_progress: self._get(source, on_progress), on_progress)
        return replace(image, command=source.command or image.command, port=source.port or image.port)

    async def here(self, source: SpaceSource) -> Image | None:
        """The Space's image as `get` would find it on this host; None where it would have to get it.

        Nothing but the engine is asked. Raises StepError: `docker_unavailable`, `unsupported`, `bad_input`.
        """
        image = await self._here_already(source)
        if image is None:
            return None
        return replace(image, command=source.command or image.command, port=source.port or image.port)

    async def _here_already(self, source: SpaceSource) -> Image | None:
        if source.digest is not None:
            return await self._here(source.docker_image, source.digest)
        await self._check_platform(source)
        building = source.revision is not None and source.hub_id is not None
        if source.docker_image is not None and not building:
            if self._hub.keeps(source.docker_image):
                return await self._hub.here(source.docker_image, source)
            found = await inspect(self._engine, source.docker_image, Stage.PULL)
            fits = found is not None and is_of(found, source.wanted_platform)
            return described(source.docker_image, found) if found is not None and fits else None
        if source.repository is not None:
            return await self._builds.here(source, source.repository)
        if source.hub_id is None:
            return None
        built = await self._builds.of_hub(source, source.hub_id)
        kept = await self._hub.here_of(source.hub_id, source) if built is None and not building else None
        return built or kept

    async def _get(self, source: SpaceSource, on_progress: OnProgress) -> Image:
        if source.digest is not None:
            return await self._locked(source, source.digest, on_progress)
        await self._check_platform(source)
        building = source.revision is not None and source.hub_id is not None
        if source.docker_image is not None and not building:
            try:
                return await self._named(source.docker_image, source, on_progress)
            except StepError as error:
                if error.kind is not ErrorKind.PULL_FAILED or not source.buildable:
                    raise
                log.warning(
                    "image.not_pulled", space=source.name, image=source.docker_image, reason=str(error)
                )
        if source.repository is not None:
            return await self._builds.from_repository(source, source.repository, on_progress)
        if source.hub_id is not None:
            return await self._of_hub(source, source.hub_id, on_progress)
        message = (
            f"{source.name} names no image and no repository. Add `docker_image`, `repository` or `hub_id`."
        )
        raise StepError(Stage.BUILD, ErrorKind.REPOSITORY_UNAVAILABLE, message)

    async def _check_platform(self, source: SpaceSource) -> None:
        """Raise StepError `unsupported` where this host runs no images of the platform that is asked for."""
        if (wanted := source.wanted_platform) is None or source.repository is not None:
            return
        async with self._engine.call(Stage.PULL) as docker:
            info = await docker.system.info()
        check_platform(source.name, wanted, info, await asyncio.to_thread(emulators))

    async def _named(self, name: str, source: SpaceSource, on_progress: OnProgress) -> Image:
        if self._hub.keeps(name):
            return await self._hub.get(name, source, on_progress)
        return described(name, await self._pulls.get(name, on_progress, source.wanted_platform))

    async def _of_hub(self, source: SpaceSource, hub_id: str, on_progress: OnProgress) -> Image:
        built = await self._builds.known(source, hub_id)
        if built is not None:
            return built
        if source.docker_image is None and source.revision is None:
            kept = await self._hub.find(hub_id, source, on_progress)
            if kept is not None:
                return kept
        return await self._builds.from_hub(source, hub_id, on_progress)

    async def _locked(self, source: SpaceSource, digest: str, on_progress: OnProgress) -> Image:
        """The image of that digest and no other, from this host or from its image registry."""
        named = source.docker_image
        if (here := await self._here(named, digest)) is not None:
            return here
        if named is not None:
            pinned = (
                None
                if familiar(named).startswith(BUILT_PREFIX)
                else str(parse_reference(named).pinned(digest))
            )
        else:
            pinned = (
                await self._hub.pinned(source.hub_id, source.subdomain, digest) if source.hub_id else None
            )
        if pinned is None:
            raise _not_here(source.name, digest)
        return described(pinned, await self._pulls.get(pinned, on_progress))

    async def _here(self, named: str | None, digest: str) -> Image | None:
        """The image of that digest or id on this host, whatever its name; `named` is looked at first."""
        for name in (named, self._names.get(digest), digest):
            found = await inspect(self._engine, name, Stage.PULL) if name else None
            if name and found is not None and digest in (digest_of(name, found), found["Id"]):
                return described(name if name != digest else _name_of(found, named), found)
        async with self._engine.call(Stage.PULL) as docker:
            listed = await docker.images.list()
        known = (name for image in listed for name in image.get("RepoDigests") or ())
        name = next((name for name in known if name.endswith(f"@{digest}")), None)
        if name is None or (found := await inspect(self._engine, name, Stage.PULL)) is None:
            return None
        self._names.put(digest, name)
        return described(name, found)


def _name_of(found: Mapping[str, Any], named: str | None) -> str:
    """A name of an image that is known by its id; an image that came in a bundle may have none but that.

    In containerd's store an image whose tag went to another keeps no name at all; it is `named` by its entry.
    """
    names = [*(found.get("RepoTags") or ()), *(found.get("RepoDigests") or ())]
    if not names and named is not None and (found.get("Descriptor") or {}).get("digest") == found["Id"]:
        return str(parse_reference(named).pinned(found["Id"]))
    return str((*names, found["Id"])[0])


def _not_here(name: str, digest: str) -> StepError:
    message = (
        f"{name} is locked to the image {digest}, which is not on this host, and its lock names no image "
        "registry that has it. Unbundle it here, or lock the Space again."
    )
    return StepError(Stage.PULL, ErrorKind.PULL_FAILED, message)


def _key(source: SpaceSource) -> str:
    """What two sources have in common that lead to the same image."""
    place = source.repository
    repository = hashlib.sha256(place).hexdigest() if isinstance(place, bytes) else str(place)
    whose = source.name if source.secrets else None
    parts = (source.docker_image, source.hub_id, source.revision, source.digest, source.subdomain, whose)
    return f"{' '.join(map(str, parts))} {source.platform} {source.flavour} {repository}"
