"""What the pool knows and plans: profiles, quarantine, how containers cool, and the notes on this host."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.machine.capacity import Machine, Room, memory_of, room_of
from spacedock_worker.containers.pool.adoption import IdleNote, IdleNotes
from spacedock_worker.containers.pool.history import ALONE_SECONDS, History, Quarantine, TimingStore
from spacedock_worker.containers.pool.idle_policy import IdleState, IdleStep, idle_steps
from spacedock_worker.containers.pool.slots import Slot, SlotState
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.profiling.profiles import ProfileStore

SETTINGS = ContainerSettings(instance_id="test", pause_seconds=30, idle_seconds=600, stopped_seconds=3600)
SPEC = ContainerSpec("one", "image", "sha256:one")
GB = 2**30


def test_a_pace_needs_a_measured_start_and_counts_the_call_under_way() -> None:
    profiles = TimingStore()
    assert profiles.pace("one", under_way=9.0, now=1.0) is None
    profiles.started("one", 2.0)
    profiles.called("one", 1.0)
    pace = profiles.pace("one", under_way=9.0, now=1.0)
    assert pace is not None
    assert (pace.start, pace.call) == (2.0, 9.0)


def test_a_space_whose_second_container_failed_has_one_for_a_while_and_not_for_ever() -> None:
    profiles = TimingStore()
    profiles.started("one", 2.0)
    profiles.stays_alone("one", now=1.0)
    soon, later = ALONE_SECONDS, 1.0 + ALONE_SECONDS
    assert profiles.pace("one", under_way=9.0, now=soon) is None
    assert profiles.measured("one", now=soon) == (None, None)
    assert profiles.pace("one", under_way=9.0, now=later) is not None
    assert profiles.measured("one", now=later) == (None, 2.0)


def failure(kind: ErrorKind = ErrorKind.CRASHED) -> StepError:
    return StepError(Stage.READY, kind, "the app ended")


def test_a_quarantine_grows_with_each_failure_in_a_row() -> None:
    quarantine = Quarantine()
    pauses = []
    now = 0.0
    for _ in range(10):
        quarantine.failed("key", "one", failure(), now)
        pauses.append(quarantine.resting(now).get("one", (0.0, ""))[0])
        now += 1000.0
    assert pauses == [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 600.0, 600.0, 600.0]


def test_a_quarantined_space_is_refused_with_the_reason_until_its_time_is_over() -> None:
    quarantine = Quarantine()
    for _ in range(2):
        quarantine.failed("key", "one", failure(), 0.0)
    with pytest.raises(StepError, match=r"one failed 2 times .* for 10 s.*the app ended") as caught:
        quarantine.check("key", 0.0)
    assert caught.value.kind is ErrorKind.QUARANTINED
    quarantine.check("key", 10.0)
    quarantine.check("other", 0.0)
    quarantine.answered("key")
    quarantine.failed("key", "one", failure(), 0.0)
    quarantine.check("key", 0.0)


@pytest.mark.parametrize("kind", [ErrorKind.DOCKER_UNAVAILABLE, ErrorKind.CANCELLED])
def test_a_space_is_not_blamed_for_what_is_not_its_fault(kind: ErrorKind) -> None:
    quarantine = Quarantine()
    for _ in range(5):
        quarantine.failed("key", "one", failure(kind), 0.0)
    quarantine.check("key", 0.0)


@pytest.mark.parametrize("kind", [ErrorKind.DOCKER_UNAVAILABLE, ErrorKind.CANCELLED])
def test_a_space_gets_another_second_container_after_what_is_not_its_fault(kind: ErrorKind) -> None:
    history = History(ProfileStore())
    place = Slot[Any](1, "key", "one", Room(), SlotState.STARTING)
    history.timings.started("key", 2.0)
    history.not_started(place, failure(kind), 0.0, others=True)
    assert history.timings.pace("key", under_way=9.0, now=0.0) is not None
    history.not_started(place, failure(), 0.0, others=True)
    assert history.timings.pace("key", under_way=9.0, now=0.0) is None


def test_a_writable_container_is_paused_and_then_stopped() -> None:
    assert idle_steps(SPEC, SETTINGS, gpu=False, rested=45) == (
        IdleStep(30, IdleState.PAUSED),
        IdleStep(45, IdleState.RESTED),
        IdleStep(600, IdleState.STOPPED),
    )
    assert idle_steps(SPEC, SETTINGS, gpu=True, rested=700) == (IdleStep(600, IdleState.STOPPED),)


def test_a_gpu_is_not_paused_and_what_keeps_nothing_is_not_stopped() -> None:
    assert idle_steps(SPEC, SETTINGS, gpu=True, rested=20) == (
        IdleStep(20, IdleState.RESTED),
        IdleStep(600, IdleState.STOPPED),
    )
    read_only = ContainerSpec("one", "image", "sha256:one", read_only=True)
    assert idle_steps(read_only, SETTINGS, gpu=False, rested=700) == (
        IdleStep(30, IdleState.PAUSED),
        IdleStep(600, IdleState.GONE),
    )


def test_a_small_machine_still_runs_one_usual_space() -> None:
    small = Machine(memory=2 * GB, reachable=True)
    assert memory_of(SPEC, small, SETTINGS) == GB
    assert room_of(SPEC, small, SETTINGS) == Room(1, GB)
    assert room_of(SPEC, Machine(16 * GB, reachable=True), SETTINGS) == Room(1, 2 * GB)


def test_notes_are_kept_until_they_are_dropped(tmp_path: Path) -> None:
    notes, note = IdleNotes(tmp_path / "warm"), IdleNote("one", "key", "config", GB, 0, 2.5)
    assert notes.read() == {}
    notes.write("spacedock-one", note)
    (tmp_path / "warm" / "spacedock-broken").write_text("{")
    (tmp_path / "warm" / "spacedock-later").write_text('{"version": 99}')
    assert notes.read() == {"spacedock-one": note}
    notes.drop("spacedock-one")
    notes.drop("spacedock-one")
    assert notes.read() == {}


def test_without_a_folder_nothing_is_noted() -> None:
    notes = IdleNotes(None)
    notes.write("spacedock-one", IdleNote("one", "key", "config", GB, 0, 2.5))
    assert notes.read() == {}
