"""The schemas of an OpenAPI document made flat: references followed, variants chosen, all within bounds.

The document is untrusted: it may refer to itself, or unfold without end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

MAX_STEPS = 20_000
MAX_ALL_STEPS = 200_000
MAX_DEPTH = 16
MAX_POINTER = 16
MAX_REFERENCE = 1000
MAX_LISTED = 1000
_COMBINED = frozenset({"allOf", "anyOf", "oneOf"})
# Of several variants the one that a prompt fits is taken.
_PREFERRED = ("string", "number", "integer", "boolean", "array", "object")


class TooComplicatedError(Exception):
    """A schema takes more work than any real one."""


class Schemas:
    """Reads the schemas of one document; the work is bounded for each operation, and for all of them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._left, self._all = MAX_STEPS, MAX_ALL_STEPS

    def begin(self) -> None:
        """Begin with another operation: one that is too complicated must not hide the others."""
        self._left = MAX_STEPS

    def follow(self, node: object) -> dict[str, Any]:
        """The object that `node` is or refers to, within the document; empty where it is none.

        What stands beside a reference, such as a default (OpenAPI 3.1), wins over what it refers to.
        Raises TooComplicatedError.
        """
        found: dict[str, Any] = {}
        for _ in range(MAX_DEPTH):
            if not isinstance(node, dict):
                return found
            self.spend(1 + len(node))
            found = node | found
            reference = found.pop("$ref", None)
            if not isinstance(reference, str):
                return found
            node = self._at(reference)
        return {}

    def flat(self, node: object, depth: int = 0) -> dict[str, Any]:
        """The schema with allOf merged, and one variant of anyOf and oneOf in its place.

        Raises TooComplicatedError.
        """
        self.spend(1)
        if depth > MAX_DEPTH:
            return {}
        schema = self.follow(node)
        merged: dict[str, Any] = {}
        for part in listed(schema.get("allOf")):
            merged = self._merged(merged, self.flat(part, depth + 1))
        variants = [
            self.flat(variant, depth + 1)
            for name in ("anyOf", "oneOf")
            for variant in listed(schema.get(name))
        ]
        if variants:
            merged = self._merged(merged, _preferred(variants))
        return self._merged(merged, {key: schema[key] for key in schema.keys() - _COMBINED})

    def spend(self, steps: int) -> None:
        """Count steps of work. Raises TooComplicatedError where there have been too many."""
        self._left -= steps
        self._all -= steps
        if self._left < 0 or self._all < 0:
            raise TooComplicatedError

    def _merged(self, one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
        mine, theirs = table(one.get("properties")), table(other.get("properties"))
        self.spend(1 + len(mine) + len(theirs))
        properties = mine | theirs
        required = [*listed(one.get("required")), *listed(other.get("required"))][:MAX_LISTED]
        both = one | other
        return both | {"properties": properties, "required": required} if properties else both

    def _at(self, reference: str) -> object:
        """What a reference within the document points to (RFC 6901); None where that is nothing."""
        if not reference.startswith("#/") or len(reference) > MAX_REFERENCE:
            return None
        node: object = self._document
        for token in unquote(reference[2:]).split("/", MAX_POINTER):
            if not isinstance(node, dict):
                return None
            node = node.get(token.replace("~1", "/").replace("~0", "~"))
        return node


def kind_of(schema: Mapping[str, Any]) -> str:
    """The JSON type of what the schema describes; empty where it does not say."""
    told = schema.get("type")
    for name in told if isinstance(told, list) else [told]:
        if isinstance(name, str) and name != "null":
            return name
    if isinstance(schema.get("properties"), dict):
        return "object"
    return "array" if "items" in schema else ""


def choices_of(schema: Mapping[str, Any]) -> tuple[Any, ...]:
    """The values that an enum or a const allows, without null; empty where any value will do."""
    values = [schema["const"]] if "const" in schema else listed(schema.get("enum"))
    return tuple(value for value in values if isinstance(value, str | int | float))


def words_of(schema: Mapping[str, Any]) -> Iterator[str]:
    """What the schema says to people, in lower case."""
    for key in ("title", "description"):
        text = schema.get(key)
        if isinstance(text, str):
            yield text[:500].lower()


def table(value: object) -> dict[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def listed(value: object) -> Sequence[Any]:
    """The beginning of `value` if it is an array, else an empty one."""
    return value[:MAX_LISTED] if isinstance(value, list) else ()


def _preferred(variants: Sequence[dict[str, Any]]) -> dict[str, Any]:
    usable = [variant for variant in variants if variant.get("type") != "null"]
    for kind in _PREFERRED:
        for variant in usable:
            if kind_of(variant) == kind:
                return variant
    return usable[0] if usable else {}
