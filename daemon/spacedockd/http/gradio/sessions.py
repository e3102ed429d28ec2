"""What each gradio_client waits for, and the one stream of events by which it hears of all its calls."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
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
        self._open = 0
        self._joined: asyncio.Queue[SubmittedCall | None] = asyncio.Queue()
        self._takes = asyncio.Event()
        self._takes.set()
        self._stream = 0

    @asynccontextmanager
    async def joining(self) -> AsyncIterator[None]:
        """Around the submission of a call: no stream closes meanwhile."""
        await self._takes.wait()
        self._open += 1
        try:
            yield
        except BaseException:
            self.over()
            raise

    def join(self, call: SubmittedCall) -> None:
        """Have the stream follow a call."""
        self.calls.add(call.job_id)
        self._joined.put_nowait(call)

    def over(self, job_id: str | None = None) -> None:
        """Note that the client has heard the end of a call, or that it was not submitted."""
        self.calls.discard(job_id or "")
        self._open -= 1
        if not self._open:
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
            if call is not None:
                begun = True
                yield call
            elif begun and not self._open:
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
