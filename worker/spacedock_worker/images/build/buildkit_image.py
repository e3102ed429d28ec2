"""The image that BuildKit builds in: the one of the settings, or one made of Debian's packages."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections.abc import Callable, Collection
from io import BytesIO

from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.images.build.bases import choose_base
from spacedock_worker.images.build.build import BuildLimits, build
from spacedock_worker.images.build.buildkit import NoBuilderError
from spacedock_worker.images.build.context import BuildContext
from spacedock_worker.images.pull import inspect
from spacedock_worker.images.pulls import Pulls
from spacedock_worker.images.settings import ImageSettings

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
