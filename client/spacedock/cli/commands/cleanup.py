"""`spacedock cleanup`: free what the host of the worker that answers needs no longer."""

from __future__ import annotations

import asyncio
import json as json_module
from typing import Annotated

import typer

from spacedock._wire.retention import seconds_of
from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output.text import say, write
from spacedock.cli.output.units import size
from spacedock.client import Client
from spacedock.replies.host import CleanupReply

_WORDS = {
    "results": "jobs' records",
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
    report = asyncio.run(_clean(redis, dry_run, images, seconds_of(older_than)))
    if json:
        write(json_module.dumps(report, indent=2))
    else:
        write("\n".join(lines(report)))
    for reason in report["left"]:
        say(f"left: {reason}")
    if report["left"]:
        raise typer.Exit(FAILED)


async def _clean(url: str | None, dry_run: bool, images: bool, older_than: float) -> CleanupReply:
    async with Client(url) as client:
        return await client.cleanup(dry_run=dry_run, images=images, older_than=older_than, on_progress=say)


def lines(report: CleanupReply) -> list[str]:
    """The report for people: each thing that has a name, then the sums of each kind."""
    said = [f"  {_WORDS[i['kind']]}: {i['name']}, {size(i['bytes'])}" for i in report["items"]]
    verb = "would free" if report["dry_run"] else "freed"
    for kind, words in _WORDS.items():
        total = report["kinds"][kind]
        if total["count"]:
            said.append(f"{words}: {total['count']:,}, {size(total['bytes'])}")
    return [*said, f"{verb} {size(report['bytes'])}"]
