"""Who gets which container: the pool's decision (pure; awaits nothing)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from spacedock_worker.containers.machine.room import Room


class SlotState(StrEnum):
    """What a container slot is doing; a stopped container takes no room, every other does.

    An asleep one is paused, or was found at our start: it can take calls some milliseconds after it is woken.
    """

    STARTING = "starting"
    RUNNING = "running"
    ASLEEP = "asleep"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class SlotView:
    """A container: `calls` of its `capacity` are under way; `cost` is what losing it would cost (`loss`).

    `waking` says of a starting one that it was asleep, and is there in a moment; `peak` is the memory that
    its like were seen to use (bytes, 0: not known). `outdated` says that a newer build of its Space is in
    use, `expected` that a running chain may ask it next.
    """

    id: int
    key: str
    state: SlotState
    room: Room = Room()
    calls: int = 0
    capacity: int = 1
    cost: float = 0.0
    waking: bool = False
    peak: int = 0
    outdated: bool = False
    expected: bool = False

    @property
    def idle(self) -> bool:
        """Whether it could be given up at once."""
        return self.state is SlotState.ASLEEP or (self.state is SlotState.RUNNING and self.calls == 0)


@dataclass(frozen=True, slots=True)
class WaiterView:
    """A call that waits for a container of `key`; an `urgent` one was overtaken for long enough.

    `peak` is the memory that such containers were seen to use (bytes, 0: not known).
    """

    id: int
    key: str
    room: Room = Room()
    urgent: bool = False
    peak: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """What was measured of a Space: seconds to start a container, and that a call takes."""

    start: float
    call: float


@dataclass(frozen=True, slots=True)
class Decision:
    """`grants` pairs waiters with running slots; `wakes` are sleeping or stopped slots to bring up, `starts`
    the waiters for whose key to start a container, `evictions` the idle slots to give up."""

    grants: tuple[tuple[int, int], ...] = ()
    wakes: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    evictions: tuple[int, ...] = ()


RECENT_SECONDS = 60.0
"""Seconds without a call after which a container is worth half."""


def loss(start: float, idle: float, floor: float) -> float:
    """What it costs to lose a container that starts in `start` seconds and is unused for `idle` seconds.

    `floor` is the greatest loss that was taken before its last use. So one that is slow to start outlives
    others only until these have cost as much by starting again and again.
    """
    return float(floor + start * 0.5 ** (max(0.0, idle) / RECENT_SECONDS))


def assign(
    slots: Iterable[SlotView],
    waiters: Sequence[WaiterView],
    limit: Room,
    paces: Mapping[str, Pace] | None = None,
    spare: int | None = None,
) -> Decision:
    """Decide for the waiters, the longest waiting first, within `limit` at any time.

    A free call slot of a running container goes before waking one, that before starting one; one container of
    a Space starts at a time. Where there is no room, idle containers that nobody waits for are given up:
    outdated ones first, then the cheapest to lose, and those that a running chain expects only where no other
    is left. Who waits for room is overtaken by calls of Spaces that run already, until it is urgent; nobody
    else gets room before it.

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
        self, slots: Iterable[SlotView], waiters: Sequence[WaiterView], limit: Room, spare: int | None
    ) -> None:
        self.slots = {slot.id: slot for slot in slots}
        taken = [slot for slot in self.slots.values() if slot.state is not SlotState.STOPPED]
        # Below zero where room is promised that is only just being left.
        self.free = limit - _sum(taken)
        self.leaving = _sum(slot for slot in taken if slot.state is SlotState.STOPPING)
        # What is being started has not taken its memory yet; a woken one never gave it back.
        fresh = [slot for slot in taken if slot.state is SlotState.STARTING and not slot.waking]
        self.spare = None if spare is None else spare - sum(slot.peak for slot in fresh)
        self.protected = _wanted(self.slots.values(), waiters)
        self.coming = {slot.key for slot in taken if slot.state is SlotState.STARTING}
        self.waking = {slot.key for slot in taken if slot.state is SlotState.STARTING and slot.waking}
        self.withheld: set[int] = set()
        self.unserved: list[WaiterView] = []
        self.blocked = False
        self._grants: list[tuple[int, int]] = []
        self._wakes: list[int] = []
        self._starts: list[int] = []
        self._evictions: list[int] = []

    @property
    def decision(self) -> Decision:
        """What has been decided."""
        return Decision(tuple(self._grants), tuple(self._wakes), tuple(self._starts), tuple(self._evictions))

    def serve(self, waiter: WaiterView) -> None:
        """Give the waiter a call slot or have a container brought up for it, else let it wait."""
        mine = [slot for slot in self.slots.values() if slot.key == waiter.key]
        running = [slot for slot in mine if slot.state is SlotState.RUNNING and slot.id not in self.withheld]
        free = [slot for slot in running if slot.calls < slot.capacity]
        asleep = [slot for slot in mine if slot.state is SlotState.ASLEEP]
        if free:
            # The busiest first: the others may become idle, and go to sleep.
            self._grant(waiter, max(free, key=lambda slot: (slot.calls, slot.cost)))
        elif asleep and waiter.key not in self.waking:
            # Also beside one that is being started: that may take minutes.
            self._wake(max(asleep, key=lambda slot: slot.cost))
        elif waiter.key in self.coming or running:
            self.unserved.append(waiter)
        elif not self.blocked:
            self._bring_up(waiter, [slot for slot in mine if slot.state is SlotState.STOPPED])

    def replicate(self, paces: Mapping[str, Pace]) -> None:
        """Start one more container of the Space that alone is waited for, where waiting would take longer."""
        keys = {waiter.key for waiter in self.unserved}
        if self.blocked or len(keys) != 1 or (key := keys.pop()) in self.coming or key not in paces:
            return
        first, pace = self.unserved[0], paces[key]
        places = sum(slot.capacity for slot in self.slots.values() if slot.key == key and _up(slot))
        wait = len(self.unserved) * pace.call / max(1, places)
        if wait > pace.start and self.free.holds(first.room) and not self._is_short(first):
            self._start(first)

    def _bring_up(self, waiter: WaiterView, stopped: list[SlotView]) -> None:
        """Start or restart a container in free room; else make room, which a later decision finds free."""
        holds = self.free.holds(waiter.room)
        if holds and not self._relieve(waiter):
            if stopped:
                self._take(waiter)
                self._wake(stopped[0])
            else:
                self._start(waiter)
        elif holds or self._make_room(waiter):
            self.free -= waiter.room
            self.coming.add(waiter.key)
        else:
            # Nobody behind this waiter may take the room that it waits for.
            self.blocked = True

    def _is_short(self, waiter: WaiterView) -> bool:
        """Whether the host has really less memory than the waiter's container is known to need."""
        return self.spare is not None and waiter.peak > max(0, self.spare)

    def _relieve(self, waiter: WaiterView) -> bool:
        """Whether the waiter's start waits for idle containers to go, as the host is short of memory."""
        if not self._is_short(waiter):
            return False
        assert self.spare is not None
        # A busy one that is to go ends its call first, which may take long.
        coming = [slot for slot in self.slots.values() if slot.state is SlotState.STOPPING and not slot.calls]
        lacking = waiter.peak - self.spare - sum(slot.peak or slot.room.memory for slot in coming)
        victims = _fewest(
            self._idle(wanted=False), lambda some: sum(s.peak or s.room.memory for s in some) >= lacking
        )
        for slot in victims:
            self._give_up(slot)
        return bool(coming or victims)

    def _make_room(self, waiter: WaiterView) -> bool:
        """Whether what is leaving already, and what is now made to leave, will be enough."""

        def enough_with(some: Iterable[SlotView]) -> bool:
            return (self.free + self.leaving + _sum(some)).holds(waiter.room)

        victims = _fewest(self._victims(waiter), enough_with)
        enough = enough_with(victims)
        if enough or waiter.urgent:
            for slot in victims:
                self._give_up(slot)
        return enough and all(slot.idle for slot in victims)

    def _victims(self, waiter: WaiterView) -> list[SlotView]:
        """What may go for the waiter, the cheapest first; for an urgent one also what others want or use."""
        spare = self._idle(wanted=False)
        if not waiter.urgent:
            return spare
        # By age, so that the next decision waits for the same ones to become idle.
        busy = [s for s in self.slots.values() if s.state is SlotState.RUNNING and s.calls > 0]
        return spare + self._idle(wanted=True) + sorted(busy, key=lambda slot: slot.id)

    def _idle(self, *, wanted: bool) -> list[SlotView]:
        """The idle containers that others want, or that nobody does; what may go first comes first."""
        idle = [slot for slot in self.slots.values() if slot.idle and slot.id not in self.withheld]
        found = [slot for slot in idle if (slot.id in self.protected) is wanted]
        return sorted(found, key=lambda slot: (not slot.outdated, slot.expected, slot.cost, slot.id))

    def _give_up(self, slot: SlotView) -> None:
        """Evict an idle slot; a busy one gets no more calls, so that it will be idle."""
        self.withheld.add(slot.id)
        if slot.idle:
            self.slots[slot.id] = replace(slot, state=SlotState.STOPPING)
            self.leaving += slot.room
            self._evictions.append(slot.id)

    def _grant(self, waiter: WaiterView, slot: SlotView) -> None:
        self.slots[slot.id] = replace(slot, calls=slot.calls + 1)
        self._grants.append((waiter.id, slot.id))

    def _wake(self, slot: SlotView) -> None:
        self.slots[slot.id] = replace(slot, state=SlotState.STARTING)
        self.coming.add(slot.key)
        self.waking.add(slot.key)
        self._wakes.append(slot.id)

    def _take(self, waiter: WaiterView) -> None:
        self.free -= waiter.room
        if self.spare is not None:
            self.spare -= waiter.peak

    def _start(self, waiter: WaiterView) -> None:
        self._take(waiter)
        self.coming.add(waiter.key)
        self._starts.append(waiter.id)


def _up(slot: SlotView) -> bool:
    return slot.state in (SlotState.RUNNING, SlotState.STARTING)


def _sum(slots: Iterable[SlotView]) -> Room:
    return sum((slot.room for slot in slots), Room(containers=0))


def _fewest(victims: Sequence[SlotView], enough: Callable[[Sequence[SlotView]], bool]) -> list[SlotView]:
    """The first of the victims that are enough, without those that need not go; all where none are enough."""
    chosen: list[SlotView] = []
    for slot in victims:
        if enough(chosen):
            break
        chosen.append(slot)
    if enough(chosen):
        for slot in reversed(tuple(chosen)):
            if enough(without := [s for s in chosen if s is not slot]):
                chosen = without
    return chosen


def _wanted(slots: Iterable[SlotView], waiters: Sequence[WaiterView]) -> frozenset[int]:
    """The idle slots that waiters of their own Space will use: as many as they need, the dearest first."""
    calls = Counter(waiter.key for waiter in waiters)
    wanted: set[int] = set()
    for slot in sorted(slots, key=lambda slot: -slot.cost):
        if slot.idle and calls[slot.key] > 0:
            calls[slot.key] -= slot.capacity
            wanted.add(slot.id)
    return frozenset(wanted)
