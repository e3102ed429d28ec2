"""Taking a bundle in: checked as a whole first, the registry's entries last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

from spacedock._wire.rpc import OnProgress
from spacedock.errors import SpacedockError
from spacedock_worker.bundles.archive import BundleReader, opened
from spacedock_worker.bundles.manifest import IMAGES, BundledImage, BundledSpace, BundleManifest
from spacedock_worker.bundles.volumes import Transfer
from spacedock_worker.bundles.write import TransferMeter
from spacedock_worker.containers.docker.volumes import volume_labels, volume_name
from spacedock_worker.registry.file import Registry
from spacedock_worker.state.image_usage import ImageUsage


class Unbundler:
    """Takes bundles into one host; `repositories` is where tars of Spaces are kept."""

    def __init__(
        self,
        registry: Registry,
        repositories: Path,
        notes: ImageUsage,
        transfer: Transfer,
        owner: str,
        meter: TransferMeter,
    ) -> None:
        self._registry, self._repositories, self._notes = registry, repositories, notes
        self._transfer, self._owner, self._meter = transfer, owner, meter

    async def unbundle(self, path: Path, tell: OnProgress) -> BundleManifest:
        """Take in all that the bundle has; doing it again does no harm.

        Raises BrokenBundleError before anything is changed; RefusedError, StepError, OSError, after which
        another try completes it.
        """
        tell(f"checking {path}")
        bundle = await asyncio.to_thread(opened, path, self._meter("checking"))
        await self._transfer.tidy()
        if bundle.manifest.images:
            tell("loading the images")
            await self._transfer.load(_metered(bundle.chunks(IMAGES), self._meter("images")))
        for image in bundle.manifest.images:
            await self._take_image(image)
        for space in bundle.manifest.spaces:
            tell(f"taking in {space.name}")
            await self._take_space(bundle, space)
        return bundle.manifest

    async def _take_image(self, image: BundledImage) -> None:
        # What the engine has loaded is named by its content, so its id tells that it is the right one.
        await self._transfer.inspect(image.id)
        await self._transfer.tag(image.id, image.reference)
        await asyncio.to_thread(self._notes.add_bundled, image.reference, image.digest, image.id)

    async def _take_space(self, bundle: BundleReader, space: BundledSpace) -> None:
        fields = dict(space.entry)
        if space.repository is not None:
            kept = await asyncio.to_thread(self._keep, bundle, space.repository)
            fields["repository"] = str(kept)
        if space.cache is not None:
            chunks = _metered(bundle.chunks(space.cache), self._meter(f"the cache of {space.name}"))
            volume = volume_name(self._owner, space.name)
            labels = volume_labels(self._owner, space.name)
            await self._transfer.write(volume, labels, space.image, chunks)
        await asyncio.to_thread(self._registry.add, space.name, fields)

    def _keep(self, bundle: BundleReader, member: str) -> Path:
        """Store a repository as the worker does, by its content."""
        path = (self._repositories / Path(member).name).resolve()
        part = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                for chunk in bundle.chunks(member):
                    file.write(chunk)
            part.replace(path)
        except OSError as error:
            raise SpacedockError(f"{path} cannot be written: {error.strerror or error}") from error
        return path


def _metered(chunks: Iterator[bytes], on_progress: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        on_progress(done)
