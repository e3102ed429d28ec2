"""Bars in seconds that a busy machine cannot fail: another round is tried until one is under the bar."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Quickest:
    """The rounds of what must take less than `bar` seconds.

    Only the machine's other work makes a round slow, and all of `most` only if the code is.
    """

    def __init__(self, bar: float, most: int = 5) -> None:
        self.bar, self.rounds = bar, list[float]()
        self._most = most

    @property
    def under(self) -> bool:
        """Whether a round was under the bar."""
        return min(self.rounds, default=self.bar) < self.bar

    @property
    def again(self) -> bool:
        """Whether another round is worth trying."""
        return not self.under and len(self.rounds) < self._most

    def took(self, seconds: float) -> None:
        """Count a round."""
        self.rounds.append(seconds)

    @contextmanager
    def round(self) -> Iterator[None]:
        """Count the block as a round, unless it raises."""
        began = time.perf_counter()
        yield
        self.took(time.perf_counter() - began)
