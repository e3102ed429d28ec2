"""Where each input of a call comes from, told before anything is sent (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from spacedock_worker.adapters.base import AppCall
from spacedock_worker.adapters.choice import Choice, choose
from spacedock_worker.adapters.endpoint import Endpoint, Slot
from spacedock_worker.adapters.placing import Upload

_SHOWN = 60


def mapping_of(endpoints: Sequence[Endpoint], call: AppCall) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The endpoint that the call would go to, and for each of its inputs where its value comes from.

    The prompt itself is not told. Raises StepError of kind `bad_input`, as the call would.
    """
    choice = choose(endpoints, call)
    rows = tuple((slot.name, _source(slot, choice, call)) for slot in choice.endpoint.slots)
    return choice.endpoint.name, rows


def _source(slot: Slot, choice: Choice, call: AppCall) -> str:
    value = choice.filling.data[slot.position] if slot.position < len(choice.filling.data) else None
    parts = [f"file {call.files[upload.index].ref.name}" for upload in _uploads(value)]
    if slot is choice.filling.prompt:
        parts.insert(0, "the prompt")
    if parts:
        return ", ".join(parts)
    if slot.name in call.inputs:
        return f"given: {_short(call.inputs[slot.name])}"
    return f"default: {_short(value)}"


def _uploads(value: Any) -> Iterator[Upload]:
    if isinstance(value, Upload):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _uploads(item)


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
