"""Images and volumes out of the engine and into it, as streams: never whole in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from spacedock.result import Stage
from spacedock_worker.cleanup.inventory import HELPER_LABEL
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.image_stream import ImageStream

_PLACE = "/cache"


class Transfer:
    """Moves images and volumes for the daemon `owner`. Methods raise RefusedError and StepError."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine, self._owner = engine, owner
        self._stream = ImageStream(engine, Stage.PULL)

    def saved(self, names: Sequence[str]) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The images as one tar, what they share in it once."""
        return self._stream.saved(names)

    async def load(self, chunks: Iterator[bytes]) -> None:
        """Load the images of such a tar. Raises SpacedockError where the engine does not take it."""
        await self._stream.load(_fed(chunks))

    async def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of the image."""
        async with self._engine.call(Stage.PULL) as docker:
            return await docker.images.inspect(name)

    async def tag(self, image: str, reference: str) -> None:
        """Give an image that name, whichever had it before."""
        name, _, tag = reference.rpartition(":")
        async with self._engine.call(Stage.PULL) as docker:
            await docker.images.tag(image, name or reference, tag=tag if name else "latest")

    @asynccontextmanager
    async def read(self, volume: str, image: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The volume's content as a tar; a container of `image` opens it, and is never started."""
        async with (
            self._opened(volume, image) as container,
            self._stream.folder(container, _PLACE) as chunks,
        ):
            yield chunks

    async def write(
        self, volume: str, labels: Mapping[str, str], image: str, chunks: Iterator[bytes]
    ) -> None:
        """Put such a tar into the volume, which is made where it is not there."""
        async with self._engine.call(Stage.START) as docker:
            body = json.dumps({"Name": volume, "Labels": dict(labels)}).encode()
            await docker._query_json("volumes/create", method="POST", data=body)
        async with self._opened(volume, image) as container:
            await self._stream.unpack(container, _PLACE, _fed(chunks))

    async def tidy(self) -> None:
        """Remove the containers that an earlier bundle left behind when it was killed."""
        filters = json.dumps({"label": [f"{HELPER_LABEL}={self._owner}"]})
        async with self._engine.call(Stage.START) as docker:
            for left in await docker.containers.list(all=1, filters=filters):
                await left.delete(force=True)

    @asynccontextmanager
    async def _opened(self, volume: str, image: str) -> AsyncIterator[str]:
        mount = {"Type": "volume", "Source": volume, "Target": _PLACE, "VolumeOptions": {"NoCopy": True}}
        body: dict[str, Any] = {
            "Image": image,
            "Cmd": ["true"],
            "Labels": {HELPER_LABEL: self._owner},
            "NetworkDisabled": True,
            "HostConfig": {"Mounts": [mount], "NetworkMode": "none"},
        }
        async with self._engine.call(Stage.START) as docker:
            container = await docker.containers.create(body)
        try:
            yield container.id
        finally:
            await asyncio.shield(self._remove(container.id))

    async def _remove(self, container: str) -> None:
        async with self._engine.call(Stage.START) as docker:
            await docker.containers.container(container).delete(force=True)


async def _fed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a file, read aside."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
