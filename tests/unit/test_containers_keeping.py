"""What the pool keeps: the newest builds, what was used last, what is slow to start."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool.history import RECENT_SECONDS, History, TimingStore, loss
from spacedock_worker.containers.pool.scheduler import assign
from spacedock_worker.containers.pool.slots import Slot, Slots, SlotState, Waiter
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.profiling.profiles import ProfileStore

seconds = st.floats(0, 1e4)


@given(seconds, seconds, seconds, seconds)
def test_losing_a_container_costs_less_the_longer_it_is_unused_and_the_sooner_it_starts(
    start: float, idle: float, more: float, floor: float
) -> None:
    assert floor <= loss(start, idle + more, floor) <= loss(start, idle, floor) <= floor + start
    assert loss(start, idle, floor) <= loss(start + more, idle, floor)


def test_a_minute_without_a_call_halves_what_a_container_is_worth() -> None:
    assert loss(8.0, RECENT_SECONDS, floor=1.0) == 5.0


class Turns:
    """The pool's decisions for one call after another, at a time that the test tells; starts take no time."""

    def __init__(self, limit: int) -> None:
        self.limit, self.now = Room(limit), 0.0
        self.slots: Slots[Any] = Slots()
        self.history = History(ProfileStore())
        self.numbers = itertools.count(1)

    def call(self, key: str, start: float = 1.0, family: str | None = None, after: float = 1.0) -> bool:
        """Whether the call had to wait for a start."""
        self.now += after
        spec = ContainerSpec(key, key, key, family=family or key)
        waiter: Waiter[Any] = Waiter(next(self.numbers), key, spec, Room(), None, lambda text: None, self.now)
        self.history.asked(key, spec, self.now)
        cold = False
        while True:
            self.history.assess(self.slots, self.now)
            decision = assign(self.slots, [waiter], self.limit)
            evicted = [self.slots[number] for number in decision.evictions]
            self.history.lost(evicted)
            for slot in evicted:
                self.slots.drop(slot)
            if decision.starts:
                cold = True
                self.history.timings.started(key, start)
                self.slots.add(waiter.slot(next(self.numbers)))
            for _, number in decision.grants:
                self.history.used(self.slots[number], self.now)
                return cold


keys = st.sampled_from("abcdefg")
pasts = st.lists(st.tuples(keys, st.floats(0, 300)), max_size=30)


@given(st.integers(1, 5), pasts)
def test_as_many_spaces_in_turn_as_there_is_room_for_start_once_whatever_ran_before(
    limit: int, past: list[tuple[str, float]]
) -> None:
    turns = Turns(limit)
    for key, after in past:
        turns.call(key, after=after)
    starts = [turns.call(f"mine {n}") for _ in range(3) for n in range(limit)]
    assert starts == [True] * limit + [False] * 2 * limit


@given(st.integers(1, 5), pasts, st.dictionaries(keys, st.floats(0.5, 60)), st.floats(0.1, 60))
def test_a_space_that_is_slow_to_start_keeps_others_out_only_until_they_have_cost_as_much(
    limit: int, past: list[tuple[str, float]], slow: dict[str, float], after: float
) -> None:
    turns = Turns(limit)
    for key, since in past:
        turns.call(key, slow.get(key, 1.0), after=since)
    lost = 0
    for _ in range(200):
        cold = sum(turns.call(f"mine {n}", after=after) for n in range(limit))
        lost += cold
        if cold == 0:
            break
    held = {key: slow.get(key, 1.0) for key, _ in past}
    assert lost <= limit * (1 + sum(held.values()))
    assert not any(turns.call(f"mine {n}", after=after) for n in range(limit))


def test_a_slow_start_outlives_quick_ones_that_were_used_later() -> None:
    turns = Turns(2)
    turns.call("slow", 60.0)
    turns.call("quick", 1.0)
    turns.call("other", 1.0)
    assert not turns.call("slow", 60.0)


@pytest.mark.parametrize("uses", [1, 50])
def test_an_app_that_was_edited_twice_leaves_room_for_two_more_spaces(uses: int) -> None:
    turns = Turns(3)
    for build in ("app 1", "app 2"):
        for _ in range(uses):
            turns.call(build, family="app", start=30.0)
    in_turn = [turns.call(key, family=key[:3]) for _ in range(2) for key in ("app 3", "b", "c")]
    assert in_turn == [True] * 3 + [False] * 3


def test_a_build_is_outdated_once_a_newer_one_is_asked_for_until_it_is_asked_for_again() -> None:
    timings = TimingStore()
    timings.asked("one", "app", 1.0)
    assert not timings.is_outdated("one", "app")
    timings.asked("two", "app", 2.0)
    assert timings.is_outdated("one", "app")
    assert not timings.is_outdated("two", "app")
    assert not timings.is_outdated("one", "another app")
    # Two directories of one name may be in use by turns: then neither is an edit of the other.
    timings.asked("one", "app", 3.0)
    assert not timings.is_outdated("one", "app")
    assert not timings.is_outdated("two", "app")
    timings.asked("three", "app", 4.0)
    assert timings.is_outdated("one", "app")
    assert timings.is_outdated("two", "app")


def test_what_an_earlier_worker_left_is_outdated_once_another_build_is_asked_for() -> None:
    timings = TimingStore()
    timings.started("left", 2.0)
    assert not timings.is_outdated("left", "app")
    timings.asked("left", "app", 1.0)
    assert not timings.is_outdated("left", "app")
    timings.asked("new", "app", 2.0)
    assert timings.is_outdated("left", "app")


def test_of_stopped_containers_the_outdated_ones_go_first() -> None:
    slots: Slots[Any] = Slots()
    history = History(ProfileStore())
    for number, (key, family) in enumerate([("b", "b"), ("app 1", "app"), ("app 2", "app")]):
        history.timings.asked(key, family, float(number))
        slot: Slot[Any] = Slot(number, key, family, Room(), SlotState.STOPPED, family=family)
        slot.since = float(number)
        slots.add(slot)
    history.assess(slots, 3.0)
    assert [slot.key for slot in slots.stopped_beyond(2)] == ["app 1"]
    assert [slot.key for slot in slots.stopped_beyond(1)] == ["app 1", "b"]


def test_chains_expect_spaces_while_they_run() -> None:
    history = History(ProfileStore())
    with history.expecting() as one, history.expecting() as two:
        one.families, two.families = frozenset({"a", "b"}), frozenset({"b", "c"})
        assert history.expected == {"a", "b", "c"}
        one.families = frozenset()
        assert history.expected == {"b", "c"}
    assert history.expected == frozenset()
