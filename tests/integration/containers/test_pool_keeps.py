"""What the pool gives up where room is short: outdated builds first, the steps of running chains last."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from tests.integration.containers.parts import Page, answers, silent, states

from spacedock._stores.payloads import Payloads
from spacedock._wire.connection import connect
from spacedock.request import JobRequest
from spacedock.result import JobResult, Tier
from spacedock_worker.adapters.base import Adapter
from spacedock_worker.adapters.detect import Opener
from spacedock_worker.containers.docker.engine import Engine
from spacedock_worker.containers.pool import lifecycle
from spacedock_worker.containers.pool.pool import Pool
from spacedock_worker.containers.spec import ContainerSpec
from spacedock_worker.images.images import Images
from spacedock_worker.images.settings import ImageSettings
from spacedock_worker.jobs.handler import JobHandler
from spacedock_worker.jobs.model_step import ModelRunner
from spacedock_worker.jobs.plan import Plan, SpaceStep
from spacedock_worker.jobs.planner import PlannedJob, Planner
from spacedock_worker.jobs.space_step import SpaceRunner
from spacedock_worker.queue.runner import TakenJob
from spacedock_worker.registry.entry import SpaceEntry
from spacedock_worker.state.image_policy import ImagePolicy

API = """
import http.server, json
PATHS = {"/ask": {"post": {"parameters": [{"name": "text", "in": "query", "schema": {"type": "string"}}]}}}
ABOUT = json.dumps({"openapi": "3.1.0", "info": {"title": "a", "version": "1"}, "paths": PATHS}).encode()
class App(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(200, ABOUT)
    def do_POST(self):
        self.answer(STATUS, b'"an answer"')
http.server.HTTPServer(("", 7860), App).serve_forever()
"""


async def use(pool: Pool[Page], spec: ContainerSpec) -> bool:
    """Lease a container once; whether it had to be started."""
    async with pool.lease(spec, answers, silent) as lease:
        return lease.start_seconds > 0


async def test_three_spaces_in_turn_stay_warm_although_one_of_them_was_edited_twice(
    engine, settings, spec
) -> None:
    three = settings.model_copy(update={"max_containers": 3, "pause_seconds": 0.1})

    def build(number: int) -> ContainerSpec:
        return spec(f"./app@{number}", family="./app")

    async with Pool(engine, three) as pool:
        for number in (1, 2):
            for _ in range(10):
                await use(pool, build(number))
        in_turn = [await use(pool, one) for _ in range(3) for one in (build(3), spec("b"), spec("c"))]
        assert in_turn == [True] * 3 + [False] * 6
        await pool.settled()
        assert not [name for name in await states(engine, settings.instance_id) if "app-2" in name]


async def test_an_outdated_container_is_not_stopped_but_removed(engine, settings, spec) -> None:
    one = settings.model_copy(update={"max_containers": 1, "stopped_seconds": 60.0})
    async with Pool(engine, one) as pool:
        await use(pool, spec("./app@1", family="./app"))
        await use(pool, spec("./app@2", family="./app"))
        assert list((await states(engine, settings.instance_id)).values()) == ["running"]
        await use(pool, spec("other"))
        assert sorted((await states(engine, settings.instance_id)).values()) == ["exited", "running"]


async def test_what_a_running_chain_expects_does_not_cool_until_the_chain_is_over(
    engine, settings, spec, monkeypatch
) -> None:
    quick = settings.model_copy(update={"idle_seconds": 0.1})
    monkeypatch.setattr(lifecycle, "_EXPECTED_SECONDS", 0.05)
    looked, look = asyncio.Event(), lifecycle.Lifecycle._idle_step

    def seen(*args: Any) -> None:
        look(*args)
        looked.set()

    monkeypatch.setattr(lifecycle.Lifecycle, "_idle_step", seen)
    async with Pool(engine, quick) as pool:
        with pool.expecting() as expected:
            expected.families = frozenset({"next"})
            await use(pool, spec("next"))
            await looked.wait()
            assert repr(pool) == "<Pool 1/3 containers: 1 idle; 0 waiting>"
        async with asyncio.timeout(60):
            while await states(engine, settings.instance_id):  # noqa: ASYNC110
                # The engine tells of deaths, not of a removal that has begun.
                await asyncio.sleep(0.05)


def api(base: str, name: str, status: int) -> SpaceEntry:
    """A Space that answers every call so."""
    command = ("python3", "-c", API.replace("STATUS", str(status)))
    return SpaceEntry(
        id=name, docker_image=base, command=command, adapter="openapi", input_type="text", output_type="text"
    )


class Laid:
    """A planner that has one plan for every job: what is planned is not what these tests are about."""

    def __init__(self, *entries: SpaceEntry) -> None:
        self._entries = entries

    async def plan(self, request: JobRequest) -> PlannedJob:
        steps = tuple(SpaceStep(entry, "a step") for entry in self._entries)
        return PlannedJob(Plan(steps), self._entries[0], {})


async def ask(
    engine: Engine, pool: Pool[Adapter], redis_url: str, *entries: SpaceEntry, **fields: Any
) -> JobResult:
    runner = SpaceRunner(ImagePolicy(Images(engine, ImageSettings())), pool, Opener())
    async with connect(redis_url) as redis:
        planner = cast(Planner, Laid(*entries))
        handler = JobHandler(redis, Payloads(redis), engine, planner, runner, cast(ModelRunner, None))
        request = JobRequest(prompt="hello", tier=Tier.HEAVY, **fields)
        return await handler.handle(TakenJob("a-job", request), lambda *told: None)


async def test_a_chain_that_falls_back_finds_its_next_step_warm(engine, settings, base, redis_url) -> None:
    two = settings.model_copy(update={"max_containers": 2})
    last, broken, also_broken = api(base, "last", 200), api(base, "broken", 500), api(base, "worse", 501)
    async with Pool[Adapter](engine, two) as pool:
        assert (await ask(engine, pool, redis_url, last)).output.text == "an answer"
        # Both places are taken: the one that `last` has is the cheapest to lose.
        await ask(engine, pool, redis_url, broken)
        await ask(engine, pool, redis_url, broken)
        result = await ask(engine, pool, redis_url, broken, also_broken, last)
        assert [attempt.error is None for attempt in result.attempts] == [False, False, True]
        assert result.timings.start == 0.0
        await pool.settled()
        kept = await states(engine, settings.instance_id)
        assert sorted(name.rpartition("-")[0] for name in kept) == ["spacedock-last", "spacedock-worse"]
