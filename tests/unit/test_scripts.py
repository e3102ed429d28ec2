"""Lua scripts in files: each is whole, and looks at the rights of its user before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from spacedock._wire.connection import connect
from spacedock._wire.scripts import script

TOP = Path(__file__).parent.parent.parent
FILES = sorted(path for part in ("client", "worker") for path in (TOP / part).rglob("lua/*.lua"))


def package_of(path: Path) -> str:
    return ".".join(path.relative_to(TOP).parent.parent.parts[1:])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
async def test_a_script_is_a_program_with_all_that_it_includes(path: Path, redis_url: str) -> None:
    text = script(path.stem, package_of(path))
    assert "-- include" not in text
    async with connect(redis_url) as redis:
        # The server reads it, and runs nothing.
        await redis.script_load(text)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_all_rights_are_asked_for_before_anything_is_done(path: Path) -> None:
    lines = script(path.stem, package_of(path)).splitlines()
    asked = [number for number, line in enumerate(lines) if line.startswith("need(")]
    called = [number for number, line in enumerate(lines) if "redis.call" in line or "redis.pcall" in line]
    assert not asked or not called or asked[-1] < called[0]


def test_the_names_of_keys_are_known_and_numbers_are_given() -> None:
    text = script("store_past", PAST_LIMIT=1.5)
    assert text.startswith("#!lua flags=allow-oom\n")
    assert "local PAST_LIMIT = 1.5\n" in text
    assert "local PAYLOAD = 'spacedock:file:'\n" in script("forget")
