"""A chat that is streamed: the answer's text as it grows, as chunks of OpenAI's server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from time import monotonic, time
from typing import Any

from aiohttp import web

from spacedock.events import grown
from spacedock.openai.bodies import finish_reason, model_of, own_of, text_of, usage_of
from spacedock.openai.translation import OWN, TranslatedRequest
from spacedock.result import JobResult
from spacedock_worker.background import cancel_all
from spacedockd.http.errors import HttpError, body
from spacedockd.http.events import QUIET, EventStream
from spacedockd.http.openai.asking import Asking, succeeded

_QUIET_SECONDS = 10.0


class GrowingText:
    """What was sent of an answer, and what is new in what its events and its end say (pure).

    Nothing that was sent can be taken back: where another step of the chain answers in the end, or the app
    has written its text anew, the whole answer follows after an empty line.
    """

    def __init__(self) -> None:
        self.sent = ""
        self._lost = False

    def grown(self, partial: str) -> str:
        """What is new, where an event tells the answer's end as it is now."""
        whole = None if self._lost else grown(self.sent, partial)
        if whole is None or not whole.startswith(self.sent):
            self._lost = True
            return ""
        new = whole[len(self.sent) :]
        self.sent = whole
        return new

    def rest(self, whole: str) -> str:
        """What is missing of the whole answer."""
        if whole.startswith(self.sent):
            return whole[len(self.sent) :]
        return f"\n\n{whole}"


async def stream(asking: Asking, request: web.Request, asked: TranslatedRequest) -> web.StreamResponse:
    """Answer with the chunks of a chat. An error before the first of them has its own status."""
    async with asking.submitted(request, asked) as job_id, aclosing(_pieces(asking, job_id)) as pieces:
        first = await anext(pieces)
        if isinstance(first, JobResult):
            succeeded(first)
        headers = {"x-request-id": job_id, "x-spacedock-job": job_id}
        sending = await EventStream.begun(request, headers)
        chunks = _Chunks(asked, job_id)
        await sending.write(chunks.of(first))
        async for piece in pieces:
            await sending.write(chunks.of(piece))
    await sending.response.write_eof()
    return sending.response


Piece = str | JobResult
"""The end of the answer as it is now, "" where nothing is new for a while; at last the result."""


async def _pieces(asking: Asking, job_id: str) -> AsyncGenerator[Piece]:
    ended = asyncio.create_task(asking.context.client.result(job_id))
    events = asking.context.events.follow(None)
    event = asyncio.ensure_future(anext(events))
    told = monotonic()
    try:
        while not ended.done():
            await asyncio.wait({ended, event}, timeout=_QUIET_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            piece = ""
            if event.done():
                heard = event.result()
                if heard is not None and heard.event.job_id == job_id:
                    piece = heard.event.partial or ""
                event = asyncio.ensure_future(anext(events))
            if piece or monotonic() - told >= _QUIET_SECONDS:
                told = monotonic()
                yield piece
        yield ended.result()
    except StopAsyncIteration:
        # The daemon stops.
        yield await ended
    finally:
        await cancel_all(ended, event)
        await events.aclose()


class _Chunks:
    """The chunks of one answer, as bytes."""

    def __init__(self, asked: TranslatedRequest, job_id: str) -> None:
        self._asked, self._text = asked, GrowingText()
        self._base = {"id": f"chatcmpl-{job_id}", "object": "chat.completion.chunk", "created": int(time())}
        options = asked.form.get("stream_options")
        self._usage = isinstance(options, dict) and bool(options.get("include_usage"))
        self._begun = False

    def of(self, piece: Piece) -> bytes:
        """What to send for a piece."""
        if isinstance(piece, JobResult):
            return b"".join(self._end(piece))
        if not piece:
            return QUIET
        new = self._text.grown(piece)
        return b"".join(self._words(new, self._asked.model)) if new else b""

    def _end(self, result: JobResult) -> list[bytes]:
        try:
            succeeded(result)
        except HttpError as error:
            return [_event(body(error))]
        model = model_of(self._asked, result)
        raws = self._words(self._text.rest(text_of(result)), model)
        raws.append(self._chunk(model, {}, finish_reason(result), {OWN: own_of(self._asked, result)}))
        if self._usage:
            raws.append(_event({**self._base, "model": model, "choices": [], "usage": usage_of(result)}))
        return [*raws, b"data: [DONE]\n\n"]

    def _words(self, text: str, model: str) -> list[bytes]:
        begin = [] if self._begun else [self._chunk(model, {"role": "assistant", "content": ""})]
        self._begun = True
        return [*begin, self._chunk(model, {"content": text})] if text else begin

    def _chunk(
        self, model: str, delta: dict[str, Any], reason: str | None = None, own: dict[str, Any] | None = None
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        usage = {"usage": None} if self._usage else {}
        return _event({**self._base, "model": model, "choices": [choice], **usage, **(own or {})})


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value)}\n\n".encode()
