"""The shared catalogue in Redis: read as a whole within bounds, written one entry at a time."""

from __future__ import annotations

import asyncio
import hashlib
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from spacedock._wire import keys
from spacedock._wire.connection import answer
from spacedock._wire.scripts import atomic
from spacedock.errors import WireError
from spacedock.files import MAX_REPOSITORY_BYTES
from spacedock_worker.registry.atomic_write import write_whole
from spacedock_worker.registry.record import MAX_RECORD_BYTES, MAX_RECORDS, Record, encoded, tar_of

_NEEDS = (
    "'HGET', KEYS[1], '0'",
    "'HSET', KEYS[1], '0', '0'",
    "'HDEL', KEYS[1], '0'",
    "'SET', KEYS[2], '0'",
    "'HSET', KEYS[3], '0', '0'",
    "'HDEL', KEYS[3], '0'",
    f"'PUBLISH', '{keys.CATALOGUE_CHANGED}', '0'",
)

_PUT_LUA = f"""
local name, before, after, version, repository = unpack(ARGV)
local there = redis.call('HGET', KEYS[1], name)
if (there or '') ~= before then return 0 end
if not there and redis.call('HLEN', KEYS[1]) >= {MAX_RECORDS} then return -1 end
if after == '' then redis.call('HDEL', KEYS[1], name) else redis.call('HSET', KEYS[1], name, after) end
if repository == 'none' then
  redis.call('HDEL', KEYS[3], name)
elseif repository ~= 'same' then
  redis.call('HSET', KEYS[3], name, repository)
end
redis.call('SET', KEYS[2], version)
redis.call('PUBLISH', '{keys.CATALOGUE_CHANGED}', version)
return 1
"""

_PUT = atomic(_PUT_LUA, *_NEEDS, when_full=False)
_DROP = atomic(_PUT_LUA, *_NEEDS)

_READ = f"""
local found, count = {{redis.call('GET', KEYS[2])}}, 0
for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
  if count < {MAX_RECORDS} and redis.call('HSTRLEN', KEYS[1], name) <= {MAX_RECORD_BYTES} then
    found[#found + 1], found[#found + 2] = name, redis.call('HGET', KEYS[1], name)
    count = count + 1
  end
end
found[#found + 1] = redis.call('HLEN', KEYS[1]) - count
return found
"""

_SEED_LUA = f"""
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
for place = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end
redis.call('SET', KEYS[2], ARGV[1])
redis.call('PUBLISH', '{keys.CATALOGUE_CHANGED}', ARGV[1])
return 1
"""

_SEED = atomic(_SEED_LUA, *_NEEDS, "'EXISTS', KEYS[2]", when_full=False)

_KEYS = [keys.CATALOGUE, keys.CATALOGUE_VERSION, keys.CATALOGUE_REPOSITORIES]

_SAME, _NONE = b"same", b"none"


class CatalogueFullError(WireError):
    """The catalogue has as many entries as it may have."""


@dataclass(frozen=True, slots=True)
class Contents:
    """All entries by name as they stand in Redis, how many were too large to be read, and the version."""

    version: bytes | None = None
    rows: Mapping[str, bytes] = field(default_factory=dict)
    left_out: int = 0


class CatalogueStore:
    """One catalogue; every method raises redis-py's errors."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    async def version(self) -> bytes | None:
        """Another one after each change; None for a catalogue that was never written."""
        found: bytes | None = await answer(self.redis.get(keys.CATALOGUE_VERSION))
        return found

    async def read(self) -> Contents:
        """The whole catalogue, within the bounds of what is read."""
        version, *rows, left_out = await self.redis.register_script(_READ)(keys=_KEYS[:2])
        names = [name.decode(errors="replace") for name in rows[::2]]
        return Contents(version, dict(zip(names, rows[1::2], strict=True)), left_out)

    async def put(
        self, name: str, before: bytes | None, after: bytes | None, repository: bytes | None = None
    ) -> bool:
        """Replace an entry that still is `before` (None: there is none) by `after` (None: by nothing).

        `repository` is the tar that belongs to `after`, where it is another one; empty, it has none. Returns
        False, with nothing changed, if somebody else was faster. Raises CatalogueFullError.
        """
        tar = _NONE if repository == b"" or after is None else repository or _SAME
        script = self.redis.register_script(_DROP if after is None else _PUT)
        done = await script(keys=_KEYS, args=[name, before or b"", after or b"", _new_version(), tar])
        if done == -1:
            raise CatalogueFullError(f"the catalogue has {MAX_RECORDS:,} Spaces, which is its limit")
        return bool(done)

    async def seed(self, records: Mapping[str, Record], folder: Path) -> bool:
        """Fill a catalogue that was never written, or was lost, with the tars that are in the folder.

        Returns False, with no entry changed, if there is one.
        """
        args: list[str | bytes] = [_new_version()]
        for name, record in records.items():
            with suppress(WireError):
                args += [name, encoded(record)]
            with suppress(OSError):
                tar = await asyncio.to_thread(tar_of(record.entry, folder).read_bytes)
                await answer(self.redis.hsetnx(keys.CATALOGUE_REPOSITORIES, name, tar))  # type: ignore[arg-type]
        return bool(await self.redis.register_script(_SEED)(keys=_KEYS, args=args))

    async def fetch(self, name: str, digest: str, folder: Path) -> bool:
        """Get the tar of that Space into the folder; False if it is there.

        Raises WireError where Redis does not have it, or has another one than that of this SHA-256; OSError.
        """
        path = folder / f"{digest}.tar"
        if await asyncio.to_thread(os.path.exists, path):
            return False
        if await answer(self.redis.hstrlen(keys.CATALOGUE_REPOSITORIES, name)) > MAX_REPOSITORY_BYTES:
            raise WireError(f"its repository is over the limit of {MAX_REPOSITORY_BYTES // 2**20} MB")
        data: Any = await answer(self.redis.hget(keys.CATALOGUE_REPOSITORIES, name))
        if not isinstance(data, bytes):
            raise WireError("its repository is not in Redis")
        await asyncio.to_thread(_keep, path, data, digest)
        return True


def _keep(path: Path, data: bytes, digest: str) -> None:
    if hashlib.sha256(data).hexdigest() != digest:
        raise WireError("its repository in Redis does not match its digest")
    write_whole(path, data)


def _new_version() -> bytes:
    return uuid.uuid4().hex.encode()
