"""What a million lines in one batch cost client and queue, by `python -m tests.benchmarks.bench_batch`.

One `spacedock batch` reads them, a worker that answers at once runs them, and a Valkey holds them; each is a
process of its own. Prints the peak of each one's memory, and exits with 1 where the client misses its bar, or
where a line has not exactly one result. `LINES=20000` before the command tries fewer.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import perf_counter

from tests.benchmarks.bench_http import process
from tests.integration.queue.servers import Server

from spacedockd.valkey import server_binary

LINES = int(os.environ.get("LINES", "1_000_000"))
CLIENT_MB = 150


def peak_mb(pid: int) -> int:
    """The most memory that a process had so far, in MB; 0 for one that has just ended."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) // 1024 for line in status if line.startswith("VmHWM")), 0)


async def bench(folder: Path) -> bool:
    source, output = folder / "lines.jsonl", folder / "results.jsonl"
    with source.open("w") as file:
        file.writelines(
            json.dumps({"id": f"n{number}", "prompt": f"{number}"}) + "\n" for number in range(LINES)
        )
    server = Server(server_binary(), folder)
    server.start()
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        await stack.enter_async_context(process("work", server.url))
        begun = perf_counter()
        command = ("batch", str(source), "-o", str(output), "--in-flight", "1000", "--redis", server.url)
        client = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("spacedock"),
            *command,
            env=os.environ | {"XDG_STATE_HOME": str(folder)},
        )
        peaks = {"client": 0, "server": 0}
        while client.returncode is None:
            pids = {"client": client.pid, "server": server.pid}
            peaks = {name: max(peaks[name], peak_mb(pid)) for name, pid in pids.items()}
            with suppress(TimeoutError):
                await asyncio.wait_for(client.wait(), 1)
        seconds = perf_counter() - begun
    with output.open() as file:
        ids = sorted(json.loads(line)["row_id"] for line in file)
    once = ids == sorted(f"n{number}" for number in range(LINES))
    print(f"{LINES:,} lines in {seconds:.0f} s: exit code {client.returncode}; each has one result: {once}")
    print(f"peak memory: client {peaks['client']} MB (bar {CLIENT_MB}), queue's server {peaks['server']} MB")
    return once and client.returncode == 0 and peaks["client"] < CLIENT_MB


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as directory:
        sys.exit(0 if asyncio.run(bench(Path(directory))) else 1)
