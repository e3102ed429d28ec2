"""What an entry says by 0, false, "" or [] arrives at the container as that, or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from spacedock_worker.containers.docker.create_body import Site, create_body
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.machine.capacity import Machine
from spacedock_worker.containers.machine.resources import HostResources
from spacedock_worker.containers.pool.idle_policy import IdleState, IdleStep, idle_steps
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.space_spec import access_of, spec_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.reader import Reader

IMAGE = Image("mood:latest", "sha256:1", built=True, base_path="/ui", cache="/home/user/.cache")
ROW = "spaces:\n  mood:\n    docker_image: mood:latest\n    "


def read(line: str) -> tuple[SpaceEntry | None, tuple[str, ...]]:
    """The Space of a registry whose entry has that line, and the warnings."""
    declared = Reader(Path("registry.yaml")).read(ROW + line + "\n")
    return declared.spaces.get("mood"), declared.warnings


async def body_of(entry: SpaceEntry, **settings: Any) -> dict[str, Any]:
    resources = HostResources(Engine(), ContainerSettings(instance_id="falsy", **settings), set())
    resources._machine = Machine(memory=2**34, reachable=True, gpus=0)
    spec = resources.as_started(spec_of(entry, IMAGE))
    return create_body(spec, await resources.limits(spec), Site("falsy", "net", cache="volume"))


@pytest.mark.parametrize(
    "line",
    [
        "memory: 0",
        "memory: ''",
        "memory: false",
        "cpus: 0",
        "cpus: false",
        "gpu: 0",
        "gpu: false",
        "gpu: []",
        "gpu: ''",
        "calls: 0",
        "port: 0",
        "runtime: ''",
        "start_timeout: 0",
        "docker_image: ''",
        "hub_id: ''",
        "revision: ''",
        "platform: ''",
        "command: ''",
        "adapter: ''",
        "flavour: ''",
        "secrets: ''",
        "auth: {}",
        "operation: {}",
    ],
)
def test_what_would_mean_nothing_is_refused_with_its_place(line: str) -> None:
    field = line.partition(":")[0]
    entry, warnings = read(line)
    assert entry is None
    assert any(field in said and "registry.yaml:" in said for said in warnings)


@pytest.mark.parametrize(
    ("line", "path", "expected"),
    [
        ("writable_root: false", ("HostConfig", "ReadonlyRootfs"), True),
        ("writable_root: true", ("HostConfig", "ReadonlyRootfs"), False),
        ("cache: false", ("HostConfig", "Mounts"), None),
        ("network: false", ("HostConfig", "Dns"), ["127.0.0.1"]),
        ("gpu: none", ("HostConfig", "DeviceRequests"), None),
    ],
)
async def test_what_is_said_by_no_reaches_the_engine(line: str, path: tuple[str, ...], expected: Any) -> None:
    entry, warnings = read(line)
    assert entry is not None, warnings
    found: Any = await body_of(entry)
    for name in path:
        found = found.get(name)
    assert found == expected


@pytest.mark.parametrize("value", ["0", "false", "''", "no", "00"])
async def test_a_variable_keeps_its_falsy_value(value: str) -> None:
    entry, _ = read(f"env: {{FLAG: {value}}}")
    assert entry is not None
    assert f"FLAG={value.strip(chr(39))}" in (await body_of(entry))["Env"]


def test_an_empty_path_goes_before_the_images_own() -> None:
    entry, _ = read("base_path: ''")
    assert entry is not None
    assert spec_of(entry, IMAGE).base_path == ""


def test_direct_false_is_heard() -> None:
    entry, _ = read("direct: false")
    assert entry is not None
    assert not access_of(entry).direct


async def test_a_root_that_must_not_be_written_stays_closed_whatever_was_found_out() -> None:
    resources = HostResources(Engine(), ContainerSettings(instance_id="falsy"), set())
    silent, closed = (spec_of(read(line)[0], IMAGE) for line in ("calls: 1", "writable_root: false"))
    resources.roots.remember_writable(silent.app)
    assert not resources.as_started(silent).read_only
    assert resources.as_started(closed).read_only
    # A container that was started before the entry said so does not serve for it.
    assert silent.key != closed.key


@pytest.mark.parametrize(
    "field", ["max_containers", "memory", "cpus", "pids", "tmp_size", "start_timeout", "start_least", "disk"]
)
def test_a_limit_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        ContainerSettings(instance_id="falsy", **{field: 0})


def test_no_pause_and_no_patience_are_taken_at_their_word() -> None:
    settings = ContainerSettings(instance_id="falsy", pause_seconds=0, idle_seconds=0, stopped_seconds=0)
    entry, _ = read("writable_root: true")
    assert entry is not None
    spec = spec_of(entry, IMAGE)
    assert idle_steps(spec, settings, gpu=False, rested=5.0) == (IdleStep(0, IdleState.GONE),)
    paused = settings.model_copy(update={"idle_seconds": 9.0})
    assert idle_steps(spec, paused, gpu=False, rested=5.0)[0] == IdleStep(0, IdleState.PAUSED)
