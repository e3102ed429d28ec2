"""What people read: answers on standard output, talk on standard error, nothing that moves the cursor."""

from __future__ import annotations

import asyncio
import re
import stat
import sys
from pathlib import Path

from spacedock.client import Client
from spacedock.files import FileRef
from spacedock.result import Attempt, ErrorKind, JobResult

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_NAME_BYTES = 200
"""Bytes of a saved file's name: file systems take 255, and a number may come to it."""


def say(text: str) -> None:
    """One line of talk."""
    sys.stderr.write(printable(text) + "\n")


def say_degraded() -> None:
    """Why a command ends with exit code 3."""
    say("exit code 3: some answers are degraded; --allow-degraded takes them for good")


def write(text: str) -> None:
    """Data; a terminal gets it without control characters, since apps are strangers."""
    shown = printable(text) if sys.stdout.isatty() else text
    sys.stdout.write(shown + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """The text without control characters, but for tabs and new lines."""
    # For thousands of cells of a table the quick question first.
    return text if text.isprintable() else _CONTROL.sub("\ufffd", text)


def heading(path: Path) -> str:
    """What stands above a file's answer where there are several, as `head` and `tail` write it."""
    return f"==> {path} <=="


def show(result: JobResult) -> None:
    """An answer for people: its text, and who gave it; or why there is none."""
    by = result.answered_by
    if by is None:
        show_failure(result)
        return
    if result.output.text is not None:
        write(result.output.text)
    if result.output.truncated:
        say("the answer was cut: there was more to say")
    say(f"answered by {by.name} ({by.tier.value}) in {result.timings.total:.1f} s")
    if result.degraded:
        say("degraded: these are a language model's words, not the kind of answer that was asked for")
    if attempts_told(result):
        show_attempts(result)


def attempts_told(result: JobResult) -> bool:
    """Whether an answer for people says why it is not another's: a step failed before it."""
    failed = (
        attempt.error is not None and attempt.error.kind is not ErrorKind.SKIPPED
        for attempt in result.attempts
    )
    return result.degraded or any(failed)


def show_failure(result: JobResult) -> None:
    """Why there is no answer."""
    say(f"spacedock: the job {result.state.value} ({result.id})")
    show_attempts(result)


def show_attempts(result: JobResult) -> None:
    """Each step that gave no answer, with its reason; steps that failed alike share one."""
    alike: dict[str, list[Attempt]] = {}
    for attempt in result.attempts:
        if attempt.error is not None:
            alike.setdefault(_told(attempt, _anybody(attempt.error.message, attempt.name)), []).append(
                attempt
            )
    for first, *others in alike.values():
        assert first.error is not None
        # What an app said may have many lines, which would look like steps.
        message = first.error.message.replace("\n", "\n    ")
        say(f"  {first.name}: {_told(first, message)}")
        if others:
            say(f"  {', '.join(attempt.name for attempt in others)}: the same")


def _told(attempt: Attempt, message: str) -> str:
    """What went wrong, where, and why."""
    assert attempt.error is not None
    kind = attempt.error.kind
    what = "skipped" if kind is ErrorKind.SKIPPED else f"{kind.value} at {attempt.stage.value}"
    return f"{what}: {message}"


def _anybody(message: str, name: str) -> str:
    """The message without the Space's names, to see whether another's says the same."""
    return _HUB_ID.sub("", message).replace(name, "")


async def save(client: Client, files: tuple[FileRef, ...], directory: Path, prefix: str = "") -> list[Path]:
    """Save a result's files, their names after `prefix`; one that another content has gets a number."""
    return [
        await asyncio.to_thread(_write, directory, f"{prefix}{ref.name}", await client.fetch(ref))
        for ref in files
    ]


async def save_apart(client: Client, files: tuple[FileRef, ...], parent: Path, name: str) -> list[Path]:
    """Save a result's files in a folder of their own; one that holds something else gets a number."""
    if not files:
        return []
    data = [await client.fetch(ref) for ref in files]
    folder = await asyncio.to_thread(_own_folder, parent, file_name(name), data)
    return [
        await asyncio.to_thread(_write, folder, ref.name, content)
        for ref, content in zip(files, data, strict=True)
    ]


def _own_folder(parent: Path, name: str, data: list[bytes]) -> Path:
    folder, number = parent / name, 1
    while True:
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if _has_all(folder, data):
                return folder
            number += 1
            folder = parent / f"{name}-{number}"
        else:
            return folder


def _has_all(folder: Path, data: list[bytes]) -> bool:
    """Whether the folder holds just these contents."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    there = list(folder.iterdir())
    if not all(stat.S_ISREG(path.lstat().st_mode) for path in there):
        return False
    sizes = sorted(path.stat().st_size for path in there)
    return sizes == sorted(map(len, set(data))) and {path.read_bytes() for path in there} == set(data)


def _write(directory: Path, name: str, data: bytes) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path, number = directory / file_name(name), 1
    while not _holds(path, data):
        number += 1
        path = directory / f"{Path(file_name(name)).stem}-{number}{path.suffix}"
    return path


def _holds(path: Path, data: bytes) -> bool:
    """Whether the file has the data, now or before; nothing that is there is written to, or followed."""
    try:
        with path.open("xb") as file:
            file.write(data)
    except FileExistsError:
        # A pipe would never end, and a link leads elsewhere.
        return stat.S_ISREG(path.lstat().st_mode) and path.read_bytes() == data
    return True


def file_name(name: str) -> str:
    """A name that is safe to create here: no folders, nothing invisible, not hidden, not too long."""
    seen = "".join(character if character.isprintable() else "_" for character in Path(name).name)
    safe = Path(seen.lstrip(".") or "file")
    suffix = _cut(safe.suffix, _NAME_BYTES // 4)
    return _cut(safe.stem, _NAME_BYTES - len(suffix.encode())) + suffix


def _cut(text: str, limit: int) -> str:
    """The text's first characters, at most `limit` bytes of UTF-8."""
    return text.encode()[:limit].decode(errors="ignore")
