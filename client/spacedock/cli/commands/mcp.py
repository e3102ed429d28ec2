"""`spacedock mcp`: the Spaces as tools of an MCP client, over standard input and output."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.output.text import say
from spacedock.client import Client
from spacedock.errors import BadRequestError


def mcp(
    allow_dir: Annotated[
        list[Path] | None,
        typer.Option(
            "--allow-dir", metavar="DIR", help="Files below it may be sent to Spaces by path; repeatable."
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            "--wait",
            metavar="S",
            min=1,
            max=86_400,
            help="Seconds until a call gets its job's id instead.",
        ),
    ] = 50.0,
    redis: options.Redis = None,
) -> None:
    """Serve MCP on standard input and output, for a client that starts this command."""
    asyncio.run(_serve(redis, allow_dir or [], wait))


async def _serve(url: str | None, allowed: list[Path], wait: float) -> None:
    try:
        from mcp.server.stdio import stdio_server

        from spacedock.mcp.running import Limits
        from spacedock.mcp.server import make_server
    except ModuleNotFoundError as error:
        raise BadRequestError(
            f"the package {error.name} is missing: install it with `pip install 'hf-spacedock[mcp]'`"
        ) from None
    if sys.stdin.isatty():
        say(
            "serving MCP on standard input and output; clients start this command themselves: see docs/mcp.md"
        )
    async with Client(url) as client, stdio_server() as (read, write):
        server = make_server(client, Limits(allowed, wait))
        await server.run(read, write, server.create_initialization_options())
