"""The daemon's configuration file: where it is, and what it says. Clients read the queue's address in it."""

from __future__ import annotations

import fcntl
import getpass
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from spacedock.errors import SpacedockError

VARIABLE = "SPACEDOCK_CONFIG"
SYSTEM_FILE = Path("/etc/spacedock/spacedockd.yaml")


class ConfigError(SpacedockError):
    """The configuration cannot be used; the message names the file or variable, the key and what is wrong."""


def default_file(env: Mapping[str, str], uid: int) -> Path:
    """The file that is read where none is named: the system's for root and under systemd, else XDG's."""
    if uid == 0 or "STATE_DIRECTORY" in env:
        return SYSTEM_FILE
    home = Path(env.get("HOME") or "/")
    return Path(env.get("XDG_CONFIG_HOME") or home / ".config") / "spacedock/spacedockd.yaml"


def fields_of(named: Path | None, env: Mapping[str, str], uid: int) -> dict[str, Any]:
    """What the file says: the one that is `named`, else the variable's, else the default one.

    Raises ConfigError where it cannot be read. A file that is named must exist; the default one need not.
    """
    path = named or (Path(given) if (given := env.get(VARIABLE)) else None)
    found = read(path or default_file(env, uid))
    if found is None and path is not None:
        raise ConfigError(f"{path}: there is no such configuration file")
    return found or {}


def read(path: Path) -> dict[str, Any] | None:
    """What a configuration file says; None if there is no such file. Raises ConfigError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    # Here, because most clients have no such file, and `spacedock --help` has to be quick.
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        # Not with all of the parser's words: they quote the file, and the file may have a password.
        mark = error.problem_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ConfigError(f"{path} cannot be read: it is not YAML: {error.problem}{place}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} cannot be read: it is not YAML ({type(error).__name__})") from error
    if document is not None and not isinstance(document, dict):
        raise ConfigError(f"{path} is not a configuration: it has no keys")
    return document or {}


SYSTEM_RUNTIME = Path("/run/spacedock")
SOCKET = "redis.sock"
HTTP_FILE = "http.json"
LOCK = "daemon.lock"
"""The file beside the socket that a daemon with its own Redis has locked while it lives."""
URL_VARIABLE = "SPACEDOCK_REDIS_URL"
RUNTIME_VARIABLE = "SPACEDOCK_RUNTIME_DIR"
FILES_VARIABLE = "SPACEDOCK_FILES"


def runtime_dir(env: Mapping[str, str], uid: int) -> Path:
    """The directory of this user's sockets, where none is configured: systemd's, root's own, or XDG's."""
    if given := env.get("RUNTIME_DIRECTORY"):
        return Path(given)
    if uid == 0:
        return SYSTEM_RUNTIME
    if xdg := env.get("XDG_RUNTIME_DIR"):
        return Path(xdg) / "spacedock"
    return Path(env.get("HOME") or "/") / ".local/state/spacedock/run"


def default_url(env: Mapping[str, str], uid: int) -> str:
    """The Redis to use when none is named: that of the daemon with this environment, else the system's.

    A variable goes before the configuration file, as it does for the daemon. Raises ConfigError where the
    file cannot be read.
    """
    if url := env.get(URL_VARIABLE):
        return url
    own = fields_of(None, env, uid)
    if url := _text(own, "redis_url"):
        return url
    if named := env.get(RUNTIME_VARIABLE) or _text(own, "runtime_dir"):
        return socket_url(Path(named).absolute() / SOCKET)
    socket = runtime_dir(env, uid) / SOCKET
    if socket.exists():
        return socket_url(socket)
    return _of_the_system() or socket_url(socket)


def person() -> str:
    """Who uses this machine's client, as far as that is known: a user and a host."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def models_as(env: Mapping[str, str], uid: int) -> dict[str, str]:
    """What `models_as` of the configuration calls our Spaces: a model's name of other services, and whom it
    means. This user's file goes before the system's. Raises ConfigError."""
    own = fields_of(None, env, uid).get("models_as")
    if own is None:
        with suppress(ConfigError, OSError):
            own = (read(SYSTEM_FILE) or {}).get("models_as")
    if not isinstance(own or {}, dict) or not all(isinstance(name, str) for name in (own or {}).values()):
        raise ConfigError(
            "the configuration is wrong: models_as: not names by model, such as whisper-1: auto"
        )
    return {str(model): name for model, name in (own or {}).items()}


class HttpAddress(BaseModel):
    """Where a daemon serves HTTP: on TCP (`url`), on a unix `socket`; and where its owner's `token` lies."""

    url: str
    socket: Path
    token: Path


def http_address(env: Mapping[str, str], uid: int) -> HttpAddress:
    """Where the daemon of this environment serves HTTP, else the system's. Raises ConfigError."""
    named = env.get(RUNTIME_VARIABLE) or _text(fields_of(None, env, uid), "runtime_dir")
    folders = [Path(named)] if named else [runtime_dir(env, uid), SYSTEM_RUNTIME]
    for folder in folders:
        with suppress(OSError, ValueError):
            return HttpAddress.model_validate_json((folder / HTTP_FILE).read_bytes())
    raise ConfigError(
        f"no daemon of this user serves HTTP: there is no {HTTP_FILE} in {folders[0]}. Start `spacedockd` "
        "(without `http: off`), or name its --runtime-dir by SPACEDOCK_RUNTIME_DIR"
    )


def socket_url(path: Path) -> str:
    """The URL of a Redis on a unix socket."""
    return f"unix://{path}"


def has_daemon(url: str) -> bool:
    """Whether a daemon lives whose own Redis has that address: it may be starting."""
    scheme, _, path = url.partition("?")[0].partition("://")
    if scheme != "unix":
        return False
    try:
        with (Path(path).parent / LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _of_the_system() -> str | None:
    """The Redis of the daemon that runs as a system service, if this user can see its socket."""
    fields: dict[str, Any] = {}
    with suppress(ConfigError, OSError):
        # It may be for root alone; what is wrong in it is not this user's to mend.
        fields = read(SYSTEM_FILE) or {}
        if url := _text(fields, "redis_url"):
            return url
    with suppress(ConfigError, OSError):
        socket = Path(_text(fields, "runtime_dir") or SYSTEM_RUNTIME) / SOCKET
        return socket_url(socket) if socket.exists() else None
    return None


def _text(fields: Mapping[str, Any], key: str) -> str | None:
    """A value of the configuration that is a text; None where it is not given."""
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"the configuration is wrong: {key}: not a text")
    return value or None
