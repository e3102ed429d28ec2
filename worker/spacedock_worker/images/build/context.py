"""What the builder gets: one deterministic tar without what .dockerignore names, and its digest."""

from __future__ import annotations

import fnmatch
import hashlib
import posixpath
import re
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import IO

from spacedock_worker.images.build.repository import Repository, RepositoryFile, refused

_IN_MEMORY = 16 * 2**20
_TIME = 946_684_800
"""The time of every file: the year 2000. The image keeps it, and a zip file has no time before 1980."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """A tar, open at its start, and the hex SHA-256 of its content; the owner closes `tar`."""

    tar: IO[bytes]
    digest: str


def pack(extra: Mapping[str, bytes], repository: Repository, prefix: str) -> BuildContext:
    """The files of `extra` by their names, and the repository's others below `prefix` ("app/" or ""); blocks.

    The same content gives the same bytes: one time, no owners, files in the order of their names.
    """
    packed = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller gets it open
    try:
        with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted(extra):
                archive.addfile(_entry(name, len(extra[name]), executable=False), BytesIO(extra[name]))
            for file in repository.files:
                if prefix + file.path not in extra:
                    _add(archive, prefix, file)
        packed.seek(0)
        digest = hashlib.file_digest(packed, "sha256").hexdigest()
        packed.seek(0)
    except BaseException:
        packed.close()
        raise
    return BuildContext(packed, digest)


def _add(archive: tarfile.TarFile, prefix: str, file: RepositoryFile) -> None:
    entry = _entry(prefix + file.path, file.size, executable=file.executable)
    if file.link:
        entry.type, entry.linkname = tarfile.SYMTYPE, file.link
        archive.addfile(entry)
        return
    with file.open() as content:
        archive.addfile(entry, content)


def _entry(name: str, size: int, *, executable: bool) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o755 if executable else 0o644, _TIME
    return entry


NAME = ".dockerignore"

_MOST = 500
_ESCAPED = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class _Rule:
    """One line: a pattern for each segment of a path (None: any number of them), and whether it keeps."""

    segments: tuple[re.Pattern[str] | None, ...]
    keeps: bool


def without_ignored(repository: Repository) -> Repository:
    """The repository without what its .dockerignore names; the last line that matches a file decides.

    Raises StepError `bad_input` for one with more than 500 lines.
    """
    rules = _rules(repository.text(NAME))
    if not rules:
        return repository
    if len(rules) > _MOST:
        raise refused(f"its {NAME} has more than {_MOST} patterns")
    ignored: dict[str, tuple[bool, ...]] = {}
    files = tuple(file for file in repository.files if not _is_ignored(file.path, rules, ignored))
    return replace(repository, files=files)


def _rules(text: str) -> list[_Rule]:
    lines = (line.strip() for line in text.removeprefix("\ufeff").split("\n") if not line.startswith("#"))
    return [rule for line in lines if (rule := _rule(line)) is not None]


def _rule(line: str) -> _Rule | None:
    keeps = line.startswith("!")
    path = posixpath.normpath(line.removeprefix("!").strip() or ".").lstrip("/")
    if path in ("", "."):
        return None
    return _Rule(tuple(None if part == "**" else _pattern(part) for part in path.split("/")), keeps)


def _pattern(segment: str) -> re.Pattern[str]:
    # fnmatch makes expressions that take linear time.
    glob = _ESCAPED.sub(r"[\1]", segment).replace("[^", "[!")
    return re.compile(fnmatch.translate(glob))


def _is_ignored(path: str, rules: Sequence[_Rule], known: dict[str, tuple[bool, ...]]) -> bool:
    """`known` has for each folder which of the rules match it: they match all that is below it too."""
    matched = _matching(path, rules, known)
    return next(
        (not r.keeps for r, hit in zip(reversed(rules), reversed(matched), strict=True) if hit), False
    )


def _matching(path: str, rules: Sequence[_Rule], known: dict[str, tuple[bool, ...]]) -> tuple[bool, ...]:
    if path not in known:
        parts, above = path.split("/"), posixpath.dirname(path)
        inherited = _matching(above, rules, known) if above else (False,) * len(rules)
        known[path] = tuple(
            hit or _matches(parts, rule.segments) for hit, rule in zip(inherited, rules, strict=True)
        )
    return known[path]


def _matches(parts: Sequence[str], segments: Sequence[re.Pattern[str] | None]) -> bool:
    """Whether the segments match all parts; the earliest match of what stands between two `**` is enough."""
    part, segment, back = 0, 0, None
    while part < len(parts):
        pattern = segments[segment] if segment < len(segments) else None
        if segment < len(segments) and pattern is None:
            segment, back = segment + 1, (part, segment + 1)
        elif pattern is not None and pattern.match(parts[part]):
            part, segment = part + 1, segment + 1
        elif back is not None:
            back = (back[0] + 1, back[1])
            part, segment = back
        else:
            return False
    return all(left is None for left in segments[segment:])
