"""What was measured of this host's Spaces, told to clients; with advice where a number asks for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import cast

from spacedock._wire.rpc import Options
from spacedock.errors import SpaceNotFoundError
from spacedock.replies.spaces import ImageProfile, ProfileReply, SpaceProfile
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.profiling.profiles import Measured, ProfileStore, Run
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry

_CALLS = 60
_SPACES = 1000
_NEAR = 0.9
_OUT_OF_MEMORY = "out_of_memory"
_TOO_SLOW = "start_timeout"


class ProfileHandler:
    """Tells of one Space, or of all that have run; `memory` (bytes) is the limit of Spaces that name none."""

    def __init__(self, registry: Registry, profiles: ProfileStore, memory: int) -> None:
        self._registry, self._profiles, self._memory = registry, profiles, memory

    async def answer(self, asked: Asked[Options]) -> ProfileReply:
        """The profile of the Space that is named, else of all. Raises SpaceNotFoundError."""
        if (name := asked.call.name) is not None:
            return {"spaces": {name: self._of(name)}}
        found = sorted(self._profiles.all().values(), key=lambda one: one.last, reverse=True)[:_SPACES]
        entries = {entry.id: entry for entry in self._registry.snapshot().spaces.values()}
        return {"spaces": {one.space: self._told(one.space, [one], entries.get(one.space)) for one in found}}

    def _of(self, name: str) -> SpaceProfile:
        spaces = self._registry.snapshot().spaces
        entry = spaces.get(name)
        space = entry.id if entry is not None else name
        images = self._profiles.images(space)
        if entry is None and not images:
            raise SpaceNotFoundError(name, tuple(sorted(spaces)))
        return self._told(space, images, entry, self._profiles.history(space, _CALLS * max(1, len(images))))

    def _told(
        self, space: str, images: Sequence[Measured], entry: SpaceEntry | None, history: Sequence[Run] = ()
    ) -> SpaceProfile:
        limit = (entry.memory if entry is not None else None) or self._memory
        rows: list[ImageProfile] = []
        for image in images:
            runs = [run for run in history if run.digest == image.digest][-_CALLS:]
            row = {
                **asdict(image),
                "success_rate": image.success_rate,
                "memory_limit": limit,
                "calls": [{"at": run.at, "ok": run.ok, "seconds": run.call_seconds} for run in runs],
            }
            rows.append(cast(ImageProfile, row))
        return {"space": space, "images": rows, "advice": advice(images[0], limit) if images else []}


def advice(image: Measured, limit: int) -> list[str]:
    """What to do about the numbers of an image whose containers have `limit` bytes of memory."""
    found = []
    megabytes = limit // 2**20
    if deaths := image.errors.get(_OUT_OF_MEMORY, 0):
        found.append(
            f"{deaths} of {image.runs} runs needed more than their memory: raise `memory` "
            f"(now {megabytes} MB) for this Space."
        )
    elif image.peak_memory is not None and image.peak_memory >= _NEAR * limit:
        share = image.peak_memory / limit
        found.append(
            f"it came within {max(0.0, 1 - share):.0%} of its {megabytes} MB of memory: raise `memory` for "
            "this Space before it dies of it."
        )
    if slow := image.errors.get(_TOO_SLOW, 0):
        found.append(f"{slow} starts took too long: set `start_timeout` for this Space if they need more.")
    return found
