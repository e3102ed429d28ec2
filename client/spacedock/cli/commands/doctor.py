"""`spacedock doctor`: what keeps jobs from their answers here, and the command that mends it."""

from __future__ import annotations

import asyncio
import os
import textwrap
from collections.abc import Iterator, Sequence

import typer

from spacedock._wire.view import doctor as queue
from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.text import printable, say, write, write_json
from spacedock.cli.output.units import counted
from spacedock.configuration import default_url
from spacedock.errors import SpacedockError
from spacedock.replies.host import DoctorLine

_WIDTH = 79
_INDENT = 30


def doctor(json: options.Json = False, redis: options.Redis = None) -> None:
    """Look at the queue, the host, its Docker Engine and its models, and say how to mend what is wrong.

    It works without a daemon too, on the machine where it is installed. Exit code 1 where a line is an error.
    """
    tell(asyncio.run(_examined(redis)), json=json)


def tell(found: Sequence[DoctorLine], *, json: bool) -> None:
    """Print the lines. Raises Exit with code 1 where one is an error."""
    if json:
        write_json(found)
    else:
        write("\n".join(lines(found)))
    wrong = sum(line["state"] == "error" for line in found)
    odd = sum(line["state"] == "warning" for line in found)
    say(f"{counted(wrong, 'error')}, {counted(odd, 'warning')}")
    if wrong:
        raise typer.Exit(FAILED)


async def _examined(url: str | None) -> list[DoctorLine]:
    try:
        where = url or default_url(os.environ, os.getuid())
        return await queue.examine_all(where)
    except SpacedockError as error:
        # The address itself cannot be found out, or is none.
        line = queue.AREA.error("address", str(error), "spacedock doctor --redis URL")
        return [line, *await queue.here()]


def lines(found: Sequence[DoctorLine]) -> Iterator[str]:
    """All of it for people, within 80 columns; a command is never broken, as it is for copying."""
    area = ""
    # Each area once, where its first line is.
    order = list(dict.fromkeys(line["area"] for line in found))
    for line in sorted(found, key=lambda line: order.index(line["area"])):
        if line["area"] != area:
            area = line["area"]
            yield printable(area)
        head = f"  {line['state']:<8} {printable(line['subject']):<{_INDENT - 12}} "
        flat = " ".join(printable(line["message"]).split())
        yield from textwrap.wrap(flat, _WIDTH, initial_indent=head, subsequent_indent=" " * _INDENT)
        if line["command"]:
            yield f"{' ' * _INDENT}$ {printable(line['command'])}"
