"""Entries that an earlier release wrote into registry.yaml: moved to the shared catalogue, once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog
import yaml

from spacedock._yaml.nodes import LOADER
from spacedock.errors import BadRequestError
from spacedock_worker.atomic_write import write_whole
from spacedock_worker.registry.entry import SpaceEntry, Verdict
from spacedock_worker.registry.host_file import text_of
from spacedock_worker.registry.reader import Declared, Reader
from spacedock_worker.registry.record import HOSTS_OWN, Record, by_digest, has_source, record_of
from spacedock_worker.registry.registry import Registry
from spacedock_worker.registry.row import row_of

log = structlog.get_logger()

_COMMENT = re.compile(r"(^|\s)#")

BACKUP = ".before-catalogue"
"""What is added to the file's name for the copy that is made first."""


@dataclass(frozen=True, slots=True)
class Moved:
    """The records that leave a file, and what stays of its text."""

    records: Mapping[str, Record]
    text: str


async def move(registry: Registry) -> None:
    """Move what the machine wrote into this host's registry.yaml; doing it again does nothing.

    A person's entries and comments stay letter by letter. A name that the catalogue has already with other
    code stays here, and goes before it. Raises redis-py's errors.
    """
    path = registry.path.resolve()
    try:
        text = await asyncio.to_thread(text_of, path)
        found = await asyncio.to_thread(moving, path, text, registry.repositories)
        taken = {name for name, record in found.records.items() if await _taken(registry, name, record)}
        if not taken:
            return
        rest = await asyncio.to_thread(moving, path, text, registry.repositories, taken)
        await asyncio.to_thread(_replace, path, text, rest.text)
    except FileNotFoundError:
        return
    except (BadRequestError, UnicodeDecodeError, OSError) as error:
        log.warning("registry.not_moved", path=str(path), reason=str(error))
        return
    backup = path.with_name(path.name + BACKUP)
    log.warning("registry.moved", spaces=sorted(taken), path=str(path), backup=str(backup))


async def _taken(registry: Registry, name: str, record: Record) -> bool:
    try:
        return await registry.take(name, record)
    except BadRequestError as error:
        log.warning("registry.not_moved", space=name, reason=str(error))
        return False


def _replace(path: Path, before: str, after: str) -> None:
    if text_of(path) != before:
        raise BadRequestError("somebody is editing it; the next start tries again")
    backup = path.with_name(path.name + BACKUP)
    mode = path.stat().st_mode & 0o777
    if not backup.exists():
        write_whole(backup, path.read_bytes(), mode, durable=True)
    write_whole(path, after.encode(), mode, durable=True)


def moving(path: Path, text: str, repositories: Path, names: set[str] | None = None) -> Moved:
    """What would move out of a text (of `names` only); nothing of a text in which entries share lines.

    Raises BadRequestError where the text is no registry.
    """
    before = Reader(path).read(text)
    root = yaml.compose(text, LOADER)
    if not isinstance(root, yaml.MappingNode) or "&" in text:
        return Moved({}, text)
    lines = text.splitlines(keepends=True)
    records: dict[str, Record] = {}
    cut: set[int] = set()
    for key, value in _entries(root):
        name = key.value
        if (names is not None and name not in names) or name in records or value.flow_style:
            continue
        span = _span(key, value, lines)
        commented = _has_comments([lines[line] for line in span])
        entry = row_of(key, value).entry
        if entry is not None and (found := _moved(entry, repositories, commented)) is not None:
            records[name] = found
            cut |= set(span) if found.whole else set(_verdict_span(value, lines))
    after = "".join(line for number, line in enumerate(lines) if number not in cut)
    _check(before, Reader(path).read(after), records)
    return Moved(records, after)


def _moved(entry: SpaceEntry, repositories: Path, commented: bool) -> Record | None:
    """The record of an entry that the machine wrote, or its verdict alone; None for what a person wrote."""
    fields = entry.model_fields_set
    sent = entry.repository is not None and Path(entry.repository).parent.absolute() == repositories
    inferred = entry.confidence is not None and has_source(entry)
    if (sent or inferred) and not commented and not fields & set(HOSTS_OWN):
        if entry.repository is None:
            return record_of(entry)
        return record_of(entry.model_copy(update={"repository": by_digest(Path(entry.repository).stem)}))
    if isinstance(entry.verified, Verdict):
        return Record(SpaceEntry(id=entry.id, verified=entry.verified))
    return None


def _entries(root: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.MappingNode]]:
    for part, spaces in root.value:
        if part.value == "spaces" and isinstance(spaces, yaml.MappingNode) and not spaces.flow_style:
            for key, value in spaces.value:
                if isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.MappingNode):
                    yield key, value


def _has_comments(lines: list[str]) -> bool:
    """Whether something can be cut off at a # without changing what the lines mean."""
    meant = yaml.load("".join(lines), LOADER)
    for number, line in enumerate(lines):
        if (found := _COMMENT.search(line)) is not None:
            with suppress(yaml.YAMLError):
                bare = "".join([*lines[:number], line[: found.start()] + "\n", *lines[number + 1 :]])
                if yaml.load(bare, LOADER) == meant:
                    return True
    return False


def _verdict_span(entry: yaml.MappingNode, lines: list[str]) -> range:
    key, value = next((key, value) for key, value in entry.value if key.value == "verified")
    return _span(key, value, lines)


def _span(key: yaml.Node, value: yaml.Node, lines: list[str]) -> range:
    """The lines of a key and its value; comments and empty lines below are the next one's."""
    start, end = key.start_mark.line, value.end_mark.line
    if value.end_mark.column > 0 and (end == start or not isinstance(value, yaml.MappingNode)):
        end += 1
    while end > start + 1 and (not lines[end - 1].strip() or lines[end - 1].lstrip().startswith("#")):
        end -= 1
    return range(start, min(end, len(lines)))


def _check(before: Declared, after: Declared, records: Mapping[str, Record]) -> None:
    """See that what stays is what it was. Raises BadRequestError."""
    for name, entry in before.spaces.items():
        record = records.get(name)
        if record is None:
            stays: SpaceEntry | None = entry
        else:
            stays = None if record.whole else entry.model_copy(update={"verified": "never"})
        if after.spaces.get(name) != stays:
            raise BadRequestError(f"the entry of '{name}' cannot be told from the others by its lines")
    if after.broken != before.broken or (
        after.listed != before.listed and len(after.listed) != len(before.listed)
    ):
        raise BadRequestError("its entries cannot be told from each other by their lines")
