"""`spacedock spaces add` and `update`: what the registry says of a Space."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.cli import options
from spacedock.cli.output.text import say
from spacedock.client import Client
from spacedock.errors import BadRequestError, SpaceNotFoundError
from spacedock.prepare import hub_id_of, pack

Name = Annotated[str, typer.Argument(help="The Space's name in the registry.")]
Directory = Annotated[
    Path | None,
    typer.Option("--dir", metavar="DIR", help="A Space's repository on this machine; it is sent."),
]
Hub = Annotated[str | None, typer.Option("--hub", metavar="USER/SPACE", help="A Space on the Hub.")]
Image = Annotated[str | None, typer.Option("--image", metavar="IMAGE", help="A Docker image.")]
Description = Annotated[str | None, typer.Option(help="What it does, in a few words.")]
Category = Annotated[
    str | None, typer.Option(help="Its category, if not the one that its name and the Hub tell.")
]
InputType = Annotated[
    str | None,
    typer.Option(help="What it takes: text, image, audio, video, file, json, or text_and_image, …"),
]
OutputType = Annotated[str | None, typer.Option(help="What it gives; the same words.")]
Port = Annotated[int | None, typer.Option(help="Its port, if not the usual one.")]
Memory = Annotated[str | None, typer.Option(metavar="SIZE", help="Its memory, such as 4GB; default: 2GB.")]
Cpus = Annotated[float | None, typer.Option(help="How many processors it may use.")]
Env = Annotated[
    list[str] | None, typer.Option("--env", metavar="NAME=VALUE", help="A variable for it; repeatable.")
]
NoNetwork = Annotated[bool, typer.Option("--no-network", help="Seal it: it has no way out to the network.")]
Flavour = Annotated[
    str | None, typer.Option(metavar="NAME", help="The base that it is built on: auto, slim or full.")
]
StartTimeout = Annotated[
    float | None, typer.Option("--timeout", metavar="S", help="Seconds that its start may take.")
]
Endpoint = Annotated[
    str | None, typer.Option("--endpoint", metavar="/NAME", help="The endpoint to call, if not the best fit.")
]
Mcp = Annotated[
    bool | None, typer.Option("--mcp/--no-mcp", help="Make it a tool of its own for MCP clients, or not.")
]
Operation = Annotated[
    str | None,
    typer.Option(
        "--operation",
        metavar="JSON",
        help="How to ask an API that does not describe itself, such as "
        '{"path": "/predict", "body": {"text": "{prompt}"}}.',
    ),
]


def add(
    name: Name,
    directory: Directory = None,
    hub: Hub = None,
    image: Image = None,
    description: Description = None,
    category: Category = None,
    input_type: InputType = None,
    output_type: OutputType = None,
    port: Port = None,
    endpoint: Endpoint = None,
    operation: Operation = None,
    memory: Memory = None,
    cpus: Cpus = None,
    env: Env = None,
    no_network: NoNetwork = False,
    flavour: Flavour = None,
    timeout: StartTimeout = None,
    mcp: Mcp = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Give a name that is there other code; its walls stay.")
    ] = False,
    redis: options.Redis = None,
) -> None:
    """Add a Space to the registry, or change what the registry says of it."""
    has_source = bool(directory or hub or image or "/" in name)
    if "/" in name and not hub:
        hub = name
    entry = _said(hub, image, description, category, input_type, output_type, port, endpoint, operation)
    entry |= _needs(memory, cpus, env, timeout, flavour, no_network=no_network, mcp=mcp)
    if not has_source:
        _change_known(redis, name, entry)
        return
    added = asyncio.run(_send(redis, name, entry, directory, replace=replace))
    say(f"added {name} ({added['category']}{_inferred(added)})")


def update(
    name: Name,
    directory: Directory = None,
    hub: Hub = None,
    image: Image = None,
    description: Description = None,
    category: Category = None,
    input_type: InputType = None,
    output_type: OutputType = None,
    port: Port = None,
    endpoint: Endpoint = None,
    operation: Operation = None,
    memory: Memory = None,
    cpus: Cpus = None,
    env: Env = None,
    no_network: NoNetwork = False,
    flavour: Flavour = None,
    timeout: StartTimeout = None,
    mcp: Mcp = None,
    redis: options.Redis = None,
) -> None:
    """Change what is named of a Space of the registry, its code or its entry, and keep the rest."""
    entry = _said(hub, image, description, category, input_type, output_type, port, endpoint, operation)
    entry |= _needs(memory, cpus, env, timeout, flavour, no_network=no_network, mcp=mcp)
    if not entry and directory is None:
        raise BadRequestError(
            "nothing to change: give --dir with the Space's code, or fields such as --memory"
        )
    asyncio.run(_send(redis, name, entry, directory, update=True))
    what = [*(["code"] if directory else []), *entry]
    say(f"updated {name} ({', '.join(what)})")


def _change_known(url: str | None, name: str, entry: dict[str, Any]) -> None:
    """Change fields of a Space that is there already, as an `add` that does not say where its code is."""
    why = f"where is the Space? Give one of --dir, --hub and --image to add '{name}'"
    if not entry:
        raise BadRequestError(why)
    try:
        asyncio.run(_send(url, name, entry, None, update=True))
    except SpaceNotFoundError:
        raise BadRequestError(f"{why}: there is no such Space yet") from None
    say(f"updated {name} ({', '.join(entry)})")


def _said(
    hub: str | None,
    image: str | None,
    description: str | None,
    category: str | None,
    input_type: str | None,
    output_type: str | None,
    port: int | None,
    endpoint: str | None,
    operation: str | None,
) -> dict[str, Any]:
    """The fields that say what the Space is, as far as they are given."""
    entry: dict[str, Any] = {
        "docker_image": image,
        "hub_id": hub_id_of(hub) if hub else None,
        "description": description,
        "category": category,
        "input_type": input_type,
        "output_type": output_type,
        "port": port,
        "endpoint": endpoint,
        "operation": _operation(operation),
    }
    return {key: value for key, value in entry.items() if value is not None}


def _needs(
    memory: str | None,
    cpus: float | None,
    env: list[str] | None,
    timeout: float | None,
    flavour: str | None,
    *,
    no_network: bool,
    mcp: bool | None,
) -> dict[str, Any]:
    """The fields that say what the Space needs, may, and is shown as."""
    entry: dict[str, Any] = {
        "memory": memory,
        "cpus": cpus,
        "env": options.pairs_of("--env", env) or None,
        "start_timeout": timeout,
        "flavour": flavour,
        "network": False if no_network else None,
        "mcp": mcp,
    }
    return {key: value for key, value in entry.items() if value is not None}


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


async def _send(
    url: str | None,
    name: str,
    entry: dict[str, Any],
    directory: Path | None,
    *,
    replace: bool = False,
    update: bool = False,
) -> dict[str, Any]:
    repository = pack(directory) if directory is not None else None
    async with Client(url) as client:
        if update:
            return await client.spaces.update(name, entry, repository)
        return await client.spaces.add(name, entry, repository, replace=replace)
