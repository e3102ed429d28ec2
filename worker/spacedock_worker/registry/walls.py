"""What becomes of an entry that a client adds again, or removes: its walls stay (pure)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from spacedock_worker.registry.entry import EntryError, Gpus, SpaceEntry, valid_entry

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
"""What the host allows a Space, and gives it; other code under its name gets no more."""

_CODE = ("docker_image", "repository", "hub_id", "revision", "subdomain", "platform", "command")
_SOURCE = ("docker_image", "repository", "hub_id", "revision", "subdomain", "platform", "verified")
_BY_KEY = ("env", "inputs")
_AMOUNTS = ("memory", "cpus", "start_timeout")
_ABOUT = frozenset({"description", "category", "input_type", "output_type", "alternates", "status"})
"""What only says for which jobs a Space is chosen."""

_GUESSED = frozenset({"category", "input_type", "output_type", "confidence"})


class How(Enum):
    """What other code under a known name means: a mistake, another Space, or the same one mended."""

    ADD = "add"
    REPLACE = "replace"
    UPDATE = "update"


def settled(
    before: SpaceEntry | None,
    given: Mapping[str, Any],
    whole: Mapping[str, Any],
    how: How = How.ADD,
    file: Path | None = None,
) -> dict[str, Any]:
    """The fields of the entry after an `add`, by the entry that is there.

    `given` are the fields that the client named, `whole` these with what was found out besides. An entry with
    the same code takes what was named and keeps the rest. Other code is refused by ADD; with REPLACE the
    walls and the words about the Space stay, with UPDATE all but the source. Raises EntryError, which names
    the registry's `file`: where other code is not asked for, where a wall would be lower, and where anything
    but words would change of a Space that has secrets or a login.
    """
    if before is None:
        return dict(whole)
    there = before.model_dump(mode="json", exclude_unset=True)
    named = {key: value for key, value in given.items() if value is not None}
    other = is_other_code(before, named)
    if other and how is How.ADD:
        why = (
            "is there already, with other code. Replace it with --replace, bring its own changed code in "
            f"with `spacedock spaces update {before.id}`, or choose another name"
        )
        raise EntryError(f"Space '{before.id}' {why}")
    kept = {key: value for key, value in there.items() if not other or _stays(key, how)}
    named |= {key: {**getattr(before, key), **named[key]} for key in _BY_KEY if key in kept and key in named}
    # What was found out besides is for a new entry: here the fields that are there say it.
    found = {key: value for key, value in whole.items() if key not in _GUESSED or not kept.keys() & _GUESSED}
    after = {**(found if other and how is How.REPLACE else {}), **kept, **named}
    _check(before, valid_entry(before.id, after), named, file)
    return after


def _stays(field: str, how: How) -> bool:
    """Whether the field of an entry that gets other code stays as it is."""
    return field not in _SOURCE if how is How.UPDATE else field in WALLS or field in _ABOUT


def check_removable(entry: SpaceEntry, file: Path | None = None) -> None:
    """Raise EntryError where a client may not remove the entry: its walls would go with it.

    Whoever adds a Space of that name afterwards, or names its Hub id, would have none of them.
    """
    plain = SpaceEntry(id=entry.id)
    up = [wall for wall in WALLS if _is_lower(wall, entry, plain)]
    if up:
        why = f"its entry sets {', '.join(up)}. Remove it from the registry's file on the host{_at(file)}"
        raise EntryError(f"Space '{entry.id}' cannot be removed from here: {why}")


def is_other_code(before: SpaceEntry, named: Mapping[str, Any]) -> bool:
    """Whether these fields name code, and not that of the entry."""
    there = before.model_dump(mode="json", include=set(_CODE))
    return any(named[key] != there[key] for key in _CODE if named.get(key) is not None)


def _at(file: Path | None) -> str:
    return f" ({file})" if file else ""


def _check(before: SpaceEntry, after: SpaceEntry, named: Collection[str], file: Path | None) -> None:
    """Raise EntryError where the host's word would be overruled."""
    lower = [key for key in named if key in WALLS and _is_lower(key, before, after)]
    guarded = before.secrets or before.auth
    changed = [key for key in SpaceEntry.model_fields if getattr(before, key) != getattr(after, key)]
    if guarded:
        lower += [key for key in changed if key not in _ABOUT and key not in (*lower, *WALLS)]
    if lower:
        held = " has secrets or a login:" if guarded else ":"
        why = (
            f"{', '.join(sorted(lower))} can only be changed so in the registry's file on the host{_at(file)}"
        )
        raise EntryError(f"Space '{before.id}'{held} {why}")


def _is_lower(wall: str, before: SpaceEntry, after: SpaceEntry) -> bool:
    """Whether the Space may more than before."""
    old, new = getattr(before, wall), getattr(after, wall)
    if wall in _AMOUNTS:
        return old is not None and (new is None or new > old)
    if wall in ("network", "cache"):
        return bool(new) and not old
    if wall == "gpu":
        return "gpu" in before.model_fields_set and not _within(new, old)
    return bool(old != new)


def _within(new: Gpus, old: Gpus) -> bool:
    """Whether the GPUs that are asked for are no more than there were."""
    if new in ("none", old) or old == "auto":
        return True
    if isinstance(new, int) and isinstance(old, int):
        return new <= old
    return isinstance(new, tuple) and isinstance(old, tuple) and set(new) <= set(old)
