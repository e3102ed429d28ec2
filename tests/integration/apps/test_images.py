"""Images on a real engine: builds, what is reused, and what is said where there is none."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import tarfile
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
from tests.hub import HubDouble
from tests.served import served

from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource

SENTIMENT = Path(__file__).parents[2] / "spaces" / "sentiment"


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def settings() -> ImageSettings:
    bundle = os.environ.get("SSL_CERT_FILE")
    return ImageSettings(ca_bundle=Path(bundle) if bundle else None)


@pytest.fixture
def images(engine: Engine, settings: ImageSettings) -> Images:
    return Images(engine, settings)


@pytest.fixture
async def name(engine: Engine) -> AsyncIterator[str]:
    """A Space's name of this test alone; its images are removed afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    async with engine.call(Stage.BUILD, 60) as docker:
        for image in await docker.images.list(filters={"reference": [f"spacedock/space-{name}"]}):
            await docker.images.delete(image["Id"], force=True)


def silent(text: str) -> None:
    pass


def docker_space(folder: Path, base: str, *lines: str) -> Path:
    """A repository with its own small Dockerfile, which builds in no time."""
    (folder / "README.md").write_text("---\nsdk: docker\napp_port: 7861\n---\n")
    (folder / "Dockerfile").write_text("\n".join([f"FROM {base}", *lines]) + "\n")
    return folder


def packed(folder: Path) -> bytes:
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    return data.getvalue()


@pytest.mark.timeout(900)
async def test_a_gradio_space_is_built_reused_and_rebuilt_without_installing(
    engine: Engine, settings: ImageSettings, name: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(SENTIMENT, tmp_path / "space")
    heard: list[str] = []
    first = await Images(engine, settings).get(SpaceSource(name, repository=folder), heard.append)
    assert (first.built, first.cache) == (True, "/home/user/.cache")
    assert any("installing Gradio" in text for text in heard)
    assert first.digest.startswith("sha256:")

    images, again = Images(engine, settings), list[str]()
    assert await images.get(SpaceSource(name, repository=packed(folder)), again.append) == first
    assert again == [], "nothing is built, so that nothing is told"

    with (folder / "app.py").open("a") as app:
        app.write("\n# changed\n")
    second = await images.get(SpaceSource(name, repository=folder), silent)
    assert second.reference != first.reference
    async with engine.call(Stage.BUILD) as docker:
        found = [await docker.images.inspect(image.reference) for image in (first, second)]
    before, after = ([*image["RootFS"]["Layers"]] for image in found)
    assert before[:-1] == after[:-1], "nothing is installed again: the app's own layer alone differs"

    own = ContainerSettings(instance_id=name, start_timeout=120)
    spec = ContainerSpec(name, second.reference, second.digest)
    connect = Opener().connect_to(second.digest, Access())
    pool: Pool[Adapter]
    async with Pool(engine, own) as pool, pool.lease(spec, connect, silent) as lease:
        answer = await lease.app.call(AppCall("I love it"), lambda message, partial=None: None)
    assert (answer.text or "").startswith("positive")


async def test_a_docker_space_is_built_from_its_own_dockerfile(images, base, name, tmp_path) -> None:
    repository = docker_space(tmp_path, base, 'CMD ["python3"]')
    heard: list[str] = []
    image = await images.get(SpaceSource(name, repository=repository), heard.append)
    assert (image.port, image.command) == (7861, None)
    assert any('CMD ["python3"]' in text for text in heard)


async def test_the_sources_own_command_and_port_win(images, base, name, tmp_path) -> None:
    repository = docker_space(tmp_path, base, "ENV A=1")
    source = SpaceSource(name, repository=repository, command=("run",), port=8000)
    image = await images.get(source, silent)
    assert (image.command, image.port) == (("run",), 8000)


async def test_many_who_want_an_image_get_one_build(images, base, name, tmp_path) -> None:
    source = SpaceSource(name, repository=docker_space(tmp_path, base, "RUN echo once"))
    heard: list[list[str]] = [[] for _ in range(5)]
    async with asyncio.TaskGroup() as users:
        got = [users.create_task(images.get(source, texts.append)) for texts in heard]
    assert len({task.result() for task in got}) == 1
    # Each hears of the one build: had there been more, some would hear of steps that are done already.
    assert all(texts == heard[0] for texts in heard)
    assert sum(text.startswith("step 1/") for text in heard[0]) == 1


async def test_a_failed_build_says_its_last_words(images, base, name, tmp_path) -> None:
    repository = docker_space(tmp_path, base, "RUN echo early", "RUN echo no such wheel >&2; exit 3")
    with pytest.raises(StepError, match="no such wheel") as caught:
        await images.get(SpaceSource(name, repository=repository), silent)
    assert (caught.value.stage, caught.value.kind) == (Stage.BUILD, ErrorKind.BUILD_FAILED)
    assert "early" not in str(caught.value).partition("\n")[2]


async def test_a_failed_build_is_not_repeated_for_the_next_job(images, base, name, tmp_path) -> None:
    source = SpaceSource(name, repository=docker_space(tmp_path, base, "RUN echo so it ended && exit 3"))
    heard: list[str] = []
    for _ in range(2):
        with pytest.raises(StepError, match="so it ended") as caught:
            await images.get(source, heard.append)
        assert caught.value.kind is ErrorKind.BUILD_FAILED
    assert len([text for text in heard if "1/" in text]) == 1
    # What is mended is built at once.
    mended = SpaceSource(name, repository=docker_space(tmp_path, base, "ENV MENDED=1"))
    assert (await images.get(mended, silent)).built


async def test_a_build_over_its_time_is_ended(engine, settings, base, name, tmp_path) -> None:
    hurried = Images(engine, settings.model_copy(update={"build_timeout": 1.0}))
    repository = docker_space(tmp_path, base, f"LABEL test={name}", "RUN sleep 600")
    with pytest.raises(StepError, match="not built after 1 s"):
        await hurried.get(SpaceSource(name, repository=repository), silent)


async def test_a_cancelled_build_leaves_no_container(engine, images, base, name, tmp_path) -> None:
    repository = docker_space(tmp_path, base, f"LABEL test={name}", "RUN sleep 600")
    sleeping = asyncio.Event()

    def on_progress(text: str) -> None:
        if "sleep" in text:
            sleeping.set()

    build = asyncio.create_task(images.get(SpaceSource(name, repository=repository), on_progress))
    await sleeping.wait()
    build.cancel()
    with pytest.raises(asyncio.CancelledError):
        await build
    filters = json.dumps({"label": [f"test={name}"]})
    async with asyncio.timeout(60):
        left = True
        while left:
            # The engine ends the step by itself once the connection is gone; every look takes its time.
            async with engine.call(Stage.BUILD) as docker:
                left = bool(await docker.containers.list(all=True, filters=filters))


async def test_a_present_image_is_taken_as_it_is(images, base) -> None:
    image = await images.get(SpaceSource("present", docker_image=base), silent)
    assert image.reference == base
    # The base has no command of its own, as the Hub's images of Gradio Spaces.
    assert image.command == ("python", "app.py")


async def test_a_pull_that_fails_says_what_to_do(images) -> None:
    with pytest.raises(StepError, match="cannot be pulled") as caught:
        await images.get(SpaceSource("none", docker_image="127.0.0.1:9/none:latest"), silent)
    assert (caught.value.stage, caught.value.kind) == (Stage.PULL, ErrorKind.PULL_FAILED)


async def test_a_pull_that_fails_falls_to_the_repository(images, base, name, tmp_path) -> None:
    repository = docker_space(tmp_path, base, "ENV A=2")
    image = await images.get(SpaceSource(name, "127.0.0.1:9/none:latest", repository), silent)
    assert image.reference.startswith(f"spacedock/space-{name}:")


async def test_an_unreachable_hub_is_said_and_an_earlier_build_is_used(
    engine, settings, base, name, tmp_path
) -> None:
    nowhere = settings.model_copy(update={"hub_registry": "127.0.0.1:9"})
    away = Images(engine, nowhere.model_copy(update={"hub_endpoint": "http://127.0.0.1:9"}))
    source = SpaceSource(name, hub_id=f"somebody/{name}")
    with pytest.raises(StepError) as caught:
        await away.get(source, silent)
    assert (caught.value.stage, caught.value.kind) == (Stage.BUILD, ErrorKind.REPOSITORY_UNAVAILABLE)

    hub = HubDouble()
    files = {path.name: path.read_text() for path in docker_space(tmp_path, base, "ENV A=3").iterdir()}
    hub.add(f"somebody/{name}", "a" * 40, files, sdk="docker")
    async with served(hub.handle) as address:
        near = Images(engine, nowhere.model_copy(update={"hub_endpoint": f"http://{address}"}))
        built = await near.get(source, silent)
    assert (await away.get(source, silent)).reference == built.reference


async def test_a_base_that_cannot_be_pulled_is_named(engine, name, tmp_path) -> None:
    (tmp_path / "app.py").write_text("")
    (tmp_path / "README.md").write_text("---\nsdk: gradio\npython_version: 3.9\n---\n")
    settings = ImageSettings(base_images={"3.9": "127.0.0.1:9/python:3.9"})
    with pytest.raises(StepError, match="base_images") as caught:
        await Images(engine, settings).get(SpaceSource(name, repository=tmp_path), silent)
    assert caught.value.kind is ErrorKind.BUILD_FAILED


async def test_a_space_without_any_source_is_refused(images) -> None:
    with pytest.raises(StepError, match="docker_image"):
        await images.get(SpaceSource("nothing"), silent)


async def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    async with Engine(f"unix://{tmp_path}/no.sock") as absent:
        with pytest.raises(StepError, match="docker info") as caught:
            await Images(absent, ImageSettings()).get(SpaceSource("x", docker_image="x"), silent)
    assert caught.value.kind is ErrorKind.DOCKER_UNAVAILABLE


async def test_an_image_removed_meanwhile_is_built_again(engine, images, base, name, tmp_path) -> None:
    source = SpaceSource(name, repository=docker_space(tmp_path, base, "ENV A=4"))
    image: Image = await images.get(source, silent)
    async with engine.call(Stage.BUILD) as docker:
        await docker.images.delete(image.reference, force=True)
        with pytest.raises(EngineRefusedError):
            async with engine.call(Stage.BUILD) as again:
                await again.images.inspect(image.reference)
    assert (await images.get(source, silent)).reference == image.reference
