"""What the pool is worth, by `python -m tests.benchmarks.bench_pool`: interleaved prompts, and warm calls.

120 prompts for six Spaces in random order go through a daemon with three containers, side by side with what
a script would do: `docker run`, wait, ask, remove, for each prompt. Then one Space is asked again and again:
by the adapter alone, by a lease of a warm container, and by a lease of a paused one. Exits with 1 where a
bar is missed.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import aiohttp
import yaml
from tests.acceptance.running import SPACES, Daemon

from spacedock import Client
from spacedock_worker.adapters.base import Adapter, AppCall
from spacedock_worker.adapters.detect import Access, Opener
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.settings import ContainerSettings
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.images.source import Image, SpaceSource
from spacedock_worker.logs import configure

SPACE, NAMES, PROMPTS, SLOTS = "g-interface", tuple("abcdef"), 20, 3
SAMPLE = 2
TIMES_FASTER, MOST_STARTS = 20.0, 3
WARM_MS, PAUSED_MS = 5.0, 60.0
CALLS, PAUSED_CALLS = 100, 20
PAUSE_SECONDS = 0.3


def registry(folder: Path) -> dict[str, object]:
    """Six Spaces, each with a repository and so an image of its own."""
    for name in NAMES:
        shutil.copytree(SPACES / SPACE, folder / name)
        with (folder / name / "app.py").open("a") as app:
            app.write(f"# This is {name}.\n")
    return {"spaces": {n: {"id": n, "repository": str(folder / n), "category": "bench"} for n in NAMES}}


@contextmanager
def daemon() -> Iterator[Daemon]:
    """A daemon with six Spaces whose images are built, and no container yet."""
    folder = Path(tempfile.mkdtemp(prefix="sd-"))
    (folder / "registry.yaml").write_text(yaml.safe_dump(registry(folder)))
    env = {key: value for key, value in os.environ.items() if not key.startswith("SPACEDOCK_")} | {
        "SPACEDOCK_REGISTRY": str(folder / "registry.yaml"),
        "SPACEDOCK_LOOK_FOR_MODELS": "false",
        "SPACEDOCK_SMOLLM__HUB": "false",
        "SPACEDOCK_LOG_FORMAT": "json",
        "SPACEDOCK_CONTAINERS__MAX_CONTAINERS": str(SLOTS),
    }
    served = Daemon(folder, env)
    try:
        served.start()
        asyncio.run(ask_each(served.url))
        served.stop()
        (folder / "log").write_bytes(b"")
        served.start()
        yield served
    finally:
        served.remove()


async def ask_each(url: str) -> None:
    """One prompt for each Space, which has its image built."""
    async with Client(url) as client:
        for name in NAMES:
            result = await client.run("ahoy", space=name, fallback="none", timeout=600)
            if not result.succeeded:
                raise RuntimeError(f"{name}: {result.error}")


async def by_spacedock(served: Daemon) -> tuple[float, Counter[str]]:
    """Seconds for all prompts in random order, and how often each Space was started."""
    wanted = [name for name in NAMES for _ in range(PROMPTS)]
    random.Random(7).shuffle(wanted)
    async with Client(served.url) as client:
        began = perf_counter()
        ids = [await client.submit("ahoy", space=name, fallback="none") for name in wanted]
        results = [result async for result in client.results(ids)]
        seconds = perf_counter() - began
    if not all(result.succeeded and result.output.text == "AHOY!" for result in results):
        raise RuntimeError("a prompt was not answered")
    starts = Counter(e["space"] for e in served.events if e["event"] == "container.ready")
    return seconds, starts


def image_of(name: str) -> str:
    """The image that was built for a Space."""
    command = ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", f"spacedock/space-{name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]


async def by_docker_run(image: str) -> float:
    """Seconds for one prompt as a script asks it: run a container, wait, ask, remove it."""
    began = perf_counter()
    run = ["docker", "run", "--detach", "--memory", "2g", image]
    container = (await said(*run)).strip()
    try:
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        address = (await said("docker", "inspect", "--format", form, container)).strip()
        async with aiohttp.ClientSession() as session:
            await answered(session, f"http://{address}:7860/gradio_api/run/shout")
    finally:
        await said("docker", "rm", "--force", container)
    return perf_counter() - began


async def said(*command: str) -> str:
    """What a command says; it must succeed."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    if process.returncode != 0:
        raise RuntimeError(f"{command} failed")
    return out.decode()


async def answered(session: aiohttp.ClientSession, url: str) -> None:
    """Ask until the app answers."""
    while True:
        try:
            async with session.post(url, json={"data": ["ahoy"]}) as response:
                if (await response.json())["data"] == ["AHOY!"]:
                    return
        except aiohttp.ClientError:
            await asyncio.sleep(0.05)


async def run_by_run() -> list[float]:
    """Some prompts by `docker run`, one after another."""
    wanted = [name for name in NAMES for _ in range(SAMPLE)]
    random.Random(7).shuffle(wanted)
    return [await by_docker_run(image_of(name)) for name in wanted]


async def built(engine: Engine, folder: Path) -> Image:
    """The image of the Space that is called again and again."""
    ca = os.environ.get("SSL_CERT_FILE")
    images = Images(engine, ImageSettings(ca_bundle=Path(ca) if ca else None))
    shutil.copytree(SPACES / SPACE, folder / SPACE)
    return await images.get(SpaceSource(name="a", repository=folder / SPACE), lambda _: None)


async def warm_calls() -> dict[str, float]:
    """Median milliseconds of a call by the adapter alone, with a warm lease, and with a paused container."""
    with tempfile.TemporaryDirectory() as folder:
        async with Engine() as engine:
            image = await built(engine, Path(folder))
            settings = ContainerSettings(instance_id=f"bench-{os.getpid()}", pause_seconds=PAUSE_SECONDS)
            async with Pool[Adapter](engine, settings) as pool:
                return await calls(pool, image)


async def calls(pool: Pool[Adapter], image: Image) -> dict[str, float]:
    """Measure in turns, so that noise hits every way alike."""
    spec = ContainerSpec("a", image.reference, image.digest, image.command, image.port, read_only=True)
    connect = Opener().connect_to(image.digest, Access())
    times: dict[str, list[float]] = {"adapter": [], "warm": [], "paused": []}

    async def leased() -> float:
        began = perf_counter()
        async with pool.lease(spec, connect, lambda _: None) as lease:
            await lease.app.call(AppCall("ahoy"), lambda *_: None)
        return (perf_counter() - began) * 1000

    for _ in range(5):
        await leased()
    for _ in range(CALLS):
        async with pool.lease(spec, connect, lambda _: None) as lease:
            began = perf_counter()
            await lease.app.call(AppCall("ahoy"), lambda *_: None)
            times["adapter"].append((perf_counter() - began) * 1000)
        times["warm"].append(await leased())
    for _ in range(PAUSED_CALLS):
        await asyncio.sleep(2 * PAUSE_SECONDS)
        if "1 asleep" not in repr(pool):
            raise RuntimeError(f"not paused: {pool!r}")
        times["paused"].append(await leased())
    return {way: statistics.median(took) for way, took in times.items()}


def main() -> int:
    """Measure, print, and say whether the bars are met."""
    configure("pretty", "warning")
    with daemon() as served:
        sample = asyncio.run(run_by_run())
        seconds, starts = asyncio.run(by_spacedock(served))
        sample += asyncio.run(run_by_run())
    one = statistics.mean(sample)
    ratio, most = one * len(NAMES) * PROMPTS / seconds, max(starts.values())
    print(f"{len(NAMES)} Spaces x {PROMPTS} prompts in random order, {SLOTS} containers at a time")
    print(f"  docker run per prompt   {one:8.2f} s each ({len(sample)} measured), {one * 120:.0f} s for 120")
    print(f"  spacedock               {seconds:8.2f} s for 120")
    print(f"  times faster            {ratio:8.1f}   (bar: {TIMES_FASTER:g})")
    print(f"  starts of one Space     {most:8d}   (bar: {MOST_STARTS}); {dict(sorted(starts.items()))}")
    ways = asyncio.run(warm_calls())
    warm, paused = ways["warm"] - ways["adapter"], ways["paused"] - ways["adapter"]
    print(f"the adapter's own call    {ways['adapter']:8.2f} ms (median of {CALLS})")
    print(f"  warm, on top            {warm:8.2f} ms (bar: {WARM_MS:g})")
    print(f"  paused, on top          {paused:8.2f} ms (bar: {PAUSED_MS:g})")
    met = ratio >= TIMES_FASTER and most <= MOST_STARTS and warm <= WARM_MS and paused <= PAUSED_MS
    print("all bars are met" if met else "A BAR IS MISSED")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
