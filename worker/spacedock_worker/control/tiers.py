"""The answer to `spacedock tiers`: how this host, its Spaces, its models and the queue stand now."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import TypeVar

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock._wire.rpc import Options
from spacedock._wire.view.depth import workers
from spacedock.replies.host import HostRow, LimitsRow, ModelRow, QuarantineRow, SpacesTier, TiersReply
from spacedock.request import JobRequest
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.cleanup.images import ImageCleanup
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.machine.capacity import EngineInfo, engine_info
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.errors import StepError
from spacedock_worker.images.oci.manifest import platform_of
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedock_worker.models.listing import probe
from spacedock_worker.registry.entry import Verdict
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings

_LOOK_SECONDS = 2.0
"""How long each part may take; they are looked at together."""

_PROBE_SECONDS = 1.2
_STATES = ("running", "paused", "stopped", "starting")

_T = TypeVar("_T")


class TiersHandler:
    """Looks at everything at once; what does not answer in time is told as such. `name` is this host's."""

    def __init__(
        self,
        name: str,
        settings: WorkerSettings,
        engine: Engine,
        registry: Registry,
        image_cleanup: ImageCleanup,
        pool: Pool[Adapter],
        models: ModelRunner,
    ) -> None:
        self._name, self._settings, self._engine = name, settings, engine
        self._registry, self._image_cleanup, self._pool, self._models = registry, image_cleanup, pool, models

    async def answer(self, asked: Asked[Options]) -> TiersReply:
        """All of it within about 3 s."""
        silent = EngineInfo(trouble=f"the Docker Engine gave no answer within {_LOOK_SECONDS:g} s")
        files = Payloads(asked.redis, self._settings.files)
        host, alive, queue, images, models, stored = await asyncio.gather(
            _within(engine_info(self._engine, self._settings.containers), silent),
            _within(workers(asked.redis), None),
            _within(answer(asked.redis.zcard(keys.QUEUE)), None),
            _within(self._images(), None),
            _within(self._probed(), []),
            _within(files.status(), None),
        )
        return {
            "host": self._host(host, alive),
            "spaces": self._spaces(images),
            "models": [row for row in models if row["tier"] == "fast"],
            "default": next((row for row in models if row["tier"] == "default"), None),
            "redis": {"connected": queue is not None, "queue": queue, "files": stored},
            "limits": self._limits(),
        }

    def _host(self, host: EngineInfo, alive: int | None) -> HostRow:
        taken = self._pool.view.taken()
        free = max(0, host.budget - taken.memory) if host.budget is not None else None
        known = host.trouble is None
        return {
            "name": self._name,
            "workers": alive,
            "engine": {
                "version": host.version or None,
                "platform": str(platform_of(host.info)) if known else None,
                "trouble": host.trouble,
                "fault": self._pool.view.host_fault,
            },
            "memory": {"budget": host.budget, "free": free},
            "disk": {"folder": host.disk or None, "free": host.disk_free},
            "gpus": [{"index": gpu.index, "total": gpu.total, "free": gpu.free} for gpu in host.gpus],
        }

    async def _images(self) -> int | None:
        try:
            return len(self._registry.snapshot().spaces.keys() & (await self._image_cleanup.sizes()).keys())
        except (StepError, EngineRefusedError):
            return None

    def _spaces(self, images: int | None) -> SpacesTier:
        entries = self._registry.snapshot().spaces.values()
        verdicts = [entry.verified for entry in entries if isinstance(entry.verified, Verdict)]
        status = self._pool.view.status()
        counts: Counter[str] = Counter()
        for one in status.values():
            counts.update(one.containers)
        resting: dict[str, QuarantineRow] = {
            name: {"for": one.quarantined_for, "reason": one.reason}
            for name, one in sorted(status.items())
            if one.quarantined_for is not None
        }
        return {
            "registered": len(entries),
            "validated": sum(one.works for one in verdicts),
            "not_working": sum(not one.works for one in verdicts),
            "images": images,
            "containers": {state: counts[state] for state in _STATES},
            "slots": {
                "taken": self._pool.view.taken().containers,
                "all": self._settings.containers.max_containers,
            },
            "quarantined": resting,
        }

    async def _probed(self) -> list[ModelRow]:
        endpoints = (await self._models.endpoints()).values()
        return list(await asyncio.gather(*(_row(endpoint) for endpoint in endpoints)))

    def _limits(self) -> LimitsRow:
        containers = self._settings.containers
        return {
            "call_seconds": JobRequest.model_fields["timeout"].default,
            "start_seconds": containers.start_timeout,
            "pull_seconds": self._settings.images.pull_timeout,
            "build_seconds": self._settings.images.build_timeout,
            "memory": containers.memory,
            "cpus": containers.cpus,
            "pids": containers.pids,
            "disk": containers.disk,
            "network": "bridge",
            "jobs": self._settings.max_jobs,
        }


async def _row(endpoint: ModelEndpoint) -> ModelRow:
    found = await probe(endpoint, _PROBE_SECONDS)
    return {
        "name": endpoint.name,
        "tier": endpoint.tier.value,
        "model": endpoint.model or (found.models[0] if found.models else None),
        "models": list(found.models),
        "url": endpoint.base_url if endpoint.socket is None else None,
        "local": endpoint.local,
        "state": found.state,
        "why": found.why,
    }


async def _within(work: Awaitable[_T], otherwise: _T) -> _T:
    """What the work gives, if it does in time."""
    try:
        return await asyncio.wait_for(work, _LOOK_SECONDS)
    except TimeoutError:
        return otherwise
