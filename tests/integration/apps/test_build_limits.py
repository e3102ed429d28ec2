"""Builds on a real engine: how many at once, with how much memory and time, where, and on whose images."""

from __future__ import annotations

import asyncio
import secrets
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from tests.integration.apps.test_images import docker_space

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

BASE = "spacedock/python:3.11"


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
async def name(engine: Engine) -> AsyncIterator[str]:
    """A part of the names of this test's images and networks; its images are removed afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    async with engine.call(Stage.BUILD, 60) as docker:
        for image in await docker.images.list(
            filters={"reference": [f"*{name}*", f"spacedock/space-{name}*"]}
        ):
            await docker.images.delete(image["Id"], force=True)


async def failure(images: Images, name: str, folder: Path) -> StepError:
    with pytest.raises(StepError) as caught:
        await images.get(SpaceSource(name, repository=folder), lambda text: None)
    return caught.value


async def running(engine: Engine, word: str) -> int:
    """How many containers run whose command has the word."""
    async with engine.call(Stage.BUILD) as docker:
        listed = await docker.containers.list()
    return sum(word in str(container["Command"]) for container in listed)


async def until_running(engine: Engine, word: str, count: int) -> None:
    async with asyncio.timeout(60):
        # The engine has nothing else to wait on for a build's containers.
        while await running(engine, word) != count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


def spaces(tmp_path: Path, count: int, *lines: str) -> list[Path]:
    folders = [tmp_path / f"space-{number}" for number in range(count)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        docker_space(folder, BASE, f"ENV NUMBER={number}", *lines)
    return folders


async def test_two_are_built_at_once_and_a_build_that_is_given_up_ends_at_the_engine(
    engine: Engine, name: str, tmp_path: Path
) -> None:
    images, said = Images(engine, ImageSettings()), []
    folders = spaces(tmp_path, 3, f"RUN echo {name}; sleep 500")
    builds = [
        asyncio.create_task(images.get(SpaceSource(f"{name}-{n}", repository=folder), said.append))
        for n, folder in enumerate(folders)
    ]
    await until_running(engine, name, 2)
    assert "waiting for other builds to end" in said
    assert not any(build.done() for build in builds)
    builds[0].cancel()
    builds[1].cancel()
    await until_running(engine, name, 1)
    builds[2].cancel()
    await asyncio.gather(*builds, return_exceptions=True)
    await until_running(engine, name, 0)


async def test_a_build_that_takes_too_long_ends_at_the_engine(
    engine: Engine, name: str, tmp_path: Path
) -> None:
    (folder,) = spaces(tmp_path, 1, f"RUN echo {name}; sleep 500")
    error = await failure(Images(engine, ImageSettings(build_timeout=5.0)), name, folder)
    assert (error.stage, error.kind) == (Stage.BUILD, ErrorKind.BUILD_FAILED)
    assert "build_timeout" in str(error)
    await until_running(engine, name, 0)


async def test_a_build_has_its_memory(engine: Engine, name: str, tmp_path: Path) -> None:
    (folder,) = spaces(tmp_path, 1, 'RUN python3 -c "len(bytearray(600 * 2**20))"')
    error = await failure(Images(engine, ImageSettings(build_memory=2**28)), name, folder)
    assert error.kind is ErrorKind.BUILD_FAILED
    assert "images.build_memory" in str(error)


async def test_a_build_is_on_the_network_of_builds(engine: Engine, name: str, tmp_path: Path) -> None:
    network = Network(engine, f"{name}-builds")
    (folder,) = spaces(tmp_path, 1, f"RUN echo {name}; sleep 500")
    images = Images(engine, ImageSettings(), network=network)
    build = asyncio.create_task(images.get(SpaceSource(name, repository=folder), lambda text: None))
    await until_running(engine, name, 1)
    async with engine.call(Stage.BUILD) as docker:
        (made,) = [n for n in await docker.networks.list() if n["Name"] == network.name]
        on_it = (await (await docker.networks.get(made["Id"])).show())["Containers"]
    build.cancel()
    await asyncio.gather(build, return_exceptions=True)
    await until_running(engine, name, 0)
    await network.remove()
    assert made["Options"]["com.docker.network.bridge.enable_icc"] == "false"
    assert len(on_it) == 1


async def test_the_engine_is_sent_to_no_service_of_this_host(
    engine: Engine, name: str, tmp_path: Path
) -> None:
    came: list[str] = []

    class Service(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            came.append(self.path)
            self.send_error(404)

    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        address = f"127.0.0.1:{server.server_address[1]}"
        images = Images(engine, ImageSettings())
        lines = [f"ADD http://{address}/x /x", f"COPY --from={address}/x /x /x", f"FROM {address}/x"]
        for number, line in enumerate([*lines, f"FROM localhost:{server.server_address[1]}/x"]):
            folder = tmp_path / str(number)
            folder.mkdir()
            error = await failure(images, name, docker_space(folder, BASE, line))
            assert (error.stage, error.kind) == (Stage.BUILD, ErrorKind.UNSUPPORTED)
        server.shutdown()
        thread.join()
    assert came == []


async def test_no_space_is_built_on_anothers_image(engine: Engine, name: str, tmp_path: Path) -> None:
    images = Images(engine, ImageSettings())
    (victim,) = spaces(tmp_path, 1, "COPY README.md /secret")
    image = await images.get(SpaceSource(f"{name}-victim", repository=victim), lambda text: None)
    async with engine.call(Stage.BUILD) as docker:
        history = await docker.images.history(image.reference)
        await docker.images.tag(image.id, f"{name}-alias")
    layer = next(step["Id"] for step in history[1:] if step["Id"].startswith("sha256:"))
    named = [image.reference, image.id, image.id.removeprefix("sha256:")[:12], f"{name}-alias", layer]
    lines = [*(f"FROM {one}" for one in named), f"COPY --from={layer} /secret /x"]
    for number, line in enumerate(lines):
        folder = tmp_path / f"thief-{number}"
        folder.mkdir()
        error = await failure(images, f"{name}-thief", docker_space(folder, BASE, line))
        assert (line, error.kind) == (line, ErrorKind.UNSUPPORTED)
    allowed = Images(engine, ImageSettings(base_images={"mine": image.reference}))
    folder = tmp_path / "friend"
    folder.mkdir()
    await allowed.get(
        SpaceSource(f"{name}-friend", repository=docker_space(folder, image.reference)), lambda text: None
    )


@pytest.mark.parametrize(
    "trigger", ["ADD http://127.0.0.1/x /x", "COPY --from=spacedock/space-x:1 /x /x", "RUN --network=host id"]
)
async def test_what_a_base_triggers_is_judged(
    engine: Engine, name: str, tmp_path: Path, trigger: str
) -> None:
    base = f"{name}-base"
    command = ("docker", "build", "--quiet", "--tag", base, "-")
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=DEVNULL, stderr=DEVNULL)
    await process.communicate(f"FROM {BASE}\nONBUILD {trigger}\n".encode())
    images = Images(engine, ImageSettings(base_images={"mine": base}))
    error = await failure(images, f"{name}-thief", docker_space(tmp_path, base))
    assert error.kind is ErrorKind.UNSUPPORTED
    assert "ONBUILD" in str(error) or "spacedock/space-x:1" in str(error)


async def test_our_base_image_comes_from_no_image_registry(engine: Engine, name: str, tmp_path: Path) -> None:
    error = await failure(
        Images(engine, ImageSettings()), name, docker_space(tmp_path, "spacedock/python:0.1")
    )
    assert error.kind is ErrorKind.UNSUPPORTED
    assert "spacedockd base-image" in str(error)
