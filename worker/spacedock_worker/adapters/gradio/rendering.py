"""What people read of an endpoint's outputs, and which components have something to read (pure)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from html import unescape
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


MAX_PAGE = 2**18
"""Characters of a page of HTML that are made into words."""

_MOST_ENTITIES = 20_000
_MOST_OPTIONS = 50
# A tag ends at the first > outside of quotes; one that never ends reaches to the page's end. No pattern may
# try a part again (++, *+), nor fail after a long search: pages that provoke this would take hours.
_REST = r"""(?:[^>"']++|"[^"]*+"|'[^']*+'|["'])*+>?"""
_UNSEEN = re.compile(
    rf"<!--(?:[^-]++|-(?!->))*+(?:-->)?|<(script|style)\b{_REST}(?:[^<]++|<(?!/\1\b))*+", re.IGNORECASE
)
_BLOCK = re.compile(rf"</?(?:p|div|br|li|tr|table|ul|ol|h[1-4]|pre|hr)\b{_REST}", re.IGNORECASE)
_TAG = re.compile(rf"<[a-z/!?]{_REST}", re.IGNORECASE)
_ENTITY = re.compile(
    r"&(?:#[0-9]{1,7}(?![0-9])|#x[0-9a-f]{1,6}(?![0-9a-f])|[a-z][a-z0-9]{1,31});?", re.IGNORECASE
)
_GAPS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[ \n]*")


def joined(outputs: Sequence[tuple[str, Any]]) -> str | None:
    """The texts of (component type, value) pairs as lines; None where there is nothing to read.

    An empty text beside others is left out: it is mostly the box that a page empties after sending.
    """
    texts = [text for kind, value in outputs if (text := text_of(kind, value)) is not None]
    said = [text for text in texts if text]
    return "\n".join(said) if said else "" if texts else None


def text_of(component: str, value: Any) -> str | None:
    """The text of one output whose files are already {"file": name, "index": n}; None for those."""
    match value:
        case None | {"file": str(), "index": int()}:
            return None
        case str():
            return words_of(value) if component == "html" else value
        case {"url": str(url)} if len(value) == 1:
            return url
        case {"label": label, **rest} if component == "label" and not rest.keys() - {"confidences"}:
            return None if label is None else str(label)
        case list() if component == "chatbot":
            return _answer(value)
        case _ if component in PLOTS:
            return None
        case {"text": str(words), "files": list()} if component == "multimodaltextbox":
            return words or None
        case list() | dict() if not value or _only_files(value):
            return None
    if (text := _rich(component, value)) is not None:
        return text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rich(component: str, value: Any) -> str | None:
    if component == "dataframe":
        return table_text(value)
    if component == "highlightedtext":
        return marked_text(value)
    return spoken_text(value) if component == "dialogue" else message_text(value)


def words_of(page: str) -> str:
    """What a browser would show of a piece of HTML, a line for each block; of a long one its beginning.

    Every pass takes time in proportion to the length, whatever the page holds.
    """
    seen = _UNSEEN.sub("", page[:MAX_PAGE])
    bare = _TAG.sub("", _BLOCK.sub("\n", seen))
    words = _ENTITY.sub(lambda found: unescape(found[0]), bare, count=_MOST_ENTITIES)
    return _BREAKS.sub("\n", _GAPS.sub(" ", words)).strip()


def _answer(messages: list[Any]) -> str | None:
    """What a chat has said since the user's last words, without its thoughts where it says more."""
    newest: list[Any] = []
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            break
        newest.append(message)
        if isinstance(message, list) and message and message[0] is not None:
            break
    said = [m for m in newest if not _is_thought(m)] or newest
    texts = [text for m in reversed(said) if (text := _said(m)) is not None]
    return "\n".join(texts) if texts else None


def _is_thought(message: Any) -> bool:
    match message:
        case {"metadata": {"title": str(title)}}:
            return bool(title)
    return False


def _said(message: Any) -> str | None:
    """The words of a pair (until 5), or of a message."""
    match message:
        case [_, said]:
            return _part_text(said)
        case {"content": _}:
            return message_text({"role": None, **message})
    return None


def message_text(value: object) -> str | None:
    """One message of a chat with the options that it offers; or None if it is not one."""
    if not isinstance(value, dict) or "role" not in value or "content" not in value:
        return None
    content = value["content"]
    parts = content if isinstance(content, list) else [content]
    said = [text for part in parts if (text := _part_text(part)) is not None]
    options = value.get("options")
    for option in options[:_MOST_OPTIONS] if isinstance(options, list) else ():
        if isinstance(option, dict) and isinstance(words := option.get("label") or option.get("value"), str):
            said.append(f"- {words}")
    return "\n".join(said) or None


def _part_text(part: Any) -> str | None:
    """The words of one part of a message: a text, or a component's (from 5)."""
    match part:
        case str() | {"text": str()}:
            return part if isinstance(part, str) else str(part["text"])
        case {"component": str(kind), "value": value}:
            return text_of(kind, value)
    return None


def _only_files(value: list[Any] | dict[str, Any]) -> bool:
    if isinstance(value, list):
        # A gallery pairs each picture with its caption until Gradio 4.
        files = [item for item in value if isinstance(item, list | dict)]
        captions = all(isinstance(item, list | dict | str | None) for item in value)
        return bool(files) and captions and all(_only_files(item) for item in files)
    if value.keys() == {"file", "index"}:
        return True
    media = {
        key: value[key]
        for key in ("image", "video", "background", "composite")
        if isinstance(value.get(key), dict)
    }
    return bool(media) and all(_only_files(item) for item in media.values())
