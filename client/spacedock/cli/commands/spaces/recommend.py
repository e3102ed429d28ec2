"""`spacedock spaces recommend`: which Spaces suit a task, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output import table
from spacedock.cli.output.text import printable, say, write, write_json
from spacedock.cli.preflight import asked
from spacedock.replies.spaces import RecommendedRow

_TITLES = ("#", "name", "score", "category", "takes -> gives", "here", "why")
_NARROWEST = 40


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

    found = asked(
        redis,
        lambda client: client.spaces.recommend(
            text, files=file or (), category=category, limit=number, performance_first=performance_first
        ),
    )
    if json:
        write_json(found)
    elif found["spaces"]:
        say(f"it looks like {found['task']}" if text and not found["category"] else found["category"] or "")
        _show(found["spaces"])
    if found["advice"]:
        say(f"{'nothing fits as it is' if found['spaces'] else 'nothing to recommend'}: {found['advice']}")
        raise typer.Exit(FAILED)


def _show(rows: Sequence[RecommendedRow]) -> None:
    width = table.terminal_width()
    write("\n".join(blocks(rows, width) if width is not None else lines(rows)))


def lines(rows: Sequence[RecommendedRow]) -> Iterator[str]:
    """A table with a line for each Space."""
    return table.lines(_TITLES, [_cells(rank, row) for rank, row in enumerate(rows, 1)], None)


def blocks(rows: Sequence[RecommendedRow], width: int) -> Iterator[str]:
    """Each Space with what it is, and below it the reasons, as many lines as they take."""
    for rank, row in enumerate(rows, 1):
        number, name, score, category, types, here, why = _cells(rank, row)
        indent = " " * (len(number) + 2)
        yield f"{number}. {name}  {score}"
        for text in (f"{category}, {types}, {here}", why):
            yield from textwrap.wrap(
                text, max(width - 1, _NARROWEST), initial_indent=indent, subsequent_indent=indent
            )


def _cells(rank: int, row: RecommendedRow) -> tuple[str, ...]:
    cells = (
        rank,
        row["name"],
        f"{row['score']:.2f}",
        row["category"],
        f"{row['input_type']} -> {row['output_type']}",
        row["state"],
        "; ".join(row["reasons"]),
    )
    return tuple(" ".join(printable(str(cell)).split()) for cell in cells)
