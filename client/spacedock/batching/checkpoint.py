"""What makes a batch the same batch while it is unfinished, and a line the same line."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from pathlib import Path

from spacedock.errors import BadRequestError
from spacedock.request import JobRequest


class Checkpoint:
    """Remembers an unfinished batch, so that the same command picks it up and does no line twice.

    While it is unfinished its id is kept in `state_dir`, under what makes it this batch (`identity`). Each
    line's job has an idempotency key made of that id and what it asks, wherever it stands.
    """

    def __init__(self, state_dir: Path, identity: str) -> None:
        self._path = state_dir / f"{digest_of(identity, digits=32)}.json"
        try:
            known = _id_in(self._path)
            self.id = known or _remember(self._path)
        except OSError as error:
            why = f"{state_dir} cannot keep what is unfinished ({error.strerror})"
            raise BadRequestError(f"{why}: name another place with XDG_STATE_HOME") from error
        self.resumed = known is not None

    def key(self, identity: str, failed: str = "") -> str:
        """The idempotency key of a line's job; `failed` is the id of its job that failed before."""
        return f"{self.id}:{identity}:{failed}"

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


_HOW = dict.fromkeys(
    ("idempotency_key", "batch_id", "callback", "priority", "timeout", "keep_for", "performance_first"), True
)


def fingerprint(request: JobRequest) -> str:
    """What a request asks, in 16 hex digits.

    Its idempotency key, where its files lie, and what does not change the answer do not count.
    """
    body = request.model_dump_json(exclude={**_HOW, "files": {"__all__": {"vault"}}})
    return digest_of(body, digits=16)


def digest_of(*parts: str, digits: int = 8) -> str:
    """A short name for texts."""
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:digits]
