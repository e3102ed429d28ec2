"""The JSON of an app's answer: what it may hold, so that reading it holds up nobody."""

from __future__ import annotations

import json
from typing import Any

from spacedock_worker.adapters.faults import bad_output, too_complex

# A million numbers are read, copied and written as JSON in 100 ms each; a key takes as long as a value.
MAX_VALUES, MAX_NESTS = 1_000_000, 200_000
# A number of 4,300 digits, the most that Python reads, takes 100 us each way; short ones are as good as free.
SHORT_DIGITS, MAX_DIGITS = 100, 250_000
_HALVES = ("\\ud", "\\uD")


def parsed(body: bytes | str) -> Any:
    """JSON from the app; NaN and its like become None, half a surrogate pair becomes a question mark.

    Raises StepError of kind `bad_output` where it is no JSON, or holds too many values. Takes long where
    there are many: see `offload.read`.
    """
    try:
        text = body if isinstance(body, str) else body.decode(json.detect_encoding(body), "replace")
        value = _loaded(text)
        if any(half in text for half in _HALVES):
            value = _loaded(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode())
    except (ValueError, RecursionError) as error:
        raise bad_output("the app's answer is not JSON that can be read") from error
    if not may_fit(text):
        _check_size(value)
    return value


def _loaded(text: str) -> Any:
    left = MAX_DIGITS

    def whole_number(digits: str) -> int:
        nonlocal left
        if len(digits) > SHORT_DIGITS:
            left -= len(digits)
            if left < 0:
                raise too_complex("holds too many long numbers")
        return int(digits)

    return json.loads(text, parse_int=whole_number, parse_constant=lambda _: None)


def may_fit(text: str) -> bool:
    """Whether JSON surely holds no more values than can be handled: its strings may hold commas, too."""
    values, nests = text.count(",") + text.count(":"), text.count("[") + text.count("{")
    return values <= MAX_VALUES and nests <= MAX_NESTS


def _check_size(value: Any) -> None:
    """Raise StepError of kind `bad_output` where handling the value would hold up other calls."""
    values, nests, left = 0, 0, [value]
    while left:
        item = left.pop()
        inner = [*item, *item.values()] if isinstance(item, dict) else item
        if isinstance(inner, list):
            values, nests = values + len(inner), nests + 1
            left += [i for i in inner if isinstance(i, list | dict)]
        if values > MAX_VALUES or nests > MAX_NESTS:
            most = f"{MAX_VALUES:,} keys and values, or {MAX_NESTS:,} lists and objects"
            raise too_complex(f"holds over {most}")
