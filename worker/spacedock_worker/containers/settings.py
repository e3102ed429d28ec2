"""The settings of running containers."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_MEMORY = 2 * 2**30

LONGEST_START = 7200.0
"""Seconds that anybody may give a container to answer: others wait for its place meanwhile."""


class ContainerSettings(BaseModel):
    """How containers run; immutable. Times are in seconds, memory in bytes.

    `instance_id` marks what is ours: one value for each state directory, so that two daemons on one engine
    leave each other's containers alone; the network's name is made of it, unless `network` names one.
    `docker_host` is the engine's address (None: where the docker command looks). `publish_ports` None means:
    only where a container's IP cannot be reached from here. `state` is a folder of this host where the pool
    notes what is warm and what it has learned; None: it notes nothing, and adopts nothing at its start.

    All containers' limits together stay within `memory_budget` (None: the host's memory less
    `memory_reserve`). An idle container is paused after `pause_seconds`, stopped after `idle_seconds` and
    removed after `stopped_seconds`. `disk` bounds what one Space may write to its root and its cache
    together. A waiter is overtaken for `patience_seconds` at most. With `keep_warm` a daemon that stops
    leaves its idle containers, paused, to the next one. Where starts of an image were measured, the
    limit of its next is by these, between `start_least` and `start_timeout`. A GPU with less than `gpu_free`
    bytes free is given to nobody; `runtime` is the OCI runtime of Spaces that name none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    instance_id: str = Field(min_length=1)
    docker_host: str | None = None
    network: str | None = None
    max_containers: int = Field(default=3, ge=1)
    memory: int = Field(default=DEFAULT_MEMORY, ge=64 * 2**20)
    cpus: float | None = Field(default=None, gt=0)
    pids: int = Field(default=512, ge=16)
    tmp_size: int = Field(default=512 * 2**20, ge=2**20)
    start_timeout: float = Field(default=300.0, gt=0, le=LONGEST_START)
    start_least: float = Field(default=60.0, gt=0, le=LONGEST_START)
    pause_seconds: float = Field(default=30.0, ge=0)
    idle_seconds: float = Field(default=600.0, ge=0)
    stopped_seconds: float = Field(default=86_400.0, ge=0)
    patience_seconds: float = Field(default=60.0, ge=0, le=86_400)
    memory_budget: int | None = Field(default=None, ge=64 * 2**20)
    memory_reserve: int = Field(default=2**30, ge=0)
    gpu_free: int = Field(default=2 * 2**30, ge=0)
    disk: int = Field(default=20 * 2**30, ge=2**20)
    runtime: str | None = None
    keep_warm: bool = False
    state: Path | None = None
    publish_ports: bool | None = None

    @property
    def network_name(self) -> str:
        """How the names of this daemon's networks begin."""
        return self.network or f"spacedock-{self.instance_id}"
