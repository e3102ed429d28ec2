"""Which images of Spaces may go, and in which order (pure)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from spacedock_worker.upkeep.layers import Layer, freed


@dataclass(frozen=True, slots=True)
class Candidate:
    """An image that we built or pulled for a Space.

    `last_used` is in seconds since the epoch. `held` says that a container has it, or that it cannot be had
    again (a lock or a bundle has it); `listed` that a Space of the registry would use it.
    """

    id: str
    last_used: float
    held: bool = False
    listed: bool = False


def unneeded(candidates: Sequence[Candidate], before: float) -> tuple[str, ...]:
    """The images that nothing uses and nothing has used since `before`; the longest unused first."""
    return tuple(
        one.id
        for one in _oldest_first(candidates)
        if not one.listed and not one.held and one.last_used < before
    )


def to_free(
    candidates: Sequence[Candidate], images: Mapping[str, Sequence[Layer]], need: int, before: float
) -> tuple[str, ...]:
    """The images to remove so that `need` bytes become free, or all that may go where that is not enough.

    Those that no Space of the registry uses go first, each kind in the order of its last use; none that is
    held or was used since `before`. `images` are the layers of all images of the engine.
    """
    free = [one for one in _oldest_first(candidates) if not one.held and one.last_used < before]
    chosen: list[str] = []
    for one in sorted(free, key=lambda one: one.listed):
        if freed(images, chosen) >= need:
            break
        chosen.append(one.id)
    return tuple(chosen)


def steps(images: Mapping[str, Sequence[Layer]], chosen: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each chosen image with the bytes that go with it, once those before it are gone."""
    gone: list[str] = []
    for one in chosen:
        before = freed(images, gone)
        gone.append(one)
        yield one, freed(images, gone) - before


def current(
    spaces: Mapping[str, str | None], built: Mapping[str, Collection[str]], used: Mapping[str, float]
) -> frozenset[str]:
    """The images that Spaces of the registry would use.

    `spaces` are their names with the image that each names, by its id (None: it is built); `built` are the
    ids of the images that were built or used for a name, `used` is when each was used last. Of several for
    one name the last counts: the others are its past.
    """
    named = {image for image in spaces.values() if image is not None}
    last = [max(built[name], key=lambda one: used.get(one, 0.0)) for name in spaces if built.get(name)]
    return frozenset(named.union(last))


def _oldest_first(candidates: Sequence[Candidate]) -> list[Candidate]:
    return sorted(candidates, key=lambda one: (one.last_used, one.id))
