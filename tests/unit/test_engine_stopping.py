"""A container that its engine stopped, as it stops itself, has not crashed: a stand-in for the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine_double import engine_double

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.container import RunningContainer
from spacedock_worker.containers.docker.engine import Engine

PLACE = "containers/mine/json"


def container(running: bool, code: int, *, oom: bool = False) -> dict[str, Any]:
    """What an engine says of it."""
    state = {"Running": running, "ExitCode": code, "OOMKilled": oom, "Status": "exited"}
    return {"Id": "c" * 64, "State": state, "HostConfig": {"Memory": 2**28}, "Config": {"Tty": False}}


async def kind_of_death(engine: Engine) -> ErrorKind | None:
    """What is said of the container."""
    death = await RunningContainer(engine, "mine").death(Stage.CALL)
    return death.kind if death is not None else None


@pytest.mark.parametrize(
    ("code", "oom", "kind"),
    [
        (143, False, ErrorKind.DOCKER_UNAVAILABLE),
        (137, False, ErrorKind.DOCKER_UNAVAILABLE),
        (137, True, ErrorKind.OUT_OF_MEMORY),
        (1, False, ErrorKind.CRASHED),
    ],
)
async def test_an_engine_that_takes_no_connections_any_more_is_the_cause(
    tmp_path: Path, code: int, oom: bool, kind: ErrorKind
) -> None:
    async with engine_double(tmp_path, {PLACE: container(False, code, oom=oom)}) as (engine, _):
        await engine.dialect(Stage.CALL)
        # Those that it has go on.
        (tmp_path / "d.sock").rename(tmp_path / "gone")
        assert await kind_of_death(engine) is kind
        (tmp_path / "gone").rename(tmp_path / "d.sock")
        assert await engine.dialect(Stage.CALL)


@pytest.mark.parametrize(("code", "kind"), [(143, ErrorKind.CRASHED), (137, ErrorKind.OUT_OF_MEMORY)])
async def test_an_engine_that_stays_is_not(tmp_path: Path, code: int, kind: ErrorKind) -> None:
    async with engine_double(tmp_path, {PLACE: container(False, code)}) as (engine, _):
        assert await kind_of_death(engine) is kind


async def test_one_that_is_back_at_once_was_away_all_the_same(tmp_path: Path) -> None:
    async with engine_double(tmp_path, {PLACE: container(False, 143)}) as (engine, double):
        mine = RunningContainer(engine, "mine")
        await engine.dialect(Stage.CALL)

        async def restart() -> None:
            if double.asked[-1] == "/version":
                engine.outages += 1

        double.before = restart
        death = await mine.death(Stage.CALL)
        assert death is not None
        assert death.kind is ErrorKind.DOCKER_UNAVAILABLE


async def test_nor_does_a_container_crash_whose_engine_was_away_meanwhile(tmp_path: Path) -> None:
    async with engine_double(tmp_path, {PLACE: container(True, 0)}) as (engine, double):
        mine = RunningContainer(engine, "mine")
        assert await mine.death(Stage.CALL) is None
        engine.outages += 1
        assert await mine.death(Stage.CALL) is None
        engine.outages += 1
        double.answers[PLACE] = container(False, 0)
        death = await mine.death(Stage.CALL)
        assert death is not None
        assert death.kind is ErrorKind.DOCKER_UNAVAILABLE
