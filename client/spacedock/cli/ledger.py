"""What a batch has behind it: its identity while it is unfinished, and the lines that are answered."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from spacedock.errors import BadRequestError
from spacedock.request import JobRequest
from spacedock.result import JobResult


class BatchLedger:
    """Remembers an unfinished batch, so that the same command picks it up and does no line twice.

    While it is unfinished its id is kept in `state_dir`, under what makes it this batch (`identity`). Each
    line's job has an idempotency key made of that id, the line's number and its request.
    """

    def __init__(self, state_dir: Path, identity: str) -> None:
        digest = hashlib.sha256(identity.encode()).hexdigest()
        self._path = state_dir / f"{digest[:32]}.json"
        self.resumed = self._path.exists()
        if self.resumed:
            self._id = str(json.loads(self._path.read_text())["id"])
        else:
            self._id = uuid.uuid4().hex
            state_dir.mkdir(parents=True, exist_ok=True)
            self._path.write_text(json.dumps({"id": self._id}))

    def key(self, number: int, request: JobRequest) -> str:
        """The idempotency key of a line's job."""
        return f"{self._id}:{number}:{fingerprint(request)}"

    def finish(self) -> None:
        """Forget the batch: every line of it is answered and written."""
        self._path.unlink(missing_ok=True)


def state_dir(env: Mapping[str, str]) -> Path:
    """Where unfinished batches are remembered."""
    home = Path(env.get("HOME", "/"))
    return Path(env.get("XDG_STATE_HOME", home / ".local/state")) / "spacedock/batches"


def fingerprint(request: JobRequest) -> str:
    """What a request asks, in 16 hex digits; its idempotency key does not count."""
    body = request.model_dump_json(exclude={"idempotency_key"})
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def answered(path: Path) -> dict[int, str]:
    """The lines that a results file holds, by number, with what each asked; a torn last line is cut off.

    Raises BadRequestError where the file holds something else: it is left as it is.
    """
    if not path.exists():
        return {}
    found: dict[int, str] = {}
    with path.open("rb+") as file:
        end = 0
        for raw in file:
            if not raw.endswith(b"\n"):
                file.truncate(end)
                break
            end += len(raw)
            found.update([_answered_line(path, raw)])
    return found


def _answered_line(path: Path, raw: bytes) -> tuple[int, str]:
    try:
        row = json.loads(raw)
        return int(row["line"]), str(row["asked"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadRequestError(f"{path} exists and holds no results of a batch: choose another -o") from error


def write_line(file: TextIO, number: int, request: JobRequest, result: JobResult) -> None:
    """Write one result as a line of JSON, and make sure that the system has it."""
    row = {
        "line": number,
        "asked": fingerprint(request),
        "prompt": request.prompt,
        **result.model_dump(mode="json"),
    }
    file.write(json.dumps(row, ensure_ascii=False) + "\n")
    file.flush()


def sync(file: TextIO) -> None:
    """Bring what was written to the disk, where there is one."""
    if file.seekable():
        os.fsync(file.fileno())
