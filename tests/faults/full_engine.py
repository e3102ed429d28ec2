"""The disk of the Docker Engine is full while a Space's image is pulled or built."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import Any

from tests.acceptance.running import Daemon
from tests.faults.account import Account
from tests.faults.ground import calls_of, daemon_to_start, stopped, warmed
from tests.faults.load import SPACE, Load
from tests.faults.own_host import HERE, OwnHost, own_host
from tests.image_registry import docker, image_registry

from spacedock import Client
from spacedock.result import ErrorKind, JobResult

DISK = "1g"
CATEGORY = "shouting"
LAYER, ROOM, SPILT = 128 * 2**20, 48 * 2**20, 8 * 2**20

Offer = Callable[[str, int], Any]
"""Offers a Space that its engine has to pull or to build, another for each number; gives its entry."""


@asynccontextmanager
async def pulled(image: str, number: int) -> AsyncIterator[Mapping[str, Any]]:
    """The counting Space and a large layer, in an image registry."""
    with (
        tempfile.TemporaryDirectory(prefix="sd-") as folder,
        image_registry(Path(folder)) as here,
        image_registry(Path(folder), host=HERE) as there,
    ):
        await asyncio.to_thread(_pushed, image, f"{here}/own/large:{number}")
        yield {"docker_image": f"{there}/own/large:{number}"}


def _pushed(image: str, name: str) -> None:
    dockerfile = f"FROM {image}\nADD layer /layer\n".encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for entry, content in (("Dockerfile", dockerfile), ("layer", os.urandom(LAYER))):
            info = tarfile.TarInfo(entry)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    docker("build", "--quiet", "--tag", name, "-", stdin=packed.getvalue())
    docker("push", "--quiet", name)
    docker("image", "rm", "--force", name)


@asynccontextmanager
async def built(image: str, number: int) -> AsyncIterator[Mapping[str, Any]]:
    """A repository whose Dockerfile writes much, on top of the counting Space."""
    with tempfile.TemporaryDirectory(prefix="sd-") as name:
        folder = Path(name)
        (folder / "README.md").write_text("---\nsdk: docker\napp_port: 7860\n---\n")
        much = f"RUN head -c {LAYER} /dev/urandom > /much-{number}"
        (folder / "Dockerfile").write_text(f"FROM {image}\nUSER root\n{much}\nUSER user\n")
        yield {"repository": str(folder)}


@contextmanager
def filled(host: OwnHost) -> Iterator[None]:
    """The engine's disk is full but for what the calls of its Spaces write."""
    status = os.statvfs(host.data)
    ballast = host.data / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize - ROOM)
    try:
        yield
    finally:
        ballast.unlink()


async def full_engine(offer: Offer, trials: int) -> Account:
    """The job goes on with its chain, others go on, and the Space answers once there is room."""
    async with own_host(DISK) as (host, image):
        settings = {"containers__docker_host": host.docker_host, "containers__max_containers": "2"}
        settings["images__base_images"] = json.dumps({"3.11": image})
        known = {"docker_image": image, "category": CATEGORY}
        async with daemon_to_start(entry=known, **settings) as daemon:
            daemon.within = host.within
            await asyncio.to_thread(daemon.start)
            await warmed(daemon.url)
            async with Load(daemon.url, partial(calls_of, daemon), users=2) as load:
                wrong, notes = list[str](), list[str]()
                for number in range(trials):
                    async with offer(image, number) as entry:
                        tried = await _tried(host, daemon, dict(entry), number)
                    wrong += tried[0]
                    notes += tried[1]
                account = await load.stop(trials)
            left = [*await stopped(daemon), *(f"container {n}" for n in daemon.docker("ps", "-aq"))]
            told = tuple(dict.fromkeys(notes))
            return replace(
                account, left=tuple(left), wrong=(*account.wrong, *wrong), notes=(*account.notes, *told)
            )


async def _tried(
    host: OwnHost, daemon: Daemon, entry: dict[str, Any], number: int
) -> tuple[list[str], list[str]]:
    """What went wrong in one trial, and what the job was told."""
    large = f"large-{number}"
    daemon.declare(large, {**entry, "category": CATEGORY})
    async with Client(daemon.url) as client:
        with filled(host):
            before = shutil.disk_usage(host.data).free
            result = await client.run(f"full {number}", space=large)
            spilt = before - shutil.disk_usage(host.data).free
        wrong = _faults(result, f"FULL {number}")
        wrong += [f"{spilt / 2**20:.0f} MB left on the engine's disk"] if spilt > SPILT else []
        again = await client.run(f"room {number}", space=large, fallback="none")
        if (again.output.text or "") != f"ROOM {number}":
            wrong.append(f"with room again: {again.state.value}: {again.error}")
    daemon.declare(large, None)
    first = result.attempts[0]
    said = first.error.message.splitlines()[0] if first.error else "no error"
    return wrong, [f"{said} ({first.seconds:.0f} s)"]


def _faults(result: JobResult, answer: str) -> list[str]:
    """What is not as it should be where the Space's image found no room."""
    found = []
    error = result.attempts[0].error
    if error is None or error.kind is not ErrorKind.OUT_OF_DISK:
        found.append(f"the Space: {error}")
    elif not all(word in error.message for word in (f"on host {gethostname()}", "spacedock cleanup")):
        found.append(f"says neither which disk nor what to do: {error.message}")
    if not result.succeeded or result.output.text != answer:
        found.append(f"the chain: {result.state.value}: {result.error}")
    elif result.answered_by is None or result.answered_by.name != SPACE:
        found.append(f"answered by {result.answered_by}")
    return found
