"""registry.yaml: the Spaces and categories of this host, read again when the file changes."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Any, TextIO

import structlog
from ruamel.yaml.error import YAMLError as EditorError
from yaml import YAMLError

from spacedock.errors import BadRequestError
from spacedock.request import SPACE_NAME
from spacedock_worker.registry import atomic_write as exchange
from spacedock_worker.registry import writing
from spacedock_worker.registry.atomic_write import NOWHERE, Stamp
from spacedock_worker.registry.entry import EntryError, SpaceEntry, valid_entry
from spacedock_worker.registry.reading import Reader, placed
from spacedock_worker.registry.snapshot import EMPTY, Snapshot

log = structlog.get_logger()

_SETTLED_SECONDS = 0.2
"""An editor may empty a file before it writes it: a file that somebody else saved is left alone so long."""

_LONGEST_WAIT = 5.0

_UNFIT = (ValueError, RecursionError, YAMLError, EditorError)
"""What a text comes to that is read as a registry, and cannot be edited: tabs, nesting, other characters."""

RegistryChange = Callable[[str, Snapshot], tuple[str, SpaceEntry | None]]
"""From a text, and what it says, to the new text and the entry that is meant to be in it (None: none)."""


def _anybody(entry: SpaceEntry) -> None:
    """The host itself may remove any entry."""


class Registry:
    """The registry in one YAML file; a bad entry does not hide the rest.

    A file that is missing is written anew from `default`, the text of a first registry. Methods that write
    block, and are safe beside other processes and editors.
    """

    def __init__(self, path: Path, default: str = "") -> None:
        self.path = path
        self._default = default
        self._snapshot = EMPTY
        # Of what was looked at last, and of what could be read.
        self._stamp: Stamp | None = None
        self._good: Stamp | None = None
        self._reader, self._reading = Reader(path), Lock()

    @property
    def last(self) -> Snapshot:
        """The registry as it was when somebody last asked for it; never reads."""
        return self._snapshot

    def snapshot(self) -> Snapshot:
        """The registry as the file has it now; while that is no YAML, as it was before, with a warning."""
        if exchange.stamp_of(self.path) != self._stamp:
            with self._reading:
                self._read()
        return self._snapshot

    async def fresh(self) -> Snapshot:
        """`snapshot`, for who must not block: a large file that has changed is read in a thread."""
        if exchange.stamp_of(self.path) != self._stamp:
            await asyncio.to_thread(self.snapshot)
        return self._snapshot

    def add(self, name: str, fields: Mapping[str, Any], *, replace: bool = True) -> SpaceEntry:
        """Add or replace a Space; without `replace` one that is there stays as it is, and is what is given.

        Raises BadRequestError where its name, or a field, is unknown or wrong; without `replace` also where
        the entry that is there cannot be used.
        """
        entry = valid_entry(_named(name), fields)
        row = {"id": entry.id, **entry.model_dump(mode="json", exclude_unset=True)}
        lay = self._reader.layout

        def put(text: str, snapshot: Snapshot) -> tuple[str, SpaceEntry]:
            if not replace and (there := snapshot.find(name)) is not None:
                return text, there
            before = snapshot.spaces.get(name)
            if before is not None and before.category != entry.category:
                text = writing.without_listed(text, before.category, name, lay)
            text = writing.with_entry(text, name, row, lay)
            return writing.with_listed(text, entry.category, name, lay), valid_entry(name, row)

        return self._edit(name, put).get(name)

    def settle(self, name: str, fields: Callable[[SpaceEntry | None], Mapping[str, Any]]) -> SpaceEntry:
        """Add a Space, or change it, to what `fields` makes of the one that is there (None: none is).

        Raises BadRequestError as `add` does, also where the entry that is there cannot be used, and what
        `fields` raises.
        """

        def change(text: str, snapshot: Snapshot) -> tuple[str, SpaceEntry]:
            before = snapshot.find(name)
            after = valid_entry(name, fields(before))
            row, lay = after.model_dump(mode="json", exclude_unset=True), self._reader.layout
            if before is None:
                text = writing.with_entry(text, name, row, lay)
            else:
                old = before.model_dump(mode="json", exclude_unset=True)
                changed = {key: row.get(key) for key in old | row if old.get(key) != row.get(key)}
                text = writing.with_fields(text, name, changed, lay)
                if before.category != after.category:
                    text = writing.without_listed(text, before.category, name, lay)
            return writing.with_listed(text, after.category, name, lay), after

        return self._edit(_named(name), change).get(name)

    def update(self, name: str, fields: Mapping[str, Any]) -> SpaceEntry:
        """Set fields of a Space that is there; one that is None goes back to what it is by default.

        Raises SpaceNotFoundError, and BadRequestError as `add` does.
        """

        def change(text: str, snapshot: Snapshot) -> tuple[str, SpaceEntry]:
            given = snapshot.get(name).model_dump(mode="json", exclude_unset=True) | dict(fields)
            after = valid_entry(name, {key: value for key, value in given.items() if value is not None})
            row = after.model_dump(mode="json", exclude_unset=True)
            changed = {key: row.get(key) for key in fields}
            return writing.with_fields(text, name, changed, self._reader.layout), valid_entry(name, row)

        return self._edit(name, change).get(name)

    def remove(self, name: str, check: Callable[[SpaceEntry], None] = _anybody) -> None:
        """Remove a Space, from its categories as well. Raises SpaceNotFoundError, and what `check` raises."""

        def drop(text: str, snapshot: Snapshot) -> tuple[str, None]:
            check(snapshot.get(name))
            for category in [key for key, names in snapshot.categories.items() if name in names]:
                text = writing.without_listed(text, category, name, self._reader.layout)
            return writing.without_entry(text, name, self._reader.layout), None

        self._edit(name, drop)

    def _read(self) -> None:
        try:
            content = exchange.read(self.path)
            trouble = self._write_default() if content.stamp == NOWHERE and self._default else None
            if trouble is None:
                content = exchange.read(self.path)
            self._take(self._default if trouble else content.text, content.stamp)
            if trouble is not None:
                self._snapshot = replace(self._snapshot, warnings=(trouble, *self._snapshot.warnings))
        except (BadRequestError, OSError, UnicodeDecodeError) as error:
            self._stamp = exchange.stamp_of(self.path)
            self._snapshot = replace(self._snapshot, warnings=(self._why(error),))
        for warning in self._snapshot.warnings:
            log.warning("registry.fault", reason=warning)

    def _why(self, error: Exception) -> str:
        if isinstance(error, UnicodeDecodeError):
            return f"{self.path}: it is not UTF-8 text (byte {error.start + 1}). The registry stays as it was"
        return str(error) if isinstance(error, BadRequestError) else f"{self.path}: {error}"

    def _take(self, text: str, stamp: Stamp) -> None:
        self._snapshot = self._reader.read(text)
        self._stamp = self._good = stamp

    def _write_default(self) -> str | None:
        """Begin the file with the default; why that cannot be, if it cannot."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            exchange.replace(self.path, exchange.Content("", NOWHERE), self._default)
        except OSError as error:
            return f"{self.path} cannot be written ({error.strerror}): the default registry is used"
        return None

    def _edit(self, name: str, change: RegistryChange) -> Snapshot:
        """Change an entry of the file as it is now, whoever changes the file at the same time."""
        self.snapshot()
        # A link stays one: what it leads to is what changes.
        path = self.path.resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path.with_suffix(".lock")) as ours:
            while not self._changed(path, name, change, ours):
                log.info("registry.edited_by_others", path=str(path))
        return self._snapshot

    def _changed(self, path: Path, name: str, change: RegistryChange, ours: TextIO) -> bool:
        """Whether the change was made; not where somebody else was faster.

        `ours` has the stamp of the last write of any process of ours.
        """
        with _told_as_ours(path):
            content = _settled(path, ours)
        with self._reading:
            with _told_as_ours(path):
                if content.stamp != self._good:
                    self._take(content.text, content.stamp)
                before, ends = _lines_of(content.text)
                text, meant = change(before, self._snapshot)
                snapshot = self._reader.read(text)
                _check(self._snapshot, snapshot, name, meant and placed(meant, self.path.parent))
            if text == before:
                return True
            if not exchange.replace(path, content, text.replace("\n", ends)):
                return False
            self._snapshot = snapshot
            self._stamp = self._good = exchange.stamp_of(path)
        ours.seek(0)
        ours.truncate()
        ours.write(repr(self._stamp))
        ours.flush()
        return True


def _named(name: str) -> str:
    """The name, which is one that a job can ask for. Raises BadRequestError where it is not."""
    if not SPACE_NAME.fullmatch(name):
        raise BadRequestError(f"'{name}' cannot name a Space: use letters, digits, '.', '_' and '-'")
    return name


def default_text() -> str:
    """The registry that a host begins with."""
    return (resources.files("spacedock_worker.registry") / "default.yaml").read_text(encoding="utf-8")


@cache
def shipped() -> Mapping[str, SpaceEntry]:
    """The Spaces of that registry."""
    return Reader(Path("default.yaml")).read(default_text()).spaces


@contextmanager
def _told_as_ours(path: Path) -> Iterator[None]:
    """Raises BadRequestError in place of whatever a text that cannot be edited raises."""
    try:
        yield
    except EntryError:
        # It is the request that is wrong, not the file.
        raise
    except BadRequestError as error:
        raise BadRequestError(f"the registry cannot be changed: {error}") from error
    except _UNFIT as error:
        # Its words may quote the file, and the file has passwords.
        why = f"the registry cannot be changed: {path} is written in a way that is not understood"
        raise BadRequestError(f"{why} ({type(error).__name__}). Edit it by hand") from error


def _settled(path: Path, ours: TextIO) -> exchange.Content:
    """The file's text, once nobody is in the middle of writing it."""
    end = time.monotonic() + _LONGEST_WAIT
    ours.seek(0)
    own = ours.read()
    while True:
        content = exchange.read(path)
        age = time.time() - content.stamp[0] / 1e9
        settled = not 0 <= age < _SETTLED_SECONDS
        if settled or repr(content.stamp) == own or time.monotonic() > end:
            return content
        time.sleep(_SETTLED_SECONDS - age)


def _lines_of(text: str) -> tuple[str, str]:
    """The text with plain line ends, and those that it had; ends of both kinds are left as they are."""
    both = text.count("\r\n")
    return (text.replace("\r\n", "\n"), "\r\n") if both and both == text.count("\n") else (text, "\n")


def _check(before: Snapshot, after: Snapshot, name: str, meant: SpaceEntry | None) -> None:
    """See that a change came to what was meant. Raises BadRequestError."""
    wanted = {**before.spaces, name: meant}
    if meant is None:
        del wanted[name]
    if after.spaces != wanted or _others(before, name) != _others(after, name):
        raise BadRequestError(f"'{name}' cannot be changed without changing others: edit the file by hand")


def _others(snapshot: Snapshot, name: str) -> dict[str, list[str]]:
    """The categories' lists without that Space."""
    lists = {key: [other for other in names if other != name] for key, names in snapshot.categories.items()}
    return {key: names for key, names in lists.items() if names}


@contextmanager
def _locked(path: Path) -> Iterator[TextIO]:
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
