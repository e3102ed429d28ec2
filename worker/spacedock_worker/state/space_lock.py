"""spacedock.lock: what exactly each Space is, and saying what differs from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from spacedock._wire.wire import describe
from spacedock.result import ErrorKind, Stage
from spacedock_worker.errors import StepError
from spacedock_worker.registry.host_file import Stamp, stamp_of

LOCK_NAME = "spacedock.lock"
VERSION = 1
_SHOWN = 4


class LockedEndpoints(BaseModel):
    """What the app can do: a hash over all of `functions`, which are there for whoever reads the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    signature: str
    functions: tuple[str, ...] = ()


class LockedSpace(BaseModel):
    """One Space: its commit on the Hub, its image, and its endpoints (None: it had not run)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    commit: str | None = None
    image: str
    digest: str
    endpoints: LockedEndpoints | None = None


class LockDocument(BaseModel):
    """The file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    version: int
    spaces: dict[str, LockedSpace] = Field(default_factory=dict)


@dataclass(slots=True)
class LockFile:
    """The lock of this host, read again when the file changes.

    Without a file nothing is locked, unless it is `required`.
    """

    path: Path
    required: bool = False
    _stamp: Stamp = (-1, 0, 0)
    _spaces: Mapping[str, LockedSpace] = field(default_factory=dict)
    _broken: str | None = None

    def get(self, space: str) -> LockedSpace | None:
        """What that Space is locked to. Raises StepError where the file is there and cannot be read."""
        self._read()
        if self._broken is not None:
            message = f"the lock file {self.path} cannot be used: {self._broken}. Mend it, or make it anew: "
            raise StepError(Stage.PULL, ErrorKind.UNSUPPORTED, message + "`spacedock spaces lock`.")
        return self._spaces.get(space)

    def digests(self) -> frozenset[str]:
        """All digests that are locked."""
        self._read()
        return frozenset(space.digest for space in self._spaces.values())

    def _read(self) -> None:
        stamp = stamp_of(self.path)
        if stamp == self._stamp:
            return
        self._stamp, self._broken, self._spaces = stamp, None, {}
        try:
            self._spaces = read_lock(self.path.read_text(encoding="utf-8")).spaces
        except FileNotFoundError:
            self._broken = "it is not there" if self.required else None
        except (OSError, ValueError) as error:
            self._broken = str(error)


def read_lock(text: str) -> LockDocument:
    """The lock in that text. Raises ValueError, which says what is wrong with it."""
    try:
        document = LockDocument.model_validate(json.loads(text))
    except ValidationError as error:
        raise ValueError(describe(error)) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if document.version != VERSION:
        raise ValueError(f"it has version {document.version}, and this Spacedock reads version {VERSION}")
    return document


def locked_endpoints(functions: Sequence[str] | None) -> LockedEndpoints | None:
    """The signature of these endpoints."""
    if functions is None:
        return None
    digest = hashlib.sha256("\n".join(functions).encode()).hexdigest()
    return LockedEndpoints(signature=f"sha256:{digest}", functions=tuple(functions))


def check_digest(space: str, locked: LockedSpace, found: str, same: Mapping[str, str], stage: Stage) -> None:
    """Raise StepError unless the image is the locked one; `same` are other names of digests on this host."""
    if found in (locked.digest, same.get(locked.digest)):
        return
    message = (
        f"{space} is locked to the image {locked.image} with digest {locked.digest}, "
        f"but this host has {found}. "
        f"Run the locked one (`spacedockd unbundle` brings it), or accept this one: "
        f"`spacedock spaces lock {space}`."
    )
    raise StepError(stage, ErrorKind.START_FAILED, message)


def check_endpoints(space: str, locked: LockedSpace, functions: Sequence[str]) -> None:
    """Raise StepError where the app can do other things than it could when it was locked."""
    now = locked_endpoints(functions)
    if locked.endpoints is None or now is None or now.signature == locked.endpoints.signature:
        return
    gone = [line for line in locked.endpoints.functions if line not in functions]
    new = [line for line in functions if line not in locked.endpoints.functions]
    message = (
        f"{space} has other endpoints than its lock says. Gone: {_some(gone)}. New: {_some(new)}. "
        f"If that is well: `spacedock spaces lock {space}`."
    )
    raise StepError(Stage.READY, ErrorKind.START_FAILED, message)


def _some(lines: Sequence[str]) -> str:
    more = f", and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return ", ".join(lines[:_SHOWN]) + more if lines else "none"
