"""Which container a lease asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_PORT = 7860
"""The port that Spaces listen on, unless they say otherwise."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A Space's container: the image by `reference` and `digest`, and how to run it.

    The app answers at `port` below `base_path`, such as "/ui". `memory` (bytes), `cpus` and `start_timeout`
    (seconds) are None where the settings' own are right.
    """

    space: str
    reference: str
    digest: str
    command: tuple[str, ...] | None = None
    port: int = DEFAULT_PORT
    base_path: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    memory: int | None = None
    cpus: float | None = None
    start_timeout: float | None = None

    @property
    def key(self) -> str:
        """The same for specs that can share a container."""
        parts = [
            self.space,
            self.digest,
            self.command,
            self.port,
            self.base_path,
            sorted(self.env.items()),
            self.memory,
            self.cpus,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
