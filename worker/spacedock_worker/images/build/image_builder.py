"""One build from its blueprint: what it is built on, where, in its turn, and by which builder."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import structlog

from spacedock.result import ErrorKind, Stage
from spacedock_worker.caching import OnProgress, TimedCache
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.images.build.blueprint import Blueprint
from spacedock_worker.images.build.borrowing import Borrowing
from spacedock_worker.images.build.build import BuildLimits, build
from spacedock_worker.images.build.buildkit import BuildKitBuild, BuildKitJob, NoBuilderError
from spacedock_worker.images.build.context import BuildContext
from spacedock_worker.images.build.flavours import choose_base
from spacedock_worker.images.pulls import Pulls, inspect
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SecretsOf
from spacedock_worker.metrics import WorkCount

log = structlog.get_logger()


_TRY_AGAIN_SECONDS = 60.0
_ANY = "any"


async def no_secrets(_: str) -> Mapping[str, str]:
    """No Space has any."""
    return {}


@dataclass(frozen=True, slots=True)
class Order:
    """A build: what for (the Space's name), by which blueprint, and the image's labels."""

    space: str
    drawn: Blueprint
    labels: Mapping[str, str]


class ImageBuilder:
    """Builds images, so many at once.

    `network` is the one that builds run on (None: the engine's default bridge); the containers of builds are
    `owner`'s.
    """

    def __init__(
        self,
        engine: Engine,
        settings: ImageSettings,
        pulls: Pulls,
        network: Network | None = None,
        owner: str | None = None,
        secrets: SecretsOf = no_secrets,
    ) -> None:
        self._engine, self._settings, self._pulls = engine, settings, pulls
        self._network, self._owner, self._secrets = network, owner, secrets
        self.tally = WorkCount()
        self._borrowing = Borrowing(engine, settings, pulls)
        self._buildkit = BuildKitImage(engine, settings, pulls)
        self._free = asyncio.Semaphore(settings.max_builds)
        # A batch whose Space takes BuildKit does not try at each line to have it.
        self._without: TimedCache[NoBuilderError] = TimedCache(_TRY_AGAIN_SECONDS)
        self._limits = BuildLimits(
            settings.build_timeout, settings.build_memory, network.name if network is not None else None
        )

    async def build(self, order: Order, present: frozenset[str], on_progress: OnProgress) -> dict[str, Any]:
        """Build the image, and return what the engine knows of it; `present` are base images that are here.

        Raises StepError at stage `build`: `build_failed`, `unsupported`, `out_of_disk`, `docker_unavailable`.
        """
        drawn, bases = order.drawn, frozenset[str]()
        if drawn.base is not None and drawn.base not in present:
            await self._pull_base(drawn.base, on_progress)
        if drawn.wants is not None:
            bases = await self._borrowing.get(drawn.wants, on_progress)
        if self._free.locked():
            on_progress("waiting for other builds to end")
        async with self._free:
            if self._network is not None:
                # Not before: while this one waits, somebody may prune what is not used.
                await self._network.ensure()
            with self.tally.counted():
                return await self._built(order, bases, present, on_progress)

    async def _built(
        self, order: Order, bases: frozenset[str], present: frozenset[str], on_progress: OnProgress
    ) -> dict[str, Any]:
        drawn = order.drawn
        if drawn.buildkit.words:
            try:
                return await self._by_buildkit(order, bases, present, on_progress)
            except NoBuilderError as error:
                if drawn.buildkit.strict:
                    raise _needs_buildkit(drawn, error) from error
                log.warning("image.built_without_buildkit", image=drawn.tag, reason=str(error))
        return await build(
            self._engine,
            drawn.context,
            tag=drawn.tag,
            dockerfile=drawn.dockerfile,
            labels=order.labels,
            words=drawn.words,
            limits=self._limits,
            on_progress=on_progress,
        )

    async def _by_buildkit(
        self, order: Order, bases: frozenset[str], present: frozenset[str], on_progress: OnProgress
    ) -> dict[str, Any]:
        if (why_not := self._without.get(_ANY)) is not None:
            raise why_not.with_traceback(None)
        try:
            image = await self._buildkit.get(self._limits, present, on_progress)
            values = await self._secrets(order.space) if order.drawn.secrets else {}
            job = BuildKitJob(
                image=image,
                context=order.drawn.context,
                tag=order.drawn.tag,
                labels=order.labels,
                bases=bases,
                secrets={name: values[name] for name in sorted(order.drawn.secrets) if name in values},
                owner=self._owner,
            )
            return await BuildKitBuild(self._engine, job, self._limits, on_progress).run()
        except NoBuilderError as error:
            self._without.put(_ANY, error)
            raise

    async def _pull_base(self, base: str, on_progress: OnProgress) -> None:
        try:
            await self._pulls.base(base, on_progress)
        except StepError as error:
            if error.kind is not ErrorKind.PULL_FAILED:
                raise
            message = (
                f"the base image {base} is not here and cannot be pulled. Set `base_images` to one that can, "
                f"or make one here: sudo $(which spacedockd) base-image. ({error})"
            )
            raise StepError(Stage.BUILD, ErrorKind.BUILD_FAILED, message) from error


def _needs_buildkit(drawn: Blueprint, error: StepError) -> StepError:
    return StepError(
        Stage.BUILD,
        ErrorKind.UNSUPPORTED,
        f"the Space's Dockerfile uses {drawn.buildkit.words}, which takes BuildKit, and there is none here: "
        f"{error} The Dockerfile is right. Name an image with a Docker Engine and buildx in "
        "`images.buildkit_image`, such as docker:28-dind; or build it on this host with "
        "`DOCKER_BUILDKIT=1 docker build -t NAME DIR`, and add it with "
        "`spacedock spaces add SPACE --image NAME`.",
        ours=True,
    )


_LABELS = {"io.spacedock.builder": "1"}
_DOCKERFILE = """\
FROM {base}
USER root
RUN . /etc/os-release; case "$VERSION_CODENAME" in bullseye | bookworm) \\
    find /etc/apt -name '*.list' -o -name '*.sources' | xargs sed -i "s/$VERSION_CODENAME/trixie/g";; esac; \\
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \\
    docker.io docker-cli docker-buildx && rm -rf /var/lib/apt/lists/*
"""
"""Debian 13 is the first whose BuildKit knows here-documents."""


class BuildKitImage:
    """Gets that image; made once, and kept until somebody removes it."""

    def __init__(self, engine: Engine, settings: ImageSettings, pulls: Pulls) -> None:
        self._engine, self._settings, self._pulls = engine, settings, pulls
        self._making = asyncio.Lock()

    async def get(
        self, limits: BuildLimits, present: Collection[str], on_progress: Callable[[str], None]
    ) -> str:
        """The image's reference, which is on this host when this returns.

        Raises NoBuilderError where it cannot be had, StepError `docker_unavailable`, HostBusyError.
        """
        try:
            if (named := self._settings.buildkit_image) is not None:
                await self._pulls.base(named, on_progress)
                return named
            async with self._making:
                return await self._made(limits, present, on_progress)
        except HostBusyError:
            raise
        except StepError as error:
            if error.host:
                raise
            raise NoBuilderError(error.stage, error.kind, str(error), ours=True) from error

    async def _made(
        self, limits: BuildLimits, present: Collection[str], on_progress: Callable[[str], None]
    ) -> str:
        base = choose_base(None, self._settings.base_images, present)
        text = _DOCKERFILE.format(base=base).encode()
        tag = f"spacedock/buildkit:{hashlib.sha256(text).hexdigest()[:32]}"
        if await inspect(self._engine, tag, Stage.BUILD) is not None:
            return tag
        if base not in present:
            await self._pulls.base(base, on_progress)
        on_progress("making the image that BuildKit builds in, once")
        with BytesIO(_tar(text)) as tar:
            context = BuildContext(tar, tag)
            await build(
                self._engine,
                context,
                tag=tag,
                dockerfile="Dockerfile",
                labels=_LABELS,
                words=("taking the base image", "", "installing BuildKit"),
                limits=limits,
                on_progress=on_progress,
            )
        return tag


def _tar(dockerfile: bytes) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        archive.addfile(entry, BytesIO(dockerfile))
    return packed.getvalue()
