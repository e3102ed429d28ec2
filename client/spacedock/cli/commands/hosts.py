"""`spacedock hosts`: the machines that work on this queue, and which of them take jobs."""

from __future__ import annotations

import asyncio
import json as json_module
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.output import table
from spacedock.cli.output.text import printable, say, write
from spacedock.client import Client
from spacedock.hosts import Host

app = typer.Typer(
    help="Show the hosts that work on this queue; pause one, or let it go on.",
    invoke_without_command=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(metavar="HOST", help="Its name, or the beginning of its id.")]
_TITLES = ("host", "id", "state", "jobs", "containers", "engine", "warm")
_ID_CHARS = 12


@app.callback()
def hosts(context: typer.Context, json: options.Json = False, redis: options.Redis = None) -> None:
    """Show the hosts that work on this queue; pause one, or let it go on."""
    if context.invoked_subcommand is not None:
        return
    found = asyncio.run(_hosts(redis))
    if json:
        write(json_module.dumps([host.model_dump() for host in found], indent=2))
    elif found:
        rows = [_row(host) for host in found]
        write("\n".join(table.lines(_TITLES, rows, table.terminal_width())))
    else:
        say("no host works on this queue: start one with `spacedockd`")


async def _hosts(url: str | None) -> list[Host]:
    async with Client(url) as client:
        return await client.hosts()


def _row(host: Host) -> tuple[str, ...]:
    state = "paused" if host.paused else "up"
    warm = [space if count == 1 else f"{space} ({count})" for space, count in sorted(host.warm.items())]
    cells = (
        host.name or "not known",
        host.id[:_ID_CHARS],
        state if host.alive else "gone",
        str(host.jobs),
        f"{sum(host.warm.values())} of {host.containers}",
        host.engine or "none",
        ", ".join(warm) or "none",
    )
    return tuple(printable(cell) for cell in cells)


@app.command("pause")
def pause(name: Name, redis: options.Redis = None) -> None:
    """Let a host take no more jobs; those in its hands go on."""
    host = asyncio.run(_pause(redis, name, paused=True))
    say(f"{_called(host)} takes no more jobs; the {host.jobs} in its hands go on")


@app.command("drain")
def drain(name: Name, redis: options.Redis = None) -> None:
    """Let a host take no more jobs, and wait until those in its hands have ended."""
    host = asyncio.run(_drain(redis, name))
    say(f"{_called(host)} is gone" if not host.alive else f"{_called(host)} has no jobs and takes none")


@app.command("resume")
def resume(name: Name, redis: options.Redis = None) -> None:
    """Let a paused host take jobs again."""
    host = asyncio.run(_pause(redis, name, paused=False))
    say(f"{_called(host)} takes jobs again")


async def _pause(url: str | None, name: str, *, paused: bool) -> Host:
    async with Client(url) as client:
        return await client.pause_host(name, paused=paused)


async def _drain(url: str | None, name: str) -> Host:
    said: set[int] = set()

    def waiting(host: Host) -> None:
        if host.jobs not in said:
            say(f"{_called(host)} takes no more jobs; {host.jobs} in its hands")
        said.add(host.jobs)

    async with Client(url) as client:
        return await client.drain_host(name, waiting)


def _called(host: Host) -> str:
    return printable(f"{host.name or 'host'} ({host.id[:_ID_CHARS]})")
