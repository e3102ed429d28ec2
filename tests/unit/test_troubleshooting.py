"""docs/troubleshooting.md names messages that the code says, and every kind of error."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from spacedock.result import ErrorKind

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs/troubleshooting.md").read_text(encoding="utf-8")
MESSAGES, KINDS = PAGE.split("## Kinds of errors")


@cache
def said() -> str:
    """Every text of the code, a line each, with … in the place of each value."""
    modules = [path for part in ("client", "worker", "daemon") for path in (TOP / part).rglob("*.py")]
    texts = [text for path in modules for text in _texts(ast.parse(path.read_text(encoding="utf-8")))]
    return "\n".join(re.sub(r"\s+", " ", text) for text in texts)


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("message", re.findall(r"^\| `([^`]+)` \|", MESSAGES, re.MULTILINE))
def test_the_code_says_each_message(message: str) -> None:
    assert message in said()


def test_every_kind_of_error_is_explained() -> None:
    rows = " ".join(re.findall(r"^\| (`[^|]+) \|", KINDS, re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", rows)) == set(ErrorKind)
