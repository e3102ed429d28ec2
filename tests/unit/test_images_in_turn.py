"""A build that fails for want of a compiler is made again on the full base; later gets find that at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.engine_double import engine_double

from spacedock.result import ErrorKind
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource, flavour_of, labels_of

NO_COMPILER = "error: command 'gcc' failed: No such file or directory"


class Builder:
    """Stands in for the engine's builder, which takes minutes; `slim` and `full` are how these end."""

    def __init__(self) -> None:
        self.slim = self.full = ""
        self.built: list[str] = []
        self.answers: dict[str, Any] = {
            "build": self._build,
            "images/spacedock/python:3.11/json": {"RepoTags": ["spacedock/python:3.11"]},
        }

    def _build(self, request: web.Request) -> dict[str, Any]:
        file, tag = request.query["dockerfile"], request.query["t"]
        self.built.append(file)
        if said := self.slim if file == "Dockerfile" else self.full:
            return {"error": said, "errorDetail": {"message": said}}
        flavour = "slim" if file == "Dockerfile" else "full"
        labels = labels_of("x", None, None, 7860, "", flavour=flavour)
        self.answers[f"images/{tag}/json"] = {"Id": f"sha256:{flavour}", "Config": {"Labels": labels}}
        return {"stream": "Successfully built"}


@pytest.fixture
def builder() -> Builder:
    return Builder()


@pytest.fixture
async def engine(builder: Builder, tmp_path: Path) -> AsyncIterator[Engine]:
    async with engine_double(tmp_path, builder.answers) as (engine, double):
        double.answers = builder.answers | {"version": double.answers["version"]}
        builder.answers = double.answers
        yield engine


@pytest.fixture
def source(tmp_path: Path) -> SpaceSource:
    repository = tmp_path / "space"
    repository.mkdir()
    (repository / "app.py").write_text("import gradio")
    return SpaceSource("x", repository=repository)


async def got(images: Images, source: SpaceSource, heard: list[str] | None = None) -> Image:
    return await images.get(source, (heard if heard is not None else []).append)


async def test_most_spaces_are_built_on_the_slim_base(engine, builder, source) -> None:
    assert (await got(Images(engine, ImageSettings()), source)).flavour == "slim"
    assert builder.built == ["Dockerfile"]


async def test_what_cannot_be_compiled_is_built_on_the_full_base(engine, builder, source) -> None:
    builder.slim, heard = NO_COMPILER, list[str]()
    images = Images(engine, ImageSettings())
    image = await got(images, source, heard)
    assert (image.flavour, image.reference[-5:]) == ("full", "-full")
    assert any("slim base image lacks" in text for text in heard)
    assert await got(images, source) == await got(Images(engine, ImageSettings()), source) == image
    assert builder.built == ["Dockerfile", "Dockerfile.full"]


async def test_what_fails_for_another_reason_is_built_once(engine, builder, source) -> None:
    builder.slim = "ERROR: No matching distribution found for numpy==99"
    with pytest.raises(StepError, match="No matching distribution") as caught:
        await got(Images(engine, ImageSettings()), source)
    assert caught.value.kind is ErrorKind.BUILD_FAILED
    assert builder.built == ["Dockerfile"]


@pytest.mark.parametrize(
    "said",
    [
        'unable to find image "sha256:0ad5"',
        "failed to export image: failed to set parent sha256:0ad5: unknown parent image ID sha256:0ad5",
        "failed to get layer sha256:0ad5: layer does not exist",
        "No such image: sha256:0ad5",
    ],
)
async def test_a_build_whose_cache_was_removed_meanwhile_is_built_again_once(
    engine, builder, source, said: str
) -> None:
    build = builder.answers["build"]

    def lost(request: web.Request) -> dict[str, Any]:
        builder.slim = said if times.pop() else ""
        return build(request)

    builder.answers["build"] = lost
    times = [False, True]
    assert (await got(Images(engine, ImageSettings()), source)).flavour == "slim"
    assert builder.built == ["Dockerfile"] * 2
    times = [True, True, True]
    (source.repository / "app.py").write_text("import gradio as gr")
    with pytest.raises(StepError, match="sha256:0ad5"):
        await got(Images(engine, ImageSettings()), source)
    assert builder.built == ["Dockerfile"] * 4


async def test_an_engine_without_its_bridge_is_the_hosts_fault(engine, builder, source) -> None:
    builder.slim = "failed to create endpoint x on network bridge: could not find bridge docker0"
    with pytest.raises(StepError, match="Restart the Docker Engine") as caught:
        await got(Images(engine, ImageSettings()), source)
    assert caught.value.host


async def test_what_a_step_of_its_own_says_of_images_is_no_reason(engine, builder, source) -> None:
    builder.slim = "The command '/bin/sh -c echo no such image' returned a non-zero code: 1"
    with pytest.raises(StepError, match="no such image"):
        await got(Images(engine, ImageSettings()), source)
    assert builder.built == ["Dockerfile"]


async def test_what_fails_on_both_is_not_built_for_the_next_job(engine, builder, source, monkeypatch) -> None:
    builder.slim, builder.full = NO_COMPILER, "error: subprocess-exited-with-error"
    images, clock = Images(engine, ImageSettings()), [0.0]
    monkeypatch.setattr(images._builds._failed, "_clock", lambda: clock[0])
    build = builder.answers["build"]

    def slowly(request: web.Request) -> dict[str, Any]:
        clock[0] += 50
        return build(request)

    builder.answers["build"] = slowly
    for _ in range(3):
        with pytest.raises(StepError, match="subprocess-exited-with-error"):
            await got(images, source)
        clock[0] += 5
    assert builder.built == ["Dockerfile", "Dockerfile.full"]


async def test_a_space_that_was_once_asked_for_in_full_stays_so(engine, builder, source) -> None:
    images, full = (
        Images(engine, ImageSettings()),
        SpaceSource("x", repository=source.repository, flavour="full"),
    )
    assert (await got(images, source)).flavour == "slim"
    image = await got(images, full)
    assert image.flavour == "full"
    assert await got(images, source) == await images.here(source) == image
    assert await got(Images(engine, ImageSettings()), source) == image
    assert builder.built == ["Dockerfile", "Dockerfile.full"]


async def test_an_entry_that_says_slim_is_never_built_in_full(engine, builder, source) -> None:
    builder.slim = NO_COMPILER
    with pytest.raises(StepError, match="gcc"):
        await got(Images(engine, ImageSettings()), replace(source, flavour="slim"))
    assert builder.built == ["Dockerfile"]


def test_a_pulled_image_has_no_flavour() -> None:
    assert flavour_of({"Id": "sha256:a", "Config": {}}) == ""
