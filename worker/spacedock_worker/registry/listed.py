"""A category's list with one name to a line: a name more or less is a line more or less (pure).

ruamel.yaml would read and write the whole list, which takes a second for a thousand names.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from spacedock_worker.registry.layout import LOADER

_ITEM = re.compile(r"(?P<dash>\s*-[ \t]+)[^\s#].*")


def with_line(body: str, name: str) -> str | None:
    """The lines of a category, with the name as its last; None where the list is not written so."""
    found = _items(body)
    if not found or any(item.value == name for item in found):
        return body if found else None
    lines = body.splitlines(keepends=True)
    last = found[-1].start_mark.line
    dash = _ITEM.match(lines[last])
    if dash is None:
        return None
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    lines.insert(last + 1, f"{dash['dash']}{_scalar(name)}\n")
    return "".join(lines)


def without_line(body: str, name: str) -> str | None:
    """The lines of a category without the name; None where the list is not written so, or would be empty."""
    found = _items(body)
    gone = {item.start_mark.line for item in found if item.value == name}
    if not found or len(gone) == len(found):
        return None
    return "".join(line for place, line in enumerate(body.splitlines(keepends=True)) if place not in gone)


def _items(body: str) -> list[Any]:
    """The events of the list's names; none where something else is in it, or two lines are one name's."""
    events: list[Any] = list(yaml.parse(body, LOADER))
    # The stream, the document, the mapping and its key begin; the list, the mapping and all else end.
    head, items, tail = events[:5], events[5:-4], events[-4:]
    if len(events) < 10 or not isinstance(head[4], yaml.SequenceStartEvent) or head[4].flow_style:
        return []
    if not isinstance(tail[0], yaml.SequenceEndEvent):
        return []
    return items if all(_is_plain(item) for item in items) else []


def _is_plain(item: Any) -> bool:
    """Whether a list's item is a name on one line, without an anchor."""
    word = isinstance(item, yaml.ScalarEvent) and item.anchor is None
    return word and item.start_mark.line == item.end_mark.line


def _scalar(name: str) -> str:
    """The name as YAML has it: in quotes where it would be a number, or a word of YAML's."""
    return yaml.safe_dump([name]).removeprefix("- ").rstrip("\n")
