"""The hosts of a queue: what each has, and whether it takes jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

from spacedock._wire import keys, wire
from spacedock._wire.connection import answer
from spacedock.errors import BadRequestError, WireError

_MOST_HOSTS = 1000
_LOOK_SECONDS = 1.0


class Host(BaseModel):
    """One host, as its worker has published it in the last seconds.

    `containers` are the Spaces' containers that it may have at once, `warm` how many it has up, by Space;
    `jobs` is how many it has claimed; `lacks_gpu_for` are Spaces (the first hundred) that it knows and cannot
    run without a GPU. `alive` is False for a host that was last seen within a day, and `paused` says that it
    takes no jobs.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str = ""
    version: str = ""
    engine: str = ""
    containers: int = 0
    warm: dict[str, int] = {}
    jobs: int = 0
    gpus: bool = False
    lacks_gpu_for: tuple[str, ...] = ()
    alive: bool = True
    paused: bool = False


async def hosts(redis: Redis) -> list[Host]:
    """The hosts of the queue: what each has, and whether it takes jobs; those that are gone last."""
    paused = {one.decode(errors="replace") for one in await answer(redis.smembers(keys.PAUSED))}
    found: dict[str, Host] = {}
    for host_id in await ids(redis):
        found[host_id] = Host(id=host_id, alive=False)
        # What is no host is somebody else's: the host counts as gone.
        with suppress(WireError):
            if (raw := await redis.get(keys.HOST + host_id)) is not None:
                found[host_id] = wire.decode_bounded(Host, raw, wire.MAX_EVENT_BYTES)
    known = [host.model_copy(update={"paused": host.id in paused}) for host in found.values()]
    return sorted(known, key=lambda host: (not host.alive, host.name, host.id))


async def ids(redis: Redis) -> list[str]:
    """The ids of the hosts that are there, or were within a day."""
    found = await redis.zrange(keys.HOSTS, -_MOST_HOSTS, -1)
    return [host_id.decode(errors="replace") for host_id in found]


async def pause(redis: Redis, name: str, *, paused: bool = True) -> Host:
    """Let a host, by its name or the beginning of its id, take no more jobs, or take them again.

    What it has in hand goes on. Raises BadRequestError where there is no such host, or more than one.
    """
    known = await hosts(redis)
    found = [host for host in known if name in (host.name, host.id)]
    found = found or [host for host in known if name and host.id.startswith(name)]
    if len(found) != 1:
        names = ", ".join(f"{host.name or 'gone'} ({host.id})" for host in found or known) or "none"
        if found:
            raise BadRequestError(f"'{name}' is more than one host: {names}. Name the beginning of one's id.")
        raise BadRequestError(f"no host '{name}' at this queue. There are: {names}")
    change = redis.sadd if paused else redis.srem
    await answer(change(keys.PAUSED, found[0].id))
    await redis.publish(keys.WAKE, "1")
    return found[0].model_copy(update={"paused": paused})


async def drain(redis: Redis, name: str, on_wait: Callable[[Host], None] = lambda host: None) -> Host:
    """Pause a host, and wait until it says that no job is in its hands, or is gone.

    `on_wait` is called with the host each second as it was last seen. Raises as `pause` does, and
    BadRequestError where somebody lets it take jobs again.
    """
    host = await pause(redis, name)
    paused_at = (await redis.time())[0]
    while True:
        gone = host.model_copy(update={"alive": False})
        host = next((one for one in await hosts(redis) if one.id == host.id), gone)
        seen = await redis.zscore(keys.HOSTS, host.id) or 0.0
        # What it said before it was paused may be too little.
        if not host.alive or (seen > paused_at and not host.jobs):
            return host
        if not host.paused:
            raise BadRequestError(
                f"{host.name or host.id} was resumed by somebody else, and takes jobs again"
            )
        on_wait(host)
        await asyncio.sleep(_LOOK_SECONDS)


async def serving(redis: Redis, space: str) -> list[Host]:
    """The hosts that can run the Space of that name, also those that are gone since less than a day."""
    return [
        host for host in await hosts(redis) if await answer(redis.sismember(keys.SERVES + host.id, space))
    ]
