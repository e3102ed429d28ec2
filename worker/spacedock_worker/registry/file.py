"""registry.yaml: the Spaces and categories of this host, read again when the file changes."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import structlog
import yaml
from pydantic import ValidationError

from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.request import SPACE_NAME
from spacedock.wire import describe
from spacedock_worker.registry.entry import SpaceEntry

log = structlog.get_logger()

_TOP_KEYS = {"spaces", "categories"}

# libyaml's are ten times as fast: a registry is read again between two jobs.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What one reading of the file gave: Spaces by name, names by category, and what could not be read."""

    spaces: Mapping[str, SpaceEntry]
    categories: Mapping[str, tuple[str, ...]]
    warnings: tuple[str, ...] = ()

    def get(self, name: str) -> SpaceEntry:
        """The Space of that name. Raises SpaceNotFoundError, which names those that there are."""
        try:
            return self.spaces[name]
        except KeyError:
            raise SpaceNotFoundError(name, tuple(sorted(self.spaces))) from None

    def in_category(self, category: str) -> tuple[SpaceEntry, ...]:
        """The Spaces of a category: those that its list names, in its order, then those that name it."""
        listed = [name for name in self.categories.get(category, ()) if name in self.spaces]
        naming = [name for name, entry in self.spaces.items() if entry.category == category]
        return tuple(self.spaces[name] for name in dict.fromkeys([*listed, *naming]))

    @property
    def known_categories(self) -> tuple[str, ...]:
        """The categories that have a Space, sorted."""
        listed = {category for category, names in self.categories.items() if names}
        return tuple(sorted(listed | {entry.category for entry in self.spaces.values()}))

    def alternates(self, name: str) -> tuple[SpaceEntry, ...]:
        """The other Spaces of that Space's categories."""
        mine = [category for category, names in self.categories.items() if name in names]
        found = [
            entry for category in [*mine, self.get(name).category] for entry in self.in_category(category)
        ]
        return tuple({entry.id: entry for entry in found if entry.id != name}.values())


EMPTY = Shelf({}, {})


class Registry:
    """The registry in one YAML file. A missing file is an empty one; a bad entry does not hide the rest."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._shelf = EMPTY
        self._stamp: tuple[int, int, int] | None = None

    def shelf(self) -> Shelf:
        """The registry as the file has it now; while that is no YAML, as it was before, with a warning."""
        stamp = _stamp_of(self.path)
        if stamp != self._stamp:
            self._stamp, self._shelf = stamp, read_shelf(self.path, self._shelf)
            for warning in self._shelf.warnings:
                log.warning("registry.entry_unreadable", path=str(self.path), reason=warning)
        return self._shelf

    def add(self, name: str, fields: Mapping[str, Any]) -> SpaceEntry:
        """Add or replace a Space. Raises BadRequestError where its name, or a field, is unknown or wrong."""
        if not SPACE_NAME.fullmatch(name):
            raise BadRequestError(f"'{name}' cannot name a Space: use letters, digits, '.', '_' and '-'")
        try:
            entry = SpaceEntry.model_validate({"id": name, **fields})
        except ValidationError as error:
            raise BadRequestError(f"Space '{name}': {describe(error)}") from error
        row = {"id": entry.id, **entry.model_dump(mode="json", exclude_unset=True)}

        def put(document: dict[str, Any]) -> None:
            spaces, categories = _mapping(document, "spaces"), _mapping(document, "categories")
            before = spaces.get(name)
            if isinstance(before, dict) and before.get("category") != entry.category:
                _withdraw(categories, name, before.get("category"))
            spaces[name] = row
            listed = categories.get(entry.category) or []
            if not isinstance(listed, list):
                raise BadRequestError(f"the category '{entry.category}' is not a list: mend the file first")
            categories[entry.category] = listed if name in listed else [*listed, name]

        self._edit(put)
        return self.shelf().get(name)

    def update(self, name: str, fields: Mapping[str, Any]) -> SpaceEntry:
        """Change some fields of a Space; blocks. Raises SpaceNotFoundError, BadRequestError."""
        entry = self.shelf().get(name)
        try:
            SpaceEntry.model_validate({**entry.model_dump(mode="json", exclude_unset=True), **fields})
        except ValidationError as error:
            raise BadRequestError(f"Space '{name}': {describe(error)}") from error

        def put(document: dict[str, Any]) -> None:
            spaces = _mapping(document, "spaces")
            key = next((key for key in spaces if str(key) == name), None)
            if key is not None and isinstance(spaces[key], dict):
                spaces[key] |= fields

        self._edit(put)
        return self.shelf().get(name)

    def remove(self, name: str) -> None:
        """Remove a Space from its categories as well. Raises SpaceNotFoundError."""
        self.shelf().get(name)

        def drop(document: dict[str, Any]) -> None:
            spaces, categories = _mapping(document, "spaces"), _mapping(document, "categories")
            for key in [key for key in spaces if str(key) == name]:
                del spaces[key]
            for category in list(categories):
                _withdraw(categories, name, category)

        self._edit(drop)

    def _edit(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the file under a lock, from what it holds now, in one rename."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self.path.with_suffix(".lock")):
            document = _load(self.path)
            change(document)
            with tempfile.NamedTemporaryFile(
                "w", dir=self.path.parent, prefix=".registry-", suffix=".yaml", delete=False
            ) as file:
                yaml.dump(document, file, _DUMPER, sort_keys=False, allow_unicode=True)
            os.chmod(file.name, _mode_of(self.path))
            os.replace(file.name, self.path)
        self._stamp = None


def _mapping(document: dict[str, Any], key: str) -> dict[Any, Any]:
    """A part of the document to change in place; made where it is missing or empty."""
    part = document[key] = document.get(key) or {}
    if not isinstance(part, dict):
        raise BadRequestError(f"'{key}' in the registry is not a mapping: mend the file first")
    return part


def _withdraw(categories: dict[Any, Any], name: str, category: Any) -> None:
    """Take a name off a category's list; a category that has none left goes too."""
    names = categories.get(category)
    if not isinstance(names, list) or name not in names:
        return
    categories[category] = [other for other in names if other != name]
    if not categories[category]:
        del categories[category]


def read_shelf(path: Path, before: Shelf = EMPTY) -> Shelf:
    """Read a registry file; what is wrong in it becomes a warning; if it is no YAML, all is as before."""
    try:
        document = _load(path)
    except BadRequestError as error:
        return replace(before, warnings=(str(error),))
    warnings = [f"unknown key '{key}'" for key in document if key not in _TOP_KEYS]
    spaces = dict(_entries(document.get("spaces") or {}, path.parent, warnings))
    categories = dict(_categories(document.get("categories") or {}, spaces, warnings))
    return Shelf(spaces, categories, tuple(warnings))


def _entries(rows: Any, base: Path, warnings: list[str]) -> Iterator[tuple[str, SpaceEntry]]:
    if not isinstance(rows, dict):
        warnings.append("'spaces' is not a mapping of names to Spaces")
        return
    for key, row in rows.items():
        name = str(key)
        if not isinstance(row, dict):
            warnings.append(f"spaces.{name}: not a mapping")
            continue
        try:
            entry = SpaceEntry.model_validate({"id": name, **row})
        except ValidationError as error:
            warnings.append(f"spaces.{name}: {describe(error)}")
            continue
        repository = str(base / entry.repository) if entry.repository else None
        yield name, entry.model_copy(update={"id": name, "repository": repository})


def _categories(
    rows: Any, spaces: Mapping[str, SpaceEntry], warnings: list[str]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not isinstance(rows, dict):
        warnings.append("'categories' is not a mapping of categories to lists of names")
        return
    for category, names in rows.items():
        if not isinstance(names, list):
            warnings.append(f"categories.{category}: not a list of names")
            continue
        warnings += [f"categories.{category}: no Space '{name}'" for name in names if str(name) not in spaces]
        yield str(category), tuple(str(name) for name in names if str(name) in spaces)


def _load(path: Path) -> dict[str, Any]:
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), _LOADER)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadRequestError(f"{path} cannot be read: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise BadRequestError(f"{path} is not a registry: it has no 'spaces:' mapping")
    return document


def _stamp_of(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_ino, found.st_size)


def _mode_of(path: Path) -> int:
    """The permissions that an edit keeps; those of a new file where there is none yet."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return 0o644


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
