"""Pulls that break in the middle: at the engine, at the image registry, or because nobody waits any more."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.image_registry import ImageRegistry, docker, put
from tests.proxy import Proxy, tcp_proxy, unix_proxy

from spacedock.result import ErrorKind
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.oci.reference import parse_reference
from spacedock_worker.images.pulls import Pull
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

ENGINE = Path("/var/run/docker.sock")
RATE = 8e6
MIDDLE = 3_000_000
LAYERS = (500_000, 8_000_000)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImageRegistry]:
    registry = ImageRegistry(tmp_path_factory.mktemp("registry"))
    registry.start()
    yield registry
    registry.kill()


@pytest.fixture
async def slow(registry: ImageRegistry) -> AsyncIterator[tuple[Proxy, str]]:
    """A slow way to the registry, and an image by that way."""
    name = f"slow-{secrets.token_hex(4)}:1"
    await asyncio.to_thread(put, f"{registry.address}/{name}", *LAYERS)
    async with tcp_proxy(registry.address, RATE) as (proxy, address):
        yield proxy, f"{address}/{name}"
    docker("image", "rm", "--force", f"{address}/{name}")


@pytest.fixture
async def dock(tmp_path: Path) -> AsyncIterator[Proxy]:
    """A way to the engine that can be cut: the socket `d.sock`."""
    async with unix_proxy(ENGINE, tmp_path / "d.sock") as proxy:
        yield proxy


def keeps_in_containerd() -> bool:
    return "io.containerd.snapshotter" in docker("info", "--format", "{{.DriverStatus}}")


def numbers(said: list[str]) -> list[tuple[int, ...]]:
    found = (re.search(r"(\d+)% of .*, (\d+) of 2 layers", text) for text in said)
    return [tuple(map(int, match.groups())) for match in found if match]


async def test_a_pull_whose_engine_hangs_up_is_tried_again(slow, dock: Proxy, tmp_path: Path) -> None:
    proxy, reference = slow
    said: list[str] = []
    async with Engine(f"unix://{tmp_path}/d.sock") as engine:
        images = Images(engine, ImageSettings())
        job = asyncio.create_task(images.get(SpaceSource("space", docker_image=reference), said.append))
        await proxy.reached(MIDDLE)
        dock.cut()
        assert (await job).reference == reference
    assert any("interrupted: trying again" in text for text in said)
    assert numbers(said)[-1] == (100, 2)
    assert numbers(said) == sorted(numbers(said))


async def test_an_engine_that_stays_away_is_asked_so_often_and_no_more(
    slow, dock: Proxy, tmp_path: Path
) -> None:
    proxy, reference = slow
    said: list[str] = []
    async with Engine(f"unix://{tmp_path}/d.sock") as engine:
        pull = Pull(engine, parse_reference(reference), None, None, said.append, pauses=(0.1, 0.1))
        job = asyncio.create_task(pull.run(60))
        await proxy.reached(MIDDLE)
        dock.refusing = True
        dock.cut()
        with pytest.raises(StepError) as caught:
            await job
    assert caught.value.kind is ErrorKind.DOCKER_UNAVAILABLE
    assert sum("trying again" in text for text in said) == 2


@pytest.mark.parametrize("words", ["EOF", "reset"])
async def test_a_registry_that_hangs_up_before_the_first_layer_is_asked_again(
    registry: ImageRegistry, words: str
) -> None:
    name = f"own/geoffrey-{secrets.token_hex(4)}:1"
    await asyncio.to_thread(put, f"{registry.address}/{name}", LAYERS[0])
    said: list[str] = []

    async with tcp_proxy(registry.address) as (proxy, address), Engine() as engine:

        def hear(text: str) -> None:
            said.append(text)
            if "trying again" in text:
                proxy.refusing = False

        proxy.refusing, proxy.polite = True, words == "EOF"
        reference = f"{address}/{name}"
        pull = Pull(engine, parse_reference(reference), None, None, hear, pauses=(0.0,))
        assert (await pull.run(60))["Id"]
        docker("image", "rm", "--force", reference)
    assert said[1] == f"pulling {reference} was interrupted: trying again"


async def test_a_registry_that_dies_and_comes_back_costs_nothing_that_was_loaded(
    slow, registry: ImageRegistry
) -> None:
    proxy, reference = slow
    said: list[str] = []
    async with Engine() as engine:
        images = Images(engine, ImageSettings())
        job = asyncio.create_task(images.get(SpaceSource("space", docker_image=reference), said.append))
        await proxy.reached(MIDDLE)
        await asyncio.to_thread(registry.kill)
        # What has left the registry is still on its way.
        proxy.cut()
        await asyncio.to_thread(registry.start)
        assert (await job).reference == reference
    assert numbers(said)[-1] == (100, 2)
    assert numbers(said) == sorted(numbers(said))
    # Containerd loads a layer that broke off from its beginning; whole layers are kept there too.
    again = MIDDLE if await asyncio.to_thread(keeps_in_containerd) else 0
    assert proxy.handed_on < sum(LAYERS) + again + 1_000_000


async def test_a_cancelled_job_leaves_the_pull_to_the_others_and_the_last_one_ends_it(slow) -> None:
    proxy, reference = slow
    heard: list[list[str]] = [[], []]
    async with Engine() as engine:
        images = Images(engine, ImageSettings())
        one, two = (
            asyncio.create_task(images.get(SpaceSource(name, docker_image=reference), said.append))
            for name, said in zip(("one", "two"), heard, strict=True)
        )
        await proxy.reached(MIDDLE // 2)
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        before = len(heard[1])
        await proxy.reached(MIDDLE // 2)
        assert len(heard[1]) > before
        two.cancel()
        with pytest.raises(asyncio.CancelledError):
            await two
        async with asyncio.timeout(60):
            await proxy.quiet()
    assert proxy.handed_on < sum(LAYERS)
