"""One line of a batch, its keys, and what is wrong with lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spacedock.errors import BadRequestError
from spacedock.openai.translation import TranslatedRequest
from spacedock.request import JobRequest

FIELDS = frozenset(JobRequest.model_fields) - {
    "files",
    "repository",
    "idempotency_key",
    "batch",
    "batch_id",
    "explain",
}
"""The fields of a request that a line may give by their names."""

ROW_ID = "id"
"""The label that keeps the caller's own id of a line."""

ROW_IDS = (ROW_ID, "custom_id")
"""The columns or keys that name a line where none is given, the first that is there."""

_MAX_SHOWN = 10
_MOST_NAME = 60


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One job of a batch: its number (from 1, as an editor counts), file paths, and the request's fields.

    `id` is the caller's own name for it; with `guessed_id` it is from a column that is called so, which may
    mean something else. `asked` is there where it is a request of OpenAI's or Anthropic's API, and holds
    inline files.
    """

    number: int
    files: tuple[str, ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    asked: TranslatedRequest | None = None
    guessed_id: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be sent: its text (of a very long one the beginning), and what to do about it."""

    number: int
    text: str
    problem: str


class BadLinesError(BadRequestError):
    """Lines of a batch cannot be read; nothing of it was submitted."""

    def __init__(self, source: str, problems: list[str], remedy: str = "Mend these lines") -> None:
        self.source, self.problems = source, problems
        shown = problems[:_MAX_SHOWN]
        if len(problems) > _MAX_SHOWN:
            shown.append(f"and {len(problems) - _MAX_SHOWN} more")
        super().__init__(f"{source}: nothing was submitted. {remedy}:\n  " + "\n  ".join(shown))


def places(numbers: Iterable[int]) -> list[str]:
    """Lines by their numbers, those in a row as one."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return [f"line {a}" if a == b else f"lines {a}-{b}" for a, b in ranges]


def shown(name: str) -> str:
    """A name that a stranger chose, short enough for a message."""
    return name if len(name) <= _MOST_NAME else f"{name[:_MOST_NAME]}…"


def few(names: Sequence[str], most: int) -> str:
    """The first names of many."""
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*map(shown, names[:most]), *more])
