"""One input of a Gradio function, from its component and from what `/info` tells of it (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import InputSlot
from spacedock_worker.adapters.faults import shortened
from spacedock_worker.adapters.gradio.relations import MAX_NAME
from spacedock_worker.adapters.gradio.wire import Component, ParameterInfo

_BOXES = {"string": "textbox", "number": "number", "integer": "number", "boolean": "checkbox"}


def slot_of(place: int, component: Component, parameter: ParameterInfo | None) -> InputSlot:
    """The slot at that place of what is sent."""
    props, schema = component.props, _schema(component, parameter)
    label = shortened(component.text("label"), MAX_NAME)
    required, default = _default(component, parameter)
    return InputSlot(
        name=shortened((parameter and parameter.parameter_name) or label or f"input_{place}", MAX_NAME),
        label=label,
        component=_kind(component, schema),
        position=place,
        required=required,
        default=default,
        choices=component.choices,
        custom=bool(props.get("allow_custom_value")),
        many=_takes_many(component),
        accepts=component.file_types,
        blank=True,
        wrapped=_names(schema.get("properties"), "video"),
    )


def _kind(component: Component, schema: Mapping[str, Any]) -> str:
    if component.type == "api":
        # The parameters of gr.Server have no box on a page, but a type.
        return _BOXES.get(str(schema.get("type")), "json")
    # Gradio 3 has a mask beside the picture where one can draw on it.
    return kinds.MASKED if component.props.get("tool") == "sketch" else component.type


def _schema(component: Component, parameter: ParameterInfo | None) -> Mapping[str, Any]:
    if parameter is not None and isinstance(parameter.type, dict):
        return parameter.type
    return component.api_info_as_input or component.api_info or {}


def _default(component: Component, parameter: ParameterInfo | None) -> tuple[bool, Any]:
    if parameter is not None and parameter.parameter_has_default:
        return False, parameter.parameter_default
    value = component.props.get("value")
    if component.type == "chatbot":
        # A conversation begins empty.
        return False, value or []
    # Where `/info` does not speak of defaults (before 4.20), an empty text is a text that nobody has given.
    return value is None or (value == "" and component.type in kinds.TEXT), value


def _takes_many(component: Component) -> bool:
    several = component.props.get("file_count") in ("multiple", "directory")
    return several or component.type == "gallery" or bool(component.props.get("multiselect"))


def _names(properties: object, name: str) -> bool:
    return isinstance(properties, dict) and name in properties
