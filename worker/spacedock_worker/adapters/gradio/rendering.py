"""What people read of an endpoint's outputs."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import unescape
from typing import Any

from spacedock_worker.adapters.gradio.readable import (
    PLOTS,
    marked_text,
    message_text,
    spoken_text,
    table_text,
)

MAX_PAGE = 2**18
"""Characters of a page of HTML that are made into words."""

_MOST_ENTITIES = 20_000
# A tag ends at the first > outside of quotes; one that never ends reaches to the page's end. No pattern may
# try a part again (++, *+), nor fail after a long search: pages that provoke this would take hours.
_REST = r"""(?:[^>"']++|"[^"]*+"|'[^']*+'|["'])*+>?"""
_UNSEEN = re.compile(
    rf"<!--(?:[^-]++|-(?!->))*+(?:-->)?|<(script|style)\b{_REST}(?:[^<]++|<(?!/\1\b))*+", re.IGNORECASE
)
_BLOCK = re.compile(rf"</?(?:p|div|br|li|tr|table|ul|ol|h[1-4]|pre|hr)\b{_REST}", re.IGNORECASE)
_TAG = re.compile(rf"<[a-z/!?]{_REST}", re.IGNORECASE)
_ENTITY = re.compile(
    r"&(?:#[0-9]{1,7}(?![0-9])|#x[0-9a-f]{1,6}(?![0-9a-f])|[a-z][a-z0-9]{1,31});?", re.IGNORECASE
)
_GAPS = re.compile(r"[^\S\n]+")
_BREAKS = re.compile(r" ?\n[ \n]*")


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
        case _ if component in PLOTS:
            return None
        case list() | dict() if not value or _only_files(value):
            return None
    if (text := _rich(component, value)) is not None:
        return text
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _rich(component: str, value: Any) -> str | None:
    if component == "dataframe":
        return table_text(value)
    if component == "highlightedtext":
        return marked_text(value)
    return spoken_text(value) if component == "dialogue" else message_text(value)


def words_of(page: str) -> str:
    """What a browser would show of a piece of HTML, a line for each block; of a long one its beginning.

    Every pass takes time in proportion to the length, whatever the page holds.
    """
    seen = _UNSEEN.sub("", page[:MAX_PAGE])
    bare = _TAG.sub("", _BLOCK.sub("\n", seen))
    words = _ENTITY.sub(lambda found: unescape(found[0]), bare, count=_MOST_ENTITIES)
    return _BREAKS.sub("\n", _GAPS.sub(" ", words)).strip()


def _last_message(messages: list[Any]) -> str | None:
    """The newest words of a chat: pairs (until 5), messages (from 5), messages made of parts (6)."""
    match messages[-1:]:
        case [[_, str(text)]]:
            return text
        case [{"content": _} as message]:
            return message_text({"role": None, **message})
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
