"""Lines that a program gives: prompts and objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from spacedock.batching.sources.json_lines import line_of
from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.batching.sources.row import RowRules, SourceOptions


class GivenLines:
    """Prompts, and objects with the keys of a line of JSON; a list can be read twice, a generator once."""

    name, unit = "the lines given", "line"

    def __init__(self, given: Iterable[str | Mapping[str, Any]]) -> None:
        self._given, self.rereadable = given, isinstance(given, Sequence)

    def lines(self) -> Iterator[BatchLine | BadLine]:
        """The lines, numbered from 1; files are relative to the current directory."""
        rules = RowRules(SourceOptions(), None, Path())
        for number, row in enumerate(self._given, 1):
            try:
                yield line_of(number, row if isinstance(row, str) else dict(row), rules)
            except ValueError as error:
                yield BadLine(number, repr(row), str(error))
