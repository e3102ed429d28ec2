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
from spacedock_worker.registry.moving import move
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
    """Read the catalogue, once Redis answers; an earlier release's entries move to it first."""
    troubled = False
    while True:
        try:
            await registry.caught_up()
            await move(registry)
            break
        except TROUBLE as error:
            if not troubled:
                log.warning("redis.away", loop="catalogue", error=str(error) or type(error).__name__)
            troubled = True
            await asyncio.sleep(_PAUSE_SECONDS)
    await asyncio.to_thread(registry.write_out)


async def follow(registry: Registry, redis: Redis) -> None:
    """Keep the registry as the catalogue is, until cancelled."""
    heard = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_listen(redis, heard))
        tasks.create_task(_keep_up(registry, heard))


async def _listen(redis: Redis, heard: asyncio.Event) -> None:
    while True:
        try:
            async with aclosing(messages(redis, keys.CATALOGUE_CHANGED)) as told:
                # The first one says that nothing is missed from here on: what was before is looked at.
                async for _ in told:
                    heard.set()
        except TROUBLE as error:
            log.debug("catalogue.not_heard", error=str(error) or type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)


async def _keep_up(registry: Registry, heard: asyncio.Event) -> None:
    unwritten: float | None = None
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS if unwritten is None else _QUIET_SECONDS):
                await heard.wait()
        quiet = not heard.is_set()
        heard.clear()
        before = registry.changes
        try:
            await registry.caught_up(retry=True)
        except TROUBLE as error:
            log.debug("catalogue.not_read", error=str(error) or type(error).__name__)
            await asyncio.sleep(_PAUSE_SECONDS)
        if registry.changes != before and unwritten is None:
            unwritten = monotonic()
        if unwritten is not None and (quiet or monotonic() - unwritten > _LATEST_SECONDS):
            await asyncio.to_thread(registry.write_out)
            unwritten = None
