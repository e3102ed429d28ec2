"""What the engine holds: images with their layers, containers, cache volumes; and removing one of them."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from spacedock.result import Stage
from spacedock_worker.containers.docker.container import REMOVE_SECONDS
from spacedock_worker.containers.docker.create_body import OWNER_LABEL, SPACE_LABEL
from spacedock_worker.containers.docker.disk_usage import volume_bytes
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError

_METADATA = re.compile(
    r"^(?:/bin/sh -c )?(?:#\(nop\)\s+)?"
    r"(?:ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME)\b"
)
"""The instructions of a Dockerfile that add no layer, as classic builds and BuildKit write them down."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer on top of all those below it, by which it is known; `size` in bytes."""

    chain: str
    size: int


def layers_of(diff_ids: Sequence[str], history: Sequence[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """An image's layers, the lowest first, of `RootFS.Layers` and the engine's history (the newest first)."""
    sizes = _sizes(len(diff_ids), history)
    layers, chain = [], ""
    for diff_id, size in zip(diff_ids, sizes, strict=True):
        chain = hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
        layers.append(Layer(chain, size))
    return tuple(layers)


def weight(images: Mapping[str, Sequence[Layer]], names: Collection[str]) -> int:
    """The bytes of these images, what they share counted once."""
    return sum({layer.chain: layer.size for name in names for layer in images[name]}.values())


def freed(images: Mapping[str, Sequence[Layer]], removed: Collection[str]) -> int:
    """The bytes that go with `removed` while all others of `images` stay."""
    staying = {layer.chain for name, layers in images.items() if name not in removed for layer in layers}
    going = {layer.chain: layer.size for name in removed for layer in images[name]}
    return sum(size for chain, size in going.items() if chain not in staying)


def _sizes(count: int, history: Sequence[Mapping[str, Any]]) -> list[int]:
    """The sizes of `count` layers; history does not say which of its entries made one."""
    oldest_first = [(int(e.get("Size") or 0), str(e.get("CreatedBy") or "")) for e in reversed(history)]
    made = [size for size, words in oldest_first if size or not _METADATA.match(words)]
    if len(made) != count:
        made = [size for size, _ in oldest_first if size]
    if len(made) > count:
        # Nothing known fits: all of it counts for the top, so that the image's own size is right.
        made = [sum(made)] if count else []
        return [0] * (count - len(made)) + made
    return made + [0] * (count - len(made))


HELPER_LABEL = "io.spacedock.helper"
"""Marks the containers that are never started, with the owner's id: they open a volume for a bundle."""

_GONE = "0001-01-01"


@dataclass(frozen=True, slots=True)
class InventoryImage:
    """An image by its id, its references and digests; `built_for` is the Space that we built it for."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    created: float
    built_for: str | None


@dataclass(frozen=True, slots=True)
class InventoryContainer:
    """A container of anybody; `owner` and `helper` are daemons' ids.

    `since` is when it was created, in seconds since the epoch.
    """

    id: str
    name: str
    image: str
    state: str
    since: float
    owner: str | None
    helper: str | None
    space: str | None


@dataclass(frozen=True, slots=True)
class InventoryVolume:
    """A cache volume of ours; `size` in bytes."""

    name: str
    space: str
    created: float
    size: int


class Inventory:
    """The engine's stock, as the daemon `owner` may see it. Methods raise RefusedError and StepError."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self.engine, self.owner = engine, owner
        self._layers: dict[str, tuple[Layer, ...]] = {}

    async def images(self) -> tuple[InventoryImage, ...]:
        """All images of the engine that are not merely parts of others."""
        async with self.engine.call(Stage.START) as docker:
            return tuple(_image(row) for row in await docker.images.list())

    async def layers(self, images: tuple[InventoryImage, ...]) -> Mapping[str, tuple[Layer, ...]]:
        """The layers of these images, by their ids; an image that went meanwhile is left out."""
        known = {image.id: await self._layers_of(image.id) for image in images}
        self._layers = {image: layers for image, layers in known.items() if layers is not None}
        return dict(self._layers)

    async def containers(self) -> tuple[InventoryContainer, ...]:
        """All containers of the engine, other people's too: they use images."""
        async with self.engine.call(Stage.START) as docker:
            listed = await docker._query_json("containers/json", params={"all": 1})
        return tuple(_container(row) for row in listed)

    async def written(self, container: str) -> tuple[int, float]:
        """The bytes that a container has written to its root, and when it ended (0: it never ran)."""
        async with self.engine.call(Stage.START) as docker:
            found = await docker.containers.container(container).show(size=1)
        finished = str((found.get("State") or {}).get("FinishedAt") or _GONE)
        return int(found.get("SizeRw") or 0), 0.0 if finished.startswith(_GONE) else _seconds(finished)

    async def keeps_log(self, container: str) -> bool:
        """Whether the engine keeps what a container says; not in privacy mode, nor of one that runs once."""
        async with self.engine.call(Stage.START) as docker:
            found = await docker.containers.container(container).show()
        return bool(found["HostConfig"]["LogConfig"]["Type"] != "none")

    async def caches(self) -> tuple[InventoryVolume, ...]:
        """The cache volumes of this daemon's Spaces, with their sizes."""
        labels = {"label": [f"{OWNER_LABEL}={self.owner}", SPACE_LABEL]}
        async with self.engine.call(Stage.START) as docker:
            rows = (await docker.volumes.list(filters=labels)).get("Volumes") or ()  # type: ignore[no-untyped-call]
        sizes = await volume_bytes(self.engine, {row["Name"]: row["Mountpoint"] for row in rows})
        volumes = [_volume(row, sizes[row["Name"]]) for row in rows]
        return tuple(sorted(volumes, key=lambda volume: volume.name))

    async def disk(self) -> str:
        """The directory of this host that the engine keeps everything in."""
        async with self.engine.call(Stage.START) as docker:
            return str((await docker.system.info()).get("DockerRootDir") or "")

    async def remove_container(self, container: str) -> None:
        """Remove a container and its anonymous volumes; one that is gone already is well."""
        with _gone_is_well():
            async with self.engine.call(Stage.START, REMOVE_SECONDS) as docker:
                await docker.containers.container(container).delete(force=True, v=True)

    async def remove_cache(self, volume: str) -> None:
        """Remove a volume. Raises RefusedError while a container has it."""
        with _gone_is_well():
            async with (
                self.engine.call(Stage.START, REMOVE_SECONDS) as docker,
                docker._query(f"volumes/{volume}", method="DELETE"),
            ):
                pass

    async def remove_image(self, image: InventoryImage) -> None:
        """Remove an image by all its names. Raises RefusedError while something has it."""
        for name in image.tags or (image.id,):
            with _gone_is_well():
                async with self.engine.call(Stage.START, REMOVE_SECONDS) as docker:
                    await docker.images.delete(name)

    async def _layers_of(self, image: str) -> tuple[Layer, ...] | None:
        if image in self._layers:
            return self._layers[image]
        try:
            async with self.engine.call(Stage.START) as docker:
                found, history = await asyncio.gather(docker.images.inspect(image), _history(docker, image))
        except EngineRefusedError as error:
            if error.not_found:
                return None
            raise
        return layers_of((found.get("RootFS") or {}).get("Layers") or (), history)


async def _history(docker: Any, image: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await docker.images.history(image)
    return found


@contextmanager
def _gone_is_well() -> Iterator[None]:
    """What somebody else has removed already needs no removing."""
    try:
        yield
    except EngineRefusedError as error:
        if not error.not_found:
            raise


def _image(row: Mapping[str, Any]) -> InventoryImage:
    labels = row.get("Labels") or {}
    return InventoryImage(
        id=row["Id"],
        tags=tuple(tag for tag in row.get("RepoTags") or () if not tag.startswith("<none>")),
        digests=tuple(d.partition("@")[2] for d in row.get("RepoDigests") or () if "<none>" not in d),
        size=int(row.get("Size") or 0),
        created=float(row.get("Created") or 0),
        built_for=labels.get(SPACE_LABEL),
    )


def _container(row: Mapping[str, Any]) -> InventoryContainer:
    labels = row.get("Labels") or {}
    return InventoryContainer(
        id=row["Id"],
        name=(row.get("Names") or ["/"])[0].removeprefix("/"),
        image=str(row.get("ImageID")),
        state=str(row.get("State")),
        since=float(row.get("Created") or 0),
        owner=labels.get(OWNER_LABEL),
        helper=labels.get(HELPER_LABEL),
        space=labels.get(SPACE_LABEL),
    )


def _volume(row: Mapping[str, Any], size: int) -> InventoryVolume:
    return InventoryVolume(
        row["Name"], row["Labels"][SPACE_LABEL], _seconds(row.get("CreatedAt") or _GONE), size
    )


def _seconds(text: str) -> float:
    """Seconds since the epoch of the engine's time; 0 where it cannot be read."""
    try:
        # The engine writes nanoseconds, of which Python takes six digits.
        found = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text))
        return found.timestamp()
    except (ValueError, OverflowError):
        return 0.0
