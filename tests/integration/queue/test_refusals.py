"""Servers that cannot hold our queue: client and daemon say what is wrong, and never that all is ready."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import ROOT, until, working

from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.errors import NotConnectedError, RefusedError
from spacedockd.daemon import usable
from spacedockd.notify import Notifier
from spacedockd.valkey import server_binary

Made = Callable[..., str]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture(params=["valkey", "redis"])
def binary(request: pytest.FixtureRequest) -> str:
    found = server_binary() if request.param == "valkey" else shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server on this machine")
    return found


@pytest.fixture
def server(binary: str, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts one server of a kind with these options."""
    started: list[Server] = []

    def start(*options: str) -> Server:
        started.append(Server(binary, tmp_path, *options))
        started[0].start()
        return started[0]

    yield start
    for one in started:
        one.stop()


async def refused_to_both(url: str, says: str) -> None:
    """Client and daemon are told the same, at once, and nothing else."""
    told = []
    with pytest.raises(RefusedError, match=says) as by_client:
        async with Client(url):
            pass
    told.append(by_client.value)
    with pytest.raises(RefusedError, match=says) as by_daemon:
        async with asyncio.timeout(60):
            await usable(url, Notifier({}, 0), asyncio.sleep)
    told.append(by_daemon.value)
    assert all("Start it with" not in str(error) and ":wrong" not in error.url for error in told)


async def test_a_wrong_password(server: Callable[..., Server]) -> None:
    made = server()
    url = made.user("worker", "+@all", "~*", "&*")
    await refused_to_both(url.replace("secret", "wrong"), "does not take this user and password")
    made.user("default", "off")
    await refused_to_both(made.url, "does not take this user and password")


async def test_a_user_who_may_run_no_scripts(server: Callable[..., Server]) -> None:
    url = server().user("worker", "+@all", "~*", "&*", "-@scripting")
    with pytest.raises(RefusedError, match=r"lacks a right .*evalsha"):
        await usable(url, Notifier({}, 0), asyncio.sleep)
    async with Client(url) as client:
        with pytest.raises(RefusedError, match=r"lacks a right .*evalsha"):
            await client.submit("prompt")


async def test_a_database_that_there_is_not(server: Callable[..., Server]) -> None:
    await refused_to_both(f"{server().url}?db=99", "it refused: DB index is out of range")


async def test_a_cluster(server: Callable[..., Server]) -> None:
    ports = ("--port", str(free_port()), "--cluster-port", str(free_port()))
    made = server("--cluster-enabled", "yes", *ports)
    await refused_to_both(made.url, "it is a Redis Cluster")


@pytest.fixture
def watched(server: Callable[..., Server]) -> int:
    """The port of a master whose users need a password."""
    port = free_port()
    server("--port", str(port)).user("worker", "+@all", "~*", "&*")
    return port


@pytest.fixture
def sentinel(binary: str, watched: int, tmp_path: Path) -> Iterator[str]:
    """The address of a Sentinel that watches it, and wants a password itself."""
    port = free_port()
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {tmp_path}", "requirepass theirs"]
    lines += [f"sentinel monitor main 127.0.0.1 {watched} 1"]
    (tmp_path / "sentinel.conf").write_text("\n".join(lines) + "\n")
    command = [binary, str(tmp_path / "sentinel.conf"), "--sentinel"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()


async def test_a_sentinel_itself(sentinel: str) -> None:
    await refused_to_both(f"redis://:theirs@{sentinel}", "it is a Sentinel")


async def test_the_master_that_a_sentinel_names(sentinel: str) -> None:
    url = f"valkey+sentinel://worker:secret@{sentinel}/main/1?sentinel_password=theirs"
    await usable(url, Notifier({}, 0), asyncio.sleep)
    async with working(url), Client(url) as client, asyncio.timeout(60):
        assert (await client.run("prompt")).output.text == "prompt"


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("worker:secret@{}/other?sentinel_password=theirs", "No master found for 'other'"),
        ("worker:secret@{}/main?sentinel_password=wrong", "No master found for 'main'.*invalid"),
    ],
)
async def test_a_master_that_no_sentinel_names(sentinel: str, address: str, says: str) -> None:
    with pytest.raises(NotConnectedError, match=says) as told:
        async with Client(f"redis+sentinel://{address.format(sentinel)}"):
            pass
    assert "=wrong" not in str(told.value)


async def test_a_wrong_password_at_the_master_that_a_sentinel_names(sentinel: str) -> None:
    url = f"redis+sentinel://worker:wrong@{sentinel}/main?sentinel_password=theirs"
    await refused_to_both(url, "does not take this user and password")


async def test_what_is_no_redis() -> None:
    async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hello, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        await refused_to_both(f"redis://127.0.0.1:{port}", "what answers there is no Redis")


async def test_a_replica_is_waited_for(server: Callable[..., Server]) -> None:
    made = server("--replicaof", "127.0.0.1 1")
    with pytest.raises(RefusedError, match="read-only replica"):
        async with Client(made.url):
            pass
    waiting = asyncio.create_task(usable(made.url, Notifier({}, 0), lambda _: asyncio.sleep(0.02)))
    async with connect(made.url) as redis:
        await until(_asked_twice(redis))
        assert not waiting.done()
        await redis.replicaof("NO", "ONE")
    async with asyncio.timeout(60):
        await waiting


def _asked_twice(redis: object) -> Callable[[], object]:
    async def asked() -> bool:
        stats = await redis.info("commandstats")  # type: ignore[attr-defined]
        return int(stats.get("cmdstat_hello", {"calls": 0})["calls"]) > 2

    return asked


def _wait_for(port: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise TimeoutError("the server did not start")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA of our own, a certificate of 127.0.0.1 that it signed, and one of somebody else's CA."""
    folder = tmp_path_factory.mktemp("certificates")
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    # From Python 3.13 on, a CA must say what its key is for, and a certificate whose key signed it.
    may_sign = "-addext keyUsage=critical,keyCertSign"
    for name in ("ca", "other"):
        keys = f"-newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem"
        _openssl(folder, f"req -x509 {keys} -subj /CN={name} {may_sign}")
    _openssl(folder, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=127.0.0.1")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid\n")
    signing = "-CA ca.pem -CAkey ca.key -CAcreateserial -extfile names"
    _openssl(folder, f"x509 -req -in server.csr -out server.pem {signing}")
    return folder


def _openssl(folder: Path, arguments: str) -> None:
    subprocess.run(["openssl", *arguments.split()], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def tls_port(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a Redis that speaks TLS (the Valkey that we carry does not)."""
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server on this machine")
    port = free_port()
    files = [f"--tls-{kind}-file {certificates / name}" for kind, name in _FILES.items()]
    server = Server(
        found, tmp_path_factory.mktemp("tls"), "--tls-port", str(port), *" ".join(files).split(), *_ANYBODY
    )
    server.start()
    yield port
    server.stop()


_FILES = {"cert": "server.pem", "key": "server.key", "ca-cert": "ca.pem"}
_ANYBODY = ("--tls-auth-clients", "no")


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
async def test_tls_with_the_right_ca(tls_port: int, certificates: Path, scheme: str) -> None:
    url = f"{scheme}://127.0.0.1:{tls_port}?ssl_ca_certs={certificates}/ca.pem"
    await usable(url, Notifier({}, 0), asyncio.sleep)
    async with Client(url) as client:
        assert await client.submit("prompt")


@pytest.mark.parametrize("ca", ["", "?ssl_ca_certs={}/other.pem"])
async def test_tls_without_the_right_ca(tls_port: int, certificates: Path, ca: str) -> None:
    url = f"rediss://127.0.0.1:{tls_port}{ca.format(certificates)}"
    await refused_to_both(url, "its certificate is not trusted .*Name the CA")


async def test_plain_calls_to_a_server_that_speaks_tls(tls_port: int) -> None:
    with pytest.raises(NotConnectedError, match="where it speaks TLS, write rediss://"):
        async with Client(f"redis://127.0.0.1:{tls_port}"):
            pass


@pytest.mark.parametrize("command", ["daemon", "client"])
async def test_the_commands_end_with_2_and_say_why_in_one_line(tmp_path: Path, command: str) -> None:
    made = Server(server_binary(), tmp_path)
    made.start()
    url = made.user("worker", "+@all", "~*", "&*").replace("secret", "wrong")
    code = "import sys; from spacedock{}; main()".format(
        "d.cli import main" if command == "daemon" else ".cli import main"
    )
    arguments = ["run", "hello"] if command == "client" else ["--state-dir", str(tmp_path / "state")]
    ran = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", code, *arguments, "--redis", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    made.stop()
    assert ran.returncode == 2
    why, *more = ran.stderr.splitlines()
    assert re.fullmatch(r"spacedockd?: Redis at \S+: it does not take this user and password .*", why)
    pointer = "spacedockd: `spacedock doctor` says what else is wrong here, and how to mend it"
    assert more == ([pointer] if command == "daemon" else [])
    assert "READY" not in ran.stdout
