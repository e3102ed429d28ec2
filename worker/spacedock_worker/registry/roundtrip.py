"""ruamel.yaml as the registry uses it: comments, order, quotes and indentation stay as they are (pure)."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.util import load_yaml_guess_indent

_WIDTH = 10_000
"""No line is broken: a description stays one line, as a person would have it."""


_BREAKS = re.compile("[\x85\u2028\u2029]")
"""What ends a line in YAML 1.1, and not in 1.2."""


_POWERS = re.compile(r"[-+]?[\d._]+[eE][-+]?\d+")
"""What is a number in YAML 1.2, and most of it a word in 1.1."""


class _Dumper(yaml.SafeDumper):
    """Writes as the registry's reader reads."""


def _word(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    quoted = _BREAKS.search(text) or _POWERS.fullmatch(text)
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if quoted else None)


_Dumper.add_representer(str, _word)


class _Representer(RoundTripRepresenter):
    """Writes new numbers as the registry's reader reads them."""


def _number(writer: RoundTripRepresenter, number: float) -> Any:
    text = repr(number)
    # To YAML 1.1 an exponent makes no number without a dot.
    written = text if "." in text else text.replace("e", ".0e")
    return writer.represent_scalar("tag:yaml.org,2002:float", written)


_Representer.add_representer(float, _number)


def loaded(text: str) -> tuple[YAML, CommentedMap]:
    """The mapping that the text is, and the editor that writes it with the text's own indentation."""
    _, sequence, offset = load_yaml_guess_indent(text)
    found = editor(mapping_indent(text), sequence or 4, 2 if offset is None else offset)
    return found, found.load(text) or CommentedMap()


def editor(mapping: int = 2, sequence: int = 4, offset: int = 2) -> YAML:
    """A reader and writer that keeps what it does not change."""
    found = YAML()
    found.Representer = _Representer
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
    text = yaml.dump(dict(new), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    found: CommentedMap = _with_plain_numbers(editor().load(text) or CommentedMap())
    return found


def _with_plain_numbers(value: Any) -> Any:
    """The value with numbers that are written by their value: ruamel.yaml rounds those that it has read."""
    if isinstance(value, float):
        return float(value)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, item in items:
        value[place] = _with_plain_numbers(item)
    return value


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
