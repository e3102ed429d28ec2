"""The reference pages say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from docs.reference.write import FOLDER, pages

TOP = Path(__file__).parents[2]
PAGES = pages()
READ = re.compile(r"""\b(?:env|environ)(?:\.get\(|\[)"([A-Z_]+)\"""")


@pytest.mark.parametrize("page", PAGES)
def test_a_reference_page_is_as_the_code_has_it(page: str) -> None:
    written = (FOLDER / page).read_text(encoding="utf-8")
    assert written == PAGES[page], "the page is stale: write it anew with `make reference`"


def test_every_command_and_option_has_words() -> None:
    rows = [line for line in PAGES["cli.md"].splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row for row in rows if row.split("` | ")[-1].startswith("|")] == []


def test_every_variable_that_is_read_has_words() -> None:
    modules = [path for part in ("client", "worker", "daemon") for path in (TOP / part).rglob("*.py")]
    read = {name for path in modules for name in READ.findall(path.read_text(encoding="utf-8"))}
    assert len(read) > 8
    assert {name for name in read if f"`{name}`" not in PAGES["environment.md"]} == set()
