"""The queue as a client sees it (does it keep what it has, how fast, for whom?), and who tells of a host."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from spacedock._wire.connection import answer, connect, greet, redacted, told_as_ours
from spacedock._wire.jobs import check_may_wait
from spacedock._wire.rpc import Caller, Op, call_of
from spacedock._wire.wire import checked
from spacedock.errors import NotConnectedError, RefusedError, SpacedockError
from spacedock.hosts import Host, hosts
from spacedock.replies.host import Area, DoctorLine, DoctorReply

AREA = Area("queue")
START = "spacedockd"

_PINGS = 5
_SLOW_SECONDS = 0.05
_FULL = 0.8
_CLOCK_SECONDS = 2.0


async def examine(redis: Redis, url: str) -> list[DoctorLine]:
    """How the queue stands; a first line alone where it cannot be used."""
    try:
        await greet(redis, url)
        with told_as_ours(url):
            seconds, astray = await _times(redis)
            told = await _info(redis)
            found = await hosts(redis)
        return [*server(told, url), *timing(seconds, astray), await _rights(redis, url), *versions(found)]
    except NotConnectedError as error:
        return [AREA.error("connection", str(error), START)]
    except SpacedockError as error:
        return [AREA.error("connection", str(error), f"{cli(url)} ACL WHOAMI")]


def cli(url: str) -> str:
    """How the server is spoken to from a shell."""
    path = url.partition("?")[0].removeprefix("unix://")
    return f"redis-cli -s {path}" if url.startswith("unix:") else f"redis-cli -u {redacted(url)}"


def server(told: Mapping[str, Any] | None, url: str) -> Iterator[DoctorLine]:
    """What the server says of itself (None: it does not say it to this user)."""
    if told is None:
        yield AREA.warning("version", "this user may not ask INFO", f"{cli(url)} ACL SETUSER USER +info")
        return
    name = "Valkey" if told.get("server_name") == "valkey" else "Redis"
    yield AREA.ok("version", f"{name} {told.get('valkey_version') or told.get('redis_version')}")
    yield _persistence(told, url)
    most, used = int(told.get("maxmemory") or 0), int(told.get("used_memory") or 0)
    policy = told.get("maxmemory_policy", "noeviction")
    if most and policy != "noeviction":
        command = f"{cli(url)} CONFIG SET maxmemory-policy noeviction"
        yield AREA.error("eviction", f"it drops jobs when it is full ({policy})", command)
    else:
        yield AREA.ok("eviction", "it never drops what it has")
    if most and used > _FULL * most:
        yield AREA.warning("memory", f"{used / most:.0%} of its memory is taken", "spacedock cleanup")
    else:
        of = f" of {most / 1e6:,.0f} MB" if most else ", without a limit"
        yield AREA.ok("memory", f"{used / 1e6:,.0f} MB taken{of}")


def _persistence(told: Mapping[str, Any], url: str) -> DoctorLine:
    failed = [name for name in ("aof_last_write_status", "rdb_last_bgsave_status") if told.get(name) == "err"]
    if failed:
        return AREA.error("persistence", f"it cannot write to its disk ({failed[0]})", "df -h")
    if not told.get("aof_enabled"):
        why = "jobs since its last snapshot are lost when it dies: the append-only file is off"
        return AREA.warning("persistence", why, f"{cli(url)} CONFIG SET appendonly yes")
    return AREA.ok("persistence", "the append-only file is on")


def timing(seconds: float, astray: float) -> Iterator[DoctorLine]:
    """How long an answer takes, and by how many seconds our clock differs from the server's."""
    if seconds > _SLOW_SECONDS:
        why = f"an answer takes {seconds * 1000:.0f} ms: each job waits for some of them"
        yield AREA.warning("latency", why, "redis-cli --latency")
    else:
        yield AREA.ok("latency", f"an answer takes {seconds * 1000:.1f} ms")
    if abs(astray) > _CLOCK_SECONDS:
        why = f"this machine's clock differs from the queue's by {abs(astray):.0f} s"
        yield AREA.warning("clock", f"{why}: ages and timings are wrong", "sudo timedatectl set-ntp true")
    else:
        yield AREA.ok("clock", "this machine and the queue agree")


def versions(found: list[Host]) -> Iterator[DoctorLine]:
    """Whether hosts work on the queue, and whether they are of this version."""
    own, alive = version("hf-spacedock"), [host for host in found if host.alive]
    if not alive:
        yield AREA.error("hosts", "no host works on this queue: jobs wait", START)
    for host in alive:
        if host.paused:
            why = f"{host.name} takes no jobs: it is paused"
            yield AREA.warning("hosts", why, f"spacedock hosts resume {host.name}")
    others = sorted({f"{host.name} has {host.version}" for host in alive if host.version != own})
    if others:
        why = f"this client is {own}; {', '.join(others)}"
        yield AREA.warning("versions", why, f"pip install 'hf-spacedock=={alive[0].version}'")
    elif alive:
        yield AREA.ok("versions", f"client and daemon are {own} ({len(alive)} of {len(found)} hosts are up)")


async def _times(redis: Redis) -> tuple[float, float]:
    taken, astray = [], []
    for _ in range(_PINGS):
        before, wall = time.monotonic(), time.time()
        whole, micros = await redis.time()
        taken.append(time.monotonic() - before)
        astray.append(wall + taken[-1] / 2 - (whole + micros / 1e6))
    return median(taken), median(astray)


async def _info(redis: Redis) -> Mapping[str, Any] | None:
    try:
        return dict(await answer(redis.info()))
    except NoPermissionError:
        return None


async def _rights(redis: Redis, url: str) -> DoctorLine:
    try:
        with told_as_ours(url):
            await check_may_wait(redis)
    except RefusedError as error:
        return AREA.error("rights", str(error), f"{cli(url)} ACL WHOAMI")
    return AREA.ok("rights", "this user may wait for results")


_DAEMON = "spacedockd"
_LOCAL_SECONDS = 60.0
_INSTALL = "pip install 'hf-spacedock[daemon,smollm]'"

HOST = Area("host")


async def examine_all(url: str) -> list[DoctorLine]:
    """All that can be said of the queue at `url`, and of the host."""
    async with connect(url) as redis:
        return [*await examine(redis, url), *await _host(redis, url)]


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
        return [HOST.warning("daemon", "only the client is installed here", _INSTALL)]
    process = await asyncio.create_subprocess_exec(
        command, "doctor", "--json", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_LOCAL_SECONDS):
            said, wrong = await process.communicate()
        return checked(DoctorReply, {"lines": json.loads(said)}, "doctor")["lines"]
    except (TimeoutError, ValueError) as error:
        why = wrong.decode(errors="replace").strip() if isinstance(error, ValueError) else "it hangs"
        return [HOST.warning("daemon", f"{_DAEMON} doctor: {why or error}", _INSTALL)]
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
