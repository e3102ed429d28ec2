"""What each gradio_client waits for, and the one stream of events by which it hears of all its calls."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from spacedockd.http.gradio.description import AppEndpoint

_MOST_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class SubmittedCall:
    """A call whose job was submitted."""

    job_id: str
    endpoint: AppEndpoint


class GradioSession:
    """One gradio_client: the calls that it has not heard the end of.

    It opens a stream with its first call, and takes for granted that all later ones are told there, until
    the stream says that it closes. So no call joins between that word and the end of the stream.
    """

    def __init__(self) -> None:
        self.calls: set[str] = set()
        self._submitting = 0
        self._joined: asyncio.Queue[SubmittedCall | None] = asyncio.Queue()
        self._takes = asyncio.Event()
        self._takes.set()
        self._stream = 0

    async def join(self, endpoint: AppEndpoint, submit: Callable[[], Awaitable[str]]) -> str:
        """Submit a call, have the stream follow it, and return its job's id."""
        await self._takes.wait()
        self._submitting += 1
        try:
            job_id = await submit()
            self.calls.add(job_id)
            self._joined.put_nowait(SubmittedCall(job_id, endpoint))
            return job_id
        finally:
            self._submitting -= 1
            self._look()

    def over(self, job_id: str) -> None:
        """Note that the client has heard the end of a call."""
        self.calls.discard(job_id)
        self._look()

    def _look(self) -> None:
        """Have the stream look whether it is over."""
        if not self.calls and not self._submitting:
            self._joined.put_nowait(None)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[AsyncIterator[SubmittedCall]]:
        """The calls to follow, until all have ended; a later stream of the client takes this one's place."""
        self._stream += 1
        self._joined.put_nowait(None)
        try:
            yield self._following(self._stream)
        finally:
            self._takes.set()

    async def _following(self, stream: int) -> AsyncIterator[SubmittedCall]:
        begun = False
        while True:
            call = await self._joined.get()
            if stream != self._stream:
                self._joined.put_nowait(call)
                raise ConnectionResetError("the client listens elsewhere")
            if call is not None and call.job_id in self.calls:
                begun = True
                yield call
            elif begun and not self.calls and not self._submitting:
                self._takes.clear()
                return


class GradioSessions:
    """The sessions of all clients by their own names for them; the oldest are forgotten."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], GradioSession] = OrderedDict()

    def of(self, principal: str, name: str) -> GradioSession:
        """That session of who makes the request."""
        session = self._known.setdefault((principal, name), GradioSession())
        self._known.move_to_end((principal, name))
        if len(self._known) > _MOST_SESSIONS:
            self._known.popitem(last=False)
        return session
