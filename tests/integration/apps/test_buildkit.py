"""Builds by BuildKit on a real engine: what they give, and that their walls hold as others' do."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.integration.apps.test_build_limits import BASE, engine, name
from tests.integration.apps.test_images import docker_space

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import Network
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

__all__ = ["engine", "name"]

SECRET = "s3cret-v4lue"
pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def whole(pytestconfig: pytest.Config) -> None:
    if not pytestconfig.getoption("--all-versions"):
        pytest.skip("builds for long: make test-full")


async def of(_: str) -> Mapping[str, str]:
    return {"KEY": SECRET}


def silent(_: str) -> None:
    """Hears nothing."""


async def containers(engine: Engine, owner: str) -> list[str]:
    async with engine.call(Stage.BUILD) as docker:
        listed = await docker.containers.list(
            all=True, filters=f'{{"label": ["io.spacedock.owner={owner}"]}}'
        )
    return [container.id for container in listed]


async def test_it_builds_what_the_classic_builder_does_not_with_the_spaces_secret(
    engine: Engine, name: str, tmp_path: Path
) -> None:
    folder = docker_space(
        tmp_path,
        BASE,
        "RUN useradd --uid 1000 user",
        "USER user",
        "WORKDIR /srv/app",
        "RUN <<END",
        "set -eu",
        "touch owned",
        "END",
        "RUN --mount=type=secret,id=KEY,required=true,uid=1000 sha256sum /run/secrets/KEY > sum",
        "RUN --mount=type=cache,target=/tmp/cache,uid=1000 touch /tmp/cache/x",
        "RUN --mount=type=bind,source=README.md,target=/tmp/card grep -q docker /tmp/card",
        "COPY --chmod=555 --link README.md /card",
        'RUN test "$(stat -c %a /card)" = 555',
        f"LABEL of={name}",
    )
    images = Images(engine, ImageSettings(), owner=name, secrets=of)
    source = SpaceSource(name, repository=folder, secrets=frozenset({"KEY"}))
    image = await images.get(source, silent)
    assert (image.built, image.port) == (True, 7861)
    assert await images.here(source) == image
    async with engine.call(Stage.BUILD) as docker:
        history = await docker.images.history(image.reference)
        found = await docker.images.inspect(image.reference)
    assert SECRET not in str(history) + str(found)
    assert not await containers(engine, name)
    with pytest.raises(StepError, match="secret KEY") as caught:
        await images.get(SpaceSource(f"{name}-other", repository=folder), silent)
    assert caught.value.kind is ErrorKind.UNSUPPORTED


@pytest.mark.usefixtures("whole")
async def test_a_build_has_its_memory_and_says_so(engine: Engine, name: str, tmp_path: Path) -> None:
    folder = docker_space(
        tmp_path, BASE, f"RUN --network=none echo {name}; python3 -c 'bytearray(3 * 2**30)'"
    )
    images = Images(engine, ImageSettings(build_memory=2**29), owner=name)
    with pytest.raises(StepError, match=r"images\.build_memory") as caught:
        await images.get(SpaceSource(name, repository=folder), silent)
    assert caught.value.kind is ErrorKind.BUILD_FAILED
    assert not await containers(engine, name)


@pytest.mark.usefixtures("whole")
async def test_a_failed_step_is_told_without_the_secret(engine: Engine, name: str, tmp_path: Path) -> None:
    line = f"RUN --mount=type=secret,id=KEY echo {name}; cat /run/secrets/KEY; exit 3"
    images = Images(engine, ImageSettings(), owner=name, secrets=of)
    source = SpaceSource(name, repository=docker_space(tmp_path, BASE, line), secrets=frozenset({"KEY"}))
    with pytest.raises(StepError, match="exit code: 3") as caught:
        await images.get(source, silent)
    assert SECRET not in str(caught.value)
    assert f"{name}\n***" in str(caught.value)


@pytest.mark.usefixtures("whole")
async def test_a_build_is_on_the_network_of_builds_and_ends_when_it_is_given_up(
    engine: Engine, name: str, tmp_path: Path
) -> None:
    network, begun = Network(engine, f"{name}-builds"), asyncio.Event()
    folder = docker_space(tmp_path, BASE, f"RUN --network=default echo {name}; sleep 500")
    images = Images(engine, ImageSettings(), network=network, owner=name)

    def hear(text: str) -> None:
        if "sleep 500" in text:
            begun.set()

    build = asyncio.create_task(images.get(SpaceSource(name, repository=folder), hear))
    waiting = asyncio.create_task(begun.wait())
    await asyncio.wait({build, waiting}, return_when=asyncio.FIRST_COMPLETED)
    (container,) = await containers(engine, name)
    async with engine.call(Stage.BUILD) as docker:
        found = await docker.containers.container(container).show()
    build.cancel()
    await asyncio.gather(build, return_exceptions=True)
    assert list(found["NetworkSettings"]["Networks"]) == [network.name]
    assert not await containers(engine, name)
    await network.remove()


async def test_without_an_image_for_buildkit_only_what_needs_it_is_refused(
    engine: Engine, name: str, tmp_path: Path
) -> None:
    images = Images(engine, ImageSettings(buildkit_image="127.0.0.1:1/nobody/has:1"), owner=name)
    (strict := tmp_path / "strict").mkdir()
    (lax := tmp_path / "lax").mkdir()
    docker_space(strict, BASE, "COPY --chmod=755 README.md /x")
    docker_space(lax, BASE, "RUN useradd user", "USER user", "WORKDIR /srv/app", f"LABEL of={name}")
    with pytest.raises(StepError, match="COPY --chmod, which takes BuildKit") as caught:
        await images.get(SpaceSource(name, repository=strict), silent)
    assert caught.value.kind is ErrorKind.UNSUPPORTED
    assert "images.buildkit_image" in str(caught.value)
    assert (await images.get(SpaceSource(name, repository=lax), silent)).built


@pytest.mark.parametrize(
    "line", ["RUN --mount=type=bind,from={},target=/x true", "COPY --link --from={} / /x", "FROM {}"]
)
async def test_the_image_of_another_space_is_handed_to_no_build(
    engine: Engine, name: str, tmp_path: Path, line: str
) -> None:
    images = Images(engine, ImageSettings(), owner=name)
    (theirs := tmp_path / "theirs").mkdir()
    (mine := tmp_path / "mine").mkdir()
    docker_space(theirs, BASE, f"LABEL of={name}")
    other = await images.get(SpaceSource(f"{name}-other", repository=theirs), silent)
    for reference in (other.reference, other.id):
        docker_space(mine, BASE, line.format(reference), "COPY --chmod=755 README.md /y")
        with pytest.raises(StepError, match=r"another Space's|is no image's name|this host alone"):
            await images.get(SpaceSource(name, repository=mine), silent)
