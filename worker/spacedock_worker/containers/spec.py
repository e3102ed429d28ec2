"""Which container a lease asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DEFAULT_PORT = 7860
"""The port that Spaces listen on, unless they say otherwise."""

Gpu = Literal["auto", "none"] | int | tuple[str, ...]
"""The GPUs of a container: those that are there, none, so many, or those of these ids."""


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A Space's container: the image by `reference` and `digest`, and how to run it.

    The app answers at `port` below `base_path`, such as "/ui". `memory` (bytes), `cpus` and `start_timeout`
    (seconds) are None where the settings' own are right; `asked_start` is the time that its author
    asks for. `calls` is how many calls its app takes at once.
    `sealed` puts it on a network without a way out, `read_only` keeps it from writing its root, with
    `fixed_root` also where its app is found to need that. `cache` is the path of the Space's cache volume in
    the container (None: it has none); `runtime` is the OCI runtime.
    `private` says that what it is asked is nobody else's: nothing of it may be logged, or outlive it.
    `family` is the same for all builds of one Space, of which only the newest is wanted; empty: the Space.
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
    asked_start: float | None = None
    calls: int = 1
    sealed: bool = False
    private: bool = False
    family: str = ""
    read_only: bool = False
    fixed_root: bool = False
    cache: str | None = None
    gpu: Gpu = "none"
    runtime: str | None = None
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def app(self) -> str:
        """What is found out of the Space's program on this image is noted by; another Space's never is."""
        return f"{self.space} {self.digest}"

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
            self.sealed,
            self.private,
            self.read_only,
            self.fixed_root,
            self.cache,
            self.gpu,
            self.runtime,
            sorted(self.secrets.items()),
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
