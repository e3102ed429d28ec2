"""Background work of the daemon does not die unheard: the daemon ends with it."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path

import pytest

from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.settings import WorkerSettings
from spacedockd.daemon import BackgroundError, alive, running
from spacedockd.worker_process import WorkerProcess


class Lived:
    """A child whose watching fails as told."""

    def __init__(self) -> None:
        self.stopped = False

    async def start(self) -> None:
        pass

    async def ended(self) -> object:
        raise ZeroDivisionError

    async def stop(self) -> None:
        self.stopped = True


async def lived(block: AbstractAsyncContextManager[None], stop: asyncio.Event) -> None:
    """The daemon's life: until it is stopped."""
    async with block, asyncio.timeout(60):
        await stop.wait()


async def failing() -> None:
    raise ZeroDivisionError


async def test_work_that_fails_stops_the_daemon_and_is_told() -> None:
    stop = asyncio.Event()
    with pytest.raises(BackgroundError, match="scrub failed"):
        await lived(running("scrub", failing(), stop), stop)


async def test_a_child_that_cannot_be_watched_is_stopped_in_order() -> None:
    stop, child = asyncio.Event(), Lived()
    with pytest.raises(BackgroundError):
        await lived(alive("worker", child, stop), stop)
    assert child.stopped


async def test_work_that_goes_on_is_cancelled_at_the_end() -> None:
    stop = asyncio.Event()
    async with running("watchdog", asyncio.sleep(1000), stop):
        pass
    assert not stop.is_set()


async def test_a_fault_of_the_block_is_what_comes_out() -> None:
    with pytest.raises(KeyError):
        async with running("watchdog", asyncio.sleep(1000), asyncio.Event()):
            raise KeyError


async def test_a_worker_that_is_loading_ends_with_a_start_that_fails(tmp_path: Path) -> None:
    settings = WorkerSettings(
        redis_url="redis://127.0.0.1:1",
        registry=tmp_path / "registry.yaml",
        repositories=tmp_path,
        state=tmp_path,
        containers=ContainerSettings(instance_id="test-loading", state=tmp_path),
    )
    worker = WorkerProcess(settings)
    with suppress(KeyError):
        async with worker.loading():
            loading = worker._loading
            raise KeyError
    assert loading is not None
    assert loading.returncode == -signal.SIGKILL
