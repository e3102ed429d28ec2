"""Sending the lines of a batch: each under a key of its own, so that no job is submitted twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence

from spacedock.batching.batch_client import BatchClient
from spacedock.batching.batch_options import BatchOptions
from spacedock.batching.checkpoint import Checkpoint
from spacedock.batching.line_request import RequestMaker
from spacedock.batching.reading import CHUNK, BatchReader, Unsent
from spacedock.batching.tally import Tally
from spacedock.batching.window import Window
from spacedock.errors import NotConnectedError, QueueFullError, RefusedError
from spacedock.request import JobRequest, job_id_of

_PAUSE_SECONDS = 1.0
LINE_LABEL = "line"
"""The label that keeps a line's number where nobody waits for its result."""


class Sender:
    """Sends what the reader finds.

    Each line has a key of the first of two checkpoints, or of the second where it has a result already.
    """

    def __init__(
        self,
        client: BatchClient,
        name: str,
        reader: BatchReader,
        maker: RequestMaker,
        tally: Tally,
        options: BatchOptions,
    ) -> None:
        self._client, self._name, self._reader, self._maker = client, name, reader, maker
        self._tally, self._options = tally, options
        self.rereads = True
        """Whether all lines were read before, and are now read again."""
        self.sending: list[str] = []
        """The jobs that are being submitted: whether they were is known once the queue has answered."""
        self.exhausted = False
        """Whether all lines were sent, and not only as many as `limit` says."""

    async def feed(self, window: Window, books: tuple[Checkpoint, Checkpoint]) -> None:
        """Send all lines as the window has room for them."""
        size = max(1, min(CHUNK, window.size // 4))
        async for chunk in self._chunks():
            for start in range(0, len(chunk), size):
                part = chunk[start : start + size]
                await window.room(part)
                await self._submit(part, books, window)
                part.clear()
            # The next files are read while this frame and others still know the list.
            chunk.clear()
        await self._options.sent(books[0].id)

    async def hand_over(self, books: tuple[Checkpoint, Checkpoint]) -> None:
        """Send all lines at once; each job has its line's number as a label."""
        async for chunk in self._chunks():
            await self._submit(chunk, books, None)
            chunk.clear()
        await self._options.sent(books[0].id)

    async def _chunks(self) -> AsyncIterator[list[Unsent]]:
        """The lines to send, in chunks, until the limit is reached."""
        limit = self._options.limit
        chunks = self._reader.again() if self.rereads else self._reader.first(files=True)
        async for chunk in in_thread(chunks):
            taken = chunk if limit is None else chunk[: limit - self._tally.sent]
            is_last = len(taken) < len(chunk)
            self._tally.sent += len(taken)
            self._tally.total = self._reader.lines
            if taken:
                yield taken
            if is_last:
                return
        self.exhausted = True
        self._tally.changed = self._reader.changed
        self._tally.repeated_id = self._reader.repeated_id

    async def _submit(
        self, chunk: Sequence[Unsent], books: tuple[Checkpoint, Checkpoint], window: Window | None
    ) -> None:
        """Hand some lines over, files just before their jobs. Waits while Redis is away, or has no room."""
        requests = [self._keyed(unsent, *books, labelled=window is None) for unsent in chunk]
        self.sending = [job_id_of(request) for request in requests]
        told = False
        while True:
            try:
                ids = await self._try(chunk, requests)
                break
            except (QueueFullError, NotConnectedError, RefusedError) as error:
                is_full = isinstance(error, QueueFullError)
                lasts = isinstance(error, RefusedError) and error.lasting
                if window is None or lasts or (is_full and not window.open):
                    raise
                if not told:
                    self._options.tell(f"waiting, then going on: {error}")
                told = True
                await (window.one_less() if is_full else asyncio.sleep(_PAUSE_SECONDS))
        self._options.submitted(ids)
        self.sending = []
        if window is not None:
            window.follow(dict(zip(ids, chunk, strict=True)))
            self._tally.in_flight = len(window.open)

    async def _try(self, chunk: Sequence[Unsent], requests: Sequence[JobRequest]) -> list[str]:
        packed = {one.ref.sha256: one for request in requests for one in self._maker.repository(request)}
        for payload in [*packed.values(), *(one for unsent in chunk for one in unsent.payloads)]:
            await self._client.store([payload])
        untold = any(request.privacy for request in requests)
        return await self._client.submit_many(requests, label="" if untold else self._name)

    def _keyed(self, unsent: Unsent, book: Checkpoint, retry: Checkpoint, *, labelled: bool) -> JobRequest:
        before, request = unsent.before, unsent.request
        key = retry.key(unsent.name.identity, before.job_id) if before else book.key(unsent.name.identity)
        labels = {LINE_LABEL: str(unsent.name.number)} if labelled and not request.privacy else {}
        update = {"idempotency_key": key, "batch_id": request.batch_id or book.id}
        return request.model_copy(update=update | {"labels": labels | request.labels})


async def in_thread(chunks: Iterator[list[Unsent]]) -> AsyncIterator[list[Unsent]]:
    """The chunks, each read in a thread: files and long texts must not hold the event loop up."""
    while (chunk := await asyncio.to_thread(next, chunks, None)) is not None:
        yield chunk
