"""`spacedock hosts`: the machines that work on this queue, and which of them take jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.output import table
from spacedock.cli.output.text import printable, say, write_json
from spacedock.cli.preflight import asked
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
    found = asked(redis, lambda client: client.hosts())
    if json:
        write_json([host.model_dump() for host in found])
    elif found:
        table.show(_TITLES, map(_row, found))
    else:
        say("no host works on this queue: start one with `spacedockd`")


def _row(host: Host) -> tuple[str, ...]:
    state = "paused" if host.paused else "up"
    warm = [space if count == 1 else f"{space} ({count})" for space, count in sorted(host.warm.items())]
    return (
        host.name or "not known",
        host.id[:_ID_CHARS],
        state if host.alive else "gone",
        str(host.jobs),
        f"{sum(host.warm.values())} of {host.containers}",
        host.engine or "none",
        ", ".join(warm) or "none",
    )


@app.command("pause")
def pause(name: Name, redis: options.Redis = None) -> None:
    """Let a host take no more jobs; those in its hands go on."""
    host = asked(redis, lambda client: client.pause_host(name))
    say(f"{_called(host)} takes no more jobs; the {host.jobs} in its hands go on")


@app.command("drain")
def drain(name: Name, redis: options.Redis = None) -> None:
    """Let a host take no more jobs, and wait until those in its hands have ended."""
    said: set[int] = set()

    def waiting(host: Host) -> None:
        if host.jobs not in said:
            say(f"{_called(host)} takes no more jobs; {host.jobs} in its hands")
        said.add(host.jobs)

    host = asked(redis, lambda client: client.drain_host(name, waiting))
    say(f"{_called(host)} is gone" if not host.alive else f"{_called(host)} has no jobs and takes none")


@app.command("resume")
def resume(name: Name, redis: options.Redis = None) -> None:
    """Let a paused host take jobs again."""
    host = asked(redis, lambda client: client.pause_host(name, paused=False))
    say(f"{_called(host)} takes jobs again")


def _called(host: Host) -> str:
    return printable(f"{host.name or 'host'} ({host.id[:_ID_CHARS]})")
