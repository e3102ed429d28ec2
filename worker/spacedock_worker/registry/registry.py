"""The registry of a host: its own registry.yaml over the catalogue that all hosts of a queue share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

import structlog
from redis.exceptions import ResponseError

from spacedock._wire import keys
from spacedock._wire.wire import uncollected
from spacedock.errors import BadRequestError, WireError
from spacedock.request import SPACE_NAME
from spacedock_worker.registry.catalogue import CatalogueFile, CatalogueStore, Contents
from spacedock_worker.registry.entry import EntryError, SpaceEntry, Verdict, valid_entry
from spacedock_worker.registry.host_file import HostFile
from spacedock_worker.registry.merging import (
    Make,
    is_untouched,
    merged,
    placed,
    recoded,
    swaps_of,
    wanted,
    without,
)
from spacedock_worker.registry.reader import Declared
from spacedock_worker.registry.record import MAX_RECORDS, Record, all_decoded, record_of
from spacedock_worker.registry.snapshot import EMPTY, Snapshot

log = structlog.get_logger()

_TRIES = 20
_RECODED_SECONDS = 30.0
_SHOWN_CHARS = 200

Recoded = Callable[[set[str]], Awaitable[None]]
"""Hears which names have other code now, or none, before anybody can run it."""

Change = Callable[[SpaceEntry | None], Mapping[str, Any]]


class Registry:
    """What this host knows of Spaces.

    Without a `store` it is what the two files beside each other say, and cannot be changed. `repositories` is
    the folder of tars of Spaces that came as a directory. A registry.yaml that is missing is begun with
    `default`. Whoever writes through it raises redis-py's errors as well.
    """

    def __init__(
        self,
        path: Path,
        default: str = "",
        store: CatalogueStore | None = None,
        repositories: Path | None = None,
        recoded: Recoded | None = None,
    ) -> None:
        self.path, self._store, self.recoded = path, store, recoded
        self.repositories = (repositories or path.parent / "repositories").absolute()
        self._file, self._out = HostFile(path, default), CatalogueFile(path)
        self._own: Declared | None = None
        # As they are in Redis, and what they came to.
        self._contents = Contents()
        self._records: Mapping[str, Record] | None = None
        self._faults: tuple[str, ...] = ()
        self._missing: dict[str, str] = {}
        self._plain = self._snapshot = EMPTY
        self._changes = self._written = 0
        self._merging, self._catching_up = Lock(), asyncio.Lock()

    @property
    def last(self) -> Snapshot:
        """The registry as it was when somebody last asked for it; never reads."""
        return self._snapshot

    def snapshot(self) -> Snapshot:
        """The registry by the file as it is now, and the catalogue as it was last heard of; blocks."""
        if self._own is None or self._file.stale:
            self._merge()
        return self._snapshot

    async def fresh(self) -> Snapshot:
        """`snapshot`, for who must not block."""
        if self._own is None or self._file.stale:
            await asyncio.to_thread(self._merge)
        return self._snapshot

    @property
    def fault(self) -> str | None:
        """Why registry.yaml could not be read when it was last looked at; None where it could."""
        return self._file.fault

    @property
    def unwritten(self) -> bool:
        """Whether catalogue.yaml is not as the catalogue is."""
        return self._changes != self._written

    async def caught_up(self, *, retry: bool = False) -> Snapshot:
        """The registry by the file and the catalogue as they are now.

        With `retry` repositories that could not be had are asked for again.
        """
        if self._store is not None:
            async with self._catching_up:
                await self._catch_up(self._store, (), retry=retry)
        return await self.fresh()

    async def _catch_up(self, store: CatalogueStore, mine: Collection[str], *, retry: bool = False) -> None:
        try:
            version = await store.version()
            known = self._records is not None and version == self._contents.version
            if not known or (retry and self._missing):
                await self._reread(store, mine)
        except ResponseError as error:
            self._told_odd(error)

    def _told_odd(self, error: ResponseError) -> None:
        """Stay as we are where somebody has written another type of value over the catalogue."""
        if not str(error).startswith("WRONGTYPE"):
            raise error
        self._records = self._records or {}
        fault = f"catalogue: it was overwritten in Redis. Delete {keys.CATALOGUE}* there"
        if fault not in self._faults:
            self._faults = (*self._faults, fault)
            log.warning("catalogue.fault", reason=fault)
            self._own = None

    async def settle(self, name: str, change: Change, repository: bytes | None = None) -> SpaceEntry:
        """Add a Space, or change it, to what `change` makes of the one that is there (None: none is).

        `repository` is the tar that its `repository` names by its digest. Raises BadRequestError where its
        name or a field is wrong, where registry.yaml says otherwise, and what `change` raises.
        """
        return (await self._write({name: self._settling(name, change)}, repository)).get(name)

    async def settle_all(self, changes: Mapping[str, Change]) -> None:
        """`settle` several Spaces, all of them or none. Raises BadRequestError, as `settle` does."""
        await self._write({name: self._settling(name, change) for name, change in changes.items()})

    def check(self, name: str, change: Change) -> None:
        """Raise what `settle` would raise, by the registry as it was last read; changes nothing."""
        swaps_of({name: self._settling(name, change)}, None, self._own, self._plain, self._contents.rows)

    def _settling(self, name: str, change: Change) -> Make:
        if not SPACE_NAME.fullmatch(name):
            raise BadRequestError(f"'{name}' cannot name a Space: use letters, digits, '.', '_' and '-'")

        def record(snapshot: Snapshot, own: SpaceEntry | None) -> Record:
            before = snapshot.find(name)
            # Whoever adds or changes it lists it.
            fields = {key: value for key, value in change(before).items() if key != "discovered"}
            return wanted(own, before, valid_entry(name, fields), self.path)

        return record

    async def discover(self, name: str, fields: Mapping[str, Any]) -> SpaceEntry:
        """Note a Space of the Hub that a job named; one that is there stays as it is, and is what is given.

        Raises BadRequestError where it cannot be kept.
        """
        entry = valid_entry(name, {**fields, "discovered": True})

        def record(snapshot: Snapshot, own: SpaceEntry | None) -> Record | None:
            return None if own is not None or snapshot.find(name) is not None else record_of(entry)

        return (await self._write({name: record})).get(name)

    async def judge(self, name: str, verdict: Verdict) -> None:
        """Note what a validation came to. Raises SpaceNotFoundError, BadRequestError."""

        def record(snapshot: Snapshot, own: SpaceEntry | None) -> Record:
            snapshot.get(name)
            there = self._records.get(name) if self._records else None
            entry = there.entry if there is not None and there.entry is not None else SpaceEntry(id=name)
            return Record(entry.model_copy(update={"verified": verdict}))

        await self._write({name: record})

    async def remove(self, name: str) -> None:
        """Remove a Space. Raises SpaceNotFoundError, and EntryError where registry.yaml has it."""

        def record(snapshot: Snapshot, own: SpaceEntry | None) -> Record:
            snapshot.get(name)
            if own is not None and not is_untouched(own):
                why = f"it is in the registry's file on the host ({self.path}). Remove it there"
                raise EntryError(f"Space '{name}' cannot be removed from here: {why}")
            return Record(None)

        await self._write({name: record})

    def write_out(self) -> None:
        """Write catalogue.yaml, where it is not there or not as the catalogue is; blocks."""
        changes = self._changes
        if self._records is None or self._store is None:
            return
        if changes != self._written or not self._out.path.exists():
            self._out.write(self._records)
            self._written = changes

    async def _write(self, makes: Mapping[str, Make], repository: bytes | None = None) -> Snapshot:
        """Put records in the catalogue in place of those that are there, whoever changes them meanwhile."""
        if self._store is None:
            raise BadRequestError("the catalogue of Spaces cannot be reached")
        what = f"Space{'s' if len(makes) > 1 else ''} '{', '.join(makes)[:_SHOWN_CHARS]}'"
        for _ in range(_TRIES):
            await self.caught_up()
            state = self._own, self._plain, self._contents.rows
            swaps = await asyncio.to_thread(swaps_of, makes, repository, *state)
            if not swaps:
                return self._snapshot
            try:
                async with self._catching_up:
                    done = await self._store.put(swaps)
                    await self._catch_up(self._store, makes.keys() if done else ())
                if done:
                    return await self.fresh()
            except (ResponseError, WireError) as error:
                raise BadRequestError(f"{what} cannot be kept: {error}") from error
        raise BadRequestError(f"{what} is being changed by others all the time: try again")

    @uncollected()
    def _merge(self) -> None:
        with self._merging:
            own = self._file.read()
            if self._store is None and self._records is None:
                self._records = self._out.read()
            plain = merged(own, self._records or {}, self._faults)
            here = without(plain, {n: why for n, why in self._missing.items() if n in plain.spaces})
            self._snapshot = placed(here, self.path.parent, self.repositories)
            self._own, self._plain = own, plain

    async def _reread(self, store: CatalogueStore, mine: Collection[str]) -> None:
        first = self._records is None
        before = self._records if self._records is not None else await asyncio.to_thread(self._out.read)
        contents = await store.read()
        if contents.version is None and before and await store.seed(before, self.repositories):
            log.warning("catalogue.restored", spaces=len(before), path=str(self._out.path))
            contents = await store.read()
        old = {} if first else self._contents.rows
        records, faults = await asyncio.to_thread(all_decoded, contents.rows, old, before)
        if contents.left_out:
            faults = (
                *faults,
                f"catalogue: {contents.left_out} entries are too large, or over {MAX_RECORDS:,}",
            )
        for fault in faults:
            if fault not in self._faults:
                log.warning("catalogue.fault", reason=fault)
        was = None if first else self._plain
        plain, others = await asyncio.to_thread(self._compared, was, before, records, faults)
        missing = await store.fetch_all(plain.spaces, self.repositories, self._missing)
        names = others - set(mine)
        if names and self.recoded is not None:
            # A clean-up that runs for long, or an engine that is away, does not keep the catalogue waiting.
            try:
                async with asyncio.timeout(_RECODED_SECONDS):
                    await self.recoded(names)
            except TimeoutError:
                log.warning("catalogue.not_begun_anew", spaces=sorted(names))
        self._contents, self._records, self._faults = contents, records, faults
        self._missing = missing
        self._changes += 1
        await asyncio.to_thread(self._merge)
        log.debug("catalogue.read", spaces=len(records))

    @uncollected()
    def _compared(
        self,
        was: Snapshot | None,
        before: Mapping[str, Record],
        records: Mapping[str, Record],
        faults: tuple[str, ...],
    ) -> tuple[Snapshot, set[str]]:
        """What these records come to, and the names that have other code than before; blocks.

        `was` is what the records `before` came to, None where nobody knows.
        """
        own = self._file.read()
        plain = merged(own, records, faults)
        was = merged(own, before) if was is None else was
        return plain, recoded(_of(was, before), plain.spaces) - own.broken


def _of(snapshot: Snapshot, records: Mapping[str, Record]) -> dict[str, SpaceEntry]:
    return {name: entry for name, entry in snapshot.spaces.items() if name in records}
