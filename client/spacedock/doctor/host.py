"""The host, as its worker sees it; where none answers, as the daemon's own command sees it here."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from pathlib import Path

from redis.asyncio import Redis

from spacedock._wire.connection import connect
from spacedock._wire.rpc import Caller, Op, call_of
from spacedock._wire.wire import checked
from spacedock.doctor import queue
from spacedock.errors import SpacedockError
from spacedock.replies.doctor import Area, DoctorLine, DoctorReply

_DAEMON = "spacedockd"
_LOCAL_SECONDS = 60.0
_INSTALL = "pip install 'hf-spacedock[daemon,smollm]'"

AREA = Area("host")


async def examine(url: str) -> list[DoctorLine]:
    """All that can be said of the queue at `url`, and of the host."""
    async with connect(url) as redis:
        return [*await queue.examine(redis, url), *await _host(redis, url)]


async def _host(redis: Redis, url: str) -> list[DoctorLine]:
    """What a worker says; without one, what is found out here."""
    try:
        return (await Caller(redis, url).get(call_of(Op.DOCTOR), DoctorReply))["lines"]
    except SpacedockError:
        return await here()


async def here() -> list[DoctorLine]:
    """What `spacedockd doctor` finds on this machine, whether or not a daemon runs."""
    beside = Path(sys.executable).with_name(_DAEMON)
    command = str(beside) if beside.exists() else shutil.which(_DAEMON)
    if command is None:
        return [AREA.warning("daemon", "only the client is installed here", _INSTALL)]
    process = await asyncio.create_subprocess_exec(
        command, "doctor", "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_LOCAL_SECONDS):
            said, wrong = await process.communicate()
        return checked(DoctorReply, {"lines": json.loads(said)}, "doctor")["lines"]
    except (TimeoutError, ValueError) as error:
        why = wrong.decode(errors="replace").strip() if isinstance(error, ValueError) else "it hangs"
        return [AREA.warning("daemon", f"{_DAEMON} doctor: {why or error}", _INSTALL)]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
