"""What becomes of entries: registry.yaml over the shared catalogue, a client's change over both (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from spacedock_worker.registry.entry import EntryError, SpaceEntry, Verdict, valid_entry
from spacedock_worker.registry.host_file import shipped
from spacedock_worker.registry.reader import Declared
from spacedock_worker.registry.record import (
    HOSTS_OWN,
    SOURCE,
    Record,
    Swap,
    digest_of,
    encoded,
    has_source,
    record_of,
)
from spacedock_worker.registry.snapshot import Snapshot

Make = Callable[[Snapshot, SpaceEntry | None], Record | None]
"""Makes a record, by the registry and the entry of the host's own file; None where all stays as it is."""

CODE = (*SOURCE, "revision", "subdomain", "platform", "command")
"""What names the program of a Space."""

ABOUT = ("description", "category", "input_type", "output_type", "alternates", "status")
"""What only says for which jobs a Space is chosen."""

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


def merged(own: Declared, records: Mapping[str, Record], faults: Iterable[str] = ()) -> Snapshot:
    """The registry of a host whose file declares `own`; `faults` are the warnings about the catalogue.

    An entry of the file that has a fault keeps its name: what the catalogue has under it stays out.
    """
    spaces: dict[str, SpaceEntry] = {}
    warnings = [*own.warnings, *faults]
    for name, entry in own.spaces.items():
        record = records.get(name)
        found = _joined(entry, record)
        if found is None:
            continue
        if record is not None and record.whole and _has_secrets(entry) and not has_source(entry):
            why = "it has secrets or a login, so name its code here too (docker_image, hub_id or repository)"
            warnings.append(
                f"registry.yaml: spaces.{name}: {why}. The Space is left out until this is mended"
            )
        else:
            spaces[name] = found
    for name, record in records.items():
        if name not in own.spaces and name not in own.broken and record.entry and record.whole:
            spaces[name] = record.entry
    warnings += [
        f"{item.place}: categories.{item.category}: no Space '{item.name}'"
        for item in own.listed
        if item.name not in spaces and not _was_removed(records.get(item.name))
    ]
    return Snapshot(spaces, _categories(own, spaces), tuple(warnings))


def _was_removed(record: Record | None) -> bool:
    return record is not None and record.entry is None


def _has_secrets(entry: SpaceEntry) -> bool:
    return bool(entry.secrets or entry.auth)


def _categories(own: Declared, spaces: Mapping[str, SpaceEntry]) -> dict[str, tuple[str, ...]]:
    lists: dict[str, list[str]] = {item.category: [] for item in own.listed}
    for item in own.listed:
        if item.name in spaces:
            lists[item.category].append(item.name)
    return {category: tuple(names) for category, names in lists.items()}


def is_untouched(entry: SpaceEntry) -> bool:
    """Whether the entry is as every host begins with it: nobody's word, so the catalogue's goes first."""
    known = shipped().get(entry.id)
    return known is not None and entry.model_copy(update={"verified": known.verified}) == known


def _joined(own: SpaceEntry, record: Record | None) -> SpaceEntry | None:
    """The entry of a Space that the host's file has; None where it was removed, and nobody here wants it."""
    if record is None:
        return own
    theirs = record.entry
    if not is_untouched(own):
        return own if theirs is None else _own_first(own, theirs)
    if theirs is None:
        return None
    if record.whole:
        return theirs.model_copy(update=_values(own, own.model_fields_set & {*HOSTS_OWN}))
    return own.model_copy(update=_values(theirs, theirs.model_fields_set))


def _own_first(own: SpaceEntry, theirs: SpaceEntry) -> SpaceEntry:
    taken = _values(theirs, theirs.model_fields_set - own.model_fields_set - _closed(own))
    if _is_newer(theirs.verified, own.verified):
        taken["verified"] = theirs.verified
    return own.model_copy(update=taken)


def _values(entry: SpaceEntry, fields: set[str]) -> dict[str, object]:
    return {field: getattr(entry, field) for field in fields}


def _closed(own: SpaceEntry) -> set[str]:
    """The fields in which a host whose file has that entry hears nobody else."""
    if _has_secrets(own):
        # Whoever could say how it runs, or how it is called, could have its secrets told.
        return set(SpaceEntry.model_fields) - {*ABOUT, "verified"}
    return {*HOSTS_OWN, "discovered", *((*CODE, "env") if has_source(own) else ())}


def _is_newer(theirs: object, own: object) -> bool:
    return isinstance(theirs, Verdict) and not (isinstance(own, Verdict) and own.at > theirs.at)


def wanted(own: SpaceEntry | None, before: SpaceEntry | None, after: SpaceEntry, file: Path) -> Record:
    """The record that makes a Space `after` out of `before`, on a host whose `file` has `own` of it.

    Raises EntryError where the file says otherwise, as it goes first, and where nothing names the code.
    """
    name = after.id
    if own is None or is_untouched(own):
        if not has_source(after):
            raise EntryError(f"Space '{name}': where is its code? Give docker_image, hub_id or a repository")
        return record_of(after)
    closed = own.model_fields_set | _closed(own)
    there = before or own
    changed = {field for field in SpaceEntry.model_fields if getattr(there, field) != getattr(after, field)}
    if held := sorted((changed & closed) - {"discovered", "confidence"}):
        why = f"{', '.join(held)} can only be changed in the registry's file on the host ({file})"
        secret = " has secrets or a login:" if _has_secrets(own) else ":"
        raise EntryError(f"Space '{name}'{secret} {why}")
    fields = after.model_dump(mode="json", include=after.model_fields_set - closed)
    return record_of(valid_entry(name, fields))


def swaps_of(
    makes: Mapping[str, Make],
    repository: bytes | None,
    declared: Declared | None,
    plain: Snapshot,
    rows: Mapping[str, bytes],
) -> list[Swap]:
    """What is to be put in place of what, of that state; what stays is left out. Blocks for many Spaces."""
    found = []
    for name, make in makes.items():
        own = declared.spaces.get(name) if declared else None
        record, before = make(plain, own), rows.get(name)
        after = before if record is None else _raw(record, own)
        if before != after or repository:
            tar = repository or (None if record and digest_of(record.entry) else b"")
            found.append((name, before, after, tar))
    return found


def _raw(record: Record, own: SpaceEntry | None) -> bytes | None:
    """What is written; nothing for a removed Space that no host begins with."""
    return None if record.entry is None and own is None else encoded(record)


def placed(snapshot: Snapshot, folder: Path, repositories: Path) -> Snapshot:
    """The registry with the paths of its repositories: from registry.yaml's folder, and those by digest."""
    spaces = {
        name: entry if entry.repository is None else _placed(entry, folder, repositories)
        for name, entry in snapshot.spaces.items()
    }
    return Snapshot(spaces, snapshot.categories, snapshot.warnings)


def _placed(entry: SpaceEntry, folder: Path, repositories: Path) -> SpaceEntry:
    digest = digest_of(entry)
    path = folder / str(entry.repository) if digest is None else repositories / f"{digest}.tar"
    return entry.model_copy(update={"repository": str(path)})


def without(snapshot: Snapshot, faults: Mapping[str, str]) -> Snapshot:
    """The registry without the Spaces of those names, each with a warning that says why."""
    spaces = {name: entry for name, entry in snapshot.spaces.items() if name not in faults}
    return Snapshot(spaces, snapshot.categories, (*snapshot.warnings, *faults.values()))


def recoded(before: Mapping[str, SpaceEntry], after: Mapping[str, SpaceEntry]) -> set[str]:
    """The names under which there is other code now, or none."""
    return {name for name, entry in before.items() if _code_of(entry) != _code_of(after.get(name))}


def _code_of(entry: SpaceEntry | None) -> tuple[object, ...]:
    """What names the program; empty for no Space."""
    return tuple(getattr(entry, field) for field in CODE) if entry is not None else ()


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
