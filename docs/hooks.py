"""Changes to the site that mkdocs.yml cannot say: each page gets a place in `nav`, and links get titles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Add a tab for the decisions; pages that nobody has given a place go to "How it works"."""
    folder = Path(config.docs_dir)
    named = set(_pages(config.nav))
    pages = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.md"))
    decisions = [page for page in pages if page.startswith("decisions/")]
    how = next(section["How it works"] for section in config.nav if "How it works" in section)
    how += [page for page in pages if page not in named and page not in decisions]
    config.nav.append({"Decisions": decisions})
    return config


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Call a page by its title where a link only has its file's name, as is usual in the repository."""

    def titled(link: re.Match[str]) -> str:
        file = Path(page.file.abs_src_path).parent / link[1]
        heading = re.match("# (.*)", file.read_text(encoding="utf-8")) if file.is_file() else None
        return f"[{heading[1]}]({link[1]}{link[2] or ''})" if heading else link[0]

    return re.sub(r"\[[\w./-]+\.md\]\(([\w./-]+\.md)(#[^)]*)?\)", titled, markdown)


def _pages(nav: Any) -> list[str]:
    """The pages that a part of `nav` names."""
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in _pages(part)]
