"""An app that ends for want of what only the full base has is asked again on that, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from spacedock.request import JobRequest
from spacedock.result import ErrorKind, Stage
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.errors import ImageGoneError, StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.source import Image, SpaceSource
from spacedock_worker.jobs.chain import StepContext
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy

MISSING = "the app ended with exit code 1. Its last words:\nModuleNotFoundError: No module named 'datasets'"


class Host:
    """Stands in for images and pool, which would take minutes; apps on the slim base end with `said`."""

    def __init__(self, said: str = MISSING, build: str = "") -> None:
        self.said, self.build, self.asked = said, build, list[str]()
        self.gone = 0
        self.start_seconds, self.peak_memory, self.app = 1.0, None, self

    async def get(self, source: SpaceSource, on_progress: Callable[[str], None]) -> Image:
        flavour = "full" if source.flavour == "full" else "slim"
        if self.build and flavour == "full":
            raise StepError(Stage.BUILD, ErrorKind.BUILD_FAILED, self.build)
        return Image(f"x:{flavour}", f"sha256:{flavour}", id=f"sha256:{flavour}", built=True, flavour=flavour)

    @asynccontextmanager
    async def lease(self, spec: Any, *_: object) -> AsyncIterator[Host]:
        self.asked.append(spec.reference)
        if self.gone:
            self.gone -= 1
            raise ImageGoneError(Stage.START, ErrorKind.START_FAILED, "no such image: x:slim")
        if spec.reference == "x:slim":
            raise StepError(Stage.READY, ErrorKind.CRASHED, self.said)
        yield self

    abandoned = False

    async def call(self, *_: object) -> AppAnswer:
        return AppAnswer("/say", "right", None)

    async def wait_dead(self) -> StepError:
        return StepError(Stage.CALL, ErrorKind.CRASHED, "")


async def answer(host: Host, **fields: Any) -> str | None:
    runner = SpaceRunner(ImagePolicy(cast(Images, host)), cast(Pool[Any], host), Opener())
    context = StepContext(TakenJob("j1", JobRequest(prompt="a")), lambda *_: None, "x")
    entry = SpaceEntry(id="x", hub_id="me/x", **fields)
    return (await runner.run(entry, context)).answer.text


async def test_it_answers_on_the_full_base() -> None:
    host = Host()
    assert await answer(host) == "right"
    assert host.asked == ["x:slim", "x:full"]


@pytest.mark.parametrize(
    ("said", "fields"), [("KeyError: 'token'", {}), (MISSING, {"flavour": "slim"})], ids=["other", "entry"]
)
async def test_other_failures_are_its_own(said: str, fields: dict[str, str]) -> None:
    host = Host(said)
    with pytest.raises(StepError, match=said.splitlines()[-1]):
        await answer(host, **fields)
    assert host.asked == ["x:slim"]


async def test_both_reasons_are_told_where_the_full_base_cannot_be_built() -> None:
    with pytest.raises(StepError, match=r"(?s)'datasets'.*full base image.*no package index"):
        await answer(Host(build="no package index answers"))


async def test_an_image_that_was_removed_meanwhile_is_got_again_once() -> None:
    host = Host()
    host.gone = 1
    assert await answer(host, flavour="full") == "right"
    assert host.asked == ["x:full"] * 2
    host.gone = 2
    with pytest.raises(ImageGoneError, match="no such image"):
        await answer(host, flavour="full")
