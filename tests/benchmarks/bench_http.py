"""What the HTTP door adds to a job that is answered at once, by `python -m tests.benchmarks.bench_http`.

They go in turns by `Client.run` and by `POST /jobs` with `Prefer: wait`, to one worker; then again while
a thousand connections wait for a job that nobody runs, and while a hundred follow all events. The door, the
worker and the server are processes of their own. Exits with 1 where the door misses its bar.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import perf_counter

import aiohttp
from tests.door import free_port
from tests.integration.queue.servers import Server
from tests.integration.queue.workers import no_registry, succeeded

from spacedock.client import Client
from spacedock.result import JobResult
from spacedock_worker.logs import configure
from spacedock_worker.queue.progress import Emit
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.queue.worker import QueueWorker
from spacedockd import paths
from spacedockd.http.listening import TOKEN, HttpServer, allow_files
from spacedockd.http.settings import HttpSettings
from spacedockd.valkey import server_binary

ROUNDS, WARM_UP, WAITING, LISTENING = 1000, 50, 1000, 100
ADDED_MS = 2.0
ROOT = Path(__file__).parents[2]

Way = Callable[[], Awaitable[object]]


async def serve(url: str, folder: Path, port: int) -> None:
    """The door alone."""
    configure("json", "error")
    server = HttpServer(HttpSettings(port=port), url, folder, folder)
    await server.start()
    print("ready", flush=True)
    await server.ended()


async def work(url: str) -> None:
    """A worker that answers at once, except to who asks it to hang."""
    configure("json", "error")

    async def handle(job: TakenJob, tell: Emit) -> JobResult:
        if job.request.prompt == "hang":
            await asyncio.Event().wait()
        return succeeded(job)

    print("ready", flush=True)
    await QueueWorker(url, handle, no_registry).main()


@asynccontextmanager
async def process(*words: str) -> AsyncIterator[None]:
    """This module in another process, once it is ready."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_http", *words]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    assert child.stdout is not None
    await child.stdout.readline()
    try:
        yield
    finally:
        child.kill()
        await child.wait()


async def measured(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each call, one way after the other so that noise hits all alike."""
    calls: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(WARM_UP + rounds):
        for name, way in ways.items():
            begun = perf_counter()
            await way()
            if number >= WARM_UP:
                calls[name].append((perf_counter() - begun) * 1000)
    return calls


def told(what: str, calls: dict[str, list[float]]) -> float:
    """Print a line for each way; returns what the door adds at the median."""
    for name, each in calls.items():
        p99 = statistics.quantiles(each, n=100)[98]
        print(f"{what:<42} {name:<12} median {statistics.median(each):6.2f} ms   p99 {p99:7.2f} ms")
    added = statistics.median(calls["http"]) - statistics.median(calls["client"])
    print(f"{what:<42} the door adds {added:.2f} ms")
    return added


@asynccontextmanager
async def held(session: aiohttp.ClientSession, path: str, count: int) -> AsyncIterator[None]:
    """So many requests that have no answer yet, or no end."""
    begun = asyncio.Semaphore(0)

    async def one() -> None:
        async with session.get(path) as response:
            begun.release()
            await response.read()

    tasks = [asyncio.create_task(one()) for _ in range(count)]
    # Those that wait for a result have no answer that tells that they wait.
    await (asyncio.sleep(3) if "wait=" in path else asyncio.gather(*(begun.acquire() for _ in tasks)))
    if ended := [task for task in tasks if task.done()]:
        ended[0].result()
        raise SystemExit(f"{len(ended)} of {count} requests did not wait")
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def bench(folder: Path) -> bool:
    server, port = Server(server_binary(), folder), free_port()
    server.start()
    paths.make_private(folder)
    async with AsyncExitStack() as stack:
        stack.callback(server.stop)
        await stack.enter_async_context(process("serve", server.url, str(folder), str(port)))
        await stack.enter_async_context(process("work", server.url))
        client = await stack.enter_async_context(Client(server.url))
        headers = {"Authorization": f"Bearer {(folder / TOKEN).read_text().strip()}", "Prefer": "wait=20"}
        many = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                f"http://127.0.0.1:{port}", headers=headers, connector=many, timeout=timeout
            )
        )

        async def http() -> None:
            async with session.post("/jobs", json={"prompt": "x"}) as response:
                assert response.status == 200
                await response.json()

        ways: dict[str, Way] = {"client": lambda: client.run("x"), "http": http}
        added = told("alone", await measured(ways, ROUNDS))
        path = f"/jobs/{await client.submit('hang')}/result?wait=3000"
        async with held(session, path, WAITING):
            told(f"{WAITING} connections wait", await measured(ways, ROUNDS))
        async with held(session, "/events", LISTENING):
            told(f"{LISTENING} connections follow all events", await measured(ways, ROUNDS // 5))
    return added <= ADDED_MS


def main() -> int:
    """The benchmark, or one of its processes."""
    match sys.argv[1:]:
        case ["serve", url, folder, port]:
            asyncio.run(serve(url, Path(folder), int(port)))
        case ["work", url]:
            asyncio.run(work(url))
        case _:
            allow_files()
            with tempfile.TemporaryDirectory(prefix="sd-") as folder:
                return 0 if asyncio.run(bench(Path(folder))) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
