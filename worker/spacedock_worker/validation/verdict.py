"""Judging whether a Space can run on this host, from what was found out about it (pure)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from spacedock.replies.spaces import CheckRow
from spacedock_worker.containers.machine.capacity import EngineInfo
from spacedock_worker.containers.pool.view import SpaceStatus
from spacedock_worker.errors import StepError
from spacedock_worker.hub.space import HubSpace
from spacedock_worker.images.oci.survey import Offer
from spacedock_worker.images.source import Image
from spacedock_worker.registry.entry import SpaceEntry, Verdict

_SHOWN = 300


class Mark(StrEnum):
    """What a check came to; `unknown` where nobody could tell."""

    OK = "ok"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Check:
    """One check: what it came to, why in plain words, and what to do about it.

    A `decisive` one must be known for there to be a verdict.
    """

    name: str
    mark: Mark
    reason: str
    advice: str = ""
    decisive: bool = False


@dataclass(frozen=True, slots=True)
class HubCheck:
    """The Hub's answer: the Space, or `why` there is none; `missing` where the Hub knows no such Space.

    A `stale` one is of an earlier day, since the Hub could not be asked. `token` says that this host has a
    login at the Hub.
    """

    space: HubSpace | None = None
    missing: bool = False
    stale: bool = False
    why: str = ""
    token: bool = False


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was found out about one Space without getting it.

    `here` is its image on this host; `trouble` is why that cannot be had, or built from a repository of this
    host; `offer` is what its image registry says, `sdk` what the repository's README.md does,
    `binds` the line by which its app listens on 127.0.0.1. `runs` are the
    platforms that were asked about and run here; `missing_secret` is why a secret of its entry is not there;
    `misfit` why its entry makes no sense.
    """

    entry: SpaceEntry
    host: EngineInfo
    here: Image | None = None
    trouble: StepError | None = None
    offer: Offer | None = None
    hub: HubCheck | None = None
    sdk: str | None = None
    binds: str | None = None
    runs: Callable[[str], bool] = field(default=lambda platform: True)
    missing_secret: str | None = None
    misfit: str | None = None
    trying: bool = False
    gpus: StepError | None = None
    memory: int = 0
    known: Collection[str] = ()
    status: SpaceStatus | None = None


def verdict(checks: Sequence[Check], at: datetime, digest: str | None, *, deep: bool) -> Verdict | None:
    """What the checks come to; None where a decisive one could not be made."""
    bad = next((check for check in checks if check.mark is Mark.BAD), None)
    if bad is not None:
        return Verdict(works=False, reason=_cut(f"{bad.name}: {bad.reason}"), at=at, digest=digest, deep=deep)
    if any(check.decisive and check.mark is Mark.UNKNOWN for check in checks):
        return None
    unknown = [check.name for check in checks if check.mark is Mark.UNKNOWN]
    reason = checks[-1].reason if deep else "nothing speaks against it"
    also = f"; not known: {', '.join(unknown)}" if unknown else ""
    return Verdict(works=True, reason=_cut(reason + also), at=at, digest=digest, deep=deep)


def told(check: Check) -> CheckRow:
    """The check as a row of JSON."""
    return {"name": check.name, "status": check.mark.value, "reason": check.reason, "advice": check.advice}


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
