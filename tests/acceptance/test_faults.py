"""What dies is replaced, and no job is lost: kill -9, restarts, a missing engine, a second daemon."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from tests.acceptance.conftest import StartDaemon
from tests.acceptance.running import BIN, Daemon
from tests.proxy import unix_proxy

from spacedock import Client, JobResult
from spacedock.states import JobState

TAKEN_UP_SECONDS = 10.0


@pytest.fixture
def own_daemon(make_daemon: StartDaemon) -> AsyncIterator[Daemon]:
    """A daemon of the test's own, to be killed at will."""
    daemon = make_daemon(drain_seconds="1")
    yield daemon
    daemon.stop()


async def until(client: Client, job_id: str, words: str) -> None:
    """Wait until the job's progress says so."""
    async with aclosing(client.watch(job_id)) as events:
        async for event in events:
            if words in event.message:
                return
    raise AssertionError(f"the job ended before '{words}'")


async def test_a_job_whose_worker_is_killed_is_answered_once_within_10_s_and_its_own_time(
    own_daemon: Daemon,
) -> None:
    async with Client(own_daemon.url) as client:
        own_time = (await client.run("a fine day", space="sentiment")).timings.total
        assert own_daemon.spacedock("spaces", "list").code == 0
        job_id = await client.submit("a fine boat", space="mood")
        await until(client, job_id, "waiting until it answers")
        worker = own_daemon.await_event("worker.started")["pid"]
        os.kill(worker, signal.SIGKILL)
        killed = time.monotonic()
        result = await client.result(job_id, wait=120)
        seconds = time.monotonic() - killed
    own_daemon.await_event("worker.started", count=2)
    assert result.state is JobState.SUCCEEDED
    assert seconds < TAKEN_UP_SECONDS + max(own_time, result.timings.start + result.timings.call)
    own_daemon.await_event("job.ended", job_id=job_id)
    ended = [event["job_id"] for event in own_daemon.events if event["event"] == "job.ended"]
    assert ended.count(job_id) == 1


async def test_a_daemon_that_stops_says_whom_it_waits_for_and_asked_again_waits_no_more(
    make_daemon: StartDaemon,
) -> None:
    daemon = make_daemon(drain_seconds="3600")
    assert daemon.process is not None
    async with Client(daemon.url) as client:
        job_id = await client.submit("a fine day", space="broken-hang")
        await until(client, job_id, "asking")
        daemon.process.terminate()
        daemon.await_event("worker.draining", jobs=1, spaces=["broken-hang"], at_most_seconds=3600.0)
        assert daemon.stop() == 0
    daemon.await_event("worker.gives_back", jobs=1)
    assert daemon.containers() == []


async def test_a_queue_outlives_its_daemon(make_daemon: StartDaemon) -> None:
    daemon = make_daemon()
    async with Client(daemon.url) as client:
        first = await client.submit("a fine boat", space="sentiment")
        await until(client, first, "waiting until it answers")
        assert daemon.process is not None
        # The daemon alone dies: its worker sees that and leaves, its Valkey stays for the next daemon.
        daemon.stop(signal.SIGKILL)
        second = await client.submit("What is the capital of France?")
        daemon.start()
        daemon.await_event("valkey.attached")
        results = {result.id: result async for result in client.results([first, second])}
    assert results[first].succeeded
    assert results[second].succeeded
    daemon.stop()
    assert daemon.containers() == []


async def test_a_killed_valkey_comes_back_with_its_jobs(own_daemon: Daemon) -> None:
    async with Client(own_daemon.url) as client:
        job_id = await client.submit("hello", space="broken-hang", timeout=3, fallback="none")
        await until(client, job_id, "asking")
        os.kill(own_daemon.await_event("valkey.started")["pid"], signal.SIGKILL)
        result: JobResult = await client.result(job_id, wait=90)
    own_daemon.await_event("valkey.started", count=2)
    assert result.error is not None
    assert result.error.kind == "timeout"


def test_a_stopped_daemon_leaves_no_container_behind(own_daemon: Daemon) -> None:
    assert own_daemon.spacedock("run", "lovely", "--space", "sentiment").code == 0
    assert len(own_daemon.containers()) == 1
    assert own_daemon.stop() == 0
    assert own_daemon.containers() == []
    assert "daemon.stopped" in own_daemon.log


async def test_cancelling_a_running_job_stops_its_container(own_daemon: Daemon) -> None:
    async with Client(own_daemon.url) as client:
        job_id = await client.submit("hello", space="broken-hang")
        await until(client, job_id, "asking")
        assert own_daemon.spacedock("cancel", job_id).code == 0
        result = await client.result(job_id, wait=60)
    assert result.state is JobState.CANCELLED
    own_daemon.stop()
    assert own_daemon.containers() == []


def test_without_docker_a_model_answers_and_the_attempt_says_why(make_daemon: StartDaemon) -> None:
    daemon = make_daemon(containers__docker_host="unix:///nowhere/docker.sock")
    result = daemon.spacedock("run", "What is 2 and 2?", "--space", "sentiment", "--json").result
    assert result["answered_by"]["tier"] == "default"
    assert result["attempts"][0]["error"]["kind"] == "docker_unavailable"
    ran = daemon.spacedock("run", "hi", "--space", "sentiment", "--no-fallback")
    assert ran.code == 1
    assert "Is Docker running?" in ran.err
    batch = ("batch", "-", "--space", "sentiment")
    stopped = daemon.spacedock(*batch, stdin="lovely\nawful\n")
    assert (stopped.code, stopped.out) == (4, "")
    assert stopped.err.count("this host starts no Space: ") == 1
    allowed = daemon.spacedock(*batch, "--allow-degraded", stdin="lovely\nawful\n")
    assert (allowed.code, allowed.out.count("\n")) == (0, 2)
    daemon.stop()


async def test_a_hung_engine_keeps_neither_the_daemon_nor_its_models(
    make_daemon: StartDaemon, tmp_path: Path
) -> None:
    async with unix_proxy(Path("/run/docker.sock"), tmp_path / "d.sock") as proxy:
        proxy.hung = True
        daemon = make_daemon(start=False, containers__docker_host=f"unix://{tmp_path}/d.sock")
        await asyncio.to_thread(daemon.start)
        ran = await asyncio.to_thread(daemon.spacedock, "run", "What is 2 and 2?", "--json")
        assert ran.result["answered_by"]["tier"] == "default"
        lovely = ("run", "lovely", "--space", "sentiment", "--json")
        result = (await asyncio.to_thread(daemon.spacedock, *lovely, "--privacy")).result
        assert result["answered_by"]["tier"] == "default"
        error = result["attempts"][0]["error"]
        assert (error["kind"], error["host"]) == ("docker_unavailable", True)
        assert "no answer within" in error["message"]
        # The engine goes on, and Spaces work without a restart.
        proxy.hung = False
        proxy.cut()
        result = (await asyncio.to_thread(daemon.spacedock, *lovely)).result
        assert result["answered_by"]["name"] == "sentiment"
        assert await asyncio.to_thread(daemon.stop) == 0


def test_a_second_daemon_on_the_same_state_is_refused(daemon: Daemon) -> None:
    command = [BIN / "spacedockd", "--state-dir", daemon.folder / "state", "--runtime-dir", "/tmp/unused"]
    second = subprocess.run(command, env=daemon.env, capture_output=True, text=True, check=False)
    assert second.returncode == 2
    assert "another spacedockd" in second.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [("contaners: {}", "contaners"), ("max_jobs: none", "max_jobs"), ("containers: {memry: 1}", "memry")],
)
def test_a_wrong_configuration_is_named(
    tmp_path: Path, clean_env: dict[str, str], text: str, words: str
) -> None:
    config = tmp_path / "spacedockd.yaml"
    config.write_text(text)
    command = [BIN / "spacedockd", "--config", config, "--state-dir", tmp_path / "state"]
    ran = subprocess.run(command, env=clean_env, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert words in ran.stderr


def test_systemd_hears_ready_watchdog_and_stopping(make_daemon: StartDaemon, tmp_path: Path) -> None:
    address = f"\0spacedock-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(30)
        daemon = make_daemon(start=False)
        daemon.env |= {"NOTIFY_SOCKET": "@" + address[1:], "WATCHDOG_USEC": "1000000"}
        daemon.start()
        heard = [manager.recv(4096).decode() for _ in range(3)]
        daemon.stop()
        while "STOPPING=1" not in heard[-1]:
            heard.append(manager.recv(4096).decode())
    assert any(message.startswith("READY=1\nSTATUS=serving unix://") for message in heard)
    assert "WATCHDOG=1" in heard
