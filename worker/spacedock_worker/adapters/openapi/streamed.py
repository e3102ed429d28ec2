"""An API's answer that comes in events or lines, as the text and the values that they make up (pure)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from spacedock_worker.adapters.app_json import parsed
from spacedock_worker.adapters.names import encodable
from spacedock_worker.adapters.offload import LIGHT, weight
from spacedock_worker.errors import StepError

EVENTS = "text/event-stream"
LINES = frozenset({"application/x-ndjson", "application/jsonl", "application/json-lines"})

# Fields that hold the next piece of a text, beside those that hold a whole one.
_PIECES = ("token", "delta", "chunk", "data")


def is_streamed(media_type: str) -> bool:
    """Whether an answer of that type comes piece by piece."""
    return media_type == EVENTS or media_type in LINES


def read_stream(media_type: str, text: str, said: Callable[[Any], str | None]) -> tuple[str, list[Any]]:
    """The text of all pieces together, and the pieces; `said` is what a person reads of a JSON value.

    A stream that sends its whole text so far again and again is that of its last piece.
    """
    pieces = [_value(piece) for piece in (_events(text) if media_type == EVENTS else text.splitlines())]
    pieces = [piece for piece in pieces if piece != ""]
    texts = [words for piece in pieces if (words := _words(piece, said))]
    grows = len(texts) > 1 and all(b.startswith(a) for a, b in pairwise(texts))
    return (texts[-1] if grows else "".join(texts)), pieces


def _events(text: str) -> Iterator[str]:
    """The data of each server-sent event, without the word by which OpenAI's streams end."""
    data: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            event = "\n".join(data)
            data.clear()
            if event != "[DONE]":
                yield event


def _value(piece: str) -> Any:
    """The JSON that a piece is, else the piece: so is one whose reading would hold up other calls."""
    if piece[:1] not in ("{", "[", '"') or weight(piece.encode("utf-8", "replace")) > LIGHT:
        return encodable(piece)
    try:
        return parsed(piece)
    except StepError:
        return encodable(piece)


def _words(piece: Any, said: Callable[[Any], str | None]) -> str | None:
    match piece:
        case str():
            return piece
        case {"choices": [{"delta": dict(delta)}, *_]}:
            content = delta.get("content")
            return content if isinstance(content, str) else None
        case dict():
            named = next((piece[name] for name in _PIECES if isinstance(piece.get(name), str | dict)), piece)
            return named if isinstance(named, str) else said(named)
    return None
