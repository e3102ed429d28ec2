"""The files of a queue: put, found and verified, wherever they are."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from spacedock._stores.bucket import BucketStore
from spacedock._stores.folder import FolderStore
from spacedock._stores.store import (
    DELETING_SECONDS,
    IN_REDIS,
    Store,
    check_url,
    published,
)
from spacedock._wire import keys, memory
from spacedock._wire.connection import answer
from spacedock._wire.retention import PRIVATE_GRACE_S, UPLOAD_GRACE_S
from spacedock._wire.scripts import registered
from spacedock.errors import BadRequestError, StoreAwayError, StoreFullError, WireError
from spacedock.files import MAX_FILE_BYTES, MAX_REPOSITORY_BYTES, FileRef, Payload
from spacedock.replies.host import FilesRow

LARGE = 2**18
"""Files of so many bytes go to the store, if the queue has one; smaller ones cost Redis little."""

_LOOK_SECONDS = 0.1
SPARE_BYTES, SPARE_SHARE = 2**30, 0.05
"""So many bytes, or such a share of the disk if that is less, stay free; results may use half of them."""


class Payloads:
    """The files of a queue.

    Redis knows of each file: a string has its bytes, a hash says that they are in the store; both have the
    same key and end by the same rules (docs/operations.md). Small files, and those of private jobs, are
    always in Redis. Large ones are in the store that the queue's daemons publish, if they do; `url` is where
    this side finds it, should that be another path than theirs.

    What is to be kept for something else than a job, such as a Space's repository: `upload` it, name it by
    its `FileRef`, and `read` or `repository` it within the grace; whoever needs it for longer keeps it
    as a job does, by its id in `keys.payload_users`.
    """

    def __init__(self, redis: Redis, url: str | None = None) -> None:
        self._redis, self._url = redis, url if url != IN_REDIS else None
        self._seen: set[tuple[str, str]] = set()

    async def upload(self, payloads: Iterable[Payload]) -> None:
        """Store the files that are not there yet; each content once.

        Raises QueueFullError and its kind StoreFullError before anything is full, and StoreAwayError.
        """
        try:
            await self._put(payloads, spare=1.0)
        except OutOfMemoryError:
            raise await memory.full_error(self._redis) from None

    async def keep(self, payloads: Iterable[Payload]) -> None:
        """Store a result's files as `upload` does, up to the server's own limit. Raises redis-py's errors."""
        await self._put(payloads, spare=0.5)

    async def _put(self, payloads: Iterable[Payload], spare: float) -> None:
        wanted = {payload.ref.place: payload for payload in payloads}
        # A private file goes at once with its job, which Redis sees to.
        refs = [payload.ref for payload in wanted.values()]
        large = {ref.place for ref in refs if ref.size >= LARGE and ref.vault is None}
        store, identity = (await self._home(writing=True) if large else None) or (None, "")
        outside = large if store is not None else set()
        lacking = await self._lacking(wanted.values(), outside)
        small = [payload for payload in lacking if payload.ref.place not in outside]
        if small and spare == 1.0:
            await memory.check_room(self._redis, sum(payload.ref.size for payload in small))
        if store is not None:
            await _check_room(store, sum(p.ref.size for p in lacking if p.ref.place in outside), spare)
        came = registered(self._redis, "came", __package__)
        for payload in lacking:
            place, key, seconds = payload.ref.place, keys.payload(payload.ref.place), grace_of(payload)
            if store is not None and place in outside:
                await store.put(place, payload.data)
                await came(keys=[key], args=[payload.ref.size, seconds, place, identity])
            else:
                # One at a time: a pipeline of them would hold every file in memory twice.
                # NX: whoever stored the same file meanwhile may have a job that needs it without end.
                await self._redis.set(key, payload.data, ex=seconds, nx=True)

    async def _lacking(self, payloads: Iterable[Payload], outside: set[str]) -> list[Payload]:
        """Those of the files that are not there, whatever their names; the others wait for their job anew."""
        script = registered(self._redis, "want", __package__, DELETING_SECONDS=DELETING_SECONDS)
        asked = list(payloads)
        lacking: list[Payload] = []
        while asked:
            args: list[str | int] = []
            for payload in asked:
                size = payload.ref.size if payload.ref.place in outside else ""
                args += [payload.ref.place, grace_of(payload), size]
            said = dict(zip([one.ref.place for one in asked], await script(args=args), strict=True))
            lacking += [one for one in asked if said[one.ref.place] == b"lacking"]
            # Somebody is deleting it just now: that takes a moment, and ends by itself at the latest.
            if asked := [one for one in asked if said[one.ref.place] == b"gone"]:
                await asyncio.sleep(_LOOK_SECONDS)
        return lacking

    async def read(self, place: str, *, size: int | None = None, most: int = MAX_FILE_BYTES) -> bytes:
        """The bytes of a file (`FileRef.place`), of at most `most` bytes and of the `size` that is expected.

        Whoever can write to Redis or to the store can overwrite a file, so its digest is checked each time.
        Raises WireError where the file is kept no longer, or is not what its digest and size say;
        StoreAwayError where it is in a store that cannot be used now.
        """
        try:
            data = bytes(await self._redis.getrange(keys.payload(place), 0, most))
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                raise
            data = await self._from_store(place, most)
        if not data and not await self._redis.exists(keys.payload(place)):
            raise _gone(place)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        if len(data) > most or size not in (None, len(data)) or digest != place.partition(".")[0]:
            raise _not_itself(place)
        return data

    async def repository(self, ref: FileRef) -> bytes:
        """The tar of a Space's directory. Raises as `read` does."""
        return await self.read(ref.place, size=ref.size, most=MAX_REPOSITORY_BYTES)

    async def check(self, places: Sequence[str]) -> None:
        """See that the files are there without reading them. Raises WireError for the first that is not."""
        for place in places:
            if not await answer(self._redis.exists(keys.payload(place))):
                raise _gone(place)

    async def status(self) -> FilesRow:
        """Where large files are (`at`), the bytes `free` there (None: unknown), and `why` it is away."""
        try:
            if (told := await published(self._redis)) is None:
                return {"at": IN_REDIS, "free": None, "why": None}
            home = await self._home()
            room = await home[0].room() if home is not None else None
        except StoreAwayError as error:
            return {"at": error.url, "free": None, "why": error.why}
        return {"at": told.url, "free": room[0] if room else None, "why": None}

    async def _from_store(self, place: str, most: int) -> bytes:
        try:
            told = await answer(self._redis.hmget(keys.payload(place), ["state", "store"]))
        except ResponseError:
            raise _not_itself(place) from None
        state, whose = (value.decode(errors="replace") if value else "" for value in told)
        if state != "in":
            raise _gone(place)
        store, identity = await self._home() or (None, "")
        if store is None or whose != identity:
            why = f"file {place[:12]} is there, and the daemons name another place now"
            raise StoreAwayError("an earlier place", why, "Name the earlier one again by their `files`")
        try:
            return await _collected(store.get(place), most)
        except FileNotFoundError:
            why = f"file {place[:12]} is not in {store.url} any more: somebody removed it there"
            raise WireError(
                f"{why}. Delete {keys.payload(place)} in Redis, then submit the job again"
            ) from None

    async def _home(self, *, writing: bool = False) -> tuple[Store, str] | None:
        """The queue's store and its identity; None where it has none, and all is in Redis.

        Raises StoreAwayError. For `writing`, a folder on the daemon's own machine that cannot be seen from
        here is no trouble: the files go to Redis.
        """
        told = await published(self._redis)
        if told is None:
            return None
        try:
            store = opened(self._url or told.url)
        except BadRequestError as error:
            raise StoreAwayError(self._url or told.url, str(error), "Correct it where it is said") from None
        known = store.url, told.identity
        # Looked at once: where a share goes away later, so do the folders that writing needs.
        if known in self._seen or await store.identity() == told.identity:
            self._seen.add(known)
            return store, told.identity
        if writing and told.own:
            return None
        advice = "Mount it, or name its place on this machine by SPACEDOCK_FILES"
        raise StoreAwayError(store.url, "this machine does not see the queue's store there", advice)

    async def strays(
        self, seconds: float, forgotten: Collection[str] = (), *, dry_run: bool
    ) -> AsyncIterator[int]:
        """Remove files from the store that Redis knows nothing of, put so long ago; yields their sizes.

        With `dry_run` nothing goes, and those `forgotten` count too.
        """
        if (home := await self._home()) is None:
            return
        store, _ = home
        claim = registered(self._redis, "claim", __package__)
        release = registered(self._redis, "deleted", __package__)
        async for page in store.older(seconds):
            async with self._redis.pipeline(transaction=False) as pipe:
                for place, _ in page:
                    pipe.exists(keys.payload(place))
                known = await pipe.execute()
            for (place, size), there in zip(page, known, strict=True):
                key = keys.payload(place)
                if dry_run:
                    if place in forgotten or not there:
                        yield size
                elif not there and await claim(keys=[key], args=[DELETING_SECONDS]):
                    await store.delete(place)
                    await release(keys=[key])
                    yield size


@cache
def opened(url: str) -> Store:
    """The store at an address, the same one each time. Raises BadRequestError for an invalid address."""
    parts = urlsplit(check_url(url))
    return FolderStore(url, Path(unquote(parts.path))) if parts.scheme == "file" else BucketStore(url)


async def _check_room(store: Store, size: int, spare: float) -> None:
    if size and (told := await store.room()) is not None:
        free, total = told
        needed = size + int(min(SPARE_BYTES, SPARE_SHARE * total) * spare)
        if free < needed:
            raise StoreFullError(store.url, free, needed)


async def _collected(chunks: AsyncIterator[bytes], most: int) -> bytes:
    """The pieces as one, no more of them than it takes to see that they are too many."""
    data = bytearray()
    async for chunk in chunks:
        data += chunk
        if len(data) > most:
            break
    return bytes(data)


def grace_of(payload: Payload) -> int:
    """How many seconds a file waits for its job."""
    return PRIVATE_GRACE_S if payload.ref.vault else UPLOAD_GRACE_S


def _not_itself(place: str) -> WireError:
    return WireError(
        f"file {place[:12]} was overwritten in Redis or in the store of files: its content does not match "
        f"its digest and size. Delete {keys.payload(place)} there, then submit the job again with its files"
    )


def _gone(place: str) -> WireError:
    return WireError(
        f"file {place[:12]} is kept no longer: files live as long as their job's result, 24 hours unless "
        "the daemon or the job's `keep_for` says otherwise, and in privacy mode until it is read"
    )
