"""A host whose engine has no address pool left: an engine of the test's own, which never had more than two.

It has a network namespace of its own too, so that its networks are gone with it and disturb nobody.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from tests.integration.containers.parts import silent

from spacedock.result import Stage
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.docker.task import Task
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.spec import ContainerSpec

IMAGE = "shell:1"
ROUTES = "while read -r line; do echo $line; done < /proc/net/route"
POOL = "base=10.254.0.0/23,size=24"
START_SECONDS = 120.0


def shell() -> bytes:
    """A root with a shell and nothing else, as a tar."""
    libraries = subprocess.run(["ldd", "/bin/sh"], capture_output=True, text=True, check=True).stdout
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as tar:
        for path in ("/bin/sh", *re.findall(r"/\S+", libraries)):
            tar.add(path)
    return packed.getvalue()


def docker(host: str, *arguments: str, stdin: bytes | None = None) -> bool:
    command = ["docker", "-H", host, *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False).returncode == 0


@pytest.fixture
def used_up() -> Iterator[str]:
    """The address of an engine whose networks have used up its pools."""
    if os.geteuid() != 0 or shutil.which("dockerd") is None:
        pytest.skip("an engine of its own takes root, and dockerd")
    # Not pytest's own folder: its path is too long for the sockets in it.
    folder = Path(tempfile.mkdtemp(prefix="sd-engine-"))
    host = f"unix://{folder}/d.sock"
    own = ["setpriv", "--pdeathsig", "TERM", "unshare", "--net"]
    command = ["dockerd", "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec"]
    command += ["-p", f"{folder}/pid", "-H", host, "--bridge", "none", "--default-address-pool", POOL]
    # Not the folder's name: mkdtemp may end it with an underscore, which containerd refuses.
    namespace = f"sd-engine-{secrets.token_hex(4)}"
    command += ["--containerd-namespace", namespace, "--containerd-plugins-namespace", f"{namespace}-p"]
    with (folder / "log").open("wb") as log, subprocess.Popen([*own, *command], stderr=log) as process:
        try:
            end = time.monotonic() + START_SECONDS
            while not docker(host, "version"):
                assert time.monotonic() < end, (folder / "log").read_text()
                time.sleep(0.1)
            assert docker(host, "import", "-", IMAGE, stdin=shell())
            assert docker(host, "network", "create", "one")
            assert docker(host, "network", "create", "two")
            assert not docker(host, "network", "create", "three")
            yield host
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def engine(used_up: str) -> AsyncIterator[Engine]:
    async with Engine(used_up) as engine:
        yield engine


async def test_spaces_run_where_the_address_pools_are_used_up(engine: Engine, settings) -> None:
    async with Pool(engine, settings) as pool:
        opened, sealed = [await routes(pool, sealed=sealed) for sealed in (False, True)]
        async with engine.call(Stage.START) as docker:
            networks = {
                n["Name"]: n["IPAM"]["Config"][0] for n in await docker.networks.list() if n["IPAM"]["Config"]
            }
    name = settings.network_name
    assert default_route(opened) == IPv4Address(networks[name]["Gateway"])
    # The sealed one leads to nobody.
    subnet = IPv4Network(networks[f"{name}-sealed"]["Subnet"])
    assert default_route(sealed) in (None, subnet[-2])


async def routes(pool: Pool, *, sealed: bool) -> str:
    """The kernel's routes in a Space's container."""
    spec = ContainerSpec("routes", IMAGE, "sha256:shell", ("sh", "-c", ROUTES), sealed=sealed)
    return (await pool.complete(spec, Task(timeout=60), silent)).stdout.data.decode()


def default_route(routes: str) -> IPv4Address | None:
    """The gateway, which the kernel prints in the machine's byte order."""
    gateways = [words[2] for line in routes.splitlines() if (words := line.split())[1] == "00000000"]
    return IPv4Address(int.from_bytes(bytes.fromhex(gateways[0]), sys.byteorder)) if gateways else None
