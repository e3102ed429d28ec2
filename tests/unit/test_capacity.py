"""What a host offers to the queue."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool.view import SpaceUp
from spacedock_worker.queue.choose import Supply
from spacedock_worker.registry.registry import Registry
from spacedock_worker.state.capacity import HostCapacity

REGISTRY = """
spaces:
  good: {id: good, docker_image: example.com/good:1, input_type: text, output_type: text}
  drawn: {id: drawn, docker_image: example.com/drawn:1, input_type: text, output_type: image, gpu: 1}
  broken: {id: broken, calls: many}
"""


@pytest.fixture
async def capacity(tmp_path: Path) -> HostCapacity:
    """A host with two Spaces in its registry, of which one container is up."""
    (tmp_path / "registry.yaml").write_text(REGISTRY)
    registry = Registry(tmp_path / "registry.yaml", REGISTRY)
    await registry.fresh()
    up = {"good": SpaceUp(2, 4, 0.5, 3.0)}
    pool = SimpleNamespace(up=lambda: up, short=True, limit=Room(3))
    return HostCapacity(
        "host", registry, cast("Any", pool), cast("Any", SimpleNamespace(version="28")), gpu=False
    )


async def test_the_containers_that_are_up_are_offered(capacity: HostCapacity) -> None:
    offer = capacity.offer()
    assert (offer.containers, offer.short) == (3, True)
    assert offer.supplies == {"good": Supply(2, 4, 0.5, 3.0)}


@pytest.mark.parametrize(
    ("target", "space"),
    [
        ("", None),
        ("tier:fast", None),
        ("good", "good"),
        ("broken", "broken"),
        ("nobody's", "nobody's"),
        ("user/space", "user/space"),
        ("./mine@0123", "./mine@0123"),
    ],
)
async def test_each_target_has_its_space_also_one_whose_entry_is_broken(
    capacity: HostCapacity, target: str, space: str | None
) -> None:
    assert capacity.offer().space_of(target) == space


@pytest.mark.parametrize(
    ("target", "serves"),
    [
        ("", True),
        ("tier:fast", True),
        ("good", True),
        ("user/space", True),
        ("./mine@01", True),
        ("gone", False),
        ("drawn", False),
        ("broken", False),
    ],
)
async def test_what_a_host_has_not_is_left_to_others(
    capacity: HostCapacity, target: str, serves: bool
) -> None:
    assert capacity.offer().serves(target) is serves


async def test_a_host_tells_what_it_has(capacity: HostCapacity) -> None:
    presence = capacity.presence(7)
    assert presence.serves == {"good"}
    assert presence.serves is capacity.presence(8).serves
    host = presence.host
    assert (host.id, host.engine, host.containers, host.jobs) == ("host", "28", 3, 7)
    assert host.warm == {"good": 2}
    assert host.lacks_gpu_for == ("drawn",)
