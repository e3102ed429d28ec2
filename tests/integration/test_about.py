"""What is told of a Space of the Hub: its image by a real image registry, what is here by a real engine."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.control_calls import asked
from tests.hub import HubDouble
from tests.image_registry import docker, image_registry, put
from tests.registries import declare
from tests.served import served

from spacedock._wire.rpc import Call, Op
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.view import SpaceStatus
from spacedock_worker.control.show_hub import ShowHubHandler
from spacedock_worker.hub.catalogue import Catalogue
from spacedock_worker.images.images import Images
from spacedock_worker.images.oci.survey import Survey
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource
from spacedock_worker.jobs.inspection import Inspector
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.image_policy import ImagePolicy
from spacedock_worker.state.image_usage import EndpointStore

SHA = "1234567" + "b" * 33
HEAR = Endpoint("/hear", (InputSlot("file", "File", "audio", 0, True),), 1, ("textbox",))


@pytest.fixture(scope="module")
def image_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with image_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def hub() -> HubDouble:
    return HubDouble()


@pytest.fixture
async def settings(hub: HubDouble, image_host: str) -> AsyncIterator[ImageSettings]:
    async with served(hub.handle) as address:
        yield ImageSettings(hub_endpoint=f"http://{address}", hub_registry=image_host)


def add(hub: HubDouble, sdk: str = "gradio") -> str:
    """A Space of this test alone; gives its name."""
    name = f"test-{secrets.token_hex(4)}"
    hub.add(f"me/{name}", SHA, {"app.py": 'os.environ["MY_KEY"]'}, sdk=sdk, subdomain=f"me-{name}")
    return name


class NoPool:
    """A pool that holds nothing."""

    def status(self) -> dict[str, SpaceStatus]:
        return {}


async def told(engine: Engine, settings: ImageSettings, folder: Path, name: str) -> dict[str, Any]:
    """What a worker tells of a Space."""
    registry = Registry(folder / "registry.yaml")
    declare(registry, "ears", {})
    declare(registry, "linked", {"hub_id": "me/linked"})
    catalogue = Catalogue(settings, folder, time.time)
    policy = ImagePolicy(Images(engine, settings), endpoints=EndpointStore(folder))
    handler = ShowHubHandler(registry, catalogue, Survey(settings), Inspector(policy, NoPool()), time.time)
    try:
        call = Call(id="1", op=Op.ABOUT, name=name)
        return (await asked(handler.answer, call)).data
    finally:
        catalogue.close()


async def test_an_image_of_the_hub_is_told_with_its_size(
    engine: Engine, settings: ImageSettings, hub: HubDouble, image_host: str, tmp_path: Path
) -> None:
    name = add(hub)
    put(f"{image_host}/me-{name}:cpu-{SHA[:7]}")
    found = await told(engine, settings, tmp_path, f"me/{name}")
    image = found["image"]
    assert (image["state"], image["reference"]) == ("to be pulled", f"{image_host}/me-{name}:cpu-{SHA[:7]}")
    assert image["size"] > 2**20
    assert image["digest"].startswith("sha256:")
    assert (found["space"]["secrets"], found["space"]["name"], found["endpoints"]) == (["MY_KEY"], None, [])


async def test_a_space_without_an_image_is_to_be_built(
    engine: Engine, settings: ImageSettings, hub: HubDouble, tmp_path: Path
) -> None:
    image = (await told(engine, settings, tmp_path, f"me/{add(hub)}"))["image"]
    assert (image["state"], image["why"]) == ("to be built", "the Hub keeps no image of it")


async def test_where_no_image_is_pulled_it_is_to_be_built(
    engine: Engine, settings: ImageSettings, hub: HubDouble, tmp_path: Path
) -> None:
    building = settings.model_copy(update={"pull_hub_images": False})
    assert (await told(engine, building, tmp_path, f"me/{add(hub)}"))["image"]["state"] == "to be built"


async def test_of_an_image_that_is_here_it_is_told_what_its_app_can_do(
    engine: Engine, settings: ImageSettings, hub: HubDouble, image_host: str, tmp_path: Path
) -> None:
    name = add(hub)
    put(f"{image_host}/me-{name}:latest")
    source = SpaceSource("x", hub_id=f"me/{name}", subdomain=f"me-{name}")
    image = await Images(engine, settings).get(source, lambda text: None)
    await EndpointStore(tmp_path).put(image.digest, (HEAR,))
    found = await told(engine, settings, tmp_path, f"me/{name}")
    assert (found["image"]["state"], found["image"]["reference"]) == ("here", image.reference)
    assert found["endpoints"] == ["/hear(file: audio) -> textbox"]
    docker("image", "rm", "--force", image.reference)


async def test_a_page_has_no_image_that_could_run(
    engine: Engine, settings: ImageSettings, hub: HubDouble, tmp_path: Path
) -> None:
    assert (await told(engine, settings, tmp_path, f"me/{add(hub, 'static')}"))["image"]["state"] == "none"


async def test_a_name_of_the_registry_is_asked_about_by_its_hub_id(
    engine: Engine, settings: ImageSettings, hub: HubDouble, tmp_path: Path
) -> None:
    hub.add("me/linked", SHA, {}, sdk="gradio")
    found = await told(engine, settings, tmp_path, "linked")
    assert (found["space"]["id"], found["space"]["name"]) == ("me/linked", "linked")
    with pytest.raises(BadRequestError, match="no Space of the Hub"):
        await told(engine, settings, tmp_path, "ears")
    with pytest.raises(SpaceNotFoundError):
        await told(engine, settings, tmp_path, "nothing")
