"""Bundles of Spaces: making one, with images, repositories and caches, and taking one in, checked first."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spacedock._wire.rpc import OnProgress
from spacedock.prepare import pack
from spacedock.result import Stage
from spacedock_worker.bundles.archive import (
    IMAGES,
    VERSION,
    BundledImage,
    BundledSpace,
    BundleManifest,
    BundleReader,
    BundleWriter,
    opened,
)
from spacedock_worker.bundles.volumes import Transfer
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.docker.volumes import volume_labels, volume_name
from spacedock_worker.images.build.repository import MAX_BYTES
from spacedock_worker.images.source import Image
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.record import HOSTS_OWN, by_digest
from spacedock_worker.registry.registry import Change, Registry
from spacedock_worker.state.image_policy import ImagePolicy
from spacedock_worker.state.image_usage import ImageUsage

_CHUNK = 2**20
_PREFIX = "spacedock/bundled-"

TransferMeter = Callable[[str], Callable[[int], None]]
"""Makes, for a name, what hears how many of its bytes are done."""


class Bundler:
    """Bundles Spaces of one host's registry."""

    def __init__(
        self,
        registry: Registry,
        policy: ImagePolicy,
        inventory: Inventory,
        transfer: Transfer,
        meter: TransferMeter,
    ) -> None:
        self._registry, self._policy = registry, policy
        self._inventory, self._transfer, self._meter = inventory, transfer, meter

    async def bundle(self, out: Path, names: Sequence[str], tell: OnProgress) -> BundleManifest:
        """Write the bundle; images that are not here are got first, as the lock says.

        Raises SpaceNotFoundError, StepError, RefusedError, OSError; then there is no file of that name, or
        the one that was there before.
        """
        await self._transfer.tidy()
        entries = [self._registry.snapshot().get(name) for name in dict.fromkeys(names)]
        with BundleWriter(out) as writer:
            found = [await self._image(entry, tell) for entry in entries]
            images = {bundled.id: bundled for _, bundled in found}
            async with self._transfer.saved([_saved_name(image, b) for image, b in found]) as chunks:
                await writer.add(IMAGES, chunks, self._meter("images"))
            spaces = [
                await self._space(writer, entry, image, bundled)
                for entry, (image, bundled) in zip(entries, found, strict=True)
            ]
            manifest = BundleManifest(version=VERSION, images=tuple(images.values()), spaces=tuple(spaces))
            await asyncio.to_thread(writer.finish, manifest)
        return manifest

    async def _image(self, entry: SpaceEntry, tell: OnProgress) -> tuple[Image, BundledImage]:
        image = await self._policy.get(entry, None, Stage.PULL, tell)
        found = await self._transfer.inspect(image.reference)
        reference = image.reference
        if "@" in reference:
            # A digest is not carried by what the engine saves: it needs a name there.
            slug = re.sub(r"[^a-z0-9]+", "-", entry.id.lower()).strip("-") or "space"
            reference = f"{_PREFIX}{slug}:{image.digest[-12:]}"
        return image, BundledImage(id=found["Id"], reference=reference, digest=image.digest)

    async def _space(
        self, writer: BundleWriter, entry: SpaceEntry, image: Image, bundled: BundledImage
    ) -> BundledSpace:
        repository = await self._repository(writer, entry)
        cache = await self._cache(writer, entry.id, image)
        return BundledSpace(
            name=entry.id,
            entry=_carried(entry, image, bundled),
            image=bundled.id,
            repository=repository,
            cache=cache,
        )

    async def _repository(self, writer: BundleWriter, entry: SpaceEntry) -> str | None:
        if entry.repository is None:
            return None
        data = await asyncio.to_thread(_packed, Path(entry.repository))
        name = f"repositories/{hashlib.sha256(data).hexdigest()}.tar"
        if not writer.has(name):
            await writer.add(name, _pieces(data), self._meter(f"the repository of {entry.id}"))
        return name

    async def _cache(self, writer: BundleWriter, space: str, image: Image) -> str | None:
        volumes = [volume for volume in await self._inventory.caches() if volume.space == space]
        if not volumes:
            return None
        name = f"caches/{writer.count}.tar"
        async with self._transfer.read(volumes[0].name, image.reference) as chunks:
            await writer.add(name, chunks, self._meter(f"the cache of {space}"))
        return name


def _saved_name(image: Image, bundled: BundledImage) -> str:
    return bundled.id if "@" in image.reference else image.reference


def _carried(entry: SpaceEntry, image: Image, bundled: BundledImage) -> dict[str, Any]:
    """The entry for another host: it names the image, since that is what was carried.

    What the repository said of the app (its port, its path) is written down, for nobody will read it there.
    """
    fields = entry.model_dump(mode="json", exclude_unset=True, exclude={"id", "repository"})
    fields |= {"docker_image": bundled.reference, "port": image.port}
    if entry.base_path is None and image.base_path:
        fields["base_path"] = image.base_path
    return fields


def _packed(repository: Path) -> bytes:
    return repository.read_bytes() if repository.is_file() else pack(repository, MAX_BYTES).data


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK]


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

        Raises BrokenBundleError, and BadRequestError for an entry that registry.yaml says otherwise, before
        anything is changed; RefusedError, StepError, OSError and redis-py's errors, after which another try
        completes it.
        """
        tell(f"checking {path}")
        bundle = await asyncio.to_thread(opened, path, self._meter("checking"))
        for space in bundle.manifest.spaces:
            self._registry.check(space.name, _change_to(space))
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
        if own := sorted(space.entry.keys() & set(HOSTS_OWN)):
            tell(f"{space.name}: write {', '.join(own)} into {self._registry.path}, if it needs them here")
        tar = None
        if space.repository is not None:
            tar = await asyncio.to_thread(b"".join, bundle.chunks(space.repository))
        await self._registry.settle(space.name, _change_to(space), tar)
        if space.cache is not None:
            await self._heard()
            chunks = _metered(bundle.chunks(space.cache), self._meter(f"the cache of {space.name}"))
            volume = volume_name(self._owner, space.name)
            labels = volume_labels(self._owner, space.name)
            await self._transfer.write(volume, labels, space.image, chunks)


def _change_to(space: BundledSpace) -> Change:
    """Makes the Space's entry in the catalogue, whatever was there."""
    fields = {key: value for key, value in space.entry.items() if key not in HOSTS_OWN}
    if space.repository is not None:
        fields["repository"] = by_digest(Path(space.repository).stem)
    return lambda _: fields


def _metered(chunks: Iterator[bytes], on_progress: Callable[[int], None]) -> Iterator[bytes]:
    done = 0
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        on_progress(done)
