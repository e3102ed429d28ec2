"""What people read of an endpoint's outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

_UNSEEN = frozenset({"script", "style"})
_BLOCKS = frozenset({"p", "div", "br", "li", "tr", "table", "ul", "ol", "h1", "h2", "h3", "h4", "pre", "hr"})


def joined(outputs: Sequence[tuple[str, Any]]) -> str | None:
    """The texts of (component type, value) pairs as lines; None where there is nothing to read.

    An empty text beside others is left out: it is mostly the box that a page empties after sending.
    """
    texts = [text for kind, value in outputs if (text := text_of(kind, value)) is not None]
    said = [text for text in texts if text]
    return "\n".join(said) if said else "" if texts else None


def text_of(component: str, value: Any) -> str | None:
    """The text of one output whose files are already {"file": name, "index": n}; None for those."""
    match value:
        case None | {"file": str(), "index": int()}:
            return None
        case str():
            return words_of(value) if component == "html" else value
        case {"url": str(url)} if len(value) == 1:
            return url
        case {"label": label, **rest} if component == "label" and not rest.keys() - {"confidences"}:
            return None if label is None else str(label)
        case list() if component == "chatbot":
            return _last_message(value)
        case _ if component == "plot":
            return None
        case list() | dict() if not value or _only_files(value):
            return None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def words_of(page: str) -> str:
    """What a browser would show of a piece of HTML, a line for each block."""
    words = _Words()
    words.feed(page)
    words.close()
    lines = (" ".join(line.split()) for line in "".join(words.said).splitlines())
    return "\n".join(line for line in lines if line)


class _Words(HTMLParser):
    """Collects the text between the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unseen += tag in _UNSEEN
        self.said.append("\n" if tag in _BLOCKS else "")

    def handle_endtag(self, tag: str) -> None:
        self._unseen -= tag in _UNSEEN
        self.said.append("\n" if tag in _BLOCKS else "")

    def handle_data(self, data: str) -> None:
        if self._unseen <= 0:
            self.said.append(data)


def _last_message(messages: list[Any]) -> str | None:
    """The newest words of a chat: pairs (until 5), messages (from 5), messages made of parts (6)."""
    match messages[-1:]:
        case [{"content": str(text)}] | [[_, str(text)]]:
            return text
        case [{"content": list(parts)}]:
            texts = [p["text"] for p in parts if isinstance(p, dict) and isinstance(p.get("text"), str)]
            return "\n".join(texts) or None
    return None


def _only_files(value: list[Any] | dict[str, Any]) -> bool:
    if isinstance(value, list):
        # A gallery pairs each picture with its caption until Gradio 4.
        files = [item for item in value if isinstance(item, list | dict)]
        captions = all(isinstance(item, list | dict | str | None) for item in value)
        return bool(files) and captions and all(_only_files(item) for item in files)
    if value.keys() == {"file", "index"}:
        return True
    media = {
        key: value[key]
        for key in ("image", "video", "background", "composite")
        if isinstance(value.get(key), dict)
    }
    return bool(media) and all(_only_files(item) for item in media.values())
