"""`spacedock spaces validate`: whether Spaces can run on the host that answers, and why not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.text import printable, say, wrapped, write, write_json
from spacedock.cli.preflight import asked
from spacedock.client import Client
from spacedock.errors import BadRequestError
from spacedock.replies.spaces import ValidateReply

_MARKS = {"ok": "ok", "bad": "BAD", "unknown": "?"}
_INDENT = 18
_KINDS = {"prepare": "image", "start": "start", "call": "call"}


def validate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME…", help="Registry names, or Hub ids (user/space).")
    ] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Get each image, start it, and make a trial call.")
    ] = False,
    all_spaces: Annotated[bool, typer.Option("--all", help="Every Space of the registry.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="S", help="With --deep: seconds for the trial call.")
    ] = 120.0,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Say whether Spaces can run here, without pulling them; exit code 1 where one cannot.

    What is found out is kept in the registry: `spacedock spaces show NAME`.
    """
    if bool(names) == all_spaces:
        raise BadRequestError("name the Spaces to validate, or give --all")
    found = verdicts(redis, names, deep, timeout, json)
    if json:
        write_json(found)
    elif len(found) > 1:
        say(summary(list(found.values())))
    if any(row["works"] is not True for row in found.values()):
        raise typer.Exit(FAILED)


def verdicts(
    url: str | None, names: Sequence[str] | None, deep: bool, timeout: float, quiet: bool
) -> dict[str, ValidateReply]:
    """One after another, each shown as soon as it is known."""

    async def ask(client: Client) -> dict[str, ValidateReply]:
        found: dict[str, ValidateReply] = {}
        for name in names or sorted((await client.spaces.list()).spaces):
            found[name] = await client.spaces.validate(
                name, deep=deep, timeout=timeout, on_progress=named(name)
            )
            if not quiet:
                write("\n".join(lines(found[name])))
        return found

    return asked(url, ask)


def named(name: str) -> Callable[[str], None]:
    """Say what is done for a Space, by its name."""
    return lambda message: say(f"{name}: {message}")


def lines(row: ValidateReply) -> list[str]:
    """One Space's checks and verdict for people, within 80 columns."""
    said = [printable(row["name"])]
    for check in row["checks"]:
        said += wrapped(f"  {_MARKS[check['status']]:>3}  {check['name']:<10}", check["reason"], _INDENT)
        if check["status"] != "ok" and check["advice"]:
            said += wrapped("", check["advice"], _INDENT)
    if row["seconds"]:
        took = (f"{_KINDS[kind]} {value:.1f} s" for kind, value in row["seconds"].items() if kind in _KINDS)
        said += wrapped("       took", ", ".join(took), _INDENT)
    return [*said, *wrapped("  =>", verdict(row), 7)]


def verdict(row: ValidateReply) -> str:
    """The verdict in a sentence."""
    if row["works"] is None:
        return f"not known: {row['reason']}. Try again later."
    kept = "" if row["stored"] else " (not kept: it is not in the registry)"
    if row["works"]:
        return f"{'works' if row['deep'] else 'can run here'}: {row['reason']}{kept}"
    return f"does not work: {row['reason']}{kept}"


def summary(rows: Sequence[ValidateReply]) -> str:
    """All verdicts in a line."""
    works = sum(row["works"] is True for row in rows)
    bad = sum(row["works"] is False for row in rows)
    return f"{works} of {len(rows)} can run here, {bad} cannot, {len(rows) - works - bad} not known"
