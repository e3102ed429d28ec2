"""What a container or a build said last, made safe to show to a person."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-_])")
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LINE = 300


def last_words(chunks: Iterable[str], count: int) -> str:
    """The last `count` lines that are not empty, without terminal escapes, each cut at 300 characters.

    A line that a progress bar drew over itself (by carriage returns) counts as its last state.
    """
    lines = (line.rsplit("\r", 1)[-1] for chunk in chunks for line in chunk.rstrip("\r\n").split("\n"))
    said = [clean for clean in (plain(line).rstrip()[:_LINE] for line in lines) if clean.strip()]
    return "\n".join(said[-count:])


def plain(text: str) -> str:
    """`text` without terminal escapes and control characters."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def masked(text: str, secrets: Mapping[str, str]) -> str:
    """The text without the secrets' values: an app may quote them in an error or on its last line."""
    for value in sorted(secrets.values(), key=len, reverse=True):
        text = text.replace(value, "***")
    return text
