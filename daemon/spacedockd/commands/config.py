"""`spacedockd config`: the configuration shown, checked, described and exemplified, from its models."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from spacedock import configuration
from spacedockd import settings
from spacedockd.reloading import shown
from spacedockd.settings import DaemonSettings

_MADE = ("containers.instance_id",)
"""What nobody configures: the daemon makes it."""


def checked(config: Path | None, options: Mapping[str, Any], env: Mapping[str, str], uid: int) -> str:
    """Which file was read, and that all of it can be used. Raises ConfigError."""
    settings.read(config, options, env, uid)
    named = config or env.get(configuration.VARIABLE)
    path = Path(named or configuration.default_file(env, uid))
    return (
        f"{path}: the configuration can be used" if path.exists() else f"{path}: none, so the defaults count"
    )


def in_force(config: Path | None, options: Mapping[str, Any], env: Mapping[str, str], uid: int) -> str:
    """The settings that count here, as YAML, with secrets hidden. Raises ConfigError."""
    return str(yaml.safe_dump(shown(settings.read(config, options, env, uid)), sort_keys=False)).rstrip()


def schema() -> str:
    """The JSON Schema of the file, for editors."""
    found = DaemonSettings.model_json_schema()
    for part in (found, found["$defs"]["ContainerSettings"]):
        # What the daemon fills in by itself.
        part.pop("required")
    return json.dumps(found, indent=2)


def example() -> str:
    """A file with every key commented out, at its default."""
    plain = shown(settings.settled({}, {}, 0))
    head = ["## Spacedock's configuration: every key, at its default. Take the # off what you change."]
    return "\n".join([*head, *_section(DaemonSettings, plain, 0, "")])


def _section(model: type[BaseModel], values: Mapping[str, Any], depth: int, prefix: str) -> Iterator[str]:
    """What the model's docstring says, and a line for each key."""
    indent = "  " * depth
    said = re.sub(r"\bNone\b", "null", inspect.getdoc(model) or "").replace("; immutable", "")
    yield ""
    yield from (f"## {indent}{line}".rstrip() for line in said.splitlines())
    for name, value in values.items():
        if f"{prefix}{name}" in _MADE:
            continue
        inner = _model_of(model, name)
        if isinstance(value, dict) and inner is not None:
            yield f"# {indent}{name}:"
            yield from _section(inner, value, depth + 1, f"{prefix}{name}.")
        else:
            yield f"# {indent}{name}: {json.dumps(value, ensure_ascii=False)}"


def _model_of(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    default = model.model_fields[name].get_default()
    if isinstance(default, BaseModel):
        return type(default)
    kind = model.model_fields[name].annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
