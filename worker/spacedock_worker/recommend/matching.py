"""What a Space is made for by what the registry says of it, and whether it can do a task (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from spacedock_worker.recommend.search import telling
from spacedock_worker.recommend.tasks import TaskReading
from spacedock_worker.recommend.taxonomy import TaskKind, taxonomy
from spacedock_worker.registry.entry import SpaceEntry

UNKNOWN = "unknown"
"""The input and output type of a Space that no registry describes."""

_LONGEST = 2000

# A label or JSON is read as words are.
_AS = {"json": "text", "label": "text", "labels": "text", "pdf": "file", "document": "file", "number": "text"}

# How sure a name of a task is by where it stands, and by how many words it has.
_NAME, _TAG, _TITLE, _HUB = 1.0, 1.0, 0.9, 0.7
_BY_WORDS = {1: 0.75, 2: 0.95}


def kinds_in(type_names: frozenset[str]) -> frozenset[str]:
    """The kinds of an entry's type, what is read as another kind as that."""
    return frozenset(_AS.get(name, name) for name in type_names)


def tasks_of(entry: SpaceEntry) -> dict[str, float]:
    """The tasks that a Space is made for, from 0 to 1; none where nothing is said that tells it."""
    fields = (
        (entry.id, _NAME),
        (" ".join(tag.split(":")[-1] for tag in entry.tags), _TAG),
        (entry.description, _TITLE),
        (entry.hub_id or "", _HUB),
    )
    found: dict[str, float] = {}
    for text, weight in fields:
        for name, words in taxonomy().names.found(text[:_LONGEST]).items():
            found[name] = max(found.get(name, 0.0), weight * _BY_WORDS.get(words, 1.0))
    able = {name: weight for name, weight in found.items() if _is_able(entry, taxonomy().kinds[name])}
    most = max(able.values(), default=1.0)
    return {name: weight / most for name, weight in able.items()}


def nearness(made_for: Mapping[str, float], task: TaskReading) -> float:
    """How near what a Space is made for is to what is asked, from 0 to 1."""
    best = 0.0
    for name, weight in task.likely:
        share = weight / task.weight
        own = made_for.get(name, 0.0)
        others = (made_for.get(o, 0.0) * near for o, near in taxonomy().kinds[name].near.items() if o != name)
        best = max(best, share * max(own, *others, 0.0))
    return best


def overlap(entry: SpaceEntry, words: str) -> float:
    """The share of the words that say something which are in what is said of the Space, from 0 to 1."""
    asked = telling(words)
    said = telling(f"{entry.id} {entry.description} {' '.join(entry.tags)}"[:_LONGEST])
    known = {word[:5] for word in said}
    return sum(word[:5] in known for word in asked) / len(asked) if asked else 0.0


def misfit(entry: SpaceEntry, kinds: frozenset[str], wants: frozenset[str]) -> str | None:
    """Why the Space cannot do it: files that it does not take, an answer that it does not give."""
    takes, gives = kinds_in(entry.takes), kinds_in(entry.gives)
    if entry.status != "available":
        return f"its status in the registry is '{entry.status}'"
    foreign = kinds - takes
    if foreign and not takes & {"file", UNKNOWN}:
        return f"it does not take {' or '.join(sorted(foreign))}"
    if wants and not gives & wants and not gives & {"file", UNKNOWN}:
        return f"it gives {entry.output_type}, not {' or '.join(sorted(wants))}"
    return None


def missing(entry: SpaceEntry, kinds: frozenset[str]) -> str | None:
    """The kinds of file that it takes and that do not come with the task; None where one does."""
    needs = kinds_in(entry.takes) - {"text", UNKNOWN}
    return " or ".join(sorted(needs)) if needs and not needs & kinds else None


def _is_able(entry: SpaceEntry, kind: TaskKind) -> bool:
    takes, gives = kinds_in(entry.takes), kinds_in(entry.gives)
    taken = UNKNOWN in takes or "file" in takes or (kind.needs or kind.takes) <= takes
    return taken and bool(gives & (kind.gives | {UNKNOWN, "file"}))
