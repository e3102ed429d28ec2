"""Progress of pulls and builds in words, from what the engine streams (pure)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from spacedock_worker.images.oci.manifest import ImageManifest
from spacedock_worker.images.oci.preflight import in_words

_STEP = re.compile(r"^Step (\d+)/(\d+) : (.*)", re.DOTALL)
_BUILDKIT_STEP = re.compile(r"#\d+ \[(?:\S+ )?(\d+/\d+)\] (.+)")
_LAYER = re.compile(r"[0-9a-f]{12}")
_INSTRUCTION = 60
_OWN_LABEL = "LABEL io.spacedock."
_SHORT = len("sha256:") + 12
_MAX_LAYERS = 1000
_LOADED = frozenset(
    {"Verifying Checksum", "Download complete", "Extracting", "Pull complete", "Already exists"}
)
_THERE = frozenset({"Pull complete", "Already exists"})


class PullProgress:
    """Adds up the layers of one image over all attempts to pull it; what it tells never goes back.

    `manifest` gives the layers beforehand, if it is known; else they become known as they are loaded.
    """

    def __init__(self, reference: str, manifest: ImageManifest | None = None) -> None:
        self._reference = reference
        layers = manifest.layers if manifest else {}
        self._sizes = {digest[len("sha256:") : _SHORT]: size for digest, size in layers.items()}
        self._loaded: dict[str, int] = {}
        self._there: set[str] = set()
        self._told = (-1, -1, False)
        self._total_known = manifest is not None

    @property
    def begun(self) -> bool:
        """Whether the engine has begun with any layer."""
        return bool(self._loaded or self._there)

    def read(self, item: Mapping[str, Any]) -> str | None:
        """The text after this item of the stream; None where nothing has changed for people.

        Such as "pulling x 45% of 1.2 GB, 3 of 9 layers", at the end with ", unpacking".
        """
        layer, status = item.get("id"), item.get("status")
        if not isinstance(layer, str) or not isinstance(status, str) or not _LAYER.fullmatch(layer):
            return None
        if len(self._sizes) >= _MAX_LAYERS and layer not in self._sizes:
            return None
        self._take(layer, status, item.get("progressDetail"))
        return self._news()

    def done(self) -> str | None:
        """The last text, once the image is there: containerd's store does not tell what is unpacked."""
        if not self.begun:
            return None
        self._loaded |= self._sizes
        self._there |= self._sizes.keys()
        return self._news()

    def _news(self) -> str | None:
        now = self._now()
        if now == self._told:
            return None
        self._told = now
        return self._words(*now)

    def _take(self, layer: str, status: str, detail: object) -> None:
        # What the engine says of a layer's extraction counts other bytes than those of its download.
        if status == "Downloading" and isinstance(detail, Mapping):
            self._load(layer, _whole(detail.get("current")), _whole(detail.get("total")))
        elif status in _LOADED:
            self._sizes.setdefault(layer, 0)
            self._loaded[layer] = self._sizes[layer]
        elif status in ("Pulling fs layer", "Waiting"):
            self._sizes.setdefault(layer, 0)
        if status in _THERE:
            self._there.add(layer)

    def _load(self, layer: str, current: int, total: int) -> None:
        size = self._sizes[layer] = self._sizes.get(layer) or total
        # A layer whose connection breaks is said to be all there; a whole one is confirmed by another word.
        if current < total:
            # What is loaded after a break counts from there.
            loaded = min(max(size - total, 0) + current, size)
            self._loaded[layer] = max(loaded, self._loaded.get(layer, 0))

    def _now(self) -> tuple[int, int, bool]:
        """Percent, layers that are there, and whether all is loaded; none of them less than before."""
        total, loaded = sum(self._sizes.values()), sum(self._loaded.values())
        percent = loaded * 100 // total if total else 0
        unpacking = bool(self._loaded) and len(self._loaded) == len(self._sizes) and loaded == total
        percent = max(100 if unpacking else percent, self._told[0])
        return percent, len(self._there), unpacking or self._told[2]

    def _words(self, percent: int, there: int, unpacking: bool) -> str:
        text = f"pulling {self._reference} {percent}%"
        if self._total_known:
            text += f" of {in_words(sum(self._sizes.values()))}"
        text += f", {there} of {len(self._sizes)} layers"
        return text + (", unpacking" if unpacking and there < len(self._sizes) else "")


def _whole(value: object) -> int:
    return max(value, 0) if isinstance(value, int) else 0


def buildkit_progress(line: str) -> str | None:
    """The same for a line of BuildKit's, which names the stage where there are several."""
    found = _BUILDKIT_STEP.match(line)
    return f"step {found[1]}: {found[2].strip()[:_INSTRUCTION]}" if found else None


def build_progress(line: str, words: Sequence[str]) -> str | None:
    """The text for a line that begins a step ("step 5/11: installing requirements.txt"), else None.

    `words` says what each of our own steps does, or nothing; a step beyond them shows its instruction, but
    for the labels that we add to each image.
    """
    found = _STEP.match(line)
    if not found:
        return None
    number, total, instruction = int(found.group(1)), found.group(2), found.group(3).strip()
    text = words[number - 1] if number <= len(words) else instruction[:_INSTRUCTION]
    return f"step {number}/{total}: {text}" if text and not text.startswith(_OWN_LABEL) else None
