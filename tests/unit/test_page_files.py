"""The page's own files: small, of one place, and with nothing from elsewhere."""

from __future__ import annotations

import re
from pathlib import Path

from spacedockd.http.page import routes as shell

FOLDER = Path(shell.__file__).with_name("static")
FILES = {path.name: path.read_text() for path in FOLDER.iterdir()}


def test_all_files_together_are_under_80_kb_and_each_is_served() -> None:
    assert sum(len(text.encode()) for text in FILES.values()) < 80_000
    assert {name for name, _ in shell._FILES.values()} == set(FILES)


def test_nothing_comes_from_elsewhere_or_is_made_of_html() -> None:
    for name, text in FILES.items():
        assert not re.findall(r"(?<!xmlns=\")https?://(?!www\.w3\.org/)", text), name
        assert not re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), name
    assert not re.findall(r"<script(?![^>]* src=)| on\w+=| style=", FILES["index.html"])
