"""What each line of a batch came to, read back from its results file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from spacedock.batching.sources.line import BadLine, BatchLine
from spacedock.result import JobResult


def ended_lines(
    lines: Iterable[BatchLine | BadLine], rows: Path
) -> Iterator[tuple[BatchLine | BadLine, JobResult | None]]:
    """Each line of a source with its last result in the results file (None: it has none), in its order."""
    places = _places(rows)
    if not places:
        yield from ((line, None) for line in lines)
        return
    with rows.open("rb") as file:
        for line in lines:
            if (place := places.get(line.number)) is None:
                yield line, None
                continue
            file.seek(place)
            yield line, JobResult.model_validate(json.loads(file.readline()))


def _places(rows: Path) -> dict[int, int]:
    """Where in a results file the last row of each line begins; a torn row is left out."""
    found: dict[int, int] = {}
    if not rows.is_file():
        return found
    with rows.open("rb") as file:
        place = 0
        for raw in file:
            if raw.endswith(b"\n"):
                found[int(json.loads(raw)["line"])] = place
            place += len(raw)
    return found
