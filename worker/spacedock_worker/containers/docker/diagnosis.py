"""Why a container gives no answer, in words: where its programs listen, and what the host lacks."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.create_body import USER
from spacedock_worker.containers.docker.engine import Engine, EngineRefusedError
from spacedock_worker.containers.docker.log_tail import plain
from spacedock_worker.errors import StepError

_UID = USER.partition(":")[0]
_ASK_SECONDS = 5.0
_MAX_BYTES = 256 * 2**10
_LISTENS = "0A"
_BY = 'Gradio: `launch(server_name="0.0.0.0")`; Uvicorn and others: `--host 0.0.0.0`'
# Docker's own name server, which is in every container of a network of ours.
_NAME_SERVER = "127.0.0.11"


@dataclass(frozen=True, slots=True)
class Listener:
    """An address and a port on which something accepts connections."""

    address: str
    port: int

    @property
    def inside(self) -> bool:
        """Whether only the container itself can connect."""
        return ipaddress.ip_address(self.address).is_loopback


async def listeners(engine: Engine, name: str) -> tuple[Listener, ...] | None:
    """What listens in the container; None where that cannot be found out. Never raises.

    The kernel tells it on the engine's own machine; elsewhere `cat` in the container has to.
    """
    text = await _table_here(engine, name) or await _table_inside(engine, name)
    return read(text) if "local_address" in text else None


async def _table_here(engine: Engine, name: str) -> str:
    """The tables of the container's network, read on this host; empty where its processes are not here."""
    found: dict[str, Any] = {}
    with suppress(EngineRefusedError, StepError, TimeoutError):
        async with engine.call(Stage.READY, _ASK_SECONDS) as docker:
            found = await docker.containers.container(name).show()
    pid = (found.get("State") or {}).get("Pid")
    return await asyncio.to_thread(_table_of, int(pid), str(found.get("Id"))) if pid else ""


def _table_of(pid: int, container: str) -> str:
    """The tables that a process sees, if it is of that container: an engine may count processes otherwise."""
    folder, said = Path("/proc", str(pid)), ""
    with suppress(OSError):
        for table in ("tcp", "tcp6"):
            with suppress(FileNotFoundError), (folder / "net" / table).open() as lines:
                said += lines.read(_MAX_BYTES)
        if container in (folder / "cgroup").read_text():
            return said
    return ""


async def _table_inside(engine: Engine, name: str) -> str:
    said = bytearray()
    with suppress(EngineRefusedError, StepError, TimeoutError):
        async with engine.stream(Stage.READY, seconds=_ASK_SECONDS) as docker:
            container = docker.containers.container(name)
            asking = await container.exec(["cat", "/proc/net/tcp", "/proc/net/tcp6"], stderr=False)
            async with asking.start() as stream:
                # The program is the image's own: it may say anything, without end.
                while len(said) < _MAX_BYTES and (part := await stream.read_out()) is not None:
                    said += part.data
    return said.decode(errors="replace")


def read(table: str) -> tuple[Listener, ...]:
    """The listeners of /proc/net/tcp and tcp6 (proc(5)), the lowest port first."""
    found = set()
    for line in table.splitlines():
        cells = line.split()
        if len(cells) < 4 or cells[3] != _LISTENS:
            continue
        with suppress(ValueError):
            address, _, port = cells[1].rpartition(":")
            one = Listener(_address(address), int(port, 16))
            if one.address != _NAME_SERVER:
                found.add(one)
    return tuple(sorted(found, key=lambda one: (one.port, one.address)))


def _address(words: str) -> str:
    """An address from its 32-bit words, each in the machine's order (little-endian)."""
    raw = bytes.fromhex(words)
    if len(raw) not in (4, 16):
        raise ValueError("not an address")
    address = ipaddress.ip_address(b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4)))
    return str(getattr(address, "ipv4_mapped", None) or address)


def out_of_reach(found: tuple[Listener, ...] | None, port: int) -> bool:
    """Whether the app has its port, and nobody outside can connect: no other program can have it then."""
    ours = [one for one in found or () if one.port == port]
    return bool(ours) and all(one.inside for one in ours)


def where(found: tuple[Listener, ...] | None, port: int) -> str:
    """What the listeners say of an app that does not answer at its port, and what to do."""
    if found is None:
        return ""
    if not found:
        return " Nothing in it listens on a port yet."
    ours = [one for one in found if one.port == port]
    if out_of_reach(found, port):
        return f" It listens on {ours[0].address}:{port} alone: have it listen on 0.0.0.0. {_BY}."
    if ours:
        below = "If its app is below a path, name that as `base_path` in its README, or in its entry."
        return f" It listens on port {port}, but gives no answer there that can be called. {below}"
    told = ", ".join(f"{one.address}:{one.port}" for one in found[:3])
    open_ones = [one.port for one in found if not one.inside]
    if not open_ones:
        return f" It listens on {told} instead of port {port}: have it listen on 0.0.0.0:{port}. {_BY}."
    return (
        f" It listens on {told} instead of port {port}: have it use {port}, or give the Space's entry that "
        f"port (`spacedock spaces add|update NAME … --port {open_ones[0]}`)."
    )


_GIVE = f"`COPY --chown={_UID} …`, `RUN chown -R {_UID} …`"
_REFUSED_FILES = re.compile(
    r": permission denied|\bEACCES\b|\bPermissionError\b|\berrno[ =:]+13\b", re.IGNORECASE
)


async def other_user(engine: Engine, reference: str, said: str) -> str:
    """What to do where an app was refused files, and its image names another user; else empty.

    Never raises.
    """
    if not _REFUSED_FILES.search(said):
        return ""
    found: dict[str, Any] = {}
    with suppress(EngineRefusedError, StepError, TimeoutError):
        async with engine.call(Stage.READY, _ASK_SECONDS) as docker:
            found = await docker.images.inspect(reference)
    config = found.get("Config")
    user = str((config or {}).get("User") or "root")
    if config is None or user.partition(":")[0] == _UID:
        return ""
    who = (
        f"\nSpaces run as uid {_UID}, as on Hugging Face, whatever user the image names ({plain(user)[:60]})."
    )
    return f"{who} Have its Dockerfile give that uid the files: {_GIVE}."


_HINTS = (
    ("catatonit", "Install catatonit, which Podman runs as each container's first process."),
    (
        "docker-init",
        "Install docker-init (Debian: `apt install tini`, or docker.io with what it recommends).",
    ),
    ("cgroup", "Check that this host's cgroups are mounted, and may be written to."),
    ("runtime name", "Correct `containers.runtime`, or install that runtime for the Docker Engine."),
    ("runtime specified", "Correct `containers.runtime`, or install that runtime for the Docker Engine."),
    ("nftables", "Install nftables, which Podman's networks need."),
    ("iptables", "Check that the Docker Engine may set firewall rules, or restart it."),
    ("failed to create endpoint", "Restart the Docker Engine: it has lost a network of its own."),
)
_USUAL = "Try `docker run`, and see `docker info`."


def host_fault(said: str) -> StepError:
    """The error for a host whose engine refuses a container that does nothing; `said` are its words."""
    hint = next((hint for word, hint in _HINTS if word in said.lower()), _USUAL)
    why = f"this host can start no Space: its engine refuses every container ({said.rstrip('. ')})"
    return StepError(Stage.START, ErrorKind.START_FAILED, f"{why}. {hint}", host=True)
