"""Changing the text of a registry.yaml: one entry at a time, and not a letter of anything else (pure).

ruamel.yaml keeps the comments and the order of what it writes, but takes seconds for thousands of lines. So
it is given only the lines of the entry that changes; a file in which an entry has no lines of its own (flow
style, anchors) is given to it as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml
from ruamel.yaml.comments import CommentedMap

from spacedock.errors import BadRequestError
from spacedock_worker.registry.layout import LOADER, Layout, Piece, layout
from spacedock_worker.registry.roundtrip import as_written, dumped, editor, loaded, mapping_indent, same

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


MapChange = Callable[[CommentedMap, Any], None]
"""Changes a mapping at a key, which YAML may have read as a number."""

LayOut = Callable[[str], Layout]
"""Finds the pieces of a text: `layout`, or what remembers some of them."""


def with_entry(text: str, name: str, fields: Mapping[str, Any], lay: LayOut = layout) -> str:
    """The text with the entry in place of an earlier one of that name, or as the last one."""
    row = as_written({name: dict(fields)})
    return _changed(text, "spaces", name, lambda spaces, key: _put(spaces, key, row), lay)


def with_fields(text: str, name: str, fields: Mapping[str, Any], lay: LayOut = layout) -> str:
    """The text with these fields of an entry that is there set; a field that is None is taken away."""
    new = as_written({field: value for field, value in fields.items() if value is not None})

    def change(spaces: CommentedMap, key: Any) -> None:
        entry = spaces[key]
        for field in fields:
            if field not in new and field in entry:
                del entry[field]
        for field, value in new.items():
            if field not in entry or not same(entry[field], value):
                entry[field] = value

    return _changed(text, "spaces", name, change, lay)


def without_entry(text: str, name: str, lay: LayOut = layout) -> str:
    """The text without the entry; comments above it stay."""
    return _changed(text, "spaces", name, lambda spaces, key: _drop(spaces, key), lay)


def with_listed(text: str, category: str, name: str, lay: LayOut = layout) -> str:
    """The text with the Space on the category's list."""
    new = as_written({category: [name]})

    def change(categories: CommentedMap, key: Any) -> None:
        names = _list(categories, key)
        if names is None:
            _put(categories, key, new)
        elif name not in map(str, names):
            names.append(new[category][0])

    return _changed(text, "categories", category, change, lay, lambda body: with_line(body, name))


def without_listed(text: str, category: str, name: str, lay: LayOut = layout) -> str:
    """The text with the Space off the category's list; a list that is empty then goes."""

    def change(categories: CommentedMap, key: Any) -> None:
        names = _list(categories, key)
        listed = [place for place, other in enumerate(names or ()) if str(other) == name]
        if names is None or not listed:
            return
        for place in reversed(listed):
            del names[place]
        if not names:
            del categories[key]

    return _changed(text, "categories", category, change, lay, lambda body: without_line(body, name))


def _put(mapping: CommentedMap, key: Any, new: CommentedMap) -> None:
    """Set the one key that `new` has; where it is there already, as it is written there."""
    (written, value), *_ = new.items()
    mapping[key if key in mapping else written] = value


def _drop(mapping: CommentedMap, key: Any) -> None:
    mapping.pop(key, None)


def _list(categories: CommentedMap, category: Any) -> list[Any] | None:
    names: list[Any] | None = categories.get(category)
    if names is not None and not isinstance(names, list):
        raise BadRequestError(f"the category '{category}' is not a list: mend the file first")
    return names


def _changed(
    text: str,
    part: str,
    key: str,
    change: MapChange,
    lay: LayOut,
    by_line: Callable[[str], str | None] = lambda body: None,
) -> str:
    """The text after a change of one key of a part; `by_line` is tried before, and may give it up."""
    found = lay(text)
    pieces = found.spaces if part == "spaces" else found.categories
    if found.linked or not found.top:
        return _whole(text, part, key, change)
    if not pieces:
        return _in_part(text, found, part, lambda lines: _whole(lines, part, key, change))
    piece = next((one for one in pieces if one.key == key), None)
    if piece is None:
        return _appended(text, pieces, key, change)
    body = text[piece.start : piece.end]
    before, after = text[: piece.start], text[piece.end :]
    new = by_line(body)
    if new is None:
        new = _rewritten(body, piece.column, change)
    if not new and before.endswith("\n\n") and after.startswith("\n"):
        # The blank lines above and below an entry that went are one too many.
        after = after[1:]
    return text if new == body else before + new + after


def _in_part(text: str, found: Layout, part: str, rewritten: Callable[[str], str]) -> str:
    """The text with a part rewritten that has no lines for each key, or is not there yet."""
    piece = next((one for one in found.top if one.key == part), None)
    if piece is None:
        new = rewritten("")
        return f"{text.rstrip()}\n\n{new}" if new else text
    return text[: piece.start] + rewritten(text[piece.start : piece.end]) + text[piece.end :]


def _rewritten(body: str, column: int, change: MapChange) -> str:
    """The lines of one key after its change; none where the key went."""
    yaml, mapping = loaded("".join(_dedented(line, column) for line in body.splitlines(keepends=True)))
    before = dumped(yaml, mapping)
    change(mapping, next(iter(mapping)))
    after = dumped(yaml, mapping) if mapping else ""
    # What ruamel.yaml would write otherwise without any change is no reason to touch the lines.
    return body if after == before else _indented(after, column)


def _appended(text: str, pieces: Sequence[Piece], key: str, change: MapChange) -> str:
    """The text with a new key behind the last one of its part."""
    mapping = CommentedMap()
    change(mapping, key)
    if not mapping:
        return text
    last = pieces[-1]
    yaml = editor(mapping_indent(text[pieces[0].start : last.end]))
    before = text[: last.end] if text[: last.end].endswith("\n") else f"{text[: last.end]}\n"
    # A blank line between entries, where there is one between the others.
    gap = "\n" if before[: last.start].endswith("\n\n") and last.start > 0 else ""
    return before + gap + _indented(dumped(yaml, mapping), last.column) + text[last.end :]


def _whole(text: str, part: str, key: str, change: MapChange) -> str:
    """The text after the change of a document, or of a part of one that stands alone."""
    yaml, document = loaded(text)
    if not document and text.strip():
        # There is nothing but comments, which ruamel.yaml would have nowhere to keep.
        return f"{text.rstrip()}\n\n{_whole('', part, key, change)}"
    before = dumped(yaml, document)
    if document.get(part) is None:
        document[part] = CommentedMap()
    if not isinstance(document[part], CommentedMap):
        raise BadRequestError(f"'{part}' is not a mapping: mend the file first")
    change(document[part], next((one for one in document[part] if str(one) == key), key))
    after = dumped(yaml, document) if document[part] or text.strip() else ""
    return text if after == before else after


def _dedented(line: str, column: int) -> str:
    return line[column:] if line.strip() and not line[:column].strip() else line


def _indented(text: str, column: int) -> str:
    return "".join(
        f"{' ' * column}{line}" if line.strip() else line for line in text.splitlines(keepends=True)
    )
