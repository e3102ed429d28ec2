"""Collects all that can be known of a Space without getting, starting or calling it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from spacedock._wire.rpc import OnProgress
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.machine.capacity import EngineInfo, engine_info, memory_of
from spacedock_worker.containers.machine.gpu import choose
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.errors import StepError
from spacedock_worker.hub.catalogue import FRESH_SECONDS, Catalogue, age_of
from spacedock_worker.images.build.repository import read_repository
from spacedock_worker.images.hub_errors import HubError, HubRefusedError
from spacedock_worker.images.oci.manifest import can_run, emulators, parse_platform, platform_of
from spacedock_worker.images.oci.survey import Offer, Survey
from spacedock_worker.images.space_card import RUNNABLE, read_card
from spacedock_worker.jobs.inspection import Inspection, Inspector
from spacedock_worker.jobs.secrets import Secrets
from spacedock_worker.jobs.space_spec import access_of
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.registry.registry import Registry
from spacedock_worker.validation.verdict import Findings, HubCheck


class HubReader:
    """Asks the catalogue, which also knows the secrets that a Space speaks of.

    `now` gives seconds since the epoch; `token` says that this host has a login at the Hub.
    """

    def __init__(self, catalogue: Catalogue, now: Callable[[], float], *, token: bool) -> None:
        self._catalogue, self._now, self._token = catalogue, now, token

    async def news(self, hub_id: str) -> HubCheck:
        """The Hub's answer, within some seconds; never raises for the Hub."""
        try:
            space, at = await self._catalogue.about(hub_id)
        except HubError as error:
            return HubCheck(missing=isinstance(error, HubRefusedError), why=str(error), token=self._token)
        old = 0.0 if at is None else self._now() - at
        if old <= FRESH_SECONDS:
            return HubCheck(space, token=self._token)
        why = f"the Hub could not be asked; what is known of the Space is {age_of(old)} old"
        return HubCheck(space, stale=True, why=why, token=self._token)


_SHOWN, _LINE = 8, 80


class FindingsCollector:
    """Asks the engine, the Hub and image registries; what they do not answer is unknown, and no error."""

    def __init__(
        self,
        engine: Engine,
        settings: ContainerSettings,
        inspector: Inspector,
        survey: Survey,
        hub: HubReader,
        secrets: Secrets,
    ) -> None:
        self._engine, self._settings, self._inspector = engine, settings, inspector
        self._survey, self._hub, self._secrets = survey, hub, secrets

    async def of(self, entry: SpaceEntry, registry: Registry, tell: OnProgress, *, trying: bool) -> Findings:
        """What there is to know of the Space now; bounded by the deadlines of those who are asked.

        `trying` says that it will be tried next.
        """
        tell("looking at this host")
        host = await engine_info(self._engine, self._settings)
        sdk, binds = await asyncio.to_thread(_told_by, entry.repository)
        known = await self._inspector.look(entry)
        # A refusal of the engine is told of the host.
        trouble = known.trouble if isinstance(known.trouble, StepError) and host.trouble is None else None
        news = None
        if entry.hub_id is not None:
            tell("asking the Hub")
            news = await self._hub.news(entry.hub_id)
        emulated = await asyncio.to_thread(emulators)
        return Findings(
            entry=entry,
            host=host,
            here=known.image,
            trouble=trouble,
            offer=await self._offer(entry, host, news, tell) if known.image is None else None,
            hub=news,
            sdk=sdk,
            binds=binds,
            runs=lambda name: can_run(parse_platform(name), host.info, emulated),
            missing_secret=await self._missing_secret(entry),
            misfit=_misfit(known),
            trying=trying,
            gpus=self._gpus(entry, host),
            memory=self._memory(entry, host),
            known=registry.snapshot().spaces.keys(),
            status=known.status,
        )

    async def _offer(
        self, entry: SpaceEntry, host: EngineInfo, news: HubCheck | None, tell: OnProgress
    ) -> Offer | None:
        """What is said of the image that a pull would ask for; None where the Space would be built."""
        space = news.space if news else None
        name = entry.docker_image
        if entry.hub_id is not None and entry.revision is not None:
            return None
        if name is None and (entry.hub_id is None or entry.repository is not None):
            return None
        if name is None and space is not None and space.sdk is not None and space.sdk not in RUNNABLE:
            return None
        if name is None and entry.hub_id is not None:
            name = self._survey.hub_image(
                entry.hub_id, entry.subdomain or (space.subdomain if space else None)
            )
        if name is None:
            return None
        tell(f"asking about {name}")
        platform = parse_platform(entry.platform) if entry.platform else platform_of(host.info)
        return await self._survey.ask(name, platform, space.sha if space else None)

    async def _missing_secret(self, entry: SpaceEntry) -> str | None:
        try:
            await self._secrets.of(entry)
        except StepError as error:
            return str(error)
        return None

    def _gpus(self, entry: SpaceEntry, host: EngineInfo) -> StepError | None:
        try:
            choose(entry.gpu, host.gpus, self._settings.gpu_free)
        except StepError as error:
            return error
        return None

    def _memory(self, entry: SpaceEntry, host: EngineInfo) -> int:
        if host.machine is None:
            return 0
        return memory_of(ContainerSpec(entry.id, "", "", memory=entry.memory), host.machine, self._settings)


def _misfit(known: Inspection) -> str | None:
    """Why the entry's fields do not go together, or not with what its app can do."""
    entry = known.entry
    try:
        access_of(entry)
    except StepError as error:
        return str(error)
    if entry.adapter == "command" and (entry.endpoint or entry.operation):
        return "a program that runs once (`adapter: command`) has no `endpoint` and no `operation`"
    if entry.adapter == "gradio" and entry.operation:
        return "`operation` is for apps that are no Gradio apps: take it out, or `adapter: gradio`"
    names = [endpoint.name for endpoint in known.endpoints]
    if not names or entry.endpoint is None or entry.endpoint in names:
        return None
    return f"its app has no endpoint {entry.endpoint}; it has {', '.join(names[:_SHOWN])}"


# Gradio's and Uvicorn's arguments, in Python and on a command's line.
_BINDS = re.compile(
    r"""(?:\bserver_name\s*=|\b(?:run|run_app|serve|launch)\(.*\bhost\s*=|--host\b)"""
    r"""["',\s=]*(?:127\.0\.0\.1|localhost)\b(?!:)"""
)


def binds_inside(text: str) -> str | None:
    """Where a program's text says that it listens for its own container alone: that line; else None."""
    for line in text.splitlines():
        if _BINDS.search(line.partition("#")[0]):
            return line.strip()[:_LINE]
    return None


def _told_by(repository: str | None) -> tuple[str | None, str | None]:
    """The SDK that the README.md of a repository of this host names, and how its app hides; blocks."""
    if repository is None:
        return None, None
    try:
        files = read_repository(Path(repository))
        card = read_card(files.text("README.md"))
        names = ("Dockerfile",) if card.sdk == "docker" else (card.app_file or "app.py",)
        binds = [f"{name}: {found}" for name in names if (found := binds_inside(files.text(name)))]
    except (StepError, OSError):
        # Why it cannot be read is told where it would be built.
        return None, None
    return card.sdk, next(iter(binds), None)
