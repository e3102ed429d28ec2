"""What newer engines answer, and what is done where they cannot count, by stand-ins for those engines."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from tests.engine_double import engine_double

from spacedock.result import ErrorKind, Stage
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.docker.disk_usage import upper_of, volume_bytes
from spacedock_worker.containers.docker.image_stream import stream_error
from spacedock_worker.containers.docker.volumes import Caches, volume_labels, volume_name
from spacedock_worker.containers.pool.usage_watch import DiskWatch, UncountedError, disk_bytes, too_much
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.images.pulls import Pulls
from spacedock_worker.images.settings import ImageSettings

CONTAINER = {"Id": "c" * 64, "HostConfig": {}, "State": {"Pid": 0}, "GraphDriver": {"Data": None}}
ROW = {
    "Name": "v",
    "Mountpoint": "/nowhere",
    "UsageData": {"Size": 5},
    "CreatedAt": "2026-01-01T00:00:00Z",
    "Labels": {"io.spacedock.owner": "me", "io.spacedock.space": "x"},
}


def sized(then: Any) -> Any:
    """The container as it is looked at; `then` where its size is asked for."""
    return lambda request: then if "size" in request.query else CONTAINER


@pytest.mark.parametrize("told", [{"Volumes": [ROW]}, {"VolumeUsage": {"Items": [ROW], "TotalSize": 5}}])
async def test_volumes_are_read_of_either_shape(tmp_path: Path, told: dict[str, Any]) -> None:
    async with engine_double(tmp_path, {"system/df": told, "volumes": {"Volumes": [ROW]}}) as (
        engine,
        double,
    ):
        (cache,) = await Inventory(engine, "me").caches()
        assert (cache.space, cache.size) == ("x", 5)
        assert double.asked[-1].startswith("/v1.51/system/df?type=volume")


@pytest.mark.parametrize("told", [{}, {"Volumes": None}, {"VolumeUsage": {"TotalSize": 0}}])
async def test_no_volumes_are_no_fault(tmp_path: Path, told: dict[str, Any]) -> None:
    async with engine_double(tmp_path, {"system/df": told}) as (engine, _):
        assert await volume_bytes(engine, {"v": "/nowhere"}) == {"v": 0}


async def test_what_can_be_counted_here_is_not_asked_of_the_engine(tmp_path: Path) -> None:
    # An old engine counts its images and containers as well, which takes it a minute where it has hundreds.
    (tmp_path / "cache").mkdir()
    row = ROW | {"Mountpoint": str(tmp_path / "cache")}
    async with engine_double(tmp_path, {"volumes": {"Volumes": [row]}}) as (engine, double):
        (cache,) = await Inventory(engine, "me").caches()
        assert (cache.space, cache.size) == ("x", 0)
        assert not any("system/df" in path for path in double.asked)


async def test_an_engine_without_volumes_has_no_caches(tmp_path: Path) -> None:
    async with engine_double(tmp_path, {"volumes": {"Volumes": None}}) as (engine, _):
        assert await Inventory(engine, "me").caches() == ()


async def test_an_engine_that_counts_for_somebody_else_is_waited_for(tmp_path: Path) -> None:
    busy = web.json_response({"message": "a disk usage operation is already running"}, status=500)
    answers = iter([busy, {"Volumes": [ROW]}])
    async with engine_double(tmp_path, {"system/df": lambda _: next(answers)}) as (engine, _):
        assert await volume_bytes(engine, {"v": "/nowhere"}) == {"v": 5}


async def test_an_engine_that_is_too_new_is_told_as_such(tmp_path: Path) -> None:
    version = {"Version": "40.1", "ApiVersion": "1.70", "MinAPIVersion": "1.60"}
    async with engine_double(tmp_path, {"version": version}) as (engine, _):
        with pytest.raises(StepError, match=r"Docker Engine 40\.1 speaks API 1\.60 and newer") as caught:
            await engine.dialect(Stage.START)
    assert (caught.value.kind, caught.value.host) == (ErrorKind.DOCKER_UNAVAILABLE, True)


@pytest.mark.parametrize(("size", "bytes_"), [({}, 0), ({"SizeRw": 7}, 7)])
async def test_without_an_upper_folder_the_engine_counts(tmp_path: Path, size: Any, bytes_: int) -> None:
    async with engine_double(tmp_path, {"containers/x/json": CONTAINER}) as (engine, double):
        double.answers[f"containers/{CONTAINER['Id']}/json"] = CONTAINER | size
        assert await disk_bytes(engine, "x", 100) == bytes_


@pytest.mark.parametrize("then", [500, CONTAINER | {"SizeRw": -1}])
async def test_what_cannot_be_counted_is_stopped_and_not_taken_for_nothing(tmp_path: Path, then: Any) -> None:
    heard: asyncio.Future[tuple[str, int | None]] = asyncio.get_running_loop().create_future()
    answers = {"containers/x/json": CONTAINER, f"containers/{CONTAINER['Id']}/json": sized(then)}
    async with engine_double(tmp_path, answers) as (engine, double):
        with pytest.raises(UncountedError):
            await disk_bytes(engine, "x", 100)

        def over(name: str, used: int | None) -> None:
            if not heard.done():
                heard.set_result((name, used))

        double.asked.clear()
        watch = asyncio.create_task(DiskWatch(engine, 100, lambda: ["x"], over, pause=0.0).run())
        try:
            assert await heard == ("x", None)
        finally:
            watch.cancel()
        assert sum("size" in path for path in double.asked) >= 3
    assert "could not be counted" in too_much(None, 100)


async def test_an_engine_that_is_away_makes_no_container_guilty(tmp_path: Path) -> None:
    looked = asyncio.Event()
    rounds = 0

    def writers() -> list[str]:
        nonlocal rounds
        rounds += 1
        if rounds > 5:
            looked.set()
        return ["x"]

    guilty: list[str] = []
    async with engine_double(tmp_path, {"containers/x/json": 503}) as (engine, _):
        watch = asyncio.create_task(
            DiskWatch(engine, 100, writers, lambda name, _: guilty.append(name), pause=0.0).run()
        )
        try:
            await looked.wait()
        finally:
            watch.cancel()
    assert guilty == []


@pytest.mark.parametrize(
    "name", ["spacedock/space-x:1", "docker.io/spacedock/space-x", "index.docker.io/spacedock/space-x"]
)
async def test_no_stranger_is_asked_for_what_is_built_here(tmp_path: Path, name: str) -> None:
    async with engine_double(tmp_path, {}) as (engine, double):
        with pytest.raises(StepError, match="built here, never pulled") as caught:
            await Pulls(engine, ImageSettings()).get(name, lambda _: None)
        assert caught.value.kind is ErrorKind.PULL_FAILED
        assert not any("create" in path for path in double.asked)


def test_the_kernel_names_the_folder_that_a_root_is_written_to() -> None:
    mounts = (
        "1 0 0:1 / /proc rw - proc proc rw\n"
        "2 1 0:9 / /app rw - overlay overlay rw,lowerdir=/l,upperdir=/not/this,workdir=/w\n"
        "3 1 0:125 / / rw,relatime - overlay overlay rw,lowerdir=/a:/b,"
        r"upperdir=/d/my\040snap\,s/9/fs,workdir=/w"
        "\n"
    )
    assert upper_of(mounts) == "/d/my snap,s/9/fs"
    assert upper_of("3 1 0:1 / / ro - ext4 /dev/sda rw,upperdir=/x\n") is None
    assert upper_of("3 1 0:1 / / ro - overlay overlay ro,lowerdir=/a:/b\n") is None
    assert upper_of("") is None


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b'{"stream": "Loaded image: x"}\n', None),
        (b"", None),
        (b'{"stream": "cut o', None),
        (b'{"error": "no space"}', "no space"),
        (b'{"errorDetail": {"message": "no space left"}}', "no space left"),
        (b'{"stream": "a"}\n{"errorDetail": {"message": "new"}, "error": "old"}\n', "new"),
        (b'{"errorDetail": {}}', "it does not say why"),
        (b'["error"]', None),
    ],
)
def test_a_stream_tells_its_error_in_either_way(said: bytes, why: str | None) -> None:
    assert stream_error(said) == why


async def test_an_engine_that_was_silent_is_greeted_first_and_asked_what_it_speaks_again(
    tmp_path: Path,
) -> None:
    going = asyncio.Event()

    async def hang() -> None:
        await going.wait()

    async with engine_double(tmp_path, {"info": {}}) as (engine, double):
        double.before = hang
        going.set()
        assert (await engine.dialect(Stage.START)).path == "v1.51"
        going.clear()
        with pytest.raises(StepError, match=r"no answer within 0\.1 s") as caught:
            async with engine.call(Stage.START, seconds=0.1) as docker:
                await docker.system.info()
        assert (caught.value.kind, caught.value.host) == (ErrorKind.DOCKER_UNAVAILABLE, True)
        double.answers["version"] = {"Version": "26.1", "ApiVersion": "1.45", "MinAPIVersion": "1.24"}
        going.set()
        double.asked.clear()
        async with engine.call(Stage.START) as docker:
            await docker.system.info()
        assert double.asked == ["/version", "/v1.45/info"]


async def test_a_volume_is_ours_by_what_is_told_when_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As Engine 20.10 answers after its start, where the volume was there before.
    name = volume_name("me", "x")
    answers = {"volumes/create": {"Name": name, "Labels": None, "Scope": ""}}
    answers[f"volumes/{name}"] = {"Name": name, "Labels": volume_labels("me", "x")}

    async def handed_over(*_: object) -> None:
        pass

    monkeypatch.setattr(Caches, "_hand_over", handed_over)
    spec = ContainerSpec("x", "image", "sha256:x", None, cache="/home/user/.cache")
    async with engine_double(tmp_path, answers) as (engine, double):
        assert await Caches(engine, "me", set()).ensure(spec) == name
        double.answers[f"volumes/{name}"] = {"Name": name, "Labels": None}
        with pytest.raises(StepError, match="did not make"):
            await Caches(engine, "me", set()).ensure(spec)
