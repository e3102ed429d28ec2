"""Spaces that are known by their Hub ids: pulled from the Hub's image registry, else built.

The Hub's API is a double (tests/hub.py); its image registry is a real one.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.hub import HubDouble
from tests.image_registry import docker, image_registry, put
from tests.quickest import Quickest
from tests.served import served

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

OLD, NEW = "0" * 40, "1234567" + "a" * 33
NOWHERE = "127.0.0.1:9"


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with image_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def name(registry: str) -> Iterator[str]:
    """A Space's name of this test alone; its images are removed afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    for reference in (f"{registry}/me-{name}", f"spacedock/space-me-{name}"):
        if found := docker("images", "--quiet", reference).split():
            docker("image", "rm", "--force", *found)


@pytest.fixture
def hub() -> HubDouble:
    return HubDouble()


@pytest.fixture
async def settings(hub: HubDouble, registry: str) -> AsyncIterator[ImageSettings]:
    async with served(hub.handle) as address:
        yield ImageSettings(hub_endpoint=f"http://{address}", hub_registry=registry)


def away(settings: ImageSettings, **changes: object) -> ImageSettings:
    return settings.model_copy(update={"hub_endpoint": f"http://{NOWHERE}"} | changes)


def space(text: str = "") -> dict[str, str]:
    """The files of a Space that builds in no time."""
    dockerfile = f'FROM scratch\nCOPY README.md /\nENV TEXT={text}x\nCMD ["/run"]\n'
    return {"README.md": "---\nsdk: docker\napp_port: 7861\n---\n", "Dockerfile": dockerfile}


def by_id(name: str, **fields: str) -> SpaceSource:
    return SpaceSource(f"me/{name}", hub_id=f"me/{name}", **fields)


def silent(text: str) -> None:
    pass


async def test_a_space_by_its_id_is_pulled_as_the_hub_names_and_describes_it(
    engine, settings, hub, registry, name
) -> None:
    hub.add(f"me/{name}", NEW, {}, subdomain=f"me-{name}-cut", sdk="gradio", cardData={"app_file": "main.py"})
    put(f"{registry}/me-{name}-cut:latest")
    image = await Images(engine, settings).get(by_id(name), silent)
    assert image.reference == f"{registry}/me-{name}-cut:latest"
    assert image.command == ("python", "main.py")
    assert (image.built, image.revision) == (False, None)
    docker("image", "rm", "--force", image.reference)


async def test_without_latest_it_is_the_tag_of_the_spaces_commit(
    engine, settings, hub, registry, name
) -> None:
    hub.add(f"me/{name}", NEW, {}, subdomain=f"me-{name}", sdk="docker", cardData={"app_port": 8000})
    put(f"{registry}/me-{name}:cpu-{NEW[:7]}", changes=['CMD ["/serve"]'])
    put(f"{registry}/me-{name}:cpu-{OLD[:7]}")
    images = Images(engine, settings)
    image = await images.get(by_id(name), silent)
    assert image.reference == f"{registry}/me-{name}:cpu-{NEW[:7]}"
    assert (image.revision, image.port, image.command) == (NEW, 8000, None)
    hub.asked.clear()
    assert await images.get(by_id(name), silent) == image
    assert hub.asked == []


async def test_what_was_pulled_before_is_taken_where_the_registry_is_away(
    engine, settings, tmp_path: Path
) -> None:
    with image_registry(tmp_path) as registry:
        put(f"{registry}/me-space:cpu-{OLD[:7]}")
        source = SpaceSource("x", docker_image=f"{registry}/me-space", hub_id="me/space")
        known = away(settings, hub_registry=registry)
        image = await Images(engine, known).get(source, silent)
    again = await Images(engine, known).get(source, silent)
    assert (again.id, again.revision) == (image.id, OLD[:7])
    docker("image", "rm", "--force", image.reference)


async def test_offline_neither_the_hub_nor_its_image_registry_is_asked(
    engine, settings, hub, registry, name
) -> None:
    hub.add(f"me/{name}", NEW, space(), subdomain=f"me-{name}", sdk="docker")
    put(f"{registry}/me-{name}:latest")
    offline = settings.model_copy(update={"hub_offline": True})
    with pytest.raises(StepError, match="this host asks the Hub nothing") as failed:
        await Images(engine, offline).get(by_id(name), silent)
    assert failed.value.kind is ErrorKind.REPOSITORY_UNAVAILABLE
    assert hub.asked == []
    image = await Images(engine, settings).get(by_id(name), silent)
    hub.asked.clear()
    assert await Images(engine, offline).get(by_id(name), silent) == image
    assert hub.asked == []


async def test_a_locked_digest_is_pulled_from_the_hub(engine, settings, hub, registry, name) -> None:
    hub.add(f"me/{name}", NEW, {}, subdomain=f"me-{name}", sdk="docker")
    put(f"{registry}/me-{name}:latest")
    first = await Images(engine, settings).get(by_id(name), silent)
    docker("image", "rm", "--force", first.reference)
    put(f"{registry}/me-{name}:latest")
    locked = by_id(name, digest=first.digest, revision=NEW)
    image = await Images(engine, settings).get(locked, silent)
    assert (image.id, image.digest) == (first.id, first.digest)
    # Known by its digest alone, it still has a name to run it by.
    assert await Images(engine, away(settings, hub_registry=NOWHERE)).get(locked, silent) == image
    docker("image", "rm", "--force", first.id)


async def test_an_image_of_another_commit_only_is_not_taken(engine, settings, hub, registry, name) -> None:
    hub.add(f"me/{name}", NEW, space(), subdomain=f"me-{name}", sdk="docker")
    put(f"{registry}/me-{name}:cpu-{OLD[:7]}")
    image = await Images(engine, settings).get(by_id(name), silent)
    assert image.reference.startswith(f"spacedock/space-me-{name}:")
    assert (image.built, image.revision, image.port) == (True, NEW, 7861)


async def test_a_named_image_of_a_space_gets_the_tag_that_there_is(
    engine, settings, hub, registry, name
) -> None:
    put(f"{registry}/me-{name}:cpu-{OLD[:7]}")
    source = SpaceSource("x", docker_image=f"{registry}/me-{name}:latest")
    image = await Images(engine, settings).get(source, silent)
    assert (image.reference, image.revision) == (f"{registry}/me-{name}:cpu-{OLD[:7]}", OLD[:7])
    missing = SpaceSource("x", docker_image=f"{registry}/me-{name}-none")
    with pytest.raises(StepError, match="the Hub keeps no image of it") as caught:
        await Images(engine, settings).get(missing, silent)
    assert (caught.value.stage, caught.value.kind) == (Stage.PULL, ErrorKind.PULL_FAILED)


async def test_without_the_hub_the_name_goes_by_the_rule(engine, settings, registry, name) -> None:
    put(f"{registry}/me-{name}:latest")
    image = await Images(engine, away(settings)).get(by_id(name), silent)
    assert image.reference == f"{registry}/me-{name}:latest"


async def test_a_machine_without_a_network_does_not_wait_for_it(engine, settings, name) -> None:
    refusals = Quickest(8.0)
    while refusals.again:
        images = Images(engine, away(settings, hub_registry=NOWHERE))
        with refusals.round():
            for _ in range(2):
                with pytest.raises(StepError) as caught:
                    await images.get(by_id(name), silent)
                assert caught.value.kind is ErrorKind.REPOSITORY_UNAVAILABLE
    assert refusals.under, refusals.rounds


async def test_that_there_is_no_image_is_remembered(engine, settings, hub, name) -> None:
    hub.add(f"me/{name}", NEW, {"README.md": "---\nsdk: docker\n---\n"}, sdk="docker")
    images = Images(engine, settings)
    for _ in range(2):
        hub.asked.clear()
        with pytest.raises(StepError, match="no Dockerfile"):
            await images.get(by_id(name), silent)
    # Once, to fetch the newest commit; the first time once more, for the image.
    assert hub.asked.count(f"/api/spaces/me/{name}") == 1


async def test_pulling_from_the_hub_can_be_turned_off(engine, settings, hub, registry, name) -> None:
    hub.add(f"me/{name}", NEW, space(), subdomain=f"me-{name}", sdk="docker")
    put(f"{registry}/me-{name}:latest")
    own = settings.model_copy(update={"pull_hub_images": False})
    assert (await Images(engine, own).get(by_id(name), silent)).built


async def test_a_locked_commit_is_built_and_no_other(engine, settings, hub, name, tmp_path: Path) -> None:
    hub.add(f"me/{name}", OLD, space("old"), sdk="docker")
    hub.add(f"me/{name}", NEW, space("new"), sdk="docker")
    scratch = settings.model_copy(update={"scratch": tmp_path / "scratch"})
    images = Images(engine, scratch)
    newest = await images.get(by_id(name), silent)
    locked = await images.get(by_id(name, revision=OLD), silent)
    assert (newest.revision, locked.revision) == (NEW, OLD)
    assert newest.id != locked.id
    assert os.listdir(tmp_path / "scratch") == []
    offline = Images(engine, away(settings, hub_registry=NOWHERE))
    assert await offline.get(by_id(name, revision=OLD), silent) == locked
    assert await offline.get(by_id(name, digest=locked.digest), silent) == locked
    with pytest.raises(StepError, match="commit that is wanted"):
        await images.get(by_id(name, revision="f" * 40), silent)


async def test_two_spaces_that_lead_to_one_name_are_not_taken_for_each_other(
    engine, settings, registry, name
) -> None:
    put(f"{registry}/me-{name}:latest")
    docker("pull", "--quiet", f"{registry}/me-{name}:latest")
    mine, theirs = f"me/{name}", f"ME-{name.replace('-', '/', 1)}"
    alone = Images(engine, away(settings, hub_offline=True))
    both = Images(engine, away(settings, hub_offline=True), known=lambda: (mine, theirs))
    source = SpaceSource(theirs, hub_id=theirs)
    assert await alone.here(source) is not None
    assert await both.here(source) is None
    with pytest.raises(StepError):
        await both.get(source, silent)


async def test_what_somebody_sends_is_no_image_of_the_hubs_space_that_he_names(
    engine, settings, name, tmp_path: Path
) -> None:
    for file, text in space("evil").items():
        (tmp_path / file).write_text(text)
    images = Images(engine, away(settings, hub_offline=True))
    sent = SpaceSource(f"me-{name}", hub_id=f"me/{name}", repository=tmp_path)
    assert (await images.get(sent, silent)).built
    assert await images.here(by_id(name)) is None
    with pytest.raises(StepError):
        await images.get(by_id(name), silent)
