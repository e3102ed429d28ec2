"""What happens to containers while something else happens to the calls that want them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiodocker import Docker
from tests.integration.containers.parts import Page, answers, ours, silent

from spacedock.result import ErrorKind, Stage
from spacedock_worker.containers.docker.engine import CALL_SECONDS, Engine
from spacedock_worker.containers.docker.task import Task
from spacedock_worker.containers.machine.capacity import look
from spacedock_worker.containers.pool.history import REST_SECONDS
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.errors import StepError, TryAgainError


class Gate(Engine):
    """A real engine; the first call that `holds` picks waits until the gate is `open`."""

    def __init__(self) -> None:
        super().__init__()
        self.holds: Callable[[Stage, float], bool] = lambda stage, seconds: False
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def call(self, stage: Stage, seconds: float = CALL_SECONDS) -> AsyncIterator[Docker]:
        async with super().call(stage, seconds) as docker:
            if not self.reached.is_set() and self.holds(stage, seconds):
                self.reached.set()
                await self.open.wait()
            yield docker


async def use(pool: Pool[Page], spec: object) -> float:
    """Lease a container once; the seconds that its start took."""
    async with pool.lease(spec, answers, silent) as lease:  # type: ignore[arg-type]
        return lease.start_seconds


async def until(pool: Pool[Page], words: str) -> None:
    """Wait until the pool says so of itself."""
    async with asyncio.timeout(60):
        while words not in repr(pool):  # noqa: ASYNC110
            # The pool tells nobody of its states.
            await asyncio.sleep(0.02)
    await pool.settled()


async def test_a_program_cancelled_as_its_room_comes_gives_the_room_back(engine, settings, spec) -> None:
    async with Pool(engine, settings.model_copy(update={"max_containers": 1})) as pool:
        async with pool.lease(spec("one"), answers, silent):
            program = asyncio.create_task(pool.complete(spec("program", ("true",)), Task(), silent))
            await asyncio.sleep(0)
            grant = pool._grant

            def granted(*what: object) -> None:
                grant(*what)  # type: ignore[arg-type]
                program.cancel()

            pool._grant = granted  # type: ignore[method-assign]
        with pytest.raises(asyncio.CancelledError):
            await program
        await pool.settled()
        assert repr(pool) == "<Pool 0/1 containers: none; 0 waiting>"


async def test_a_container_that_is_given_up_while_a_call_looks_at_it_stays_for_the_others(
    settings, spec
) -> None:
    async with Gate() as engine, Pool(engine, settings) as pool:
        shared = spec("one", calls=2)
        async with pool.lease(shared, answers, silent) as lease:
            engine.holds = lambda stage, seconds: stage is Stage.READY
            late = asyncio.create_task(use(pool, shared))
            await engine.reached.wait()
            await pool.view.forget("one")
            engine.open.set()
            assert await late > 0
            await pool.settled()
            assert await answers(lease.app.url)


async def test_a_removal_that_is_cut_off_with_its_start_is_done_in_the_end(settings, spec) -> None:
    async with (
        Gate() as engine,
        Pool(engine, settings.model_copy(update={"pause_seconds": 0.1})) as pool,
    ):
        await use(pool, spec("one"))
        await until(pool, "1 asleep")
        # Nobody hears of its death: the call that wakes it is the first to see.
        await pool._monitor.stop()
        async with engine.call(Stage.START) as docker:
            container = docker.containers.container((await ours(engine, settings.instance_id))[0])
            await container.unpause()
            await container.kill()
        # It asks for the state first, and then has it removed.
        calls = iter((False, True))
        engine.holds = lambda stage, seconds: next(calls, False)
        user = asyncio.create_task(use(pool, spec("one")))
        await engine.reached.wait()
        user.cancel()
        await asyncio.wait({user})
        await pool.settled()
        assert await ours(engine, settings.instance_id) == []


async def test_a_second_container_that_came_too_late_stays_warm(engine, settings, spec) -> None:
    ready = asyncio.Event()

    async def late(url: str) -> Page | None:
        return await answers(url) if ready.is_set() else None

    async def second(pool: Pool[Page]) -> None:
        async with pool.lease(spec("one"), late, silent):
            pass

    async with Pool(engine, settings) as pool:
        async with pool.lease(spec("one"), answers, silent):
            user = asyncio.create_task(second(pool))
            async with asyncio.timeout(60):
                while "1 starting" not in repr(pool):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
        await user
        ready.set()
        await pool.settled()
        assert repr(pool) == "<Pool 2/3 containers: 2 idle; 0 waiting>"


async def test_a_read_only_container_that_slept_is_still_known_as_one(engine, settings, spec) -> None:
    async with Pool(engine, settings.model_copy(update={"pause_seconds": 0.1})) as pool:
        await use(pool, spec("one", read_only=True))
        await until(pool, "1 asleep")
        # Another container of the image, such as a private one, has found that it writes its root.
        refused = StepError(Stage.CALL, ErrorKind.APP_ERROR, "[Errno 30] Read-only file system: '/x'")
        with pytest.raises(StepError):
            async with pool.lease(spec("one", read_only=True, private=True), answers, silent):
                raise refused
        with pytest.raises(TryAgainError):
            async with pool.lease(spec("one", read_only=True), answers, silent):
                raise refused


async def test_a_second_container_that_fails_costs_nothing_while_the_first_one_sleeps(
    engine, settings, spec
) -> None:
    fails, asked = asyncio.Event(), asyncio.Event()

    async def breaks(url: str) -> Page | None:
        asked.set()
        await fails.wait()
        raise StepError(Stage.READY, ErrorKind.UNSUPPORTED, "nothing to call")

    async def second(pool: Pool[Page]) -> None:
        async with pool.lease(spec("one"), breaks, silent):
            pass

    async with Pool(engine, settings.model_copy(update={"pause_seconds": 0.1})) as pool:
        async with pool.lease(spec("one"), answers, silent):
            user = asyncio.create_task(second(pool))
            await asked.wait()
        await user
        async with asyncio.timeout(60):
            while "1 asleep" not in repr(pool):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        late = asyncio.create_task(use(pool, spec("one")))
        await asyncio.sleep(0)
        fails.set()
        assert await late == 0.0


async def test_an_adopted_container_that_runs_is_watched_before_it_is_used(
    engine, settings, spec, tmp_path
) -> None:
    noted = settings.model_copy(update={"state": tmp_path, "disk": 2**20})
    writes = "import http.server, os, threading, time\n"
    writes += "def fill():\n    while not os.path.exists('/tmp/go'): time.sleep(0.05)\n"
    writes += "    open('/var/tmp/full', 'wb').write(b'x' * 2**22)\n"
    writes += "threading.Thread(target=fill).start(); os.chdir('/tmp')\n"
    writes += "class Go(http.server.SimpleHTTPRequestHandler):\n"
    writes += "    def do_POST(self): open('/tmp/go', 'w'); self.send_response(204); self.end_headers()\n"
    writes += "http.server.test(Go, port=7860)"
    first: Pool[Page] = Pool(engine, noted)
    await first.__aenter__()
    async with first.lease(spec("one", ("python3", "-c", writes)), answers, silent) as lease:
        url = lease.app.url
    # As a kill leaves it.
    first._closed = True
    await first._monitor.stop()
    for place in first._slots:
        place.cancel_idle_timer()
    async with Pool(engine, noted) as pool:
        assert repr(pool) == "<Pool 1/3 containers: 1 asleep; 0 waiting>"
        async with aiohttp.ClientSession() as session, session.post(url):
            pass
        await until(pool, "0/3 containers: none")


async def test_a_container_that_may_use_a_gpu_is_never_paused(engine, settings, spec) -> None:
    async with Pool(engine, settings.model_copy(update={"pause_seconds": 0.1})) as pool:
        # As on a host that has one; the engine is asked for none, as none is there.
        pool._starter.resources._machine = replace(await look(engine), gpus=1)
        await use(pool, spec("one", gpu="auto"))
        [place] = pool._slots
        assert place.idle_timer is not None
        assert place.idle_timer.when() > place.since + REST_SECONDS
