"""How a Space stands on this host, beside what it is made for: measured, warm, validated, liked (pure)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from spacedock_worker.profiling.measured import Measured
from spacedock_worker.registry.entry import SpaceEntry


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each thing counts among Spaces that suit equally; `share` is what they count all together.

    A Space that suits half as well can make up for it only by `share`.
    """

    share: float
    listed: float
    measured: float
    warm: float
    verified: float
    liked: float

    @property
    def total(self) -> float:
        """The sum of the parts."""
        return self.listed + self.measured + self.warm + self.verified + self.liked


BEST_FIRST = Weights(share=0.3, listed=0.3, measured=0.3, warm=0.15, verified=0.15, liked=0.1)
FAST_FIRST = Weights(share=0.6, listed=0.1, measured=0.4, warm=0.4, verified=0.1, liked=0.0)

WARM = {"running": 1.0, "paused": 0.8, "stopped": 0.4, "image only": 0.2}
"""How warm each state is; all others are cold."""

# What takes a Space back behind the others: it is known not to work, or cannot here.
_BROKEN, _NO_GPU, _SLOW_WITHOUT_GPU, _QUARANTINED, _FILE_MISSING = 0.3, 0.2, 0.8, 0.5, 0.9

_MANY_LIKES = 10_000
_SLOW_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Signals:
    """A Space on this host: what was measured of it, its state, its place among those it stands in for."""

    entry: SpaceEntry
    measured: Measured | None
    state: str
    place: int
    missing: str | None
    gpu: bool | None

    def score(self, weights: Weights) -> float:
        """From 0 to 1."""
        parts = (
            weights.listed * max(0.2, 1.0 - 0.2 * self.place),
            weights.measured * self._measured_well(),
            weights.warm * WARM.get(self.state, 0.0),
            weights.verified * self._verified_well(),
            weights.liked * _liked(self.entry.likes),
        )
        return sum(parts) / weights.total

    def penalty(self) -> float:
        """What is left of its score for what speaks against it, from 0 to 1."""
        left = _QUARANTINED if self.state == "quarantined" else 1.0
        left *= _FILE_MISSING if self.missing else 1.0
        left *= _BROKEN if self.entry.verified != "never" and not self.entry.verified.works else 1.0
        if self.gpu is False:
            left *= (
                _NO_GPU if needs_gpu(self.entry) else _SLOW_WITHOUT_GPU if made_on_gpu(self.entry) else 1.0
            )
        return left

    def hindrance(self) -> str | None:
        """Why it will hardly work here; None where nothing speaks against it."""
        verdict = self.entry.verified
        if self.gpu is False and needs_gpu(self.entry):
            return "it needs a GPU, and this host has none"
        if verdict != "never" and not verdict.works:
            return f"it did not pass its validation on {verdict.at:%Y-%m-%d}: {verdict.reason[:200]}"
        return "it is in quarantine" if self.state == "quarantined" else None

    def reasons(self) -> Iterator[str]:
        """In words, the weightiest first."""
        if self.missing:
            yield f"needs {self.missing}, which does not come with the task"
        if self.hindrance():
            yield f"put last: {self.hindrance()}"
        elif self.gpu is False and made_on_gpu(self.entry):
            yield "uses a GPU elsewhere, and this host has none: it may be slow"
        yield from self._history()
        if self.state in ("running", "paused", "stopped"):
            yield f"is {self.state}{' now' if self.state == 'running' else ''}"
        yield from self._validated()
        if self.entry.likes:
            yield f"{self.entry.likes} like{'' if self.entry.likes == 1 else 's'} on the Hub"

    def _history(self) -> Iterator[str]:
        if self.measured is None or not self.measured.runs:
            return
        median = self.measured.call_p50
        speed = f", {median:.1f} s at the median" if median is not None else ""
        yield f"answered {self.measured.succeeded} of {self.measured.runs} here{speed}"

    def _validated(self) -> Iterator[str]:
        verdict = self.entry.verified
        if verdict == "never":
            yield "never validated here"
        elif verdict.works:
            yield f"validated here on {verdict.at:%Y-%m-%d}{'' if verdict.deep else ', without running it'}"

    def _measured_well(self) -> float:
        """The success rate, as if it had been asked twice more with one answer, and the speed."""
        if self.measured is None or not self.measured.runs:
            return 0.5
        rate = (self.measured.succeeded + 1) / (self.measured.runs + 2)
        seconds = self.measured.call_p50 if self.measured.call_p50 is not None else _SLOW_SECONDS
        return rate * (0.6 + 0.4 / (1 + seconds / _SLOW_SECONDS))

    def _verified_well(self) -> float:
        verdict = self.entry.verified
        return 0.5 if verdict == "never" else (1.0 if verdict.deep else 0.7) * verdict.works


def needs_gpu(entry: SpaceEntry) -> bool:
    """Whether the registry asks for a GPU, be it one or named ones."""
    return not isinstance(entry.gpu, str)


def made_on_gpu(entry: SpaceEntry) -> bool:
    """Whether it takes a GPU where there is one, or runs on one where the Hub runs it."""
    return entry.gpu == "auto" or ("cpu" not in entry.hardware.lower() if entry.hardware else False)


def _liked(likes: int | None) -> float:
    return min(1.0, math.log1p(likes or 0) / math.log1p(_MANY_LIKES))
