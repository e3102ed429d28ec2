"""The real engine behind a proxy that refuses one kind of request, as it does while its disk is full."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.integration.containers.parts import answers, ours, silent

from spacedock.result import ErrorKind, Stage
from spacedock_worker.cleanup.inventory import Inventory
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.volumes import volume_name
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.errors import HostBusyError

SOCKET = Path("/var/run/docker.sock")
BODY = b'{"message": "mkdir /var/lib/docker/overlay2/x: no space left on device"}'
REFUSAL = b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/json\r\nConnection: close\r\n"
REFUSAL += b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY


async def pumped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, refused: bytes = b"") -> None:
    """Hand on what comes until there is no more, or a request that is refused."""
    try:
        while data := await reader.read(2**16):
            if refused and data.startswith(b"POST") and refused in data.split(b"\r\n")[0]:
                return
            writer.write(data)
            await writer.drain()
    except OSError:
        pass


@pytest.mark.parametrize("what", ["containers/create", "volumes/create", "networks/create"])
async def test_whatever_finds_no_room_on_the_engines_disk_waits_for_some(
    what: str, tmp_path: Path, engine: Engine, settings, spec
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection(SOCKET)
        answering = asyncio.create_task(pumped(there, writer))
        try:
            await pumped(reader, back, what.encode())
            writer.write(REFUSAL)
        finally:
            answering.cancel()
            for one in (back, writer):
                one.close()

    address = tmp_path / "full.sock"
    server = await asyncio.start_unix_server(serve, address)
    async with server, Engine(f"unix://{address}") as full, Pool(full, settings) as pool:
        with pytest.raises(HostBusyError, match="the disk of the Docker Engine on host") as caught:
            async with pool.lease(spec("mood", cache="/home/user/.cache"), answers, silent):
                pass
    assert (caught.value.stage, caught.value.kind) == (Stage.START, ErrorKind.OUT_OF_DISK)
    assert "It may write" not in str(caught.value)
    assert await ours(engine, settings.instance_id) == []
    await Inventory(engine, settings.instance_id).remove_cache(volume_name(settings.instance_id, "mood"))
