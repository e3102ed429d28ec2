"""The settings of running containers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

DEFAULT_MEMORY = 2 * 2**30


class ContainerSettings(BaseModel):
    """How containers run; immutable. Times are in seconds, memory in bytes.

    `instance_id` marks what is ours: one value for each state directory, so that two daemons on one engine
    leave each other's containers alone; the network's name is made of it, unless `network` names one.
    `docker_host` is the engine's address (None: where the docker command looks). `publish_ports` None means:
    only where a container's IP cannot be reached from here.
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
    start_timeout: float = Field(default=300.0, gt=0)
    idle_seconds: float = Field(default=600.0, ge=0)
    publish_ports: bool | None = None
