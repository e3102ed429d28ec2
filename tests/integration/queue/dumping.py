"""Everything that a Redis holds, as bytes to look through."""

from __future__ import annotations

from redis.asyncio import Redis

from spacedock._wire.connection import answer


async def dump(redis: Redis) -> bytes:
    """All keys with their values, whatever their kinds."""
    return b"\n".join([key + b" = " + await _value(redis, key) async for key in redis.scan_iter(count=1000)])


async def _value(redis: Redis, key: bytes) -> bytes:
    kind = (await redis.type(key)).decode()
    if kind == "string":
        return await redis.get(key) or b""
    if kind == "none":
        # It has gone since the scan named it.
        return b""
    if kind == "hash":
        found = await answer(redis.hgetall(key))
        return b" ".join(part for pair in found.items() for part in pair)
    if kind == "set":
        return b" ".join(await answer(redis.smembers(key)))
    if kind == "list":
        return b" ".join(await answer(redis.lrange(key, 0, -1)))
    if kind == "stream":
        rows = await answer(redis.xrange(key))
        return b" ".join(part for _, fields in rows for pair in fields.items() for part in pair)
    assert kind == "zset"
    return b" ".join(await redis.zrange(key, 0, -1))
