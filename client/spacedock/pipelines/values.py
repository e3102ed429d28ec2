"""The values that steps hand on, of any shape: a part of one, as text, as JSON, compared (pure)."""

from __future__ import annotations

import json
import re
from typing import Any

from spacedock.errors import BadRequestError
from spacedock.files import FileRef

_SHOWN = 80
_INDEX = re.compile("0|[1-9][0-9]{0,8}")


def pointed(value: Any, pointer: tuple[str, ...]) -> Any:
    """What a JSON pointer leads to (RFC 6901); of a file its name, size or media_type.

    Raises BadRequestError where that is nothing.
    """
    for token in pointer:
        if isinstance(value, FileRef):
            value = value.model_dump(include={"name", "size", "media_type"})
        if isinstance(value, dict) and token in value:
            value = value[token]
        elif isinstance(value, list | tuple) and _INDEX.fullmatch(token) and int(token) < len(value):
            value = value[int(token)]
        else:
            way, there = "/".join(pointer)[:_SHOWN], shown(value)
            raise BadRequestError(f"the pointer #/{way} leads nowhere: no '{token[:_SHOWN]}' in {there}")
    return value


def text_of(value: Any) -> str:
    """A value as part of a text: a list of texts a line each, anything else as JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    if files_in(value):
        raise BadRequestError("a file cannot be part of a text: hand it over by 'files'")
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(value)
    return json.dumps(value, ensure_ascii=False)


def files_in(value: Any) -> list[FileRef]:
    """Every file in a value, in order."""
    found, left = list[FileRef](), [value]
    while left:
        one = left.pop()
        if isinstance(one, FileRef):
            found.append(one)
        elif isinstance(one, dict | list | tuple):
            left += reversed(list(one.values()) if isinstance(one, dict) else one)
    return found


def plain(value: Any, *, file_names: bool = False) -> Any:
    """The value as JSON; a file as its name, or as what names it. Raises RecursionError."""
    if isinstance(value, FileRef):
        return value.name if file_names else value.model_dump(mode="json")
    if isinstance(value, dict):
        return {name: plain(one, file_names=file_names) for name, one in value.items()}
    return [plain(one, file_names=file_names) for one in value] if isinstance(value, list | tuple) else value


def compared(left: Any, operator: str, right: Any) -> bool:
    """Whether a comparison holds; texts that say numbers are numbers. Raises BadRequestError."""
    if operator.endswith("empty"):
        return (_bare(left) in (None, "", [], {}, ())) is (operator == "is empty")
    if operator.endswith("contains"):
        return _contains(left, right) is (operator == "contains")
    low, high = _number(left), _number(right)
    if operator in ("==", "!="):
        alike = isinstance(left, bool) is isinstance(right, bool)
        equal = low == high if None not in (low, high) else alike and _bare(left) == _bare(right)
        return equal is (operator == "==")
    if low is None or high is None:
        other = shown(left if low is None else right)
        raise BadRequestError(f"'{operator}' compares numbers, and there is {other}")
    return {"<": low < high, "<=": low <= high, ">": low > high, ">=": low >= high}[operator]


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, str):
        return text_of(right) in left
    return right in (left if isinstance(left, list | tuple) else list(left) if isinstance(left, dict) else ())


def _bare(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _number(value: Any) -> float | None:
    """The number that a value is, or that a text says."""
    try:
        return float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None


def shown(value: Any) -> str:
    """A value as far as a message may tell it: a text may be private."""
    kinds = ((str, "a text"), (dict, "an object"), ((list, tuple), "a list"), (FileRef, "a file"))
    words = next((words for kind, words in kinds if isinstance(value, kind)), None)
    return json.dumps(value)[:_SHOWN] if words is None else words
