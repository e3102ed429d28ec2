"""The pool's decision: never above a limit, never a busy one evicted, nobody passed over for ever."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool.history import Pace
from spacedock_worker.containers.pool.scheduler import Decision, assign
from spacedock_worker.containers.pool.slots import Slot, SlotState, Waiter
from spacedock_worker.containers.spec import ContainerSpec

STARTING, RUNNING, ASLEEP, STOPPING, STOPPED = SlotState
KEYS = st.sampled_from("abcde")
# All containers of a Space have the same limits.
ROOMS = {"a": Room(1, 1), "b": Room(1, 1), "c": Room(1, 2), "d": Room(1, 3), "e": Room(1, 2, 1)}
PACES = {"a": Pace(1.0, 5.0), "b": Pace(5.0, 0.1), "c": Pace(1.0, 1.0)}
LARGE = {**PACES, "e": Pace(1.0, 5.0)}
limits = st.builds(Room, st.integers(1, 4), st.integers(3, 8), st.integers(1, 2))


def slot(id: int, key: str, state: SlotState = RUNNING, calls: int = 0, **more: Any) -> Slot[Any]:
    return Slot(id, key, key, ROOMS[key], state, calls=calls, **more)


def waiter(id: int, key: str, urgent: bool = False, room: Room | None = None) -> Waiter[Any]:
    spec = ContainerSpec(key, key, key)
    return Waiter(id, key, spec, room or ROOMS[key], None, lambda text: None, 0.0, urgent=urgent)


def taken(slots: list[Slot[Any]]) -> Room:
    rooms = [slot.room for slot in slots if slot.state is not STOPPED]
    return sum(rooms, Room(0))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Slot[Any]], list[Waiter[Any]], Room]:
    limit = draw(limits)
    slots: list[Slot[Any]] = []
    for number in range(draw(st.integers(0, 6))):
        capacity = draw(st.integers(1, 2))
        state = draw(st.sampled_from(list(SlotState)))
        calls = draw(st.integers(0, capacity)) if state is RUNNING else 0
        made = slot(
            number,
            draw(KEYS),
            state,
            calls,
            capacity=capacity,
            cost=draw(st.floats(0, 9)),
            outdated=draw(st.booleans()),
            expected=draw(st.booleans()),
            rested=draw(st.booleans()),
        )
        twice = state is STARTING and any(s.state is STARTING and s.key == made.key for s in slots)
        if not twice and limit.holds(taken([*slots, made])):
            slots.append(made)
    wanting = draw(st.lists(st.tuples(KEYS, st.booleans()), max_size=8))
    return slots, [waiter(100 + i, key, urgent) for i, (key, urgent) in enumerate(wanting)], limit


@given(tables())
def test_no_limit_is_ever_passed(table) -> None:
    slots, waiters, limit = table
    decision = assign(slots, waiters, limit, PACES)
    after = apply(decision, slots, waiters)
    assert limit.holds(taken(after))


@given(tables())
def test_deciding_changes_nothing(table) -> None:
    slots, waiters, limit = table
    before = [(s.state, s.calls, s.waking) for s in slots], [w.outcome for w in waiters]
    assign(slots, waiters, limit, PACES)
    assert ([(s.state, s.calls, s.waking) for s in slots], [w.outcome for w in waiters]) == before


@given(tables())
def test_only_idle_containers_are_given_up_and_only_free_call_slots_given(table) -> None:
    slots, waiters, limit = table
    decision = assign(slots, waiters, limit, PACES)
    by_id, keys = {slot.id: slot for slot in slots}, {waiter.id: waiter.key for waiter in waiters}
    given_calls = Counter(slot for _, slot in decision.grants)
    assert all(by_id[slot].idle for slot in decision.evictions)
    assert not given_calls.keys() & set(decision.evictions)
    assert not set(decision.wakes) & set(decision.evictions)
    assert all(by_id[slot].state in (ASLEEP, STOPPED) for slot in decision.wakes)
    for waiting, slot in decision.grants:
        assert by_id[slot].state is RUNNING
        assert by_id[slot].key == keys[waiting]
        assert by_id[slot].calls + given_calls[slot] <= by_id[slot].capacity


@given(tables())
def test_one_container_of_a_space_is_started_and_one_woken_at_a_time(table) -> None:
    slots, waiters, limit = table
    decision = assign(slots, waiters, limit, PACES)
    after = apply(decision, slots, waiters)
    starting = Counter((slot.key, slot.waking) for slot in after if slot.state is STARTING)
    assert all(count == 1 for count in starting.values())


@given(tables())
def test_nobody_waits_where_there_is_room(table) -> None:
    slots, waiters, limit = table
    decision = assign(slots, waiters, limit, PACES)
    after = apply(decision, slots, waiters)
    served = {waiting for waiting, _ in decision.grants}
    living = {slot.key for slot in after if slot.state in (STARTING, RUNNING, ASLEEP)}
    first = next((w for w in waiters if w.id not in served and w.key not in living), None)
    free = limit - taken(after)
    leaving = any(slot.state is STOPPING for slot in after)
    assert first is None or leaving or not free.holds(first.room)


def evicted(table, waiting: Waiter[Any]) -> tuple[set[int], list[Slot[Any]], Room]:
    """What is given up for one waiter; the idle containers that nobody waits for; the room there is else."""
    slots, _, limit = table
    given_up = set(assign(slots, [waiting], limit).evictions)
    spare = [slot for slot in slots if slot.idle and slot.key != waiting.key]
    leaving = sum([slot.room for slot in slots if slot.state is STOPPING], Room(0))
    return given_up, spare, limit - taken(slots) + leaving


def room_of(slots: list[Slot[Any]]) -> Room:
    return sum([slot.room for slot in slots], Room(0))


@given(tables(), KEYS)
def test_nothing_is_given_up_that_could_have_stayed(table, key: str) -> None:
    given_up, spare, free = evicted(table, waiter(100, key))
    going = [slot for slot in spare if slot.id in given_up]
    assert len(going) == len(given_up)
    for slot in going:
        assert not (free + room_of([s for s in going if s is not slot])).holds(ROOMS[key])


@given(tables(), KEYS)
def test_where_outdated_containers_are_enough_no_other_is_given_up(table, key: str) -> None:
    given_up, spare, free = evicted(table, waiter(100, key))
    outdated = [slot for slot in spare if slot.outdated]
    if (free + room_of(outdated)).holds(ROOMS[key]):
        assert given_up <= {slot.id for slot in outdated}


@given(tables(), KEYS)
def test_what_a_chain_expects_stays_where_the_others_are_enough(table, key: str) -> None:
    given_up, spare, free = evicted(table, waiter(100, key))
    others = [slot for slot in spare if slot.outdated or not slot.expected]
    if (free + room_of(others)).holds(ROOMS[key]):
        assert given_up <= {slot.id for slot in others}


@settings(max_examples=300)
@given(tables(), st.randoms(use_true_random=False), st.lists(KEYS, max_size=40))
def test_every_waiter_is_served_however_many_come_after_it(table, random, later) -> None:
    """Play the pool: decide, let something end, let another call come; who is passed over becomes urgent."""
    slots, waiters, limit = table
    waiters = [waiting for waiting in waiters if limit.holds(waiting.room)]
    first, coming = {waiting.id for waiting in waiters}, iter(enumerate(later, 1000))
    for turn in range(400):
        decision = assign(slots, waiters, limit, PACES)
        slots = apply(decision, slots, waiters)
        assert limit.holds(taken(slots))
        served = {waiting for waiting, _ in decision.grants}
        waiters = [replace(w, urgent=w.urgent or turn > 20) for w in waiters if w.id not in served]
        if not any(waiting.id in first for waiting in waiters):
            return
        slots = end_one(slots, random)
        if (another := next(coming, None)) is not None and limit.holds(ROOMS[another[1]]):
            waiters.append(waiter(*another))
    raise AssertionError(f"still waiting: {waiters} for {slots}")


def apply(decision: Decision, slots: list[Slot[Any]], waiters: list[Waiter[Any]]) -> list[Slot[Any]]:
    table = {slot.id: slot for slot in slots}
    for _, given_slot in decision.grants:
        table[given_slot] = replace(table[given_slot], calls=table[given_slot].calls + 1)
    for woken in decision.wakes:
        table[woken] = replace(table[woken], state=STARTING, waking=table[woken].state is ASLEEP)
    for evicted in decision.evictions:
        table[evicted] = replace(table[evicted], state=STOPPING)
    keys = {waiting.id: waiting for waiting in waiters}
    for started in decision.starts:
        number = max([*table, 0]) + 1
        table[number] = slot(number, keys[started].key, STARTING)
    return list(table.values())


def end_one(slots: list[Slot[Any]], random) -> list[Slot[Any]]:
    """The slots after one thing that was going on has come to its end."""
    moving = [s for s in slots if s.state in (STARTING, STOPPING) or s.calls]
    if not moving:
        return slots
    ended = random.choice(moving)
    rest = [s for s in slots if s is not ended]
    if ended.state is STOPPING:
        return rest
    return [*rest, replace(ended, state=RUNNING, calls=max(0, ended.calls - 1))]


def test_a_free_call_slot_goes_before_waking_and_that_before_starting() -> None:
    sleeping, running = slot(1, "a", ASLEEP), slot(2, "a", RUNNING, calls=1, capacity=2)
    both = assign([sleeping, running], [waiter(10, "a")], Room(3, 9))
    assert both == Decision(grants=((10, 2),))
    assert assign([sleeping], [waiter(10, "a")], Room(3, 9)) == Decision(wakes=(1,))
    assert assign([], [waiter(10, "a")], Room(3, 9)) == Decision(starts=(10,))


def test_a_sleeping_container_is_woken_beside_one_that_is_being_started() -> None:
    sleeping, starting = slot(1, "a", ASLEEP), slot(2, "a", STARTING)
    two = [waiter(10, "a"), waiter(11, "a")]
    assert assign([sleeping, starting], two, Room(3, 9)) == Decision(wakes=(1,))
    assert assign([sleeping, replace(starting, waking=True)], two, Room(3, 9)) == Decision()


def test_however_many_wait_one_container_is_started() -> None:
    assert assign([], [waiter(10, "a"), waiter(11, "a")], Room(3, 9)) == Decision(starts=(10,))
    assert assign([slot(1, "a", STARTING)], [waiter(11, "a")], Room(3, 9)) == Decision()


def test_the_next_space_starts_while_the_present_one_computes() -> None:
    assert assign([slot(1, "a", calls=1)], [waiter(10, "b")], Room(3, 9)) == Decision(starts=(10,))


def test_the_container_that_is_cheapest_to_lose_makes_room() -> None:
    idle = [slot(1, "a", cost=5.0), slot(2, "b", ASLEEP, cost=3.0), slot(3, "a", calls=1, cost=0.0)]
    assert assign(idle, [waiter(10, "c")], Room(3, 4)).evictions == (2,)


def test_an_outdated_container_goes_first_and_an_expected_one_last() -> None:
    dear = slot(1, "a", cost=9.0, outdated=True)
    cheap, expected = slot(2, "b", cost=2.0), slot(3, "a", ASLEEP, cost=1.0, expected=True)
    assert assign([dear, cheap, expected], [waiter(10, "c")], Room(3, 9)).evictions == (1,)
    assert assign([cheap, expected], [waiter(10, "c")], Room(2, 9)).evictions == (2,)
    assert assign([expected], [waiter(10, "c")], Room(1, 9)).evictions == (3,)


def test_what_would_free_nothing_that_is_lacking_stays() -> None:
    idle = [slot(1, "a", cost=1.0), slot(2, "b", cost=2.0), slot(3, "e", cost=3.0)]
    assert assign(idle, [waiter(10, "f", room=ROOMS["e"])], Room(9, 9, 1)).evictions == (3,)


def test_memory_is_made_free_by_as_many_as_it_takes() -> None:
    idle = [slot(1, "a", cost=1.0), slot(2, "b", cost=2.0), slot(3, "c", cost=3.0)]
    assert assign(idle, [waiter(10, "d")], Room(9, 4)).evictions == (1, 3)
    assert assign(idle, [waiter(10, "d")], Room(9, 6)).evictions == (1,)


def test_a_container_that_others_wait_for_stays_until_somebody_waits_urgently() -> None:
    slots, others = [slot(1, "a", cost=1.0), slot(2, "b", calls=1)], [waiter(11, "a")]
    assert assign(slots, [waiter(10, "c"), *others], Room(2, 9)) == Decision(grants=((11, 1),))
    urgent = assign(slots, [waiter(10, "c", urgent=True), *others], Room(2, 9))
    assert urgent == Decision(evictions=(1,))


def test_a_container_that_is_never_idle_gets_no_more_calls_for_an_urgent_waiter() -> None:
    slots = [slot(1, "a", calls=1, capacity=2)]
    assert assign(slots, [waiter(10, "b", urgent=True), waiter(11, "a")], Room(1, 9)) == Decision()


def test_nobody_takes_the_room_that_an_earlier_waiter_waits_for() -> None:
    slots = [slot(1, "a", calls=1)]
    assert assign(slots, [waiter(10, "d"), waiter(11, "b")], Room(3, 3)) == Decision()


def test_what_is_leaving_already_is_enough_for_one() -> None:
    slots = [slot(1, "a", STOPPING), slot(2, "b", cost=1.0)]
    assert assign(slots, [waiter(10, "c")], Room(2, 3)) == Decision()
    assert assign(slots, [waiter(10, "c"), waiter(11, "a")], Room(2, 9)) == Decision(evictions=(2,))


def test_a_stopped_container_of_the_space_is_started_again() -> None:
    assert assign([slot(1, "a", STOPPED)], [waiter(10, "a")], Room(1, 1)) == Decision(wakes=(1,))


@given(tables())
def test_a_second_container_takes_the_place_of_rested_ones_alone(table) -> None:
    slots, waiters, limit = table
    living = {s.key for s in slots if s.state in (STARTING, RUNNING, ASLEEP)}
    waiters = [replace(waiting, urgent=False) for waiting in waiters if waiting.key in living]
    wanted = {waiting.key for waiting in waiters}
    by_id = {slot.id: slot for slot in slots}
    for number in assign(slots, waiters, limit, PACES).evictions:
        victim = by_id[number]
        assert victim.idle
        assert victim.rested
        assert victim.key not in wanted or sum(s.key == victim.key for s in slots) > 1


def test_a_batch_gets_the_place_of_a_container_that_nobody_has_asked_for_long() -> None:
    busy, queue = slot(1, "a", calls=1), [waiter(10, "a")]
    rested, used = slot(2, "b", ASLEEP, rested=True), slot(3, "c")
    assert assign([busy, rested, used], queue, Room(3, 9), PACES).evictions == (2,)
    assert assign([busy, replace(rested, rested=False), used], queue, Room(3, 9), PACES) == Decision()
    leaving = replace(rested, state=STOPPING)
    assert assign([busy, leaving, replace(used, rested=True)], queue, Room(3, 9), PACES) == Decision()
    assert assign([busy, used], queue, Room(3, 9), PACES) == Decision(starts=(10,))


def test_a_batch_gets_the_place_of_what_its_own_jobs_would_fall_back_to_the_last_of_all() -> None:
    busy, queue = slot(1, "a", calls=1), [waiter(10, "a")]
    fallback, other = slot(2, "b", rested=True, expected=True), slot(3, "c", cost=9.0, rested=True)
    assert assign([busy, fallback, other], queue, Room(3, 9), PACES).evictions == (3,)
    assert assign([busy, fallback], queue, Room(2, 9), PACES).evictions == (2,)


def test_a_space_that_can_have_no_more_containers_keeps_none_from_the_next() -> None:
    large, small = slot(1, "e", calls=1), slot(2, "a", calls=1)
    queue = [waiter(10, "e"), waiter(11, "e"), waiter(12, "a")]
    one_gpu = Room(9, 9, ROOMS["e"].gpus)
    assert assign([large, small], queue, one_gpu, LARGE) == Decision(starts=(12,))


def test_an_urgent_call_of_a_batch_gives_up_nothing_where_that_is_not_enough() -> None:
    busy, rested = slot(1, "e", calls=1), slot(2, "a", rested=True)
    waiting = [waiter(10, "e", urgent=True)]
    assert assign([busy, rested], waiting, Room(9, 9, ROOMS["e"].gpus), LARGE) == Decision()


def test_a_container_that_has_rested_stays_where_waiting_takes_less_than_a_start() -> None:
    busy, rested = slot(1, "b", calls=1), slot(2, "a", rested=True)
    assert assign([busy, rested], [waiter(10, "b")], Room(2, 9), PACES) == Decision()


def test_a_replica_starts_where_waiting_takes_longer_than_its_start() -> None:
    busy, queue = [slot(1, "a", calls=1)], [waiter(10, "a")]
    assert assign(busy, queue, Room(3, 9), PACES) == Decision(starts=(10,))
    assert assign(busy, queue, Room(1, 9), PACES) == Decision()
    assert assign(busy, queue, Room(3, 9), {}) == Decision()
    slow_start = [slot(1, "b", calls=1)]
    assert assign(slow_start, [waiter(10, "b")], Room(3, 9), PACES) == Decision()
    other, two = [slot(2, "c", calls=1)], [waiter(11, "c"), waiter(12, "c")]
    assert assign(busy + other, [*queue, *two], Room(3, 9), PACES) == Decision(starts=(10,))
    assert assign(busy, [waiter(11, "c"), *queue], Room(1, 9), PACES) == Decision()


peaks = st.integers(0, 4)
spares = st.none() | st.integers(-2, 8)


def known(table, draw_peak) -> tuple[list[Slot[Any]], list[Waiter[Any]], Room]:
    """The table, with a peak for each Space."""
    slots, waiters, limit = table
    by_key = {key: draw_peak(key) for key in ROOMS}
    return (
        [replace(s, peak=by_key[s.key]) for s in slots],
        [replace(w, peak=by_key[w.key]) for w in waiters],
        limit,
    )


@given(tables(), st.dictionaries(KEYS, peaks), spares)
def test_a_host_that_is_short_of_memory_passes_no_limit_and_kills_no_call(table, by_key, spare) -> None:
    slots, waiters, limit = known(table, lambda key: by_key.get(key, 0))
    decision = assign(slots, waiters, limit, PACES, spare)
    by_id = {slot.id: slot for slot in slots}
    assert limit.holds(taken(apply(decision, slots, waiters)))
    assert all(by_id[slot].idle for slot in decision.evictions)


@given(tables(), st.dictionaries(KEYS, peaks), spares)
def test_nothing_starts_into_memory_that_is_not_there_while_others_are_idle(table, by_key, spare) -> None:
    slots, waiters, limit = known(table, lambda key: by_key.get(key, 0))
    decision = assign(slots, waiters, limit, PACES, spare)
    after = apply(decision, slots, waiters)
    wanted = {waiter.key for waiter in waiters}
    unwanted = [slot for slot in after if slot.idle and slot.key not in wanted]
    if spare is None or not unwanted:
        return
    coming = sum(slot.peak for slot in slots if slot.state is STARTING and not slot.waking)
    starting = {waiter.id: waiter.peak for waiter in waiters if waiter.id in decision.starts}
    assert all(peak <= max(0, spare - coming) for peak in starting.values())


@settings(max_examples=300)
@given(tables(), st.dictionaries(KEYS, peaks), spares, st.randoms(use_true_random=False))
def test_everybody_is_served_however_little_memory_the_host_has(table, by_key, spare, random) -> None:
    slots, waiters, limit = known(table, lambda key: by_key.get(key, 0))
    waiters = [waiting for waiting in waiters if limit.holds(waiting.room)]
    for turn in range(400):
        decision = assign(slots, waiters, limit, PACES, spare)
        slots = apply(decision, slots, waiters)
        served = {waiting for waiting, _ in decision.grants}
        waiters = [replace(w, urgent=w.urgent or turn > 20) for w in waiters if w.id not in served]
        if not waiters:
            return
        slots = end_one(slots, random)
    raise AssertionError(f"still waiting: {waiters} for {slots}")


def short(id: int, key: str, peak: int) -> Waiter[Any]:
    return replace(waiter(id, key), peak=peak)


def test_idle_containers_go_where_the_host_is_short_of_memory_whatever_the_limits_say() -> None:
    idle = [slot(1, "a", cost=5.0, peak=2), slot(2, "b", ASLEEP, cost=3.0, peak=2)]
    roomy = Room(9, 99)
    assert assign(idle, [short(10, "c", 4)], roomy, spare=4) == Decision(starts=(10,))
    assert assign(idle, [short(10, "c", 4)], roomy, spare=3) == Decision(evictions=(2,))
    assert assign(idle, [short(10, "c", 4)], roomy, spare=0) == Decision(evictions=(2, 1))
    assert assign(idle, [short(10, "c", 0)], roomy, spare=0) == Decision(starts=(10,))
    assert assign(idle, [short(10, "c", 4)], roomy, spare=None) == Decision(starts=(10,))


def test_a_start_waits_for_what_is_leaving_and_goes_ahead_where_nothing_is_left_to_give_up() -> None:
    leaving, busy = slot(1, "a", STOPPING, peak=2), slot(2, "b", calls=1, peak=2)
    assert assign([leaving, busy], [short(10, "c", 4)], Room(9, 99), spare=0) == Decision()
    assert assign([busy], [short(10, "c", 4)], Room(9, 99), spare=0) == Decision(starts=(10,))


def test_what_is_being_started_counts_as_memory_that_is_taken() -> None:
    starting, idle = slot(1, "a", STARTING, peak=3), slot(2, "b", peak=1)
    assert assign([starting, idle], [short(10, "c", 2)], Room(9, 99), spare=4) == Decision(evictions=(2,))
    woken = replace(starting, waking=True)
    assert assign([woken, idle], [short(10, "c", 2)], Room(9, 99), spare=4) == Decision(starts=(10,))
    two = [short(10, "c", 2), short(11, "d", 3)]
    assert assign([idle], two, Room(9, 99), spare=4) == Decision(starts=(10,), evictions=(2,))


def test_no_second_container_starts_where_the_host_is_short_of_memory() -> None:
    busy = slot(1, "a", calls=1, peak=3)
    waiting = [short(10, "a", 3)]
    assert assign([busy], waiting, Room(9, 99), PACES, spare=3) == Decision(starts=(10,))
    assert assign([busy], waiting, Room(9, 99), PACES, spare=2) == Decision()
