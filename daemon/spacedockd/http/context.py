"""What the routes of the HTTP door work with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from redis.asyncio import Redis

from spacedock.client import Client
from spacedock.files import FileRef, set_apart
from spacedockd.http.errors import HttpError
from spacedockd.http.events import EventHub
from spacedockd.http.intake import Intake, ReceivedFile
from spacedockd.http.monitoring.metrics import DoorMetrics
from spacedockd.http.openai.batch_service import BatchService
from spacedockd.http.settings import HttpSettings
from spacedockd.pulse import Watched


@dataclass(frozen=True, slots=True)
class DoorContext:
    """The queue's `client`, the door's settings, and the `intake` of what clients send.

    `secret` is the owner's token, in the clear. `events` are the queue's, for any number of listeners.
    `batches` are those of OpenAI's API. `watched` is the daemon's own worker, `redis` a connection to look at
    the queue by, and `metrics` count the door's requests. `state_dir` is where the daemon keeps its
    own notes. `models_as` says whom a model's name of OpenAI's API means (the configuration has it).
    `closing` is set when the daemon stops: an answer that has no end of its own ends then.
    """

    client: Client
    settings: HttpSettings
    intake: Intake
    secret: str = field(repr=False)
    events: EventHub
    batches: BatchService
    watched: Watched
    redis: Redis
    metrics: DoorMetrics
    state_dir: Path
    models_as: Mapping[str, str] = field(default_factory=dict)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def store(self, file: ReceivedFile, vault: str | None = None) -> FileRef:
        """Store a file for jobs that name it; in a `vault`, for one private job alone. Raises HttpError."""
        if file.name in {".", ".."}:
            raise HttpError(400, "bad_name", "a file's name is '.' or '..': give it another")
        async with self.intake.loaded(file) as (payload,):
            (payload,) = set_apart([payload], vault) if vault else (payload,)
            await self.client.store([payload])
            return payload.ref
