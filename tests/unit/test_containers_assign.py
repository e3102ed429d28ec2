"""The pool's decision: never above the limit, never a busy one evicted, nobody passed over for ever."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from spacedock_worker.containers.assign import Decision, Slot, SlotState, Waiter, assign

KEYS = st.sampled_from("abcde")


@st.composite
def slots(draw: st.DrawFn, limit: int) -> list[Slot]:
    count = draw(st.integers(0, limit))
    made = [
        Slot(i, draw(KEYS), draw(st.sampled_from(list(SlotState))), draw(st.integers(0, 9)))
        for i in range(count)
    ]
    # The pool has one living container for each Space.
    living = {slot.key: slot for slot in made if slot.state is not SlotState.STOPPING}
    return [*living.values(), *(slot for slot in made if slot.state is SlotState.STOPPING)]


situations = st.integers(1, 4).flatmap(
    lambda limit: st.tuples(
        slots(limit),
        st.lists(KEYS, max_size=8).map(lambda keys: [Waiter(100 + i, key) for i, key in enumerate(keys)]),
        st.just(limit),
    )
)


@given(situations)
def test_the_limit_holds_and_only_idle_slots_are_given_or_closed(situation) -> None:
    slots, waiters, limit = situation
    decision = assign(slots, waiters, limit)
    idle = {slot.id: slot for slot in slots if slot.state is SlotState.IDLE}
    keys = {waiter.id: waiter.key for waiter in waiters}
    assert len(slots) + len(decision.starts) <= limit
    assert set(decision.evictions) <= idle.keys()
    given_away = [slot for _, slot in decision.grants]
    assert len({*given_away, *decision.evictions}) == len(given_away) + len(decision.evictions)
    assert all(idle[slot].key == keys[waiter] for waiter, slot in decision.grants)


@given(situations)
def test_a_space_never_gets_a_second_container(situation) -> None:
    slots, waiters, limit = situation
    decision = assign(slots, waiters, limit)
    keys = {waiter.id: waiter.key for waiter in waiters}
    living = [slot.key for slot in slots if slot.state is SlotState.BUSY]
    living += [
        slot.key for slot in slots if slot.state is SlotState.IDLE and slot.id not in decision.evictions
    ]
    started = [keys[waiter] for waiter in decision.starts]
    assert len(set(living + started)) == len(living) + len(started)


@given(situations)
def test_nobody_waits_where_there_is_room(situation) -> None:
    slots, waiters, limit = situation
    decision = assign(slots, waiters, limit)
    served = {waiter for waiter, _ in decision.grants} | set(decision.starts)
    if len(slots) < limit or any(slot.state is not SlotState.BUSY for slot in slots):
        busy = {slot.key for slot in slots if slot.state is SlotState.BUSY}
        first = next((waiter for waiter in waiters if waiter.key not in busy), None)
        closing = any(slot.state is SlotState.STOPPING for slot in slots)
        assert first is None or first.id in served or decision.evictions or closing


@given(situations, st.randoms(use_true_random=False))
def test_every_waiter_is_served_in_the_end(situation, random) -> None:
    """Play the pool: apply decisions, and let one busy or closing slot after another come to its end."""
    slots, waiters, limit = situation
    table, queue = {slot.id: slot for slot in slots}, list(waiters)
    for _ in range(len(queue) * 4 + len(table) + 4):
        decision = assign(table.values(), queue, limit)
        apply(decision, table, queue)
        assert len(table) <= limit
        moving = [slot for slot in table.values() if slot.state is not SlotState.IDLE]
        if not moving:
            break
        end(random.choice(moving), table)
    assert queue == []


def apply(decision: Decision, table: dict[int, Slot], queue: list[Waiter]) -> None:
    for _, slot in decision.grants:
        table[slot] = replace(table[slot], state=SlotState.BUSY)
    for waiter in queue:
        if waiter.id in decision.starts:
            table[1000 + waiter.id] = Slot(1000 + waiter.id, waiter.key, SlotState.BUSY)
    for slot in decision.evictions:
        table[slot] = replace(table[slot], state=SlotState.STOPPING)
    served = {waiter for waiter, _ in decision.grants} | set(decision.starts)
    queue[:] = [waiter for waiter in queue if waiter.id not in served]


def end(slot: Slot, table: dict[int, Slot]) -> None:
    if slot.state is SlotState.STOPPING:
        del table[slot.id]
    else:
        table[slot.id] = replace(slot, state=SlotState.IDLE)


def test_the_container_that_nobody_waits_for_is_closed_before_one_that_somebody_does() -> None:
    idle = [Slot(1, "a", SlotState.IDLE, used=1), Slot(2, "b", SlotState.IDLE, used=2)]
    decision = assign(idle, [Waiter(10, "c"), Waiter(11, "a")], limit=2)
    assert decision == Decision(grants=((11, 1),), evictions=(2,))


def test_the_longest_unused_container_is_closed() -> None:
    idle = [Slot(1, "a", SlotState.IDLE, used=5), Slot(2, "b", SlotState.IDLE, used=3)]
    assert assign(idle, [Waiter(10, "c")], limit=2).evictions == (2,)


def test_a_slot_that_is_closing_already_is_waited_for() -> None:
    slots = [Slot(1, "a", SlotState.STOPPING), Slot(2, "b", SlotState.IDLE)]
    assert assign(slots, [Waiter(10, "c")], limit=2) == Decision()
