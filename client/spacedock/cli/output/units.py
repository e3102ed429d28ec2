"""Bytes and times as people write and read them."""

from __future__ import annotations

from collections.abc import Iterable


def size(count: float | None) -> str:
    """Bytes for people, in powers of 1000 as Docker has them; a dash where there are none to tell."""
    if count is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"


def memory(count: float | None) -> str:
    """Bytes of memory for people, in powers of 1024 as limits are given; a dash where there are none."""
    if count is None:
        return "-"
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.0f} MB"


def age(seconds: float) -> str:
    """A stretch of time for people, to the second."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def took(seconds: float | None) -> str:
    """What something took, for people; a dash where it was not measured."""
    if seconds is None:
        return "-"
    if seconds < 0.1:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 60 else age(seconds)


def counted(count: int, what: str) -> str:
    """How many there are: "1 job", "2 jobs"."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def ago(seconds: float) -> str:
    """How long ago something was, for people, roughly."""
    for unit, name in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name} ago"
    return "just now"


BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.,-=+*#"
"""For terminals whose encoding has no blocks."""

FAILED = "x"


def sparkline(values: Iterable[float | None], encoding: str | None) -> str:
    """Draw one bar for each value, the longest for the largest; an x marks a missing value."""
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
