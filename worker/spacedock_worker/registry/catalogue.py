"""The shared catalogue: kept in Redis for all hosts, and written out beside each host's registry.yaml."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import uuid
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import yaml
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock._wire.scripts import registered
from spacedock._wire.wire import uncollected
from spacedock.errors import BadRequestError, WireError
from spacedock.files import MAX_REPOSITORY_BYTES
from spacedock_worker.atomic_write import write_whole
from spacedock_worker.registry.entry import EntryError, SpaceEntry
from spacedock_worker.registry.host_file import text_of
from spacedock_worker.registry.reader import Reader
from spacedock_worker.registry.record import (
    MAX_RECORD_BYTES,
    MAX_RECORDS,
    Record,
    Swap,
    digest_of,
    encoded,
    record_of,
    tar_of,
)

log = structlog.get_logger()

_BOUNDS = {"MAX_RECORDS": MAX_RECORDS, "MAX_RECORD_BYTES": MAX_RECORD_BYTES}

_KEYS = [keys.CATALOGUE, keys.CATALOGUE_VERSION, keys.CATALOGUE_REPOSITORIES]

_SAME, _NONE = b"same", b"none"

FILE = "catalogue.yaml"

_HEAD = """\
# The Spaces that were added, found or validated on any host of this queue. Spacedock writes this file anew
# at each change, so edits here are lost: what you want of this host goes into registry.yaml, which counts
# before it. Carry this file to another queue as its registry.yaml, or as its first host's catalogue.yaml.

"""

_WIDTH = 10_000
"""No line is broken: a description stays one line, as a person would have it."""

_BREAKS = re.compile("[\x85\u2028\u2029]")
"""What PyYAML reads as the end of a line, unless it is written with an escape."""


class CatalogueFullError(WireError):
    """The catalogue has as many entries as it may have."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All entries by name as they stand in Redis, how many were too large to be read, and the version."""

    version: bytes | None = None
    rows: Mapping[str, bytes] = field(default_factory=dict)
    left_out: int = 0


class CatalogueStore:
    """One catalogue; every method raises redis-py's errors."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def version(self) -> bytes | None:
        """Another one after each change; None for a catalogue that was never written."""
        found: bytes | None = await answer(self.redis.get(keys.CATALOGUE_VERSION))
        return found

    def _script(self, name: str) -> AsyncScript:
        return registered(self.redis, name, __package__, **_BOUNDS)

    async def read(self) -> Contents:
        """The whole catalogue, within the bounds of what is read."""
        version, *rows, left_out = await self._script("read")(keys=_KEYS[:2])
        names = [name.decode(errors="replace") for name in rows[::2]]
        return Contents(version, dict(zip(names, rows[1::2], strict=True)), left_out)

    async def put(self, rows: Sequence[Swap]) -> bool:
        """Replace entries that still are as they were, all of them or none.

        Returns False, with nothing changed, if somebody else was faster. Raises CatalogueFullError.
        """
        args: list[str | bytes] = [_new_version()]
        for name, before, after, repository in rows:
            tar = _NONE if repository == b"" or after is None else repository or _SAME
            args += [name, before or b"", after or b"", tar]
        # Only what takes away is done where Redis is full.
        put = self._script("drop" if all(after is None for _, _, after, _ in rows) else "put")
        done = await put(keys=_KEYS, args=args)
        if done == -1:
            raise CatalogueFullError(
                f"the catalogue would have over {MAX_RECORDS:,} Spaces, which is its limit"
            )
        return bool(done)

    async def seed(self, records: Mapping[str, Record], folder: Path) -> bool:
        """Fill a catalogue that was never written, or was lost, with the tars that are in the folder.

        Returns False, with no entry changed, if there is one.
        """
        args: list[str | bytes] = [_new_version()]
        for name, record in records.items():
            with suppress(WireError):
                args += [name, encoded(record)]
            with suppress(OSError):
                tar = await asyncio.to_thread(tar_of(record.entry, folder).read_bytes)
                await answer(self.redis.hsetnx(keys.CATALOGUE_REPOSITORIES, name, tar))  # type: ignore[arg-type]
        return bool(await self._script("seed")(keys=_KEYS, args=args))

    async def fetch(self, name: str, digest: str, folder: Path) -> bool:
        """Get the tar of that Space into the folder; False if it is there.

        Raises WireError where Redis does not have it, or has another one than that of this SHA-256; OSError.
        """
        path = folder / f"{digest}.tar"
        if await asyncio.to_thread(os.path.exists, path):
            return False
        if await answer(self.redis.hstrlen(keys.CATALOGUE_REPOSITORIES, name)) > MAX_REPOSITORY_BYTES:
            raise WireError(f"its repository is over the limit of {MAX_REPOSITORY_BYTES // 2**20} MB")
        data: Any = await answer(self.redis.hget(keys.CATALOGUE_REPOSITORIES, name))
        if not isinstance(data, bytes):
            raise WireError("its repository is not in Redis")
        await asyncio.to_thread(_keep, path, data, digest)
        return True

    async def fetch_all(
        self, spaces: Mapping[str, SpaceEntry], folder: Path, known: Collection[str]
    ) -> dict[str, str]:
        """Get the repositories that are not in the folder yet; why not, of those that cannot be had.

        The log is told of those that are not `known` to lack.
        """
        missing = {}
        for name, entry in spaces.items():
            if (digest := digest_of(entry)) is None:
                continue
            try:
                if await self.fetch(name, digest, folder):
                    log.info("catalogue.repository_fetched", space=name, digest=digest)
            except (WireError, OSError) as error:
                missing[name] = f"catalogue: spaces.{name}: {error}. The Space is left out until it is there"
                if name not in known:
                    log.warning("catalogue.fault", reason=missing[name])
        return missing


def _keep(path: Path, data: bytes, digest: str) -> None:
    if hashlib.sha256(data).hexdigest() != digest:
        raise WireError("its repository in Redis does not match its digest")
    write_whole(path, data)


def _new_version() -> bytes:
    return uuid.uuid4().hex.encode()


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Writes texts as the registry's reader reads them."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if _BREAKS.search(text) else None)


_Dumper.add_representer(str, _text)


@uncollected()
def rendered(records: Mapping[str, Record], head: str = _HEAD) -> str:
    """The catalogue as a person may read it, below a `head` of comments."""
    spaces: dict[str, Any] = {}
    categories: dict[str, list[str]] = {}
    for name, record in sorted(records.items()):
        if record.entry is None:
            continue
        spaces[name] = {
            "id": name,
            **record.entry.model_dump(mode="json", exclude_unset=True, exclude={"id"}),
        }
        if record.whole:
            categories.setdefault(record.entry.category, []).append(name)
    document: dict[str, Any] = {"spaces": spaces, "categories": categories}
    if removed := sorted(name for name, record in records.items() if record.entry is None):
        document["removed"] = removed
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)


class CatalogueFile:
    """The file beside one registry.yaml. Its methods block."""

    def __init__(self, registry: Path) -> None:
        self.path = registry.with_name(FILE)
        self._told, self._unreadable = "", False

    def write(self, records: Mapping[str, Record]) -> None:
        """Write the catalogue out; a folder that cannot be written to is told of once.

        A file that could not be read is kept beside it.
        """
        text = rendered(records)
        try:
            if self._unreadable:
                # A person may mend it yet: where Redis was emptied, nothing else says what was in it.
                with suppress(FileNotFoundError):
                    self.path.replace(self.path.with_name(f"{FILE}.unreadable"))
                self._unreadable = False
            if not self.path.exists() or self.path.read_bytes() != text.encode():
                write_whole(self.path, text.encode())
            self._told = ""
        except OSError as error:
            if self._told != str(error):
                log.warning("catalogue.not_written", path=str(self.path), reason=str(error))
            self._told = str(error)

    def read(self) -> dict[str, Record]:
        """What the file has, as far as it can be read; nothing where there is no file."""
        try:
            declared = Reader(self.path, removed=True).read(text_of(self.path))
        except FileNotFoundError:
            return {}
        except (BadRequestError, OSError, UnicodeDecodeError) as error:
            log.warning("catalogue.not_read", path=str(self.path), reason=str(error))
            self._unreadable = not isinstance(error, OSError)
            return {}
        for warning in declared.warnings:
            log.warning("catalogue.fault", reason=warning)
        found = {name: Record(None) for name in declared.removed}
        for name, entry in declared.spaces.items():
            try:
                found[name] = record_of(entry)
            except EntryError as error:
                log.warning("catalogue.fault", reason=str(error))
        return found
