"""Tables of text: a line for each row, its last column cut to the terminal; fast for many thousand rows."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence

from spacedock.cli.output.text import printable, write

_GAP = "  "
_NARROWEST = 24
"""How far the last column is cut at most: less of it would say nothing."""


def show(titles: Sequence[str], rows: Iterable[Sequence[str]], *, cut: bool = True) -> None:
    """Print a table; `cut` to the terminal, where there is one."""
    cells = [[printable(cell) for cell in row] for row in rows]
    write("\n".join(lines(titles, cells, terminal_width() if cut else None)))


def lines(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """The table's lines: titles, a rule, and the rows; `width` None: as long as they are.

    Only the last column is cut: the others are for copying.
    """
    widths = [max(map(_width, column)) for column in zip(titles, *rows, strict=True)]
    if width is not None:
        left = width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(left, _NARROWEST))
    for row in (titles, ["-" * most for most in widths], *rows):
        cells = [cell + " " * (most - _width(cell)) for cell, most in zip(row, widths, strict=True)]
        if _width(cells[-1]) > widths[-1]:
            cells[-1] = _cut(cells[-1], widths[-1] - 1) + "…"
        yield _GAP.join(cells).rstrip()


def terminal_width() -> int | None:
    """The columns that standard output shows; None for a pipe: what reads it wants each row on one line."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _width(cell: str) -> int:
    """The columns that it takes on a terminal."""
    if cell.isascii():
        return len(cell)
    from rich.cells import cell_len

    return cell_len(cell)


def _cut(cell: str, width: int) -> str:
    """The part of it that takes so many columns."""
    if cell.isascii():
        return cell[:width]
    from rich.cells import set_cell_size

    return set_cell_size(cell, width)
