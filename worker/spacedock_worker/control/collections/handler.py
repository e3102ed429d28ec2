"""The answers to `spacedock spaces export` and `import`: Spaces shared as a file, and taken in from one."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from spacedock._wire.rpc import ExportOptions, ImportOptions
from spacedock.errors import BadRequestError, SpaceNotFoundError, WireError
from spacedock.replies.collections import ExportReply, ImportReply, ImportRow
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.control.collections.reading import FIELDS, looks_secret, read_collection
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.control.registry import check_hub_name, check_types
from spacedock_worker.hub.auto_register import guessed
from spacedock_worker.images.build.borrowing import check_named
from spacedock_worker.registry.catalogue import rendered
from spacedock_worker.registry.entry import EntryError, SpaceEntry, valid_entry
from spacedock_worker.registry.host_file import shipped
from spacedock_worker.registry.merging import How, is_other_code, settled
from spacedock_worker.registry.record import HOSTS_OWN, Record
from spacedock_worker.registry.registry import Registry
from spacedock_worker.registry.snapshot import Snapshot
from spacedock_worker.state.image_usage import ImageUsage

_HEAD = """\
# A collection of Spaces, written by `spacedock spaces export`. Look through it, then take it in with
# `spacedock spaces import FILE`: nothing of it is verified until `spacedock spaces validate` has looked.

"""
_SHOWN_CHARS = 200

BeginAnew = Callable[..., Awaitable[None]]
"""Removes what is here of a Space that has other code now; `known` says that the registry had it before."""


class CollectionHandler:
    """Writes collections of one registry's Spaces, and takes them in: all of a file, or nothing."""

    def __init__(self, registry: Registry, engine: Engine, usage: ImageUsage, begin_anew: BeginAnew) -> None:
        self._registry, self._engine, self._usage, self._begin_anew = registry, engine, usage, begin_anew

    async def export(self, asked: Asked[ExportOptions]) -> ExportReply:
        """The collection of the Spaces that are asked for. Raises BadRequestError."""
        snapshot = await self._registry.caught_up()
        return await asyncio.to_thread(self._exported, snapshot, asked.options)

    def _exported(self, snapshot: Snapshot, options: ExportOptions) -> ExportReply:
        digests = {note.space: note.digest for note in self._usage.all() if note.pulled}
        records: dict[str, Record] = {}
        notes: list[str] = []
        for entry in _chosen(snapshot, options):
            if entry.repository is None:
                fields, left = shared(entry, digests.get(entry.id))
                records[entry.id] = Record(valid_entry(entry.id, fields))
                notes += [f"{entry.id}: left out {', '.join(left)}"] if left else []
            elif entry.id in options.names:
                why = "its code is a directory that was sent. Put it on the Hub, or into an image registry"
                raise BadRequestError(f"Space '{entry.id}' cannot be shared in a file: {why}")
            else:
                notes.append(f"left out {entry.id}: its code is a directory that was sent")
        if not records:
            why = "name Spaces, or a category that has some"
            if notes:
                why = (
                    "each of these Spaces is a directory that was sent. Put it on the Hub, or into a registry"
                )
            raise BadRequestError(f"there is nothing to export: {why}")
        text = rendered(records, _HEAD)
        if faults := read_collection(text, "the file").faults:
            raise BadRequestError(f"nobody could take the file in: {faults[0]}")
        return {"text": text, "names": sorted(records), "notes": notes}

    async def take_in(self, asked: Asked[ImportOptions]) -> ImportReply:
        """What the collection changes, and with `apply` do it. Raises BadRequestError."""
        options = asked.options
        found = await asyncio.to_thread(read_collection, options.text, options.source)
        known = await self._registry.caught_up()
        how = How.REPLACE if options.replace else How.ADD
        changes = [EntryChange(name, fields, how) for name, fields in found.entries.items()]
        refused = [*found.faults, *await asyncio.to_thread(self._refused, changes, found.places)]
        for change in () if refused else changes:
            if image := change.fields.get("docker_image"):
                try:
                    await check_named(self._engine, str(image), change.name)
                except BadRequestError as error:
                    refused.append(f"{found.places[change.name]}: {error}")
        rows, seen = ([], "") if refused else await asyncio.to_thread(_shown, changes)
        data: ImportReply = {
            "spaces": rows,
            "refused": refused,
            "notes": list(_strangers(found.entries, known)),
            "seen": seen,
            "applied": options.apply and not refused,
        }
        if data["applied"]:
            if options.seen not in (None, seen):
                raise BadRequestError("the registry was changed meanwhile: look at what would change again")
            await self._apply([one for one, row in zip(changes, rows, strict=True) if row["state"] != "same"])
        return data

    def _refused(self, changes: Iterable[EntryChange], places: Mapping[str, str]) -> list[str]:
        """Why the registry would not have some of them."""
        refused = []
        for change in changes:
            try:
                check_hub_name(change.name, change.fields)
                check_types(change.name, change.fields)
                self._registry.check(change.name, change)
            except (BadRequestError, WireError) as error:
                refused.append(f"{places[change.name]}: {error}")
        return refused

    async def _apply(self, changes: list[EntryChange]) -> None:
        await self._registry.settle_all({change.name: change for change in changes})
        for change in changes:
            if change.other_code:
                await self._begin_anew(change.name, known=change.before is not None)


@dataclass(slots=True)
class EntryChange:
    """What a collection makes of one entry: called with the one that is there, it gives the fields.

    It notes `before` and `after` at its first call.
    """

    name: str
    fields: Mapping[str, Any]
    how: How
    before: SpaceEntry | None = None
    _after: SpaceEntry | None = field(default=None, init=False)

    @property
    def after(self) -> SpaceEntry:
        """What it makes of it, once it was called."""
        assert self._after is not None
        return self._after

    def __call__(self, before: SpaceEntry | None) -> Mapping[str, Any]:
        """Raises BadRequestError where a wall would come down, or at another entry than the first time."""
        if self._after is not None and before != self.before:
            raise BadRequestError(f"Space '{self.name}' was changed meanwhile: look at the collection again")
        for wall in ("network", "cache"):
            if before is not None and not getattr(before, wall) and self.fields.get(wall):
                why = f"`{wall}` is false here, and a collection does not change that. Leave it out"
                raise EntryError(f"Space '{self.name}': {why}")
        fields = settled(before, self.fields, guessed(self.name, self.fields), self.how)
        self.before = before
        self._after = valid_entry(self.name, {**fields, "discovered": False})
        return fields

    @property
    def other_code(self) -> bool:
        """Whether the name stands for other code than before; what an unlisted Space left is the Hub's."""
        known = self.before or SpaceEntry(id=self.name, hub_id=self.name if "/" in self.name else None)
        return is_other_code(known, self.fields)

    def row(self) -> ImportRow:
        """What changes, for people."""
        old = _told(self.before or SpaceEntry(id=self.name))
        changed = {key: value for key, value in _told(self.after).items() if value != old[key]}
        if self.before is None:
            fields = [f"{key}: {_short(value)}" for key, value in changed.items()]
            return {"name": self.name, "state": "new", "fields": fields}
        fields = [f"{key}: {_short(old[key])} -> {_short(value)}" for key, value in changed.items()]
        if self.other_code:
            fields.append("other code: its containers and its cache are removed")
        return {"name": self.name, "state": "changed" if fields else "same", "fields": fields}


def _shown(changes: Iterable[EntryChange]) -> tuple[list[ImportRow], str]:
    """A row for each, and a digest of exactly these changes."""
    whole = [(one.name, _told(one.before) if one.before else None, _told(one.after)) for one in changes]
    digest = hashlib.sha256(json.dumps(whole).encode()).hexdigest()
    return [one.row() for one in changes], digest


def _told(entry: SpaceEntry) -> dict[str, Any]:
    return entry.model_dump(mode="json", exclude={"id", *HOSTS_OWN})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"


def _chosen(snapshot: Snapshot, options: ExportOptions) -> list[SpaceEntry]:
    """The Spaces to share. Raises BadRequestError for one that is not there."""
    try:
        chosen = [snapshot.get(name) for name in options.names]
    except SpaceNotFoundError as error:
        raise BadRequestError(str(error)) from error
    if options.category is not None:
        chosen += snapshot.in_category(options.category)
    elif not options.names:
        chosen += [e for n, e in snapshot.spaces.items() if not e.discovered and e != shipped().get(n)]
    return [entry for _, entry in sorted({entry.id: entry for entry in chosen}.items())]


def shared(entry: SpaceEntry, digest: str | None) -> tuple[dict[str, Any], list[str]]:
    """The fields of an entry that may leave its host, and what stays of those that say how it runs."""
    fields = entry.model_dump(mode="json", exclude_unset=True, include=set(FIELDS))
    usual = SpaceEntry(id=entry.id)
    left = [own for own in HOSTS_OWN if getattr(entry, own) != getattr(usual, own)]
    for part in ("env", "inputs"):
        secret = [name for name, value in fields.get(part, {}).items() if looks_secret(name, str(value))]
        left += [f"{part}.{name}" for name in secret]
        if secret:
            fields[part] = {name: value for name, value in fields[part].items() if name not in secret}
    return fields | ({"image_digest": digest} if digest else {}), left


def _strangers(entries: Mapping[str, Mapping[str, Any]], known: Snapshot) -> Iterator[str]:
    for name, fields in entries.items():
        alternates = set(fields.get("alternates", ())) - entries.keys() - known.spaces.keys()
        if lacking := sorted(alternates):
            yield f"{name}: its alternates {', '.join(lacking)} are neither in the file nor here"
