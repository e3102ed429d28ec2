"""Progress of pulls and builds in words, from what the engine streams (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)", re.DOTALL)
_INSTRUCTION = 60


class PullProgress:
    """Adds up the layers of one pull; `read` gives a new text only when the percentage has changed."""

    def __init__(self, reference: str) -> None:
        self._reference = reference
        self._layers: dict[str, tuple[int, int]] = {}
        self._percent = -1

    def read(self, item: Mapping[str, Any]) -> str | None:
        """The text after this item of the stream, such as "pulling x 45%"; None where nothing changed."""
        layer, status = item.get("id"), item.get("status")
        detail = item.get("progressDetail") or {}
        if isinstance(layer, str) and status == "Downloading" and detail.get("total"):
            self._layers[layer] = (int(detail.get("current") or 0), int(detail["total"]))
        elif isinstance(layer, str) and status == "Download complete" and layer in self._layers:
            self._layers[layer] = (self._layers[layer][1],) * 2
        done, total = (
            (sum(sizes) for sizes in zip(*self._layers.values(), strict=True)) if self._layers else (0, 0)
        )
        percent = done * 100 // total if total else 0
        if percent <= self._percent:
            # Layers become known while others are loading: the number must not go back for that.
            return None
        self._percent = percent
        return f"pulling {self._reference} {percent}%"


def build_progress(line: str, words: Sequence[str]) -> str | None:
    """The text for a line that begins a step ("step 5/11: installing requirements.txt"), else None.

    `words` says what each of our own steps does, or nothing; a step beyond them shows its instruction.
    """
    found = _STEP.match(line)
    if not found:
        return None
    number, total, instruction = int(found.group(1)), found.group(2), found.group(3).strip()
    text = words[number - 1] if number <= len(words) else instruction[:_INSTRUCTION]
    return f"step {number}/{total}: {text}" if text else None
