"""The answer to `spacedock doctor`: everything is looked at at once, each within its own bound."""

from __future__ import annotations

import asyncio
import os
import resource
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock._wire.connection import explained
from spacedock._wire.rpc import Options
from spacedock.replies.host import Area, DoctorLine, DoctorReply
from spacedock.request import Tier
from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.machine.capacity import engine_info
from spacedock_worker.control.dispatcher import Asked
from spacedock_worker.control.doctor_engine import (
    EngineNetworks,
    base_line,
    engine_lines,
    gpu_lines,
    limit_lines,
)
from spacedock_worker.errors import StepError
from spacedock_worker.images.build.builds import bases_here
from spacedock_worker.images.build.flavours import choose_base
from spacedock_worker.images.hub_errors import HubError, HubOfflineError, HubRefusedError
from spacedock_worker.images.oci.client import NotAllowedError, NotAskedError, asking
from spacedock_worker.images.oci.credentials import Keyring
from spacedock_worker.images.oci.reference import Reference, parse_reference
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.models.listing import Probe, probe
from spacedock_worker.queue.job_store import check_rights
from spacedock_worker.registry.registry import Registry
from spacedock_worker.settings import WorkerSettings

HUB = Area("hub")
IMAGES = Area("image registries")
HOST = Area("host")
MODELS = Area("models")

_SECONDS = 8.0
_TOKEN = "export HF_TOKEN=hf_…  # from https://huggingface.co/settings/tokens"
_PROXY = "export HTTPS_PROXY=http://PROXY:PORT  # or HF_HUB_OFFLINE=1, and start the daemon again"
_LITTLE_STATE = 2**30
_FEW_FILES = 1024
_PROBE_SECONDS = 2.0
_MOST_HOSTS = 5


async def hub_line(settings: ImageSettings) -> DoctorLine:
    """Whether the Hub answers, and takes our token."""
    # It brings huggingface_hub, which is loaded once the Hub is asked; in a thread, for the loop's sake.
    await asyncio.to_thread(import_module, "spacedock_worker.hub.client")
    from spacedock_worker.hub.client import HubClient

    with closing(HubClient(settings)) as hub:
        try:
            name = await hub.account(_SECONDS)
        except HubOfflineError:
            return HUB.ok("access", "it is not asked, as configured: images and repositories of it are kept")
        except HubRefusedError as error:
            return HUB.error("access", str(error), _TOKEN)
        except HubError as error:
            return HUB.warning("access", str(error), _PROXY)
    if name is None:
        return HUB.ok("access", "it answers; without a token (HF_TOKEN) private Spaces are not seen")
    return HUB.ok("access", f"it answers, to {name}")


async def registry_line(host: str, settings: ImageSettings) -> DoctorLine:
    """Whether an image registry answers, and takes our login."""
    login = f"docker login {host}"
    if host == settings.hub_registry:
        login += " -u USER  # the password is a token of the Hub; or set HF_TOKEN for the daemon"
    own = await Keyring(settings).find(host)
    try:
        async with asking(Reference(host, ""), own, settings.ca_bundle, _SECONDS) as registry:
            await registry.greet()
    except NotAllowedError as error:
        if own is None:
            return IMAGES.warning(host, f"{error}, and no login is kept here", login)
        return IMAGES.error(host, f"{error}: the login that is kept is not taken", login)
    except NotAskedError as error:
        return IMAGES.warning(host, str(error), _PROXY)
    return IMAGES.ok(host, "it takes our login" if own else "it answers without a login")


async def registry_lines(hosts: Iterable[str], settings: ImageSettings) -> list[DoctorLine]:
    """A line for each image registry."""
    return list(await asyncio.gather(*(registry_line(host, settings) for host in hosts)))


def _can_be_made(folder: Path) -> bool:
    above = next(one for one in folder.parents if one.exists())
    return os.access(above, os.W_OK | os.X_OK)


def state_lines(state: Path, uid: int) -> Iterator[DoctorLine]:
    """Whether the state directory is this user's alone, and has room; and how many files may be open."""
    if not state.exists() and _can_be_made(state):
        yield HOST.ok("state directory", f"{state}: the daemon makes it at its first start")
        return
    try:
        found = state.stat()
        free = shutil.disk_usage(state).free
        writable = os.access(state, os.W_OK | os.X_OK)
    except OSError as error:
        why = f"{state}: {error.strerror}"
        yield HOST.error("state directory", why, f"sudo install -d -m 700 -o $USER {state}")
        return
    if found.st_uid != uid or not writable:
        why = f"{state} belongs to user {found.st_uid}, and the daemon is user {uid}"
        yield HOST.error("state directory", why, f"sudo chown -R {uid} {state}")
    elif stat.S_IMODE(found.st_mode) & 0o077:
        yield HOST.error("state directory", f"{state} is open to other users", f"chmod 700 {state}")
    elif free < _LITTLE_STATE:
        why = f"{state}: {free / 1e6:.0f} MB are free for the queue and its files"
        yield HOST.warning("state directory", why, "spacedock cleanup --older-than 1h")
    else:
        yield HOST.ok("state directory", f"{state} is this user's alone, {free / 1e9:.1f} GB free")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 <= soft < _FEW_FILES:
        yield HOST.warning("open files", f"{soft} may be open at once", f"ulimit -n {hard}")


class DoctorHandler:
    """Looks at this host. `fault` tells what keeps it from starting any Space, if anything does."""

    def __init__(
        self,
        settings: WorkerSettings,
        engine: Engine,
        registry: Registry,
        models: ModelRunner,
        fault: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._settings, self._engine, self._registry = settings, engine, registry
        self._models, self._fault = models, fault

    async def answer(self, asked: Asked[Options]) -> DoctorReply:
        """The host's lines, and whether the worker has all rights in the queue."""
        host, rights = await asyncio.gather(self.lines(), _rights(asked.redis, self._settings.redis_url))
        return {"lines": [rights, *host]}

    async def lines(self) -> list[DoctorLine]:
        """How this host stands, within about 12 s."""
        images = self._settings.images
        engine, models, hub, registries = await asyncio.gather(
            self._of_engine(),
            self._of_models(),
            hub_line(images),
            registry_lines(self._image_registries(), images),
        )
        state = state_lines(self._settings.state_dir, os.getuid())
        return [*state, *self._of_registry(), *engine, *models, hub, *registries]

    async def _of_engine(self) -> list[DoctorLine]:
        containers, images = self._settings.containers, self._settings.images
        info = await engine_info(self._engine, containers)
        api, networks, base = "", None, list[DoctorLine]()
        with suppress(StepError, EngineRefusedError):
            if info.trouble is None:
                api = (await self._engine.dialect(Stage.START)).path
                networks = await self._networks()
                base = [await self._base()]
        found = [*engine_lines(info, api, networks, self._fault()), *gpu_lines(info), *base]
        return [*found, *limit_lines(info, containers, images.build_memory)]

    async def _base(self) -> DoctorLine:
        configured = self._settings.images.base_images
        here = await bases_here(self._engine, configured)
        base = choose_base(None, configured, here)
        return base_line(base, here.get(base), datetime.now(UTC))

    async def _networks(self) -> EngineNetworks:
        async with self._engine.call(Stage.START) as docker:
            names = [network["Name"] for network in await docker.networks.list()]
        return EngineNetworks(len(names), default=bool({"bridge", "podman"} & set(names)))

    async def _of_models(self) -> list[DoctorLine]:
        endpoints = (await self._models.endpoints()).values()
        probes = await asyncio.gather(*(probe(endpoint, _PROBE_SECONDS) for endpoint in endpoints))
        found = [
            default_line(one) if endpoint.tier is Tier.DEFAULT else _fast_line(endpoint.name, one)
            for endpoint, one in zip(endpoints, probes, strict=True)
        ]
        if all(endpoint.tier is Tier.DEFAULT for endpoint in endpoints):
            found.append(MODELS.ok("fast", "none runs at the usual addresses; the system default stands in"))
        return found

    def _of_registry(self) -> Iterator[DoctorLine]:
        snapshot = self._registry.snapshot()
        for warning in snapshot.warnings[:_MOST_HOSTS]:
            yield HOST.warning("registry", warning, f"$EDITOR {self._registry.path}")
        if not snapshot.warnings:
            yield HOST.ok("registry", f"{len(snapshot.spaces)} Spaces in {self._registry.path}")

    def _image_registries(self) -> list[str]:
        """The Hub's, and those that images of the registry name."""
        entries = self._registry.snapshot().spaces.values()
        named = {parse_reference(entry.docker_image).registry for entry in entries if entry.docker_image}
        images = self._settings.images
        first = [images.hub_registry] if images.pull_hub_images and not images.hub_offline else []
        return [*first, *sorted(named - set(first))[:_MOST_HOSTS]]


def default_line(found: Probe) -> DoctorLine:
    """How the model of the last resort stands."""
    if found.state == "absent":
        lacks = "libgomp1" in found.why
        command = "sudo apt-get install libgomp1" if lacks else "pip install 'hf-spacedock[daemon,smollm]'"
        return MODELS.warning("default", found.why, command)
    if found.state == "resting" and not found.models:
        return MODELS.warning("default", found.why, "spacedockd model fetch")
    return MODELS.ok("default", ", ".join((*found.models, found.state)))


def _fast_line(name: str, found: Probe) -> DoctorLine:
    if found.state == "absent":
        return MODELS.warning(name, found.why, "spacedock tiers  # and see `models` in the configuration")
    return MODELS.ok(name, ", ".join((*found.models[:1], found.state)))


async def _rights(redis: Redis, url: str) -> DoctorLine:
    try:
        await check_rights(redis)
    except (RedisError, OSError) as error:
        return Area("queue").error("worker's rights", str(explained(url, error)), "see docs/redis.md")
    return Area("queue").ok("worker's rights", "the worker may do all that it needs to")
