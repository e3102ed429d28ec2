"""Real Spaces for integration tests: built, started once for the whole run, and removed at its end."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from spacedock_worker.adapters.gradio import GradioAdapter
from spacedock_worker.containers import ContainerSettings, ContainerSpec, Engine, Pool
from spacedock_worker.images import Images, ImageSettings, SpaceSource

T = TypeVar("T")

SPACES = Path(__file__).parent.parent / "spaces"

RunningApp = Callable[[str, str], Awaitable[str]]


class Apps:
    """Running Spaces by name and Gradio version, in an event loop of their own that outlives each test's."""

    def __init__(self, copies: Path) -> None:
        self._copies = copies
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._stack = AsyncExitStack()
        self._urls: dict[tuple[str, str], str] = {}
        self._images, self._pool = self._do(self._open())

    def url(self, name: str, sdk_version: str) -> str:
        """The base URL of that Space on that Gradio, started if it is not running yet."""
        if (name, sdk_version) not in self._urls:
            self._urls[name, sdk_version] = self._do(self._start(name, sdk_version))
        return self._urls[name, sdk_version]

    def close(self) -> None:
        """Remove the containers."""
        self._do(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=280)

    async def _open(self) -> tuple[Images, Pool]:
        engine = await self._stack.enter_async_context(Engine())
        settings = ContainerSettings(instance_id=f"apps-{os.getpid()}", network="spacedock-test-apps")
        pool = await self._stack.enter_async_context(Pool(engine, settings))
        ca = os.environ.get("SSL_CERT_FILE")
        return Images(engine, ImageSettings(ca_bundle=Path(ca) if ca else None)), pool

    async def _start(self, name: str, sdk_version: str) -> str:
        repository = self._copies / f"{name}-{sdk_version}"
        shutil.copytree(SPACES / name, repository)
        card = repository / "README.md"
        card.write_text(re.sub(r"(?m)^sdk_version: .*$", f"sdk_version: {sdk_version}", card.read_text()))
        source = SpaceSource(name=f"{name}-test", repository=repository)
        image = await self._images.get(source, lambda _: None)
        space = f"{name}-{sdk_version}"
        spec = ContainerSpec(space, image.reference, image.digest, image.command, image.port)
        lease = await self._stack.enter_async_context(self._pool.lease(spec, _answers, lambda _: None))
        return lease.base_url


async def _answers(url: str) -> bool:
    async with GradioAdapter(url) as app:
        return await app.is_ready()


@pytest.fixture(scope="session")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apps]:
    """The Spaces that integration tests share."""
    running = Apps(tmp_path_factory.mktemp("apps"))
    yield running
    running.close()


@pytest.fixture
def running_app(apps: Apps) -> RunningApp:
    """`await running_app("components", "5.50.0")` gives the base URL of that Space, running."""

    async def start(name: str, sdk_version: str) -> str:
        return await asyncio.to_thread(apps.url, name, sdk_version)

    return start
