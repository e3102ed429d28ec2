"""Whatever is waited for has an end: what a client asks for is bounded, and so is the wait for room."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from spacedock.result import ErrorKind
from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool import slots as place
from spacedock_worker.containers.pool.slots import Slot, Waiter
from spacedock_worker.containers.settings import LONGEST_START, ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.registry.entry import SpaceEntry


@pytest.mark.parametrize("seconds", [1e18, float("inf"), float("nan"), 0, -1, LONGEST_START + 1])
def test_a_start_may_take_two_hours_at_most(seconds: float) -> None:
    with pytest.raises(ValidationError):
        SpaceEntry(id="a", start_timeout=seconds)
    with pytest.raises(ValidationError):
        ContainerSettings(instance_id="a", start_timeout=seconds)


def test_the_longest_start_is_the_same_for_a_space_and_for_the_host() -> None:
    assert SpaceEntry(id="a", start_timeout=LONGEST_START).start_timeout == LONGEST_START
    assert ContainerSettings(instance_id="a", start_timeout=LONGEST_START).start_timeout == LONGEST_START
    assert place.ROOM_SECONDS > LONGEST_START


async def test_the_wait_for_room_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "ROOM_SECONDS", 0.05)
    spec = ContainerSpec(space="a", reference="a", digest="sha256:a", command=None, port=80)
    now = asyncio.get_running_loop().time()
    waiting: Waiter[None] = Waiter(1, "a", spec, Room(), None, lambda text: None, now)
    with pytest.raises(StepError, match="no room") as refused:
        await waiting.turn()
    assert refused.value.kind is ErrorKind.CANCELLED
    granted: Waiter[None] = Waiter(2, "a", spec, Room(), None, lambda text: None, now + 60)
    granted.decide(granted.slot(1))
    assert isinstance(await granted.turn(), Slot)
