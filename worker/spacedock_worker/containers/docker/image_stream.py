"""Images and files out of the engine and into it, as streams: never whole in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlencode

from aiohttp import ClientResponse

from spacedock.errors import SpacedockError
from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError

_SECONDS = 6 * 3600.0
"""How long one image or volume may take: terabytes on a slow disk would still pass."""

_CHUNK = 2**20
_SAID_BYTES = 2**16
_TAR = {"Content-Type": "application/x-tar"}


class ImageStream:
    """Moves images and folders of containers as tars. They raise RefusedError, and StepError at `stage`."""

    def __init__(self, engine: Engine, stage: Stage) -> None:
        self._engine, self._stage = engine, stage

    @asynccontextmanager
    async def saved(self, names: Sequence[str]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The images as one tar, what they share in it once."""
        query = urlencode([("names", name) for name in names])
        async with self._streamed(f"images/get?{query}") as response:
            yield response.content.iter_chunked(_CHUNK)

    async def load(self, chunks: AsyncIterator[bytes]) -> None:
        """Load the images of such a tar. Raises SpacedockError where the engine does not take it."""
        async with self._streamed("images/load?quiet=1", "POST", chunks) as response:
            said = b""
            async for chunk in response.content.iter_chunked(_SAID_BYTES):
                # An error comes last.
                said = (said + chunk)[-_SAID_BYTES:]
        if (why := stream_error(said)) is not None:
            raise SpacedockError(f"the Docker Engine does not load the images: {why}")

    @asynccontextmanager
    async def folder(self, container: str, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """What is in a container's folder, as a tar."""
        query = urlencode({"path": f"{path}/."})
        async with self._streamed(f"containers/{container}/archive?{query}") as response:
            yield response.content.iter_chunked(_CHUNK)

    async def unpack(self, container: str, path: str, chunks: AsyncIterator[bytes]) -> None:
        """Put what is in a tar into a container's folder."""
        query = urlencode({"path": path})
        async with self._streamed(f"containers/{container}/archive?{query}", "PUT", chunks) as put:
            await put.read()

    @asynccontextmanager
    async def _streamed(
        self, path: str, method: str = "GET", data: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[ClientResponse]:
        try:
            async with (
                self._engine.stream(self._stage, _SECONDS) as docker,
                docker._query(path, method=method, data=data, headers=_TAR) as response,
            ):
                yield response
        except TimeoutError as error:
            raise EngineRefusedError(0, f"not done after {_SECONDS:g} s") from error


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
