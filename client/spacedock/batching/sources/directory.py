"""A directory as a batch: a job for each file, in the order of their names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath

from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.batching.sources.row import RowRules
from spacedock.errors import BadRequestError, FileUnreadableError
from spacedock.files import travelling_name

_ANY_DEPTH = "**/"


def directory_lines(rules: RowRules) -> Iterator[BatchLine | BadLine]:
    """The files of a directory. Hidden files are left out, and links to directories are not followed.

    A template may use `{name}` and `{stem}`, the file's name with and without its suffix. Raises
    BadRequestError where there is no file, FileUnreadableError where a directory cannot be read.
    """
    pattern = rules.options.glob or "*"
    recursive = rules.options.recursive or "/" in pattern
    pattern = pattern.removeprefix(_ANY_DEPTH)
    if not PurePath(pattern).name:
        raise BadRequestError(f"--glob {rules.options.glob!r} is no pattern of names, such as '*.png'")
    number, other = 0, None
    for path in _files(rules.base, recursive=recursive):
        relative = PurePath(os.path.relpath(path, rules.base))
        if not relative.match(pattern):
            other = other or relative
            continue
        number += 1
        yield _line(number, path, relative, rules)
    if not number:
        raise BadRequestError(_why_none(rules, other, recursive=recursive))


def _line(number: int, path: str, relative: PurePath, rules: RowRules) -> BatchLine | BadLine:
    row = {key: travelling_name(value) for key, value in (("name", relative.name), ("stem", relative.stem))}
    try:
        file, prompt = rules.file(str(relative)), rules.prompt(row)
    except ValueError as error:
        return BadLine(number, path, str(error))
    return BatchLine(number, (file,), {} if prompt is None else {"prompt": prompt})


def _files(top: Path, *, recursive: bool) -> Iterator[str]:
    """Paths in the order of their names; of each directory on the way the names are in memory."""
    stack = [_there(top)]
    while stack:
        for path, is_directory in stack[-1]:
            if not is_directory:
                yield path
            elif recursive and not os.path.islink(path):
                stack.append(_there(path))
                break
        else:
            stack.pop()


def _there(folder: Path | str) -> Iterator[tuple[str, bool]]:
    try:
        with os.scandir(folder) as entries:
            return iter(sorted((one.path, _is_directory(one)) for one in entries if one.name[0] != "."))
    except OSError as error:
        raise FileUnreadableError(str(folder), error.strerror or str(error)) from error


def _is_directory(entry: os.DirEntry[str]) -> bool:
    # A link may lead to itself, which isdir knows of.
    return os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir()


def _why_none(rules: RowRules, other: PurePath | None, *, recursive: bool) -> str:
    if other is not None:
        return f"{rules.base}: no file of it matches {rules.options.glob!r}. There is {other}, for one"
    if not any(rules.base.iterdir()):
        return f"{rules.base}: there is no file in it"
    below = "" if recursive else ", and those in directories below it need --recursive"
    return f"{rules.base}: there is no file in it (hidden files are left out{below})"
