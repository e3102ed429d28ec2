"""Real Spaces for tests: built, started in containers, and removed again."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
from collections.abc import Coroutine, Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

from tests.leftovers import own_instance

from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.adapters.gradio.connection import Login
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource

T = TypeVar("T")

SPACES = Path(__file__).parent / "spaces"
TOGETHER = "together"
"""The Space that serves others, one on each port: see its README."""

LOGINS = dict.fromkeys(("g-auth", TOGETHER), Login("ada", "lovelace"))
START_SECONDS = 600.0


class Apps:
    """Running Spaces by name and Gradio version, in an event loop of their own that outlives each test's."""

    def __init__(self, copies: Path) -> None:
        self._copies = copies
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._starting: dict[tuple[str, str], asyncio.Task[tuple[str, AsyncExitStack]]] = {}
        self._building: dict[str, asyncio.Lock] = {}
        self._urls: dict[tuple[str, str], str] = {}
        self._images, self._pool = self._do(self._open())

    def url(self, name: str, sdk_version: str) -> str:
        """The base URL of that Space on that Gradio, started if it is not running yet."""
        return self._do(self._started(name, sdk_version))

    def together(self, names: Iterable[str], sdk_version: str) -> dict[str, str]:
        """The base URL of each of these Spaces, all in one container, which is that of `TOGETHER`."""
        repository = self._copies / f"{TOGETHER}-{sdk_version}"
        folders = [repository / "spaces" / name for name in sorted(names)]
        for folder in folders:
            shutil.copytree(SPACES / folder.name, folder)
        needed = [file.read_text() for file in repository.glob("spaces/*/requirements.txt")]
        (repository / "requirements.txt").write_text("".join(needed))
        address, _, first = self.url(TOGETHER, sdk_version).rpartition(":")
        return {
            folder.name: f"{address}:{port}{_base_path(folder)}"
            for port, folder in enumerate(folders, int(first))
        }

    def end(self, name: str, sdk_version: str) -> None:
        """Give the Space's container back to the pool, which pauses it and removes it for room."""
        self._do(self._ended(name, sdk_version))

    def rest(self) -> None:
        """Give back the containers of all that have started."""
        for (name, version), start in list(self._starting.items()):
            if start.done() and start.exception() is None:
                self.end(name, version)

    def build(self, name: str, sdk_version: str) -> None:
        """Build that Space's image, and no more."""
        self._do(self._image(name, sdk_version))

    def close(self) -> None:
        """Remove the containers."""
        self._do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=START_SECONDS)

    async def _open(self) -> tuple[Images, Pool[Adapter]]:
        engine = await self._stack.enter_async_context(Engine())
        # Each process has networks of its own: two that make one name at once leave it ambiguous for ever.
        # What no test uses is paused soon: Gradio 6 takes 3% of a core while it does nothing.
        settings = ContainerSettings(instance_id=own_instance(), max_containers=16, pause_seconds=1)
        pool: Pool[Adapter] = await self._stack.enter_async_context(Pool(engine, settings))
        ca = os.environ.get("SSL_CERT_FILE")
        return Images(engine, ImageSettings(ca_bundle=Path(ca) if ca else None)), pool

    async def _started(self, name: str, version: str) -> str:
        if (name, version) not in self._starting:
            self._starting[name, version] = asyncio.create_task(self._start(name, version))
        url, _ = await asyncio.shield(self._starting[name, version])
        return url

    async def _ended(self, name: str, version: str) -> None:
        _, lease = await self._starting.pop((name, version))
        await lease.aclose()

    async def _image(self, name: str, version: str) -> Image:
        repository = self._copies / f"{name}-{version}"
        shutil.copytree(SPACES / name, repository, dirs_exist_ok=True)
        card = repository / "README.md"
        card.write_text(re.sub(r"(?m)^sdk_version: .*$", f"sdk_version: {version}", card.read_text()))
        source = SpaceSource(name=f"{name}-test", repository=repository)
        # Two builds at once would both install what the second finds done when it waits.
        async with self._building.setdefault(version, asyncio.Lock()):
            return await self._images.get(source, lambda _: None)

    async def _start(self, name: str, version: str) -> tuple[str, AsyncExitStack]:
        image = await self._image(name, version)
        spec = ContainerSpec(
            f"{name}-{version}",
            image.reference,
            image.digest,
            image.command,
            image.port,
            base_path=image.base_path,
            memory=_memory(self._copies / f"{name}-{version}"),
        )
        connect = Opener().connect_to(image.digest, Access(login=LOGINS.get(name)))

        async def connect_here(base_url: str) -> Adapter | None:
            self._urls[name, version] = base_url
            return await connect(base_url)

        stack = await self._stack.enter_async_context(AsyncExitStack())
        await stack.enter_async_context(self._pool.lease(spec, connect_here, lambda _: None))
        # A container that is warm is not connected to again.
        return self._urls[name, version], stack


def _base_path(repository: Path) -> str:
    """The path below which the app of a Space answers, by its card."""
    found = re.search(r"(?m)^base_path: (.*)$", (repository / "README.md").read_text())
    return found[1] if found else ""


def _memory(repository: Path) -> int | None:
    """What the apps of `TOGETHER` need (None: the usual); a container waits for as much to be free."""
    apps = len(list(repository.glob("spaces/*")))
    return (apps + 4) * 2**27 if apps else None
