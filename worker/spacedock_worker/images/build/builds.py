"""Images that are built here, from a repository that was sent, of this host, or of the Hub."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import OnProgress, TimedCache
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.images.build.blueprint import Blueprint, draw
from spacedock_worker.images.build.flavours import base_names, lacks_full
from spacedock_worker.images.build.image_builder import ImageBuilder, Order
from spacedock_worker.images.build.repository import Repository, read_repository
from spacedock_worker.images.hub import about, fetch
from spacedock_worker.images.pulls import inspect
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import (
    HUB_LABEL,
    REVISION_LABEL,
    Image,
    SpaceSource,
    described,
    flavour_of,
    is_built,
    is_for,
    labels_of,
)

log = structlog.get_logger()

_TRY_AGAIN_SECONDS = 60.0
"""How soon a build that failed, or a repository that could not be fetched, is tried again.

A batch whose Space cannot be built goes on to the next one at once, instead of failing at it line by line.
"""


class Builds:
    """Has images built, and knows those that were: the same repository gives the same image."""

    def __init__(self, engine: Engine, settings: ImageSettings, builder: ImageBuilder) -> None:
        self._engine, self._settings, self._builder = engine, settings, builder
        self._built: TimedCache[Image] = TimedCache()
        self._failed: TimedCache[StepError] = TimedCache(_TRY_AGAIN_SECONDS)

    async def from_repository(
        self, source: SpaceSource, place: Path | bytes, on_progress: OnProgress
    ) -> Image:
        """The image of a repository of this host, or of a tar. Raises StepError as `Images.get` does."""
        repository = await asyncio.to_thread(read_repository, place)
        # What somebody sent is no image of the Hub's, whichever Space its sender names.
        return await self._from(replace(source, hub_id=None), repository, None, on_progress)

    async def from_hub(self, source: SpaceSource, hub_id: str, on_progress: OnProgress) -> Image:
        """The image of a Space of the Hub, at the locked commit if there is one.

        Where the Hub cannot be reached, the newest image that was built from it before.
        """
        if (known := await self.known(source, hub_id)) is not None:
            return known
        if source.revision and (locked := await self._earlier(source, hub_id)) is not None:
            return locked
        on_progress(f"fetching {hub_id} from the Hub")
        scratch = self._settings.scratch
        if scratch is not None:
            await asyncio.to_thread(scratch.mkdir, parents=True, exist_ok=True)
        # The download cannot be cancelled, so it may still write when its folder goes.
        with TemporaryDirectory(prefix="spacedock-", dir=scratch, ignore_cleanup_errors=True) as folder:
            try:
                revision = await self._fetch(source, hub_id, Path(folder))
            except StepError as error:
                if (earlier := await self._earlier(source, hub_id)) is None:
                    raise
                log.warning(
                    "image.hub_unreachable", space=source.name, image=earlier.reference, reason=str(error)
                )
                return earlier
            repository = await asyncio.to_thread(read_repository, Path(folder))
            image = await self._from(source, repository, revision, on_progress)
        self._remember(_hub_key(source, hub_id), source, image)
        return image

    async def _fetch(self, source: SpaceSource, hub_id: str, folder: Path) -> str | None:
        """Fetch the repository; returns its commit."""
        key = _hub_key(source, hub_id)
        self._check(key)
        try:
            revision = source.revision or (await about(hub_id, self._settings)).sha
            await fetch(hub_id, revision, folder, self._settings)
        except HostBusyError:
            raise
        except StepError as error:
            self._failed.put(key, error)
            raise
        return revision

    def _check(self, key: str) -> None:
        """Raises what the last try came to, where that is not long ago."""
        if (failure := self._failed.get(key)) is not None:
            raise failure.with_traceback(None)

    async def here(self, source: SpaceSource, place: Path | bytes) -> Image | None:
        """The image of a repository, if it was built before. Raises StepError where it cannot be built."""
        repository = await asyncio.to_thread(read_repository, place)
        if (known := await self._known(_key(source, repository), source.flavour)) is not None:
            return known
        drawn = await self._draw(source, repository, await self._present())
        drawn.context.tar.close()
        there = await self._there(drawn, source.flavour)
        return described(*there) if there is not None else None

    async def of_hub(self, source: SpaceSource, hub_id: str) -> Image | None:
        """The image that was built here from that Space of the Hub, in whatever process."""
        known = await self.known(source, hub_id)
        return known or await self._earlier(source, hub_id)

    async def known(self, source: SpaceSource, hub_id: str) -> Image | None:
        """The image that this process has built of that Space, if it is still on this host."""
        return await self._known(_hub_key(source, hub_id), source.flavour)

    async def _from(
        self, source: SpaceSource, repository: Repository, revision: str | None, on_progress: OnProgress
    ) -> Image:
        if (known := await self._known(_key(source, repository), source.flavour)) is not None:
            return replace(known, revision=revision or known.revision)
        present = await self._present()
        drawn = await self._draw(source, repository, present)
        try:
            there = await self._there(drawn, source.flavour)
            if there is None:
                there = await self._built_in_turn(source, drawn, revision, present, on_progress)
        finally:
            drawn.context.tar.close()
        image = described(*there)
        image = replace(
            image, port=drawn.port, base_path=drawn.base_path, revision=revision or image.revision
        )
        self._remember(_key(source, repository), source, image)
        return image

    async def _draw(self, source: SpaceSource, repository: Repository, present: frozenset[str]) -> Blueprint:
        return await asyncio.to_thread(draw, source.name, repository, self._settings, present, source.secrets)

    async def _there(self, drawn: Blueprint, flavour: str) -> tuple[str, dict[str, Any]] | None:
        """The image that is on this host, and its name; the full flavour was found to be needed."""
        for one in reversed(drawn.tried(flavour)):
            if (found := await inspect(self._engine, one.tag, Stage.BUILD)) is not None:
                return one.tag, found
        return None

    async def _built_in_turn(
        self,
        source: SpaceSource,
        drawn: Blueprint,
        revision: str | None,
        present: frozenset[str],
        on_progress: OnProgress,
    ) -> tuple[str, dict[str, Any]]:
        *first, last = drawn.tried(source.flavour)
        for one in first:
            try:
                return one.tag, await self._build(source, one, revision, present, on_progress)
            except StepError as error:
                if error.kind is not ErrorKind.BUILD_FAILED or not lacks_full(str(error)):
                    raise
                log.info("image.needs_full_base", space=source.name, image=one.tag)
                on_progress("the slim base image lacks what this takes: building it on the full one")
        try:
            return last.tag, await self._build(source, last, revision, present, on_progress)
        except StepError as error:
            for one in first:
                # It failed longer ago, and is not to be built in vain for the next job of a batch.
                self._failed.put(one.tag, error)
            raise

    async def _build(
        self,
        source: SpaceSource,
        drawn: Blueprint,
        revision: str | None,
        present: frozenset[str],
        on_progress: OnProgress,
    ) -> dict[str, Any]:
        self._check(drawn.tag)
        labels = labels_of(
            source.name,
            source.hub_id,
            revision,
            drawn.port,
            drawn.base_path,
            drawn.start_seconds,
            drawn.flavour,
            source.name if drawn.secrets else "",
        )
        try:
            return await self._builder.build(Order(source.name, drawn, labels), present, on_progress)
        except StepError as error:
            if error.kind is ErrorKind.BUILD_FAILED:
                self._failed.put(drawn.tag, error)
            raise

    def _remember(self, key: str, source: SpaceSource, image: Image) -> None:
        """Keep the image; a Space that was once asked for in the full flavour stays with it."""
        for flavour in {source.flavour, "auto"} if source.flavour == "full" else {source.flavour}:
            self._built.put(f"{key} {flavour}", image)

    async def _known(self, key: str, flavour: str) -> Image | None:
        """The image that was built for `key` in this process, if it is still the one on this host."""
        image = self._built.get(f"{key} {flavour}")
        if image is None:
            return None
        found = await inspect(self._engine, image.reference, Stage.BUILD)
        return image if found is not None and found["Id"] == image.id else None

    async def _present(self) -> frozenset[str]:
        return frozenset(await bases_here(self._engine, self._settings.base_images))

    async def _earlier(self, source: SpaceSource, hub_id: str) -> Image | None:
        """The newest image that was ever built here from that Space of the Hub, of the commit if given."""
        revision, other = source.revision, {"slim": "full", "full": "slim"}.get(source.flavour)
        labels = [f"{HUB_LABEL}={hub_id}"] + ([f"{REVISION_LABEL}={revision}"] if revision else [])
        async with self._engine.call(Stage.BUILD) as docker:
            listed = await docker.images.list(filters={"label": labels})
        named = [
            (int(image["Created"]), tag)
            for image in listed
            for tag in image.get("RepoTags") or ()
            if is_built(tag, image) and (other is None or flavour_of(image) != other)
            if is_for(source.name if source.secrets else "", image)
        ]
        if not named:
            return None
        tag = max(named)[1]
        found = await inspect(self._engine, tag, Stage.BUILD)
        return described(tag, found) if found is not None else None


async def bases_here(engine: Engine, configured: Mapping[str, str]) -> dict[str, str]:
    """When the base images on this host were made, by the names that the engine has for them.

    Empty for an image that does not say.
    """
    names = base_names(configured)
    looked = await asyncio.gather(*(inspect(engine, name, Stage.BUILD) for name in names))
    here = [found for found in looked if found is not None]
    return {tag: found.get("Created") or "" for found in here for tag in found.get("RepoTags") or ()}


def _key(source: SpaceSource, repository: Repository) -> str:
    """What the same image is built from: where there are secrets, also for whom."""
    return repository.fingerprint + (f" for {source.name}" if source.secrets else "")


def _hub_key(source: SpaceSource, hub_id: str) -> str:
    whose = f" for {source.name}" if source.secrets else ""
    return f"hub:{hub_id}@{source.revision or ''}{whose}"
