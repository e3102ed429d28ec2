"""Images that are built here, from a repository that was sent, of this host, or of the Hub."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import OnProgress, TimedCache
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.images.build.blueprint import Blueprint, draw
from spacedock_worker.images.build.borrowing import Borrowing
from spacedock_worker.images.build.build import BuildLimits, build
from spacedock_worker.images.build.flavours import lacks_full
from spacedock_worker.images.build.repository import Repository, read_repository
from spacedock_worker.images.described import (
    HUB_LABEL,
    REVISION_LABEL,
    described,
    flavour_of,
    is_built,
    labels_of,
)
from spacedock_worker.images.hub import about, fetch
from spacedock_worker.images.pull import inspect
from spacedock_worker.images.pulls import Pulls
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource

log = structlog.get_logger()

_TRY_AGAIN_SECONDS = 60.0
"""How soon a build that failed, or a repository that could not be fetched, is tried again.

A batch whose Space cannot be built goes on to the next one at once, instead of failing at it line by line.
"""

_CLASSIC = re.compile(r"requires BuildKit|unknown instruction|unknown flag|parse error", re.IGNORECASE)
"""How the classic builder refuses what only BuildKit has."""


class Builds:
    """Builds images, and knows those that were built: the same repository gives the same image.

    `network` is the one that builds run on (None: the engine's default bridge).
    """

    def __init__(
        self, engine: Engine, settings: ImageSettings, pulls: Pulls, network: Network | None = None
    ) -> None:
        self._engine, self._settings, self._pulls = engine, settings, pulls
        self._network, self._borrowing = network, Borrowing(engine, settings, pulls)
        self._free = asyncio.Semaphore(settings.max_builds)
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
        if (known := await self.known(hub_id, source.revision, source.flavour)) is not None:
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
        self._remember(_hub_key(hub_id, source.revision), source, image)
        return image

    async def _fetch(self, source: SpaceSource, hub_id: str, folder: Path) -> str | None:
        """Fetch the repository; returns its commit."""
        key = _hub_key(hub_id, source.revision)
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
        if (known := await self._known(repository.fingerprint, source.flavour)) is not None:
            return known
        drawn = await asyncio.to_thread(draw, source.name, repository, self._settings, await self._present())
        drawn.context.tar.close()
        there = await self._there(drawn, source.flavour)
        return described(*there) if there is not None else None

    async def of_hub(self, source: SpaceSource, hub_id: str) -> Image | None:
        """The image that was built here from that Space of the Hub, in whatever process."""
        known = await self.known(hub_id, source.revision, source.flavour)
        return known or await self._earlier(source, hub_id)

    async def known(self, hub_id: str, revision: str | None, flavour: str) -> Image | None:
        """The image that this process has built of that Space, if it is still on this host."""
        return await self._known(_hub_key(hub_id, revision), flavour)

    async def _from(
        self, source: SpaceSource, repository: Repository, revision: str | None, on_progress: OnProgress
    ) -> Image:
        if (known := await self._known(repository.fingerprint, source.flavour)) is not None:
            return replace(known, revision=revision or known.revision)
        present = await self._present()
        drawn = await asyncio.to_thread(draw, source.name, repository, self._settings, present)
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
        self._remember(repository.fingerprint, source, image)
        return image

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
        return last.tag, await self._build(source, last, revision, present, on_progress)

    async def _build(
        self,
        source: SpaceSource,
        drawn: Blueprint,
        revision: str | None,
        present: frozenset[str],
        on_progress: OnProgress,
    ) -> dict[str, Any]:
        self._check(drawn.tag)
        if drawn.base is not None and drawn.base not in present:
            await self._pull_base(drawn.base, on_progress)
        if drawn.wants is not None:
            await self._borrowing.get(drawn.wants, on_progress)
        if self._network is not None:
            await self._network.ensure()
        if self._free.locked():
            on_progress("waiting for other builds to end")
        try:
            async with self._free:
                return await build(
                    self._engine,
                    drawn.context,
                    tag=drawn.tag,
                    dockerfile=drawn.dockerfile,
                    labels=labels_of(
                        source.name,
                        source.hub_id,
                        revision,
                        drawn.port,
                        drawn.base_path,
                        drawn.start_seconds,
                        drawn.flavour,
                    ),
                    words=drawn.words,
                    limits=BuildLimits(
                        seconds=self._settings.build_timeout,
                        memory=self._settings.build_memory,
                        network=self._network.name if self._network is not None else None,
                    ),
                    on_progress=on_progress,
                )
        except StepError as error:
            if error.kind is ErrorKind.BUILD_FAILED:
                if drawn.buildkit and _CLASSIC.search(str(error)):
                    error = _needs_buildkit(drawn, error)
                self._failed.put(drawn.tag, error)
            raise error

    async def _pull_base(self, base: str, on_progress: OnProgress) -> None:
        try:
            await self._pulls.base(base, on_progress)
        except StepError as error:
            if error.kind is not ErrorKind.PULL_FAILED:
                raise
            message = (
                f"the base image {base} is not here and cannot be pulled. Set `base_images` to one that can, "
                f"or make `spacedock/python` with the script in deploy/. ({error})"
            )
            raise StepError(Stage.BUILD, ErrorKind.BUILD_FAILED, message) from error

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
        async with self._engine.call(Stage.BUILD) as docker:
            listed = await docker.images.list()
        return frozenset(tag for image in listed for tag in image.get("RepoTags") or ())

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
        ]
        if not named:
            return None
        tag = max(named)[1]
        found = await inspect(self._engine, tag, Stage.BUILD)
        return described(tag, found) if found is not None else None


def _hub_key(hub_id: str, revision: str | None) -> str:
    return f"hub:{hub_id}@{revision or ''}"


def _needs_buildkit(drawn: Blueprint, error: StepError) -> StepError:
    return StepError(
        Stage.BUILD,
        ErrorKind.UNSUPPORTED,
        f"the Space's Dockerfile uses {drawn.buildkit}, which takes BuildKit, and images are built here with "
        "the engine's classic builder. The Dockerfile is right: build it on this host with "
        "`DOCKER_BUILDKIT=1 docker build -t NAME DIR`, and add it with "
        f"`spacedock spaces add SPACE --image NAME`. ({error})",
        ours=True,
    )
