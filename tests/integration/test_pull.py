"""Pulling from a real image registry (Debian's docker-registry), with and without what was asked for."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.image_registry import docker, image_registry, put
from tests.networks import gateway_of
from tests.served import served
from tests.token_server import self_signed

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.oci.preflight import Preflight
from spacedock_worker.images.oci.reference import parse_reference
from spacedock_worker.images.pulls import Pull
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an image registry on loopback, which engines trust without TLS."""
    with image_registry(tmp_path_factory.mktemp("registry")) as address:
        yield address


@pytest.fixture
def pushed(registry: str) -> Iterator[str]:
    """A small image that is in the registry and not on this host."""
    reference = f"{registry}/user-space-{secrets.token_hex(4)}:latest"
    put(reference, changes=["LABEL io.spacedock.test=pull", "ENV HF_HOME=/data/hf"])
    yield reference
    docker("image", "rm", "--force", reference)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    async with Engine() as engine:
        yield engine


@pytest.fixture
def images(engine: Engine) -> Images:
    return Images(engine, ImageSettings())


def silent(text: str) -> None:
    pass


async def test_an_image_is_pulled_with_progress_and_known_by_its_digest(images: Images, pushed: str) -> None:
    said: list[str] = []
    image = await images.get(SpaceSource("space", docker_image=pushed), said.append)
    assert image.reference == pushed
    assert image.digest.startswith("sha256:")
    assert said[0] == f"pulling {pushed}"
    assert said[-1] == f"pulling {pushed} 100% of 1.0 MB, 1 of 1 layers"
    # An image without a command of its own is a Gradio Space's: the Hub starts it with its app.
    assert image.command == ("python", "app.py")
    assert (image.built, image.cache) == (False, "/data/hf")


async def test_who_keeps_account_of_pulls_is_told_of_each_once(engine: Engine, pushed: str) -> None:
    told: list[tuple[str, str]] = []

    async def tell(reference: str, digest: str) -> None:
        told.append((reference, digest))

    images = Images(engine, ImageSettings(), tell)
    for _ in range(2):
        image = await images.get(SpaceSource("space", docker_image=pushed), silent)
    assert told == [(pushed, image.digest)]


async def test_an_image_that_is_present_is_not_pulled_again(images: Images, pushed: str) -> None:
    await images.get(SpaceSource("space", docker_image=pushed), silent)
    said: list[str] = []
    await images.get(SpaceSource("space", docker_image=pushed), said.append)
    assert said == []


async def test_many_spaces_that_want_an_image_get_one_pull_and_all_hear_of_it(
    images: Images, pushed: str
) -> None:
    heard: list[list[str]] = [[] for _ in range(4)]
    sources = [SpaceSource(f"space-{number}", docker_image=pushed) for number in range(4)]
    sources[3] = SpaceSource("other", docker_image=pushed, hub_id="somebody/other")
    async with asyncio.TaskGroup() as jobs:
        for source, said in zip(sources, heard, strict=True):
            jobs.create_task(images.get(source, said.append))
    for said in heard:
        assert said.count(f"pulling {pushed}") == 1
        assert said[-1].endswith("1 of 1 layers")


async def test_an_image_that_the_registry_lacks_is_an_error_that_names_it(
    images: Images, registry: str
) -> None:
    missing = f"{registry}/no-such-space:latest"
    said: list[str] = []
    with pytest.raises(StepError) as caught:
        await images.get(SpaceSource("space", docker_image=missing), said.append)
    assert (caught.value.stage, caught.value.kind) == (Stage.PULL, ErrorKind.PULL_FAILED)
    assert missing in str(caught.value)
    # The engine was not even asked.
    assert said == []


async def test_a_tag_that_is_needed_is_named(images: Images, pushed: str) -> None:
    with pytest.raises(StepError, match="It has the tags latest: name one of them"):
        await images.get(SpaceSource("space", pushed.replace(":latest", ":v2")), silent)


async def test_a_digest_is_pulled_and_run_and_no_other(images: Images, pushed: str) -> None:
    first = await images.get(SpaceSource("space", docker_image=pushed), silent)
    put(pushed)
    locked = SpaceSource("space", docker_image=pushed, digest=first.digest)
    image = await images.get(locked, silent)
    name = pushed.removesuffix(":latest")
    assert (image.reference, image.digest, image.id) == (f"{name}@{first.digest}", first.digest, first.id)
    newest = await images.get(SpaceSource("space", docker_image=pushed), silent)
    assert newest.id != first.id
    assert (await images.get(locked, silent)).id == first.id
    by_id = await images.get(SpaceSource("space", docker_image=pushed, digest=first.id), silent)
    assert by_id.id == first.id
    docker("image", "rm", "--force", first.id)


async def test_a_digest_that_is_nowhere_is_not_replaced_by_a_build(images: Images, pushed: str) -> None:
    digest = f"sha256:{'0' * 64}"
    locked = SpaceSource("space", docker_image=pushed, hub_id="somebody/space", digest=digest)
    with pytest.raises(StepError, match=digest) as caught:
        await images.get(locked, silent)
    assert caught.value.kind is ErrorKind.PULL_FAILED


async def test_an_image_that_does_not_fit_on_the_disk_is_not_begun(images: Images) -> None:
    """Its image registry is a double: a real one would have to hold what does not fit."""
    layer = {"digest": f"sha256:{'a' * 64}", "size": 10**17}

    async def manifest(request: web.Request) -> web.Response:
        return web.json_response({"schemaVersion": 2, "layers": [layer], "config": layer})

    async with served(manifest) as address:
        said: list[str] = []
        with pytest.raises(StepError, match=r"needs about 200000000\.0 GB .* free") as caught:
            await images.get(SpaceSource("space", f"{address}/huge:1"), said.append)
    assert (caught.value.stage, caught.value.kind) == (Stage.PULL, ErrorKind.OUT_OF_DISK)
    assert said == []


@pytest.mark.parametrize("answer", ["page", "endless", "redirect"])
async def test_where_the_registry_cannot_be_asked_the_engine_decides(
    engine: Engine, registry: str, answer: str
) -> None:
    """Servers that are no image registry, or behave like none, in front of what the engine may still pull."""

    async def odd(request: web.Request) -> web.StreamResponse:
        if answer == "page":
            return web.Response(status=404, text="<html>nothing here</html>")
        if answer == "redirect":
            raise web.HTTPFound("http://127.0.0.1:9/")
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(200):
            await response.write(b" " * 2**16)
        return response

    async with served(odd) as address:
        said: list[str] = []
        with pytest.raises(StepError, match="cannot be pulled") as caught:
            await Images(engine, ImageSettings()).get(SpaceSource("space", f"{address}/odd:1"), said.append)
    assert caught.value.kind is ErrorKind.PULL_FAILED
    assert said == [f"pulling {address}/odd:1"]


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_pull_is_tried_again_where_the_image_registry_is_busy(engine: Engine, status: int) -> None:
    async def busy(request: web.Request) -> web.Response:
        return web.Response(status=status)

    async with served(busy) as address:
        said: list[str] = []
        reference = f"{address}/busy:1"
        pull = Pull(engine, parse_reference(reference), None, None, said.append, pauses=(0.0, 0.0))
        with pytest.raises(StepError, match="cannot be pulled"):
            await pull.run(60)
    again = f"pulling {reference} met an image registry that is busy: trying again"
    assert said == [f"pulling {reference}", again, again]


async def test_elsewhere_a_registry_is_asked_by_tls_that_the_ca_bundle_trusts(
    engine: Engine, tmp_path: Path
) -> None:
    """Asked at the address of Docker's bridge: on loopback there is no TLS."""
    async with engine.call(Stage.PULL) as client:
        bridge = await (await client.networks.get("bridge")).show()
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    host = gateway_of(bridge)
    self_signed(key, certificate, f"IP:{host}")
    tls = f"tls: {{certificate: '{certificate}', key: '{key}'}}"
    with image_registry(tmp_path) as loopback, image_registry(tmp_path, host=host, http=tls) as address:
        put(f"{loopback}/x:1")
        reference = parse_reference(f"{address}/x:1")
        trusting = Preflight(engine, ImageSettings(ca_bundle=certificate))
        found = await trusting.check(reference, None)
        assert found is not None
        assert found.size > 2**20
        with pytest.raises(StepError, match="has the tags 1"):
            await trusting.check(reference.tagged("2"), None)
        assert await Preflight(engine, ImageSettings()).check(reference, None) is None
        missing = Preflight(engine, ImageSettings(ca_bundle=tmp_path / "none.pem"))
        assert await missing.check(reference, None) is None
