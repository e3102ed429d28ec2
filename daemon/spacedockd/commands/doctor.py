"""`spacedockd doctor`: this host as its worker would find it, without a daemon."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spacedock.errors import SpacedockError
from spacedock.replies.host import DoctorLine
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.control.doctor import HOST, DoctorHandler, default_line
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.logs import configure
from spacedock_worker.models.client import Models
from spacedock_worker.models.listing import Probe
from spacedock_worker.models.local import LocalModels
from spacedock_worker.registry.registry import Registry
from spacedockd import settings
from spacedockd.model.gateway import resting
from spacedockd.model.gguf import cache_folder
from spacedockd.settings import PREFIX, DaemonSettings


async def examine(
    config: Path | None, options: Mapping[str, Any], env: Mapping[str, str], uid: int
) -> list[DoctorLine]:
    """How this host stands; with the defaults where the configuration cannot be used."""
    configure("auto", "error")
    try:
        loaded, first = settings.read(config, options, env, uid), HOST.ok("configuration", "it can be used")
    except SpacedockError as error:
        first = HOST.error("configuration", str(error), "spacedockd config --check")
        plain = {name: value for name, value in env.items() if not name.startswith(PREFIX)}
        loaded = settings.settled({}, plain, uid)
    return [first, *await _host(loaded), *await _default(loaded, env)]


async def _host(loaded: DaemonSettings) -> list[DoctorLine]:
    told = loaded.worker(None)
    registry = Registry(told.registry, repositories=told.repositories)
    local = LocalModels() if told.look_for_models else None
    async with Engine(told.containers.docker_host) as engine, Models() as models:
        runner = ModelRunner(models, told.models, local, told.default_model)
        return await DoctorHandler(told, engine, registry, runner).lines()


async def _default(loaded: DaemonSettings, env: Mapping[str, str]) -> list[DoctorLine]:
    if loaded.default_model is not None:
        return []
    folders = (loaded.state_dir / "models", cache_folder(env))
    state = await asyncio.to_thread(resting, loaded.smollm, folders)
    model = state.get("model")
    return [default_line(Probe(state["state"], (model,) if model else (), state.get("why", "")))]
