"""What came of the jobs of one case, and what falls short of the promise."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Account:
    """Of all trials of a case: jobs, the seconds of each recovery, and what was left 10 s after the end.

    A job is lost that was acknowledged and never gets a result; doubled if it has two ends, or was run again
    after its end; wrongly failed if it did not succeed, or with another answer than the right one, although
    its own Space and request are sound. `wrong` says why, a line for each; `notes` are other figures, in
    words, for the page.
    """

    trials: int
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    failed: int = 0
    recovery: tuple[float, ...] = ()
    left: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def median(self) -> float | None:
        """The median recovery, in seconds."""
        return statistics.median(self.recovery) if self.recovery else None

    @property
    def worst(self) -> float | None:
        """The longest recovery, in seconds."""
        return max(self.recovery, default=None)


Run = Callable[[int], Awaitable[Account]]
"""Tries a case so many times."""


class CannotRunError(Exception):
    """This machine lacks what a case needs; the message says what."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault of a row. `what` says on the page what is done; `trials` is how often.

    `quick` is how often `make test` tries it (0: not at all). `limit` is how many seconds a recovery may
    take.
    """

    name: str
    what: str
    run: Run
    trials: int
    quick: int = 0
    limit: float | None = None

    def faults(self, account: Account) -> list[str]:
        """What falls short."""
        counts = {"lost": account.lost, "doubled": account.doubled, "wrongly failed": account.failed}
        found = [f"{count} {name}" for name, count in counts.items() if count]
        if self.limit is not None and (account.worst or 0) > self.limit:
            found.append(f"recovery of {account.worst:.1f} s, more than {self.limit:.0f} s")
        return [*found, *(f"left: {name}" for name in account.left), *account.wrong]


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page: its number, its title, and its cases."""

    number: int
    title: str
    cases: tuple[Case, ...]
