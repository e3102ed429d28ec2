"""What is made otherwise on Podman, which `make test-engines` tries for real: here a stand-in answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.engine_double import EngineDouble, engine_double

from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.network import reap_networks
from spacedock_worker.containers.machine import capacity, resources
from spacedock_worker.containers.machine.gpu import Device
from spacedock_worker.containers.machine.resources import HostResources
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError

PODMAN = {
    "Version": "5.4.2",
    "ApiVersion": "1.41",
    "MinAPIVersion": "1.24",
    "Components": [{"Name": "Podman Engine"}],
}
SPEC = ContainerSpec("one", "base", "sha256:base")


@asynccontextmanager
async def podman(folder: Path, **answers: Any) -> AsyncIterator[tuple[Engine, EngineDouble]]:
    usual = {"version": PODMAN, "info": {"MemTotal": 2**33}, "networks": [], "networks/create": {"Id": "new"}}
    async with engine_double(folder, {**usual, **answers}) as (engine, double):
        yield engine, double


@pytest.mark.parametrize("sealed", [False, True])
async def test_each_container_has_a_network_of_its_own(tmp_path: Path, sealed: bool) -> None:
    spec = replace(SPEC, sealed=sealed)
    async with podman(tmp_path) as (engine, _):
        host = HostResources(engine, ContainerSettings(instance_id="me"), set())
        assert [(await host.site(spec, name)).network for name in ("a", "b")] == ["a", "b"]


async def test_networks_that_containers_left_are_removed(tmp_path: Path) -> None:
    label = {"io.spacedock.network": "1"}
    found = [{"Name": name, "Id": name, "Labels": label} for name in ("kept", "left")]
    async with podman(tmp_path, networks=found, **{"networks/left": {"Id": "left"}}) as (engine, double):
        assert await reap_networks(engine, "me", {"kept"})
        assert any(path.endswith("/networks/left") for path in double.asked)
        assert not any(path.endswith("/networks/kept") for path in double.asked)


async def test_a_network_that_stays_is_told(tmp_path: Path) -> None:
    left = [{"Name": "left", "Id": "left", "Labels": {"io.spacedock.network": "1"}}]
    async with podman(tmp_path, networks=left, **{"networks/left": 409}) as (engine, _):
        host = HostResources(engine, ContainerSettings(instance_id="me"), set())
        assert not await host.release("left")
        assert not await reap_networks(engine, "me", ())


async def test_a_gpu_that_would_be_ignored_is_refused(tmp_path: Path, monkeypatch) -> None:
    for module in (capacity, resources):
        monkeypatch.setattr(module, "devices", lambda: (Device(0, "GPU-0", 2**34, 2**34),))
    async with podman(tmp_path) as (engine, _):
        host = HostResources(engine, ContainerSettings(instance_id="me"), set())
        with pytest.raises(StepError, match="this host has none"):
            await host.site(replace(SPEC, gpu=1), "a")
