"""`spacedock cleanup`: free what the host of the worker that answers needs no longer."""

from __future__ import annotations

from typing import Annotated

import typer

from spacedock._wire.retention import seconds_of
from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.text import say, write, write_json
from spacedock.cli.output.units import size
from spacedock.cli.preflight import asked
from spacedock.replies.host import CleanupReply

_WORDS = {
    "results": "jobs' records",
    "answers": "answers kept for later calls",
    "files": "inputs and results",
    "containers": "stopped containers",
    "scratch": "scratch files",
    "caches": "caches of Spaces",
    "images": "images",
}


def cleanup(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be freed, and free nothing.")
    ] = False,
    images: Annotated[bool, typer.Option("--images", help="Images too that nothing uses.")] = False,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="AGE", help="What was needed since stays: 24h, 90m, 7d.")
    ] = "24h",
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Free what is needed no longer: old results, stopped containers, caches of removed Spaces, images."""
    age = seconds_of(older_than)
    report = asked(
        redis,
        lambda client: client.cleanup(dry_run=dry_run, images=images, older_than=age, on_progress=say),
    )
    if json:
        write_json(report)
    else:
        write("\n".join(lines(report)))
    for reason in report["left"]:
        say(f"left: {reason}")
    if report["left"]:
        raise typer.Exit(FAILED)


def lines(report: CleanupReply) -> list[str]:
    """The report for people: each thing that has a name, then the sums of each kind."""
    said = [f"  {_WORDS[i['kind']]}: {i['name']}, {size(i['bytes'])}" for i in report["items"]]
    verb = "would free" if report["dry_run"] else "freed"
    for kind, words in _WORDS.items():
        # A host of an earlier release knows fewer kinds.
        total = report["kinds"].get(kind)
        if total and total["count"]:
            said.append(f"{words}: {total['count']:,}, {size(total['bytes'])}")
    return [*said, f"{verb} {size(report['bytes'])}"]
