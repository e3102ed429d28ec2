"""Recommending Spaces for a task: what fits, ranked, each with its reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from threading import Lock

from spacedock_worker.profiling.profiles import ProfileStore
from spacedock_worker.recommend.index import SpaceIndex
from spacedock_worker.recommend.matching import misfit, missing, nearness, overlap
from spacedock_worker.recommend.signals import BEST_FIRST, FAST_FIRST, Signals, Weights
from spacedock_worker.recommend.tasks import TaskReading
from spacedock_worker.recommend.taxonomy import taxonomy
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry

NEAR = 0.25
"""How near what a Space is made for must be to the task, or how many of its words must be said of it."""

_BY_TASK, _BY_WORDS = 0.85, 0.15
_WORDS_ENOUGH = 0.5
_AFTER_ITS_LIKE = 0.8
_CHOICE = 3
_RANKED = 60
_UNLIKE = 0.2
_OF_CATEGORY = 0.1
_MISFIT = 0.5


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A Space for a task: its score from 0 to 1, and in words why.

    `nearness` says how near what it is made for is to the task (0 to 1), `family` for which Space it stands,
    `state` how warm it is, `hindrance` why it will hardly work here. One that does not fit, `misfit` says
    why, is the nearest that there is: the task has to change before it can be asked.
    """

    entry: SpaceEntry
    score: float
    reasons: tuple[str, ...]
    nearness: float = 0.0
    family: str = ""
    state: str = ""
    hindrance: str | None = None
    misfit: str | None = None


class Recommender:
    """Ranks the registry's Spaces for tasks; may be asked from any thread, but for `look`.

    `states` says of Spaces how warm they are ("running", "paused", "stopped", "quarantined"): as
    they were at the last `look`. `gpu` says whether this host has a GPU, None where that is not known.
    """

    def __init__(
        self,
        registry: Registry,
        profiles: ProfileStore | None = None,
        states: Callable[[], Mapping[str, str]] = dict,
        gpu: Callable[[], bool | None] = lambda: None,
    ) -> None:
        self._registry, self._profiles, self._states, self._gpu = registry, profiles, states, gpu
        self._seen: Mapping[str, str] = {}
        self._lock = Lock()
        self._known: SpaceIndex | None = None

    def recommend(
        self,
        task: TaskReading,
        limit: int = 5,
        *,
        category: str | None = None,
        performance_first: bool = False,
    ) -> tuple[Recommendation, ...]:
        """The best Spaces for a task, varied: alternates of one Space do not take all the places.

        With a category only its Spaces. Spaces that take or give something else are left out; where there is
        no other, they are named as misfits.
        """
        found = self.ranked(task, category=category, performance_first=performance_first)
        return varied(found or self._nearest(task, category), limit)

    def _nearest(self, task: TaskReading, category: str | None) -> tuple[Recommendation, ...]:
        """The Spaces that do such a task, but not with these files, each with what is in the way."""
        found = self.ranked(replace(task, kinds=frozenset()), category=category)
        return tuple(_despite(one, misfit(one.entry, task.kinds, task.wants)) for one in found)

    def ranked(
        self, task: TaskReading, *, category: str | None = None, performance_first: bool = False
    ) -> tuple[Recommendation, ...]:
        """At most 60 Spaces that fit a task, the best first; of a category those of other tasks too."""
        weights = FAST_FIRST if performance_first else BEST_FIRST
        with self._lock:
            known = self._ready()
            fitting = [e for e in known.candidates(task, category) if not misfit(e, task.kinds, task.wants)]
            rows = [self._rate(entry, task, known) for entry in fitting]
            near = rows if category is not None else [row for row in rows if _is_near(row)]
            standings = self._standings([row.entry for row in near], task.kinds, known)
            least = 0.0 if category is None else _OF_CATEGORY
            found = [
                _recommendation(row, standing, weights, task, least)
                for row, standing in zip(near, standings, strict=True)
            ]
        return tuple(sorted(found, key=lambda one: -one.score)[:_RANKED])

    def fellows(self, entry: SpaceEntry, kinds: frozenset[str]) -> tuple[SpaceEntry, ...]:
        """Who may stand in for a Space: its own alternates as they are listed, then those of its category.

        The latter in their order of rank: by how near they are to what it is made for, and how they stand
        here. None is left out; whether they can do a job is for the plan to say.
        """
        with self._lock:
            known = self._ready()
            found = known.fellows(entry)
            own = [one for one in found if one.id in entry.alternates]
            others = [one for one in found if one.id not in entry.alternates]
            alike = [(known.likeness(entry, one), one) for one in others]
            standings = self._standings(others, kinds, known)
        worth = {s.entry.id: _worth(s, BEST_FIRST) for s in standings}
        ranked = sorted(alike, key=lambda pair: -(_UNLIKE + pair[0]) * worth[pair[1].id])
        return (*own, *(one for _, one in ranked))

    def search(self, words: str, limit: int, category: str | None = None) -> tuple[SpaceEntry, ...]:
        """The Spaces that words find, the best first; with a category only those of it."""
        with self._lock:
            return self._ready().search(words, limit, category)

    @property
    def is_ready(self) -> bool:
        """Whether it answers at once: what it has read of the registry holds, and nobody keeps it busy."""
        read = self._known is not None and self._known.snapshot is self._registry.snapshot()
        return read and not self._lock.locked()

    def look(self) -> None:
        """See how warm Spaces are now, for what is asked from here on; not from another thread."""
        self._seen = self._states()

    def _ready(self) -> SpaceIndex:
        """What is known of the registry as it is now."""
        snapshot = self._registry.snapshot()
        if self._known is None or self._known.snapshot is not snapshot:
            self._known = SpaceIndex(snapshot)
        return self._known

    def _rate(self, entry: SpaceEntry, task: TaskReading, known: SpaceIndex) -> _Rated:
        made_for, family = known.made_for(entry), known.head(entry)
        # An alternate has no lead over the Space that it stands in for by its name alone.
        words = overlap(known.snapshot.spaces.get(family, entry), task.words)
        return _Rated(entry, made_for, nearness(made_for, task), words, family)

    def _standings(
        self, entries: Sequence[SpaceEntry], kinds: frozenset[str], known: SpaceIndex
    ) -> list[Signals]:
        measured = self._profiles.all() if self._profiles is not None else {}
        states, gpu = self._seen, self._gpu()
        return [
            Signals(
                entry,
                measured.get(entry.id),
                states.get(entry.id, ""),
                known.place(entry),
                missing(entry, kinds),
                gpu,
            )
            for entry in entries
        ]


@dataclass(frozen=True, slots=True)
class _Rated:
    """A Space beside a task: how near they are by what it is made for, and by words."""

    entry: SpaceEntry
    made_for: Mapping[str, float]
    nearness: float
    words: float
    family: str


def varied(ranked: Iterable[Recommendation], limit: int) -> tuple[Recommendation, ...]:
    """The best, where each that stands for the same Space as one before it counts less.

    Of the first three, two at most stand for the same Space where another one fits too.
    """
    left, chosen, families = list(ranked), list[Recommendation](), Counter[str]()
    while left and len(chosen) < limit:
        alike = len(chosen) == _CHOICE - 1 and len(families) == 1
        if alike and any(one.family not in families for one in left):
            other = max((one for one in left if one.family not in families), key=lambda one: one.score)
            left.remove(other)
            families[other.family] += 1
            chosen.append(other)
            continue
        discounted = [replace(one, score=one.score * _AFTER_ITS_LIKE ** families[one.family]) for one in left]
        best = max(range(len(left)), key=lambda at: discounted[at].score)
        families[left.pop(best).family] += 1
        chosen.append(discounted[best])
    return tuple(chosen)


def _is_near(row: _Rated) -> bool:
    return row.nearness >= NEAR or row.words >= _WORDS_ENOUGH


def _worth(standing: Signals, weights: Weights) -> float:
    return (1 - weights.share + weights.share * standing.score(weights)) * standing.penalty()


def _recommendation(
    row: _Rated, standing: Signals, weights: Weights, task: TaskReading, least: float
) -> Recommendation:
    suits = max(least, _BY_TASK * row.nearness + _BY_WORDS * row.words)
    reasons = (*_suits(row, task), *standing.reasons())
    return Recommendation(
        entry=row.entry,
        score=suits * _worth(standing, weights),
        reasons=reasons,
        nearness=row.nearness,
        family=row.family,
        state=standing.state,
        hindrance=standing.hindrance(),
    )


def _despite(one: Recommendation, why: str | None) -> Recommendation:
    if why is None:
        return one
    takes = one.entry.input_type.replace("_and_", " and ")
    reasons = (
        f"does not fit as it is: {why}. Give it {takes}, such as a page as a picture",
        *one.reasons[1:],
    )
    return replace(one, score=_MISFIT * one.score, reasons=reasons, misfit=why)


def _suits(row: _Rated, task: TaskReading) -> Iterator[str]:
    """Why it suits, in words."""
    entry, kinds = row.entry, taxonomy().kinds
    takes, gives = (text.replace("_and_", " and ") for text in (entry.input_type, entry.output_type))
    yield f"takes {takes} and gives {gives}"
    own = [name for name, weight in task.likely if row.made_for.get(name, 0.0) * weight >= NEAR * task.weight]
    if own:
        yield f"made for {kinds[own[0]].title}"
    elif row.nearness >= NEAR:
        made = max(row.made_for, key=row.made_for.__getitem__)
        yield f"made for {kinds[made].title}, which is near"
    elif row.words:
        yield "its description has words of the task"
    else:
        yield "nothing says that it is made for this"
    if row.family != entry.id:
        yield f"an alternate of {row.family}"
