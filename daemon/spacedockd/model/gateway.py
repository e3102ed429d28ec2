"""The system default's socket: always there, with a model server behind it only while it is needed."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from asyncio import StreamReader, StreamWriter, Task, TimerHandle
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from spacedock_worker.background import cancel_all
from spacedockd.model.gguf import GgufError, fetched, model_of
from spacedockd.model.job import NOT_INSTALLED, SmolLMSettings
from spacedockd.model.process import ModelStartError, ModelSupervisor
from spacedockd.paths import private_socket


def resting(smollm: SmolLMSettings, folders: Sequence[Path]) -> dict[str, Any]:
    """The state of a model server that does not run; blocks."""
    if importlib.util.find_spec("xllamacpp") is None:
        return {"state": "absent", "why": NOT_INSTALLED}
    try:
        model = model_of(smollm.path) if smollm.path else fetched(tuple(folders))
    except GgufError as error:
        return {"state": "absent", "why": str(error)}
    if model is None:
        return {"state": "resting", "why": "no model is here yet: its first use fetches one"}
    return {"state": "resting", "model": model.label}


DRAIN_SECONDS = 5.0
_CONNECT_SECONDS = 5.0


class ModelGateway:
    """An OpenAI-compatible endpoint on a unix socket (mode 0600) for this user's processes.

    The first connection starts the model server, `smollm.idle_seconds` without any stop it, and the next one
    heals its death. Where it cannot be started the answer is HTTP 503 with the reason. `folders` are looked
    through for fetched models; the last one takes what is fetched. `clock` gives monotonic seconds.

    How it stands is told on a socket of its own, which starts nothing: every connection gets one line of
    JSON, `state`, `model`, `digest` and `why`. The states are "ready", "loading", "resting" (it is loaded at
    its first use) and "absent".
    """

    def __init__(
        self,
        socket: Path,
        smollm: SmolLMSettings,
        folders: Sequence[Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.socket = socket
        self._smollm, self._folders = smollm, tuple(folders)
        self._supervisor = ModelSupervisor(socket.parent, smollm, folders, clock)
        self._servers: list[asyncio.Server] = []
        self._timer: TimerHandle | None = None
        self._open: set[Task[None]] = set()

    @property
    def state_socket(self) -> Path:
        """Where it is told how the model stands (see above)."""
        return self.socket.with_suffix(".state")

    @property
    def model(self) -> str | None:
        """What the running model calls itself; None while no model server is ready."""
        return self._supervisor.child.model if self._supervisor.child else None

    @property
    def pid(self) -> int | None:
        """The process id of the model server that is ready; None while there is none."""
        return self._supervisor.child.pid if self._supervisor.child else None

    @property
    def connections(self) -> int:
        """How many connections are open now."""
        return len(self._open)

    async def start(self) -> None:
        """Listen; no model is loaded yet. Raises OSError where the socket cannot be made."""
        if not self._servers:
            for accept, path in ((self._accept, self.socket), (self._tell_state, self.state_socket)):
                server = await asyncio.start_unix_server(accept, sock=private_socket(path))
                self._servers.append(server)

    async def stop(self, drain: float = DRAIN_SECONDS) -> None:
        """Take no more connections, give those that are open `drain` seconds, and stop the model server."""
        servers, self._servers = self._servers, []
        for server in servers:
            server.close()
        if servers:
            self.socket.unlink(missing_ok=True)
        self.state_socket.unlink(missing_ok=True)
        if self._open:
            await asyncio.wait(self._open, timeout=drain)
        await cancel_all(*self._open)
        if self._timer is not None:
            self._timer.cancel()
        await self._supervisor.stop()

    async def _tell_state(self, reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(json.dumps(await self._state()).encode() + b"\n")
        await closed(writer)

    async def _state(self) -> dict[str, Any]:
        supervisor = self._supervisor
        if supervisor.child is not None:
            child = supervisor.child
            return {"state": "ready", "model": child.model, "digest": child.digest}
        if supervisor.starting:
            return {"state": "loading"}
        if supervisor.failure is not None:
            return {"state": "absent", "why": str(supervisor.failure)}
        return await asyncio.to_thread(resting, self._smollm, self._folders)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._answer((reader, writer)))
        self._open.add(task)
        task.add_done_callback(lambda task: self._ended(task, writer))

    def _ended(self, task: Task[None], writer: StreamWriter) -> None:
        # However it ended; a task that is cancelled before it began has closed nothing.
        writer.close()
        self._open.discard(task)
        self._wait_for_idle()

    async def _answer(self, client: tuple[StreamReader, StreamWriter]) -> None:
        try:
            server = await self._connected()
        except ModelStartError as error:
            await unavailable(client, str(error), final=error.final)
        else:
            await relay(client, server)

    async def _connected(self) -> tuple[StreamReader, StreamWriter]:
        """A connection to the model server. Raises ModelStartError."""
        for _ in range(2):
            child = await self._supervisor.running()
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    return await asyncio.open_unix_connection(child.job.socket)
            except OSError:
                # It died, and the news has not come yet; or it hangs.
                self._supervisor.lost(child)
        raise ModelStartError("the model server takes no connections; the daemon's log may say why")

    def _wait_for_idle(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(self._smollm.idle_seconds, self._rest)

    def _rest(self) -> None:
        if self._supervisor.starting or self._open:
            self._wait_for_idle()
        else:
            self._supervisor.rest()


_CHUNK = 65_536
_CLOSE_SECONDS = 2.0


async def relay(client: tuple[StreamReader, StreamWriter], server: tuple[StreamReader, StreamWriter]) -> None:
    """Pass bytes both ways until either side ends, then close both.

    It has no deadline of its own: the client bounds its call, and hanging up is how it ends one early;
    llama.cpp then stops computing.
    """
    pumps = {
        asyncio.create_task(_pump(client[0], server[1])),
        asyncio.create_task(_pump(server[0], client[1])),
    }
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        # Before anything is awaited: a cancellation may come here, too.
        for writer in (server[1], client[1]):
            writer.close()
        await cancel_all(*pumps)
        await asyncio.gather(closed(server[1]), closed(client[1]))


async def _pump(source: StreamReader, target: StreamWriter) -> None:
    with suppress(ConnectionError):
        while chunk := await source.read(_CHUNK):
            target.write(chunk)
            await target.drain()


async def closed(writer: StreamWriter) -> None:
    """Close a stream, within bounds and whatever state it is in."""
    writer.close()
    with suppress(ConnectionError, TimeoutError):
        await asyncio.wait_for(writer.wait_closed(), _CLOSE_SECONDS)


async def unavailable(client: tuple[StreamReader, StreamWriter], message: str, *, final: bool) -> None:
    """Answer HTTP 503 with the reason, in OpenAI's form; `final` tells the client not to try again."""
    reader, writer = client
    with suppress(ConnectionError, TimeoutError):
        writer.write(_response(message, final))
        writer.write_eof()
        # Closing over an unread request would reset the connection before the answer is read.
        async with asyncio.timeout(_CLOSE_SECONDS):
            while await reader.read(_CHUNK):
                pass
    await closed(writer)


def _response(message: str, final: bool) -> bytes:
    error = {"message": message, "type": "unavailable_error", "code": 503}
    body = json.dumps({"error": error}).encode()
    head = [
        "HTTP/1.1 503 Service Unavailable",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if final:
        head.append("x-should-retry: false")
    return "\r\n".join([*head, "", ""]).encode() + body
