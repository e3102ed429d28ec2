"""The images that the Hub itself keeps of its Spaces."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import OnProgress, TimedCache
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.spec import DEFAULT_PORT
from spacedock_worker.errors import StepError
from spacedock_worker.images.hub import SpaceRuntime, about, is_offline
from spacedock_worker.images.oci.manifest import Platform
from spacedock_worker.images.oci.reference import (
    Reference,
    choose_tag,
    parse_reference,
    revision_of,
    subdomain_of,
)
from spacedock_worker.images.pulls import Pulls, inspect
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource, described
from spacedock_worker.images.space_card import NOTHING_TO_CALL

log = structlog.get_logger()

_ASK_AGAIN_SECONDS = 600.0


class HubImages:
    """Images of Spaces by the Hub's own image registry; that there is none is remembered for 10 minutes.

    `known` gives the ids of Spaces of the Hub that this host knows: two may lead to one guessed name.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ImageSettings,
        pulls: Pulls,
        known: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        self._engine, self._settings, self._pulls = engine, settings, pulls
        self._known_ids = known
        self._chosen: TimedCache[Image] = TimedCache()
        self._none: TimedCache[bool] = TimedCache(_ASK_AGAIN_SECONDS)

    def keeps(self, name: str) -> bool:
        """Whether `name` is an image of a Space there, of which the tag is ours to choose."""
        reference = parse_reference(name)
        own = reference.registry == self._settings.hub_registry
        return own and reference.digest is None and reference.tag in (None, "latest")

    async def find(self, hub_id: str, source: SpaceSource, on_progress: OnProgress) -> Image | None:
        """The image of a Space that is known by its Hub id alone; None where it has to be built."""
        key = _key(hub_id, source)
        if not self._settings.pull_hub_images or self._none.get(key):
            return None
        if is_offline(self._settings):
            return await self.here_of(hub_id, source)
        if (known := await self._known(key)) is not None:
            return known
        image = await self._find(hub_id, source, on_progress)
        if image is None:
            self._none.put(key, True)
        else:
            self._chosen.put(key, image)
        return image

    async def get(self, name: str, source: SpaceSource, on_progress: OnProgress) -> Image:
        """The image `name`, which `keeps` says is one, of the Space `source`.

        Raises StepError at stage `pull` as `Pulls.get` does.
        """
        key = f"{name} {source.platform}"
        if (known := await self._known(key)) is not None:
            return known
        reference, hub_id, platform = parse_reference(name), source.hub_id, source.wanted_platform

        async def sha() -> str | None:
            space = await self._about(hub_id) if hub_id else None
            return space.sha if space else None

        image = await self._tagged(reference, platform, sha, on_progress)
        if image is None:
            # Its image registry cannot be asked from here, but the engine may reach it.
            found = await self._pulls.get(str(reference), on_progress, platform)
            image = described(str(reference), found)
        self._chosen.put(key, image)
        return image

    async def here(self, name: str, source: SpaceSource) -> Image | None:
        """The image that `get` gives, as far as it is on this host."""
        return await self._known(f"{name} {source.platform}") or await self._present(parse_reference(name))

    async def here_of(self, hub_id: str, source: SpaceSource) -> Image | None:
        """The image of a Space that is known by its Hub id alone, as far as it is on this host.

        The Hub is not asked: an image under a name that it made up itself is found once it was used.
        """
        if (known := await self._known(_key(hub_id, source))) is not None:
            return known
        if source.subdomain is None and self._is_ambiguous(hub_id):
            return None
        return await self._present(self.reference(hub_id, source.subdomain))

    async def pinned(self, hub_id: str, subdomain: str | None, digest: str) -> str | None:
        """The name by which the Hub's image registry has the Space's image of that digest; None without."""
        if not self._settings.pull_hub_images or is_offline(self._settings):
            return None
        known = subdomain or getattr(await self._about(hub_id), "subdomain", None)
        name = str(self.reference(hub_id, known).pinned(digest))
        try:
            return name if await self._pulls.offered(name) else None
        except StepError as error:
            log.info("image.not_at_the_hub", hub_id=hub_id, image=name, reason=str(error))
            return None

    def reference(self, hub_id: str, subdomain: str | None) -> Reference:
        """The name of a Space's image there; `subdomain` is what the Hub, or the Space's entry, calls it."""
        return Reference(self._settings.hub_registry, subdomain or subdomain_of(hub_id))

    async def _find(self, hub_id: str, source: SpaceSource, on_progress: OnProgress) -> Image | None:
        space = await self._about(hub_id)
        if space and space.card.sdk in NOTHING_TO_CALL:
            return None
        subdomain = source.subdomain or (space.subdomain if space else None)
        if subdomain is None and self._is_ambiguous(hub_id):
            return None
        reference = self.reference(hub_id, subdomain)

        async def sha() -> str | None:
            return space.sha if space else None

        try:
            image = await self._tagged(reference, source.wanted_platform, sha, on_progress)
        except StepError as error:
            if error.kind is not ErrorKind.PULL_FAILED:
                raise
            log.info("image.not_at_the_hub", hub_id=hub_id, image=str(reference), reason=str(error))
            return None
        return _like_the_card(image, space) if image and space else image

    def _is_ambiguous(self, hub_id: str) -> bool:
        """Whether the name that the id leads to is as well that of another Space: a/b-c and a-b/c."""
        guess = subdomain_of(hub_id)
        return any(other != hub_id and subdomain_of(other) == guess for other in self._known_ids())

    async def _tagged(
        self,
        reference: Reference,
        platform: Platform | None,
        sha: Callable[[], Awaitable[str | None]],
        on_progress: OnProgress,
    ) -> Image | None:
        """The image by the right tag; None where its image registry cannot be asked, and none is here."""
        latest = str(reference.tagged("latest"))
        if (found := await inspect(self._engine, latest, Stage.PULL)) is not None:
            return described(latest, found)
        has_latest = await self._pulls.offered(latest)
        if has_latest is None:
            return await self._present(reference)
        if has_latest:
            return described(latest, await self._pulls.get(latest, on_progress, platform))
        commit = await sha()
        if commit is None and (here := await self._present(reference)) is not None:
            # Nobody knows which of its tags is the newest: no reason to load another one.
            return here
        tags = await self._pulls.tags(latest)
        tag = choose_tag(tags, commit)
        if tag is None:
            raise _no_tag(reference, tags)
        name = str(reference.tagged(tag))
        image = described(name, await self._pulls.get(name, on_progress, platform))
        return replace(image, revision=revision_of(tag, commit))

    async def _present(self, reference: Reference) -> Image | None:
        """The newest image of that name on this host, whatever its tag."""
        plain = str(replace(reference, tag=None))
        async with self._engine.call(Stage.PULL) as docker:
            listed: list[dict[str, Any]] = await docker.images.list(filters={"reference": [plain]})
        tags = [(int(image["Created"]), tag) for image in listed for tag in image.get("RepoTags") or ()]
        if not tags:
            return None
        name = max(tags)[1]
        found = await inspect(self._engine, name, Stage.PULL)
        if found is None:
            return None
        return replace(described(name, found), revision=revision_of(parse_reference(name).tag, None))

    async def _known(self, key: str) -> Image | None:
        """The image that was chosen before in this process, if it is still on this host."""
        image = self._chosen.get(key)
        if image is None:
            return None
        found = await inspect(self._engine, image.reference, Stage.PULL)
        return image if found is not None and found["Id"] == image.id else None

    async def _about(self, hub_id: str) -> SpaceRuntime | None:
        try:
            return await about(hub_id, self._settings)
        except StepError as error:
            log.info("image.hub_silent", hub_id=hub_id, reason=str(error))
            return None


def _like_the_card(image: Image, space: SpaceRuntime) -> Image:
    """The image as the Space's README.md says how to run it, where the image itself does not."""
    card = space.card
    command = image.command
    if command is not None and card.app_file:
        command = ("python", card.app_file)
    port = card.app_port if card.sdk == "docker" and card.app_port else DEFAULT_PORT
    return replace(image, command=command, port=port, base_path=card.base_path or "")


def _no_tag(reference: Reference, tags: tuple[str, ...]) -> StepError:
    why = "no image of it" if not tags else "an image of another commit only"
    message = (
        f"image {reference} cannot be pulled: the Hub keeps {why}. Give the Space a `hub_id` or "
        "`repository` to build it from, or name a tag."
    )
    return StepError(Stage.PULL, ErrorKind.PULL_FAILED, message)


def _key(hub_id: str, source: SpaceSource) -> str:
    """What an image is remembered by that was chosen for a Space of the Hub."""
    return f"{hub_id} {source.subdomain} {source.platform}"
