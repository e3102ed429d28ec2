"""Outputs that are more than text, made readable: tables, plots, marked texts, dialogues (pure)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from typing import Any

Axes = Mapping[str, str]
"""The column of a table that is on each axis of a plot: "x", "y" or "color"."""

_VEGA_LITE = "https://vega.github.io/schema/vega-lite/v5.json"
_PATH = re.compile(r"([.\[\]\\])")
PLOTS = frozenset({"plot", "nativeplot"})


def table_text(value: object) -> str | None:
    """A Dataframe's value as CSV; or None if it is not one."""
    match value:
        case {"headers": list(headers), "data": list(rows)} if all(isinstance(row, list) for row in rows):
            text = io.StringIO()
            writer = csv.writer(text, lineterminator="\n")
            if headers:
                writer.writerow(headers)
            writer.writerows(rows)
            return text.getvalue().rstrip("\n")
    return None


def plot_file(component: str, value: Any, axes: Axes | None = None) -> tuple[str, bytes] | None:
    """A plot's specification as a file: its name and bytes; None where it is a picture, or nothing."""
    match value:
        case {"type": str(kind), "plot": str(plot)} if not plot.startswith("data:"):
            return f"{_word(kind)}.json", plot.encode("utf-8", "replace")
        case {"columns": list(columns), "data": list(rows)} if component == "nativeplot":
            drawn = _vega_lite(columns, rows, axes or {}, value.get("datatypes"), value.get("mark"))
            return "plot.json", json.dumps(drawn, ensure_ascii=False).encode("utf-8", "replace")
    return None


def _vega_lite(
    columns: list[object], rows: list[object], axes: Axes, kinds: object, mark: object
) -> dict[str, object]:
    """What gr.LinePlot and its like draw of a table, as others can draw it too."""
    encoding: dict[str, dict[str, str]] = {}
    for axis, column in axes.items():
        # A dot or a bracket would lead into the value.
        encoding[axis] = {"field": _PATH.sub(r"\\\1", column)}
        if isinstance(kinds, dict) and isinstance(kind := kinds.get(column), str):
            encoding[axis]["type"] = kind
    names = [str(column) for column in columns]
    values = [dict(zip(names, row, strict=False)) for row in rows if isinstance(row, list)]
    drawn = mark if isinstance(mark, str) else "point"
    return {"$schema": _VEGA_LITE, "data": {"values": values}, "mark": drawn, "encoding": encoding}


def marked_text(value: object) -> str | None:
    """A HighlightedText as "Ada [person] sings"; or None if it is not one."""
    parts = []
    for item in value if isinstance(value, list) else [None]:
        match item:
            case {"token": str(token), "class_or_confidence": mark} | [str(token), mark]:
                parts.append(token if mark is None else f"{token} [{mark}]")
            case _:
                return None
    return "".join(parts)


def spoken_text(value: object) -> str | None:
    """A Dialogue as a line for each turn; or None if it is not one."""
    lines = []
    for turn in value if isinstance(value, list) else [None]:
        match turn:
            case {"speaker": str(speaker), "text": str(text)}:
                lines.append(f"{speaker}: {text}")
            case _:
                return None
    return "\n".join(lines)


def _word(kind: str) -> str:
    kept = "".join(c for c in kind[:40] if c.isascii() and c.isalnum())
    return kept or "plot"
