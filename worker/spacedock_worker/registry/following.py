"""Keeping up with the shared catalogue: heard at once, looked at now and then, written out beside it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from time import monotonic

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spacedock._wire import keys
from spacedock._wire.connection import messages
from spacedock_worker.background import forever
from spacedock_worker.registry.registry import Registry

log = structlog.get_logger()

TROUBLE = (RedisError, OSError, TimeoutError)
"""What comes of a Redis that is away or odd."""

_LOOK_SECONDS = 10.0
"""How often the catalogue is looked at without being told of a change."""

_QUIET_SECONDS, _LATEST_SECONDS = 0.5, 5.0
"""The file is written once nothing has changed for so long, and at the latest after so long."""

_PAUSE_SECONDS = 0.5


async def open_registry(registry: Registry) -> None:
    """Read the catalogue, once Redis answers."""
    troubled = False
    while True:
        try:
            await registry.caught_up()
            break
        except TROUBLE as error:
            if not troubled:
                log.warning("redis.away", loop="catalogue", error=str(error) or type(error).__name__)
            troubled = True
            await asyncio.sleep(_PAUSE_SECONDS)
    await asyncio.to_thread(registry.write_out)


async def follow(registry: Registry, redis: Redis) -> None:
    """Keep the registry as the catalogue is, until cancelled."""
    following = _Following(registry, redis)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(forever("catalogue news", following.listen, trouble=TROUBLE))
        tasks.create_task(forever("catalogue", following.keep_up, trouble=TROUBLE))


class _Following:
    def __init__(self, registry: Registry, redis: Redis) -> None:
        self._registry, self._redis = registry, redis
        self._heard = asyncio.Event()
        self._since: float | None = None

    async def listen(self) -> None:
        async with aclosing(messages(self._redis, keys.CATALOGUE_CHANGED)) as told:
            # The first one says that nothing is missed from here on: what was before is looked at.
            async for _ in told:
                self._heard.set()

    async def keep_up(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_QUIET_SECONDS if self._registry.unwritten else _LOOK_SECONDS):
                await self._heard.wait()
        quiet = not self._heard.is_set()
        self._heard.clear()
        if self._registry.unwritten:
            self._since = self._since or monotonic()
            if quiet or monotonic() - self._since > _LATEST_SECONDS:
                await asyncio.to_thread(self._registry.write_out)
                self._since = None
        await self._registry.caught_up(retry=True)
