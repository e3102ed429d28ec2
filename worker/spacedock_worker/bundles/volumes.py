"""Images and volumes out of the engine and into it, as streams: never whole in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientResponse

from spacedock.errors import SpacedockError
from spacedock.result import Stage
from spacedock_worker.cleanup.inventory import HELPER_LABEL
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError

_SECONDS = 6 * 3600.0
"""How long one image or volume may take: terabytes on a slow disk would still pass."""

_CHUNK = 2**20
_SAID_BYTES = 2**16
_PLACE = "/cache"
_TAR = {"Content-Type": "application/x-tar"}


class Transfer:
    """Moves images and volumes for the daemon `owner`. Methods raise RefusedError and StepError."""

    def __init__(self, engine: Engine, owner: str) -> None:
        self._engine, self._owner = engine, owner

    @asynccontextmanager
    async def saved(self, names: Sequence[str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The images as one tar, what they share in it once."""
        query = urlencode([("names", name) for name in names])
        async with self._streamed(f"images/get?{query}") as response:
            yield response.content.iter_chunked(_CHUNK)

    async def load(self, chunks: Iterator[bytes]) -> None:
        """Load the images of such a tar. Raises SpacedockError where the engine does not take it."""
        async with self._streamed("images/load?quiet=1", "POST", _fed(chunks)) as response:
            said = b""
            async for chunk in response.content.iter_chunked(_SAID_BYTES):
                # An error comes last.
                said = (said + chunk)[-_SAID_BYTES:]
        if (why := stream_error(said)) is not None:
            raise SpacedockError(f"the Docker Engine does not load the images: {why}")

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
        async with self._opened(volume, image) as container:
            query = urlencode({"path": f"{_PLACE}/."})
            async with self._streamed(f"containers/{container}/archive?{query}") as response:
                yield response.content.iter_chunked(_CHUNK)

    async def write(
        self, volume: str, labels: Mapping[str, str], image: str, chunks: Iterator[bytes]
    ) -> None:
        """Put such a tar into the volume, which is made where it is not there."""
        async with self._engine.call(Stage.START) as docker:
            body = json.dumps({"Name": volume, "Labels": dict(labels)}).encode()
            await docker._query_json("volumes/create", method="POST", data=body)
        async with self._opened(volume, image) as container:
            query = urlencode({"path": _PLACE})
            async with self._streamed(f"containers/{container}/archive?{query}", "PUT", _fed(chunks)) as put:
                await put.read()

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

    @asynccontextmanager
    async def _streamed(
        self, path: str, method: str = "GET", data: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[ClientResponse]:
        try:
            async with (
                self._engine.stream(Stage.PULL, _SECONDS) as docker,
                docker._query(path, method=method, data=data, headers=_TAR) as response,
            ):
                yield response
        except TimeoutError as error:
            raise EngineRefusedError(0, f"not done after {_SECONDS:g} s") from error


async def _fed(chunks: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The chunks of a file, read aside."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk


def stream_error(said: bytes) -> str | None:
    """What went wrong by the engine's stream of JSON lines; None where nothing did (pure).

    Newer engines say `errorDetail`, older ones `error` too. A line that is cut off, or no JSON, is no error.
    """
    for line in said.splitlines():
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if isinstance(item, dict) and ("error" in item or "errorDetail" in item):
            detail = item.get("errorDetail")
            message = detail.get("message") if isinstance(detail, dict) else detail
            return str(message or item.get("error") or "it does not say why")
    return None
