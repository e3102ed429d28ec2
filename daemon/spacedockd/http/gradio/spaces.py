"""What the door knows of Spaces: each is started to describe itself, and asked anew after a while."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from time import monotonic

from spacedock.client import Client
from spacedock.request import Fallback, JobRequest, Tier
from spacedock.result import ErrorKind
from spacedock_worker.atomic_write import write_whole
from spacedockd.http.errors import HttpError
from spacedockd.http.gradio.description import AppDescription

_FRESH_SECONDS, _FAILED_SECONDS = 60.0, 5.0
_MOST = 1000

Asking = asyncio.Task[AppDescription]


class DescribedSpaces:
    """The descriptions of Spaces by name; whoever asks while a Space is being asked waits for that.

    The last of each is kept in `folder`: a client that goes on after a restart waits 5 s, and for no start.
    """

    def __init__(self, client: Client, folder: Path) -> None:
        self._client, self._folder = client, folder
        self._asked: OrderedDict[str, tuple[float, Asking]] = OrderedDict()
        self._known: OrderedDict[str, AppDescription] = OrderedDict()

    async def known(self, space: str) -> AppDescription:
        """The last description: who has one already calls, however long a start would take. As `fresh`."""
        if space not in self._known and (read := await asyncio.to_thread(self._read, space)):
            self._known.setdefault(space, read)
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
            found = AppDescription.of(space, result.output.data)
            await asyncio.to_thread(self._keep, found)
            return found
        missing = result.error is not None and result.error.kind is ErrorKind.SPACE_NOT_FOUND
        status, said = 404 if missing else 502, f"the Space {space} cannot be described: {result.failure}"
        raise HttpError(status, "space_failed", said)

    def _file(self, space: str) -> Path:
        return self._folder / f"{hashlib.sha256(space.encode()).hexdigest()}.json"

    def _read(self, space: str) -> AppDescription | None:
        with suppress(OSError, ValueError):
            return AppDescription.model_validate_json(self._file(space).read_bytes())
        return None

    def _keep(self, found: AppDescription) -> None:
        """Write a description down, in the place of the oldest where there are many; a full disk has none."""
        with suppress(OSError):
            write_whole(self._file(found.space), found.model_dump_json().encode())
            files = sorted(self._folder.iterdir(), key=lambda one: one.stat().st_mtime)
            for file in files[:-_MOST]:
                file.unlink()


def _lasts(done: Asking) -> float:
    """How many seconds what came of it counts."""
    return _FAILED_SECONDS if done.cancelled() or done.exception() else _FRESH_SECONDS
