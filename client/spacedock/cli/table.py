"""Tables of text: a line for each row, its last column cut to the terminal; fast for many thousand rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

_GAP = "  "
_NARROWEST = 24
"""How far the last column is cut at most: less of it would say nothing."""


def lines(titles: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """The table's lines: titles, a rule, and the rows; `width` None: as long as they are.

    Only the last column is cut: the others are for copying.
    """
    from rich.cells import cell_len, set_cell_size

    widths = [
        max([cell_len(title), *(cell_len(row[place]) for row in rows)]) for place, title in enumerate(titles)
    ]
    if width is not None:
        left = width - sum(widths[:-1]) - len(_GAP) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(left, _NARROWEST))
    for row in (titles, ["-" * most for most in widths], *rows):
        cells = [cell + " " * (most - cell_len(cell)) for cell, most in zip(row, widths, strict=True)]
        if cell_len(cells[-1]) > widths[-1]:
            cells[-1] = set_cell_size(cells[-1], widths[-1] - 1) + "…"
        yield _GAP.join(cells).rstrip()
