"""Answers that are taken again: of the same image to the same call, for jobs that ask for it (`cache`)."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict
from redis.asyncio import Redis

from spacedock._stores.payloads import Payloads
from spacedock._wire import keys, wire
from spacedock._wire.scripts import registered
from spacedock.errors import WireError
from spacedock.files import Payload
from spacedock.request import JobRequest
from spacedock.result import AnsweredBy, Output
from spacedock_worker.adapters.base import AppAnswer
from spacedock_worker.images.source import Image
from spacedock_worker.jobs.chain import StepAnswer
from spacedock_worker.queue.patience import through_outages
from spacedock_worker.registry.entry import SpaceEntry

_MOST_BYTES = 2**20
_OF_ENTRY = {
    "adapter",
    "base_path",
    "command",
    "endpoint",
    "env",
    "inputs",
    "network",
    "operation",
    "port",
    "secrets",
}
"""How a Space runs and is called; of its secrets where they are, as no digest of a value may be kept."""

_OF_REQUEST = {"prompt", "files", "endpoint", "inputs", "optional_inputs"}


class KeptAnswer(BaseModel):
    """An answer as Redis holds it; its files lie where all files lie."""

    model_config = ConfigDict(frozen=True)

    output: Output
    by: AnsweredBy


class AnswerCache:
    """The answers that one job may take again, and the one that it leaves behind."""

    def __init__(self, redis: Redis, payloads: Payloads, request: JobRequest) -> None:
        self._redis, self._payloads, self._request = redis, payloads, request
        self._key = ""

    async def recall(self, entry: SpaceEntry, image: Image) -> StepAnswer | None:
        """What this image answered to this call before; None if that, or a file of it, is not kept."""
        self._key = keys.ANSWER + digest_of(entry, image, self._request)
        if (raw := await through_outages(lambda: self._redis.get(self._key))) is None:
            return None
        try:
            kept = wire.decode(KeptAnswer, raw, _MOST_BYTES)
            files = [Payload(ref, await self._payloads.read(ref.place)) for ref in kept.output.files]
        except WireError:
            return None
        output, by = kept.output, kept.by.model_copy(update={"reused": True})
        answer = AppAnswer(by.endpoint, output.text, output.data, tuple(files), output.truncated, by.honoured)
        return StepAnswer(answer, by)

    async def keep(self, output: Output, by: AnsweredBy) -> None:
        """Leave the answer of the last Space that was asked, whose files are stored; not a very large one."""
        raw = wire.encode_repaired(KeptAnswer(output=output, by=by))
        if self._key and len(raw) <= _MOST_BYTES:
            script = registered(self._redis, "keep_answer", __package__)
            await through_outages(lambda: script(keys=[self._key], args=[raw]))


def digest_of(entry: SpaceEntry, image: Image, request: JobRequest) -> str:
    """What tells this call of this image from others: names of files count, as an app sees them."""
    asked = request.model_dump(mode="json", include=_OF_REQUEST)
    told = entry.model_dump(mode="json", include=_OF_ENTRY)
    return hashlib.sha256(json.dumps([image.digest, asked, told], sort_keys=True).encode()).hexdigest()
