"""The layout that looks only through new entries: it is the layout that looks through everything."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from spacedock_worker.registry import layout
from spacedock_worker.registry.file import default_text
from spacedock_worker.registry.layout import Chunks

LINES = (
    "spaces:",
    "spaces:   # all",
    "categories:",
    "  images:",
    "  - clip",
    "    - clip",
    "  mood:",
    "  'tone': {id: tone}",
    '  "multi":',
    "    id: mood   # its id",
    "    description: |",
    "      # no comment",
    "",
    "# comment",
    "  # comment",
    '    text: "two',
    '  lines: of it"',
    "    flow: {a: 1,",
    "  b: 2}",
    "  - dash",
    "  ? asked",
    "  : told",
    "  plain",
    "   odd: 1",
    " less: 1",
    "  anchor: &a {}",
    "  alias: *a",
    "---",
    "...",
    "- item",
    "other: >",
    "\ttab: 1",
    "  ä€😀: {id: x}",
    "\u00a0nbsp: 1",
    "    text: a\u2028  b: c",
    "  \u2028  b: c",
    "  return: 1\r  c: d",
    "  crlf: 1\r",
    "categories: {a: [b]}",
)


def wholly(text: str) -> layout.Layout | None:
    try:
        return layout.layout(text)
    except yaml.YAMLError:
        return None


def by_chunks(found: Chunks, text: str) -> layout.Layout | None:
    try:
        return found.layout(text)
    except yaml.YAMLError:
        return None


@settings(max_examples=400)
@given(st.lists(st.sampled_from(LINES), max_size=12), st.lists(st.sampled_from(LINES), max_size=12))
def test_whatever_the_lines_are_the_layout_is_the_same(first: list[str], second: list[str]) -> None:
    found = Chunks()
    for lines in (first, second, ["spaces:", *first, *second]):
        text = "\n".join(lines)
        assert by_chunks(found, text) == wholly(text)


@pytest.mark.parametrize("after", ["", "\n", "# end", "categories:\n  a: [b]\nmore: {}\n"])
def test_only_new_entries_are_looked_through(monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    text, seen = default_text() + after, []
    found, whole = Chunks(), layout.layout
    assert found.layout(text) == whole(text)

    def noted(text: str) -> layout.Layout:
        seen.append(text)
        return whole(text)

    monkeypatch.setattr(layout, "layout", noted)
    edited = text.replace("CLIP scores of labels", "CLIP's scores of labels")
    assert found.layout(edited) == whole(edited)
    # What is no Space, and the one that is new.
    assert len(seen) == 2
    assert "CLIP's" in seen[1]
    assert len(seen[1]) < 1000
