"""`spacedock spaces recommend`: which Spaces suit a task, and why."""

from __future__ import annotations

import asyncio
import json as json_module
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from spacedock.cli import options
from spacedock.cli.exits import FAILED
from spacedock.cli.printing import printable, say, write
from spacedock.client import Client

_PIPE_WIDTH = 240


def recommend(
    text: Annotated[str, typer.Argument(help="What is to be done, in your words; or a category.")] = "",
    file: Annotated[
        list[Path] | None,
        typer.Option("--file", "-f", metavar="PATH", help="A file of the task; only its name counts."),
    ] = None,
    category: Annotated[
        str | None, typer.Option("--category", metavar="NAME", help="Only Spaces of this category.")
    ] = None,
    number: Annotated[int, typer.Option("--number", "-n", min=1, max=50, help="How many to show.")] = 5,
    performance_first: Annotated[
        bool, typer.Option("--performance-first", help="Warm and fast Spaces before better ones.")
    ] = False,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Recommend Spaces of the registry for a task, the best first, each with its reasons."""

    async def ask() -> dict[str, Any]:
        async with Client(redis) as client:
            return await client.spaces.recommend(
                text,
                files=file or (),
                category=category,
                limit=number,
                performance_first=performance_first,
            )

    found = asyncio.run(ask())
    if json:
        write(json_module.dumps(found, indent=2))
    elif found["spaces"]:
        say(f"it looks like {found['task']}" if text and not found["category"] else found["category"] or "")
        _table(found["spaces"])
    if found["advice"]:
        say(f"{'nothing fits as it is' if found['spaces'] else 'nothing to recommend'}: {found['advice']}")
        raise typer.Exit(FAILED)


def _table(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("#", "name", "score", "category", "takes -> gives", "here", "why"):
        table.add_column(column, overflow="fold", no_wrap=column in ("#", "score", "here"))
    for rank, row in enumerate(rows, 1):
        cells = (
            str(rank),
            row["name"],
            f"{row['score']:.2f}",
            row["category"],
            f"{row['input_type']} -> {row['output_type']}",
            row["state"],
            "; ".join(row["reasons"]),
        )
        table.add_row(*(Text(printable(str(cell))) for cell in cells))
    # A pipe has no width: what reads it wants each Space on one line.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
