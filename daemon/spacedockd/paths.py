"""Where the daemon keeps things: its state, its sockets, its lock and its identity."""

from __future__ import annotations

import fcntl
import os
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spacedock.configuration import LOCK
from spacedock.errors import SpacedockError

SYSTEM_STATE = Path("/var/lib/spacedock")
_IDENTITY = "instance-id"


class AlreadyRunningError(SpacedockError):
    """Another daemon holds the state directory."""

    def __init__(self, state_dir: Path, pid: str) -> None:
        self.state_dir, self.pid = state_dir, pid
        super().__init__(
            f"another spacedockd (pid {pid or 'unknown'}) uses {state_dir}. "
            "Stop it, or give this one its own --state-dir."
        )


def default_state_dir(env: Mapping[str, str], uid: int) -> Path:
    """systemd's state directory, else /var/lib/spacedock for root, else XDG's."""
    if given := env.get("STATE_DIRECTORY"):
        return Path(given)
    if uid == 0:
        return SYSTEM_STATE
    home = Path(env.get("HOME") or "/")
    return Path(env.get("XDG_STATE_HOME") or home / ".local/state") / "spacedock"


@contextmanager
def held(state_dir: Path) -> Iterator[None]:
    """Hold the state directory for this process. Raises AlreadyRunningError."""
    make_private(state_dir)
    with (state_dir / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise AlreadyRunningError(state_dir, file.read().strip()) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@contextmanager
def shown_alive(runtime_dir: Path) -> Iterator[None]:
    """Let clients see that a daemon lives whose Redis is, or will be, in this directory."""
    with (runtime_dir / LOCK).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        yield


def make_private(directory: Path) -> None:
    """Make a directory that only this user can enter. Raises SpacedockError where that cannot be."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)
    except OSError as error:
        raise SpacedockError(
            f"{directory} cannot be used: {error.strerror}. Name another directory."
        ) from error


def instance_id(state_dir: Path) -> str:
    """The identity of this state directory, made at its first use: it marks the containers that are ours."""
    if (known := known_id(state_dir)) is not None:
        return known
    (state_dir / _IDENTITY).write_text(made := uuid.uuid4().hex[:12])
    return made


def known_id(state_dir: Path) -> str | None:
    """The identity of the state directory; None where it has none yet, or it cannot be read."""
    try:
        return (state_dir / _IDENTITY).read_text().strip() or None
    except OSError:
        return None


def private_socket(path: Path) -> socket.socket:
    """A unix socket's place that only this user may use, from its first moment. Raises OSError."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(str(path))
        path.chmod(0o600)
    except OSError:
        bound.close()
        raise
    return bound


def unusable_socket(path: Path, error: OSError) -> SpacedockError:
    """Say that a unix socket cannot be made."""
    return SpacedockError(f"{path} cannot be listened on: {error}. Name a shorter --runtime-dir, or another")
