"""What may stand in `${{ … }}` and in `when`: look-ups and comparisons, parsed without `eval` (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from spacedock.errors import BadRequestError

NAME = r"[^\W\d][\w-]*"
PARTS = ("text", "data", "files")

_OPEN = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_POINTER = r"(?P<pointer>#[^\s|}]*)?"
_LOOKUP = re.compile(
    rf"(?:inputs\.(?P<input>{NAME})|steps\.(?P<step>{NAME})\.(?P<part>\w+)"
    rf"|(?P<item>item)(?:\.(?P<column>{NAME}))?){_POINTER}"
)
_KINDS = (
    "write inputs.NAME, steps.NAME.text, steps.NAME.data#/POINTER, steps.NAME.files, item or item.COLUMN "
    "(item#/A%20COLUMN with a space in it)"
)
_OPERAND = r"'[^']*'|\"[^\"]*\"|[^\s'\"=!<>]+"
_TEST = re.compile(
    rf"\s*(?P<left>{_OPERAND})\s*(?:(?P<empty>is (?:not )?empty\b)|"
    rf"(?P<operator>==|!=|<=|>=|<|>|(?:not )?contains\b)\s*(?P<right>{_OPERAND}))\s*(?P<join>and\b|or\b|$)"
)
_CONDITIONS = (
    "write such as inputs.language == 'German', with ==, !=, <, <=, >, >=, contains, not contains, "
    "is empty or is not empty; join several by 'and' or 'or'"
)
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST, _LONGEST_CONDITION, _MOST_LOOKUPS = 100_000, 1000, 200


class ExpressionError(BadRequestError, ValueError):
    """An expression of a pipeline cannot be read; `near` are the words of it that are wrong."""

    def __init__(self, words: str, near: str) -> None:
        self.near = near
        super().__init__(words)


@dataclass(frozen=True, slots=True)
class Lookup:
    """One value: of an input, of a step's `part`, or of the item at hand; `pointer` leads into its JSON.

    `said` is how it is written.
    """

    root: str
    name: str = ""
    part: str = ""
    pointer: tuple[str, ...] = ()
    said: str = field(default="", compare=False)


Alternatives = tuple[Lookup, ...]
"""Look-ups of which the first counts whose step was not skipped."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A test of a condition; `right` is None for `is empty` and `is not empty`."""

    left: Lookup | Any
    operator: str
    right: Lookup | Any = None


@lru_cache(maxsize=128)
def parsed(text: str) -> tuple[str | Alternatives, ...]:
    """A text's parts: its words, and what each `${{ … }}` looks up. Raises ExpressionError."""
    if len(text) > _LONGEST:
        raise ExpressionError(f"over {_LONGEST:,} characters: give a long text as an input", "")
    first, *others = text.split("${{")
    if len(others) > _MOST_LOOKUPS:
        raise ExpressionError(f"over {_MOST_LOOKUPS} references: give a part of them in a step before", "")
    parts: list[str | Alternatives] = [first]
    for other in others:
        inner, closed, rest = other.partition("}}")
        if not closed:
            raise ExpressionError("'${{' is never closed: write '}}' behind it", f"${{{{{other}")
        parts += [tuple(_lookup(one.strip()) for one in inner.split("||")), rest]
    return tuple(part for part in parts if part)


def whole(text: str) -> Alternatives | None:
    """What the text looks up, if it is one `${{ … }}` and nothing else. Raises ExpressionError."""
    parts = parsed(text.strip())
    return parts[0] if len(parts) == 1 and isinstance(parts[0], tuple) else None


def _lookup(text: str) -> Lookup:
    found = _LOOKUP.fullmatch(text)
    if found is None:
        raise ExpressionError(f"'{text[:60]}' is nothing that can be looked up: {_KINDS}", text)
    pointer = _tokens(found["pointer"] or "")
    if found["input"]:
        return Lookup("inputs", found["input"], pointer=pointer, said=text)
    if found["item"]:
        column = (found["column"],) if found["column"] else ()
        return Lookup("item", pointer=column + pointer, said=text)
    if found["part"] not in PARTS:
        raise ExpressionError(f"a step has no '{found['part']}': it has {', '.join(PARTS)}", text)
    if pointer and found["part"] == "text":
        raise ExpressionError("a text has no parts: a pointer goes with data, as in data#/0", text)
    return Lookup("steps", found["step"], found["part"], pointer, text)


def _tokens(fragment: str) -> tuple[str, ...]:
    """The steps of a JSON pointer, in the form that RFC 6901, section 6, gives it in an address."""
    pointer = unquote(fragment[1:])
    if pointer and not pointer.startswith("/"):
        raise ExpressionError(f"'{fragment}' is no JSON pointer: it begins with '#/'", fragment)
    if re.search(r"~(?![01])", pointer):
        raise ExpressionError(f"'{fragment}' is no JSON pointer: write '~' as '~0' and '/' as '~1'", fragment)
    return tuple(one.replace("~1", "/").replace("~0", "~") for one in pointer.split("/")[1:])


@lru_cache(maxsize=128)
def condition(text: str) -> tuple[tuple[Comparison, ...], ...]:
    """A condition: one of the inner tuples must hold, whole. Raises ExpressionError."""
    # References may keep the braces that they have elsewhere.
    text = _OPEN.sub(r"\1", text[: _LONGEST_CONDITION + 1])
    if len(text) > _LONGEST_CONDITION:
        raise ExpressionError(f"a condition has at most {_LONGEST_CONDITION:,} characters", "")
    tests: list[list[Comparison]] = [[]]
    at, join = 0, "and"
    while join:
        found = _TEST.match(text, at)
        if found is None:
            rest = text[at:].strip()
            where = f"at '{rest[:40]}'" if rest else "at its end"
            raise ExpressionError(f"the condition cannot be read {where}: {_CONDITIONS}", rest)
        right = None if found["empty"] else _operand(found["right"])
        tests[-1].append(Comparison(_operand(found["left"]), found["empty"] or found["operator"], right))
        at, join = found.end(), found["join"]
        tests += [[]] if join == "or" else []
    return tuple(map(tuple, tests))


def _operand(text: str) -> Lookup | Any:
    if text[0] in "'\"":
        return text[1:-1]
    if text in _WORDS:
        return _WORDS[text]
    return float(text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else _lookup(text)


def lookups(value: Any) -> Iterator[Lookup]:
    """Everything that the texts in a value look up. Raises ExpressionError."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, str):
            for part in parsed(one):
                yield from () if isinstance(part, str) else part
        elif isinstance(one, dict | list | tuple):
            left += reversed(list(one.values()) if isinstance(one, dict) else one)


def looked_up_in(text: str) -> Iterator[Lookup]:
    """Everything that a condition looks up. Raises ExpressionError."""
    for tests in condition(text):
        for test in tests:
            yield from (side for side in (test.left, test.right) if isinstance(side, Lookup))
