"""A bar in seconds: one quiet round meets it, and only slow code misses it."""

from __future__ import annotations

import pytest
from tests.quickest import Quickest


def test_one_round_under_the_bar_is_enough() -> None:
    quickest = Quickest(2.0)
    assert (quickest.again, quickest.under) == (True, False)
    quickest.took(9.0)
    assert (quickest.again, quickest.under) == (True, False)
    quickest.took(1.0)
    assert (quickest.again, quickest.under) == (False, True)


def test_what_is_slow_in_every_round_misses_the_bar() -> None:
    quickest = Quickest(2.0, most=3)
    while quickest.again:
        quickest.took(2.0)
    assert (quickest.under, len(quickest.rounds)) == (False, 3)


def test_a_round_that_raises_does_not_count() -> None:
    quickest = Quickest(60.0)
    with pytest.raises(ZeroDivisionError), quickest.round():
        raise ZeroDivisionError
    assert quickest.rounds == []
    with quickest.round():
        pass
    assert quickest.under
