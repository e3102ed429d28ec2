"""Whether the Redis that is configured can be worked with: told before the daemon says that it is ready."""

from __future__ import annotations

from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from spacedock._wire.connection import connect, greet, told_as_ours
from spacedock.errors import NotConnectedError, RefusedError
from spacedock_worker.queue.rights import check_rights
from spacedockd.notify import Notifier
from spacedockd.supervisor import Sleep

log = structlog.get_logger()

PAUSE_SECONDS = 2.0


async def usable(url: str, notify: Notifier, sleep: Sleep) -> None:
    """Return once the Redis can be worked with; wait for one that is away, loading or a replica.

    Raises RefusedError where waiting does not help, BadRequestError where this is no address.
    """
    async with connect(url) as redis:
        said = ""
        while True:
            try:
                await _look(redis, url)
                return
            except RefusedError as error:
                if error.lasting:
                    raise
                why = str(error)
            except NotConnectedError as error:
                why = error.why
            if why != said:
                log.warning("redis.waiting", why=why)
            said = why
            notify.starting(f"waiting for Redis: {why}", 2 * PAUSE_SECONDS + 60)
            await sleep(PAUSE_SECONDS)


async def _look(redis: Redis, url: str) -> None:
    await greet(redis, url)
    with told_as_ours(url):
        await check_rights(redis)
        with suppress(NoPermissionError):
            memory = await redis.info("memory")
            policy = memory.get("maxmemory_policy", "noeviction")
            if memory.get("maxmemory") and policy != "noeviction":
                advice = "set maxmemory-policy to noeviction: this Redis drops jobs when it is full"
                log.warning("redis.evicts", policy=policy, advice=advice)
