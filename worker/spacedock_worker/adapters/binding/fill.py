"""Filling one endpoint's inputs from a call: the prompt, its files, the inputs by name, the defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.coerce import value_for
from spacedock_worker.adapters.binding.files import Placement, Upload, place, shape
from spacedock_worker.adapters.binding.prompt import may_stay_empty, prompt_slot, says_alike
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.adapters.faults import CannotFillError

# No slot has a longer one.
_LONGEST_NAME = 256


@dataclass(frozen=True, slots=True)
class Filling:
    """The queue's `data`, with `Upload` where a file will be, the slot that took the prompt, the names of
    the boxes without a default that are left empty, and of the optional inputs that counted."""

    data: tuple[Any, ...]
    prompt: InputSlot | None
    blanks: tuple[str, ...] = ()
    honoured: tuple[str, ...] = ()


def fill(endpoint: Endpoint, call: AppCall) -> Filling:
    """Give every slot of the endpoint its value; States are sent as null, as they belong to the session.

    A prompt that no slot takes is dropped only where a file was placed: people write "read this sign" beside
    a picture, and the picture is the input. A file slot stays empty only beside another of its kind that
    got a file, or where an input says null. A box of a page that comes after the prompt's, or after one that
    is given by name, may stay empty. Raises CannotFillError with the reason.
    """
    named = _named(endpoint, call)
    values = {slot.position: _given(slot, value, call) for slot, value in named}
    first = min((slot.position for slot, value in named if value is not None), default=endpoint.width)
    free = [slot for slot in endpoint.slots if slot.position not in values]
    placed = _placed(free, named, values, call)
    taker = _prompt_taker(endpoint, free, placed, call)
    first = min(first, taker.position if taker else first)
    blanks: list[str] = []
    for slot in free:
        if slot.position in placed and slot.component in kinds.TABLE:
            values[slot.position] = value_for(slot, call.files[placed[slot.position][0].index].data)
            continue
        try:
            values[slot.position] = _value(slot, slot is taker, placed, free, call.prompt)
        except CannotFillError:
            if slot is taker or slot.position < first or not may_be_blank(slot, endpoint):
                raise
            values[slot.position] = kinds.blank(slot)
            blanks.append(slot.name)
    settings = [slot for slot in free if slot is not taker and slot.position not in placed]
    honoured = _settle(endpoint, settings, call, values)
    data = tuple(values.get(place) for place in range(endpoint.width))
    return Filling(data, taker, tuple(blanks), honoured)


def _settle(
    endpoint: Endpoint, free: list[InputSlot], call: AppCall, values: dict[int, Any]
) -> tuple[str, ...]:
    """Give the free slots what the call would like, where they take it; the names of what was given."""
    exact = {slot.name: slot for slot in reversed(endpoint.slots)}
    honoured: list[str] = []
    for name, value in call.optional.items():
        slot = exact.get(name) or _by_words(endpoint, _words(name))
        if slot is None or slot not in free or kinds.takes_files(slot):
            continue
        with suppress(CannotFillError):
            values[slot.position] = value_for(slot, value)
            free.remove(slot)
            honoured.append(name)
    return tuple(honoured)


def may_be_blank(slot: InputSlot, endpoint: Endpoint) -> bool:
    """Whether the box may be sent empty: it is one of a page, and no half of a pair."""
    others = [other for other in endpoint.slots if other is not slot and kinds.takes_text(other)]
    pair = kinds.takes_text(slot) and any(says_alike(slot, other) for other in others)
    return slot.blank and not pair


def _named(endpoint: Endpoint, call: AppCall) -> list[tuple[InputSlot, Any]]:
    exact = {f"input_{slot.position}": slot for slot in endpoint.slots}
    exact |= {slot.name: slot for slot in reversed(endpoint.slots)}
    found: list[tuple[InputSlot, Any]] = []
    for name, value in call.inputs.items():
        slot = exact.get(name) or _by_words(endpoint, _words(name))
        if slot is None:
            names = ", ".join(slot.name for slot in endpoint.slots) or "none"
            raise CannotFillError(f"it has no input '{name}'; its inputs: {names}")
        if len(found) == len(endpoint.slots):
            raise CannotFillError(f"it has {len(found)} inputs, and {len(call.inputs)} are given")
        found.append((slot, value))
    return found


def _by_words(endpoint: Endpoint, words: tuple[str, ...]) -> InputSlot | None:
    if not words:
        return None
    # Where a State comes first, Gradio's `/info` names the inputs after it wrongly; the label is right. And
    # before 4.20 there are labels only: "Source language" may be written source_language.
    labelled = (slot for slot in endpoint.slots if words in (_words(slot.label), _words(slot.name)))
    if (slot := next(labelled, None)) is not None:
        return slot
    # "total" may stand for "Show the total", where nothing else has it.
    part = [slot for slot in endpoint.slots if set(words) <= set(_words(slot.label))]
    return part[0] if len(part) == 1 else None


@lru_cache(maxsize=2**12)
def _words(name: str) -> tuple[str, ...]:
    return tuple(re.findall(r"[^\W_]+", name[:_LONGEST_NAME].lower()))


def _given(slot: InputSlot, value: Any, call: AppCall) -> Any:
    if value == "null" and slot.component not in kinds.TEXT:
        # A command line has no other way to say it.
        value = None
    if not kinds.takes_files(slot) or value is None:
        return value_for(slot, value)
    if isinstance(value, dict | list) and slot.component not in kinds.TABLE:
        return _with_uploads(slot, value, call)
    if slot.component == kinds.MULTIMODAL:
        return value_for(slot, value)
    index = _index(value, call)
    if slot.component in kinds.TABLE:
        return value_for(slot, value if index is None else call.files[index].data)
    if index is None:
        raise _no_file(slot)
    return shape(slot, [Upload(index)])


def _with_uploads(slot: InputSlot, value: Any, call: AppCall) -> Any:
    """What the app itself takes there, with `{"file": name}` in the place of each file."""
    match value:
        case {"file": str(name), **others} if not others:
            if (index := _index(name, call)) is None:
                raise _no_file(slot)
            return Upload(index)
        case dict():
            return {key: _with_uploads(slot, item, call) for key, item in value.items()}
        case list():
            return [_with_uploads(slot, item, call) for item in value]
    return value


def _index(name: Any, call: AppCall) -> int | None:
    return next((i for i, file in enumerate(call.files) if file.ref.name == name), None)


def _no_file(slot: InputSlot) -> CannotFillError:
    return CannotFillError(f"{slot.name} takes a file: send it with the job and give its name here")


def _names_in(value: Any) -> Iterator[str]:
    """The files that are named anywhere in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _names_in(item)


def _placed(
    free: list[InputSlot], named: list[tuple[InputSlot, Any]], values: Mapping[int, Any], call: AppCall
) -> Placement:
    taken = {name for slot, value in named if kinds.takes_files(slot) for name in _names_in(value)}
    left = {index: file.ref for index, file in enumerate(call.files) if file.ref.name not in taken}
    return place([slot for slot in free if kinds.takes_files(slot)], left)


def _prompt_taker(
    endpoint: Endpoint, free: list[InputSlot], placed: Placement, call: AppCall
) -> InputSlot | None:
    if not call.prompt.strip():
        return None
    taker = prompt_slot(free)
    if taker is None and not call.files and (taker := _only_meant(free, call.prompt)) is None:
        taken = [s.name for s in endpoint.slots if kinds.takes_text(s)]
        asks = [f", and {slot.name} takes {_need(slot)}" for slot in free if slot.choices and not slot.custom]
        no_text = f"it takes no text{asks[0] if len(asks) == 1 else ''}"
        why = f"{', '.join(taken)} is given as an input already" if taken else no_text
        raise CannotFillError(f"the prompt has nowhere to go: {why}")
    return taker


def _only_meant(free: list[InputSlot], prompt: str) -> InputSlot | None:
    """The only slot with a value of its own that can be the prompt instead: one of its choices, a number."""
    settings = [slot for slot in free if slot.component in kinds.CHOICE | kinds.NUMBER]
    meant = [slot for slot in settings if _reads(slot, prompt.strip())]
    return meant[0] if len(meant) == 1 else None


def _reads(slot: InputSlot, prompt: str) -> bool:
    try:
        value_for(slot, prompt)
    except CannotFillError:
        return False
    return not slot.custom


def _value(slot: InputSlot, is_taker: bool, placed: Placement, free: list[InputSlot], prompt: str) -> Any:
    if slot.position in placed:
        return shape(slot, placed[slot.position], prompt if is_taker else "")
    if is_taker:
        return _prompt_as(slot, prompt)
    if not slot.required:
        return slot.default
    if may_stay_empty(slot):
        return ""
    kind = kinds.MEDIA.get(slot.component)
    if any(other.position in placed and kinds.MEDIA[other.component] == kind for other in free):
        return None
    raise CannotFillError(f"{slot.name} needs {_need(slot)}")


def _prompt_as(slot: InputSlot, prompt: str) -> Any:
    if kinds.takes_text(slot):
        return value_for(slot, prompt)
    try:
        return value_for(slot, prompt.strip())
    except CannotFillError:
        raise CannotFillError(f"{slot.name} takes {_need(slot)}, which the prompt is not") from None


def _need(slot: InputSlot) -> str:
    if slot.component in kinds.TABLE:
        return "a table: rows or records as JSON, CSV text, or a CSV file"
    if kinds.takes_files(slot):
        medium = kinds.MEDIA[slot.component].rstrip("/")
        return f"a file{f' ({medium})' if medium else ''}"
    if slot.choices:
        return f"one of {', '.join(str(value) for _, value in slot.choices[:20])}"
    return "a text" if slot.component in kinds.TEXT else f"a value ({slot.component})"
