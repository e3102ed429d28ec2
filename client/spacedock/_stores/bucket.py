"""A store in a bucket of a server that speaks S3, by the library obstore (the extra `s3`)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from spacedock._stores.store import CALL_SECONDS, CHUNK, IDENTITY, checked, is_place, seconds_for
from spacedock.errors import StoreAwayError, StoreFullError

if TYPE_CHECKING:
    from obstore.store import S3Store

_PAGE = 1000
_REGION = "us-east-1"
_FULL = ("507 ", "StorageFull", "QuotaExceeded")
_CODE = re.compile(r"<Code>(\w{1,60})</Code>")
_LINE = 200


class BucketStore:
    """Files at `PREFIX/PLACE`. Credentials come from the environment: AWS_ACCESS_KEY_ID and its like."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._store = _store(url)

    async def put(self, place: str, data: bytes) -> None:
        """See `Store.put`: the server shows an object when it is whole."""
        await self._put(checked(place), data)

    async def _put(self, path: str, data: bytes) -> None:
        with self._told():
            async with asyncio.timeout(seconds_for(len(data))):
                await self._store.put_async(path, data)

    async def get(self, place: str) -> AsyncIterator[bytes]:
        """See `Store.get`."""
        try:
            async for chunk in self._get(checked(place)):
                yield chunk
        except FileNotFoundError:
            # So a server says also of a bucket that is not there.
            if await self.identity() is None:
                raise self._away(FileNotFoundError("the bucket is not there, or holds no store")) from None
            raise

    async def _get(self, path: str) -> AsyncIterator[bytes]:
        with self._told(missing=True):
            async with asyncio.timeout(CALL_SECONDS):
                found = await self._store.get_async(path)
            pieces = aiter(found.stream(min_chunk_size=CHUNK))
            while True:
                async with asyncio.timeout(CALL_SECONDS):
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield bytes(piece)

    async def delete(self, place: str) -> None:
        """See `Store.delete`."""
        path = checked(place)
        with self._told():
            async with asyncio.timeout(CALL_SECONDS):
                await self._store.delete_async(path)

    async def older(self, seconds: float) -> AsyncIterator[list[tuple[str, int]]]:
        """See `Store.older`; a server keeps no halves of objects."""
        before = time.time() - seconds
        with self._told():
            pages = aiter(self._store.list(chunk_size=_PAGE))
            while True:
                async with asyncio.timeout(CALL_SECONDS):
                    page = await anext(pages, None)
                if page is None:
                    return
                old = (one for one in page if one["last_modified"].timestamp() <= before)
                yield [(one["path"], one["size"]) for one in old if is_place(one["path"])]

    async def room(self) -> None:
        """See `Store.room`: servers do not tell."""

    async def identity(self) -> str | None:
        """See `Store.identity`."""
        try:
            return b"".join([chunk async for chunk in self._get(IDENTITY)])[:100].decode(errors="replace")
        except FileNotFoundError:
            return None

    async def make(self, identity: str) -> None:
        """See `Store.make`. The bucket must be there."""
        await self._put(IDENTITY, identity.encode())

    @contextmanager
    def _told(self, *, missing: bool = False) -> Iterator[None]:
        """Turn what obstore raises into our errors; with `missing`, FileNotFoundError stays."""
        from obstore.exceptions import BaseError

        try:
            yield
        except TimeoutError:
            raise self._away(TimeoutError("no answer in time")) from None
        except FileNotFoundError as error:
            if missing:
                raise
            raise self._away(error) from error
        except (BaseError, OSError) as error:
            if any(word in str(error) for word in _FULL):
                raise StoreFullError(self.url) from error
            raise self._away(error) from error

    def _away(self, error: Exception) -> StoreAwayError:
        text = str(error).partition("\n\nDebug source")[0].replace("\n", " ")
        said = _CODE.search(text)
        why = f"the server says {said[1]}" if said else text[:_LINE]
        advice = "See that the server answers, that the bucket is there, and that AWS_ACCESS_KEY_ID and "
        return StoreAwayError(self.url, why, f"{advice}AWS_SECRET_ACCESS_KEY in this environment are its own")


def _store(url: str) -> S3Store:
    """The library's own store. Raises StoreAwayError where it is not installed."""
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError:
        raise StoreAwayError(
            url, "the library for it is not installed", "Install it: pip install 'hf-spacedock[s3]'"
        ) from None
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    endpoint = options.get("endpoint")
    return S3Store(
        parts.netloc,
        prefix=parts.path.strip("/") or None,
        config={"region": options.get("region", _REGION), **({"endpoint": endpoint} if endpoint else {})},
        client_options={
            "allow_http": bool(endpoint and endpoint.startswith("http://")),
            "timeout": timedelta(seconds=CALL_SECONDS),
            "connect_timeout": timedelta(seconds=5),
        },
        retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=10)},
    )
