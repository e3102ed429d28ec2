"""Row 6: an image registry that fails in every way, in front of a real one; and the Hub's double."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web
from tests.faults.account import Account, Case, Row
from tests.faults.suite import suite
from tests.image_registry import docker, image_registry, put
from tests.served import served

from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.errors import StepError
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import SpaceSource

LAYER = 2 * 2**20
FAULT_SECONDS, PATIENCE_SECONDS = 20.0, 240.0
_STATUSES = {"unauthorized": 401, "not found": 404, "too many": 429, "broken": 500, "away": 503}
WAITED_FOR = {"too many", "broken", "away", "cut off", "gone"}
FAULTS = (*_STATUSES, "wrong bytes", "cut off", "a byte a second", "redirects", "gone")


@dataclass
class Front:
    """Hands requests on to the registry at `behind`, as long as there is no `fault`."""

    behind: str
    fault: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of the engine's or the worker's."""
        in_blob = "/blobs/" in request.path
        if self.fault in _STATUSES:
            code = "TOOMANYREQUESTS" if self.fault == "too many" else "TROUBLE"
            errors = {"errors": [{"code": code, "message": self.fault}]}
            return web.json_response(errors, status=_STATUSES[self.fault])
        if self.fault == "redirects":
            raise web.HTTPTemporaryRedirect(str(request.url))
        if self.fault == "gone":
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        async with aiohttp.ClientSession() as session:
            url = f"http://{self.behind}{request.path_qs}"
            kept = {"Accept": request.headers.get("Accept", "*/*")}
            async with session.request(request.method, url, headers=kept) as found:
                body = await found.read()
                told = {
                    k: v
                    for k, v in found.headers.items()
                    if k.lower().startswith(("docker-", "content-type"))
                }
                status, size = found.status, found.headers.get("Content-Length")
        if request.method == "HEAD":
            return web.Response(status=status, headers={**told, "Content-Length": size or "0"})
        if not in_blob or not self.fault:
            return web.Response(status=status, headers=told, body=body)
        if self.fault == "wrong bytes":
            return web.Response(status=status, headers=told, body=bytes(len(body)))
        answer = web.StreamResponse(status=status, headers={**told, "Content-Length": str(len(body))})
        await answer.prepare(request)
        with suppress(ConnectionError):
            async for part in self._slowly(body):
                await answer.write(part)
        assert request.transport is not None
        request.transport.close()
        return answer

    async def _slowly(self, body: bytes) -> AsyncIterator[bytes]:
        """Half of it at once; or byte by byte, until the fault is over."""
        if self.fault == "cut off":
            yield body[: len(body) // 2]
            return
        for place in range(len(body)):
            yield body[place : place + 1]
            await asyncio.sleep(1)
            if not self.fault:
                return


async def pulls(trials: int) -> Account:
    """Pull while the registry fails for 20 s, then again: what comes of it is an image, or a reason."""
    notes, wrong, count = [], [], 0
    with tempfile.TemporaryDirectory(prefix="sd-") as folder, image_registry(Path(folder)) as real:
        await asyncio.to_thread(put, f"{real}/own/space:latest", LAYER)
        front = Front(real)
        async with served(front.handle) as address, Engine() as engine:
            for fault in FAULTS * trials:
                name, count = f"{address}/own/space:latest", count + 1
                began, said = time.monotonic(), "pulled"
                front.fault = fault
                healing = asyncio.get_running_loop().call_later(FAULT_SECONDS, setattr, front, "fault", "")
                try:
                    said = await _pulled(engine, name)
                    if said != "pulled":
                        if fault in WAITED_FOR:
                            wrong.append(f"{fault}: not waited for: {said}")
                        front.fault = ""
                        if (after := await _pulled(engine, name)) != "pulled":
                            wrong.append(f"{fault}: not even pulled when all was well again: {after}")
                except Exception as error:  # noqa: BLE001 (what is no reason for people is a crash)
                    wrong.append(f"{fault}: {type(error).__name__}: {error}")
                finally:
                    healing.cancel()
                    with suppress(Exception):
                        await asyncio.to_thread(docker, "image", "rm", "--force", name)
                notes.append(
                    f"{fault}: {said.replace(name, 'IMAGE')[:400]} ({time.monotonic() - began:.0f} s)"
                )
    return Account(count, wrong=tuple(wrong), notes=tuple(dict.fromkeys(notes)))


async def _pulled(engine: Engine, name: str) -> str:
    """What came of one pull, by a worker that remembers nothing of the last one."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await Images(engine, ImageSettings()).get(SpaceSource("space", docker_image=name), lambda _: None)
    except StepError as error:
        return f"{error.kind.value}: {error}"
    return "pulled"


async def _known(trials: int) -> Account:
    names = ("test_pull_interrupted", "test_pull_login", "test_hub_images", "test_about")
    return await suite(trials, *(f"tests/integration/{name}.py" for name in names))


_WAYS = "401, 404, 429, 500, 503, wrong bytes, a cut layer, a byte a second, redirects, hung up"

ROW = Row(
    6,
    "Image registry and Hub",
    (
        Case("pulls", f"the registry fails for 20 s of a pull: {_WAYS}", pulls, 1),
        Case("known", "gone in mid-pull, logins, the Hub away, limited, refusing: a test each", _known, 1),
    ),
)
