"""One input of a Gradio function, from its component and from what `/info` tells of it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import InputSlot
from spacedock_worker.adapters.faults import shortened
from spacedock_worker.adapters.gradio.boxes import (
    beside_the_file,
    box_of,
    choices_of,
    file_key,
    takes_many,
)
from spacedock_worker.adapters.gradio.relations import MAX_NAME
from spacedock_worker.adapters.gradio.wire import Component, ParameterInfo

# Their shape does not follow from their schema alone.
_SHAPED = frozenset({"gallery", "imageeditor", kinds.MULTIMODAL, kinds.MASKED})

_HUGE = 1e300


def slot_of(place: int, component: Component, parameter: ParameterInfo | None) -> InputSlot:
    """The slot at that place of what is sent."""
    props, schema = component.props, _schema(component, parameter)
    label = shortened(component.text("label"), MAX_NAME)
    required, default = _default(component, parameter)
    wrapped = file_key(schema) if component.type not in _SHAPED else ""
    return InputSlot(
        name=shortened((parameter and parameter.parameter_name) or label or f"input_{place}", MAX_NAME),
        label=label,
        component=box_of(component, schema),
        position=place,
        required=required,
        default=default,
        choices=component.choices or choices_of(schema),
        custom=bool(props.get("allow_custom_value")),
        many=takes_many(component, schema),
        accepts=component.file_types,
        blank=True,
        wrapped=wrapped,
        beside=beside_the_file(schema) if wrapped else {},
        least=_bound(component, "minimum"),
        most=_bound(component, "maximum"),
    )


def _bound(component: Component, end: str) -> float | None:
    """What a number may be at least or at most; a slider's ends are only the page's before Gradio 6."""
    bound = component.props.get(end)
    if component.type != "number" or isinstance(bound, bool) or not isinstance(bound, int | float):
        return None
    return float(bound) if abs(bound) < _HUGE else None


def _schema(component: Component, parameter: ParameterInfo | None) -> Mapping[str, Any]:
    if parameter is not None and isinstance(parameter.type, dict):
        return parameter.type
    return component.api_info_as_input or component.api_info or {}


def _default(component: Component, parameter: ParameterInfo | None) -> tuple[bool, Any]:
    if parameter is not None and parameter.parameter_has_default:
        return False, parameter.parameter_default
    value = component.props.get("value")
    if component.type == "slider" and value is None:
        # Where nobody has moved it, a page sends its lower end.
        value = component.props.get("minimum")
    if component.type == "chatbot":
        # A conversation begins empty.
        return False, value or []
    if component.type == "fileexplorer":
        # Nothing is chosen at first, and a page sends that.
        return False, value
    # Where `/info` does not speak of defaults (before 4.20), an empty text is a text that nobody has given.
    return value is None or (value == "" and component.type in kinds.TEXT), value
