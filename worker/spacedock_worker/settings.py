"""Everything that a worker is told when it starts; the daemon writes it, nothing else is read."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.logs import LogFormat, LogLevel
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.state.space_lock import LOCK_NAME


class WorkerSettings(BaseModel):
    """A worker's settings; immutable. Times are in seconds.

    `state` is where it keeps its notes and short-lived files (None: beside `repositories`); `lock` the lock
    file (None: spacedock.lock beside the registry, if it is there). `files` is where this host finds the
    queue's store of large files (None: where the queue says). `metrics` is the unix socket on which it tells
    Prometheus' text (None: it does not).

    `models` are the Tier 1 endpoints (where there is none, the usual local addresses are looked at unless
    `look_for_models` is off); `default_model` is the system default, the chain's last step. `secrets` is the
    folder of the Spaces' secrets: SPACE/NAME.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    redis_url: str
    registry: Path
    repositories: Path
    files: str | None = None
    secrets: Path | None = None
    state: Path | None = None
    lock: Path | None = None
    metrics: Path | None = None
    max_jobs: int = Field(default=128, ge=1)
    drain_seconds: float = Field(default=30.0, ge=0, le=86_400)
    images: ImageSettings = ImageSettings()
    containers: ContainerSettings
    models: tuple[ModelEndpoint, ...] = ()
    look_for_models: bool = True
    default_model: ModelEndpoint | None = None
    log_format: LogFormat = "auto"
    log_level: LogLevel = "info"

    @property
    def state_dir(self) -> Path:
        """Where notes and short-lived files are."""
        return self.state or self.repositories.parent

    @property
    def lock_file(self) -> Path:
        """Where the lock file is, if there is one."""
        return self.lock or self.registry.parent / LOCK_NAME
