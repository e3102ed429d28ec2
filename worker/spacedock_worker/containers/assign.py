"""Who gets which container: the pool's decision (pure; awaits nothing)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum


class SlotState(StrEnum):
    """What a container slot is doing. Every state counts against the limit."""

    BUSY = "busy"
    IDLE = "idle"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Slot:
    """A container (busy while it starts); among idle ones, the least `used` was used longest ago."""

    id: int
    key: str
    state: SlotState
    used: int = 0


@dataclass(frozen=True, slots=True)
class Waiter:
    """A lease that waits for a container of `key`."""

    id: int
    key: str


@dataclass(frozen=True, slots=True)
class Decision:
    """`grants` pairs waiters with idle slots, `starts` are waiters that may start a container in a new slot,
    `evictions` are idle slots to close so that a later decision can start one."""

    grants: tuple[tuple[int, int], ...] = ()
    starts: tuple[int, ...] = ()
    evictions: tuple[int, ...] = ()


def assign(slots: Iterable[Slot], waiters: Sequence[Waiter], limit: int) -> Decision:
    """Decide for the waiters, the longest waiting first, with at most `limit` slots at any time.

    A Space has one container: whoever wants it while it is busy waits for it. Who comes first gets the room
    that there is, so nobody is passed over for ever; the idle container that was used least recently is
    closed where room is needed, and a busy one never.
    """
    slots = tuple(slots)
    wanted = {waiter.key for waiter in waiters}
    taken = {slot.key for slot in slots if slot.state is SlotState.BUSY}
    # In the order in which they would be closed: those that nobody here waits for first.
    resting = sorted(
        (slot for slot in slots if slot.state is SlotState.IDLE),
        key=lambda slot: (slot.key in wanted, slot.used),
    )
    idle = {slot.key: slot for slot in resting}
    room = limit - len(slots)
    coming = sum(slot.state is SlotState.STOPPING for slot in slots)
    grants: list[tuple[int, int]] = []
    starts: list[int] = []
    evictions: list[int] = []
    for waiter in waiters:
        if waiter.key in taken:
            continue
        taken.add(waiter.key)
        if waiter.key in idle:
            grants.append((waiter.id, idle.pop(waiter.key).id))
        elif room > 0:
            room -= 1
            starts.append(waiter.id)
        elif coming > 0:
            # A slot that is closing already is this waiter's.
            coming -= 1
        elif idle:
            evictions.append(idle.pop(next(iter(idle))).id)
    return Decision(tuple(grants), tuple(starts), tuple(evictions))
