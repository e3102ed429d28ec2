"""What the door knows of Spaces: each is started to describe itself, and asked anew after a while."""

from __future__ import annotations

import asyncio
from time import monotonic

from spacedock.client import Client
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import ErrorKind
from spacedockd.http.errors import HttpError
from spacedockd.http.gradio.description import AppDescription

_FRESH_SECONDS, _FAILED_SECONDS = 60.0, 5.0
_MOST = 1000

Asking = asyncio.Task[AppDescription]


class DescribedSpaces:
    """The descriptions of Spaces by name; whoever asks while a Space is being asked waits for that."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._asked: dict[str, tuple[float, Asking]] = {}

    async def get(self, space: str) -> AppDescription:
        """What the Space takes and gives; it is started where it does not run.

        Raises HttpError with the reason where it cannot be, and what `Client.submit` raises.
        """
        return await asyncio.shield(self.asking(space))

    def asking(self, space: str) -> Asking:
        """The task that finds it out, or has found it out a moment ago."""
        since, task = self._asked.pop(space, (0.0, None))
        if task is not None and task.done():
            failed = task.cancelled() or task.exception() is not None
            if monotonic() - since > (_FAILED_SECONDS if failed else _FRESH_SECONDS):
                task = None
        if task is None:
            task = asyncio.create_task(self._ask(space))
            task.add_done_callback(lambda done: self._asked.update({space: (monotonic(), done)}))
        self._asked[space] = since, task
        while len(self._asked) > _MOST:
            del self._asked[next(iter(self._asked))]
        return task

    async def _ask(self, space: str) -> AppDescription:
        request = JobRequest(space=space, explain=True, tier=Tier.HEAVY, fallback=Fallback.NONE)
        job_id = await self._client.submit_prepared(request)
        result = await self._client.result(job_id)
        if result.succeeded:
            return AppDescription.of(space, result.output.data)
        why = result.error.message if result.error else f"the job is {result.state.value}"
        missing = result.error is not None and result.error.kind is ErrorKind.SPACE_NOT_FOUND
        raise HttpError(
            404 if missing else 502, "space_failed", f"the Space {space} cannot be described: {why}"
        )
