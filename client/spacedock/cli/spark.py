"""Numbers as a line of small bars."""

from __future__ import annotations

from collections.abc import Iterable

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.,-=+*#"
"""For terminals whose encoding has no blocks."""

FAILED = "x"


def sparkline(values: Iterable[float | None], encoding: str | None) -> str:
    """A bar for each value, the longest for the greatest of them; an x where there is none."""
    numbers = list(values)
    bars = BLOCKS if _has(encoding, BLOCKS) else PLAIN
    most = max((number for number in numbers if number is not None), default=0.0)
    return "".join(FAILED if number is None else _bar(number, most, bars) for number in numbers)


def _bar(number: float, most: float, bars: str) -> str:
    share = number / most if most > 0 else 0.0
    return bars[min(len(bars) - 1, int(share * len(bars)))]


def _has(encoding: str | None, text: str) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
