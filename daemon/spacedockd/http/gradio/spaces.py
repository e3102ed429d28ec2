"""What the door knows of Spaces: each is started to describe itself, and asked anew after a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
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
        self._asked: OrderedDict[str, tuple[float, Asking]] = OrderedDict()
        self._known: OrderedDict[str, AppDescription] = OrderedDict()

    async def known(self, space: str) -> AppDescription:
        """The last description: who has one already calls, however long a start would take. As `fresh`."""
        return self._known.get(space) or await self.fresh(space)

    async def fresh(self, space: str) -> AppDescription:
        """What the Space takes and gives now; it is started where it does not run.

        Raises HttpError with the reason where it cannot be, and what `Client.submit` raises.
        """
        return await asyncio.shield(self.asking(space))

    def asking(self, space: str) -> Asking:
        """The task that finds it out, or has found it out a moment ago."""
        since, task = self._asked.get(space, (0.0, None))
        if task is None or (task.done() and monotonic() - since > _lasts(task)):
            task = asyncio.create_task(self._ask(space))
            task.add_done_callback(lambda done: self._note(space, done))
            self._note(space, task)
        return task

    def _note(self, space: str, task: Asking) -> None:
        self._asked[space] = monotonic(), task
        if task.done() and _lasts(task) == _FRESH_SECONDS:
            self._known[space] = task.result()
        for kept in (self._asked, self._known):
            while len(kept) > _MOST:
                kept.popitem(last=False)

    async def _ask(self, space: str) -> AppDescription:
        request = JobRequest(space=space, explain=True, tier=Tier.HEAVY, fallback=Fallback.NONE)
        job_id = await self._client.submit_prepared(request)
        result = await self._client.result(job_id)
        if result.succeeded:
            return AppDescription.of(space, result.output.data)
        missing = result.error is not None and result.error.kind is ErrorKind.SPACE_NOT_FOUND
        status, said = 404 if missing else 502, f"the Space {space} cannot be described: {result.failure}"
        raise HttpError(status, "space_failed", said)


def _lasts(done: Asking) -> float:
    """How many seconds what came of it counts."""
    return _FAILED_SECONDS if done.cancelled() or done.exception() else _FRESH_SECONDS
