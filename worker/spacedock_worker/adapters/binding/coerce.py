"""Turning an input given by name, often a text of the command line, into what its component takes (pure)."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import InputSlot
from spacedock_worker.adapters.faults import CannotFillError

YES = frozenset({"true", "yes", "on", "1"})
NO = frozenset({"false", "no", "off", "0"})
SHOWN_CHOICES = 20


def value_for(slot: InputSlot, given: Any) -> Any:
    """The value to send for `given`; None stays None, which is what an empty component sends.

    Raises CannotFillError where it is not a number, a choice, or JSON, as the component needs.
    """
    if given is None:
        return None
    if slot.component in kinds.NUMBER:
        return _within(slot, _number(slot, given))
    if slot.component in kinds.YES_NO:
        return _yes_no(slot, given)
    if slot.component in kinds.CHOICE:
        return _choices(slot, given)
    if slot.component in kinds.TABLE:
        return table_of(given, slot.default)
    if slot.component == kinds.MULTIMODAL and isinstance(given, str):
        return {"text": given, "files": []}
    if slot.component in kinds.TEXT:
        return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    return _structure(slot, given)


def _number(slot: InputSlot, given: Any) -> int | float:
    # A seed of 64 bits is more than a float can hold.
    if re.fullmatch(r"[+-]?\d{1,100}", str(given)):
        return int(given)
    try:
        number = float(given)
    except (TypeError, ValueError, OverflowError):
        raise CannotFillError(f"{slot.name} takes a number, not {given!r}") from None
    if not math.isfinite(number):
        raise CannotFillError(f"{slot.name} takes a finite number, not {given!r}")
    return int(number) if number.is_integer() else number


def _within(slot: InputSlot, number: int | float) -> int | float:
    if slot.least is not None and number < slot.least:
        raise CannotFillError(f"{slot.name} takes a number from {slot.least:.15g} on, not {number}")
    if slot.most is not None and number > slot.most:
        raise CannotFillError(f"{slot.name} takes a number up to {slot.most:.15g}, not {number}")
    return number


def _yes_no(slot: InputSlot, given: Any) -> bool:
    word = str(given).lower()
    if word not in YES | NO:
        raise CannotFillError(f"{slot.name} takes true or false, not {given!r}")
    return word in YES


def _choices(slot: InputSlot, given: Any) -> Any:
    known = _Known(slot)
    many = slot.many or slot.component == "checkboxgroup"
    return [known.choice(one) for one in _listed(given)] if many else known.choice(given)


def _listed(given: Any) -> list[Any]:
    if isinstance(given, list | tuple):
        return list(given)
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            parsed = json.loads(given)
        except ValueError:
            return [given]
        return parsed if isinstance(parsed, list) else [given]
    return [part.strip() for part in given.split(",")] if isinstance(given, str) and given else [given]


class _Known:
    """A slot's choices, to be found without looking through all of them."""

    def __init__(self, slot: InputSlot) -> None:
        self._slot = slot
        first = slot.choices[::-1]
        self._values = {_plain(value): value for _, value in first}
        self._strings = {str(value): value for _, value in first}
        self._labels = {label.lower(): value for label, value in first}

    def choice(self, given: Any) -> Any:
        # A value is compared before a label, and as a string too: the command line has no other type.
        for found, key in (
            (self._values, _plain(given)),
            (self._strings, str(given)),
            (self._labels, str(given).lower()),
        ):
            if key in found:
                return found[key]
        slot = self._slot
        if slot.custom or not slot.choices:
            return given
        names = ", ".join(str(value) for _, value in slot.choices[:SHOWN_CHOICES])
        raise CannotFillError(f"{slot.name} takes one of {names}; not {given!r}")


def _plain(value: Any) -> Any:
    """The value if it can be looked up; 1 and 1.0 are the same."""
    return value if isinstance(value, str | int | float) else str(value)


def _structure(slot: InputSlot, given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        if slot.component in kinds.JSON:
            raise CannotFillError(f"{slot.name} takes JSON, and that is none: {given!r}") from None
        return given


MAX_TABLE = 8 * 2**20
"""Bytes of a table that is read: that takes about 200 ms, so `weighed` reads large ones in a thread."""

# A cell may be as long as a table; Python's own limit is 128 KiB.
csv.field_size_limit(max(MAX_TABLE, csv.field_size_limit()))


def table_of(given: Any, default: Any = None) -> dict[str, Any]:
    """`given` as {"headers", "data"}; `default` is the page's own table, whose headers serve where they fit.

    Raises CannotFillError where it is no table.
    """
    if isinstance(given, bytes):
        given = _decoded(given)
    if isinstance(given, str):
        return _of_text(given, default)
    match given:
        case {"headers": list(), "data": list()}:
            return dict(given)
        case dict():
            listed = given and all(isinstance(values, list) for values in given.values())
            return _of_columns(given) if listed else _of_records([given])
        case [dict(), *_] if all(isinstance(row, dict) for row in given):
            return _of_records(given)
        case list():
            return _of_rows([row if isinstance(row, list) else [row] for row in given], default)
    return _of_rows([[given]], default)


def _decoded(data: bytes) -> str:
    if len(data) > MAX_TABLE:
        raise CannotFillError(f"the table has over {MAX_TABLE // 2**20} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _of_text(text: str, default: Any) -> dict[str, Any]:
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return table_of(json.loads(text), default)
        except (ValueError, RecursionError):
            pass
    try:
        rows = [row for row in csv.reader(io.StringIO(text), delimiter=_delimiter(text)) if row]
    except csv.Error as error:
        raise CannotFillError(f"the table is no CSV: {error}") from None
    if not rows:
        raise CannotFillError("the table is empty")
    named = len(rows) > 1 and not any(map(_is_number, rows[0]))
    table = _of_rows(rows[1:] if named else rows, default)
    return {**table, "headers": _widened(rows[0], len(table["headers"])) if named else table["headers"]} | {
        "data": _typed(table["data"])
    }


def _delimiter(text: str) -> str:
    first = text.lstrip("\n\r").split("\n", 1)[0]
    return max(",\t;", key=first.count)


def _of_columns(columns: Mapping[str, list[Any]]) -> dict[str, Any]:
    longest = max(map(len, columns.values()))
    padded = [_widened(values, longest) for values in columns.values()]
    return {"headers": list(map(str, columns)), "data": [list(row) for row in zip(*padded, strict=True)]}


def _of_records(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    headers = list(dict.fromkeys(name for record in records for name in record))
    return {"headers": headers, "data": [[record.get(name) for name in headers] for record in records]}


def _of_rows(rows: Sequence[Sequence[Any]], default: Any) -> dict[str, Any]:
    width = max(map(len, rows), default=0)
    known = default.get("headers") if isinstance(default, dict) else None
    fits = isinstance(known, list) and len(known) == width
    headers = known if fits else [str(number + 1) for number in range(width)]
    return {"headers": headers, "data": [_widened(row, width) for row in rows]}


def _widened(row: Sequence[Any], width: int) -> list[Any]:
    return [*row, *[None] * (width - len(row))]


def _typed(rows: list[list[Any]]) -> list[list[Any]]:
    """Columns whose every cell is a number, as numbers; an empty cell becomes None."""
    columns = [
        [_cell(cell) for cell in column] if all(_is_number(c) or not c for c in column) else list(column)
        for column in zip(*rows, strict=True)
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _is_number(cell: Any) -> bool:
    try:
        float(cell)
    except (TypeError, ValueError):
        return False
    return "_" not in cell


def _cell(cell: Any) -> int | float | None:
    if not cell:
        return None
    try:
        return int(cell)
    except ValueError:
        return float(cell)
