"""SIGHUP: the configuration is read again whole, and applied as a whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import structlog

from spacedock._wire.connection import redacted
from spacedock.configuration import ConfigError
from spacedock.errors import SpacedockError
from spacedock_worker.logs import configure
from spacedock_worker.models.endpoint import ModelEndpoint
from spacedockd.http.listening import HttpServer
from spacedockd.notify import Notifier
from spacedockd.publishing import publish
from spacedockd.settings import DaemonSettings
from spacedockd.worker_process import WorkerProcess

log = structlog.get_logger()

NEEDS_RESTART = frozenset(
    {"redis_url", "queue_memory", "state_dir", "runtime_dir", "smollm", "default_model", "webhooks"}
)
"""What the daemon is given once: its queue, its places, its own model, where webhooks go."""

_PUBLISHED = frozenset({"retention", "files"})
_PUBLISH_SECONDS = 30.0
_HIDDEN = "***"


class Reloader:
    """Knows the settings in force. `reread` gives those of now, and raises SpacedockError.

    `default` is the daemon's own model server, if it runs one, and `url` where the queue is.
    """

    def __init__(
        self,
        settings: DaemonSettings,
        reread: Callable[[], DaemonSettings],
        worker: WorkerProcess,
        door: HttpServer | None,
        default: ModelEndpoint | None,
        url: str,
    ) -> None:
        self._settings, self._reread = settings, reread
        self._worker, self._door, self._default, self._url = worker, door, default, url

    async def run(self, asked: asyncio.Event, notify: Notifier) -> NoReturn:
        """Read and apply the configuration whenever `asked` is set, until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            notify.reloading()
            try:
                await self._reload(await asyncio.to_thread(self._reread))
            except (SpacedockError, TimeoutError) as error:
                why = str(error) or "the store of files does not answer"
                log.warning("reload.refused", why=why, kept="all settings are as before")
            notify.reloaded()

    async def _reload(self, new: DaemonSettings) -> None:
        changed = difference(self._settings, new)
        if not changed:
            log.info("reload.unchanged")
            return
        keys = {name.partition(".")[0] for name in changed}
        self._check(new, keys)
        if keys & _PUBLISHED:
            async with asyncio.timeout(_PUBLISH_SECONDS):
                await publish(self._url, new, Notifier({}, 0), asyncio.sleep)
        log.info("reload.applied", changed=changed)
        if keys & {"log_level", "log_format"}:
            configure(new.log_format, new.log_level)
        before, self._settings = self._settings, new
        told = new.worker(self._default)
        if told != before.worker(self._default):
            self._worker.renew(told)
        if self._door is not None and new.http and keys & {"http", "models_as"}:
            await self._door.renew(new.http, new.models_as)

    def _check(self, new: DaemonSettings, keys: set[str]) -> None:
        fixed = keys & NEEDS_RESTART | ({"http"} if bool(new.http) != bool(self._settings.http) else set())
        if fixed:
            raise ConfigError(
                f"{', '.join(sorted(fixed))} cannot be changed while it runs: restart the daemon"
            )
        if self._door is not None and new.http and "http" in keys:
            self._door.check(new.http)


def shown(settings: DaemonSettings) -> dict[str, Any]:
    """The settings as JSON, with secrets hidden."""
    fields = settings.model_dump(mode="json")
    if settings.http is None:
        # As it is written: an empty key would mean the default.
        fields["http"] = False
    if settings.redis_url is not None:
        fields["redis_url"] = redacted(settings.redis_url)
    if settings.images.hub_token:
        fields["images"]["hub_token"] = _HIDDEN
    for model in (*fields["models"], *([fields["default_model"]] if fields["default_model"] else ())):
        model["api_key"] = _HIDDEN if model["api_key"] else None
    return fields


def difference(old: DaemonSettings, new: DaemonSettings) -> dict[str, str]:
    """What changed, by dotted keys: `max_jobs` "128 -> 64"; of secrets only that they did."""
    before, after = dict(_flat(shown(old))), dict(_flat(shown(new)))
    names = [name for name in before | after if before.get(name) != after.get(name)]
    found = {name: f"{before.get(name)} -> {after.get(name)}" for name in names}
    for name in DaemonSettings.model_fields:
        hidden = getattr(old, name) != getattr(new, name)
        if hidden and not any(one.partition(".")[0] == name for one in found):
            found[name] = "a secret changed"
    return found


def _flat(fields: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
