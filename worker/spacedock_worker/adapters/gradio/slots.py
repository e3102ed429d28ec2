"""The inputs of a Gradio function: from its components, from `/info` and from its examples (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.endpoint import Endpoint, InputSlot
from spacedock_worker.adapters.faults import shortened
from spacedock_worker.adapters.gradio.relations import MAX_NAME
from spacedock_worker.adapters.gradio.wire import Component, Config, ParameterInfo

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


# Gradio's own that no caller fills like one of the kinds in `kinds`; `api` is a parameter of gr.Server.
_OTHERS = frozenset({
    "annotatedimage", "barplot", "browserstate", "chatbot", "colorpicker", "dataset", "datetime", "dialogue",
    "downloadbutton", "fileexplorer", "highlightedtext", "html", "label", "lineplot", "nativeplot",
    "paramviewer", "plot", "scatterplot", "state", "timer",
})  # fmt: skip
_OWN = (
    kinds.TEXT
    | kinds.NUMBER
    | kinds.YES_NO
    | kinds.CHOICE
    | kinds.JSON
    | kinds.TABLE
    | kinds.FURNITURE
    | kinds.MEDIA.keys()
    | _OTHERS
)
_SIMPLE = {"string": kinds.TYPED, "number": "number", "integer": "number", "boolean": "checkbox"}
MAX_ROWS = 64

Schema = Mapping[str, Any]


def box_of(component: Component, schema: Schema) -> str:
    """The kind of box that the component is, which is sent what the schema says.

    People write components of their own: what their names mean nobody knows, what they take Gradio tells.
    """
    name = component.type
    if name == "api":
        return _SIMPLE.get(str(schema.get("type")), "json").replace(kinds.TYPED, "textbox")
    if name in _OWN:
        # Gradio 3 has a mask beside the picture where one can draw on it.
        return kinds.MASKED if component.props.get("tool") == "sketch" else name
    one = _present(schema)
    if (file := _file_in(one)) is not None:
        return "image" if file.get("title") == "ImageData" else "file"
    if component.choices or choices_of(one):
        return "dropdown"
    return _SIMPLE.get(str(one.get("type")), name)


def takes_many(component: Component, schema: Schema) -> bool:
    """Whether it takes a list: of files, or of choices."""
    several = component.props.get("file_count") in ("multiple", "directory")
    listed = component.type == "gallery" or _is_file(_items(_present(schema)))
    return several or listed or bool(component.props.get("multiselect"))


def choices_of(schema: Schema) -> tuple[tuple[str, Any], ...]:
    """The choices that a schema lists, as (label, value) pairs."""
    listed = _present(schema).get("enum")
    return tuple((str(one), one) for one in listed) if isinstance(listed, list) else ()


def file_key(schema: Schema) -> str:
    """The key below which an object of this schema holds its file; empty where it holds none.

    Gradio 5 so wraps a video; people's components put points or boxes beside a picture.
    """
    one = _present(schema)
    if _is_file(one):
        return ""
    return next((key for key, part in _parts(one) if key == "video" or _is_file(_present(part))), "")


def beside_the_file(schema: Schema) -> dict[str, Any]:
    """What a page sends for the rest of such an object where nobody has touched it."""
    parts = _parts(_present(schema))
    return {key: [] if _present(part).get("type") == "array" else None for key, part in parts}


def _file_in(schema: Schema) -> Schema | None:
    within = (schema, _items(schema), _present(dict(_parts(schema)).get(file_key(schema), {})))
    return next((one for one in within if _is_file(one)), None)


def _parts(schema: Schema) -> list[tuple[str, Schema]]:
    """The properties, those that stand among the schema's definitions put in their places."""
    parts, known = schema.get("properties"), schema.get("$defs")
    named = list(parts.items())[:MAX_ROWS] if isinstance(parts, dict) else []
    return [(key, _referred(_present(part), known)) for key, part in named if isinstance(part, dict)]


def _items(schema: Schema) -> Schema:
    items = schema.get("items")
    return _referred(_present(items), schema.get("$defs")) if isinstance(items, dict) else {}


def _referred(part: Schema, known: object) -> Schema:
    """The schema that the part names, which a data model of Gradio 4 has among its definitions."""
    name = str(part.get("$ref")).removeprefix("#/$defs/")
    found = known.get(name) if isinstance(known, dict) else None
    return found if isinstance(found, dict) else part


def _present(schema: Schema) -> Schema:
    """The schema itself, without the null that makes it optional."""
    for word in ("anyOf", "oneOf"):
        listed = schema.get(word)
        if isinstance(listed, list):
            return next((s for s in listed if isinstance(s, dict) and s.get("type") != "null"), {})
    return schema


def _is_file(schema: Schema) -> bool:
    parts = schema.get("properties")
    return isinstance(parts, dict) and "path" in parts and bool({"orig_name", "meta"} & parts.keys())


_MOST = 20
_LONGEST = 2_000
"""Characters of a text that is taken for an example."""


def with_example(
    endpoint: Endpoint, inputs: tuple[int, ...], rows: tuple[Mapping[int, Any], ...]
) -> Endpoint:
    """The endpoint with the first example that fills it; `inputs` are the components that it reads.

    Files of examples are left out: they are on the app's own disk.
    """
    found = (_values(endpoint, inputs, row) for row in rows)
    example = next((values for values in found if values), None)
    return replace(endpoint, example=example) if example else endpoint


def first_rows(known: Config) -> tuple[Mapping[int, Any], ...]:
    """The first row of each table of examples, as the values that a click on it gives to components."""
    return tuple(islice(_rows(known), _MOST))


def _rows(known: Config) -> Iterator[Mapping[int, Any]]:
    tables = {c.id: c.props.get("samples") for c in known.components if c.type == "dataset"}
    for dependency in known.dependencies:
        samples = tables.get(dependency.inputs[0]) if len(dependency.inputs) == 1 else None
        if isinstance(samples, list) and samples:
            row = samples[0] if isinstance(samples[0], list) else [samples[0]]
            # Examples that were computed beforehand go on with their results.
            yield dict(zip(dependency.outputs, row, strict=False))


def _values(endpoint: Endpoint, inputs: tuple[int, ...], row: Mapping[int, Any]) -> dict[str, Any] | None:
    """The example's values by the endpoint's inputs; None where it leaves one open that needs a value."""
    values = {}
    for slot in endpoint.slots:
        value = row.get(inputs[slot.position])
        if kinds.takes_files(slot):
            continue
        if _is_plain(value):
            values[slot.name] = value
        elif slot.required:
            return None
    return values


def _is_plain(value: object) -> bool:
    return isinstance(value, bool | int | float) or (isinstance(value, str) and 0 < len(value) <= _LONGEST)
