"""`spacedock logs`: what a Space has written to its log."""

from __future__ import annotations

import asyncio
import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.output.text import heading, printable, say, write
from spacedock.client import Client
from spacedock.prepare import hub_id_of


def logs(
    space: Annotated[
        str, typer.Option("--space", "-s", help="A registry name, a Hub id (user/space) or ./directory.")
    ],
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="How many lines.")] = 100,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Show the last lines that a Space's containers have written, with its secrets masked.

    A container that failed is gone: what it said last is in the result of its job. Jobs in privacy mode leave
    no log.
    """
    own = space.startswith((".", "/"))
    name = f"./{Path(space).resolve().name}" if own else hub_id_of(space)
    found = asyncio.run(_logs(redis, name, lines))
    if json:
        write(json_module.dumps(found, indent=2))
        return
    for name, text in found.items():
        if len(found) > 1:
            write(heading(Path(name)))
        if text:
            write(printable(text))
        else:
            say(f"{name} has written nothing")


async def _logs(url: str | None, space: str, lines: int) -> dict[str, str]:
    async with Client(url) as client:
        return await client.spaces.logs(space, lines)
