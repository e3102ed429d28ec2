"""docs/compatibility.md: each of its tables is written by the run that found it out, and by nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "compatibility.md"


def put(section: str, text: str) -> None:
    """Replace what the page says in a section, which stands between two comments."""
    begin, end = f"<!-- begin {section} -->", f"<!-- end {section} -->"
    page = PAGE.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{PAGE} has no section '{section}'")
    before, rest = page.split(begin, 1)
    PAGE.write_text(f"{before}{begin}\n{text.strip()}\n{end}{rest.split(end, 1)[1]}")


def put_row(section: str, columns: Sequence[str], row: Sequence[str]) -> None:
    """Add a row to a section's table, or replace the row that has the same first cell."""
    rows = _rows(section)
    rows[row[0]] = as_row(row)
    table = [
        as_row(columns),
        as_row(["---"] * len(columns)),
        *(rows[first] for first in sorted(rows, key=_natural)),
    ]
    put(section, "\n".join(table))


def cell(section: str, first: str, column: int) -> str | None:
    """What a section's table holds in the row with that first cell; None if there is no such row."""
    row = _rows(section).get(first)
    return re.split(r"(?<!\\)\|", row)[column + 1].strip() if row else None


def _rows(section: str) -> dict[str, str]:
    """The lines of a section's table by their first cell."""
    found = re.search(rf"<!-- begin {section} -->\n(.*)<!-- end {section} -->", PAGE.read_text(), re.DOTALL)
    lines = found.group(1).splitlines()[2:] if found else []
    return {line.split("|")[1].strip(): line for line in lines if line.startswith("|")}


def _natural(text: str) -> list[str | int]:
    """For sorting: 4.8 before 4.44."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", text)]


def as_row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
