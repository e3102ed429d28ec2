"""Changing the text of a registry.yaml: one entry at a time, and not a letter of anything else (pure).

ruamel.yaml keeps the comments and the order of what it writes, but takes seconds for thousands of lines. So
it is given only the lines of the entry that changes; a file in which an entry has no lines of its own (flow
style, anchors) is given to it as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ruamel.yaml.comments import CommentedMap

from spacedock.errors import BadRequestError
from spacedock_worker.registry.layout import Layout, Piece, layout
from spacedock_worker.registry.listed import with_line, without_line
from spacedock_worker.registry.roundtrip import as_written, dumped, editor, loaded, mapping_indent, same

Change = Callable[[CommentedMap, Any], None]
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
    change: Change,
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


def _rewritten(body: str, column: int, change: Change) -> str:
    """The lines of one key after its change; none where the key went."""
    yaml, mapping = loaded("".join(_dedented(line, column) for line in body.splitlines(keepends=True)))
    before = dumped(yaml, mapping)
    change(mapping, next(iter(mapping)))
    after = dumped(yaml, mapping) if mapping else ""
    # What ruamel.yaml would write otherwise without any change is no reason to touch the lines.
    return body if after == before else _indented(after, column)


def _appended(text: str, pieces: Sequence[Piece], key: str, change: Change) -> str:
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


def _whole(text: str, part: str, key: str, change: Change) -> str:
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
