"""Room on a host: what containers take, and what they may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Room:
    """What containers take, or may take together: containers, bytes of memory, GPUs."""

    containers: int = 1
    memory: int = 0
    gpus: int = 0

    def __add__(self, other: Room) -> Room:
        return Room(self.containers + other.containers, self.memory + other.memory, self.gpus + other.gpus)

    def __sub__(self, other: Room) -> Room:
        return Room(self.containers - other.containers, self.memory - other.memory, self.gpus - other.gpus)

    def holds(self, other: Room) -> bool:
        """Whether there is at least as much of everything here as in `other`."""
        return self.containers >= other.containers and self.memory >= other.memory and self.gpus >= other.gpus
