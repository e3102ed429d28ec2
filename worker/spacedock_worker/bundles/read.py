"""Taking a bundle in: checked as a whole first, the Spaces' caches last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from spacedock._wire.rpc import OnProgress
from spacedock_worker.bundles.archive import (
    IMAGES,
    BundledImage,
    BundledSpace,
    BundleManifest,
    BundleReader,
    opened,
)
from spacedock_worker.bundles.volumes import Transfer
from spacedock_worker.bundles.write import TransferMeter
from spacedock_worker.containers.docker.volumes import volume_labels, volume_name
from spacedock_worker.registry.record import HOSTS_OWN, by_digest
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.image_usage import ImageUsage


class Unbundler:
    """Takes bundles into one host, and their Spaces into the catalogue.

    `heard` is awaited between a Space's entry and its cache: the daemon empties the cache of a name that has
    other code now.
    """

    def __init__(
        self,
        registry: Registry,
        notes: ImageUsage,
        transfer: Transfer,
        owner: str,
        meter: TransferMeter,
        heard: Callable[[], Awaitable[None]],
    ) -> None:
        self._registry, self._notes, self._heard = registry, notes, heard
        self._transfer, self._owner, self._meter = transfer, owner, meter

    async def unbundle(self, path: Path, tell: OnProgress) -> BundleManifest:
        """Take in all that the bundle has; doing it again does no harm.

        Raises BrokenBundleError before anything is changed; BadRequestError, RefusedError, StepError, OSError
        and redis-py's errors, after which another try completes it.
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
            await self._take_space(bundle, space, tell)
        return bundle.manifest

    async def _take_image(self, image: BundledImage) -> None:
        # What the engine has loaded is named by its content, so its id tells that it is the right one.
        await self._transfer.inspect(image.id)
        await self._transfer.tag(image.id, image.reference)
        await asyncio.to_thread(self._notes.add_bundled, image.reference, image.digest, image.id)

    async def _take_space(self, bundle: BundleReader, space: BundledSpace, tell: OnProgress) -> None:
        fields = {key: value for key, value in space.entry.items() if key not in HOSTS_OWN}
        if own := sorted(space.entry.keys() - fields.keys()):
            tell(f"{space.name}: write {', '.join(own)} into {self._registry.path}, if it needs them here")
        tar = None
        if space.repository is not None:
            tar = await asyncio.to_thread(b"".join, bundle.chunks(space.repository))
            fields["repository"] = by_digest(Path(space.repository).stem)
        await self._registry.settle(space.name, lambda _: fields, tar)
        if space.cache is not None:
            await self._heard()
            chunks = _metered(bundle.chunks(space.cache), self._meter(f"the cache of {space.name}"))
            volume = volume_name(self._owner, space.name)
            labels = volume_labels(self._owner, space.name)
            await self._transfer.write(volume, labels, space.image, chunks)


def _metered(chunks: Iterator[bytes], on_progress: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        on_progress(done)
