"""A Space as the Hub tells of it: bounded, in our own words, and the registry entry that it makes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from spacedock.request import SPACE_NAME
from spacedock_worker.hub.categories import Clues, Guess, infer
from spacedock_worker.images.space_card import NOTHING_TO_CALL, without_card

if TYPE_CHECKING:
    # Loaded only once the Hub is asked.
    from huggingface_hub import SpaceInfo, SpaceSearchResult

_MOST = 20
_SECRET = r"[A-Z][A-Z0-9_]{0,60}"
_READ = re.compile(
    rf"""(?:environ(?:\.get)?|getenv|secrets(?:\.get)?|env(?:\.get)?)\s*[\[(]\s*["']({_SECRET})["']"""
    rf"""|process\.env\.({_SECRET})"""
)
_WRITTEN = re.compile(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_(?:TOKEN|KEY|SECRET|PASSWORD|CREDENTIALS))\b")
_SOUNDS_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL")


def secrets_in(readme: str, code: str) -> tuple[str, ...]:
    """The names, in the order in which they are found: what the code reads first, then what README.md names.

    A variable counts as a secret by its name alone: whether the Space works without it, it does not say.
    """
    read = (first or second for first, second in _READ.findall(code))
    named = [name for name in read if _SOUNDS_SECRET.search(name)]
    return tuple(dict.fromkeys([*named, *_WRITTEN.findall(readme)]))[:_MOST]


_NAME, _LINE = 100, 300
_MOST_TAGS, _MOST_MODELS = 40, 20
_SPACES = re.compile(r"\s+")
_SUBDOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,100}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class HubSpace:
    """A Space of the Hub; None and empty are what the Hub did not say.

    `stage` and `hardware` are the Hub's words for its own copy ("RUNNING", "t4-small"); `secrets` are names
    that its README or code says it needs; `confidence` (0 to 1) and `reason` are those of the category and
    the types, which are inferred. `relevance` (0 to 1) is the Hub's, to what was searched for.
    """

    id: str
    title: str = ""
    description: str = ""
    sdk: str | None = None
    likes: int = 0
    license: str | None = None
    last_modified: datetime | None = None
    hardware: str | None = None
    stage: str | None = None
    private: bool = False
    gated: bool = False
    sha: str | None = None
    subdomain: str | None = None
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    category: str = "specialized"
    confidence: float = 0.0
    input_type: str = "unknown"
    output_type: str = "unknown"
    reason: str = ""
    relevance: float | None = None

    @property
    def callable_here(self) -> bool:
        """Whether a Space of its SDK can be called at all."""
        return self.sdk not in NOTHING_TO_CALL


SPACES: TypeAdapter[tuple[HubSpace, ...]] = TypeAdapter(tuple[HubSpace, ...])


@dataclass(frozen=True, slots=True)
class Texts:
    """What was read of a Space's repository and of its models (their pipeline tags by their ids)."""

    readme: str = ""
    code: str = ""
    model_tasks: Mapping[str, str] | None = None


def of_search(found: SpaceSearchResult) -> HubSpace | None:
    """A Space as a search tells of it; None where what it says is no Space."""
    if not isinstance(found.id, str) or not SPACE_NAME.fullmatch(found.id) or "/" not in found.id:
        return None
    description, tags = _line(found.ai_short_description), _names(found.tags, _MOST_TAGS)
    title = _line(found.title)
    guess = infer(Clues(found.id, f"{title}. {description}", tags, _line(found.ai_category)))
    return HubSpace(
        id=found.id,
        title=title,
        description=description or title,
        sdk=_word(found.sdk),
        likes=_count(found.likes),
        license=_license(None, tags),
        hardware=_word(found.runtime.hardware or found.runtime.requested_hardware) if found.runtime else None,
        stage=_word(found.runtime.stage) if found.runtime else None,
        private=found.private is True,
        tags=tags,
        relevance=_share(found.semantic_relevancy_score),
        **_guessed(guess),
    )


def of_info(found: SpaceInfo, texts: Texts | None = None) -> HubSpace | None:
    """A Space as its page tells of it; None where what it says is no Space."""
    if not isinstance(found.id, str) or not SPACE_NAME.fullmatch(found.id) or "/" not in found.id:
        return None
    texts = texts or Texts()
    card = vars(found.card_data) if found.card_data else {}
    tags, models = _names(found.tags, _MOST_TAGS), _names(found.models or card.get("models"), _MOST_MODELS)
    title, readme = _line(card.get("title")), without_card(texts.readme)
    description = _line(card.get("short_description"))
    clues = Clues(found.id, f"{title}. {description}", tags, None, texts.model_tasks, readme)
    hardware = found.runtime.hardware or found.runtime.requested_hardware if found.runtime else None
    return HubSpace(
        id=found.id,
        title=title,
        description=description or title,
        sdk=_word(found.sdk or card.get("sdk")),
        likes=_count(found.likes),
        license=_license(card.get("license"), tags),
        last_modified=found.last_modified,
        hardware=_word(hardware or card.get("suggested_hardware")),
        stage=_word(found.runtime.stage) if found.runtime else None,
        private=found.private is True,
        gated=bool(found.gated),
        sha=_word(found.sha),
        subdomain=_subdomain(found.subdomain),
        tags=tags,
        models=models,
        secrets=secrets_in(readme, texts.code),
        **_guessed(infer(clues)),
    )


def entry_of(space: HubSpace) -> dict[str, Any]:
    """The fields of a registry entry for the Space; what the Hub did not say is left to their defaults."""
    fields: dict[str, Any] = {
        "hub_id": space.id,
        "description": space.description or space.title,
        "category": space.category,
        "input_type": space.input_type,
        "output_type": space.output_type,
        "confidence": space.confidence,
        "likes": space.likes,
    }
    more = {
        "subdomain": space.subdomain,
        "hardware": space.hardware,
        "tags": [tag for tag in space.tags if ":" not in tag],
    }
    return fields | {key: value for key, value in more.items() if value}


def _guessed(guess: Guess) -> dict[str, Any]:
    return {
        "category": guess.category,
        "confidence": guess.confidence,
        "input_type": guess.input_type,
        "output_type": guess.output_type,
        "reason": guess.reason[:_LINE],
    }


def _line(value: Any, most: int = _LINE) -> str:
    """A text in one line of at most `most` characters; empty where it is none."""
    seen = "".join(_seen(character) for character in value[: 4 * most]) if isinstance(value, str) else ""
    text = _SPACES.sub(" ", seen).strip()
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _seen(character: str) -> str:
    """The character; of one that is not seen, such as those that steer a terminal, a space."""
    return character if character.isprintable() else " "


def _word(value: Any) -> str | None:
    return _line(value, _NAME) or None


def _names(values: Any, most: int) -> tuple[str, ...]:
    found: Iterable[Any] = values if isinstance(values, list | tuple) else ()
    return tuple(name for value in list(found)[:most] if (name := _line(value, _NAME)))


def _count(value: Any) -> int:
    return max(value, 0) if isinstance(value, int) else 0


def _share(value: Any) -> float | None:
    # Bounded before it becomes a float: JSON has numbers that are too large for one.
    return float(min(max(0.0, value), 1.0)) if isinstance(value, int | float) else None


def _license(said: Any, tags: Iterable[str]) -> str | None:
    """The licence of the card, else of the tag that the Hub makes of it."""
    first = said[0] if isinstance(said, list) and said else said
    tagged = next((tag.partition(":")[2] for tag in tags if tag.startswith("license:")), None)
    return _word(first) or _word(tagged)


def _subdomain(value: Any) -> str | None:
    return value if isinstance(value, str) and _SUBDOMAIN.fullmatch(value) else None
