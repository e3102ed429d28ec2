"""Notes on this host of which containers are idle, so that the next worker knows what it may adopt."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from spacedock_worker.containers.machine.room import Room

log = structlog.get_logger()

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Note:
    """An idle container: whose it is, by which configuration it was made, and what it takes.

    `memory` is its limit in bytes, `start_seconds` what its start took, `family` as in its spec.
    """

    space: str
    key: str
    config: str
    memory: int
    gpus: int
    start_seconds: float
    family: str = ""

    @property
    def room(self) -> Room:
        """What the container takes."""
        return Room(1, self.memory, self.gpus)


class WarmNotes:
    """One small file for each idle container, which is gone while a call uses it.

    A worker that is killed in a call leaves none: what its container is doing nobody knows. Nothing is
    synchronised to the disk: a host that lost its power has no running containers either. Never raises:
    a note that cannot be written costs a warm start, no more.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def write(self, name: str, note: Note) -> None:
        """The container of that name is idle."""
        if self._folder is None:
            return
        part = self._folder / f".{name}"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps({"version": _VERSION, **asdict(note)}), encoding="utf-8")
            os.replace(part, self._folder / name)
        except OSError as error:
            log.warning("warm.not_noted", container=name, reason=str(error))

    def drop(self, name: str) -> None:
        """The container of that name is in use, or gone."""
        if self._folder is not None:
            try:
                (self._folder / name).unlink(missing_ok=True)
            except OSError as error:
                log.warning("warm.not_dropped", container=name, reason=str(error))

    def read(self) -> Mapping[str, Note]:
        """The notes by the containers' names; what cannot be read is no note."""
        if self._folder is None or not self._folder.is_dir():
            return {}
        found = {path.name: _note(path) for path in sorted(self._folder.iterdir())}
        return {name: note for name, note in found.items() if note is not None and not name.startswith(".")}


def _note(path: Path) -> Note | None:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        if fields.pop("version") != _VERSION:
            return None
        return Note(**fields)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None
