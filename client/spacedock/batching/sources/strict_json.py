"""JSON that all readers understand alike: each key once, and no number that is too large."""

from __future__ import annotations

import json
from collections import Counter
from math import isinf
from typing import Any

from spacedock.batching.sources.line import shown

_MOST_DIGITS = 300


def strictly_decoded(text: str) -> Any:
    """The value of the JSON.

    Raises ValueError, also for a key that comes twice, NaN, a number that is too large, and deep nesting.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError as error:
        raise ValueError("lists and objects are nested too deep") from error


def _constant(word: str) -> Any:
    raise ValueError(f"not JSON: {word} is no number. Write null, or leave it out")


def _float(text: str) -> float:
    if isinf(number := float(text)):
        raise ValueError(f"the number {text[:20]} is too large")
    return number


def _int(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"the number {text[:20]} is too large")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"the key '{shown(twice)}' comes twice")
    return row


_DECODER = json.JSONDecoder(
    parse_constant=_constant, parse_float=_float, parse_int=_int, object_pairs_hook=_object
)
