"""Where the local Spacedock is: its runtime directory and the address of its Redis."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SYSTEM_RUNTIME = Path("/run/spacedock")
SOCKET = "redis.sock"
URL_VARIABLE = "SPACEDOCK_REDIS_URL"
RUNTIME_VARIABLE = "SPACEDOCK_RUNTIME_DIR"


def runtime_dir(env: Mapping[str, str], uid: int) -> Path:
    """The directory of this user's sockets: the variable's or systemd's, else root's own, else XDG's."""
    if given := env.get(RUNTIME_VARIABLE) or env.get("RUNTIME_DIRECTORY"):
        return Path(given)
    if uid == 0:
        return SYSTEM_RUNTIME
    if xdg := env.get("XDG_RUNTIME_DIR"):
        return Path(xdg) / "spacedock"
    return Path(env.get("HOME") or "/") / ".local/state/spacedock/run"


def default_url(env: Mapping[str, str], uid: int) -> str:
    """The Redis to use when none is named: the variable's, else this user's daemon, else the system's."""
    if url := env.get(URL_VARIABLE):
        return url
    own = runtime_dir(env, uid) / SOCKET
    system = SYSTEM_RUNTIME / SOCKET
    return socket_url(own if own.exists() or not system.exists() else system)


def socket_url(path: Path) -> str:
    """The URL of a Redis on a unix socket."""
    return f"unix://{path}"
