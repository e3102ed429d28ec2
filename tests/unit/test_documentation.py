"""The documentation as a site: it is built without a warning, and needs nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
LOADED = re.compile(
    r"""<(?:script|img|iframe|source)\b[^>]*\bsrc="(https?:)?//|<link\b[^>]*\bhref="(https?:)?//"""
)
IMPORTED = re.compile(r"""(?:url\(|@import )["']?(?:https?:)?//""")


def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(TOP / "mkdocs.yml")]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [*command, "--site-dir", str(tmp_path)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    pages = {path.relative_to(tmp_path).with_suffix(".md") for path in tmp_path.rglob("*.html")} - {
        Path("404.md")
    }
    assert pages == {path.relative_to(TOP / "docs") for path in (TOP / "docs").rglob("*.md")}
    for path in tmp_path.rglob("*.html"):
        assert LOADED.search(path.read_text(encoding="utf-8")) is None, path
    for path in tmp_path.rglob("*.css"):
        assert IMPORTED.search(path.read_text(encoding="utf-8")) is None, path
