"""What this host's configuration says for the whole queue: kept in Redis, where hosts and clients read it."""

from __future__ import annotations

import structlog

from spacedock._wire import keys
from spacedock._wire.connection import answer, connect, told_as_ours
from spacedockd.settings import DaemonSettings

log = structlog.get_logger()


async def publish(url: str, settings: DaemonSettings) -> None:
    """Make our settings the queue's; where other hosts said something else, the last one that starts counts.

    Jobs that have ended keep the time that they got. Raises NotConnectedError, RefusedError.
    """
    ours = {name: str(value) for name, value in settings.retention.model_dump().items()}
    with told_as_ours(url):
        async with connect(url) as redis:
            told = await answer(redis.hgetall(keys.SETTINGS))
            before = {name.decode(): value.decode(errors="replace") for name, value in told.items()}
            await answer(redis.hset(keys.SETTINGS, mapping=ours))
    if changed := {name: value for name, value in before.items() if ours.get(name, value) != value}:
        log.warning("settings.changed", before=changed, now={name: ours[name] for name in changed})
