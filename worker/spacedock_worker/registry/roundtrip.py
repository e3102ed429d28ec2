"""ruamel.yaml as the registry uses it: comments, order, quotes and indentation stay as they are (pure)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.util import load_yaml_guess_indent

_WIDTH = 10_000
"""No line is broken: a description stays one line, as a person would have it."""


def loaded(text: str) -> tuple[YAML, CommentedMap]:
    """The mapping that the text is, and the editor that writes it with the text's own indentation."""
    _, sequence, offset = load_yaml_guess_indent(text)
    found = editor(mapping_indent(text), sequence or 4, 2 if offset is None else offset)
    return found, found.load(text) or CommentedMap()


def editor(mapping: int = 2, sequence: int = 4, offset: int = 2) -> YAML:
    """A reader and writer that keeps what it does not change."""
    found = YAML()
    found.preserve_quotes = True
    # Somebody's slip is told where the file is read; here it must not keep us from the rest.
    found.allow_duplicate_keys = True
    found.width = _WIDTH
    found.indent(mapping=mapping, sequence=sequence, offset=offset)
    return found


def dumped(written: YAML, mapping: CommentedMap) -> str:
    """The mapping's text."""
    out = io.StringIO()
    written.dump(mapping, out)
    return out.getvalue()


def as_written(new: Mapping[str, Any]) -> CommentedMap:
    """Plain values in a form that the registry's reader reads as they are.

    The reader goes by YAML 1.1, ruamel.yaml by 1.2, to which "on", "1:30" and "1_000" are words that need
    no quotes. So they are quoted by the reader's own library.
    """
    text = yaml.safe_dump(dict(new), sort_keys=False, allow_unicode=True, width=_WIDTH)
    return editor().load(text) or CommentedMap()


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same, however they are written."""
    return json.dumps(one, default=str) == json.dumps(other, default=str)


def mapping_indent(text: str) -> int:
    """How much further in the fields of a mapping stand than its key, in the first one that has some."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    depths = [(len(line) - len(line.lstrip()), line.lstrip()) for line in lines]
    steps = (
        below - above
        for (above, _), (below, words) in pairwise(depths)
        if below > above and not words.startswith("- ")
    )
    return next(steps, 2)
