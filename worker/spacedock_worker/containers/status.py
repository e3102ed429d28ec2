"""What the pool can say of its Spaces, for whoever shows them or cleans up beside it (values)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SpaceStatus:
    """One Space: its containers by state ("running", "paused", "stopped").

    `quarantined_for` says in how many seconds it may be started again, `reason` why it may not yet.
    """

    space: str
    containers: Mapping[str, int] = field(default_factory=dict)
    quarantined_for: float | None = None
    reason: str | None = None


class Holder(Protocol):
    """Whoever holds containers: the pool."""

    def status(self) -> Mapping[str, SpaceStatus]:
        """Each Space that has a container, or is in quarantine, by its name."""
        ...

    def held(self) -> frozenset[str]:
        """The names of the containers that it looks after itself: nobody else may remove them."""
        ...

    async def forget(self, space: str) -> None:
        """Remove the Space's containers, the busy ones once their call is over; bounded, never raises."""
        ...
