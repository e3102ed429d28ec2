"""What was measured of each Space's containers: how long starts and calls take, and how often it is used."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace

from spacedock_worker.containers.assign import Pace

HALF_LIFE = 600.0
"""Seconds after which a use counts half."""

_WEIGHT = 0.3
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class Profile:
    """One key's measures: seconds (None: not measured yet), and uses, each worth less as time goes by.

    `alone` says that a second container beside a running one failed to start.
    """

    start: float | None = None
    call: float | None = None
    uses: float = 0.0
    used_at: float = 0.0
    alone: bool = False

    def recent_uses(self, now: float) -> float:
        """The uses up to `now`, halved every HALF_LIFE."""
        return float(self.uses * 0.5 ** (max(0.0, now - self.used_at) / HALF_LIFE))


class Profiles:
    """The profiles of the keys that were used last; times are the event loop's, in seconds."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Profile] = OrderedDict()

    def started(self, key: str, seconds: float) -> None:
        """A container of that key became ready after so long."""
        profile = self._get(key)
        self._put(key, replace(profile, start=_mean(profile.start, seconds)))

    def knows(self, key: str) -> bool:
        """Whether anything is known of that key."""
        return key in self._known

    def recall(self, key: str, start: float | None, call: float | None) -> None:
        """What starts and calls took in an earlier life; nothing where this one has measured already."""
        if not self.knows(key):
            self._put(key, Profile(start, call))

    def called(self, key: str, seconds: float, now: float) -> None:
        """A call ended after so long."""
        profile = self._get(key)
        uses = profile.recent_uses(now) + 1.0
        self._put(key, replace(profile, call=_mean(profile.call, seconds), uses=uses, used_at=now))

    def stays_alone(self, key: str) -> None:
        """A second container of that key beside a running one could not be started."""
        self._put(key, replace(self._get(key), alone=True))

    def start_seconds(self, key: str) -> float | None:
        """What a start takes; None where none was measured."""
        return self._get(key).start

    def cost(self, key: str, now: float) -> float:
        """What it costs to lose a container: its start, times how often it was used of late."""
        profile = self._get(key)
        return (profile.start or 0.0) * profile.recent_uses(now)

    def pace(self, key: str, under_way: float) -> Pace | None:
        """Start and call time, where a call has been under way for so long; None where it stays alone."""
        profile = self._get(key)
        if profile.start is None or profile.alone:
            return None
        return Pace(profile.start, max(profile.call or 0.0, under_way))

    def _get(self, key: str) -> Profile:
        return self._known.get(key, Profile())

    def _put(self, key: str, profile: Profile) -> None:
        self._known[key] = profile
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)


def _mean(before: float | None, seconds: float) -> float:
    """The running mean, in which what was measured last weighs most."""
    return seconds if before is None else before + _WEIGHT * (seconds - before)
