"""No test fails because its machine is busy: decision 0064."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PATIENCE = 60
"""Seconds that a test gives, at least, to what takes less than a tenth of them."""

WALL = re.compile(r"monotonic\(|perf_counter\(|\btime\.time\(")


def hasty(source: str) -> Iterator[int]:
    """The lines of a test that a busy machine fails: short deadlines, and bars on what the clock shows."""
    tree = ast.parse(source)
    meant = {call.lineno for node in ast.walk(tree) for call in _that_must_pass(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_short(node) and node.lineno not in meant:
            yield node.lineno
        if isinstance(node, ast.Assert):
            parts = [*ast.walk(node.test)]
            elapsed = any(isinstance(one, ast.BinOp) and WALL.search(ast.unparse(one)) for one in parts)
            if elapsed and any(isinstance(one, ast.Lt | ast.LtE) for one in parts):
                yield node.lineno


def _is_short(call: ast.Call) -> bool:
    """Whether it is a deadline of the event loop that is shorter than `PATIENCE`."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in ("timeout", "wait_for"):
        return False
    if ast.unparse(call.func.value) != "asyncio":
        return False
    last = call.args[-1]
    return isinstance(last, ast.Constant) and last.value is not None and last.value < PATIENCE


def _that_must_pass(node: ast.AST) -> Iterator[ast.Call]:
    """The deadlines of a block that expects TimeoutError: they are to pass, on any machine."""
    if not isinstance(node, ast.With | ast.AsyncWith):
        return
    if any("raises(TimeoutError" in ast.unparse(item) for item in node.items):
        yield from (one for one in ast.walk(node) if isinstance(one, ast.Call))


@pytest.mark.parametrize("folder", ["unit", "integration", "acceptance", "browser", "compat", "routing"])
def test_no_test_depends_on_how_quick_the_machine_is(folder: str) -> None:
    found = {path.relative_to(TESTS): [*hasty(path.read_text())] for path in (TESTS / folder).rglob("*.py")}
    assert {str(path): lines for path, lines in found.items() if lines} == {}


def test_what_is_hasty_is_found() -> None:
    assert [*hasty("async def f():\n async with asyncio.timeout(5):\n  pass")] == [2]
    assert [*hasty("async def f():\n await asyncio.wait_for(g(), 2)")] == [2]
    assert [*hasty("assert time.monotonic() - began < 8")] == [1]
    assert [*hasty("async def f():\n async with asyncio.timeout(60):\n  assert 3 < x")] == []
    waits = "async def f():\n with raises(TimeoutError):\n  async with asyncio.timeout(1):\n   pass"
    assert [*hasty(waits)] == []
