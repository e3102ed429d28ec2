"""`spacedock spaces add` and `update`: what the registry says of a Space."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.cli import options
from spacedock.cli.output.text import say
from spacedock.cli.preflight import asked
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.prepare import hub_id_of, pack

Name = Annotated[str, typer.Argument(help="The Space's name in the registry.")]


@dataclass(frozen=True, slots=True)
class EntryOptions:
    """The options that say what a Space is, needs and may; None or False: not said."""

    directory: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="A Space's repository on this machine; it is sent."),
    ] = None
    hub_id: Annotated[str | None, typer.Option("--hub", metavar="USER/SPACE", help="A Space on the Hub.")] = (
        None
    )
    docker_image: Annotated[str | None, typer.Option("--image", metavar="IMAGE", help="A Docker image.")] = (
        None
    )
    description: Annotated[str | None, typer.Option(help="What it does, in a few words.")] = None
    category: Annotated[
        str | None, typer.Option(help="Its category, if not the one that its name and the Hub tell.")
    ] = None
    input_type: Annotated[
        str | None,
        typer.Option(help="What it takes: text, image, audio, video, file, json, or text_and_image, …"),
    ] = None
    output_type: Annotated[str | None, typer.Option(help="What it gives; the same words.")] = None
    port: Annotated[int | None, typer.Option(help="Its port, if not the usual one.")] = None
    endpoint: Annotated[
        str | None,
        typer.Option("--endpoint", metavar="/NAME", help="The endpoint to call, if not the best fit."),
    ] = None
    operation: Annotated[
        str | None,
        typer.Option(
            "--operation",
            metavar="JSON",
            help="How to ask an API that does not describe itself, such as "
            '{"path": "/predict", "body": {"text": "{prompt}"}}.',
        ),
    ] = None
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Its memory, such as 4GB; default: 2GB.")
    ] = None
    cpus: Annotated[float | None, typer.Option(help="How many processors it may use.")] = None
    env: Annotated[
        list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="A variable for it; repeatable.")
    ] = None
    no_network: Annotated[
        bool, typer.Option("--no-network", help="Seal it: it has no way out to the network.")
    ] = False
    flavour: Annotated[
        str | None, typer.Option(metavar="NAME", help="The base that it is built on: auto, slim or full.")
    ] = None
    start_timeout: Annotated[
        float | None, typer.Option("--timeout", metavar="S", help="Seconds that its start may take.")
    ] = None
    mcp: Annotated[
        bool | None, typer.Option("--mcp/--no-mcp", help="Make it a tool of its own for MCP clients, or not.")
    ] = None

    def entry(self) -> dict[str, Any]:
        """The fields of the entry, as far as they are said. Raises BadRequestError."""
        entry: dict[str, Any] = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        del entry["directory"]
        entry["hub_id"] = hub_id_of(self.hub_id) if self.hub_id else None
        entry["operation"] = _operation(self.operation)
        entry["env"] = options.pairs_of("--env", self.env) or None
        entry["network"] = False if entry.pop("no_network") else None
        return {key: value for key, value in entry.items() if value is not None}


@options.spread
def add(
    name: Name,
    said: EntryOptions,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give a name that is there other code; its walls stay.")
    ] = False,
    redis: options.Redis = None,
) -> None:
    """Add a Space to the registry, or change what the registry says of it."""
    has_source = bool(said.directory or said.hub_id or said.docker_image or "/" in name)
    if "/" in name and not said.hub_id:
        said = dataclasses.replace(said, hub_id=name)
    entry = said.entry()
    if not has_source:
        _change_known(redis, name, entry)
        return
    repository = pack(said.directory) if said.directory is not None else None
    added = asked(redis, lambda client: client.spaces.add(name, entry, repository, replace=replace))
    say(f"added {name} ({added['category']}{_inferred(added)})")


@options.spread
def update(name: Name, said: EntryOptions, redis: options.Redis = None) -> None:
    """Change what is named of a Space of the registry, its code or its entry, and keep the rest."""
    entry = said.entry()
    if not entry and said.directory is None:
        raise BadRequestError(
            "nothing to change: give --dir with the Space's code, or fields such as --memory"
        )
    repository = pack(said.directory) if said.directory is not None else None
    asked(redis, lambda client: client.spaces.update(name, entry, repository))
    what = [*(["code"] if said.directory else []), *entry]
    say(f"updated {name} ({', '.join(what)})")


def _change_known(url: str | None, name: str, entry: dict[str, Any]) -> None:
    """Change fields of a Space that is there already, as an `add` that does not say where its code is."""
    why = f"where is the Space? Give one of --dir, --hub and --image to add '{name}'"
    if not entry:
        raise BadRequestError(why)
    try:
        asked(url, lambda client: client.spaces.update(name, entry))
    except SpaceNotFoundError:
        raise BadRequestError(f"{why}: there is no such Space yet") from None
    say(f"updated {name} ({', '.join(entry)})")


def _operation(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except ValueError as error:
        why = f"--operation {text}: not JSON ({error})"
        raise BadRequestError(f'{why}. Give it such as {{"path": "/predict"}}') from error


def _inferred(entry: dict[str, Any]) -> str:
    """How sure the category is, where nobody gave it."""
    confidence = entry.get("confidence")
    if confidence is None:
        return ""
    return f": inferred, {confidence:.0%} sure" if confidence else ", as nothing tells: give --category"
