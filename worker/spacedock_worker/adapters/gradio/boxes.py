"""Which box a component is to a caller: Gradio's own by their names, others by their schema (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spacedock_worker.adapters.binding import kinds
from spacedock_worker.adapters.gradio.wire import Component

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
