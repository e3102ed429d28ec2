"""What the pool does with measures: limits on starts, a beginning after a restart, memory as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from spacedock_worker.background import forever
from spacedock_worker.containers.machine.capacity import Machine, available_memory, reserve
from spacedock_worker.containers.pool.history import History
from spacedock_worker.containers.pool.readiness import StartLimits
from spacedock_worker.containers.pool.usage_watch import peak_of
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.profiling.profiles import FILE, ProfileStore, Run

SETTINGS = ContainerSettings(instance_id="test")
SPEC = ContainerSpec("one", "image", "sha256:one")
GB = 2**30


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ProfileStore]:
    with closing(ProfileStore(tmp_path / FILE)) as store:
        store.open()
        yield store


def started(store: ProfileStore, *seconds: float) -> None:
    for number, took in enumerate(seconds):
        store.note(Run(SPEC.digest, SPEC.space, number, True, None, took, 0.5, 100))


def test_a_start_is_limited_by_those_before_once_there_are_enough(store: ProfileStore) -> None:
    limits = StartLimits(SETTINGS, store)
    started(store, 8.0, 20.0)
    assert limits.of(SPEC).seconds == 300.0
    started(store, 10.0)
    assert limits.of(SPEC).seconds == 100.0
    assert "3 starts before took 20.0 s at most" in limits.of(SPEC).why
    assert StartLimits(SETTINGS, ProfileStore()).of(SPEC).seconds == 300.0


@pytest.mark.parametrize(("longest", "seconds"), [(0.5, 60.0), (12.1, 60.5), (59.0, 295.0), (70.0, 300.0)])
def test_a_measured_limit_has_bounds(store: ProfileStore, longest: float, seconds: float) -> None:
    started(store, 0.1, 0.1, longest)
    assert StartLimits(SETTINGS, store).of(SPEC).seconds == seconds


def test_the_starts_of_another_space_on_the_image_shorten_no_limit(store: ProfileStore) -> None:
    limits = StartLimits(SETTINGS, store)
    eve = replace(SPEC, space="eve", command=("true",))
    for number in range(3):
        store.note(Run(eve.digest, eve.space, number, True, None, 0.1, 0.1, 100))
    assert (limits.of(eve).seconds, limits.of(SPEC).seconds) == (60.0, 300.0)
    started(store, 1.0, 1.0, 1.0)
    limits.overran(SPEC)
    limits.answered(eve)
    assert limits.of(SPEC).seconds == 300.0


def test_what_the_entry_says_goes_before_what_was_measured(store: ProfileStore) -> None:
    started(store, 1.0, 1.0, 1.0)
    told = ContainerSpec("one", "image", "sha256:one", start_timeout=900.0)
    assert StartLimits(SETTINGS, store).of(told).seconds == 900.0


def test_after_a_start_that_outlasted_its_measured_limit_the_next_is_given_the_usual_time(store) -> None:
    limits = StartLimits(SETTINGS, store)
    started(store, 1.0, 1.0, 1.0)
    limits.overran(SPEC)
    assert limits.of(SPEC).seconds == 300.0
    limits.answered(SPEC)
    assert limits.of(SPEC).seconds == 60.0


def test_a_new_life_begins_with_what_was_measured_in_the_one_before(tmp_path: Path) -> None:
    with closing(ProfileStore(tmp_path / FILE)) as store:
        store.open()
        started(store, 8.0, 6.0, 7.0)
    with closing(ProfileStore(tmp_path / FILE)) as store:
        store.open()
        history = History(store)
        history.asked("key", SPEC, 1.0)
        history.asked("other", replace(SPEC, digest="sha256:never-ran"), 1.0)
        assert history.timings.start_seconds("key") == 7.0
        assert history.timings.start_seconds("other") is None
        assert history.peak(SPEC.digest) == 100
        # What this life has measured is not overwritten.
        history.timings.started("key", 17.0)
        history.asked("key", SPEC, 2.0)
        assert history.timings.start_seconds("key") == 10.0


def test_memory_is_counted_without_files_that_nobody_uses() -> None:
    first = {"usage": 80, "max_usage": 300, "stats": {"total_inactive_file": 40, "inactive_file": 40}}
    second = {"usage": 80, "stats": {"inactive_file": 30}}
    assert [peak_of(stats) for stats in (first, second, {})] == [260, 50, 0]


def test_the_hosts_free_memory_is_really_looked_at() -> None:
    found = available_memory()
    assert found is None or 2**20 < found < 2**50


def test_the_reserve_is_small_on_small_hosts() -> None:
    assert reserve(Machine(64 * GB, True), SETTINGS) == GB
    assert reserve(Machine(2 * GB, True), SETTINGS) == GB // 8


async def test_a_watch_that_breaks_goes_on() -> None:
    class Breaking:
        def __init__(self) -> None:
            self.times, self.third = 0, asyncio.Event()

        async def run(self) -> None:
            self.times += 1
            if self.times < 3:
                raise KeyError("unforeseen")
            self.third.set()
            await asyncio.Event().wait()

    watch = Breaking()
    task = asyncio.create_task(forever("watch", watch.run, retry=0.0))
    async with asyncio.timeout(60):
        await watch.third.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_the_time_that_an_author_asks_for_gives_a_start_more_and_never_less() -> None:
    limits = StartLimits(SETTINGS, ProfileStore())
    assert limits.of(replace(SPEC, asked_start=3600.0)).seconds == 3600.0
    assert limits.of(replace(SPEC, asked_start=5.0)).seconds == 300.0
    assert limits.of(replace(SPEC, asked_start=3600.0, start_timeout=60.0)).seconds == 60.0
