"""Changing the text of a registry.yaml: one entry at a time, and not a letter of anything else (pure).

ruamel.yaml keeps the comments and the order of what it writes, but takes seconds for thousands of lines. So
it is given only the lines of the entry that changes; a file in which an entry has no lines of its own (flow
style, anchors) is given to it as a whole.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.util import load_yaml_guess_indent

from spacedock.errors import BadRequestError
from spacedock_worker.registry.layout import Layout, Piece, layout

_WIDTH = 10_000
"""No line is broken: a description stays one line, as a person would have it."""

Change = Callable[[CommentedMap, Any], None]
"""Changes a mapping at a key, which YAML may have read as a number."""


def with_entry(text: str, name: str, fields: Mapping[str, Any]) -> str:
    """The text with the entry in place of an earlier one of that name, or as the last one."""
    return _changed(text, "spaces", name, lambda spaces, key: spaces.update({key: dict(fields)}))


def with_fields(text: str, name: str, fields: Mapping[str, Any]) -> str:
    """The text with these fields of an entry that is there set; a field that is None is taken away."""

    def change(spaces: CommentedMap, key: Any) -> None:
        entry = spaces[key]
        for field, value in fields.items():
            if value is not None:
                entry[field] = value
            elif field in entry:
                del entry[field]

    return _changed(text, "spaces", name, change)


def without_entry(text: str, name: str) -> str:
    """The text without the entry; comments above it stay."""
    return _changed(text, "spaces", name, lambda spaces, key: _drop(spaces, key))


def with_listed(text: str, category: str, name: str) -> str:
    """The text with the Space on the category's list."""

    def change(categories: CommentedMap, key: Any) -> None:
        names = _list(categories, key)
        if names is None:
            categories[key] = [name]
        elif name not in map(str, names):
            names.append(name)

    return _changed(text, "categories", category, change)


def without_listed(text: str, category: str, name: str) -> str:
    """The text with the Space off the category's list; a list that is empty then goes."""

    def change(categories: CommentedMap, key: Any) -> None:
        names = _list(categories, key)
        listed = [place for place, other in enumerate(names or ()) if str(other) == name]
        if names is None or not listed:
            return
        del names[listed[0]]
        if not names:
            del categories[key]

    return _changed(text, "categories", category, change)


def _drop(mapping: CommentedMap, key: Any) -> None:
    mapping.pop(key, None)


def _list(categories: CommentedMap, category: Any) -> list[Any] | None:
    names: list[Any] | None = categories.get(category)
    if names is not None and not isinstance(names, list):
        raise BadRequestError(f"the category '{category}' is not a list: mend the file first")
    return names


def _changed(text: str, part: str, key: str, change: Change) -> str:
    """The text after a change of one key of a part."""
    found = layout(text)
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
    yaml, mapping = _loaded("".join(_dedented(line, column) for line in body.splitlines(keepends=True)))
    before = _dumped(yaml, mapping)
    change(mapping, next(iter(mapping)))
    after = _dumped(yaml, mapping) if mapping else ""
    # What ruamel.yaml would write otherwise without any change is no reason to touch the lines.
    return body if after == before else _indented(after, column)


def _appended(text: str, pieces: Sequence[Piece], key: str, change: Change) -> str:
    """The text with a new key behind the last one of its part."""
    mapping = CommentedMap()
    change(mapping, key)
    if not mapping:
        return text
    last = pieces[-1]
    yaml = _yaml(_mapping_indent(text[pieces[0].start : last.end]))
    before = text[: last.end] if text[: last.end].endswith("\n") else f"{text[: last.end]}\n"
    # A blank line between entries, where there is one between the others.
    gap = "\n" if before[: last.start].endswith("\n\n") and last.start > 0 else ""
    return before + gap + _indented(_dumped(yaml, mapping), last.column) + text[last.end :]


def _whole(text: str, part: str, key: str, change: Change) -> str:
    """The text after the change of a document, or of a part of one that stands alone."""
    yaml, document = _loaded(text)
    if not document and text.strip():
        # There is nothing but comments, which ruamel.yaml would have nowhere to keep.
        return f"{text.rstrip()}\n\n{_whole('', part, key, change)}"
    before = _dumped(yaml, document)
    if document.get(part) is None:
        document[part] = CommentedMap()
    if not isinstance(document[part], CommentedMap):
        raise BadRequestError(f"'{part}' is not a mapping: mend the file first")
    change(document[part], next((one for one in document[part] if str(one) == key), key))
    after = _dumped(yaml, document) if document[part] or text.strip() else ""
    return text if after == before else after


def _loaded(text: str) -> tuple[YAML, CommentedMap]:
    _, sequence, offset = load_yaml_guess_indent(text)
    yaml = _yaml(_mapping_indent(text), sequence or 4, 2 if offset is None else offset)
    return yaml, yaml.load(text) or CommentedMap()


def _yaml(mapping: int = 2, sequence: int = 4, offset: int = 2) -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    # Somebody's slip is told where the file is read; here it must not keep us from the rest.
    yaml.allow_duplicate_keys = True
    yaml.width = _WIDTH
    yaml.indent(mapping=mapping, sequence=sequence, offset=offset)
    return yaml


def _mapping_indent(text: str) -> int:
    """How much further in the fields of a mapping stand than its key, in the first one that has some."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    depths = [(len(line) - len(line.lstrip()), line.lstrip()) for line in lines]
    steps = (
        below - above
        for (above, _), (below, words) in pairwise(depths)
        if below > above and not words.startswith("- ")
    )
    return next(steps, 2)


def _dumped(yaml: YAML, mapping: CommentedMap) -> str:
    out = io.StringIO()
    yaml.dump(mapping, out)
    return out.getvalue()


def _dedented(line: str, column: int) -> str:
    return line[column:] if line.strip() and not line[:column].strip() else line


def _indented(text: str, column: int) -> str:
    return "".join(
        f"{' ' * column}{line}" if line.strip() else line for line in text.splitlines(keepends=True)
    )
