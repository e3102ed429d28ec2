"""The daemon's configuration file: where it is, and what it says. Clients read the queue's address in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
