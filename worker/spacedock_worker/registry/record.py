"""One entry of the shared catalogue: what hosts tell each other of a Space, and what they never do (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from spacedock._wire import wire
from spacedock.errors import BadRequestError, WireError
from spacedock.request import SPACE_NAME
from spacedock_worker.registry.entry import SpaceEntry, valid_entry

HOSTS_OWN = ("secrets", "auth", "runtime", "writable_root", "gpu")
"""What a host alone decides, in its registry.yaml: nothing of it is in the catalogue."""

SOURCE = ("docker_image", "repository", "hub_id")
"""Where a Space's code is; an entry without any only adds to one that a host has."""

MAX_RECORDS = 20_000
MAX_RECORD_BYTES = 2**16
MAX_NAME = 200

Swap = tuple[str, bytes | None, bytes | None, bytes | None]
"""An entry's name, what it is (None: there is none), what it becomes (None: nothing), and its repository.

That is the tar that belongs to it, where it is another one; empty, it has none.
"""

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class _Message(BaseModel):
    """A record on the wire."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fields: dict[str, Any] = Field(default_factory=dict)
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """What the catalogue says of a Space; with `entry` None, that it was removed from the first registry.

    The entry's `repository` is `sha256:` and the digest of a tar.
    """

    entry: SpaceEntry | None

    @property
    def whole(self) -> bool:
        """Whether it is a Space by itself, and not only a note on one that a host has."""
        return self.entry is not None and has_source(self.entry)


def has_source(entry: SpaceEntry) -> bool:
    """Whether the entry says where its code is."""
    return any(getattr(entry, field) is not None for field in SOURCE)


def digest_of(entry: SpaceEntry | None) -> str | None:
    """The SHA-256 of its repository, if that is named by it."""
    found = _DIGEST.fullmatch(entry.repository or "") if entry is not None else None
    return found[1] if found else None


def tar_of(entry: SpaceEntry | None, folder: Path) -> Path:
    """Where the folder of repositories has the tar of an entry that names it by its digest."""
    return folder / f"{digest_of(entry)}.tar"


def by_digest(digest: str) -> str:
    """A repository as entries name it by its digest."""
    return f"sha256:{digest}"


def record_of(entry: SpaceEntry) -> Record:
    """The record of an entry, without what is a host's own."""
    fields = entry.model_dump(mode="json", exclude_unset=True, exclude={"id", *HOSTS_OWN})
    return Record(valid_entry(entry.id, fields))


def encoded(record: Record) -> bytes:
    """The record on the wire. Raises WireError where it is over the limit."""
    entry = record.entry
    fields = entry.model_dump(mode="json", exclude_unset=True, exclude={"id"}) if entry is not None else {}
    raw = wire.encode(_Message(fields=fields, removed=entry is None))
    if len(raw) > MAX_RECORD_BYTES:
        raise WireError(f"the entry is over the limit of {MAX_RECORD_BYTES // 2**10} KB")
    return raw


def decoded(name: str, raw: bytes) -> Record:
    """A record that anybody may have written. Raises WireError where it is none that a host writes."""
    if len(name) > MAX_NAME or not SPACE_NAME.fullmatch(name):
        raise WireError("its name is none of a Space")
    message = wire.decode_bounded(_Message, raw, MAX_RECORD_BYTES)
    if message.removed:
        return Record(None)
    if own := sorted(message.fields.keys() & set(HOSTS_OWN)):
        raise WireError(f"{', '.join(own)} can only be set in a host's registry.yaml")
    try:
        entry = valid_entry(name, message.fields)
    except BadRequestError as error:
        raise WireError(str(error)) from error
    if entry.repository is not None and digest_of(entry) is None:
        raise WireError("its repository is not named by a digest")
    return Record(entry)


@wire.uncollected()
def all_decoded(
    rows: Mapping[str, bytes], old: Mapping[str, bytes], known: Mapping[str, Record]
) -> tuple[dict[str, Record], tuple[str, ...]]:
    """The records, and why others are left out; what is as it was in `old` is `known`, and not read again."""
    records, faults = {}, []
    for name, raw in rows.items():
        if name in known and old.get(name) == raw:
            records[name] = known[name]
            continue
        try:
            records[name] = decoded(name, raw)
        except WireError as error:
            faults.append(f"catalogue: spaces.{name[:MAX_NAME]}: {error}. It is left out")
    return records, tuple(faults)
