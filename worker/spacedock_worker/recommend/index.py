"""One reading of the registry, made ready to be ranked: its index, its families, what each is made for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from spacedock_worker.recommend.matching import tasks_of
from spacedock_worker.recommend.search import Index
from spacedock_worker.recommend.tasks import TaskReading
from spacedock_worker.recommend.taxonomy import taxonomy
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.snapshot import Snapshot

_FOUND_BY_WORDS = 300
_FOUND_BY_TASK = 300
_FELLOWS = 30
_FEW = 3

# An alternate is there for what the Space does that it stands in for, whatever else it can do.
_INHERITED, _OWN = 0.95, 0.6


class SpaceIndex:
    """What can be said of a snapshot's Spaces beforehand; not for two threads at once."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._index = Index(snapshot.spaces.values())
        self._made_for: dict[str, dict[str, float]] = {}
        self._fellows: dict[str, tuple[SpaceEntry, ...]] = {}
        self._heads: dict[str, tuple[str, int]] = {}
        for name, entry in snapshot.spaces.items():
            for place, alternate in enumerate(entry.alternates):
                self._heads.setdefault(alternate, (name, place))

    def head(self, entry: SpaceEntry) -> str:
        """The name of the Space that it stands in for; its own where it stands for itself."""
        return self._heads.get(entry.id, (entry.id, 0))[0]

    def place(self, entry: SpaceEntry) -> int:
        """Its place in its family: 0 for the head, then the alternates in their order."""
        return self._heads[entry.id][1] + 1 if entry.id in self._heads else 0

    def made_for(self, entry: SpaceEntry) -> dict[str, float]:
        """The tasks that it is made for, by what is said of it and of the Space that it stands in for."""
        if entry.id not in self._made_for:
            found = tasks_of(entry)
            head = self.snapshot.spaces.get(self.head(entry))
            if head is not None and head.id != entry.id and head.gives & entry.gives:
                theirs = tasks_of(head)
                own = {name: (_OWN if theirs else 1.0) * weight for name, weight in found.items()}
                found = own | {n: max(own.get(n, 0.0), _INHERITED * w) for n, w in theirs.items()}
            self._made_for[entry.id] = found
        return self._made_for[entry.id]

    def candidates(self, task: TaskReading, category: str | None) -> tuple[SpaceEntry, ...]:
        """The Spaces that may do a task: those of a category, else those found by its words and its names."""
        if category is not None:
            return self.snapshot.in_category(category)
        found = self._index.search(task.words, _FOUND_BY_WORDS)
        for names in _names(task):
            found += self._index.search(names, _FOUND_BY_TASK)
        entries = self._with_families(name for name, _ in found)
        return tuple({entry.id: entry for entry in entries}.values())

    def search(self, words: str, limit: int, category: str | None) -> tuple[SpaceEntry, ...]:
        """The Spaces that words find, the best first; with a category only those of it."""
        most = limit if category is None else len(self.snapshot.spaces)
        found = (self.snapshot.spaces[name] for name, _ in self._index.search(words, most))
        return tuple(islice((one for one in found if category in (None, one.category)), limit))

    def fellows(self, entry: SpaceEntry) -> tuple[SpaceEntry, ...]:
        """Who may stand in for a Space: its own alternates, then those of its category that are alike."""
        if entry.id not in self._fellows:
            found = self.snapshot.alternates(entry)
            own = [one for one in found if one.id in entry.alternates]
            others = self._promising(entry, [one for one in found if one.id not in entry.alternates])
            others.sort(key=lambda one: -self.likeness(entry, one))
            self._fellows[entry.id] = (*own, *others[:_FELLOWS])
        return self._fellows[entry.id]

    def likeness(self, one: SpaceEntry, other: SpaceEntry) -> float:
        """How far two Spaces are made for the same, from 0 to 1."""
        others = self.made_for(other)
        return max(
            (weight * others.get(name, 0.0) for name, weight in self.made_for(one).items()), default=0.0
        )

    def _promising(self, entry: SpaceEntry, others: list[SpaceEntry]) -> list[SpaceEntry]:
        """Of many Spaces those that are found by the words of one."""
        if len(others) <= _FOUND_BY_WORDS:
            return others
        found = {name for name, _ in self._index.search(f"{entry.id} {entry.description}", _FOUND_BY_WORDS)}
        return [one for one in others if one.id in found] or others[:_FELLOWS]

    def _with_families(self, names: Iterable[str]) -> Iterator[SpaceEntry]:
        for name in names:
            entry = self.snapshot.spaces[name]
            head = self.snapshot.spaces.get(self.head(entry), entry)
            yield from (head, entry)
            for alternate in head.alternates:
                if alternate in self.snapshot.spaces:
                    yield self.snapshot.spaces[alternate]


def _names(task: TaskReading) -> Iterator[str]:
    """The names of the likeliest task, then those of the next and of what is near them, for searches."""
    kinds, (first, *others) = taxonomy().kinds, [name for name, _ in task.likely[:2]]
    near = dict.fromkeys(one for name in (first, *others) for one in (name, *kinds[name].near))
    yield _words_of(first)
    if len(near) > 1:
        yield " ".join(_words_of(name, _FEW) for name in near if name != first)


def _words_of(task: str, most: int | None = None) -> str:
    names = (task.replace("-", " "), *taxonomy().kinds[task].names[:most])
    return " ".join(names).replace("*", "")
