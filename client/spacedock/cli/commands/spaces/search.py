"""`spacedock spaces search` and `discover`: Spaces of the registry first, then what the Hub has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from spacedock.cli import options
from spacedock.cli.exit_codes import FAILED
from spacedock.cli.output import table
from spacedock.cli.output.text import printable, say, write, write_json
from spacedock.cli.preflight import asked
from spacedock.replies.spaces import FoundRow, SearchReply

_TITLES = ("space", "here", "category", "takes -> gives", "likes", "sdk", "description")
_INDENT = "    "

Number = Annotated[
    int, typer.Option("--number", "-n", "--limit", min=1, max=100, help="How many of each to show at most.")
]


def search(
    query: Annotated[str, typer.Argument(help="What you look for, in words.")],
    category: Annotated[
        str | None, typer.Option("--category", metavar="NAME", help="Only Spaces of this category.")
    ] = None,
    number: Number = 20,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Find Spaces by words, in the registry and on the Hub; exit code 1 where there is none."""
    _show(asked(redis, lambda client: client.spaces.search(query, category, number)), json=json)


def discover(
    category: Annotated[str, typer.Argument(help="A category, such as image_processing.")],
    number: Number = 20,
    json: options.Json = False,
    redis: options.Redis = None,
) -> None:
    """Find the Spaces of a category, in the registry and on the Hub; exit code 1 where there is none."""
    _show(asked(redis, lambda client: client.spaces.discover(category, number)), json=json)


def _show(found: SearchReply, *, json: bool) -> None:
    rows = list(joined(found))
    if json:
        write_json(found)
    elif rows:
        width = table.terminal_width()
        write("\n".join(blocks(rows, width) if width is not None else lines(rows)))
    if found["note"]:
        say(found["note"])
    if not rows:
        say("no Space was found: use other words, or fewer")
        raise typer.Exit(FAILED)
    if not json:
        say('run one by its name or id: spacedock run "…" --space NAME')


def joined(found: SearchReply) -> Iterator[FoundRow]:
    """The registry's Spaces, then those of the Hub that are not among them."""
    shown = {row["id"] for row in found["here"] if row["id"]} | {row["name"] for row in found["here"]}
    yield from found["here"]
    yield from (row for row in found["spaces"] if row["id"] not in shown)


def lines(rows: Sequence[FoundRow]) -> Iterator[str]:
    """A table with a line for each Space."""
    cells = [[printable(str(cell)) for cell in _cells(row)] for row in rows]
    return table.lines(_TITLES, cells, None)


def blocks(rows: Sequence[FoundRow], width: int) -> Iterator[str]:
    """Two lines for each Space: what it is called and what it is, and below what it does."""
    from rich.cells import cell_len, set_cell_size

    for row in rows:
        name, here, category, types, likes, sdk, description = _cells(row)
        facts = [here if here != "-" else "", category, types, f"{likes} likes" if likes != "-" else "", sdk]
        head = f"{name}  ({', '.join(fact for fact in facts if fact not in ('', '-'))})"
        for text in (head, f"{_INDENT}{description}" if description else ""):
            line = " ".join(printable(text).split("\n"))
            if line:
                yield line if cell_len(line) < width else set_cell_size(line, width - 2).rstrip() + "…"


def _cells(row: FoundRow) -> tuple[str, ...]:
    name, hub_id = row["name"], row["id"]
    likes = row.get("likes")
    return (
        name or str(hub_id),
        "here" if name else "-",
        row["category"],
        f"{row['input_type']} -> {row['output_type']}",
        "-" if likes is None else str(likes),
        row.get("sdk") or "-",
        " ".join(row["description"].split()),
    )
