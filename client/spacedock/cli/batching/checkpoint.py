"""What a batch has behind it: its identity while it is unfinished, and the lines that are answered."""

from __future__ import annotations

import hashlib
import json
import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, TextIO

from spacedock.errors import BadRequestError
from spacedock.request import JobRequest
from spacedock.result import JobResult
from spacedock.submission import job_id_of

_CONTROL = re.compile(r"[\x7f-\x9f]")
_ROW = b'{"line": '
"""How every line of a results file begins, also one that was torn in the middle."""


class Checkpoint:
    """Remembers an unfinished batch, so that the same command picks it up and does no line twice.

    While it is unfinished its id is kept in `state_dir`, under what makes it this batch (`identity`). Each
    line's job has an idempotency key made of that id, the line's number and its request.
    """

    def __init__(self, state_dir: Path, identity: str) -> None:
        digest = hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()
        self._path = state_dir / f"{digest[:32]}.json"
        try:
            known = _id_in(self._path)
            self._id = known or _remember(self._path)
        except OSError as error:
            why = f"{state_dir} cannot keep what is unfinished ({error.strerror})"
            raise BadRequestError(f"{why}: name another place with XDG_STATE_HOME") from error
        self.resumed = known is not None

    def key(self, number: int, request: JobRequest) -> str:
        """The idempotency key of a line's job."""
        return f"{self._id}:{number}:{fingerprint(request)}"

    def job_id(self, number: int, request: JobRequest) -> str:
        """The id of a line's job."""
        return job_id_of(request.model_copy(update={"idempotency_key": self.key(number, request)}))

    def finish(self) -> None:
        """Forget the batch: every line of it is answered and written."""
        self._path.unlink(missing_ok=True)


def _id_in(path: Path) -> str | None:
    """The id of an unfinished batch; None where none is remembered, or nothing that can be read."""
    try:
        return str(json.loads(path.read_bytes())["id"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _remember(path: Path) -> str:
    """Give a new batch its id and keep it, whole or not at all."""
    batch_id = uuid.uuid4().hex
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{batch_id}")
    draft.write_text(json.dumps({"id": batch_id}))
    draft.replace(path)
    return batch_id


def state_dir(env: Mapping[str, str]) -> Path:
    """Where unfinished batches are remembered."""
    home = Path(env.get("HOME") or "/")
    return Path(env.get("XDG_STATE_HOME") or home / ".local/state") / "spacedock/batches"


def fingerprint(request: JobRequest) -> str:
    """What a request asks, in 16 hex digits; its idempotency key and where its files lie do not count."""
    body = request.model_dump_json(exclude={"idempotency_key": True, "files": {"__all__": {"vault"}}})
    return hashlib.sha256(body.encode()).hexdigest()[:16]


def answered(path: Path) -> dict[int, str]:
    """The lines that a results file holds, by number, with what each asked; a torn last line is cut off.

    Raises BadRequestError where the file holds something else (it is left as it is) or cannot be used.
    """
    if not path.exists():
        return {}
    try:
        with path.open("rb+") as file:
            return _rows_of(path, file)
    except OSError as error:
        raise BadRequestError(f"{path} cannot take results: {error.strerror or error}") from error


def _rows_of(path: Path, file: BinaryIO) -> dict[int, str]:
    found: dict[int, str] = {}
    end = 0
    for raw in file:
        if not raw.endswith(b"\n") and (raw.startswith(_ROW) or _ROW.startswith(raw)):
            file.truncate(end)
            break
        end += len(raw)
        found.update([_answered_line(path, raw)])
    return found


def _answered_line(path: Path, raw: bytes) -> tuple[int, str]:
    try:
        if not raw.endswith(b"\n"):
            raise ValueError("the last line is no result, torn or whole")
        row = json.loads(raw)
        return int(row["line"]), str(row["asked"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRequestError(f"{path} exists and holds no results of a batch: choose another -o") from error


def write_line(file: TextIO, number: int, request: JobRequest, result: JobResult) -> None:
    """Write one result as a line of JSON, and make sure that the system has it."""
    row = {
        "line": number,
        "asked": fingerprint(request),
        "prompt": request.prompt,
        **result.model_dump(mode="json"),
    }
    file.write(_CONTROL.sub(_escaped, json.dumps(row, ensure_ascii=False)) + "\n")
    file.flush()


def _escaped(found: re.Match[str]) -> str:
    """A character as JSON may write it instead: terminals obey those between 7F and 9F, too."""
    return f"\\u{ord(found[0]):04x}"


def sync(file: TextIO) -> None:
    """Bring what was written to the disk, where there is one."""
    if file.seekable():
        os.fsync(file.fileno())
