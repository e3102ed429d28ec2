"""An endpoint's inputs as a JSON Schema, bounded: the app's own words are a stranger's (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spacedock.replies.spaces import EndpointSchema
from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.binding.choose import foremost
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot

_MOST_ENDPOINTS, _MOST_SLOTS, _MOST_CHOICES, _LONGEST = 50, 50, 100, 300


def described(
    endpoints: Sequence[Endpoint], named: str | None, inputs: Mapping[str, Any]
) -> list[EndpointSchema]:
    """A row for each endpoint: `name`, `schema` of its inputs, and `outputs`, the components that it fills.

    The first is the one that the Space's entry names, or that does the app's main work. Inputs that the
    entry gives have that value as their default.
    """
    first = next((one for one in endpoints if one.name == named), None) or foremost(endpoints)
    ordered = [first, *(one for one in endpoints if one is not first)] if first else list(endpoints)
    return [
        {
            "name": endpoint.name,
            "schema": input_schema(endpoint, inputs),
            "outputs": [output for output in endpoint.outputs[:_MOST_SLOTS] if output],
        }
        for endpoint in ordered[:_MOST_ENDPOINTS]
    ]


def input_schema(endpoint: Endpoint, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the endpoint's inputs; one that takes a file has a `contentMediaType`."""
    named = {slot.name: slot for slot in reversed(endpoint.slots)}
    # Of two inputs of one name the later goes by its place.
    slots = {s.name if named[s.name] is s else f"input_{s.position}": s for s in endpoint.slots[:_MOST_SLOTS]}
    return {
        "type": "object",
        "properties": {name: _property(slot, inputs.get(name)) for name, slot in slots.items()},
        "required": [name for name, slot in slots.items() if slot.required and name not in inputs],
        "additionalProperties": False,
    }


def _property(slot: InputSlot, given: Any) -> dict[str, Any]:
    told = {"title": slot.label[:_LONGEST]} if slot.label and slot.label != slot.name else {}
    default = slot.default if given is None else given
    if _is_plain(default) and (given is not None or not slot.required):
        told["default"] = default
    return {**_kind(slot), **told}


def _kind(slot: InputSlot) -> dict[str, Any]:
    if slot.component in kinds.TEXT:
        return {"type": "string"}
    if slot.component in kinds.TABLE:
        return {"description": "a table: rows or records as JSON, or CSV text"}
    if slot.component in kinds.MEDIA:
        return {"type": "string", "format": "uri", "contentMediaType": f"{kinds.MEDIA[slot.component]}*"}
    if slot.component in kinds.NUMBER:
        bounds = {"minimum": slot.least, "maximum": slot.most}
        return {"type": "number", **{key: bound for key, bound in bounds.items() if bound is not None}}
    if slot.component in kinds.YES_NO:
        return {"type": "boolean"}
    return _choice(slot) if slot.component in kinds.CHOICE else {}


def _choice(slot: InputSlot) -> dict[str, Any]:
    values = [value for _, value in slot.choices]
    # A list that is cut would forbid what was cut off.
    closed = values and not slot.custom and len(values) <= _MOST_CHOICES and all(map(_is_plain, values))
    one: dict[str, Any] = {"enum": values} if closed else {}
    many = slot.many or slot.component == "checkboxgroup"
    return {"type": "array", "items": one} if many else one


def _is_plain(value: Any) -> bool:
    """Whether the value is short, and holds no other."""
    return isinstance(value, bool | int | float) or (isinstance(value, str) and len(value) <= _LONGEST)
