"""What a host offers to the queue."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from spacedock_worker.containers.machine.room import Room
from spacedock_worker.containers.pool.view import SpaceUp
from spacedock_worker.jobs.capacity import HostCapacity
from spacedock_worker.queue.choose import Supply
from spacedock_worker.registry.file import Registry

REGISTRY = """
spaces:
  good: {id: good, docker_image: example.com/good:1, input_type: text, output_type: text}
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
    return HostCapacity(registry, cast("Any", pool))


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
