"""What a worker is told when it takes jobs: those that are its own now, and the lanes that are left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import isfinite

from spacedock_worker.queue.choose import Head, Lane, Pick

LANES_SEEN = 64
"""How many lanes a worker is told, those that had least first."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A job that is ours to run: its raw request, seconds spent in the queue, and whether to stop at once.

    `request` is None where it is too large to be read. `deaths` counts the workers that died while they
    executed it. A `suspect` is the only one in hand. `definition` is what arq knows of it.
    """

    id: str
    request: bytes | None
    queued: float
    cancel_asked: bool
    deaths: int = 0
    suspect: bool = False
    lane: str = ""
    target: str = ""
    definition: bytes | None = None


@dataclass(frozen=True, slots=True)
class View:
    """What waits: `virtual` is where the lane that was served last stood. Where something is `lacking`, jobs
    of arq's queue are in no lane; where the host is `paused` it takes none."""

    lanes: tuple[Lane, ...]
    virtual: float
    lacking: bool
    paused: bool

    @property
    def targets(self) -> set[str]:
        """The targets of the jobs that wait."""
        return {head.target for lane in self.lanes for head in lane.heads}

    def without(self, targets: set[str]) -> tuple[Lane, ...]:
        """The lanes, but for jobs of those targets."""
        if not targets:
            return self.lanes
        left = [
            (lane, tuple(head for head in lane.heads if head.target not in targets)) for lane in self.lanes
        ]
        return tuple(replace(lane, heads=heads) for lane, heads in left)

    def heard_of(self, name: str, target: str) -> View:
        """What waits once a job of that lane was submitted: it is chosen from before the next look."""
        others = tuple(lane for lane in self.lanes if lane.name != name)
        known = next((lane for lane in self.lanes if lane.name == name), Lane(name, self.virtual, ()))
        before = next((head for head in known.heads if head.target == target), Head(target, 0.0, 0))
        heads = (*(head for head in known.heads if head != before), replace(before, count=before.count + 1))
        return replace(self, lanes=(*others, replace(known, heads=heads)))


NOTHING = View((), 0.0, lacking=False, paused=False)
"""What waits as far as nobody has looked."""


def view(
    due: bytes,
    virtual: bytes,
    lacking: int,
    paused: int,
    lanes: Iterable[tuple[bytes, bytes, list[bytes]]],
) -> View:
    """What TAKE tells of the lanes."""
    now = float(due)
    return View(tuple(_lane(now, *row) for row in lanes), float(virtual), bool(lacking), bool(paused))


def _lane(now: float, name: bytes, virtual: bytes, heads: list[bytes]) -> Lane:
    found = [
        Head(_text(target), max(0.0, now - float(due)) / 1000, int(count))
        for target, due, count in zip(heads[::3], heads[1::3], heads[2::3], strict=True)
    ]
    return Lane(_text(name), float(virtual), tuple(found))


def named(targets: Iterable[str]) -> list[bytes]:
    """Targets as arguments of TAKE."""
    return [_bytes(target) for target in sorted(targets)]


def picked(picks: Iterable[Pick]) -> list[bytes | float | int]:
    """The picks as arguments of TAKE."""
    return [
        item
        for pick in picks
        for item in (_bytes(pick.lane), _bytes(pick.target), pick.count, pick.charge, pick.lag)
    ]


def claimed(
    now: bytes,
    job_id: bytes,
    request: bytes | int | None,
    submitted: bytes,
    cancel: int | None,
    deaths: int,
    suspect: int | None,
    lane: bytes,
    target: bytes,
    definition: bytes | None,
) -> Claimed:
    """What a row of TAKE's answer says."""
    waited = _waited(submitted, now)
    readable = None if isinstance(request, int) else request or b""
    places = _text(lane), _text(target)
    told = cancel is not None, deaths, bool(suspect)
    return Claimed(job_id.decode(), readable, waited, *told, *places, definition)


def _text(raw: bytes) -> str:
    """Bytes that may be anybody's as text, from which `_bytes` makes the same bytes."""
    return raw.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


def _waited(submitted: bytes, now: bytes) -> float:
    """Seconds in the queue; none where somebody else's rubbish stands for the time of submission."""
    try:
        waited = float(now) - float(submitted or now)
    except ValueError:
        return 0.0
    return max(0.0, waited) if isfinite(waited) else 0.0
