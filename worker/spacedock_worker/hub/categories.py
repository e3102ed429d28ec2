"""What a Space does, inferred from what is said of it: its category and types, how sure, and why (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from spacedock_worker.hub.kinds import AI_CATEGORIES, KINDS, UNKNOWN

NOWHERE = "specialized"
"""The category of a Space of which nothing tells what it does."""

SURE = 0.6
"""From this confidence on a guess counts as knowledge: below it, types stay unknown."""

# How much each source is worth on its own. Models and tags are chosen by the author for this purpose; a
# README may speak of anything, such as other Spaces.
_MODEL, _TAG, _AI, _NAME, _DESCRIPTION, _README = 0.85, 0.85, 0.8, 0.7, 0.65, 0.4
_GENERAL = frozenset({"text-generation", "image-text-to-text", "any-to-any"})
_GENERAL_SHARE = 0.6
"""What a language model is worth as evidence: Spaces use one for anything."""

_MOST_SURE = 0.99
_README_CHARACTERS = 4000
_JOINTS = re.compile(r"[^a-z0-9]+")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Clues:
    """What is known of a Space; `model_tasks` are pipeline tags by the models that have them."""

    name: str
    description: str = ""
    tags: tuple[str, ...] = ()
    ai_category: str | None = None
    model_tasks: Mapping[str, str] | None = None
    readme: str = ""


@dataclass(frozen=True, slots=True)
class Guess:
    """A category and types with a confidence from 0 (nothing tells) to 1, and the reason in words."""

    category: str
    input_type: str
    output_type: str
    confidence: float
    reason: str

    @property
    def sure(self) -> bool:
        """Whether it may be built on."""
        return self.confidence >= SURE


@dataclass(frozen=True, slots=True)
class _Evidence:
    kind: str
    weight: float
    reason: str


def infer(clues: Clues) -> Guess:
    """The likeliest kind of work of the Space that the clues are about."""
    found = list(_evidence(clues))
    if not found:
        return Guess(NOWHERE, UNKNOWN, UNKNOWN, 0.0, "nothing that is known of it tells what it does")
    scores = _scores(found)
    # Of equals the one that was named first: sources come in the order of their worth.
    best = max(scores, key=lambda kind: scores[kind])
    category = KINDS[best].category
    rival = max((score for kind, score in scores.items() if KINDS[kind].category != category), default=0.0)
    confidence = round(min(scores[best] * (1 - rival / 2), _MOST_SURE), 2)
    typed = confidence >= SURE
    reasons = [one.reason for one in found if one.kind == best]
    return Guess(
        category,
        KINDS[best].takes if typed else UNKNOWN,
        KINDS[best].gives if typed else UNKNOWN,
        confidence,
        "; ".join(dict.fromkeys(reasons)),
    )


def _scores(found: Iterable[_Evidence]) -> dict[str, float]:
    """How likely each kind is: sources that agree make each other surer."""
    doubts: dict[str, float] = {}
    for one in found:
        doubts[one.kind] = doubts.get(one.kind, 1.0) * (1 - one.weight)
    return {kind: 1 - doubt for kind, doubt in doubts.items()}


def _evidence(clues: Clues) -> Iterator[_Evidence]:
    for model, task in (clues.model_tasks or {}).items():
        if task in KINDS:
            yield _Evidence(task, _MODEL * _share(task), f"its model {model} does {task}")
    for tag in clues.tags:
        if (kind := tag.lower()) in KINDS:
            yield _Evidence(kind, _TAG * _share(kind), f"it is tagged {kind}")
    if clues.ai_category and (kind := AI_CATEGORIES.get(clues.ai_category.strip().lower(), "")):
        yield _Evidence(kind, _AI, f"the Hub takes it for {clues.ai_category.strip()}")
    own = clues.name.rpartition("/")[2]
    yield from _told(own, _NAME, "its name")
    yield from _told(clues.description, _DESCRIPTION, "its description")
    yield from _told(" ".join(tag for tag in clues.tags if tag.lower() not in KINDS), _DESCRIPTION, "a tag")
    yield from _told(clues.readme[:_README_CHARACTERS], _README, "its README")


def _share(kind: str) -> float:
    return _GENERAL_SHARE if kind in _GENERAL else 1.0


def _told(text: str, weight: float, source: str) -> Iterator[_Evidence]:
    """The kinds whose words are in a text, each once; "doc vqa" does not tell of "vqa" besides."""
    words = f" {_JOINTS.sub(' ', _HUMPS.sub(' ', text).lower())} "
    found = {kind: match for kind, pattern in _patterns().items() if (match := pattern.search(words))}
    for kind, match in found.items():
        if not any(_is_within(match, other) for other in found.values()):
            yield _Evidence(kind, weight, f"{source} says '{match.group().strip()}'")


def _is_within(match: re.Match[str], other: re.Match[str]) -> bool:
    longer = len(other.group()) > len(match.group())
    return longer and other.start() <= match.start() and match.end() <= other.end()


@cache
def _patterns() -> Mapping[str, re.Pattern[str]]:
    return {name: _pattern((*kind.words, name.replace("-", " "))) for name, kind in KINDS.items()}


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    spelled = (re.escape(word).replace(r"\*", "[a-z0-9]*") for word in words)
    return re.compile(rf" (?:{'|'.join(spelled)})(?= )")
