"""How a batch is run: what is sent again, how much at once, and when it stops."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from pathlib import Path
from typing import Any

from spacedock.batching.checkpoint import digest_of
from spacedock.batching.results.line_index import LineName, ResultRow
from spacedock.errors import BadRequestError
from spacedock.result import AnswerKind, ErrorKind, JobResult
from spacedock.states import JobState

_ASKED = ("space", "category", "endpoint")
"""The options that tell batches of one source apart."""
_LEAST_JUDGED = 20


class Retry(StrEnum):
    """Which lines with a result are sent again."""

    FAILED = "failed"
    DEGRADED = "degraded"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Again:
    """Which lines with a result are sent again: by how they ended, or by the kinds of their errors."""

    retry: Retry | None = None
    kinds: frozenset[str] = frozenset()

    @classmethod
    def of(cls, retry: Retry | None, kinds: str | None) -> Again:
        """From options; `kinds` are separated by commas. Raises BadRequestError."""
        named = frozenset(kind.strip() for kind in (kinds or "").split(",") if kind.strip())
        if kinds is not None and not named and retry is None:
            raise BadRequestError("--retry-if: name kinds of errors, such as timeout,crashed")
        known = {kind.value for kind in ErrorKind} | {JobState.DEAD.value, JobState.CANCELLED.value}
        if unknown := named - known:
            raise BadRequestError(
                f"--retry-if {min(unknown)}: no such kind of error. There are: {', '.join(sorted(known))}"
            )
        return cls(retry, named)

    def wants(self, row: ResultRow) -> bool:
        """Whether a line with that result is sent again."""
        if self.retry is Retry.ALL or row.kind in self.kinds:
            return True
        return self.retry is Retry.DEGRADED and row.degraded if row.succeeded else self.retry is Retry.FAILED

    @property
    def words(self) -> str:
        """What tells this choice from others; empty where nothing is sent again."""
        return " ".join(filter(None, [self.retry, *sorted(self.kinds)]))


@dataclass(frozen=True, slots=True)
class MaxFailures:
    """How many lines may fail, or which share of those that have ended, before a batch stops."""

    count: float
    share: bool = False

    @classmethod
    def of(cls, text: str) -> MaxFailures:
        """From "5" or "2%". Raises BadRequestError."""
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
        most = 100 if found and found[2] else inf
        if found is None or (not found[2] and "." in found[1]) or not 0 < float(found[1]) <= most:
            raise BadRequestError(f"--max-failures {text}: give a number of lines, or a share such as 2%")
        return cls(float(found[1]), bool(found[2]))

    def reached(self, failed: int, ended: int) -> bool:
        """Whether it is enough; a share is judged once some lines have ended."""
        if self.share:
            return ended >= _LEAST_JUDGED and 100 * failed >= self.count * ended
        return failed >= self.count


Saver = Callable[[LineName, JobResult], Awaitable[list[Path]]]


def _nothing(_: Any) -> None:
    pass


async def _awaited(_: Any) -> None:
    pass


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How to run a batch.

    `defaults` are the fields of lines that do not give them. `in_flight` bounds the jobs that are in the
    queue at once; without it the hosts' capacity does. At most `limit` lines are sent, and none after
    `max_failures`. Invalid lines stop the batch before anything is sent, unless `skip_invalid`; then
    `invalid` is called with each: its number, what is wrong, its text. `save` saves a result's files and
    returns their paths. Private jobs are deleted once they are written, unless `keep`. Answers that a faulty
    host let no Space give are taken with `allow_degraded`. `tell` is called with what people may want to
    know, `submitted` with the ids of jobs, `sent` with the batch's id once no more of them are; `connect`
    before the client is first used, with the Spaces that lines name, as far as they are known.
    """

    defaults: Mapping[str, Any] = field(default_factory=dict)
    again: Again = Again()
    in_flight: int | None = None
    limit: int | None = None
    max_failures: MaxFailures | None = None
    skip_invalid: bool = False
    allow_degraded: bool = False
    keep: bool = False
    save: Saver | None = None
    tell: Callable[[str], None] = _nothing
    submitted: Callable[[list[str]], None] = _nothing
    sent: Callable[[str], Awaitable[None]] = _awaited
    connect: Callable[[set[str]], Awaitable[None]] = _awaited
    invalid: Callable[[int, str, str], None] = lambda number, problem, text: None

    def batch_of(self, place: str) -> str:
        """The name of the batch that comes from `place`, which tells it from others in one results file."""
        run = [str(self.defaults["pipeline"])] if "pipeline" in self.defaults else []
        return digest_of(place, *(str(self.defaults.get(key)) for key in _ASKED), *run)


class Guard:
    """Unless `allowed`, results stay out that a faulty host let no Space answer, and stop the batch.

    `told` is called with the first result that met such a fault.
    """

    def __init__(self, *, allowed: bool, told: Callable[[JobResult], None] = lambda result: None) -> None:
        self._allowed, self._told = allowed, told
        self._has_told = self.stopped = False

    def withholds(self, result: JobResult) -> bool:
        """Whether the result stays out; the first one to do so stops the batch."""
        if result.host_fault is not None and not self._has_told:
            self._told(result)
            self._has_told = True
        by = result.answered_by
        astray = result.host_fault is not None and (by is None or by.kind is not AnswerKind.SPACE)
        if astray and not self._allowed:
            self.stopped = True
        return self.stopped and (astray or result.state is JobState.CANCELLED)
