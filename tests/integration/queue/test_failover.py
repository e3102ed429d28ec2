"""A master that dies in the middle of a batch, and its replica in its place: real servers and Sentinels."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis
from tests.integration.queue.workers import succeeded, until, working

from spacedock._wire import keys
from spacedock.client import Client
from spacedock.errors import JobNotFoundError, NotConnectedError, RefusedError
from spacedock.request import JobRequest, job_id_of
from spacedock.result import JobResult
from spacedock.states import JobState
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedockd.valkey import server_binary

BEFORE, DURING = 300, 60
IN_HAND = 8
START_SECONDS = 15.0
DOWN_MS = 700
"""How long a Sentinel takes a silent master for alive."""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Watched:
    """A master with a replica, and three Sentinels that watch them; all on this machine."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("master", "replica", "one", "two", "three")}
        sentinels = ",".join(f"127.0.0.1:{self.ports[name]}" for name in ("one", "two", "three"))
        self.url = f"redis+sentinel://worker:secret@{sentinels}/main/0"

    def start(self) -> None:
        """Start all five, and return when they answer."""
        self.start_server("master")
        self.start_server("replica", f"replicaof 127.0.0.1 {self.ports['master']}")
        # A Sentinel asks a master for its replicas at first sight, and then every ten seconds.
        self._await_replica()
        for name in ("one", "two", "three"):
            self._start(
                name,
                f"sentinel monitor main 127.0.0.1 {self.ports['master']} 2",
                "sentinel auth-user main worker",
                "sentinel auth-pass main secret",
                f"sentinel down-after-milliseconds main {DOWN_MS}",
                "sentinel failover-timeout main 5000",
            )

    def _await_replica(self) -> None:
        end = time.monotonic() + START_SECONDS
        with redis.Redis(port=self.ports["master"], username="worker", password="secret") as master:
            while "online" not in str(master.info("replication").get("slave0")):
                assert time.monotonic() < end, "the replica does not follow"
                time.sleep(0.05)

    def start_server(self, name: str, *lines: str) -> None:
        """Start the server with what it had on its disk."""
        self._start(
            name,
            "appendonly yes",
            "save ''",
            "user default off",
            "user worker on >secret ~* &* +@all",
            "masteruser worker",
            "masterauth secret",
            "repl-diskless-sync-delay 0",
            *lines,
        )

    def kill(self, name: str) -> None:
        """Let it die at once, without a word."""
        self._processes[name].kill()
        self._processes[name].wait()

    def stop(self) -> None:
        """End all that live."""
        for process in self._processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def server(self, name: str) -> Redis:
        """A connection to that very server, whatever its role."""
        return Redis(port=self.ports[name], username="worker", password="secret", protocol=2)

    def _start(self, name: str, *lines: str) -> None:
        folder, port = self._folder / name, self.ports[name]
        folder.mkdir(exist_ok=True)
        common = [f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"logfile {folder / 'log'}"]
        configuration = folder / "server.conf"
        configuration.write_text("\n".join([*common, *lines]) + "\n")
        mode = ["--sentinel"] if lines[0].startswith("sentinel") else []
        command = [self._binary, str(configuration), *mode]
        self._processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        end = time.monotonic() + START_SECONDS
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            assert time.monotonic() < end, (folder / "log").read_text()
            # It is still opening its port, and has no way of telling that it has.
            time.sleep(0.05)


@pytest.fixture(params=["valkey", "redis"])
def watched(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Watched]:
    binary = server_binary() if request.param == "valkey" else shutil.which("redis-server")
    if binary is None:
        pytest.skip("no redis-server on this machine")
    made = Watched(binary, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


async def agreed(watched: Watched) -> bool:
    """Whether each Sentinel knows the two others and the replica, and the replica follows."""
    for name in ("one", "two", "three"):
        async with Redis(port=watched.ports[name], decode_responses=True, protocol=2) as sentinel:
            told = await sentinel.execute_command("SENTINEL", "MASTER", "main")
        fields = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
        if (int(fields["num-other-sentinels"]), int(fields["num-slaves"])) != (2, 1):
            return False
    return await replicated(watched, "master", "replica")


async def replicated(watched: Watched, master: str, replica: str) -> bool:
    """Whether the replica has what the master has. A server that takes on another role drops connections."""
    with suppress(redis.exceptions.ConnectionError):
        return await _replicated(watched, master, replica)
    return False


async def _replicated(watched: Watched, master: str, replica: str) -> bool:
    async with watched.server(master) as first, watched.server(replica) as second:
        theirs, its = await first.info("replication"), await second.info("replication")
        up = its["role"] == "slave" and its["master_link_status"] == "up"
        return bool(up and its["slave_repl_offset"] == theirs["master_repl_offset"])


async def submit_through(client: Client, request: JobRequest) -> None:
    """Submit until it is acknowledged; the same job each time, by its key."""
    while True:
        try:
            await client.submit_many([request])
            return
        except NotConnectedError:
            pass
        except RefusedError as error:
            if error.lasting:
                raise
        await asyncio.sleep(0.05)


async def test_a_failover_in_the_middle_of_a_batch_loses_and_doubles_no_job(watched: Watched) -> None:
    await until(lambda: agreed(watched), 30)
    runs: Counter[str] = Counter()
    half = asyncio.Event()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        runs[job.request.prompt] += 1
        await asyncio.sleep(0.02)
        if len(runs) > BEFORE // 3:
            half.set()
        return succeeded(job)

    before = [JobRequest(prompt=f"b{n}", idempotency_key=f"b{n}") for n in range(BEFORE)]
    during = [JobRequest(prompt=f"d{n}", idempotency_key=f"d{n}") for n in range(DURING)]
    async with Client(watched.url) as client, asyncio.timeout(120):
        ids = await client.submit_many(before)
        await until(lambda: replicated(watched, "master", "replica"))
        async with working(watched.url, handle, max_jobs=IN_HAND):
            await half.wait()
            watched.kill("master")
            for request in during:
                await submit_through(client, request)
            results = [result async for result in client.results(ids)]
            later = [await survived(client, request) for request in during]
        assert {result.id for result in results} == set(ids)
        assert len(results) == BEFORE
        assert {result.state for result in [*results, *later]} == {JobState.SUCCEEDED}
        # Only what was in hand, or whose end the replica had not heard of, ran once more.
        assert sum(count - 1 for count in runs.values()) <= 4 * IN_HAND
        async with watched.server("replica") as now:
            assert (await now.info("replication"))["role"] == "master"
            assert await now.zcard(keys.QUEUE) == 0
            # The old master comes back as a replica of the new one, and keeps nothing of its own.
            watched.start_server("master")
            await until(lambda: replicated(watched, "replica", "master"), 40)
            async with watched.server("master") as old:
                assert await old.dbsize() == await now.dbsize()


async def survived(client: Client, request: JobRequest) -> JobResult:
    """The job's result. One that only the dead master had is submitted once more, as a batch does."""
    while True:
        try:
            return await client.result(job_id_of(request))
        except JobNotFoundError:
            await submit_through(client, request)


async def test_a_master_without_its_replica_refuses_and_the_jobs_in_hand_wait(watched: Watched) -> None:
    began, go = asyncio.Event(), asyncio.Event()

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        began.set()
        await go.wait()
        return succeeded(job)

    async with (
        Client(watched.url) as client,
        working(watched.url, handle),
        watched.server("master") as master,
        asyncio.timeout(60),
    ):
        job_id = await client.submit("in hand")
        await began.wait()
        await master.config_set("min-replicas-max-lag", 1)
        await master.config_set("min-replicas-to-write", 1)
        watched.kill("replica")
        await until(lambda: refused(client))
        go.set()
        watched.start_server("replica", f"replicaof 127.0.0.1 {watched.ports['master']}")
        assert (await client.result(job_id)).succeeded
        await submit_through(client, JobRequest(prompt="after", idempotency_key="after"))


async def refused(client: Client) -> bool:
    """Whether the master takes no jobs for want of a replica; one that it takes is another of the test's."""
    try:
        await client.submit("more")
    except RefusedError as error:
        return "NOREPLICAS" in str(error) and not error.lasting
    return False
