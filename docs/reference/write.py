"""Write the reference pages from the code: `make reference`. A unit test fails where one is stale."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import typer
from docs.reference import environment, metrics
from pydantic import BaseModel
from typer.models import ArgumentInfo, OptionInfo

from spacedock._wire.retention import Retention
from spacedock.cli.app import COMMANDS, app_of
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.control.registry import CLIENT_FIELDS
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.registry.entry import OperationTemplate, SecretSource, SpaceEntry
from spacedock_worker.registry.merging import WALLS
from spacedockd.cli import app as daemon
from spacedockd.http.native import OPERATIONS
from spacedockd.http.native.documents import document
from spacedockd.http.settings import HttpLimits, HttpSettings
from spacedockd.model.job import SmolLMSettings
from spacedockd.settings import PREFIX, DaemonSettings

FOLDER = Path(__file__).parent
_NOTE = "Written by `make reference` from the code. Change the code, not this page."

_SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("", DaemonSettings),
    ("retention", Retention),
    ("containers", ContainerSettings),
    ("images", ImageSettings),
    ("smollm", SmolLMSettings),
    ("http", HttpSettings),
    ("http.limits", HttpLimits),
    ("models[]", ModelEndpoint),
)
_PARTS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("operation", OperationTemplate),
    ("secrets.NAME", SecretSource),
)


def pages() -> Mapping[str, str]:
    """The text of each page by its file's name."""
    return {
        "cli.md": _page("The commands", _commands()),
        "configuration.md": _page("The configuration's keys", _configuration()),
        "environment.md": _page("Environment variables", _environment()),
        "metrics.md": _page("Metrics", _metrics()),
        "registry.md": _page("The registry's fields", _registry()),
        "openapi.json": json.dumps(document(OPERATIONS), indent=1) + "\n",
    }


def _page(title: str, lines: Iterator[str]) -> str:
    return "\n".join([f"# {title}", "", _NOTE, "", *lines]).rstrip() + "\n"


def _commands() -> Iterator[str]:
    for app in (app_of(*COMMANDS), daemon):
        yield from _group(str(app.info.name), app)


def _group(path: str, app: typer.Typer) -> Iterator[str]:
    """A group's own help and options, then its commands."""
    callback = app.registered_callback.callback if app.registered_callback else None
    yield from _command(path, str(app.info.help), callback)
    for command in app.registered_commands:
        assert command.callback is not None
        yield from _command(f"{path} {command.name}", str(inspect.getdoc(command.callback)), command.callback)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from _group(f"{path} {group.name or group.typer_instance.info.name}", group.typer_instance)


def _command(path: str, text: str, callback: Callable[..., Any] | None) -> Iterator[str]:
    """A command with its arguments and options, as its function declares them."""
    arguments, options = [], []
    hints = get_type_hints(callback, include_extras=True) if callback else {}
    for name, parameter in inspect.signature(callback).parameters.items() if callback else ():
        kind, *more = get_args(hints[name]) if get_origin(hints[name]) is Annotated else (hints[name],)
        info = more[0] if more else None
        if isinstance(info, ArgumentInfo):
            arguments.append((info.metavar or name.upper(), str(info.help or "")))
        elif isinstance(info, OptionInfo):
            # Within Annotated, typer keeps the first name as the default.
            named = [one for one in (info.default, *(info.param_decls or ())) if isinstance(one, str)]
            names = named or [f"--{name.replace('_', '-')}"]
            value = "" if kind in (bool, bool | None) else f" {info.metavar or _value(kind)}"
            shown = ", ".join(f"`{one}{value}`" for one in names)
            options.append((shown, str(info.help or ""), _default(parameter.default)))
    yield f"## {' '.join([path, *(name for name, _ in arguments)])}"
    yield ""
    yield _plain(text)
    yield ""
    yield from _table(("argument", "meaning"), [(f"`{name}`", _plain(said)) for name, said in arguments])
    yield from _table(
        ("option", "meaning", "default"), [(one, _plain(said), usual) for one, said, usual in options]
    )


def _value(kind: Any) -> str:
    """What stands for an option's value where the option does not name it."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "|".join(one.value for one in kind)
    if get_origin(kind) is not None or isinstance(kind, UnionType):
        found = [one for one in get_args(kind) if one is not type(None)]
        return "|".join(map(str, found)) if get_origin(kind) is Literal else _value(found[0])
    return {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "PATH"}[kind]


def _configuration() -> Iterator[str]:
    yield "[configuration.md](../configuration.md) says what they are for. Each has a variable, such as"
    yield f"`{PREFIX}CONTAINERS__MEMORY` for `containers.memory`."
    yield ""
    for prefix, model in _SECTIONS:
        yield f"## {prefix or 'At the top'}"
        yield ""
        yield from _fields(model, lambda name: ())


def _environment() -> Iterator[str]:
    yield "[configuration.md](../configuration.md) says what goes before what. A value is YAML, such as"
    yield "`true`, `4294967296` or `[a, b]`."
    yield ""
    for title, rows in (
        ("Beside the settings", environment.OTHERS.items()),
        ("Of the settings", environment.settings()),
        ("In the containers of Spaces", environment.IN_SPACES.items()),
    ):
        yield from (f"## {title}", "")
        second = "setting" if title == "Of the settings" else "meaning"
        yield from _table(
            ("variable", second),
            [
                (
                    ", ".join(f"`{name}`" for name in names.split(", ")),
                    f"`{said}`" if second == "setting" else said,
                )
                for names, said in rows
            ],
        )


def _metrics() -> Iterator[str]:
    yield "What `/metrics` of the HTTP door tells ([service.md](../service.md#health-and-metrics)). No metric"
    yield "has a prompt, an answer, a user or a job's id. Of Spaces the first 200 names of the registry are"
    yield "told, of others `other`, and of jobs in privacy mode neither Space nor tier. A histogram also has"
    yield "`_bucket`, `_count` and `_sum`."
    yield ""
    for title, (said, rows) in metrics.sections().items():
        yield from (f"## {title}", "", said, "")
        yield from _table(metrics.TITLES, rows)


def _registry() -> Iterator[str]:
    yield "[spaces.md](../spaces.md) says what they are for. What names things of this host is for the file"
    yield "alone; of an entry that is there, a client can make a wall only higher."
    yield ""
    yield from _fields(SpaceEntry, lambda name: (_who(name),), ("set by",))
    for name, model in _PARTS:
        yield f"## {name}"
        yield ""
        yield from _fields(model, lambda name: ())


def _who(field: str) -> str:
    who = "clients" if field in CLIENT_FIELDS else "the file"
    return f"{who}; a wall" if field in WALLS else who


def _fields(model: type[BaseModel], more: Any, titles: Sequence[str] = ()) -> Iterator[str]:
    """What the model's docstring says, and a row for each of its fields."""
    said = (model.__doc__ or "").replace("; immutable", "")
    yield from (line.strip() for line in re.sub(r"\bNone\b", "null", said).strip().splitlines())
    yield ""
    schema = model.model_json_schema()
    rows = [
        (f"`{name}`", _type(field), _default(field.get("default", ""), null="null"), *more(name))
        for name, field in schema["properties"].items()
    ]
    yield from _table(("key", "value", "default", *titles), rows)


def _type(field: Mapping[str, Any]) -> str:
    """A field's type and bounds, for people."""
    if "$ref" in field:
        return "section"
    if "anyOf" in field:
        return " or ".join(dict.fromkeys(_type(one) for one in field["anyOf"]))
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    if "const" in field:
        return "`off`" if field["const"] is False else f"`{field['const']}`"
    kind = _TYPES.get(field.get("type", "any"), field.get("type", "any"))
    bounds = [f"{sign} {field[key]}" for key, sign in _BOUNDS.items() if key in field]
    return " ".join([kind, *bounds])


_TYPES = {
    "string": "text",
    "integer": "whole number",
    "array": "list",
    "object": "mapping",
    "boolean": "true or false",
}
_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}


def _default(value: Any, null: str = "") -> str:
    if value is None:
        return null
    if value in ("", (), [], {}, False) and not isinstance(value, bool):
        return ""
    if isinstance(value, dict):
        return "below"
    if isinstance(value, bool):
        return "`true`" if value else ("`false`" if null else "")
    return f"`{getattr(value, 'value', value)}`"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield f"| {' | '.join(titles)} |"
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


def _plain(text: str | None) -> str:
    """A help text as paragraphs on one line each."""
    return "\n\n".join(re.sub(r"\s+", " ", part).strip() for part in (text or "").split("\n\n"))


def main() -> None:
    """Write the pages."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
