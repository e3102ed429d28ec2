"""JSON pointers (RFC 6901): which part of an answer is meant."""

from __future__ import annotations

import re
from typing import Any

from spacedock_worker.adapters.faults import bad_output, shortened

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def check_pointer(pointer: str) -> None:
    """Raise ValueError where `pointer` is none."""
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"the response pointer {pointer!r} must begin with /, such as /choices/0/text")


def pointed(value: Any, pointer: str) -> Any:
    """The part of `value` at `pointer`. Raises StepError of kind `bad_output` where there is none."""
    place = ""
    for token in pointer.split("/")[1:]:
        name = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and _INDEX.fullmatch(name) and int(name) < len(value):
            value = value[int(name)]
        else:
            raise bad_output(f"the app's answer has nothing at {place}/{token}: {_what(value, place)}")
        place += f"/{token}"
    return value


def _what(value: Any, place: str) -> str:
    where = place or "the answer"
    if isinstance(value, dict):
        return f"{where} has {shortened(', '.join(list(value)[:20]), 300) or 'no fields'}"
    if isinstance(value, list):
        return f"{where} has {len(value)} items"
    return f"{where} is no object and no array"
