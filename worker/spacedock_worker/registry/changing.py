"""What becomes of an entry that a client adds again or changes (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from spacedock_worker.registry.entry import EntryError, SpaceEntry
from spacedock_worker.registry.merging import ABOUT, CODE

WALLS = (
    "network",
    "cache",
    "runtime",
    "writable_root",
    "gpu",
    "memory",
    "cpus",
    "start_timeout",
    "secrets",
    "auth",
)
"""What a Space is allowed, and given: it stays when the name gets other code."""

_SOURCE = ("docker_image", "repository", "hub_id", "revision", "subdomain", "platform", "verified")
_BY_KEY = ("env", "inputs")
_GUESSED = frozenset({"category", "input_type", "output_type", "confidence"})


class How(Enum):
    """What other code under a known name means: a mistake, another Space, or the same one mended."""

    ADD = "add"
    REPLACE = "replace"
    UPDATE = "update"


def settled(
    before: SpaceEntry | None, given: Mapping[str, Any], whole: Mapping[str, Any], how: How = How.ADD
) -> dict[str, Any]:
    """The fields of the entry after an `add`, by the entry that is there.

    `given` are the fields that the client named, `whole` these with what was found out as well. An entry with
    the same code takes what was named and keeps the rest. Other code is refused by ADD (EntryError); with
    REPLACE the walls and the words about the Space stay, with UPDATE all but the source.
    """
    if before is None:
        return dict(whole)
    there = before.model_dump(mode="json", exclude_unset=True)
    named = {key: value for key, value in given.items() if value is not None}
    other = is_other_code(before, named)
    if other and how is How.ADD:
        why = (
            "is there already, with other code. Replace it (`replace`), bring its own changed code in "
            f"with `spacedock spaces update {before.id}`, or choose another name"
        )
        raise EntryError(f"Space '{before.id}' {why}")
    kept = {key: value for key, value in there.items() if not other or _stays(key, how)}
    named |= {key: {**getattr(before, key), **named[key]} for key in _BY_KEY if key in kept and key in named}
    # What was found out is for a new entry: here the fields that are there say it.
    found = {key: value for key, value in whole.items() if key not in _GUESSED or not kept.keys() & _GUESSED}
    return {**(found if other and how is How.REPLACE else {}), **kept, **named}


def _stays(field: str, how: How) -> bool:
    """Whether the field of an entry that gets other code stays as it is."""
    return field not in _SOURCE if how is How.UPDATE else field in WALLS or field in ABOUT


def is_other_code(before: SpaceEntry, named: Mapping[str, Any]) -> bool:
    """Whether these fields name code, and not that of the entry."""
    there = before.model_dump(mode="json", include=set(CODE))
    return any(named[key] != there[key] for key in CODE if named.get(key) is not None)
