"""What may stand in `${{ … }}` and in `when`: look-ups and comparisons, parsed without `eval` (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from spacedock.errors import BadRequestError

NAME = r"[A-Za-z_][A-Za-z0-9_-]*"
PARTS = ("text", "data", "files")

_OPEN = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_POINTER = r"(?P<pointer>#[^\s|}]*)?"
_LOOKUP = re.compile(
    rf"(?:inputs\.(?P<input>{NAME})|steps\.(?P<step>{NAME})\.(?P<part>\w+)"
    rf"|(?P<item>item)(?:\.(?P<column>{NAME}))?){_POINTER}"
)
_KINDS = "write inputs.NAME, steps.NAME.text, steps.NAME.data#/POINTER, steps.NAME.files or item"
_LITERAL = re.compile(r"'[^']*'|\"[^\"]*\"|-?\d+(?:\.\d+)?(?![\w.])|(?:true|false|null)\b")
_OPERATOR = re.compile(r"(?:is not empty|is empty|not contains|contains)\b|==|!=|<=|>=|<|>")
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST = 100_000


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


@lru_cache(maxsize=1024)
def parsed(text: str) -> tuple[str | Alternatives, ...]:
    """A text's parts: its words, and what each `${{ … }}` looks up. Raises ExpressionError."""
    if len(text) > _LONGEST:
        raise ExpressionError(f"over {_LONGEST:,} characters: give a long text as an input", "")
    parts: list[str | Alternatives] = []
    end = 0
    for found in _OPEN.finditer(text):
        parts += [text[end : found.start()], _alternatives(found[1])]
        end = found.end()
    if (unclosed := text.find("${{", end)) >= 0:
        raise ExpressionError("'${{' is never closed: write '}}' behind it", text[unclosed:])
    return tuple(part for part in (*parts, text[end:]) if part)


def whole(text: str) -> Alternatives | None:
    """What the text looks up, if it is one `${{ … }}` and nothing else. Raises ExpressionError."""
    parts = parsed(text.strip())
    return parts[0] if len(parts) == 1 and isinstance(parts[0], tuple) else None


def _alternatives(inner: str) -> Alternatives:
    return tuple(_lookup(one.strip()) for one in inner.split("||"))


def _lookup(text: str) -> Lookup:
    found = _LOOKUP.fullmatch(text)
    if found is None:
        raise ExpressionError(f"'{text[:60]}' is nothing that can be looked up: {_KINDS}", text)
    return _looked_up(found)


def _looked_up(found: re.Match[str]) -> Lookup:
    pointer = _tokens(found["pointer"] or "")
    if found["input"]:
        return Lookup("inputs", found["input"], pointer=pointer, said=found[0])
    if found["item"]:
        column = (found["column"],) if found["column"] else ()
        return Lookup("item", pointer=column + pointer, said=found[0])
    if found["part"] not in PARTS:
        raise ExpressionError(f"a step has no '{found['part']}': it has {', '.join(PARTS)}", found[0])
    if pointer and found["part"] == "text":
        raise ExpressionError("a text has no parts: a pointer goes with data, as in data#/0", found[0])
    return Lookup("steps", found["step"], found["part"], pointer, found[0])


def _tokens(fragment: str) -> tuple[str, ...]:
    """The steps of a JSON pointer, in the form that RFC 6901, section 6, gives it in an address."""
    pointer = unquote(fragment[1:])
    if pointer and not pointer.startswith("/"):
        raise ExpressionError(f"'{fragment}' is no JSON pointer: it begins with '#/'", fragment)
    if re.search(r"~(?![01])", pointer):
        raise ExpressionError(f"'{fragment}' is no JSON pointer: write '~' as '~0' and '/' as '~1'", fragment)
    return tuple(one.replace("~1", "/").replace("~0", "~") for one in pointer.split("/")[1:])


@lru_cache(maxsize=1024)
def condition(text: str) -> tuple[tuple[Comparison, ...], ...]:
    """A condition: one of the inner tuples must hold, whole. Raises ExpressionError."""
    # References may keep the braces that they have elsewhere.
    return tuple(_Scanner(_OPEN.sub(r"\1", text).strip()).any_of())


class _Scanner:
    """Reads a condition from left to right; `and` binds closer than `or`."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def any_of(self) -> Iterator[tuple[Comparison, ...]]:
        while True:
            tests = [self._test()]
            while self._take(re.compile(r"and\b")):
                tests.append(self._test())
            yield tuple(tests)
            if not self._take(re.compile(r"or\b")):
                break
        if self._at < len(self._text):
            raise self._fault("'and', 'or' or the end")

    def _test(self) -> Comparison:
        left = self._operand()
        found = self._take(_OPERATOR)
        if found is None:
            raise self._fault("==, !=, <, <=, >, >=, contains, not contains, is empty or is not empty")
        return Comparison(left, found[0], None if found[0].endswith("empty") else self._operand())

    def _operand(self) -> Lookup | Any:
        if found := self._take(_LOOKUP):
            return _looked_up(found)
        if (found := self._take(_LITERAL)) is None:
            raise self._fault(f"a value ('text', 5, true, null) or a reference ({_KINDS})")
        word = found[0]
        if word[0] in "'\"":
            return word[1:-1]
        return _WORDS[word] if word in _WORDS else float(word)

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if found := pattern.match(self._text, self._at):
            self._at = len(self._text) - len(self._text[found.end() :].lstrip())
        return found

    def _fault(self, wanted: str) -> ExpressionError:
        rest = self._text[self._at :]
        where = f"at '{rest[:40]}'" if rest else "at the end"
        return ExpressionError(f"the condition cannot be read {where}: there must be {wanted}", rest)


def lookups(value: Any) -> Iterator[Lookup]:
    """Everything that the texts in a value look up. Raises ExpressionError."""
    if isinstance(value, str):
        for part in parsed(value):
            yield from () if isinstance(part, str) else part
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from lookups(one)


def looked_up_in(text: str) -> Iterator[Lookup]:
    """Everything that a condition looks up. Raises ExpressionError."""
    for tests in condition(text):
        for test in tests:
            yield from (side for side in (test.left, test.right) if isinstance(side, Lookup))
