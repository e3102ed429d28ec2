"""The client alone, as `pip install hf-spacedock` brings it: with a newer redis-py than arq takes."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from tests.acceptance.running import Daemon

ROOT = Path(__file__).parents[2]
SCRIPT = """
import asyncio
from importlib.metadata import version
from importlib.util import find_spec

from spacedock import Client, JobRequest, SyncClient
from spacedock.errors import JobNotFoundError, NotConnectedError
from spacedock.files import payload_of
from spacedock.request import job_id_of

async def main():
    async with Client() as client:
        result = await client.run("hello", tier="default", wait=120)
        assert result.succeeded, result
        file = payload_of("a.txt", b"x" * 1_000_000)
        request = JobRequest(prompt="a file", files=(file.ref,), tier="default", idempotency_key="key")
        assert await client.submit_prepared(request, [file]) == job_id_of(request)
        ends = [event.state async for event in client.watch(job_id_of(request))]
        # The model of the last resort may say that the letter is too long for it.
        assert ends[-1] in ("succeeded", "failed"), ends
        assert await client.fetch(file.ref) == file.data
        ids = await client.submit_many(JobRequest(prompt=str(n), tier="default") for n in range(20))
        await client.cancel(ids[-1])
        assert len([result async for result in client.results(ids)]) == 20
        assert (await client.spaces.list()).spaces
        try:
            await client.status("0" * 32)
            raise AssertionError("there is no such job")
        except JobNotFoundError:
            pass
    try:
        async with Client("redis://127.0.0.1:1"):
            raise AssertionError("nobody is there")
    except NotConnectedError:
        pass

asyncio.run(main())
with SyncClient() as client:
    assert client.run("hello", tier="default", wait=60).succeeded
assert find_spec("arq") is None
assert int(version("redis").partition(".")[0]) >= 6, version("redis")
"""


@pytest.fixture(scope="module")
def thin(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment in which the client alone is installed."""
    if not request.config.getoption("--all-versions"):
        pytest.skip("installing takes a while: make test-full")
    folder = tmp_path_factory.mktemp("thin")
    venv.create(folder, with_pip=False)
    python = folder / "bin/python"
    command = [sys.executable, "-m", "pip", "-q", "--python", str(python), "install", str(ROOT)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return python.parent


@pytest.fixture
def environment(thin: Path, daemon: Daemon) -> dict[str, str]:
    return {**os.environ, "SPACEDOCK_REDIS_URL": daemon.url}


def test_the_client_works_with_the_newest_redis_py(environment: dict[str, str], thin: Path) -> None:
    command = [thin / "python", "-X", "dev", "-W", "error", "-c", SCRIPT]
    subprocess.run(command, env=environment, check=True, timeout=300)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "hello", "--tier", "default"], ""),
        (["spaces", "list"], "sentiment"),
        (["tiers"], ""),
        (["--version"], "spacedock "),
    ],
)
def test_its_command_works_too(
    environment: dict[str, str], thin: Path, arguments: list[str], says: str
) -> None:
    ran = subprocess.run(
        [thin / "spacedock", *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    assert says in ran.stdout


def test_the_daemons_command_says_what_to_install(environment: dict[str, str], thin: Path) -> None:
    ran = subprocess.run([thin / "spacedockd"], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert "pip install 'hf-spacedock[daemon,smollm]'" in ran.stderr
