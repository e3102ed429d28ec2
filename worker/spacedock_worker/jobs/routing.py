"""Where a job goes that names no Space: its tier, and the Spaces to ask; a pure decision, with reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spacedock.request import JobRequest, Tier
from spacedock_worker.recommend.recommend import Recommendation
from spacedock_worker.recommend.signals import WARM
from spacedock_worker.recommend.tasks import SURE, TaskReading
from spacedock_worker.recommend.taxonomy import taxonomy

STEPS = 3
"""How many Spaces are tried for a job that names none: each may have to be built first."""

_FELLOW = 0.6
_BATCH_SURE = 0.4
_COMPLEX = 0.5
_WARM_ENOUGH = WARM["paused"]


@dataclass(frozen=True, slots=True)
class Route:
    """Where a job goes: the tier, in words why, and the Spaces to ask, the best first."""

    tier: Tier
    reasons: tuple[str, ...]
    ranked: tuple[Recommendation, ...] = ()


def needs_ranking(request: JobRequest, task: TaskReading) -> bool:
    """Whether the registry's Spaces must be ranked to route the job: most words are for a model anyway."""
    if request.tier in {Tier.FAST, Tier.DEFAULT}:
        return False
    return request.tier is Tier.HEAVY or request.batch or not task.general or task.complexity >= _COMPLEX


def route(request: JobRequest, task: TaskReading, ranked: Sequence[Recommendation]) -> Route:
    """Route a job that names neither a Space nor a category; `ranked` are the Spaces that fit its task.

    The tier heavy with no Space is a route that leads nowhere: `nothing_fits` says so.
    """
    if request.tier in {Tier.FAST, Tier.DEFAULT}:
        return Route(request.tier, (f"the tier {request.tier.value} was asked for",))
    spaces = _to_try(ranked, hindered_too=request.tier is Tier.HEAVY)
    looks = f"it looks like {task.title}"
    if request.tier is Tier.HEAVY:
        why = looks if spaces else nothing_fits(task)
        return Route(Tier.HEAVY, ("the tier heavy was asked for", why), spaces)
    against = _against_spaces(request, task, spaces)
    if against:
        return Route(Tier.FAST, (looks, against))
    return Route(Tier.HEAVY, (looks, *_for_spaces(request, task)), spaces)


def nothing_fits(task: TaskReading) -> str:
    """That no Space of the registry fits, and what to do."""
    category = taxonomy().category_of(task.top)
    files = f" and takes {' and '.join(sorted(task.kinds))}" if task.kinds else ""
    return (
        f"no Space of the registry is made for {task.title}{files}: find one with "
        f"`spacedock spaces discover {category}`, or name a Space"
    )


def _against_spaces(request: JobRequest, task: TaskReading, spaces: Sequence[Recommendation]) -> str | None:
    """Why a job goes to a model although it might have gone to a Space."""
    words_only = task.kinds <= {"text"}
    if not spaces:
        return "a language model does it" if task.general and words_only else nothing_fits(task)
    if not words_only:
        return None
    if task.general and not request.batch and task.complexity < _COMPLEX:
        return "a language model does it"
    if task.weight < (_BATCH_SURE if request.batch else SURE) and not task.general:
        return "its words do not say clearly that a Space is needed"
    if request.performance_first and task.wants <= {"text"} and not _any_warm(spaces):
        return "performance comes first, and none of the Spaces for it is warm here"
    return None


def _for_spaces(request: JobRequest, task: TaskReading) -> list[str]:
    reasons = []
    if task.kinds - {"text"}:
        reasons.append(f"it brings {' and '.join(sorted(task.kinds - {'text'}))}")
    elif task.general:
        reasons.append("it is complex" if task.complexity >= _COMPLEX else "a Space is made for it")
    else:
        reasons.append("that is a specialised task")
    if request.batch:
        reasons.append("a batch prefers Spaces")
    if request.privacy:
        reasons.append("a Space runs here, sealed from the network")
    if request.performance_first:
        reasons.append("performance comes first: warm and fast Spaces go before better ones")
    return reasons


def _to_try(ranked: Sequence[Recommendation], *, hindered_too: bool) -> tuple[Recommendation, ...]:
    """The best few: all for the same task, and none that is known not to work here, where others do."""
    able = [one for one in ranked if one.hindrance is None]
    if not able and hindered_too:
        able = list(ranked)
    nearest = max((one.nearness for one in able), default=0.0)
    return tuple(one for one in able if one.nearness >= _FELLOW * nearest)[:STEPS]


def _any_warm(spaces: Sequence[Recommendation]) -> bool:
    return any(WARM.get(one.state, 0.0) >= _WARM_ENOUGH for one in spaces)
