"""A master, its replica, and the Sentinels that watch them: real servers on this machine."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.asyncio import Redis

START_SECONDS = 60.0
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
