"""Who gets which container: the pool's decision (pure; awaits nothing and changes no slot)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spacedock_worker.containers.machine.capacity import Room
from spacedock_worker.containers.pool.history import Pace
from spacedock_worker.containers.pool.slots import Slot, SlotState, Waiter

AnySlot = Slot[Any]
AnyWaiter = Waiter[Any]


@dataclass(frozen=True, slots=True)
class Decision:
    """`grants` pairs waiters with running slots; `wakes` are sleeping or stopped slots to bring up, `starts`
    the waiters for whose key to start a container, `evictions` the idle slots to give up."""

    grants: tuple[tuple[int, int], ...] = ()
    wakes: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    evictions: tuple[int, ...] = ()


def assign(
    slots: Iterable[AnySlot],
    waiters: Sequence[AnyWaiter],
    limit: Room,
    paces: Mapping[str, Pace] | None = None,
    spare: int | None = None,
) -> Decision:
    """Decide for the waiters, the longest waiting first, within `limit` at any time.

    A free call slot of a running container goes before waking one, that before starting one; one container of
    a Space starts at a time. Where there is no room, idle containers that nobody waits for are given up:
    outdated ones first, then the cheapest to lose, and those that a running chain expects only where no other
    is left. Who waits for room is overtaken by calls of Spaces that run already, until it is urgent; nobody
    else gets room before it. A Space whose calls would wait longer than a start gets one more container, also
    in the place of one that has rested for long, whether or not a chain expects that.

    `spare` are the bytes that the host can really spare now (None: not known). Where a container is known to
    need more, idle ones go first, whatever room there is by their limits; with none left it starts.
    """
    table = _Table(slots, waiters, limit, spare)
    for waiter in waiters:
        table.serve(waiter)
    table.replicate(paces or {})
    return table.decision


class _Table:
    """The slots while a decision is made; what is decided counts at once."""

    def __init__(
        self, slots: Iterable[AnySlot], waiters: Sequence[AnyWaiter], limit: Room, spare: int | None
    ) -> None:
        self.slots = tuple(slots)
        taken = [slot for slot in self.slots if slot.state is not SlotState.STOPPED]
        # Negative while a stopping container still holds room that is already promised.
        self.free = limit - _sum(taken)
        self.leaving = _sum(slot for slot in taken if slot.state is SlotState.STOPPING)
        # What is being started has not taken its memory yet; a woken one never gave it back.
        fresh = [slot for slot in taken if slot.state is SlotState.STARTING and not slot.waking]
        self.spare = None if spare is None else spare - sum(slot.peak for slot in fresh)
        self.protected = _wanted(self.slots, waiters)
        self.coming = {slot.key for slot in taken if slot.state is SlotState.STARTING}
        self.waking = {slot.key for slot in taken if slot.state is SlotState.STARTING and slot.waking}
        self.withheld: set[int] = set()
        self.unserved: list[AnyWaiter] = []
        self.blocked = False
        self._granted: Counter[int] = Counter()
        self._grants: list[tuple[int, int]] = []
        self._wakes: list[int] = []
        self._starts: list[int] = []
        self._evictions: list[int] = []

    @property
    def decision(self) -> Decision:
        """What has been decided."""
        return Decision(tuple(self._grants), tuple(self._wakes), tuple(self._starts), tuple(self._evictions))

    def serve(self, waiter: AnyWaiter) -> None:
        """Give the waiter a call slot or have a container brought up for it, else let it wait."""
        mine = [slot for slot in self.slots if slot.key == waiter.key]
        running = [s for s in mine if self._state(s) is SlotState.RUNNING and s.id not in self.withheld]
        free = [slot for slot in running if self._calls(slot) < slot.capacity]
        asleep = [slot for slot in mine if self._state(slot) is SlotState.ASLEEP]
        if free:
            # The busiest first: the others may become idle, and go to sleep.
            self._grant(waiter, max(free, key=lambda slot: (self._calls(slot), slot.cost)))
        elif asleep and waiter.key not in self.waking:
            # Also beside one that is being started: that may take minutes.
            self._wake(max(asleep, key=lambda slot: slot.cost))
        elif waiter.key in self.coming or running:
            self.unserved.append(waiter)
        elif not self.blocked:
            self._bring_up(waiter, [slot for slot in mine if self._state(slot) is SlotState.STOPPED])

    def replicate(self, paces: Mapping[str, Pace]) -> None:
        """Start one more container of the Space that is waited for longest, where a start takes less.

        Where that one cannot have one more, the Space that is waited for next longest gets its chance.
        """
        keys = {waiter.key for waiter in self.unserved if waiter.key in paces} - self.coming
        waits = {key: self._wait(key, paces[key]) for key in keys}
        worth = [key for key in keys if waits[key] > paces[key].start]
        if self.blocked:
            return
        for key in sorted(worth, key=lambda key: (waits[key], key), reverse=True):
            if self._add(next(waiter for waiter in self.unserved if waiter.key == key)):
                return

    def _add(self, waiter: AnyWaiter) -> bool:
        """Whether one more container starts, or rested ones make room for it: also those that chains expect,
        as every job of a batch expects what it would fall back to."""
        if self._is_short(waiter):
            return False
        if self.free.holds(waiter.room):
            self._start(waiter)
            return True
        return self._make_room(waiter, [slot for slot in self._idle(wanted=False) if slot.rested], part=False)

    def _wait(self, key: str, pace: Pace) -> float:
        """The seconds until the last of its waiting calls begins, with the containers that it has."""
        up = (SlotState.RUNNING, SlotState.STARTING)
        call_slots = sum(s.capacity for s in self.slots if s.key == key and self._state(s) in up)
        return sum(waiter.key == key for waiter in self.unserved) * pace.call / max(1, call_slots)

    def _state(self, slot: AnySlot) -> SlotState:
        """What the slot is doing once what is decided has been done."""
        if slot.id in self._evictions:
            return SlotState.STOPPING
        return SlotState.STARTING if slot.id in self._wakes else slot.state

    def _calls(self, slot: AnySlot) -> int:
        return slot.calls + self._granted[slot.id]

    def _is_idle(self, slot: AnySlot) -> bool:
        state = self._state(slot)
        return state is SlotState.ASLEEP or (state is SlotState.RUNNING and self._calls(slot) == 0)

    def _bring_up(self, waiter: AnyWaiter, stopped: list[AnySlot]) -> None:
        """Start or restart a container in free room; else make room, which a later decision finds free."""
        holds = self.free.holds(waiter.room)
        if holds and not self._relieve(waiter):
            if stopped:
                self._take(waiter)
                self._wake(stopped[0])
            else:
                self._start(waiter)
        elif holds or self._make_room(waiter, self._victims(waiter), part=waiter.urgent):
            self.free -= waiter.room
            self.coming.add(waiter.key)
        else:
            # Nobody behind this waiter may take the room that it waits for.
            self.blocked = True

    def _is_short(self, waiter: AnyWaiter) -> bool:
        """Whether the host has really less memory than the waiter's container is known to need."""
        return self.spare is not None and waiter.peak > max(0, self.spare)

    def _relieve(self, waiter: AnyWaiter) -> bool:
        """Whether the waiter's start waits for idle containers to go, as the host is short of memory."""
        if not self._is_short(waiter):
            return False
        assert self.spare is not None
        # A busy one that is to go ends its call first, which may take long.
        coming = [s for s in self.slots if self._state(s) is SlotState.STOPPING and not self._calls(s)]
        lacking = waiter.peak - self.spare - sum(slot.peak or slot.room.memory for slot in coming)
        victims = _fewest(
            self._idle(wanted=False), lambda some: sum(s.peak or s.room.memory for s in some) >= lacking
        )
        for slot in victims:
            self._give_up(slot)
        return bool(coming or victims)

    def _make_room(self, waiter: AnyWaiter, candidates: Sequence[AnySlot], *, part: bool) -> bool:
        """Whether what is leaving already, and those that are now made to leave, will be enough.

        Where all are not enough, none has to leave, unless `part` of the room helps too.
        """

        def enough_with(some: Iterable[AnySlot]) -> bool:
            return (self.free + self.leaving + _sum(some)).holds(waiter.room)

        victims = _fewest(candidates, enough_with)
        enough, idle = enough_with(victims), all(self._is_idle(slot) for slot in victims)
        if enough or part:
            for slot in victims:
                self._give_up(slot)
        return enough and idle

    def _victims(self, waiter: AnyWaiter) -> list[AnySlot]:
        """What may go for the waiter, the cheapest first; for an urgent one also what others want or use."""
        spare = self._idle(wanted=False)
        if not waiter.urgent:
            return spare
        # By age, so that the next decision waits for the same ones to become idle.
        busy = [s for s in self.slots if self._state(s) is SlotState.RUNNING and self._calls(s) > 0]
        return spare + self._idle(wanted=True) + sorted(busy, key=lambda slot: slot.id)

    def _idle(self, *, wanted: bool) -> list[AnySlot]:
        """The idle containers that others want, or that nobody does; what may go first comes first."""
        idle = [slot for slot in self.slots if self._is_idle(slot) and slot.id not in self.withheld]
        found = [slot for slot in idle if (slot.id in self.protected) is wanted]
        return sorted(found, key=lambda slot: (not slot.outdated, slot.expected, slot.cost, slot.id))

    def _give_up(self, slot: AnySlot) -> None:
        """Evict an idle slot; a busy one gets no more calls, so that it will be idle."""
        self.withheld.add(slot.id)
        if self._is_idle(slot):
            self.leaving += slot.room
            self._evictions.append(slot.id)

    def _grant(self, waiter: AnyWaiter, slot: AnySlot) -> None:
        self._granted[slot.id] += 1
        self._grants.append((waiter.id, slot.id))

    def _wake(self, slot: AnySlot) -> None:
        self.coming.add(slot.key)
        self.waking.add(slot.key)
        self._wakes.append(slot.id)

    def _take(self, waiter: AnyWaiter) -> None:
        self.free -= waiter.room
        if self.spare is not None:
            self.spare -= waiter.peak

    def _start(self, waiter: AnyWaiter) -> None:
        self._take(waiter)
        self.coming.add(waiter.key)
        self._starts.append(waiter.id)


def _sum(slots: Iterable[AnySlot]) -> Room:
    return sum((slot.room for slot in slots), Room(containers=0))


def _fewest(victims: Sequence[AnySlot], enough: Callable[[Sequence[AnySlot]], bool]) -> list[AnySlot]:
    """The first of the victims that are enough, without those that need not go; all where none are enough."""
    chosen: list[AnySlot] = []
    for slot in victims:
        if enough(chosen):
            break
        chosen.append(slot)
    if enough(chosen):
        for slot in reversed(tuple(chosen)):
            if enough(without := [s for s in chosen if s is not slot]):
                chosen = without
    return chosen


def _wanted(slots: Iterable[AnySlot], waiters: Sequence[AnyWaiter]) -> frozenset[int]:
    """The idle slots that waiters of their own Space will use: as many as they need, the dearest first."""
    calls = Counter(waiter.key for waiter in waiters)
    wanted: set[int] = set()
    for slot in sorted(slots, key=lambda slot: -slot.cost):
        if slot.idle and calls[slot.key] > 0:
            calls[slot.key] -= slot.capacity
            wanted.add(slot.id)
    return frozenset(wanted)
