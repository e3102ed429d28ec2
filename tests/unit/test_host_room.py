"""What this host lacks for a while is waited for within a bound, and is no fault of the Space."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from socket import gethostname

import pytest
from aiohttp import web
from tests.engine_double import engine_double

from spacedock.request import JobRequest
from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.machine.gpu import Device, GpuTable
from spacedock_worker.containers.pool.history import blameless
from spacedock_worker.errors import HostBusyError, StepError
from spacedock_worker.images.build import build as building
from spacedock_worker.images.build.build import BuildLimits, build
from spacedock_worker.images.build.context import BuildContext
from spacedock_worker.images.hub import _translated
from spacedock_worker.images.oci.reference import parse_reference
from spacedock_worker.images.pulls import _failed
from spacedock_worker.jobs import handler
from spacedock_worker.jobs.chain import StepContext
from spacedock_worker.jobs.handler import once_there_is_room
from spacedock_worker.queue.runner import TakenJob

JOB = TakenJob("j1", JobRequest(prompt="x"))


def context(told: list[tuple[Stage, str]]) -> StepContext:
    """A step's context that notes what is told."""
    return StepContext(JOB, lambda stage, name, message, partial: told.append((stage, message)), "own/space")


def taken_gpu() -> HostBusyError:
    """What a Space hears whose GPU another one has."""
    table, present = GpuTable(), [Device(0, "GPU-0", 2**34, 2**34)]
    table.give("first", 1, present)
    with pytest.raises(HostBusyError) as busy:
        table.give("second", 1, present)
    return busy.value


TROUBLES: dict[str, Callable[[], Exception]] = {
    "gpu": taken_gpu,
    "gpu-as-told-to-waiters": lambda: taken_gpu().copy(),
    "pull": lambda: _failed(parse_reference("own/image"), "write /var/lib/x: No space left on device"),
    "file": lambda: OSError(errno.ENOSPC, "No space left on device"),
    "quota": lambda: OSError(errno.EDQUOT, "Disk quota exceeded"),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_step_waits_for_what_its_host_lacks(trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handler, "PAUSE_SECONDS", 0.0)
    told: list[tuple[Stage, str]] = []
    tries: list[None] = []

    async def work() -> str:
        tries.append(None)
        if len(tries) < 3:
            raise TROUBLES[trouble]()
        return "answer"

    assert await once_there_is_room(work, context(told), 60.0) == "answer"
    assert [stage for stage, _ in told] == [Stage.WAIT, Stage.WAIT]


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_but_not_for_ever(trouble: str) -> None:
    async def work() -> str:
        raise TROUBLES[trouble]()

    with pytest.raises(HostBusyError) as busy:
        await once_there_is_room(work, context([]), 0.0)
    assert blameless(busy.value)
    if "gpu" not in trouble:
        assert busy.value.kind is ErrorKind.OUT_OF_DISK
        assert f"on host {gethostname()} is full. Free some of it" in str(busy.value)


async def test_a_disk_that_fills_while_the_hub_is_read_is_no_hub_that_is_away() -> None:
    with pytest.raises(HostBusyError, match="own/space cannot be fetched: the disk of the worker's files on"):
        async with _translated("own/space", 5.0):
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", ErrorKind.OUT_OF_DISK),
        (
            "The command 'sh -c no space left on device' returned a non-zero code: 1",
            ErrorKind.BUILD_FAILED,
        ),
    ],
)
async def test_a_build_tells_a_full_host_from_a_step_that_says_so(
    tmp_path: Path, said: str, kind: ErrorKind
) -> None:
    limits = BuildLimits(seconds=5.0, memory=2**28)
    answers = {"build": {"errorDetail": {"message": said}, "error": said}}
    async with engine_double(tmp_path, answers) as (engine, _):
        building = build(
            engine,
            BuildContext(BytesIO(b""), "0" * 64),
            tag="x",
            labels={},
            words=(),
            limits=limits,
            on_progress=lambda text: None,
        )
        with pytest.raises(StepError) as failed:
            await building
    assert failed.value.kind is kind


@pytest.mark.parametrize(("little", "kind"), [(10**18, ErrorKind.OUT_OF_DISK), (0, ErrorKind.BUILD_FAILED)])
async def test_a_step_that_finds_no_room_tells_of_the_host_only_where_its_disk_has_little(
    little: int, kind: ErrorKind, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "_ROOM", little)
    said = [
        {"stream": "Step 1/1 : RUN pip install torch"},
        {"stream": "ERROR: [Errno 28] No space left on device"},
        {"errorDetail": {"message": "The command 'pip' returned a non-zero code: 1"}, "error": "1"},
    ]
    answers = {
        "build": lambda request: web.Response(text="\n".join(map(json.dumps, said))),
        "info": {"DockerRootDir": str(tmp_path)},
    }
    async with engine_double(tmp_path, answers) as (engine, _):
        with pytest.raises(StepError) as failed:
            await build(
                engine,
                BuildContext(BytesIO(b""), "0" * 64),
                tag="x",
                labels={},
                words=("installing",),
                limits=BuildLimits(seconds=5.0, memory=2**28),
                on_progress=lambda text: None,
            )
    assert failed.value.kind is kind


async def test_what_is_the_spaces_own_is_not_waited_for() -> None:
    async def work() -> str:
        raise StepError(Stage.CALL, ErrorKind.OUT_OF_DISK, "it wrote more than its limit")

    with pytest.raises(StepError, match="more than its limit"):
        await once_there_is_room(work, context([]), 0.0)
