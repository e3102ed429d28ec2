"""Turning an input given by name, often a string of the command line, into what its component takes."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.tables import table_of
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
