"""Privacy mode with a real worker, engine and Valkey: whatever a job ends with, nothing quotes it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.integration.queue.dumping import dump
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import until
from tests.leftovers import own_instance

from spacedock._wire import keys
from spacedock._wire.connection import connect
from spacedock.client import Client
from spacedock.hosts import hosts, pause
from spacedock.prepare import prepare
from spacedock.request import job_id_of
from spacedock.result import ErrorKind, JobResult
from spacedock.states import JobState
from spacedock_worker.containers.docker.create_body import OWNER_LABEL
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.queue.job_store import MAX_TRIES
from spacedock_worker.settings import WorkerSettings
from spacedockd.valkey import scrub, server_binary
from spacedockd.worker_process import as_line

MARKER = "tell-nobody"
SECRET = MARKER.encode()
TOKEN = "hf_the-token-of-this-test"
WAIT = 60.0
SLEEP_SECONDS = 1.0

PROGRAM = """
import os, pathlib, signal, sys
prompt = sys.stdin.read()
print(prompt, os.listdir("/workspace/input"), open("/workspace/inputs.json").read(), flush=True)
print(prompt, file=sys.stderr, flush=True)
if "fail" in prompt: sys.exit(3)
if "die" in prompt: os.kill(os.getpid(), signal.SIGKILL)
if "sleep" in prompt: signal.pause()
if "token" in prompt: sys.exit("my token is " + os.environ.get("HF_TOKEN", "missing"))
pathlib.Path("/workspace/output/" + prompt.split()[0] + ".txt").write_text(prompt)
"""

APP = """
import http.server, json, os, time
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"here")
    def do_POST(self):
        said = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(said, flush=True)
        if "crash" in said: os._exit(1)
        if "sleep" in said: time.sleep(60)
        self.send_response(500 if "fail" in said else 200)
        self.send_header("Content-Type", "application/json"); self.end_headers()
        self.wfile.write(json.dumps({"detail": said, "answer": said}).encode())
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("0.0.0.0", 7860), App).serve_forever()
"""

SPACES = {
    "program": {"adapter": "command", "command": ["python3", "-c", PROGRAM]},
    "app": {
        "command": ["python3", "-c", APP],
        "operation": {
            "path": "/ask",
            "body": {"prompt": "{prompt}", "more": "{inputs.more}"},
            "response": "/answer",
        },
    },
}


class Seen:
    """What can be seen of private jobs from outside: the worker's log, its containers, Redis's messages."""

    def __init__(self, log: Path, owner: str) -> None:
        self._log, self._owner = log, owner
        self.heard: list[bytes] = []

    @property
    def log(self) -> bytes:
        return self._log.read_bytes()

    async def containers(self) -> bytes:
        """All that the engine tells of this worker's containers."""
        named = await output(
            "docker", "ps", "-a", "--no-trunc", "--filter", f"label={OWNER_LABEL}={self._owner}"
        )
        ids = [line.split()[0].decode() for line in named.splitlines()[1:]]
        return named + (await output("docker", "inspect", *ids) if ids else b"")

    async def a_program(self) -> bool:
        """Whether a program runs."""
        return b'"Running": true' in await self.containers()


async def output(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
    said, _ = await process.communicate()
    return said


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(server_binary(), tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def scrubbing(server: Server) -> AsyncIterator[None]:
    """What the daemon does beside its own Valkey."""
    task = asyncio.create_task(scrub(server.url, seconds=0.2))
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.url) as client:
        yield client


@asynccontextmanager
async def working(server: Server, folder: Path, spaces: dict[str, Any]) -> AsyncIterator[Seen]:
    """A real worker process at log level debug."""
    rows = {
        name: {"docker_image": "spacedock/python:3.11", "category": name, **more}
        for name, more in spaces.items()
    }
    (folder / "registry.yaml").write_text(yaml.safe_dump({"spaces": rows}))
    settings = WorkerSettings(
        redis_url=server.url,
        registry=folder / "registry.yaml",
        repositories=folder / "repositories",
        secrets=folder / "secrets",
        containers=ContainerSettings(instance_id=own_instance()),
        look_for_models=False,
        log_format="json",
        log_level="debug",
        drain_seconds=0,
    )
    seen = Seen(folder / "log", settings.containers.instance_id)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "spacedock_worker",
            stdin=PIPE,
            stdout=PIPE,
            stderr=log,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(as_line(settings))
    ready = await process.stdout.readline()
    assert ready, seen.log.decode()
    assert json.loads(ready) == {"engine": None, "registry": None}
    async with heard(server.url, seen.heard):
        yield seen
    process.terminate()
    await process.wait()


@asynccontextmanager
async def heard(url: str, into: list[bytes]) -> AsyncIterator[None]:
    """Note all messages of all channels."""
    async with connect(url) as redis, redis.pubsub() as pubsub:
        await pubsub.psubscribe("*")

        async def listen() -> None:
            async for message in pubsub.listen():
                into.append(f"{message['channel']} {message['data']}".encode())

        listening = asyncio.create_task(listen())
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    path = tmp_path / f"{MARKER}-diary.txt"
    path.write_text(f"{MARKER}, says the file")
    return path


ENDS = [
    ("program", "", JobState.SUCCEEDED, None),
    ("program", "fail", JobState.FAILED, ErrorKind.APP_ERROR),
    ("program", "die", JobState.FAILED, ErrorKind.OUT_OF_MEMORY),
    ("program", "sleep", JobState.FAILED, ErrorKind.TIMEOUT),
    ("app", "", JobState.SUCCEEDED, None),
    ("app", "fail", JobState.FAILED, ErrorKind.APP_ERROR),
    ("app", "sleep", JobState.FAILED, ErrorKind.TIMEOUT),
    ("app", "crash", JobState.FAILED, ErrorKind.CRASHED),
]


@pytest.mark.usefixtures("scrubbing")
async def test_nothing_quotes_a_private_job_however_it_ends(
    server: Server, client: Client, diary: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"inputs": {"more": MARKER}, "privacy": True, "labels": {"mine": MARKER}}
    results: list[JobResult] = []
    async with connect(server.url) as redis, working(server, tmp_path, SPACES) as seen:
        cancelled = await client.submit(f"{MARKER} sleep", files=[diary], space="program", **options)
        await until(seen.a_program, WAIT)
        shown = await seen.containers()
        await client.cancel(cancelled)
        for space, how, state, kind in ENDS:
            files = [diary] if space == "program" else []
            seconds = SLEEP_SECONDS if how == "sleep" else WAIT
            job_id = await client.submit(
                f"{MARKER} {how}", files=files, space=space, timeout=seconds, fallback="none", **options
            )
            result = await client.result(job_id, wait=WAIT)
            assert (result.state, result.error and result.error.kind) == (state, kind), result
            results.append(result)
            shown += await seen.containers()
        results.append(await client.result(cancelled, wait=WAIT))
        results.append(await _dead(client, redis, diary, options))
        for result in results:
            assert SECRET not in b"".join(a.model_dump_json().encode() for a in result.attempts)
        assert results[-1].state is JobState.DEAD
        assert SECRET not in await dump(redis)
        assert await redis.xlen(keys.EVENTS) > len(results)
        await until(lambda: scrubbed(server), WAIT)
    assert results[0].output.text is not None
    assert MARKER in results[0].output.text
    assert seen.log.count(b"job.ended") == len(results)
    assert shown.count(OWNER_LABEL.encode()) >= 2
    for place in (seen.log, b"\n".join(seen.heard), shown):
        assert SECRET not in place


async def _dead(client: Client, redis: Any, diary: Path, options: dict[str, Any]) -> JobResult:
    request, payloads = prepare(MARKER, [diary], "program", {**options, "idempotency_key": MARKER})
    job_id = job_id_of(request)
    # Nobody takes it until its record says that five workers died of it.
    (host,) = [host.id for host in await hosts(redis) if host.alive]
    await pause(redis, host, paused=True)
    await client.submit_prepared(request, payloads)
    await redis.hset(keys.job(job_id), "deaths", "worker " * MAX_TRIES)
    await pause(redis, host, paused=False)
    return await client.result(job_id, wait=WAIT)


async def scrubbed(server: Server) -> bool:
    """Whether the server's file on disk has nothing to tell (any more)."""
    return not any(SECRET in path.read_bytes() for path in server.files())


async def test_a_secret_reaches_its_space_and_nobody_else(
    server: Server, client: Client, tmp_path: Path
) -> None:
    folder = tmp_path / "secrets/program"
    folder.mkdir(parents=True)
    (folder / "HF_TOKEN").write_text(TOKEN + "\n")
    spaces = {"program": {**SPACES["program"], "secrets": ["HF_TOKEN"]}}
    async with connect(server.url) as redis, working(server, tmp_path, spaces) as seen:
        result = await client.run("token", space="program", wait=WAIT)
        shown = json.dumps(await client.spaces.show("program")).encode()
        kept = await dump(redis)
    assert result.error is not None
    assert "my token is ***" in result.error.message
    assert json.loads(shown)["secrets"] == ["HF_TOKEN"]
    for place in (seen.log, b"\n".join(seen.heard), shown, kept):
        assert TOKEN.encode() not in place
        assert str(folder).encode() not in place
