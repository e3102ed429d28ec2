"""What the Hub said, kept on disk: for a question that is asked again, and while it cannot be asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import structlog
from pydantic import ValidationError

from spacedock_worker.atomic_write import newest_first, write_whole
from spacedock_worker.hub.space import SPACES, HubSpace

log = structlog.get_logger()

FOLDER = "hub"

KEPT_FILES = 500
KEPT_SECONDS = 30 * 86_400.0
_LARGEST = 2**20
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Said:
    """What the Hub answered to one question, `at` which time (seconds since the epoch)."""

    at: float
    spaces: tuple[HubSpace, ...]


class HubCache:
    """One file for each question in a folder; what is broken, too old or of another version is not there.

    Everything blocks, for some milliseconds. `now` gives seconds since the epoch.
    """

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self._folder, self._now = folder, now

    def get(self, question: str) -> Said | None:
        """What was said to this question last; None where that is not known."""
        return self._read(self._path(question), question)

    def all(self) -> tuple[HubSpace, ...]:
        """Every Space that is known, as it was told of last."""
        answers = sorted(self._answers(), key=lambda said: said.at)
        return tuple({space.id: space for said in answers for space in said.spaces}.values())

    def put(self, question: str, spaces: tuple[HubSpace, ...]) -> None:
        """Keep an answer in the place of an earlier one; a disk that is full costs the memory of it only."""
        document = {
            "version": _VERSION,
            "question": question,
            "at": self._now(),
            "spaces": SPACES.dump_python(spaces, mode="json"),
        }
        path = self._path(question)
        try:
            write_whole(path, json.dumps(document).encode())
            self._tidy()
        except OSError as error:
            log.warning("hub.not_kept", reason=str(error))

    def _answers(self) -> Iterator[Said]:
        for path in self._folder.glob("*.json"):
            if (said := self._read(path)) is not None:
                yield said

    def _read(self, path: Path, question: str | None = None) -> Said | None:
        try:
            with path.open("rb") as file:
                document = json.loads(file.read(_LARGEST))
            if document["version"] != _VERSION or question not in (None, document["question"]):
                return None
            said = Said(float(document["at"]), SPACES.validate_python(document["spaces"]))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
            log.info("hub.memory_unreadable", reason=type(error).__name__)
            return None
        # A clock that was set back must not make an answer eternal.
        return said if abs(self._now() - said.at) < KEPT_SECONDS else None

    def _tidy(self) -> None:
        for number, (changed, path) in enumerate(newest_first(self._folder)):
            if number >= KEPT_FILES or self._now() - changed > KEPT_SECONDS:
                path.unlink(missing_ok=True)

    def _path(self, question: str) -> Path:
        return self._folder / f"{hashlib.sha256(question.encode()).hexdigest()[:40]}.json"
