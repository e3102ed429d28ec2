"""What a host tells the others: that it is there, what it has, and which Spaces it can run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from redis.asyncio import Redis

from spacedock import hosts
from spacedock._wire import keys, wire
from spacedock._wire.lanes import is_named
from spacedock.hosts import Host
from spacedock_worker.queue.choose import HostOffer
from spacedock_worker.queue.give_back import OtherHost

SERVES_SECONDS = 24 * 3600
"""How long others remember what a host could run that is gone: it may come back."""

_AGAIN_SECONDS = 600.0
_CHUNK = 1000


class Capacity(Protocol):
    """Who knows what this host has; neither method blocks."""

    def offer(self) -> HostOffer | None:
        """What it could start now; None where it takes whatever comes."""
        ...

    def presence(self, jobs: int) -> Presence | None:
        """What to tell others, with so many jobs in hand; None where there is nothing to tell."""
        ...


class Unbounded:
    """A host that takes whatever comes."""

    def offer(self) -> HostOffer | None:
        """Nothing to heed."""
        return None

    def presence(self, jobs: int) -> Presence | None:
        """Nothing to tell."""
        return None


@dataclass(frozen=True, slots=True)
class Presence:
    """A host as it stands now, and the names of the Spaces that it can run."""

    host: Host
    serves: Collection[str]


class Announcer:
    """Publishes a host; what it serves only when that has changed, and now and then."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._serves: Collection[str] | None = None
        self._again = 0.0

    async def announce(self, presence: Presence, lease_ms: int) -> None:
        """Tell the others. Raises redis-py's errors."""
        host = presence.host
        await self._redis.set(keys.HOST + host.id, wire.encode(host), px=lease_ms)
        # Redis's clock: one host whose own runs ahead would drop all others.
        now = (await self._redis.time())[0]
        await self._redis.zadd(keys.HOSTS, {host.id: now})
        await self._redis.zremrangebyscore(keys.HOSTS, "-inf", now - SERVES_SECONDS)
        if presence.serves is not self._serves or monotonic() > self._again:
            await self._tell_names(keys.SERVES + host.id, presence.serves)
            self._serves, self._again = presence.serves, monotonic() + _AGAIN_SECONDS

    async def _tell_names(self, key: str, names: Iterable[str]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(key)
            listed = sorted(names)
            for start in range(0, len(listed), _CHUNK):
                pipe.sadd(key, *listed[start : start + _CHUNK])
            pipe.expire(key, SERVES_SECONDS)
            await pipe.execute()

    async def elsewhere(self, host_id: str, targets: list[str]) -> set[str]:
        """Those of the targets that another host can run, also one that is gone since less than a day."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for other in await hosts.ids(self._redis):
                if other != host_id:
                    pipe.smismember(keys.SERVES + other, targets)
            rows = await pipe.execute()
        return {target for flags in rows for target, flag in zip(targets, flags, strict=True) if flag}

    async def others(self, host_id: str, targets: Sequence[str]) -> list[OtherHost]:
        """The other hosts that take jobs now, each with those of the targets that it can run."""
        found = await hosts.hosts(self._redis)
        there = [host for host in found if host.id != host_id and host.alive and not host.paused]
        async with self._redis.pipeline(transaction=False) as pipe:
            for host in there:
                pipe.smismember(keys.SERVES + host.id, list(targets))
            rows = await pipe.execute()
        anywhere = {target for target in targets if not is_named(target)}
        return [
            OtherHost(host, anywhere | {one for one, flag in zip(targets, flags, strict=True) if flag})
            for host, flags in zip(there, rows, strict=True)
        ]

    async def count(self) -> int:
        """How many hosts are there now."""
        ids = await hosts.ids(self._redis)
        return int(await self._redis.exists(*(keys.HOST + one for one in ids))) if ids else 1

    async def leave(self, host_id: str) -> None:
        """Say that the host is gone."""
        await self._redis.delete(keys.HOST + host_id)
