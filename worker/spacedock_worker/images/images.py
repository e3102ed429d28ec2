"""From a Space to its image: the one that it names, else one built from its repository."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from weakref import WeakValueDictionary

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.engine import Engine
from spacedock_worker.containers.spec import DEFAULT_PORT
from spacedock_worker.errors import StepError
from spacedock_worker.images.blueprint import Blueprint, draw
from spacedock_worker.images.build import build
from spacedock_worker.images.hub import fetch
from spacedock_worker.images.pull import inspect, pull
from spacedock_worker.images.repository import Repository, read_repository
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource

log = structlog.get_logger()

_T = TypeVar("_T")

OnProgress = Callable[[str], None]
Pulled = Callable[[str, str], Awaitable[None]]
"""Hears the reference and the digest of an image that was pulled."""

_REMEMBERED = 1024
_PULL_AGAIN_SECONDS = 600.0
_HUB_LABEL = "io.spacedock.hub"
_BARE = frozenset({(), ("python",), ("python3",), ("bash",), ("/bin/bash",), ("sh",), ("/bin/sh",)})


class Images:
    """The images of Spaces on this host; one get per image at a time, however many wait for it.

    `pulled` hears of every image that is pulled for a Space.
    """

    def __init__(self, engine: Engine, settings: ImageSettings, pulled: Pulled | None = None) -> None:
        self._engine = engine
        self._told_pulled = pulled
        self._settings = settings
        # A lock lives as long as somebody holds it or waits for it.
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._built: OrderedDict[str, Image] = OrderedDict()
        self._failed_pulls: OrderedDict[str, tuple[float, StepError]] = OrderedDict()

    async def get(self, source: SpaceSource, on_progress: OnProgress) -> Image:
        """The Space's image, present on this host when this returns; `on_progress` hears what is done.

        Raises StepError at stage `pull` or `build`: `pull_failed`, `repository_unavailable`, `build_failed`,
        `unsupported`, `bad_input` (a repository that cannot be used) or `docker_unavailable`.
        """
        key = await asyncio.to_thread(_key, source)
        lock = self._locks.get(key)
        if lock is None:
            lock = self._locks[key] = asyncio.Lock()
        if lock.locked():
            on_progress("waiting for the image, which another job is getting")
        async with lock:
            image = await self._get(source, on_progress)
        return replace(image, command=source.command or image.command, port=source.port or image.port)

    async def _get(self, source: SpaceSource, on_progress: OnProgress) -> Image:
        if source.docker_image is not None:
            try:
                return await self._named(source.docker_image, on_progress)
            except StepError as error:
                if error.kind is not ErrorKind.PULL_FAILED or not source.buildable:
                    raise
                log.warning(
                    "image.not_pulled", space=source.name, image=source.docker_image, reason=str(error)
                )
        if source.repository is not None:
            repository = await asyncio.to_thread(read_repository, source.repository)
            return await self._from(source, repository, on_progress)
        if source.hub_id is not None:
            return await self._from_hub(source, source.hub_id, on_progress)
        message = (
            f"{source.name} names no image and no repository. Add `docker_image`, `repository` or `hub_id`."
        )
        raise StepError(Stage.BUILD, ErrorKind.REPOSITORY_UNAVAILABLE, message)

    async def _named(self, reference: str, on_progress: OnProgress) -> Image:
        found = await inspect(self._engine, reference, Stage.PULL)
        if found is None:
            found = await self._pulled(reference, on_progress)
            if self._told_pulled is not None:
                await self._told_pulled(reference, described(reference, found).digest)
        return described(reference, found)

    async def _pulled(self, reference: str, on_progress: OnProgress) -> dict[str, Any]:
        now = asyncio.get_running_loop().time()
        when, failure = self._failed_pulls.get(reference, (now - _PULL_AGAIN_SECONDS, None))
        if failure and now - when < _PULL_AGAIN_SECONDS:
            raise failure.with_traceback(None)
        try:
            return await pull(self._engine, reference, self._settings.pull_timeout, on_progress)
        except StepError as error:
            if error.kind is ErrorKind.PULL_FAILED:
                _remember(self._failed_pulls, reference, (now, error))
            raise

    async def _from_hub(self, source: SpaceSource, hub_id: str, on_progress: OnProgress) -> Image:
        if (known := await self._known(f"hub:{hub_id}")) is not None:
            return known
        on_progress(f"fetching {hub_id} from the Hub")
        # The download cannot be cancelled, so it may still write when its folder goes.
        with TemporaryDirectory(prefix="spacedock-", ignore_cleanup_errors=True) as folder:
            try:
                await fetch(hub_id, Path(folder), self._settings)
            except StepError as error:
                if (earlier := await self._built_before(hub_id)) is None:
                    raise
                log.warning(
                    "image.hub_unreachable", space=source.name, image=earlier.reference, reason=str(error)
                )
                return earlier
            repository = await asyncio.to_thread(read_repository, Path(folder))
            image = await self._from(source, repository, on_progress)
        _remember(self._built, f"hub:{hub_id}", image)
        return image

    async def _from(self, source: SpaceSource, repository: Repository, on_progress: OnProgress) -> Image:
        if (known := await self._known(repository.fingerprint)) is not None:
            return known
        present = await self._present()
        drawn = await asyncio.to_thread(draw, source.name, repository, self._settings, present)
        try:
            found = await inspect(self._engine, drawn.tag, Stage.BUILD)
            if found is None:
                found = await self._build(source, drawn, present, on_progress)
        finally:
            drawn.context.tar.close()
        image = Image(drawn.tag, found["Id"], port=drawn.port, base_path=drawn.base_path)
        _remember(self._built, repository.fingerprint, image)
        return image

    async def _build(
        self, source: SpaceSource, drawn: Blueprint, present: frozenset[str], on_progress: OnProgress
    ) -> dict[str, Any]:
        if drawn.base is not None and drawn.base not in present:
            await self._pull_base(drawn.base, on_progress)
        labels = {"io.spacedock.space": source.name} | ({_HUB_LABEL: source.hub_id} if source.hub_id else {})
        return await build(
            self._engine,
            drawn.context,
            tag=drawn.tag,
            labels=labels,
            words=drawn.words,
            seconds=self._settings.build_timeout,
            on_progress=on_progress,
        )

    async def _pull_base(self, base: str, on_progress: OnProgress) -> None:
        if await inspect(self._engine, base, Stage.BUILD) is not None:
            return
        try:
            await pull(self._engine, base, self._settings.pull_timeout, on_progress)
        except StepError as error:
            if error.kind is not ErrorKind.PULL_FAILED:
                raise
            message = (
                f"the base image {base} is not here and cannot be pulled. Set `base_images` to one that can, "
                f"or make `spacedock/python` with the script in deploy/. ({error})"
            )
            raise StepError(Stage.BUILD, ErrorKind.BUILD_FAILED, message) from error

    async def _known(self, key: str) -> Image | None:
        """The image that was built for `key` in this process, if it is still the one on this host."""
        image = self._built.get(key)
        if image is None:
            return None
        found = await inspect(self._engine, image.reference, Stage.BUILD)
        return image if found is not None and found["Id"] == image.digest else None

    async def _present(self) -> frozenset[str]:
        async with self._engine.call(Stage.BUILD) as docker:
            listed = await docker.images.list()
        return frozenset(tag for image in listed for tag in image.get("RepoTags") or ())

    async def _built_before(self, hub_id: str) -> Image | None:
        """The newest image that was ever built here from that Space of the Hub."""
        async with self._engine.call(Stage.BUILD) as docker:
            listed = await docker.images.list(filters={"label": [f"{_HUB_LABEL}={hub_id}"]})
        tagged = [image for image in listed if image.get("RepoTags")]
        if not tagged:
            return None
        newest = max(tagged, key=lambda image: int(image["Created"]))
        return Image(newest["RepoTags"][0], newest["Id"])


def described(reference: str, found: dict[str, Any]) -> Image:
    """The image that the engine describes by `found` (its inspect answer).

    The Hub's images of Gradio Spaces have no command of their own, or only the interpreter's: HF's "Run
    locally" starts them by `python app.py`.
    """
    config = found.get("Config") or {}
    bare = not config.get("Entrypoint") and tuple(config.get("Cmd") or ()) in _BARE
    digests = [digest.partition("@")[2] for digest in found.get("RepoDigests") or ()]
    return Image(
        reference,
        digest=digests[0] if digests else found["Id"],
        command=("python", "app.py") if bare else None,
        port=DEFAULT_PORT,
    )


def _key(source: SpaceSource) -> str:
    """What two sources have in common that lead to the same image."""
    place = source.repository
    repository = hashlib.sha256(place).hexdigest() if isinstance(place, bytes) else str(place)
    return f"{source.docker_image} {source.hub_id} {repository}"


def _remember(memory: OrderedDict[str, _T], key: str, value: _T) -> None:
    memory[key] = value
    memory.move_to_end(key)
    while len(memory) > _REMEMBERED:
        memory.popitem(last=False)
