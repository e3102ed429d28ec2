"""What an image's layers weigh, and what removing some images would free (pure).

Images share layers, so their sizes do not add up: removing one frees those layers that no other has.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_METADATA = re.compile(
    r"^(?:/bin/sh -c )?(?:#\(nop\)\s+)?"
    r"(?:ARG|CMD|ENTRYPOINT|ENV|EXPOSE|HEALTHCHECK|LABEL|MAINTAINER|ONBUILD|SHELL|STOPSIGNAL|USER|VOLUME)\b"
)
"""The instructions of a Dockerfile that add no layer, as classic builds and BuildKit write them down."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer on top of all those below it, by which it is known; `size` in bytes."""

    chain: str
    size: int


def layers_of(diff_ids: Sequence[str], history: Sequence[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """An image's layers, the lowest first, of `RootFS.Layers` and the engine's history (the newest first)."""
    sizes = _sizes(len(diff_ids), history)
    layers, chain = [], ""
    for diff_id, size in zip(diff_ids, sizes, strict=True):
        chain = hashlib.sha256(f"{chain} {diff_id}".encode()).hexdigest()
        layers.append(Layer(chain, size))
    return tuple(layers)


def weight(images: Mapping[str, Sequence[Layer]], names: Collection[str]) -> int:
    """The bytes of these images, what they share counted once."""
    return sum({layer.chain: layer.size for name in names for layer in images[name]}.values())


def freed(images: Mapping[str, Sequence[Layer]], removed: Collection[str]) -> int:
    """The bytes that go with `removed` while all others of `images` stay."""
    staying = {layer.chain for name, layers in images.items() if name not in removed for layer in layers}
    going = {layer.chain: layer.size for name in removed for layer in images[name]}
    return sum(size for chain, size in going.items() if chain not in staying)


def _sizes(count: int, history: Sequence[Mapping[str, Any]]) -> list[int]:
    """The sizes of `count` layers; history does not say which of its entries made one."""
    oldest_first = [(int(e.get("Size") or 0), str(e.get("CreatedBy") or "")) for e in reversed(history)]
    made = [size for size, words in oldest_first if size or not _METADATA.match(words)]
    if len(made) != count:
        made = [size for size, _ in oldest_first if size]
    if len(made) > count:
        # Nothing known fits: all of it counts for the top, so that the image's own size is right.
        made = [sum(made)] if count else []
        return [0] * (count - len(made)) + made
    return made + [0] * (count - len(made))
